//! The same hosts and the same faults in the simulated world, in a stock `turmoil::Sim` and on real
//! sockets: the application sees the same.
//!
//! In turmoil only those faults take part that it models soundly. On real sockets there are no faults
//! here: there they are the relay's.

mod loopback;

use loopback::LoopbackNet;
use mqttspec_faults::{Course, Fault as Injected, Injector, Way};
use mqttspec_ports::{Listener, Net};
use mqttspec_turmoil::Turmoil;
use mqttspec_world::World;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

const PORT: u16 = 1883;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What the director does, and how long after the start.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Latency(u64),
    Hold,
    Release,
    Crash,
    Restart,
}

/// What the client's application saw, in order.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<String>>>);

impl Seen {
    fn add(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// The kinds of errors for a broken connection differ between stacks; that it is broken must
    /// not.
    fn add_read(&self, read: io::Result<usize>, bytes: &[u8]) {
        self.add(match read {
            Ok(0) => "end".to_owned(),
            Ok(n) => String::from_utf8_lossy(&bytes[..n]).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => "reset".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        });
    }
}

/// Greets with its incarnation, then echoes; a `q` ends the connection, an `!` resets it, and a `^`
/// has last words first.
async fn broker<N: Net>(net: N, incarnation: u32) -> io::Result<()> {
    let listener = net.listen(PORT).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let net = net.clone();
        tokio::task::spawn_local(async move {
            stream.write_all(format!("hello {incarnation};").as_bytes()).await?;
            let mut buffer = vec![0; 4096];
            loop {
                let n = stream.read(&mut buffer).await?;
                if n == 0 || buffer[..n].contains(&b'q') {
                    return io::Result::Ok(());
                }
                if buffer[..n].contains(&b'^') {
                    stream.write_all(b"last words").await?;
                    // So that they leave before the reset, which throws away what has not left.
                    sleep(ms(50)).await;
                }
                if buffer[..n].iter().any(|byte| b"!^".contains(byte)) {
                    net.reset(stream);
                    return Ok(());
                }
                stream.write_all(&buffer[..n]).await?;
            }
        });
    }
}

async fn greeted<N: Net>(net: &N, seen: &Seen) -> io::Result<N::Stream> {
    let mut stream = net.connect("broker", PORT).await?;
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).await?;
    seen.add(String::from_utf8_lossy(&greeting));
    Ok(stream)
}

async fn ask<N: Net>(stream: &mut N::Stream, question: &[u8]) -> io::Result<bool> {
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer == question)
}

/// What the client does; each is one scenario.
#[derive(Clone, Copy, Debug)]
enum Story {
    OneQuestion,
    ManyQuestions,
    LargeQuestion,
    RoundTrip,
    Held,
    HalfClose,
    PeerCloses,
    PeerResets,
    PeerResetsBehindItsLastWords,
    WritesToAPeerThatClosed,
    Refused,
    UnknownName,
    Idle,
    TwoConnections,
    CrashThenSpeak,
    ConnectAgain,
    GivesUpWaiting,
}

async fn client<N: Net>(net: N, story: Story, seen: Seen) -> io::Result<()> {
    if let Story::Refused | Story::UnknownName = story {
        let name = if matches!(story, Story::Refused) { "broker" } else { "nobody" };
        let port = if matches!(story, Story::Refused) { PORT + 1 } else { PORT };
        let kind = net.connect(name, port).await.err().map(|error| error.kind());
        let refused = kind == Some(io::ErrorKind::ConnectionRefused);
        seen.add(if refused { "refused" } else { "failed" });
        return Ok(());
    }
    let mut stream = greeted(&net, &seen).await?;
    let mut buffer = [0; 64];
    match story {
        Story::OneQuestion => seen.add(format!("{}", ask::<N>(&mut stream, b"one").await?)),
        Story::ManyQuestions => {
            for n in 0..50 {
                seen.add(format!("{}", ask::<N>(&mut stream, format!("{n};").as_bytes()).await?));
            }
        }
        Story::LargeQuestion => {
            for _ in 0..50 {
                seen.add(format!("{}", ask::<N>(&mut stream, &[b'x'; 4_000]).await?));
            }
        }
        Story::RoundTrip => {
            sleep(ms(1_000)).await;
            let begun = Instant::now();
            ask::<N>(&mut stream, b"ping").await?;
            let took = begun.elapsed();
            seen.add(format!("within {}", took >= ms(400) && took < ms(500)));
        }
        Story::Held => {
            sleep(ms(1_000)).await;
            let begun = Instant::now();
            ask::<N>(&mut stream, b"held").await?;
            let took = begun.elapsed();
            seen.add(format!("within {}", took >= ms(1_900) && took < ms(2_100)));
        }
        Story::HalfClose => {
            stream.write_all(b"last").await?;
            stream.shutdown().await?;
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await?;
            seen.add(rest);
        }
        Story::PeerCloses => {
            stream.write_all(b"q").await?;
            let read = stream.read(&mut buffer).await;
            seen.add_read(read, &buffer);
        }
        Story::PeerResets => {
            stream.write_all(b"!").await?;
            let read = stream.read(&mut buffer).await;
            seen.add_read(read, &buffer);
        }
        Story::PeerResetsBehindItsLastWords => {
            stream.write_all(b"^").await?;
            sleep(ms(300)).await;
            for _ in 0..2 {
                let read = stream.read(&mut buffer).await;
                seen.add_read(read, &buffer);
            }
        }
        Story::WritesToAPeerThatClosed => {
            stream.write_all(b"q").await?;
            let read = stream.read(&mut buffer).await;
            seen.add_read(read, &buffer);
            // Each try is taken until the answer to an earlier one is back, which says that nobody
            // will read.
            while stream.write_all(b"anybody?").await.is_ok() {
                sleep(ms(30)).await;
            }
            seen.add("cannot write");
        }
        Story::Idle => {
            sleep(Duration::from_secs(60)).await;
            seen.add(format!("{}", ask::<N>(&mut stream, b"still there?").await?));
        }
        Story::TwoConnections => {
            let mut other = greeted(&net, &seen).await?;
            seen.add(format!("{}", ask::<N>(&mut other, b"second").await?));
            drop(other);
            seen.add(format!("{}", ask::<N>(&mut stream, b"first").await?));
        }
        Story::CrashThenSpeak => {
            sleep(ms(3_000)).await;
            stream.write_all(b"anybody?").await.ok();
            let read = stream.read(&mut buffer).await;
            seen.add(if matches!(read, Ok(1..)) { "answered" } else { "over" });
        }
        Story::ConnectAgain => {
            sleep(ms(3_000)).await;
            drop(stream);
            stream = greeted(&net, &seen).await?;
            seen.add(format!("{}", ask::<N>(&mut stream, b"again").await?));
        }
        Story::GivesUpWaiting => {
            sleep(ms(1_000)).await;
            stream.write_all(b"held").await?;
            let waited = timeout(ms(500), stream.read(&mut buffer)).await;
            seen.add(format!("timed out {}", waited.is_err()));
        }
        Story::Refused | Story::UnknownName => {}
    }
    Ok(())
}

fn in_this_world(story: Story, faults: &[(u64, Fault)]) -> Vec<String> {
    let seen = Seen::default();
    let (at_client, done) = (seen.clone(), Rc::new(Cell::new(false)));
    let ended = done.clone();
    let faults = faults.to_vec();
    World::builder(1)
        .latency(ms(10))
        .host("broker", |context| broker(context.net(), context.incarnation()))
        .host("client", move |context| {
            let (seen, ended) = (at_client.clone(), ended.clone());
            async move {
                tell_failure(&seen, client(context.net(), story, seen.clone()).await);
                ended.set(true);
            }
        })
        .run(|world| async move {
            for (at, fault) in faults {
                world.sleep_until(ms(at)).await;
                let links = world.between("client", "broker")?;
                match fault {
                    Fault::Latency(latency) => links.latency(ms(latency)),
                    Fault::Hold => links.hold(),
                    Fault::Release => links.release(),
                    Fault::Crash => world.crash("broker")?,
                    Fault::Restart => world.start("broker")?,
                }
            }
            while !done.get() {
                world.sleep(ms(100)).await;
            }
            Ok::<_, mqttspec_world::WorldError>(())
        })
        .unwrap_or_else(|failure| panic!("{story:?}: {failure}"))
        .output
        .unwrap_or_else(|error| panic!("{story:?}: {error}"));
    seen.0.take()
}

fn in_stock_turmoil(story: Story, faults: &[(u64, Fault)]) -> Vec<String> {
    let seen = Seen::default();
    let (at_client, done) = (seen.clone(), Rc::new(Cell::new(false)));
    let ended = done.clone();
    let faults = faults.to_vec();
    let around = || Way::Around("client".to_owned());
    Turmoil::builder(1)
        .latency(ms(10))
        .host("broker", |context| broker(context.net(), context.incarnation()))
        .host("client", move |context| {
            let (seen, ended) = (at_client.clone(), ended.clone());
            async move {
                tell_failure(&seen, client(context.net(), story, seen.clone()).await);
                ended.set(true);
                io::Result::Ok(())
            }
        })
        .run(|turmoil| async move {
            let injector = Injector::new(turmoil.clone());
            for (at, fault) in faults {
                turmoil.sleep_until(ms(at)).await;
                let begins = match fault {
                    Fault::Latency(latency) => {
                        Injected::Latency { on: around(), latency: ms(latency)..=ms(latency) }
                    }
                    // turmoil holds what is sent into a partition.
                    Fault::Hold => Injected::Partition { on: around() },
                    Fault::Crash => Injected::Crash { host: "broker".to_owned() },
                    Fault::Release => {
                        injector.heal(&around())?;
                        continue;
                    }
                    Fault::Restart => {
                        injector.start("broker").await?;
                        continue;
                    }
                };
                injector.run(Course::of(begins, None), |_, _| ()).await?;
            }
            while !done.get() {
                turmoil.sleep(ms(100)).await;
            }
            Ok::<_, mqttspec_faults::FaultError>(())
        })
        .unwrap_or_else(|error| panic!("{story:?}: {error}"))
        .unwrap_or_else(|error| panic!("{story:?}: {error}"));
    seen.0.take()
}

fn on_real_sockets(story: Story) -> Vec<String> {
    let seen = Seen::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let net = LoopbackNet::new();
        let serving = tokio::task::spawn_local(broker(net.clone(), 1));
        while !net.is_listening() {
            tokio::task::yield_now().await;
        }
        tell_failure(&seen, client(net, story, seen.clone()).await);
        serving.abort();
    });
    seen.0.take()
}

fn tell_failure(seen: &Seen, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        seen.add(format!("failed: {:?}", error.kind()));
    }
}

fn same(story: Story, faults: &[(u64, Fault)], expected: &[&str]) {
    let here = in_this_world(story, faults);
    assert_eq!(here, expected, "{story:?} in this world");
    assert_eq!(in_stock_turmoil(story, faults), expected, "{story:?} in turmoil");
}

/// Without faults: on real sockets too.
fn same_everywhere(story: Story, expected: &[&str]) {
    same(story, &[], expected);
    assert_eq!(on_real_sockets(story), expected, "{story:?} on real sockets");
}

#[test]
fn a_question_is_answered() {
    same_everywhere(Story::OneQuestion, &["hello 1;", "true"]);
}

#[test]
fn fifty_questions_are_answered_in_order() {
    let mut expected = vec!["true"; 51];
    expected[0] = "hello 1;";
    same_everywhere(Story::ManyQuestions, &expected);
}

#[test]
fn large_questions_are_answered_whole() {
    let mut expected = vec!["true"; 51];
    expected[0] = "hello 1;";
    same_everywhere(Story::LargeQuestion, &expected);
}

#[test]
fn latency_is_felt_in_both_directions() {
    same(Story::RoundTrip, &[(500, Fault::Latency(200))], &["hello 1;", "within true"]);
}

#[test]
fn a_held_link_delays_until_it_is_released() {
    let faults = [(500, Fault::Hold), (3_000, Fault::Release)];
    same(Story::Held, &faults, &["hello 1;", "within true"]);
}

#[test]
fn a_held_link_lets_a_timer_run_out() {
    same(Story::GivesUpWaiting, &[(500, Fault::Hold)], &["hello 1;", "timed out true"]);
}

#[test]
fn a_half_closed_connection_is_answered() {
    same_everywhere(Story::HalfClose, &["hello 1;", "last"]);
}

#[test]
fn a_close_of_the_peer_is_an_end() {
    same_everywhere(Story::PeerCloses, &["hello 1;", "end"]);
}

#[test]
fn a_reset_of_the_peer_is_an_error() {
    same_everywhere(Story::PeerResets, &["hello 1;", "reset"]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_came_before_a_reset_can_still_be_read() {
    same_everywhere(Story::PeerResetsBehindItsLastWords, &["hello 1;", "last words", "reset"]);
}

#[test]
fn nobody_reads_what_is_written_to_a_peer_that_closed() {
    same_everywhere(Story::WritesToAPeerThatClosed, &["hello 1;", "end", "cannot write"]);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    same_everywhere(Story::Refused, &["refused"]);
}

#[test]
fn an_idle_connection_stays_open() {
    same(Story::Idle, &[], &["hello 1;", "true"]);
}

#[test]
fn two_connections_do_not_mind_each_other() {
    same_everywhere(Story::TwoConnections, &["hello 1;", "hello 1;", "true", "true"]);
}

#[test]
fn a_restarted_host_does_not_know_its_old_connections() {
    let faults = [(1_000, Fault::Crash), (2_000, Fault::Restart)];
    same(Story::CrashThenSpeak, &faults, &["hello 1;", "over"]);
}

#[test]
fn a_restarted_host_accepts_new_connections() {
    let faults = [(1_000, Fault::Crash), (2_000, Fault::Restart)];
    same(Story::ConnectAgain, &faults, &["hello 1;", "hello 2;", "true"]);
}

#[test]
fn an_unknown_name_cannot_be_reached_in_this_world() {
    // turmoil panics on it.
    assert_eq!(in_this_world(Story::UnknownName, &[]), ["failed"]);
}
