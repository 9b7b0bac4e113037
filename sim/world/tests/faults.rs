//! One test per network fault: what the application at each end sees, and when.

mod common;

use common::{Log, ask, dial, echo, idle, line, ms, secs, sink, watch};
use mqttspec_world::{EventKind, Latency, Probability, World};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
    // Sent at 1 s; retried after 0.2, 0.6, 1.4, 3.0 and 6.2 s, of which only the last is after 5 s.
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
fn what_overtakes_a_lost_segment_waits_for_it() {
    let seen = watch(ms(100), |world, mut stream, _| async move {
        stream.write_all(b"one;").await.unwrap();
        world.sleep(ms(50)).await;
        stream.write_all(b"two;").await.unwrap();
        world.sleep(ms(40)).await;
        world.between("client", "broker").unwrap().partition();
        world.sleep(ms(30)).await;
        world.everywhere().heal();
        world.sleep(secs(5)).await;
    });
    // The first would have arrived during the partition; the second arrives 50 ms later, and the
    // application does not see it yet.
    assert_eq!(seen, [line(ms(1_300), "one;two;")]);
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
    // The question arrived at once; the answer was retried 0.2, 0.6, 1.4 and 3.0 s after it was
    // sent.
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
    assert!(seen.last().unwrap().0 > ms(6_000 + 10), "nothing was late: {seen:?}");
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
    assert_eq!(seen.len(), 1, "bytes in transit must be lost: {seen:?}");
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
    // 14 segments of at most 1,460 bytes, each with 40 bytes of headers.
    let takes = seen.last().unwrap().0 - ms(1_010);
    assert_eq!(takes, ms((20_000 + 14 * 40) / 10));
    let first_second: usize =
        seen.iter().filter(|(at, _)| *at <= ms(2_010)).map(|(_, bytes)| bytes.len()).sum();
    assert!((8_000..=10_000).contains(&first_second), "{first_second}");
}

#[test]
fn a_latency_by_quantiles_is_drawn_for_each_segment() {
    let seen = watch(ms(10), |world, mut stream, _| async move {
        world.everywhere().latency(Latency::Quantiles([ms(10), ms(20), ms(50), ms(200), ms(900)]));
        for _ in 0..200 {
            stream.write_all(b".").await.unwrap();
            world.sleep(secs(1)).await;
        }
    });
    let mut took: Vec<Duration> =
        seen.iter().map(|(at, _)| Duration::from_millis(at.subsec_millis().into())).collect();
    took.sort();
    assert_eq!(took.len(), 200);
    assert!(took[0] >= ms(10) && (ms(15)..=ms(30)).contains(&took[100]) && took[199] > ms(50), "{took:?}");
}

#[test]
fn a_patience_of_ones_own_gives_up_earlier() {
    World::builder(1)
        .patience(secs(3), secs(10))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.everywhere().partition();
            let begun = world.now();
            stream.write_all(b"ping").await.unwrap();
            let connect = dial(&world, "client", "broker").await.unwrap_err();
            assert_eq!((connect.kind(), world.now() - begun), (ErrorKind::TimedOut, secs(3)));
            let read = stream.read(&mut [0; 4]).await.unwrap_err();
            assert_eq!((read.kind(), world.now() - begun), (ErrorKind::TimedOut, secs(10)));
        })
        .unwrap();
}
