//! The effect of each named fault profile on an application that sends a question every 100 ms and
//! reconnects after a failure.

mod common;

use common::{PORT, echo, ms, secs};
use mqttspec_ports::{Disk, File, Net};
use mqttspec_world::{HostContext, Profile, World};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Felt {
    /// The longest response time.
    slowest: Duration,
    answers: usize,
    connections: usize,
    errors: Vec<io::ErrorKind>,
}

/// Sends questions forever; closes a connection when an answer takes longer than 20 s.
async fn asker(context: HostContext, felt: Rc<RefCell<Felt>>) {
    loop {
        let connected = context.net().connect("broker", PORT).await;
        let outcome = match connected {
            Ok(stream) => {
                felt.borrow_mut().connections += 1;
                ask_on(&context, stream, &felt).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            felt.borrow_mut().errors.push(error.kind());
        }
        tokio::time::sleep(ms(500)).await;
    }
}

async fn ask_on(
    context: &HostContext,
    mut stream: mqttspec_world::WorldStream,
    felt: &RefCell<Felt>,
) -> io::Result<()> {
    loop {
        let asked = context.now();
        stream.write_all(b"ping").await?;
        tokio::time::timeout(secs(20), stream.read_exact(&mut [0; 4])).await.map_err(io::Error::from)??;
        {
            let mut felt = felt.borrow_mut();
            felt.slowest = felt.slowest.max(context.now() - asked);
            felt.answers += 1;
        }
        tokio::time::sleep(ms(100)).await;
    }
}

/// Echoes, and writes to its disk continuously.
async fn writing_echo(context: HostContext) -> io::Result<()> {
    let disk = context.disk();
    tokio::task::spawn_local(async move {
        let file = disk.open("log")?;
        for n in 0u64.. {
            file.write_at(n % 1_000, b"entry")?;
            file.sync()?;
            tokio::time::sleep(ms(100)).await;
        }
        io::Result::Ok(())
    });
    echo(context).await
}

fn felt_under(profile: Profile) -> Felt {
    let felt = Rc::new(RefCell::new(Felt::default()));
    let at_client = felt.clone();
    let report = felt.clone();
    World::builder(11)
        .host("broker", writing_echo)
        .host("client", move |context| asker(context, at_client.clone()))
        .run(|world| async move {
            world.sleep(secs(5)).await;
            assert!(felt.borrow().errors.is_empty() && felt.borrow().slowest == ms(2));
            profile.happen(&world, "client", "broker").await.expect("both hosts are declared");
            world.sleep(secs(40)).await;
            let before = felt.borrow().answers;
            world.sleep(secs(5)).await;
            assert!(
                felt.borrow().answers > before + 40,
                "{profile}: questions are not answered after its end"
            );
        })
        .unwrap_or_else(|failure| panic!("{profile}: {failure}"));
    report.take()
}

#[test]
fn every_profile_is_felt_and_gets_over() {
    use io::ErrorKind::{ConnectionReset, TimedOut};
    for profile in Profile::USUAL {
        assert_eq!(Profile::named(profile.name()), Some(profile));
        let felt = felt_under(profile);
        let kept = felt.connections == 1 && felt.errors.is_empty();
        let slowest_between = |low, high| (ms(low)..=ms(high)).contains(&felt.slowest);
        let as_expected = match profile {
            // The last retry within five seconds is at 3.0 s, the first one after that at 6.2 s.
            Profile::Outage { .. } | Profile::OneWayPartition { .. } => kept && slowest_between(5_000, 6_400),
            Profile::Intermittent { .. } => kept && slowest_between(1_000, 13_000),
            Profile::HighLatency { .. } => kept && slowest_between(1_002, 1_002),
            Profile::PacketLoss { .. } => kept && slowest_between(200, 20_000),
            Profile::SlowReader { .. } => kept && slowest_between(9_800, 10_000),
            Profile::Reset => felt.connections == 2 && felt.errors == [ConnectionReset],
            Profile::HalfOpen => felt.connections == 2 && felt.errors == [TimedOut],
            Profile::ServerCrash { .. } | Profile::TornWrites { .. } => {
                felt.connections == 2 && felt.errors == [ConnectionReset]
            }
            Profile::ClientCrash { .. } => felt.connections == 2 && felt.errors.is_empty(),
            other => panic!("{other} has no expectation"),
        };
        assert!(as_expected, "{profile}: {felt:?}");
    }
    assert_eq!(Profile::named("gremlins"), None);
}
