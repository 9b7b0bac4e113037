use mqttspec_broker::{Event, WillEnd};
use mqttspec_codec::*;

use crate::rig::*;

/// A CONNECT with a Will for topic `will`, a delay and a Session Expiry Interval, in seconds.
fn with_will(delay: u32, expiry: u32) -> Connect {
    let mut will = will("will", "gone");
    if delay > 0 {
        will.properties.set(WillDelayInterval(delay));
    }
    Connect { will: Some(will), ..lasting("a", expiry) }
}

fn rig() -> (Rig, Client) {
    let mut rig = Rig::new();
    let witness = rig.connect(v5("witness"));
    rig.subscribe(witness, "will", Q2);
    (rig, witness)
}

#[test]
fn network_loss_publishes_the_will() {
    let (mut rig, witness) = rig();
    for connect in
        [with_will(0, 0), with_will(0, 100), Connect { will: Some(will("will", "gone")), ..v311("b", false) }]
    {
        let client = rig.connect(connect);
        rig.nothing(witness);
        rig.cut(client);
        assert_eq!(rig.payloads(witness), ["gone"]);
    }
    // It is removed: the next Network Connection has none.
    let client = rig.connect(lasting("a", 100));
    rig.cut(client);
    rig.nothing(witness);
}

#[test]
fn normal_disconnect_discards_the_will_and_0x04_does_not() {
    let (mut rig, witness) = rig();
    let client = rig.connect(with_will(0, 100));
    rig.disconnect(client);
    rig.pass(200.0);
    rig.nothing(witness);
    let client = rig.connect(Connect { will: Some(will("will", "gone")), ..v311("b", true) });
    rig.disconnect(client);
    rig.nothing(witness);
    for reason in [DisconnectReason::DisconnectWithWillMessage, DisconnectReason::UnspecifiedError] {
        let client = rig.connect(with_will(0, 0));
        rig.send(client, Disconnect::new(reason));
        assert_eq!(rig.payloads(witness), ["gone"]);
    }
}

#[test]
fn protocol_error_publishes_the_will() {
    let (mut rig, witness) = rig();
    let client = rig.connect(with_will(0, 0));
    rig.send(client, v5("a"));
    assert_eq!(rig.payloads(witness), ["gone"]);
}

#[test]
fn will_delay_holds_the_will_back() {
    let (mut rig, witness) = rig();
    let client = rig.connect(with_will(5, 100));
    rig.cut(client);
    rig.pass(4.9);
    rig.nothing(witness);
    rig.pass(0.2);
    assert_eq!(rig.payloads(witness), ["gone"]);
    rig.pass(200.0);
    rig.nothing(witness);
}

#[test]
fn coming_back_within_the_will_delay_cancels_the_will() {
    let (mut rig, witness) = rig();
    let client = rig.connect(with_will(5, 100));
    rig.cut(client);
    rig.pass(4.0);
    let client = rig.connect(lasting("a", 100));
    let discarded =
        Event::WillDiscarded { client_id: Utf8String::from_static("a"), why: WillEnd::Reconnected };
    assert!(rig.events.contains(&discarded));
    rig.pass(50.0);
    rig.cut(client);
    rig.pass(200.0);
    rig.nothing(witness);
}

#[test]
fn many_short_network_connections_within_the_will_delay_leave_no_will_behind() {
    let (mut rig, witness) = rig();
    for _ in 0..20 {
        let client = rig.connect(with_will(5, 100));
        rig.cut(client);
        rig.pass(4.0);
    }
    rig.nothing(witness);
    rig.pass(1.1);
    assert_eq!(rig.payloads(witness), ["gone"]);
}

#[test]
fn end_of_the_session_publishes_the_will_before_its_delay() {
    let (mut rig, witness) = rig();
    let client = rig.connect(with_will(50, 10));
    rig.cut(client);
    rig.pass(9.9);
    rig.nothing(witness);
    rig.pass(0.2);
    assert_eq!(rig.payloads(witness), ["gone"]);
    // With Session Expiry 0 the Session ends at the close.
    let client = rig.connect(with_will(50, 0));
    rig.cut(client);
    assert_eq!(rig.payloads(witness), ["gone"]);
    // DISCONNECT with Will Message and Session Expiry 0
    let client = rig.connect(with_will(50, 10));
    let disconnect =
        Disconnect::new(DisconnectReason::DisconnectWithWillMessage).with(SessionExpiryInterval(0));
    rig.send(client, disconnect);
    assert_eq!(rig.payloads(witness), ["gone"]);
}

#[test]
fn clean_start_within_the_will_delay_ends_the_session_and_publishes_the_will() {
    let (mut rig, witness) = rig();
    let client = rig.connect(with_will(50, 100));
    rig.cut(client);
    rig.connect(v5("a"));
    assert_eq!(rig.payloads(witness), ["gone"]);
}

#[test]
fn take_over_publishes_the_will_unless_it_is_delayed_and_the_session_goes_on() {
    // Will Delay, Session Expiry of the old one; Clean Start of the new one; published?
    for (delay, expiry, clean_start, published) in
        [(0, 100, false, true), (5, 100, false, false), (5, 0, false, true), (5, 100, true, true)]
    {
        let (mut rig, witness) = rig();
        rig.connect(with_will(delay, expiry));
        let new = rig.connect(Connect { clean_start, ..lasting("a", 100) });
        let seen = rig.payloads(witness);
        assert_eq!(!seen.is_empty(), published, "delay {delay}, expiry {expiry}, Clean Start {clean_start}");
        rig.pass(100.0);
        rig.nothing(witness);
        rig.nothing(new);
    }
}

#[test]
fn will_is_published_as_it_was_given() {
    let (mut rig, witness) = rig();
    let mut given = Will { qos: Q1, retain: true, ..will("will", "gone") };
    given.properties.set(WillDelayInterval(3));
    given.properties.set(PayloadFormatIndicator::Utf8);
    given.properties.set(MessageExpiryInterval(10));
    given.properties.set(ContentType::try_from("text/plain").unwrap());
    given.properties.set(ResponseTopic::try_from("r").unwrap());
    given.properties.set(CorrelationData::try_from("c").unwrap());
    given.properties.push(UserProperty::from_static("b", "1"));
    given.properties.push(UserProperty::from_static("a", "2"));
    given.properties.push(UserProperty::from_static("b", "3"));
    let client = rig.connect(Connect { will: Some(given.clone()), ..lasting("a", 100) });
    rig.pass(60.0);
    rig.cut(client);
    rig.pass(3.1);
    let published = rig.receive_publish(witness);
    assert_eq!((published.delivery.qos(), published.retain), (Q1, false));
    let user: Vec<_> = published.properties.get_all::<UserProperty>().collect();
    assert_eq!(user, given.properties.get_all::<UserProperty>().collect::<Vec<_>>());
    // The interval starts with the publication.
    assert_eq!(published.properties.get(), Some(MessageExpiryInterval(10)));
    assert_eq!(published.properties.get(), Some(PayloadFormatIndicator::Utf8));
    assert_eq!(published.properties.get(), Some(ResponseTopic::try_from("r").unwrap()));
    assert_eq!(published.properties.get(), Some(CorrelationData::try_from("c").unwrap()));
    assert_eq!(published.properties.get(), Some(ContentType::try_from("text/plain").unwrap()));
    let late = rig.connect(v5("late"));
    rig.subscribe(late, "will", Q0);
    assert!(rig.receive_publish(late).retain);
}

#[test]
fn will_of_a_client_that_was_away_when_the_broker_crashed_is_published_in_time() {
    let (mut rig, _) = rig();
    let client = rig.connect(with_will(60, 1000));
    rig.cut(client);
    rig.pass(20.0);
    rig.restart();
    let witness = rig.connect(v5("witness"));
    rig.subscribe(witness, "will", Q2);
    rig.pass(39.0);
    rig.nothing(witness);
    rig.pass(1.1);
    assert_eq!(rig.payloads(witness), ["gone"]);
}

#[test]
fn wills_of_clients_that_were_connected_when_the_broker_crashed_are_published_late() {
    let (mut rig, witness) = rig();
    rig.cut(witness);
    let witness = rig.connect(Connect { clean_start: true, ..lasting("witness", 1000) });
    rig.subscribe(witness, "will", Q1);
    rig.connect(Connect { will: Some(Will { qos: Q1, ..will("will", "no session") }), ..v5("b") });
    rig.connect(Connect { will: Some(Will { qos: Q1, ..will("will", "session") }), ..lasting("c", 50) });
    rig.restart();
    rig.pass(0.0);
    let witness = rig.connect(lasting("witness", 1000));
    assert_eq!(rig.payloads(witness), ["no session", "session"]);
    rig.restart();
    rig.pass(1000.0);
    let (_, connack) = rig.try_connect(v5("b"));
    assert!(!connack.session_present);
}

#[test]
fn will_that_the_client_could_not_publish_itself_is_refused() {
    let (mut rig, _) = rig();
    let (client, connack) = rig.answer_to(Connect { will: Some(will("$SYS/x", "")), ..v5("a") });
    assert_eq!(connack.reason, ConnectReason::NotAuthorized);
    rig.closed_in_silence(client);
}

/// One turn of a driver at this instant. Returns the payloads that the Client gets.
fn turn(rig: &mut Rig, witness: Client) -> usize {
    rig.broker.handle_timeout(rig.now);
    rig.drive();
    rig.payloads(witness).len()
}

#[test]
fn wills_that_are_due_at_once_are_published_in_parts() {
    const WILLS: usize = 2000;
    let (mut rig, witness) = rig();
    let writer = rig.connect(v5("writer"));
    for number in 0..WILLS {
        let mut connect = with_will(10, 100);
        connect.client_id = format!("c{number}").try_into().unwrap();
        connect.will.as_mut().unwrap().payload = vec![b'x'; 8192].try_into().unwrap();
        let client = rig.connect(connect);
        rig.cut(client);
    }
    rig.now += std::time::Duration::from_secs(10);
    let first = turn(&mut rig, witness);
    assert!(first > 0 && first <= 500 / 3 + 1, "{first} at once");
    // Others are served between the parts, and a Client that is late gets no other Session.
    rig.publish(writer, publish("will", "between"));
    assert_eq!(rig.payloads(witness), ["between"]);
    let back = rig.connect(Connect { client_id: Utf8String::from_static("c1999"), ..lasting("a", 100) });
    assert_eq!(rig.payloads(witness).len(), 1, "the Will was due before the Client came back");
    let mut rest = 0;
    while rig.broker.poll_timeout().is_some_and(|next| next <= rig.now) {
        rest += turn(&mut rig, witness);
    }
    assert_eq!(first + 1 + rest, WILLS);
    rig.nothing(back);
}

#[test]
fn sessions_that_expire_at_once_end_in_parts() {
    const SESSIONS: usize = 2000;
    let mut rig = Rig::new();
    for number in 0..SESSIONS {
        let client_id = format!("c{number}").try_into().unwrap();
        let client = rig.connect(Connect { client_id, ..lasting("", 10) });
        rig.subscribe(client, "t", Q0);
        rig.cut(client);
    }
    let ended =
        |rig: &Rig| rig.events.iter().filter(|event| matches!(event, Event::SessionEnded { .. })).count();
    rig.now += std::time::Duration::from_secs(10);
    rig.broker.handle_timeout(rig.now);
    rig.drive();
    let first = ended(&rig);
    assert!(first > 0 && first <= 500, "{first} at once");
    rig.pass(1.0);
    assert_eq!(ended(&rig), SESSIONS);
}
