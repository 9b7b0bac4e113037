//! Bytes of memory per idle Session, measured by the resident set of this process (Linux).
#![expect(clippy::print_stdout, reason = "it is what this program is for")]

use std::time::Duration;

use mqttspec_broker::{Broker, Options};
use mqttspec_codec::*;

const SESSIONS: u32 = 100_000;

/// Resident pages of 4096 bytes, in bytes.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

fn main() {
    for (what, connected, subscribed) in [
        ("away, no Subscription", false, false),
        ("away, one Subscription", false, true),
        ("connected, one Subscription, Keep Alive", true, true),
    ] {
        let Some(before) = resident() else {
            println!("skipped: there is no /proc/self/statm");
            return;
        };
        let mut broker = Broker::new(Options::default(), 1);
        let now = Duration::ZERO;
        for number in 0..SESSIONS {
            let connection = broker.handle_opened(now);
            let client_id = Utf8String::try_from(format!("client-{number:08}")).expect("short");
            let connect = Connect::new(Version::V5, client_id).with(SessionExpiryInterval(3600));
            broker.handle_packet(now, connection, connect.into());
            if subscribed {
                let filter =
                    TopicFilter::try_from(format!("devices/{number}/commands/#")).expect("a Topic Filter");
                let subscription = Subscription::new(filter, QoS::AtLeastOnce);
                broker.handle_packet(
                    now,
                    connection,
                    Subscribe::new(PacketIdentifier::MIN, subscription).into(),
                );
            }
            if !connected {
                broker.handle_closed(now, connection);
            }
            broker.take_changes();
            while broker.poll_transmit().is_some() {}
            while broker.poll_event().is_some() {}
        }
        let used = resident().unwrap_or(before).saturating_sub(before);
        println!("{SESSIONS} Sessions, {what}: {} bytes each", used / u64::from(SESSIONS));
        // Kept until the measurement, and never freed, so that the next measurement starts with
        // fresh pages.
        std::mem::forget(broker);
    }
}
