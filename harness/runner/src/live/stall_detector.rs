//! Detects stalls: times when this process, the server or the network between them did not get
//! enough CPU time. A failure in such a time may be caused by the machine.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Version;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::probes::Prober;

/// The interval of the timer that detects stalls of this process.
const TIMER_INTERVAL: Duration = Duration::from_millis(20);

/// The interval between PINGREQs to the server.
const PING_INTERVAL: Duration = Duration::from_millis(50);

/// A stall is detected if the timer fires later than this, or if a PINGRESP takes this much longer
/// than the measured round trip.
const STALL: Duration = Duration::from_millis(100);

/// How long the detector's connection to the server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Stalls: when each was detected, and how long it lasted.
type Stalls = Rc<RefCell<Vec<(Instant, Duration)>>>;

/// Watches for stalls until it is dropped.
pub(crate) struct StallDetector {
    stalls: Stalls,
    watching: [JoinHandle<()>; 2],
}

impl StallDetector {
    /// Starts to watch this process and the shared server.
    pub(crate) fn watch(prober: &Prober, version: Version, id: String, round_trip: Duration) -> Self {
        let stalls = Stalls::default();
        let timer = tokio::task::spawn_local(watch_timer(stalls.clone()));
        let pings = watch_pings(stalls.clone(), prober.clone(), version, id, STALL + round_trip * 5);
        Self { stalls, watching: [timer, tokio::task::spawn_local(pings)] }
    }

    /// How long the stalls since this time lasted together. Those of this process and those of the
    /// server may be the same, so this is an upper limit.
    pub(crate) fn stalled_since(&self, started: Instant) -> Duration {
        let stalls = self.stalls.borrow();
        stalls.iter().rev().take_while(|(at, _)| *at >= started).map(|(_, lasted)| *lasted).sum()
    }
}

async fn watch_timer(stalls: Stalls) {
    loop {
        let started = Instant::now();
        sleep(TIMER_INTERVAL).await;
        let late = started.elapsed().saturating_sub(TIMER_INTERVAL);
        if late > STALL {
            stalls.borrow_mut().push((Instant::now(), late));
        }
    }
}

async fn watch_pings(stalls: Stalls, prober: Prober, version: Version, id: String, longest: Duration) {
    loop {
        // The last time at which the server answered, or at which an answer could be awaited.
        let mut served = Instant::now();
        if let Some(mut client) = prober.connect_client(version, &id, CONNECT_TIMEOUT).await {
            loop {
                served = Instant::now();
                match timeout(longest, client.ping()).await {
                    Ok(Some(())) => sleep(PING_INTERVAL).await,
                    // A new connection: on this one, a late PINGRESP would answer the next PINGREQ.
                    Ok(None) | Err(_) => break,
                }
            }
        }
        stalls.borrow_mut().push((Instant::now(), served.elapsed()));
        sleep(PING_INTERVAL).await;
    }
}

impl Drop for StallDetector {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}
