//! Detects stalls: times when this process, the server or the network between them did not get
//! enough CPU time. A failure in such a time may be caused by the machine.

use core::cell::Cell;
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

/// Watches for stalls until it is dropped.
pub(crate) struct StallDetector {
    /// When the last stall was detected.
    last_stall: Rc<Cell<Option<Instant>>>,
    watching: [JoinHandle<()>; 2],
}

impl StallDetector {
    /// Starts to watch this process and the shared server.
    pub(crate) fn watch(prober: &Prober, version: Version, id: String, round_trip: Duration) -> Self {
        let last_stall = Rc::new(Cell::new(None));
        let timer = tokio::task::spawn_local(watch_timer(last_stall.clone()));
        let pings = watch_pings(last_stall.clone(), prober.clone(), version, id, STALL + round_trip * 5);
        Self { last_stall, watching: [timer, tokio::task::spawn_local(pings)] }
    }

    /// Whether no stall was detected since this time.
    pub(crate) fn no_stall_since(&self, started: Instant) -> bool {
        self.last_stall.get().is_none_or(|last_stall| last_stall < started)
    }
}

async fn watch_timer(last_stall: Rc<Cell<Option<Instant>>>) {
    loop {
        let started = Instant::now();
        sleep(TIMER_INTERVAL).await;
        if started.elapsed().saturating_sub(TIMER_INTERVAL) > STALL {
            last_stall.set(Some(Instant::now()));
        }
    }
}

async fn watch_pings(
    last_stall: Rc<Cell<Option<Instant>>>,
    prober: Prober,
    version: Version,
    id: String,
    longest: Duration,
) {
    loop {
        if let Some(mut client) = prober.connect_client(version, &id, CONNECT_TIMEOUT).await {
            // After one that is late, a new connection: on this one, its PINGRESP would answer the next
            // PINGREQ.
            while let Ok(Some(())) = timeout(longest, client.ping()).await {
                sleep(PING_INTERVAL).await;
            }
        }
        last_stall.set(Some(Instant::now()));
        sleep(PING_INTERVAL).await;
    }
}

impl Drop for StallDetector {
    fn drop(&mut self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }
}
