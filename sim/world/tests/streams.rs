//! The guarantee of a stream under any mix of faults: each end reads a prefix of the bytes that the
//! other end wrote, and all of them unless the connection failed.

mod common;

use common::{PORT, idle, ms, secs};
use mqttspec_ports::{Listener, Net};
use mqttspec_world::{Draw, HostContext, Probability, Seed, World, WorldError, WorldStream};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The bytes that one end wrote and read.
#[derive(Debug, Default)]
struct Side {
    wrote: Vec<u8>,
    read: Vec<u8>,
    /// It read an end and wrote all its bytes; otherwise the connection failed.
    ended: bool,
}

type Sides = Rc<RefCell<[Side; 2]>>;

/// Writes pieces of random lengths with random pauses and closes its direction; reads at the same
/// time, in pieces of random lengths.
async fn converse(stream: WorldStream, seed: Seed, sides: Sides, own: usize) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let read = {
        let (mut draw, sides) = (seed.child("reading").draw(), sides.clone());
        async move {
            loop {
                pause(&mut draw).await;
                let mut piece = vec![0; 1 + below(&mut draw, 20_000)];
                match reading.read(&mut piece).await? {
                    0 => return io::Result::Ok(()),
                    n => sides.borrow_mut()[own].read.extend_from_slice(&piece[..n]),
                }
            }
        }
    };
    let write = {
        let (mut draw, sides) = (seed.child("writing").draw(), sides.clone());
        async move {
            for _ in 0..below(&mut draw, 40) {
                pause(&mut draw).await;
                let mut piece = vec![0; 1 + below(&mut draw, 30_000)];
                piece.iter_mut().for_each(|byte| *byte = draw.word() as u8);
                // Recorded before writing: bytes written to a failing connection may have arrived.
                sides.borrow_mut()[own].wrote.extend_from_slice(&piece);
                writing.write_all(&piece).await?;
            }
            writing.shutdown().await
        }
    };
    let ended = tokio::try_join!(read, write).is_ok();
    sides.borrow_mut()[own].ended = ended;
}

async fn pause(draw: &mut Draw) {
    match draw.below(4) {
        0 => tokio::time::sleep(draw.duration(ms(0), ms(300))).await,
        1 => tokio::time::sleep(draw.duration(ms(0), secs(4))).await,
        _ => {}
    }
}

fn below(draw: &mut Draw, limit: u64) -> usize {
    usize::try_from(draw.below(limit)).expect("small")
}

async fn faults(world: World, seed: u64) -> Result<(), WorldError> {
    let mut draw = Seed::new(seed).child("faults").draw();
    for _ in 0..draw.below(30) {
        world.sleep(draw.duration(ms(0), secs(6))).await;
        let links = if draw.below(2) == 0 { world.between("a", "b")? } else { world.one_way("a", "b")? };
        match draw.below(9) {
            0 => links.partition(),
            1 => links.hold(),
            2 => links.loss(Probability::percent(40)),
            3 => links.latency(ms(0)..=ms(700)),
            4 => links.bandwidth(Some(1 + draw.below(200_000))),
            5 => world.stall_reading("b")?,
            6 if draw.below(6) == 0 => links.reset(),
            _ => {
                world.everywhere().heal();
                world.resume_reading("b")?;
            }
        }
    }
    world.everywhere().heal();
    world.everywhere().loss(Probability::NEVER);
    world.everywhere().bandwidth(None);
    world.resume_reading("b")
}

fn run(seed: u64) -> [Side; 2] {
    let sides = Sides::default();
    let at_b = sides.clone();
    let given = sides.clone();
    World::builder(seed)
        .host("a", idle)
        .host("b", move |context: HostContext| {
            let sides = at_b.clone();
            async move {
                let (stream, _) = context.net().listen(PORT).await?.accept().await?;
                converse(stream, context.seed(), sides, 1).await;
                std::future::pending::<io::Result<()>>().await
            }
        })
        .run(|world| async move {
            let stream = world.net("a")?.connect("b", PORT).await.expect("b listens");
            let told = tokio::task::spawn_local(converse(stream, world.seed("a"), given, 0));
            faults(world.clone(), seed).await?;
            told.await.expect("no panic");
            // Longer than the longest delay between two tries plus the last acknowledgement.
            world.sleep(secs(1_000)).await;
            assert!(world.connections().is_empty(), "seed {seed}: {:?}", world.connections());
            Ok::<_, WorldError>(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
        .output
        .expect("the hosts are declared");
    sides.take()
}

#[test]
fn a_stream_brings_what_was_written_under_any_mix_of_faults() {
    let (mut whole, mut broken) = (0, 0);
    for seed in 0..200 {
        let [a, b] = run(seed);
        assert!(b.wrote.starts_with(&a.read), "seed {seed}: {} of {} bytes", a.read.len(), b.wrote.len());
        assert!(a.wrote.starts_with(&b.read), "seed {seed}: {} of {} bytes", b.read.len(), a.wrote.len());
        if a.ended && b.ended {
            assert_eq!((a.read.len(), b.read.len()), (b.wrote.len(), a.wrote.len()), "seed {seed}");
            whole += 1;
        } else {
            broken += 1;
        }
    }
    assert!(whole > 50 && broken > 10, "{whole} complete, {broken} failed");
}

/// A task of `tokio::spawn` is polled by the runtime, and not with its host.
#[test]
#[expect(clippy::disallowed_methods, reason = "a peer from outside may use it")]
fn what_a_task_of_the_runtime_writes_arrives_without_another_wake() {
    let (read, at) = World::builder(0)
        .latency(ms(2)..=ms(2))
        .host("broker", |host| async move {
            let (mut stream, _) = host.net().listen(PORT).await?.accept().await?;
            tokio::spawn(async move {
                tokio::time::sleep(secs(1)).await;
                stream.write_all(b"last words").await?;
                stream.shutdown().await?;
                std::future::pending::<io::Result<()>>().await
            });
            std::future::pending::<io::Result<()>>().await
        })
        .host("client", idle)
        .run(|world| async move {
            let mut stream = world.net("client")?.connect("broker", PORT).await?;
            let mut read = String::new();
            tokio::select! {
                ended = stream.read_to_string(&mut read) => drop(ended?),
                () = world.sleep(secs(60)) => {}
            }
            Ok::<_, Box<dyn std::error::Error>>((read, world.now()))
        })
        .expect("the run ends")
        .output
        .expect("the stream works");
    assert_eq!(read, "last words");
    assert!(at < secs(2), "{at:?}");
}
