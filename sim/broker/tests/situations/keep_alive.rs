use mqttspec_codec::*;

use crate::rig::*;

#[test]
fn silence_of_one_and_a_half_keep_alives_closes_and_publishes_the_will() {
    for version in [V3_1_1, V5] {
        let mut rig = Rig::new();
        let witness = rig.connect(v5("w"));
        rig.subscribe(witness, "will", Q0);
        let client = rig.connect(Connect {
            version,
            keep_alive: 10,
            will: Some(will("will", "gone")),
            ..v311("a", true)
        });
        rig.pass(14.9);
        rig.nothing(witness);
        rig.pass(0.2);
        if version == V5 {
            rig.disconnected(client, DisconnectReason::KeepAliveTimeout);
        } else {
            rig.closed_in_silence(client);
        }
        assert_eq!(rig.payloads(witness), ["gone"]);
    }
}

#[test]
fn every_packet_of_the_client_counts_and_none_of_the_server() {
    let mut rig = Rig::new();
    let client = rig.connect(Connect { keep_alive: 10, ..v5("a") });
    rig.subscribe(client, "t", Q0);
    rig.pass(14.0);
    rig.send(client, publish("x", ""));
    rig.pass(14.0);
    assert!(!rig.is_closed(client));
    let publisher = rig.connect(v5("p"));
    rig.publish(publisher, publish("t", "from the Server"));
    rig.receive_publish(client);
    rig.pass(1.1);
    rig.disconnected(client, DisconnectReason::KeepAliveTimeout);
}

#[test]
fn keep_alive_0_is_off() {
    let mut rig = Rig::new();
    let client = rig.connect(v5("a"));
    rig.pass(1e6);
    rig.nothing(client);
}

#[test]
fn server_keep_alive_takes_the_place_of_the_clients() {
    let mut rig = Rig::with("server_keep_alive=4");
    let (client, connack) = rig.try_connect(Connect { keep_alive: 100, ..v5("a") });
    assert_eq!(connack.properties.get(), Some(ServerKeepAlive(4)));
    rig.pass(6.1);
    rig.disconnected(client, DisconnectReason::KeepAliveTimeout);
    let client = Rig::with("server_keep_alive=0").connect(Connect { keep_alive: 1, ..v5("a") });
    let mut rig = Rig::with("server_keep_alive=0");
    assert_eq!(rig.connect(Connect { keep_alive: 1, ..v5("a") }), client);
    rig.pass(1e6);
    rig.nothing(client);
}

#[test]
fn time_out_of_the_old_network_connection_leaves_the_new_one_and_its_will_alone() {
    let mut rig = Rig::new();
    let witness = rig.connect(v5("w"));
    rig.subscribe(witness, "will", Q0);
    let connect =
        |payload| Connect { keep_alive: 10, will: Some(will("will", payload)), ..lasting("a", 100) };
    let _half_open = rig.connect(connect("old"));
    rig.pass(5.0);
    let new = rig.connect(connect("new"));
    assert_eq!(rig.payloads(witness), ["old"]);
    for _ in 0..4 {
        rig.pass(10.0);
        rig.nothing(new);
    }
    rig.nothing(witness);
}
