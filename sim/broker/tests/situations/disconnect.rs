use mqttspec_broker::Redirect;
use mqttspec_codec::*;

use crate::rig::*;

#[test]
fn disconnect_closes_and_keeps_or_ends_the_session() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 10));
    rig.disconnect(client);
    assert!(rig.try_connect(lasting("a", 0)).1.session_present);
    let client = rig.connect(lasting("a", 0));
    rig.disconnect(client);
    assert!(!rig.try_connect(lasting("a", 0)).1.session_present);
}

#[test]
fn disconnect_changes_the_session_expiry_interval() {
    let mut rig = Rig::new();
    let client = rig.connect(lasting("a", 10));
    rig.send(client, Disconnect::normal().with(SessionExpiryInterval(0)));
    assert!(!rig.try_connect(lasting("a", 10)).1.session_present);
    let client = rig.connect(lasting("a", 10));
    rig.send(client, Disconnect::normal().with(SessionExpiryInterval(1000)));
    rig.pass(500.0);
    assert!(rig.try_connect(lasting("a", 10)).1.session_present);
}

#[test]
fn session_expiry_after_none_in_connect_is_a_protocol_error_and_keeps_the_will() {
    let mut rig = Rig::new();
    let witness = rig.connect(v5("w"));
    rig.subscribe(witness, "will", Q0);
    let client = rig.connect(Connect { will: Some(will("will", "gone")), ..v5("a") });
    rig.send(client, Disconnect::normal().with(SessionExpiryInterval(5)));
    rig.disconnected(client, DisconnectReason::ProtocolError);
    assert_eq!(rig.payloads(witness), ["gone"]);
}

#[test]
fn packets_that_only_a_server_sends_are_protocol_errors() {
    let packets: [Packet; 4] = [
        ConnAck::accepted(false).into(),
        SubAck::new(id(1), SubAckReason::GrantedQoS0).into(),
        UnsubAck::new(id(1), [UnsubAckReason::Success]).into(),
        Packet::PingResp,
    ];
    for packet in packets {
        let mut rig = Rig::new();
        let client = rig.connect(v5("a"));
        rig.send(client, packet);
        rig.disconnected(client, DisconnectReason::ProtocolError);
    }
}

#[test]
fn shutdown_tells_everybody_and_keeps_sessions() {
    let mut rig = Rig::new();
    let five = rig.connect(lasting("a", 100));
    let three = rig.connect(v311("b", false));
    let unconnected = rig.open();
    rig.broker.handle_shutdown(rig.now);
    rig.drive();
    rig.disconnected(five, DisconnectReason::ServerShuttingDown);
    rig.closed_in_silence(three);
    rig.closed_in_silence(unconnected);
    rig.restart();
    assert!(rig.try_connect(lasting("a", 100)).1.session_present);
    assert!(rig.try_connect(v311("b", false)).1.session_present);
}

#[test]
fn an_operator_sends_clients_away_until_it_is_over() {
    let mut rig = Rig::with("server_reference=first:1883");
    let five = rig.connect(lasting("a", 100));
    let three = rig.connect(v311("b", false));
    let coming = rig.open();
    rig.broker.handle_redirect(rig.now, Redirect::UseAnotherServer, None);
    rig.drive();
    rig.closed_in_silence(three);
    assert!(!rig.is_closed(coming), "it will be told in CONNACK");
    let disconnect = rig.disconnected(five, DisconnectReason::UseAnotherServer);
    let reference = |text: &'static str| Some(ServerReference(Utf8String::from_static(text)));
    assert_eq!(disconnect.properties.get::<ServerReference>(), reference("first:1883"));
    let second = Utf8String::from_static("second:1883");
    rig.broker.handle_redirect(rig.now, Redirect::ServerMoved, Some(second));
    let (_, refused) = rig.answer_to(lasting("a", 100));
    assert_eq!(refused.reason, ConnectReason::ServerMoved);
    assert_eq!(refused.properties.get::<ServerReference>(), reference("second:1883"));
    rig.broker.handle_redirect(rig.now, Redirect::No, None);
    assert!(rig.try_connect(lasting("a", 100)).1.session_present);
}

#[test]
fn pingreq_is_answered_with_keep_alive_off_too() {
    let mut rig = Rig::new();
    let client = rig.connect(v311("a", true));
    rig.send(client, Packet::PingReq);
    assert_eq!(rig.all(client), [Packet::PingResp]);
}
