//! Stuck runs: how they are detected, and the messages about them.

mod common;

use common::{dial, echo, idle, ms, secs};
use mqttspec_world::{HostContext, Keep, Probability, RunError, Swarm, World};
use std::process::Command;
use std::time::Duration;

const CHILD: &str = "MQTTSPEC_WORLD_STUCK";

async fn never_yields(context: HostContext) {
    tokio::time::sleep(secs(3)).await;
    context.note("about to spin");
    loop {
        std::hint::spin_loop();
    }
}

/// Runs in a separate process, which it aborts.
#[expect(clippy::disallowed_methods, reason = "a task that belongs to no host is tested")]
fn spin(who: &str) {
    let mut swarm = Swarm::new(7);
    swarm.number("clients", 2..=2);
    let world = World::builder(7).swarm(&swarm).watchdog(ms(300)).host("broker", echo);
    let world = match who {
        "host" => world.host("spinner", never_yields),
        "task" => world.host("spinner", |context: HostContext| async move {
            tokio::time::sleep(secs(3)).await;
            context.note("about to spin");
            tokio::spawn(async {
                loop {
                    std::hint::spin_loop();
                }
            });
            std::future::pending::<()>().await;
        }),
        _ => world,
    };
    let _ = world.host("client", idle).run(|world| async move {
        let _open = dial(&world, "client", "broker").await.expect("the broker listens");
        world.sleep_until(secs(5)).await;
        world.note("the director spins");
        loop {
            std::hint::spin_loop();
        }
    });
}

#[test]
fn a_task_that_never_yields_is_named_with_the_last_events() {
    if let Ok(who) = std::env::var(CHILD) {
        return spin(&who);
    }
    for (who, name, at, noted) in [
        ("host", "\"spinner\"", "3s", "about to spin"),
        ("task", "a task of tokio::spawn", "3s", "about to spin"),
        ("director", "\"director\"", "5s", "the director spins"),
    ] {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "a_task_that_never_yields_is_named_with_the_last_events", "--nocapture"])
            .env(CHILD, who)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(!child.status.success(), "{said}");
        for part in [
            name,
            &format!("at {at} of simulated time"),
            "seed 7 with clients=2",
            noted,
            "opens a connection",
        ] {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
    }
}

async fn ticks(context: HostContext) {
    loop {
        tokio::time::sleep(ms(1)).await;
        context.note("again");
    }
}

#[test]
fn a_run_that_takes_too_much_real_time_ends() {
    let failure = World::builder(1)
        .keep(Keep::Last(3))
        .time_limit(secs(1 << 32))
        .event_limit(u64::MAX)
        .real_time_limit(ms(200))
        .host("ticker", ticks)
        .run(|_| std::future::pending::<()>())
        .expect_err("the director never returns");
    let RunError::RealTimeLimit { limit, at, busiest } = &failure.error else {
        panic!("{failure}");
    };
    assert!(*limit == ms(200) && *at > ms(1) && busiest == "ticker", "{failure}");
    assert_eq!(failure.last_events(10).len(), 3);
}

#[test]
fn hosts_that_answer_each_other_for_ever_at_one_instant_are_found() {
    let failure = World::builder(1)
        .latency(Duration::ZERO)
        .poll_limit(1_000)
        .host("broker", echo)
        .host("client", idle)
        .run(|world| async move {
            let (_, mut stream) = dial(&world, "client", "broker").await.expect("the broker listens");
            while common::ask(&world, &mut stream, b"again").await.is_ok() {}
        })
        .expect_err("no time passes");
    assert!(
        matches!(&failure.error, RunError::Spinning { at, polls: 1_000, .. } if at.is_zero()),
        "{failure}"
    );
    assert!(failure.to_string().contains("receives 5 bytes"), "{failure}");
}

#[test]
fn a_failure_names_the_options_of_the_run() {
    let mut swarm = Swarm::new(5);
    swarm.chance("lossy", Probability::ALWAYS);
    let failure = World::builder(5)
        .swarm(&swarm)
        .time_limit(secs(1))
        .host("client", idle)
        .run(|_| std::future::pending::<()>())
        .expect_err("the director never ends");
    assert!(failure.to_string().contains("seed 5 with lossy=true"), "{failure}");
    assert!(failure.trace.to_string().contains("options: lossy=true"), "{}", failure.trace);
}
