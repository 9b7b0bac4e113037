//! What an application sees of each fault, and of the host's own actions. Each row of the tables in
//! README.md names its test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{PORT, around, ask, broker_and_client, crash, dial, ignore, ms, played, secs};
use mqttspec_faults::{Course, Fault, FaultError, Injector, Step, Way};
use mqttspec_ports::{Disk as _, File as _, Listener as _, Net};
use mqttspec_turmoil::{HostContext, Turmoil};
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Two latencies of 10 ms, and what the director waits for the end of a tick.
const ROUND_TRIP_MS: u64 = 21;

#[test]
fn a_latency_is_felt_in_both_directions() {
    let run = broker_and_client().run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        assert_eq!(ask(&turmoil, &mut stream, b"usual").await, ms(ROUND_TRIP_MS));
        let injector = Injector::new(turmoil.clone());
        let slow = Fault::Latency { on: around("client"), latency: ms(200)..=ms(200) };
        let rest = injector.begin(Course::of(slow, Some(secs(2))), ignore).await.unwrap();
        assert_eq!(ask(&turmoil, &mut stream, b"slow").await, ms(401));
        let added = Fault::AddedLatency { on: Way::Everywhere, added: ms(100) };
        injector.run(Course::of(added, None), ignore).await.unwrap();
        assert_eq!(ask(&turmoil, &mut stream, b"slower").await, ms(601));
        rest.finish().await.unwrap();
        assert_eq!(ask(&turmoil, &mut stream, b"still slow").await, ms(200 + ROUND_TRIP_MS));
        injector.heal(&around("broker")).unwrap();
        assert_eq!(ask(&turmoil, &mut stream, b"usual").await, ms(ROUND_TRIP_MS));
    });
    run.unwrap();
}

#[test]
fn jitter_keeps_the_order_of_bytes() {
    let run = broker_and_client().run(|turmoil| async move {
        let jitter = Fault::Latency { on: Way::Everywhere, latency: ms(1)..=ms(300) };
        Injector::new(turmoil.clone()).run(Course::of(jitter, None), ignore).await.unwrap();
        let (mut read, mut write) = tokio::io::split(dial(&turmoil).await);
        let sent: Vec<u8> = (0..200).collect();
        let mut times = std::collections::BTreeSet::new();
        let mut received = Vec::new();
        let writing = async {
            for byte in &sent {
                write.write_all(&[*byte]).await.unwrap();
                turmoil.sleep(ms(3)).await;
            }
        };
        let reading = async {
            while received.len() < sent.len() {
                received.push(read.read_u8().await.unwrap());
                times.insert(turmoil.now());
            }
        };
        tokio::join!(writing, reading);
        assert_eq!(received, sent);
        assert!(times.len() > 10, "the latency is drawn for each segment");
    });
    run.unwrap();
}

#[test]
fn a_partition_delays_bytes_and_loses_none() {
    let run = broker_and_client().run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        // Under way when the partition begins.
        stream.write_all(b"before ").await.unwrap();
        turmoil.sleep(ms(5)).await;
        let cut = Course::of(Fault::Partition { on: around("client") }, Some(secs(5)));
        let rest = Injector::new(turmoil.clone()).begin(cut, ignore).await.unwrap();
        stream.write_all(b"within").await.unwrap();
        assert!(timeout(ms(4_900), stream.read_u8()).await.is_err(), "nothing passes");
        rest.finish().await.unwrap();
        let healed = turmoil.now();
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"before within");
        assert!(turmoil.now() - healed <= ms(30), "{:?}", turmoil.now() - healed);
    });
    run.unwrap();
}

#[test]
fn a_connection_that_is_asked_for_in_a_partition_comes_about_after_it() {
    let run = broker_and_client().run(|turmoil| async move {
        let cut = Course::of(Fault::Partition { on: Way::Everywhere }, Some(secs(5)));
        let rest = Injector::new(turmoil.clone()).begin(cut, ignore).await.unwrap();
        let (stream, ended) = tokio::join!(dial(&turmoil), rest.finish());
        ended.unwrap();
        assert!(turmoil.now() >= secs(5) && turmoil.now() < ms(5_050), "{:?}", turmoil.now());
        drop(stream);
    });
    run.unwrap();
}

/// Reads from every connection, and notes the errors.
async fn reader(context: HostContext, seen: Rc<RefCell<Vec<ErrorKind>>>) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let seen = seen.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = stream.read_u8().await {
                seen.borrow_mut().push(error.kind());
            }
        });
    }
}

#[test]
fn a_reset_is_seen_at_both_ends_and_new_connections_work() {
    let errors: Rc<RefCell<Vec<ErrorKind>>> = Rc::default();
    let seen = errors.clone();
    let reader = move |context: HostContext| reader(context, seen.clone());
    let run = Turmoil::builder(7).host("broker", reader).host("client", played).run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        turmoil.sleep(ms(10)).await;
        let reset = Course::of(Fault::Reset { on: around("client") }, None);
        Injector::new(turmoil.clone()).run(reset, ignore).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.write_all(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        turmoil.sleep(ms(10)).await;
        let _new = dial(&turmoil).await;
        turmoil.sleep(secs(1)).await;
    });
    run.unwrap();
    assert_eq!(*errors.borrow(), [ErrorKind::ConnectionReset]);
}

#[test]
fn what_arrived_before_a_reset_can_still_be_read() {
    let run = broker_and_client().run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        stream.write_all(b"arrives").await.unwrap();
        turmoil.sleep(ms(100)).await;
        let reset = Course::of(Fault::Reset { on: around("client") }, None);
        Injector::new(turmoil.clone()).run(reset, ignore).await.unwrap();
        turmoil.sleep(ms(100)).await;
        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).await.unwrap_err();
        assert_eq!((answer.as_slice(), error.kind()), (&b"arrives"[..], ErrorKind::ConnectionReset));
    });
    run.unwrap();
}

#[test]
fn a_reset_by_the_application_reaches_the_peer_after_the_latency() {
    let run =
        Turmoil::builder(7).latency(ms(10)).host("a", played).host("b", played).run(|turmoil| async move {
            let (a, b) = (turmoil.net("a").unwrap(), turmoil.net("b").unwrap());
            let listener = b.listen(PORT).await.unwrap();
            assert_eq!(turmoil.host_at(listener.local_addr().unwrap()), Some("b"));
            let (dialled, accepted) = tokio::join!(a.connect("b", PORT), listener.accept());
            let (mut dialled, (mut accepted, peer)) = (dialled.unwrap(), accepted.unwrap());
            assert_eq!(turmoil.host_at(peer), Some("a"));
            dialled.write_all(b"last words").await.unwrap();
            let asked = turmoil.now();
            a.reset(dialled);
            let mut words = Vec::new();
            let error = accepted.read_to_end(&mut words).await.unwrap_err();
            assert_eq!((words.as_slice(), error.kind()), (&b"last words"[..], ErrorKind::ConnectionReset));
            assert_eq!(turmoil.now() - asked, ms(11));
        });
    run.unwrap();
}

#[test]
fn a_half_open_connection_is_silent_and_new_ones_work() {
    let run = broker_and_client().run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        ask(&turmoil, &mut stream, b"open").await;
        let silence = Course::of(Fault::HalfOpen { on: around("client") }, None);
        Injector::new(turmoil.clone()).run(silence, ignore).await.unwrap();
        stream.write_all(b"lost").await.unwrap();
        assert!(timeout(secs(60), stream.read_u8()).await.is_err(), "neither bytes nor an end");
        let mut new = dial(&turmoil).await;
        ask(&turmoil, &mut new, b"new").await;
        // The broker's end of the old connection is open still; a reset is seen even there.
        let reset = Course::of(Fault::Reset { on: around("broker") }, None);
        Injector::new(turmoil.clone()).run(reset, ignore).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
    run.unwrap();
}

#[test]
fn the_close_of_a_half_open_connection_does_not_reach_the_peer() {
    let run = Turmoil::builder(7).host("a", played).host("b", played).run(|turmoil| async move {
        let (a, b) = (turmoil.net("a").unwrap(), turmoil.net("b").unwrap());
        let listener = b.listen(PORT).await.unwrap();
        let (dialled, accepted) = tokio::join!(a.connect("b", PORT), listener.accept());
        let (dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap().0);
        let silence = Course::of(Fault::HalfOpen { on: Way::Everywhere }, None);
        Injector::new(turmoil.clone()).run(silence, ignore).await.unwrap();
        drop(dialled);
        assert!(timeout(secs(60), accepted.read_u8()).await.is_err());
    });
    run.unwrap();
}

#[test]
fn a_stalled_reader_makes_its_peer_wait() {
    let run = broker_and_client().run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        let stall = Course::of(Fault::StalledReader { host: "broker".to_owned() }, Some(secs(10)));
        let rest = Injector::new(turmoil.clone()).begin(stall, ignore).await.unwrap();
        let mut written = 0_usize;
        let full = async {
            loop {
                stream.write_all(&[0; 16 * 1024]).await.unwrap();
                written += 16 * 1024;
            }
        };
        assert!(timeout(secs(9), full).await.is_err(), "its buffers are full");
        rest.finish().await.unwrap();
        let mut answer = vec![0; 4096];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(turmoil.now() < secs(11));
    });
    run.unwrap();
}

#[test]
fn a_crash_is_silent_until_the_peer_speaks_to_the_restarted_host() {
    let run = broker_and_client().run(|turmoil| async move {
        let injector = Injector::new(turmoil.clone());
        let mut stream = dial(&turmoil).await;
        let rest = injector.begin(Course::of(crash("broker"), Some(secs(2))), ignore).await.unwrap();
        assert!(!turmoil.is_up("broker").unwrap());
        assert_eq!(turmoil.net("broker").err().map(|error| error.kind()), Some(ErrorKind::NotConnected));
        rest.finish().await.unwrap();
        assert!(turmoil.is_up("broker").unwrap());
        assert!(timeout(secs(60), stream.read_u8()).await.is_err(), "silence");
        stream.write_all(b"still there?").await.unwrap();
        let spoke = turmoil.now();
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(turmoil.now() - spoke, ms(ROUND_TRIP_MS));
        let mut new = dial(&turmoil).await;
        ask(&turmoil, &mut new, b"new").await;
    });
    run.unwrap();
}

#[test]
fn a_peer_that_speaks_to_a_crashed_host_is_reset_when_it_is_back() {
    // While the host is down, and just before: then the bytes are under way when it crashes.
    for speaks_after_the_crash in [true, false] {
        let run = broker_and_client().run(|turmoil| async move {
            let injector = Injector::new(turmoil.clone());
            let mut stream = dial(&turmoil).await;
            turmoil.sleep(secs(1)).await;
            if !speaks_after_the_crash {
                stream.write_all(b"anybody?").await.unwrap();
                turmoil.sleep(ms(5)).await;
            }
            let rest = injector.begin(Course::of(crash("broker"), Some(secs(2))), ignore).await.unwrap();
            if speaks_after_the_crash {
                stream.write_all(b"anybody?").await.unwrap();
            }
            assert!(timeout(ms(1_900), stream.read_u8()).await.is_err(), "silence");
            rest.finish().await.unwrap();
            let back = turmoil.now();
            assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!(turmoil.now() - back <= ms(1), "{:?}", turmoil.now() - back);
        });
        run.unwrap();
    }
}

#[test]
fn a_request_to_a_crashed_host_is_made_again() {
    let run = broker_and_client().run(|turmoil| async move {
        let injector = Injector::new(turmoil.clone());
        injector.run(Course::of(crash("broker"), None), ignore).await.unwrap();
        let net = turmoil.net("client").unwrap();
        let asked = turmoil.now();
        let error = net.connect("broker", PORT).await.unwrap_err();
        assert_eq!((error.kind(), turmoil.now() - asked), (ErrorKind::TimedOut, ms(127_001)));
        // Tries after 1, 3 and 7 s.
        let asked = turmoil.now();
        let back = async {
            turmoil.sleep(ms(3_500)).await;
            injector.start("broker").await.unwrap();
        };
        let (stream, ()) = tokio::join!(net.connect("broker", PORT), back);
        stream.unwrap();
        let took = turmoil.now() - asked;
        assert!((ms(7_010)..=ms(7_012)).contains(&took), "{took:?}");
    });
    run.unwrap();
}

#[test]
fn a_crash_of_a_host_that_is_down_is_refused_and_so_is_a_second_start() {
    let run = broker_and_client().run(|turmoil| async move {
        let injector = Injector::new(turmoil.clone());
        let again = || injector.run(Course::of(crash("broker"), None), ignore);
        again().await.unwrap();
        assert_eq!(again().await, Err(FaultError::Down("broker".to_owned())));
        injector.start("broker").await.unwrap();
        assert_eq!(injector.start("broker").await, Err(FaultError::AlreadyUp("broker".to_owned())));
        let unknown = injector.run(Course::of(crash("nobody"), None), ignore).await;
        assert_eq!(unknown, Err(FaultError::UnknownHost("nobody".to_owned())));
    });
    run.unwrap();
}

/// Its socket sends a FIN when the crash drops it.
async fn talker(context: HostContext) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    let (mut stream, _) = listener.accept().await?;
    stream.write_all(b"x").await?;
    std::future::pending().await
}

#[test]
fn nothing_that_a_host_does_when_it_crashes_reaches_its_peers() {
    let run = Turmoil::builder(7).host("broker", talker).host("client", played).run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        let course = Course::of(crash("broker"), None);
        Injector::new(turmoil.clone()).run(course, ignore).await.unwrap();
        assert!(timeout(secs(60), stream.read_u8()).await.is_err(), "no end and no reset");
    });
    run.unwrap();
}

#[test]
fn a_host_whose_main_task_returns_closes_its_connections_and_refuses_new_ones() {
    let once = |context: HostContext| async move {
        let listener = context.net().listen(PORT).await?;
        let (mut stream, _) = listener.accept().await?;
        // Held by another task, which ends with the host.
        let mut first = stream.read_u8().await?;
        first += 1;
        stream.write_u8(first).await?;
        tokio::task::spawn_local(async move {
            let _held = stream;
            std::future::pending::<()>().await;
        });
        tokio::time::sleep(secs(1)).await;
        Err(io::Error::other("gave up"))
    };
    let run = Turmoil::builder(7).host("broker", once).host("client", played).run(|turmoil| async move {
        let mut stream = dial(&turmoil).await;
        stream.write_u8(1).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), 2);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "an end");
        assert!((secs(1)..ms(1_050)).contains(&turmoil.now()), "{:?}", turmoil.now());
        assert!(!turmoil.is_up("broker").unwrap());
        assert_eq!(turmoil.failure("broker").unwrap().as_deref(), Some("gave up"));
        let refused = turmoil.net("client").unwrap().connect("broker", PORT).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let injector = Injector::new(turmoil.clone());
        injector.start("broker").await.unwrap();
        assert_eq!(turmoil.failure("broker").unwrap(), None);
        turmoil.sleep(ms(5)).await;
        let _new = dial(&turmoil).await;
    });
    run.unwrap();
}

#[test]
fn a_close_with_unread_bytes_resets_the_peer() {
    let run = broker_and_client().run(|turmoil| async move {
        for reads in [true, false] {
            let net = turmoil.net("client").unwrap();
            let listener = net.listen(0).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let broker = turmoil.net("broker").unwrap();
            let (dialled, accepted) = tokio::join!(broker.connect("client", port), listener.accept());
            let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap().0);
            dialled.write_all(b"read me").await.unwrap();
            turmoil.sleep(ms(100)).await;
            if reads {
                accepted.read_exact(&mut [0; 7]).await.unwrap();
            }
            drop(accepted);
            let end = dialled.read(&mut [0; 1]).await;
            match end {
                Ok(0) => assert!(reads, "an end"),
                Err(error) => assert!(!reads && error.kind() == ErrorKind::ConnectionReset, "{error}"),
                Ok(_) => panic!("nothing was sent"),
            }
        }
    });
    run.unwrap();
}

#[test]
fn a_half_closed_connection_still_carries_the_other_way() {
    let run = Turmoil::builder(7).host("a", played).host("b", played).run(|turmoil| async move {
        let (a, b) = (turmoil.net("a").unwrap(), turmoil.net("b").unwrap());
        let listener = b.listen(PORT).await.unwrap();
        let (dialled, accepted) = tokio::join!(a.connect("b", PORT), listener.accept());
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap().0);
        dialled.write_all(b"question").await.unwrap();
        dialled.shutdown().await.unwrap();
        let mut question = String::new();
        accepted.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        turmoil.sleep(secs(1)).await;
        accepted.write_all(b"answer").await.unwrap();
        drop(accepted);
        let mut answer = String::new();
        dialled.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    });
    run.unwrap();
}

#[test]
fn a_port_where_no_socket_listens_refuses_and_an_unknown_name_is_not_found() {
    let run = broker_and_client().run(|turmoil| async move {
        let net = turmoil.net("client").unwrap();
        let refused = net.connect("broker", PORT + 1).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(net.connect("nobody", PORT).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(turmoil.net("nobody").err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    });
    run.unwrap();
}

#[test]
fn many_connections_at_once_wait_to_be_accepted() {
    let run = broker_and_client().run(|turmoil| async move {
        let net = turmoil.net("client").unwrap();
        let mut dialling = tokio::task::JoinSet::new();
        for _ in 0..500 {
            let net = net.clone();
            dialling.spawn_local(async move { net.connect("broker", PORT).await });
        }
        let mut streams = Vec::new();
        while let Some(stream) = dialling.join_next().await {
            streams.push(stream.unwrap().unwrap());
        }
        assert_eq!(streams.len(), 500);
    });
    run.unwrap();
}

type Results = Rc<RefCell<Vec<Option<ErrorKind>>>>;

/// Each second lengthens a file by a byte, and changes its first byte.
async fn overwriting(context: HostContext, results: Results) -> io::Result<()> {
    let file = context.disk().open("a")?;
    file.write_at(0, b"abc")?;
    loop {
        tokio::time::sleep(secs(1)).await;
        let length = file.length()?;
        let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
        results.borrow_mut().push(kind(file.write_at(length - 1, b"xy")));
        results.borrow_mut().push(kind(file.write_at(0, b"z")));
    }
}

#[test]
fn a_full_disk_fails_writes_that_lengthen_a_file() {
    let results: Results = Rc::default();
    let seen = results.clone();
    let writer = move |context: HostContext| overwriting(context, seen.clone());
    let run = Turmoil::builder(7).host("broker", writer).run(|turmoil| async move {
        let full = Fault::FullDisk { host: "broker".to_owned() };
        let course = Course::from_iter([Step { fault: full, begins: ms(1_500), lasts: Some(secs(1)) }]);
        Injector::new(turmoil.clone()).run(course, ignore).await.unwrap();
        turmoil.sleep(secs(1)).await;
    });
    run.unwrap();
    let full = Some(ErrorKind::StorageFull);
    assert_eq!(*results.borrow(), [None, None, full, None, None, None]);
}
