//! Hosts, time, and failures of a run.

mod common;

use common::{PORT, ask, dial, echo, idle, ms, secs};
use mqttspec_ports::Net;
use mqttspec_world::{EventKind, HostContext, Keep, RunError, World, WorldError};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn an_answer_takes_the_latency_of_both_directions() {
    let outcome =
        World::builder(1).latency(ms(10)).host("broker", echo).host("client", idle).run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            assert_eq!(world.now(), ms(20), "a connection takes one round trip");
            world.one_way("broker", "client").unwrap().latency(ms(100));
            ask(&world, &mut stream, b"ping").await.unwrap()
        });
    assert_eq!(outcome.unwrap().output, ms(110));
}

#[test]
fn an_idle_year_costs_nothing() {
    let outcome = World::builder(1)
        .time_limit(secs(400 * 24 * 3600))
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move { world.sleep(secs(365 * 24 * 3600)).await })
        .unwrap();
    assert_eq!(outcome.trace.statistics.simulated, secs(365 * 24 * 3600));
    assert!(outcome.trace.statistics.polls < 10, "{:?}", outcome.trace.statistics);
}

#[test]
fn a_host_is_started_anew_after_a_crash() {
    let outcome = World::builder(1).host("broker", echo).host_down("late", echo).host("client", idle).run(
        |world| async move {
            assert!(!world.is_up("late").unwrap());
            assert_eq!(world.net("late").unwrap_err(), WorldError::Down("late".into()));
            world.start("late").unwrap();
            assert_eq!(world.start("late"), Err(WorldError::AlreadyUp("late".into())));
            dial(&world, "client", "late").await.unwrap();
            world.crash("late").unwrap();
            assert_eq!(world.crash("late"), Err(WorldError::Down("late".into())));
            assert!(!world.is_up("late").unwrap());
            world.start("late").unwrap();
            assert_eq!(world.incarnation("late"), Ok(2));
            dial(&world, "client", "late").await.unwrap();
            assert_eq!(world.crash("nobody"), Err(WorldError::UnknownHost("nobody".into())));
        },
    );
    outcome.unwrap();
}

#[test]
fn a_host_that_ends_by_itself_closes_its_connections_and_refuses_new_ones() {
    World::builder(1)
        .host("broker", |context| async move {
            let listener = context.net().listen(PORT).await?;
            let accepted = mqttspec_ports::Listener::accept(&listener).await?;
            context.shutdown_requested().await;
            drop(accepted);
            Err::<(), _>(std::io::Error::other("told to go"))
        })
        .host("client", idle)
        .run(|world| async move {
            let (net, mut stream) = dial(&world, "client", "broker").await.unwrap();
            world.sleep(secs(1)).await;
            world.shutdown("broker").unwrap();
            assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
            assert!(!world.is_up("broker").unwrap());
            let refused = net.connect("broker", PORT).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        })
        .map(|outcome| {
            let error = Some("told to go".into());
            let ended = EventKind::HostEnded { error };
            assert!(outcome.trace.events.iter().any(|event| event.kind == ended), "{}", outcome.trace);
        })
        .unwrap();
}

#[test]
fn a_host_that_kills_itself_is_down_a_moment_later() {
    World::builder(1)
        .host("broker", echo)
        .host("client", |context| async move {
            tokio::time::sleep(secs(1)).await;
            let _stream = context.net().connect("broker", PORT).await.unwrap();
            std::future::pending::<()>().await;
        })
        .run(|world| async move {
            world.sleep(secs(2)).await;
            world.kill("client").unwrap();
            world.sleep(secs(1)).await;
            assert!(world.connections().is_empty());
        })
        .unwrap();
}

async fn panics(_: HostContext) {
    tokio::time::sleep(ms(30)).await;
    panic!("out of ideas");
}

async fn spins(_: HostContext) {
    tokio::time::sleep(secs(3)).await;
    loop {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_panic_of_a_host_names_the_host() {
    let failure = World::builder(1).host("broker", panics).run(|_| std::future::pending::<()>()).unwrap_err();
    let expected =
        RunError::HostPanicked { host: "broker".into(), message: "out of ideas".into(), at: ms(30) };
    assert_eq!(failure.error, expected);
    assert!(failure.to_string().contains("HostStarted"), "{failure}");
}

#[cfg(tokio_unstable)]
#[test]
fn a_panic_of_a_task_that_nobody_joins_names_the_host() {
    let failure = World::builder(1)
        .host("broker", |_| async {
            tokio::task::spawn_local(async {
                tokio::time::sleep(ms(30)).await;
                panic!("unseen");
            });
            std::future::pending::<()>().await;
        })
        .run(|_| std::future::pending::<()>())
        .unwrap_err();
    assert!(
        matches!(&failure.error, RunError::HostPanicked { host, at, .. } if host == "broker" && *at == ms(30)),
        "{failure}"
    );
}

#[test]
fn a_task_that_lets_no_time_pass_is_found() {
    let failure = World::builder(1)
        .poll_limit(1_000)
        .host("calm", idle)
        .host("spinner", spins)
        .run(|_| std::future::pending::<()>())
        .unwrap_err();
    assert_eq!(failure.error, RunError::Spinning { host: "spinner".into(), polls: 1_000, at: secs(3) });
}

#[test]
fn a_director_that_lets_no_time_pass_is_found() {
    let failure = World::builder(1)
        .poll_limit(1_000)
        .run(|_| async {
            loop {
                tokio::task::yield_now().await;
            }
        })
        .map(|outcome: mqttspec_world::Outcome<()>| outcome.output)
        .unwrap_err();
    assert!(matches!(failure.error, RunError::Spinning { host, .. } if host == "director"));
}

#[test]
fn a_run_that_never_ends_is_ended() {
    let failure = World::builder(1)
        .time_limit(secs(60))
        .host("broker", echo)
        .run(|_| std::future::pending::<()>())
        .unwrap_err();
    assert_eq!(failure.error, RunError::TimeLimit { limit: secs(60) });

    let failure = World::builder(1)
        .event_limit(1_000)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
            loop {
                if ask(&world, &mut stream, b"again").await.is_err() {
                    return;
                }
            }
        })
        .unwrap_err();
    assert!(matches!(failure.error, RunError::EventLimit { limit: 1_000, .. }), "{failure}");
    assert!(failure.last_events(5).len() == 5);
}

#[test]
fn a_world_inside_a_world_is_refused() {
    World::builder(1)
        .run(|_| async {
            let inner = World::builder(2).run(|_| async {}).unwrap_err();
            assert_eq!(inner.error, RunError::Nested);
        })
        .unwrap();
    World::builder(3).run(|_| async {}).unwrap();
}

#[test]
fn a_name_is_given_once() {
    for name in ["", "localhost", "10.0.0.1", "broker"] {
        let failure = World::builder(1).host("broker", idle).host(name, idle).run(|_| async {}).unwrap_err();
        assert_eq!(failure.error, RunError::HostName(name.into()));
    }
}

#[test]
#[should_panic(expected = "the test's own words")]
fn a_panic_of_the_director_stays_a_panic() {
    let _ = World::builder(1).host("broker", echo).host("client", idle).run(|world| async move {
        let (_, stream) = dial(&world, "client", "broker").await.unwrap();
        let _open = stream;
        panic!("the test's own words");
    });
}

#[test]
fn what_outlives_the_run_is_told_that_it_is_over() {
    let outcome = World::builder(1)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (net, stream) = dial(&world, "client", "broker").await.unwrap();
            (world, net, stream)
        })
        .unwrap();
    let (world, _net, mut stream) = outcome.output;
    assert_eq!(world.crash("broker"), Err(WorldError::Over));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(stream.write_all(b"too late")).is_err());
    drop(stream);
    World::builder(2).run(|_| async {}).unwrap();
}

#[test]
fn a_history_can_be_kept_short_and_watched_whole() {
    let seen = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = seen.clone();
    let run = |keep, observer: Box<dyn FnMut(&mqttspec_world::Event)>| {
        World::builder(1)
            .keep(keep)
            .observe(observer)
            .host("broker", echo)
            .host("client", idle)
            .run(|world| async move {
                let (_, mut stream) = dial(&world, "client", "broker").await.unwrap();
                for _ in 0..10 {
                    ask(&world, &mut stream, b"ping").await.unwrap();
                }
            })
            .unwrap()
            .trace
    };
    let short = run(Keep::Last(3), Box::new(move |_| counted.set(counted.get() + 1)));
    let whole = run(Keep::All, Box::new(|_| {}));
    assert_eq!(short.events.len(), 3);
    assert_eq!(seen.get(), whole.events.len());
    assert_eq!(short.events, whole.events[whole.events.len() - 3..]);
    assert_eq!(short.hash, whole.hash);
    let nothing = run(Keep::Nothing, Box::new(|_| {}));
    assert_eq!((nothing.events.len(), nothing.statistics), (0, whole.statistics));
}

#[test]
fn the_director_sees_one_clock_with_the_hosts() {
    World::builder(1)
        .host("client", |context| async move {
            tokio::time::sleep(ms(1_500)).await;
            assert_eq!(context.now(), ms(1_500));
            context.note("now");
        })
        .run(|world| async move {
            world.sleep_until(secs(2)).await;
            assert_eq!(world.now(), secs(2));
            world.sleep_until(secs(1)).await;
            assert_eq!(world.now(), secs(2));
        })
        .map(|outcome| {
            let noted =
                outcome.trace.events.iter().find(|e| matches!(&e.kind, EventKind::Note { .. })).unwrap();
            assert_eq!((noted.at, noted.incarnation), (Duration::from_millis(1_500), 1));
        })
        .unwrap();
}

#[test]
fn streams_can_be_sent_and_work_on_the_thread_of_their_world_only() {
    fn sendable<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    World::builder(1)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (net, mut stream) = dial(&world, "client", "broker").await.unwrap();
            let connecting = sendable(net.clone());
            // The type that a connector of a multi-threaded client must return.
            let boxed: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async move { connecting.connect("broker", PORT).await });
            drop(sendable(boxed.await.unwrap()));
            ask(&world, &mut stream, b"ping").await.unwrap();
            #[expect(clippy::disallowed_methods, reason = "this test misuses the stream on purpose")]
            let elsewhere = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(stream.write_all(b"x")).unwrap_err().kind()
            });
            assert_eq!(elsewhere.join().unwrap(), ErrorKind::NotConnected);
        })
        .unwrap();
}
