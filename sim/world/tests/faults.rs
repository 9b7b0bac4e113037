//! One test a fault: what the application at each end sees, and when.

mod common;

use common::{Log, PORT, ask, dial, echo, idle, log_reads, ms, secs, sink};
use mqttspec_world::{EventKind, Net, Probability, World, WorldStream};
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A sender at `client`, driven by the director, and what arrives at `broker`.
fn watch<F, Fut>(latency: Duration, director: F) -> Vec<(Duration, String)>
where
    F: FnOnce(World, WorldStream, Log) -> Fut,
    Fut: Future<Output = ()>,
{
    let log = Log::default();
    let at_broker = log.clone();
    World::builder(7)
        .latency(latency)
        .host("broker", move |context| sink(context, at_broker.clone()))
        .host("client", idle)
        .run(|world| async move {
            let (_, stream) = dial(&world, "client", "broker").await.expect("the broker listens");
            world.sleep_until(secs(1)).await;
            director(world, stream, log.clone()).await;
            log.lines()
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
        .output
        .split_off(1)
}

fn line(at: Duration, what: &str) -> (Duration, String) {
    (at, what.to_owned())
}

#[test]
fn latency_delays_bytes_and_keeps_their_order() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        stream.write_all(b"one").await.unwrap();
        world.sleep(ms(1)).await;
        world.one_way("client", "broker").unwrap().latency(ms(500));
        stream.write_all(b"two").await.unwrap();
        world.sleep(ms(1)).await;
        world.one_way("client", "broker").unwrap().latency(ms(1));
        stream.write_all(b"three").await.unwrap();
        world.sleep(secs(2)).await;
    });
    assert_eq!(seen[0], line(ms(1_010), "one"));
    assert_eq!(seen[1].0, ms(1_501), "{seen:?}");
    let rest: String = seen[1..].iter().map(|(_, bytes)| bytes.as_str()).collect();
    assert_eq!(rest, "twothree", "the third does not overtake the second");
    assert_eq!(seen.last().unwrap().0, ms(1_501));
}

#[test]
fn jitter_never_reorders_a_connection() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        world.everywhere().latency(ms(1)..=ms(300));
        for n in 0..50 {
            stream.write_all(format!("{n};").as_bytes()).await.unwrap();
            world.sleep(ms(7)).await;
        }
        world.sleep(secs(2)).await;
    });
    let all: String = seen.iter().map(|(_, bytes)| bytes.as_str()).collect();
    let expected: String = (0..50).map(|n| format!("{n};")).collect();
    assert_eq!(all, expected);
    assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0));
}

#[test]
fn a_partition_delays_until_the_sender_tries_after_it_healed() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        world.between("client", "broker").unwrap().partition();
        stream.write_all(b"late").await.unwrap();
        world.sleep(secs(5)).await;
        world.everywhere().heal();
        world.sleep(secs(5)).await;
    });
    // Sent at 1 s; tried after 0.2, 0.6, 1.4, 3.0 and 6.2 s, the last of which is after 5 s.
    assert_eq!(seen, [line(ms(7_210), "late")]);
}

#[test]
fn what_is_under_way_when_the_link_is_cut_is_lost_and_sent_again() {
    let seen = watch(ms(100), |world, mut stream, _| async move {
        stream.write_all(b"late").await.unwrap();
        world.sleep(ms(50)).await;
        world.between("client", "broker").unwrap().partition();
        world.sleep(ms(100)).await;
        world.everywhere().heal();
        world.sleep(secs(5)).await;
    });
    assert_eq!(seen, [line(ms(1_300), "late")]);
}

#[test]
fn a_partition_before_the_hand_shake_has_ended_loses_no_bytes() {
    World::builder(1)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.everywhere().partition();
            stream.write_all(b"ping").await.unwrap();
            world.sleep(secs(60)).await;
            world.everywhere().heal();
            stream.read_exact(&mut [0; 4]).await.unwrap();
        })
        .unwrap();
}

#[test]
fn a_one_way_partition_leaves_the_other_direction_alone() {
    let outcome = World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.one_way("broker", "client").unwrap().partition();
            let begun = world.now();
            stream.write_all(b"ping").await.unwrap();
            world.sleep(secs(2)).await;
            world.everywhere().heal();
            stream.read_exact(&mut [0; 4]).await.unwrap();
            world.now() - begun
        })
        .unwrap();
    // The question arrived at once; the answer was tried 0.2, 0.6, 1.4 and 3.0 s after it was sent.
    let asked = outcome.trace.events.iter().find(|e| matches!(e.kind, EventKind::Delivered { .. })).unwrap();
    assert_eq!(asked.at, ms(20 + 10));
    assert_eq!(outcome.output, ms(10 + 3_000 + 10));
}

#[test]
fn a_partition_of_one_host_leaves_the_others_alone() {
    World::builder(1)
        .host("broker", echo)
        .host("near", idle)
        .host("far", idle)
        .run(|world| async move {
            let (_, mut near) = dial(&world, "near", "broker").await.unwrap();
            let (_, mut far) = dial(&world, "far", "broker").await.unwrap();
            world.around("far").unwrap().partition();
            assert_eq!(ask(&world, &mut near, b"ping").await.unwrap(), ms(2));
            far.write_all(b"ping").await.unwrap();
            let waited = tokio::time::timeout(secs(60), far.read(&mut [0; 4])).await;
            assert!(waited.is_err());
        })
        .unwrap();
}

#[test]
fn data_that_is_never_acknowledged_times_the_connection_out() {
    let (at, error) = World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.sleep_until(secs(1)).await;
            world.between("client", "broker").unwrap().partition();
            stream.write_all(b"ping").await.unwrap();
            let error = stream.read(&mut [0; 4]).await.unwrap_err();
            (world.now(), error.kind())
        })
        .unwrap()
        .output;
    assert_eq!((at, error), (secs(1 + 924), ErrorKind::TimedOut));
}

#[test]
fn a_one_way_partition_of_acknowledgements_times_the_sender_out() {
    let log = Log::default();
    let at_broker = log.clone();
    let kind = World::builder(1)
        .host("broker", move |context| sink(context, at_broker.clone()))
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.one_way("broker", "client").unwrap().partition();
            stream.write_all(b"heard").await.unwrap();
            stream.read(&mut [0; 4]).await.unwrap_err().kind()
        })
        .unwrap()
        .output;
    assert_eq!(kind, ErrorKind::TimedOut);
    assert_eq!(log.last().1, "heard");
}

#[test]
fn a_request_that_nobody_answers_times_out() {
    World::builder(1)
        .host_down("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let error = dial(&world, "client", "broker").await.unwrap_err();
            assert_eq!((error.kind(), world.now()), (ErrorKind::TimedOut, secs(127)));
            assert!(world.connections().is_empty());
            // Tried again after 1 s, 3 s and 7 s; the machine is there from the third second on.
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
fn a_refusing_link_refuses_new_connections_only() {
    World::builder(1)
        .latency(ms(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.one_way("client", "broker").unwrap().refuse();
            let begun = world.now();
            let error = dial(&world, "client", "broker").await.unwrap_err();
            assert_eq!((error.kind(), world.now() - begun), (ErrorKind::ConnectionRefused, ms(20)));
            ask(&world, &mut stream, b"still here").await.unwrap();
            world.everywhere().heal();
            dial(&world, "client", "broker").await.unwrap();
        })
        .unwrap();
}

#[test]
fn lost_bytes_arrive_late_and_in_order() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        world.one_way("client", "broker").unwrap().loss(Probability::percent(30));
        for n in 0..100 {
            stream.write_all(format!("{n};").as_bytes()).await.unwrap();
            world.sleep(ms(50)).await;
        }
        world.sleep(secs(300)).await;
    });
    let all: String = seen.iter().map(|(_, bytes)| bytes.as_str()).collect();
    assert_eq!(all, (0..100).map(|n| format!("{n};")).collect::<String>());
    assert!(seen.last().unwrap().0 > ms(6_000 + 10), "something was late: {seen:?}");
}

#[test]
fn a_held_link_loses_nothing_and_lets_go_at_once() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        stream.write_all(b"under way;").await.unwrap();
        world.sleep(ms(5)).await;
        world.between("client", "broker").unwrap().hold();
        stream.write_all(b"first;").await.unwrap();
        world.sleep(ms(500)).await;
        stream.write_all(b"second;").await.unwrap();
        world.sleep(ms(500)).await;
        world.between("client", "broker").unwrap().release();
        world.sleep(secs(1)).await;
    });
    assert!(seen.iter().all(|(at, _)| *at == ms(1_000 + 5 + 1_000 + 10)), "{seen:?}");
    let all: String = seen.iter().map(|(_, bytes)| bytes.as_str()).collect();
    assert_eq!(all, "under way;first;second;");
}

#[test]
fn a_reset_is_seen_at_both_ends_at_once() {
    let seen = watch(ms(10), |world, mut stream, log| async move {
        stream.write_all(b"under way").await.unwrap();
        world.sleep(ms(5)).await;
        world.between("client", "broker").unwrap().reset();
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!((error.kind(), world.now()), (ErrorKind::ConnectionReset, ms(1_005)));
        assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        world.sleep(secs(1)).await;
        assert_eq!(log.last(), line(ms(1_005), "ConnectionReset"));
        assert!(world.connections().is_empty());
    });
    assert_eq!(seen.len(), 1, "what was under way is lost: {seen:?}");
}

#[test]
fn one_connection_of_several_is_reset() {
    World::builder(1)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut first) = dial(&world, "client", "broker").await.unwrap();
            let (_, mut second) = dial(&world, "client", "broker").await.unwrap();
            world.reset_connection(first.connection().unwrap()).unwrap();
            assert!(ask(&world, &mut first, b"x").await.is_err());
            ask(&world, &mut second, b"x").await.unwrap();
            assert!(world.reset_connection(first.connection().unwrap()).is_err());
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
            let (mut stream, _) = mqttspec_world::Listener::accept(&listener).await?;
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
            assert!(silent.is_err(), "nor does it notice the start");
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
            // The hand-shake has ended at both ends.
            world.sleep(ms(50)).await;
            world.crash("broker").unwrap();
            world.sleep_until(secs(1)).await;
            stream.write_all(b"ping").await.unwrap();
            world.sleep(secs(2)).await;
            world.start("broker").unwrap();
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            // Tried 0.2, 0.6, 1.4 and 3.0 s after it was sent.
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
    assert!(seen.len() <= 1, "no end, no reset, no second try: {seen:?}");
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
fn a_blackholed_connection_is_silent_while_new_ones_work() {
    World::builder(1)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.between("client", "broker").unwrap().blackhole();
            let begun = world.now();
            stream.write_all(b"ping").await.unwrap();
            let (_, mut second) = dial(&world, "client", "broker").await.unwrap();
            ask(&world, &mut second, b"ping").await.unwrap();
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!((error.kind(), world.now() - begun), (ErrorKind::TimedOut, secs(924)));
        })
        .unwrap();
}

#[test]
fn bandwidth_spreads_bytes_over_time() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        world.one_way("client", "broker").unwrap().bandwidth(Some(10_000));
        stream.write_all(&[b'x'; 20_000]).await.unwrap();
        world.sleep(secs(10)).await;
    });
    let bytes: usize = seen.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(bytes, 20_000);
    // 14 segments of at most 1,460 bytes with 40 bytes of headers each.
    let takes = seen.last().unwrap().0 - ms(1_010);
    assert_eq!(takes, ms((20_000 + 14 * 40) / 10));
    let first_second: usize =
        seen.iter().filter(|(at, _)| *at <= ms(2_010)).map(|(_, bytes)| bytes.len()).sum();
    assert!((8_000..=10_000).contains(&first_second), "{first_second}");
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
            assert!(sent.is_err(), "two buffers of 64 KiB do not take a million bytes");
            assert_eq!(log.lines().len(), 1, "accepted, and nothing read");
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
            let (mut stream, _) = mqttspec_world::Listener::accept(&listener).await?;
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

/// The table of the docs names every test of this file, once, and nothing else.
#[test]
fn the_table_of_faults_is_complete() {
    let table: Vec<&str> = include_str!("../FAULTS.md")
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix("` |")?.rsplit('`').next())
        .collect();
    let tests: Vec<&str> = include_str!("faults.rs")
        .split("#[test]\nfn ")
        .skip(1)
        .filter_map(|test| test.split('(').next())
        .filter(|name| *name != "the_table_of_faults_is_complete")
        .collect();
    let sorted = |mut names: Vec<&'static str>| {
        names.sort_unstable();
        names
    };
    assert!(tests.len() > 20);
    assert_eq!(sorted(table), sorted(tests));
    for named in include_str!("../FAULTS.md").rsplit("Disks (").next().unwrap_or_default().split('`') {
        let is_test = named.contains('_') && named.chars().all(|c| c == '_' || c.is_ascii_lowercase());
        assert!(!is_test || include_str!("disk.rs").contains(&format!("fn {named}(")), "{named}");
    }
}
