use mqttspec_codec::*;

use crate::rig::*;

const UPTIME: &str = "$SYS/broker/uptime";

/// The topics and payloads of the messages that are waiting for a Client.
fn values(rig: &mut Rig, client: Client) -> Vec<(String, String)> {
    rig.all(client)
        .into_iter()
        .map(|packet| match packet {
            Packet::Publish(Publish { topic: Some(topic), payload, .. }) => {
                (topic.as_str().to_owned(), String::from_utf8(payload.to_vec()).unwrap())
            }
            other => panic!("PUBLISH expected, got {other:?}"),
        })
        .collect()
}

#[test]
fn statistics_come_with_a_new_subscription_and_when_they_change() {
    let mut rig = Rig::with("statistics_interval=10 topic_alias_use_maximum=0");
    let writer = rig.connect(v311("writer", true));
    rig.publish(writer, qos_1(1, "a", "kept").retained());
    rig.pass(10.0);
    let operator = rig.connect(v5("operator"));
    rig.subscribe(operator, "$SYS/#", Q1);
    let mut seen = values(&mut rig, operator);
    seen.retain(|(topic, _)| !topic.ends_with("/version") && !topic.ends_with("/memory/bytes"));
    let expected = [
        ("$SYS/broker/clients/connected", "1"),
        ("$SYS/broker/clients/total", "1"),
        ("$SYS/broker/connections/count", "1"),
        ("$SYS/broker/messages/inflight", "0"),
        ("$SYS/broker/messages/received", "1"),
        ("$SYS/broker/messages/sent", "0"),
        ("$SYS/broker/messages/waiting", "0"),
        ("$SYS/broker/messages/waiting/bytes", "0"),
        ("$SYS/broker/retained/count", "1"),
        ("$SYS/broker/subscriptions/count", "0"),
        (UPTIME, "10"),
    ];
    assert_eq!(seen, expected.map(|(topic, value)| (topic.to_owned(), value.to_owned())));
    rig.pass(9.0);
    rig.nothing(operator);
    rig.pass(1.0);
    let changed = values(&mut rig, operator);
    let changed: Vec<_> = changed.iter().map(|(topic, value)| (topic.as_str(), value.as_str())).collect();
    assert!(changed.contains(&(UPTIME, "20")), "{changed:?}");
    assert!(changed.contains(&("$SYS/broker/clients/connected", "2")), "{changed:?}");
    assert!(changed.iter().all(|(topic, _)| !topic.ends_with("/retained/count")), "{changed:?}");
}

#[test]
fn statistics_are_hidden_from_leading_wildcards_and_off_by_default() {
    let mut rig = Rig::with("statistics_interval=10");
    let client = rig.connect(v5("a"));
    rig.subscribe(client, "#", Q1);
    rig.subscribe(client, "+/broker/uptime", Q1);
    rig.pass(60.0);
    rig.nothing(client);
    let mut off = Rig::new();
    let client = off.connect(v5("a"));
    off.subscribe(client, "$SYS/#", Q1);
    off.pass(3600.0);
    off.nothing(client);
}

#[test]
fn only_the_server_publishes_below_sys() {
    let mut rig = Rig::with("statistics_interval=10 dollar_topics=accept");
    let client = rig.connect(v5("a"));
    for topic in [UPTIME, "$SYS/of/a/client"] {
        rig.send(client, qos_1(1, topic, "forged").retained());
        let Packet::PubAck(puback) = rig.receive(client) else { panic!("PUBACK expected") };
        assert_eq!(puback.reason, PubAckReason::NotAuthorized);
    }
    rig.publish(client, qos_1(2, "$other/topic", "accepted"));
}

#[test]
fn who_may_read_statistics_is_a_matter_of_the_users_file() {
    let users = "user root password r; user guest password g; subscribe a/#";
    let mut rig = Rig::with_options([("users", users), ("statistics_interval", "10")]);
    let connect = |name: &'static str, password: &'static str| Connect {
        user_name: Some(Utf8String::from_static(name)),
        password: Some(BinaryData::from_static(password.as_bytes())),
        ..v5(name)
    };
    rig.pass(10.0);
    let root = rig.connect(connect("root", "r"));
    rig.subscribe(root, UPTIME, Q1);
    assert_eq!(rig.payloads(root), ["10"]);
    let guest = rig.connect(connect("guest", "g"));
    rig.send(guest, Subscribe::new(id(1), filter(UPTIME, Q1)));
    let Packet::SubAck(suback) = rig.receive(guest) else { panic!("SUBACK expected") };
    assert_eq!(suback.reasons.first(), &SubAckReason::NotAuthorized);
}

#[test]
fn statistics_need_no_room_and_are_not_stored() {
    let mut rig = Rig::with("statistics_interval=10 maximum_retained=1");
    let client = rig.connect(lasting("a", 3600));
    rig.publish(client, qos_1(1, "a", "the only one").retained());
    rig.pass(10.0);
    assert_eq!(rig.broker.statistics().retained, 1);
    assert!(rig.records.values().all(|value| !value.windows(4).any(|part| part == b"$SYS")));
    rig.restart_with("statistics_interval", "0");
    let client = rig.connect(v5("b"));
    rig.subscribe(client, "$SYS/#", Q1);
    rig.nothing(client);
}
