//! Whether this process, the server and the way between them got their time: a machine that is busy with something else makes everything late.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::{Packet, Version};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::probes::Prober;

/// How often the clock is looked at.
const BEAT: Duration = Duration::from_millis(20);

/// How often the server is asked for a PINGRESP.
const BETWEEN_PINGS: Duration = Duration::from_millis(50);

/// A beat that comes later than this, or a PINGRESP that takes so much longer than the round trip, shows that somebody was kept waiting.
const LATE: Duration = Duration::from_millis(100);

/// How long a connection to the server may take, and how long is waited before the next one where it takes none.
const CONNECTING: Duration = Duration::from_secs(1);

/// Watches until it is dropped.
pub(crate) struct StallDetector {
    /// When somebody was last seen to be kept waiting.
    hurried: Rc<Cell<Option<Instant>>>,
    watching: [JoinHandle<()>; 2],
}

impl StallDetector {
    /// Begins to watch this process, and a server that all cases share.
    pub(crate) fn watch(prober: &Prober, version: Version, id: String, round_trip: Duration) -> Self {
        let hurried = Rc::new(Cell::new(None));
        let beating = tokio::task::spawn_local(beat(hurried.clone()));
        let pinging = ping(hurried.clone(), prober.clone(), version, id, LATE + round_trip * 5);
        Self { hurried, watching: [beating, tokio::task::spawn_local(pinging)] }
    }

    /// Whether everybody got their time since then.
    pub(crate) fn is_calm_since(&self, begun: Instant) -> bool {
        self.hurried.get().is_none_or(|hurried| hurried < begun)
    }
}

async fn beat(hurried: Rc<Cell<Option<Instant>>>) {
    loop {
        let begun = Instant::now();
        sleep(BEAT).await;
        if begun.elapsed().saturating_sub(BEAT) > LATE {
            hurried.set(Some(Instant::now()));
        }
    }
}

async fn ping(
    hurried: Rc<Cell<Option<Instant>>>,
    prober: Prober,
    version: Version,
    id: String,
    longest: Duration,
) {
    loop {
        if let Some(mut guest) = prober.visit(version, &id, CONNECTING).await {
            loop {
                let answered = async {
                    guest.send(Packet::PingReq).await?;
                    while guest.receive().await? != Packet::PingResp {}
                    Some(())
                };
                match timeout(longest, answered).await {
                    Ok(Some(())) => sleep(BETWEEN_PINGS).await,
                    // It is asked anew: an answer that comes after all belongs to the question before.
                    Ok(None) | Err(_) => break,
                }
            }
        }
        hurried.set(Some(Instant::now()));
        sleep(BETWEEN_PINGS).await;
    }
}

impl Drop for StallDetector {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}
