//! A client that asks every 100 ms and connects again whenever that fails: what it sees of a fault
//! profile is the same on every backend.

use mqttspec_faults::Profile;
use mqttspec_ports::Net;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// What the client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Felt {
    /// The longest that an answer took.
    pub(crate) slowest: Duration,
    pub(crate) answers: usize,
    pub(crate) connections: usize,
    pub(crate) errors: Vec<io::ErrorKind>,
}

/// Asks for ever; gives a connection up when an answer takes longer than 20 s.
pub(crate) async fn asker<N: Net>(net: N, felt: Rc<RefCell<Felt>>) {
    loop {
        let outcome = match net.connect("broker", 1883).await {
            Ok(stream) => {
                felt.borrow_mut().connections += 1;
                ask_on::<N>(stream, &felt).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            felt.borrow_mut().errors.push(error.kind());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn ask_on<N: Net>(mut stream: N::Stream, felt: &RefCell<Felt>) -> io::Result<()> {
    let patience = Duration::from_secs(20);
    loop {
        let asked = Instant::now();
        stream.write_all(b"ping").await?;
        timeout(patience, stream.read_exact(&mut [0; 4])).await.map_err(io::Error::from)??;
        {
            let mut felt = felt.borrow_mut();
            felt.slowest = felt.slowest.max(asked.elapsed());
            felt.answers += 1;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl Felt {
    /// Whether this is what a client sees of a profile, over links of 1 ms.
    pub(crate) fn is_as_expected(&self, profile: Profile) -> bool {
        use io::ErrorKind::{ConnectionReset, TimedOut};
        let kept = self.connections == 1 && self.errors.is_empty();
        let slowest_between =
            |low, high| (Duration::from_millis(low)..=Duration::from_millis(high)).contains(&self.slowest);
        match profile {
            // A relay passes on what it held at once. The world, like TCP, tries again
            // 3.0 s and 6.2 s after the question was sent.
            Profile::Outage { .. } | Profile::OneWayPartition { .. } => kept && slowest_between(4_900, 6_400),
            Profile::Intermittent { .. } => kept && slowest_between(900, 13_000),
            Profile::HighLatency { .. } => kept && slowest_between(1_002, 1_002),
            Profile::PacketLoss { .. } => kept && slowest_between(200, 20_000),
            Profile::SlowReader { .. } => kept && slowest_between(9_800, 10_002),
            Profile::Reset | Profile::ServerCrash { .. } | Profile::TornWrites { .. } => {
                self.connections == 2 && self.errors == [ConnectionReset]
            }
            Profile::HalfOpen => self.connections == 2 && self.errors == [TimedOut],
            Profile::ClientCrash { .. } => self.connections == 2 && self.errors.is_empty(),
            other => panic!("{other} has no expectation"),
        }
    }
}
