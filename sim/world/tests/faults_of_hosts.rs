//! One test per action of a peer or its machine: what the application at the other end sees, and
//! when.

mod common;

use common::{Log, PORT, ask, dial, echo, idle, line, log_reads, ms, secs, sink, watch};
use mqttspec_ports::{Listener, Net};
use mqttspec_world::{EventKind, World};
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn a_request_that_nobody_answers_times_out() {
    World::builder(1)
        .host_down("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let error = dial(&world, "client", "broker").await.unwrap_err();
            assert_eq!((error.kind(), world.now()), (ErrorKind::TimedOut, secs(127)));
            assert!(world.connections().is_empty());
            // Retried after 1 s, 3 s and 7 s; the machine is up from the third second on.
            let begun = world.now();
            let late = world.clone();
            tokio::task::spawn_local(async move {
                late.sleep(ms(2_500)).await;
                late.start("broker").unwrap();
            });
            dial(&world, "client", "broker").await.unwrap();
            assert_eq!(world.now() - begun, ms(3_002));
        })
        .unwrap();
}

#[test]
fn a_request_that_its_host_gave_up_is_not_sent_again() {
    World::builder(1)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            world.everywhere().partition();
            let attempt = tokio::time::timeout(secs(5), dial(&world, "client", "broker")).await;
            assert!(attempt.is_err());
            world.everywhere().heal();
            world.sleep(secs(300)).await;
            assert!(world.connections().is_empty());
        })
        .map(|outcome| {
            let established = outcome.trace.events.iter().any(|e| e.kind == EventKind::ConnectionEstablished);
            assert!(!established, "{}", outcome.trace);
        })
        .unwrap();
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", idle)
        .host("client", idle)
        .run(|world| async move {
            let error = dial(&world, "client", "broker").await.unwrap_err();
            assert_eq!((error.kind(), world.now()), (ErrorKind::ConnectionRefused, ms(20)));
            let unknown = world.net("client").unwrap().connect("nobody", PORT).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::NotFound);
        })
        .unwrap();
}

#[test]
fn a_reset_by_the_application_reaches_the_peer_after_the_latency() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        stream.write_all(b"last words").await.unwrap();
        world.sleep(ms(100)).await;
        world.net("client").unwrap().reset(stream);
        world.sleep(secs(1)).await;
        assert!(world.connections().is_empty());
    });
    assert_eq!(seen, [line(ms(1_010), "last words"), line(ms(1_110), "ConnectionReset")]);
}

#[test]
fn a_close_reaches_the_peer_behind_the_last_bytes() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        stream.write_all(b"last words").await.unwrap();
        drop(stream);
        world.sleep(secs(1)).await;
        assert!(world.connections().is_empty());
    });
    assert_eq!(seen, [line(ms(1_010), "last words"), line(ms(1_010), "end")]);
}

#[test]
fn a_half_closed_connection_still_carries_the_other_way() {
    World::builder(1)
        .host("broker", |context| async move {
            let listener = context.net().listen(PORT).await?;
            let (mut stream, _) = listener.accept().await?;
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await?;
            stream.write_all(&question).await?;
            io::Result::Ok(())
        })
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            stream.write_all(b"all of it").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "all of it");
        })
        .unwrap();
}

#[test]
fn a_crash_is_silent_until_the_peer_speaks_to_the_restarted_machine() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.sleep_until(secs(1)).await;
            world.crash("broker").unwrap();
            let silent = tokio::time::timeout(secs(600), stream.read(&mut [0; 8])).await;
            assert!(silent.is_err(), "an idle peer notices nothing");
            world.start("broker").unwrap();
            let silent = tokio::time::timeout(secs(600), stream.read(&mut [0; 8])).await;
            assert!(silent.is_err(), "an idle peer does not notice the start either");
            let spoke = world.now();
            stream.write_all(b"ping").await.unwrap();
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!((error.kind(), world.now() - spoke), (ErrorKind::ConnectionReset, ms(20)));
            world.sleep(secs(1)).await;
            assert!(world.connections().is_empty());
        })
        .unwrap();
}

#[test]
fn a_peer_that_speaks_to_a_dead_machine_is_reset_when_it_is_back() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            // The handshake is complete at both ends.
            world.sleep(ms(50)).await;
            world.crash("broker").unwrap();
            world.sleep_until(secs(1)).await;
            stream.write_all(b"ping").await.unwrap();
            world.sleep(secs(2)).await;
            world.start("broker").unwrap();
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            // Retried 0.2, 0.6, 1.4 and 3.0 s after it was sent.
            assert_eq!((error.kind(), world.now()), (ErrorKind::ConnectionReset, ms(4_020)));
        })
        .unwrap();
}

#[test]
fn nothing_leaves_a_host_after_its_crash() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        stream.write_all(b"left before;").await.unwrap();
        world.sleep(ms(5)).await;
        world.one_way("client", "broker").unwrap().partition();
        stream.write_all(b"lost, to be sent again").await.unwrap();
        world.sleep(ms(1)).await;
        world.one_way("client", "broker").unwrap().heal();
        world.crash("client").unwrap();
        world.sleep(secs(1_000)).await;
        drop(stream);
        world.sleep(secs(1_000)).await;
    });
    assert!(seen.len() <= 1, "expected no end, no reset and no retry: {seen:?}");
}

#[test]
fn a_killed_process_leaves_a_machine_that_closes_its_sockets() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (net, mut stream) = dial(&world, "client", "broker").await.unwrap();
            ask(&world, &mut stream, b"x").await.unwrap();
            world.sleep_until(secs(1)).await;
            world.kill("broker").unwrap();
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
            assert_eq!(world.now(), ms(1_010));
            assert_eq!(net.connect("broker", PORT).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        })
        .unwrap();
}

#[test]
fn a_reader_that_stalls_makes_its_peer_wait() {
    let log = Log::default();
    let at_broker = log.clone();
    World::builder(1)
        .host("broker", move |context| sink(context, at_broker.clone()))
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.stall_reading("broker").unwrap();
            let all = vec![b'x'; 1_000_000];
            let sent = tokio::time::timeout(secs(3_600), stream.write_all(&all)).await;
            assert!(sent.is_err(), "two buffers of 64 KiB do not hold a million bytes");
            assert_eq!(log.lines().len(), 1, "the connection is accepted, and nothing is read");
            world.resume_reading("broker").unwrap();
            world.sleep(secs(5)).await;
            let read: usize = log.lines()[1..].iter().map(|(_, bytes)| bytes.len()).sum();
            assert!((128_000..=132_000).contains(&read), "{read}");
            stream.write_all(b"and on").await.unwrap();
            world.sleep(secs(5)).await;
            assert!(log.last().1.ends_with("and on"));
        })
        .unwrap();
}

#[test]
fn a_reader_of_small_pieces_lets_a_full_window_open_again() {
    let outcome = World::builder(1)
        .host("broker", |context| async move {
            let listener = context.net().listen(PORT).await?;
            let (mut stream, _) = listener.accept().await?;
            tokio::time::sleep(secs(10)).await;
            let mut read = 0;
            let mut piece = [0; 100];
            while read < 300_000 {
                read += stream.read(&mut piece).await?;
            }
            context.note("read all");
            io::Result::Ok(())
        })
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            stream.write_all(&vec![b'x'; 300_000]).await.unwrap();
            world.sleep(secs(30)).await;
        })
        .unwrap();
    let noted = outcome.trace.events.iter().any(|e| e.kind == EventKind::Note { text: "read all".into() });
    assert!(noted, "{}", outcome.trace);
}

#[test]
fn a_connection_of_a_host_to_itself_needs_no_network() {
    World::builder(1)
        .host("broker", echo)
        .run(|world| async move {
            world.everywhere().partition();
            for name in ["broker", "localhost"] {
                let mut stream = world.net("broker").unwrap().connect(name, PORT).await.unwrap();
                assert_eq!(ask(&world, &mut stream, b"me").await.unwrap(), Duration::ZERO);
            }
            world.crash("broker").unwrap();
        })
        .unwrap();
}

#[test]
fn both_ends_of_a_connection_log_what_they_see() {
    let log = Log::default();
    let at_client = log.clone();
    World::builder(1)
        .host("broker", echo)
        .host("client", move |context| {
            let log = at_client.clone();
            async move {
                let mut stream = context.net().connect("broker", PORT).await?;
                stream.write_all(b"hello").await?;
                log_reads(&context, stream, &log).await;
                io::Result::Ok(())
            }
        })
        .run(|world| async move {
            world.sleep(secs(1)).await;
            world.kill("broker").unwrap();
            world.sleep(secs(1)).await;
        })
        .unwrap();
    assert_eq!(log.lines(), [line(ms(4), "hello"), line(ms(1_001), "end")]);
}

#[test]
fn a_close_with_unread_bytes_resets_the_peer() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", |context| async move {
            let listener = context.net().listen(PORT).await?;
            let (_unread, _) = listener.accept().await?;
            tokio::time::sleep(secs(1)).await;
            io::Result::Ok(())
        })
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            stream.write_all(b"never read").await.unwrap();
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!((error.kind(), world.now()), (ErrorKind::ConnectionReset, ms(1_040)));
        })
        .unwrap();
}

#[test]
fn what_arrived_before_a_reset_can_still_be_read() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            world.sleep(secs(1)).await;
            world.between("client", "broker").unwrap().reset();
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 4);
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        })
        .unwrap();
}

#[test]
fn a_write_to_a_peer_that_has_closed_is_answered_with_a_reset() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", |context| async move {
            let listener = context.net().listen(PORT).await?;
            drop(listener.accept().await?);
            std::future::pending::<()>().await;
            io::Result::Ok(())
        })
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
            stream.write_all(b"too late").await.unwrap();
            world.sleep(ms(21)).await;
            assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert!(world.connections().is_empty());
        })
        .unwrap();
}

#[test]
fn a_request_to_a_full_backlog_is_made_again() {
    World::builder(1)
        .host("broker", |context| async move {
            let listener = context.net().listen(PORT).await?;
            tokio::time::sleep(ms(2_500)).await;
            let mut accepted = Vec::new();
            loop {
                accepted.push(listener.accept().await?);
            }
            #[expect(unreachable_code, reason = "gives the task its return type")]
            io::Result::Ok(())
        })
        .host("client", idle)
        .run(|world| async move {
            let mut open = Vec::new();
            for _ in 0..1_024 {
                open.push(dial(&world, "client", "broker").await.unwrap());
            }
            world.sleep_until(ms(2_400)).await;
            // The last handshake completes and fills the backlog. The next request is dropped until
            // the broker accepts; it is retried after 1 s.
            open.push(dial(&world, "client", "broker").await.unwrap());
            assert_eq!(world.now(), ms(3_402));
        })
        .unwrap();
}
