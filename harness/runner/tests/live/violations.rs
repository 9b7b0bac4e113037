//! Violations that were once missed on live servers: each is found, with the clause that is broken.
//! The servers are the reference broker with a mutant, on real sockets.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use mqttspec_judge::finding::Check;
use mqttspec_mutants::{Mutant, MutantNet};
use mqttspec_net::Clock;
use mqttspec_net::TcpNet;
use mqttspec_net::broker::serve;
use mqttspec_net::store::NoStore;

use super::*;

/// A server with a mutant, until the test ends. Returns its port.
fn server(name: &str) -> u16 {
    let mutant = Mutant::named(name, Role::Server).unwrap_or_else(|| panic!("no mutant is called {name}"));
    // The port is free: the listener that got it is closed.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime.expect("a runtime starts"), async move {
            let net = MutantNet::new(TcpNet::loopback(), mutant);
            let served =
                serve(&net, port, Options::default(), 0, Clock::of_this_machine(), NoStore, ()).await;
            panic!("the server ended: {served:?}");
        });
    });
    port
}

/// The clauses that the scenario blames on such a server.
fn blamed(mutant: &str, scenario: &str) -> Vec<String> {
    let port = server(mutant);
    let suite = judge(&at(&format!("mqtt://127.0.0.1:{port}")), &[scenario]).expect("the server answers");
    let failures = suite.cases.iter().filter(|case| case.version == "5.0");
    let failures = failures.flat_map(|case| &case.failures).map(|failure| &failure.finding);
    let by_scenario = failures.filter(|finding| finding.check == Check::Expectation);
    let clauses = by_scenario.flat_map(|finding| &finding.requirements).map(|of| of.clause.clone());
    let mut clauses: Vec<String> = clauses.collect();
    clauses.sort();
    clauses.dedup();
    clauses
}

#[test]
fn a_will_that_is_early() {
    let clauses = blamed("will-a-second-early", "wills/published-after-will-delay");
    assert_eq!(clauses, ["MQTT-3.1.2-8", "U5-043"]);
}

#[test]
fn a_topic_that_begins_with_a_byte_order_mark() {
    let clauses = blamed("normalises-characters", "subscribe/nothing-is-normalised");
    assert_eq!(clauses, ["MQTT-1.5.4-3", "MQTT-4.7.3-4"]);
}

#[test]
fn a_wildcard_that_matches_a_dollar_topic() {
    let clauses = blamed("dollar-is-a-letter", "subscribe/dollar-topics");
    assert_eq!(clauses, ["MQTT-4.7.2-1"]);
}

#[test]
fn a_pubrec_for_qos_1() {
    let clauses = blamed("answers-qos1-as-qos2", "qos1/acknowledged-and-delivered");
    assert_eq!(clauses, ["MQTT-3.3.4-1", "MQTT-4.3.2-4"]);
}

#[test]
fn a_puback_for_qos_2() {
    let clauses = blamed("answers-qos2-as-qos1", "qos2/whole-hand-shake");
    assert_eq!(clauses, ["MQTT-3.3.4-1", "MQTT-4.3.3-8"]);
}
