//! The faults that are refused, and for each what stock turmoil would do in place of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{PORT, around, broker_and_client, ignore, ms, secs};
use mqttspec_faults::{Course, Fault, FaultError, Inject as _, Injector, Probability, Unsupported, Way};
use mqttspec_turmoil::supports;
use std::cell::Cell;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};
use turmoil::net::{TcpListener, TcpStream};

fn one_way() -> Way {
    Way::OneWay { from: "client".to_owned(), to: "broker".to_owned() }
}

fn to() -> Way {
    Way::To("client".to_owned())
}

#[test]
fn a_fault_that_turmoil_cannot_model_is_refused_with_the_reason() {
    let partition = "turmoil drops what is sent into a one-way partition and does not send it again";
    let latency = "a link of turmoil has one latency for both directions";
    let loss = "turmoil does not send a lost segment again, so the connection would stop for good";
    let cases = [
        (Fault::Partition { on: one_way() }, partition),
        (Fault::Partition { on: to() }, partition),
        (Fault::Latency { on: one_way(), latency: ms(5)..=ms(5) }, latency),
        (Fault::Latency { on: to(), latency: ms(5)..=ms(5) }, latency),
        (Fault::AddedLatency { on: one_way(), added: ms(5) }, latency),
        (Fault::AddedLatency { on: to(), added: ms(5) }, latency),
        (Fault::Loss { on: around("client"), probability: Probability::percent(1) }, loss),
        (
            Fault::Bandwidth { on: Way::Everywhere, bytes_per_second: 1_000 },
            "a link of turmoil has no bandwidth",
        ),
    ];
    for (fault, reason) in cases {
        let unsupported = Unsupported { fault: fault.clone(), reason };
        assert_eq!(supports(&fault), Err(unsupported.clone()));
        let run = broker_and_client().run(|turmoil| async move {
            assert_eq!(turmoil.supports(&fault), Err(unsupported.clone()));
            let refused = Injector::new(turmoil).run(Course::of(fault, None), ignore).await;
            assert_eq!(refused, Err(FaultError::Unsupported(unsupported)));
        });
        run.unwrap();
    }
}

#[test]
fn one_direction_of_a_partition_cannot_be_healed() {
    let run = broker_and_client().run(|turmoil| async move {
        let injector = Injector::new(turmoil);
        injector.run(Course::of(Fault::Partition { on: Way::Everywhere }, None), ignore).await.unwrap();
        assert!(matches!(injector.heal(&one_way()), Err(FaultError::Unsupported(_))));
    });
    run.unwrap();
}

/// A stock simulation in which a client asks an echo at 1 s, at 2 s and at 3 s. Says at which of
/// these times it was answered within half a second, and how long the last answer took.
fn answers_in_stock_turmoil(mut at_one_second: impl FnMut(&mut turmoil::Sim<'_>)) -> (Vec<bool>, u128) {
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .tick_duration(ms(1))
        .simulation_duration(secs(60))
        .min_message_latency(ms(10))
        .max_message_latency(ms(10))
        .build();
    sim.host("broker", || async {
        let (mut stream, _) = TcpListener::bind(("0.0.0.0", PORT)).await?.accept().await?;
        let mut byte = [0];
        while stream.read(&mut byte).await? > 0 {
            stream.write_all(&byte).await?;
        }
        Ok(())
    });
    let answered = Rc::new(Cell::new((Vec::new(), 0)));
    let seen = answered.clone();
    sim.client("client", async move {
        let began = Instant::now();
        let mut stream = TcpStream::connect(("broker", PORT)).await?;
        for at in 1..=3 {
            tokio::time::sleep_until(began + secs(at)).await;
            let asked = Instant::now();
            stream.write_all(b"?").await?;
            let answer = timeout(ms(500), stream.read_u8()).await.is_ok();
            let (mut answers, _) = seen.take();
            answers.push(answer);
            seen.set((answers, asked.elapsed().as_millis()));
        }
        sleep(ms(1)).await;
        Ok(())
    });
    let mut done = false;
    while !sim.step().unwrap() {
        if !done && sim.elapsed() >= ms(900) {
            at_one_second(&mut sim);
            done = true;
        }
    }
    answered.take()
}

#[test]
fn stock_turmoil_answers_without_faults() {
    assert_eq!(answers_in_stock_turmoil(|_| ()).0, [true, true, true]);
}

#[test]
fn a_one_way_partition_in_stock_turmoil_stops_a_connection_for_good() {
    // From 0.9 s until the client has asked once.
    let mut steps = 0;
    let (answers, _) = answers_in_stock_turmoil(|sim| {
        sim.partition_oneway("client", "broker");
        while sim.elapsed() < ms(1_200) {
            assert!(!sim.step().unwrap());
            steps += 1;
        }
        sim.repair_oneway("client", "broker");
    });
    assert!(steps > 100);
    assert_eq!(answers, [false, false, false], "the later questions wait for the first, which is lost");
}

#[test]
fn a_partition_in_stock_turmoil_stops_a_connection_for_good() {
    // So the adapter holds the messages of a link in place of it.
    let (answers, _) = answers_in_stock_turmoil(|sim| {
        sim.partition("client", "broker");
        while sim.elapsed() < ms(1_200) {
            assert!(!sim.step().unwrap());
        }
        sim.repair("client", "broker");
    });
    assert_eq!(answers, [false, false, false]);
}

#[test]
fn loss_in_stock_turmoil_stops_a_connection_for_good() {
    let (answers, _) = answers_in_stock_turmoil(|sim| {
        sim.set_link_fail_rate("client", "broker", 1.0);
        while sim.elapsed() < ms(1_200) {
            assert!(!sim.step().unwrap());
        }
        sim.set_link_fail_rate("client", "broker", 0.0);
    });
    assert_eq!(answers, [false, false, false]);
}

#[test]
fn a_latency_in_stock_turmoil_is_of_both_directions() {
    let (answers, last) = answers_in_stock_turmoil(|sim| sim.set_link_latency("client", "broker", ms(100)));
    assert_eq!(answers, [true, true, true]);
    assert!((200..=202).contains(&last), "{last}");
}
