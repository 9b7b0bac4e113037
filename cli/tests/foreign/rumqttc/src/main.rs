//! Runs the situations of `cli/tests/foreign/main.rs` with rumqttc. Exit code 0: success; 77: not
//! supported by rumqttc.

use std::collections::VecDeque;
use std::env;
use std::process::exit;
use std::thread;
use std::time::Duration;

/// Far longer than any situation takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message of either version.
struct Message {
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
}

fn place(name: &str) -> (String, u16) {
    let place = env::var(name).expect("the test sets this variable");
    let (host, port) = place.rsplit_once(':').expect("an address");
    (host.to_owned(), port.parse().expect("a port"))
}

/// Defines the player for each version: rumqttc has two sets of types.
macro_rules! player {
    ($module:ident, $options:path, $client:path, $connection:path, $event:path, $packet:path, $qos:path, $will:path,
     $clean:ident, |$extra:ident| $session:expr, |$topic:ident| $name:expr, $will_end:tt) => {
        mod $module {
            use super::*;
            use {$client as Client, $connection as Connection, $event as Event, $options as Options};
            use {$packet as Packet, $qos as QoS, $will as LastWill};

            pub struct Player {
                pub client: Client,
                connection: Connection,
                messages: VecDeque<Message>,
                pub session_present: bool,
            }

            pub fn level(qos: u8) -> QoS {
                [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)]
            }

            pub fn options(client_id: &str) -> Options {
                let (host, port) = place("MQTTSPEC_MQTT");
                Options::new(client_id, host, port)
            }

            pub fn keeping(client_id: &str) -> Options {
                let mut $extra = options(client_id);
                $extra.$clean(false);
                $session;
                $extra
            }

            pub fn over(transport: &str) -> Options {
                let (host, port, transport) = match transport {
                    "tls" => {
                        let authorities = std::fs::read(env::var("MQTTSPEC_CA").expect("set")).expect("readable");
                        let transport = rumqttc::Transport::tls(authorities, None, None);
                        ("localhost".to_owned(), place("MQTTSPEC_MQTTS").1, transport)
                    }
                    _ => {
                        let (host, port) = place("MQTTSPEC_WS");
                        (format!("ws://{host}:{port}/mqtt"), port, rumqttc::Transport::Ws)
                    }
                };
                let mut options = Options::new("there", host, port);
                options.set_transport(transport);
                options
            }

            impl Player {
                pub fn connect(options: Options) -> Self {
                    let (client, connection) = Client::new(options, 100);
                    let mut player = Self { client, connection, messages: VecDeque::new(), session_present: false };
                    let Packet::ConnAck(ack) = player.until(|packet| matches!(packet, Packet::ConnAck(_))) else {
                        unreachable!()
                    };
                    player.session_present = ack.session_present;
                    player
                }

                pub fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Packet {
                    loop {
                        match self.connection.recv_timeout(PATIENCE) {
                            Ok(Ok(Event::Incoming(packet))) => {
                                if let Packet::Publish(publish) = &packet {
                                    let $topic = &publish.topic;
                                    self.messages.push_back(Message {
                                        topic: $name,
                                        payload: publish.payload.to_vec(),
                                        qos: publish.qos as u8,
                                        retain: publish.retain,
                                    });
                                }
                                if wanted(&packet) {
                                    return packet;
                                }
                            }
                            Ok(Ok(_)) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }

                pub fn subscribe(&mut self, filter: &str, qos: u8) {
                    self.client.subscribe(filter, level(qos)).expect("the request is queued");
                    self.until(|packet| matches!(packet, Packet::SubAck(_)));
                }

                pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
                    self.client.publish(topic, level(qos), retain, payload.to_vec()).expect("the request is queued");
                    self.published(qos);
                }

                fn published(&mut self, qos: u8) {
                    match qos {
                        0 => {}
                        1 => drop(self.until(|packet| matches!(packet, Packet::PubAck(_)))),
                        _ => drop(self.until(|packet| matches!(packet, Packet::PubComp(_)))),
                    }
                }

                pub fn receive(&mut self) -> Message {
                    if self.messages.is_empty() {
                        self.until(|packet| matches!(packet, Packet::Publish(_)));
                    }
                    self.messages.pop_front().expect("a message has arrived")
                }

                /// Everything that the broker sent before has arrived once the Client's own message
                /// has arrived.
                pub fn nothing_more(&mut self) {
                    self.subscribe("fence", 0);
                    self.publish("fence", b"fence", 1, false);
                    assert_eq!(self.receive().payload, b"fence");
                }

                pub fn end(mut self) {
                    self.client.disconnect().expect("the request is queued");
                    // rumqttc reports the end of the Network Connection as an error.
                    while let Ok(Ok(_)) = self.connection.recv_timeout(PATIENCE) {}
                }
            }

            pub fn connect() {
                Player::connect(options("connect")).end();
            }

            pub fn qos() {
                let mut player = Player::connect(options("qos"));
                for qos in 0..3 {
                    let topic = format!("qos/{qos}");
                    player.subscribe(&topic, qos);
                    for number in 0..20 {
                        player.publish(&topic, &[number], qos, false);
                    }
                    for number in 0..20 {
                        let message = player.receive();
                        assert_eq!((message.payload, message.qos), (vec![number], qos));
                    }
                }
                player.nothing_more();
                player.end();
            }

            pub fn retained() {
                let mut player = Player::connect(options("retained"));
                player.publish("retained", b"kept", 1, true);
                player.subscribe("retained", 1);
                let message = player.receive();
                assert_eq!((&message.payload[..], message.retain), (&b"kept"[..], true));
                player.publish("retained", b"", 1, true);
                assert_eq!(player.receive().payload, b"");
                player.end();
                let mut player = Player::connect(options("retained"));
                player.subscribe("retained", 1);
                player.nothing_more();
                player.end();
            }

            pub fn will() {
                let mut watcher = Player::connect(options("watcher"));
                watcher.subscribe("will", 1);
                let mut owner = options("owner");
                owner.set_last_will(LastWill::new $will_end);
                // Closes the Network Connection without a DISCONNECT.
                drop(Player::connect(owner));
                assert_eq!(watcher.receive().payload, b"gone");
                watcher.end();
            }

            pub fn resume() {
                let id = concat!("resume-", stringify!($module));
                let mut first = Player::connect(keeping(id));
                assert!(!first.session_present);
                first.subscribe("resume", 2);
                first.end();
                let mut publisher = Player::connect(options("publisher"));
                for qos in [1, 2] {
                    publisher.publish("resume", &[qos], qos, false);
                }
                publisher.end();
                let mut second = Player::connect(keeping(id));
                assert!(second.session_present);
                for qos in [1, 2] {
                    let message = second.receive();
                    assert_eq!((message.payload, message.qos), (vec![qos], qos));
                }
                second.end();
            }

            pub fn round_trip(transport: &str) {
                let mut player = Player::connect(over(transport));
                player.subscribe("there", 2);
                player.publish("there", &[b'x'; 5000], 2, false);
                assert_eq!(player.receive().payload, [b'x'; 5000]);
                player.end();
            }
        }
    };
}

player!(
    v3_1_1,
    rumqttc::MqttOptions,
    rumqttc::Client,
    rumqttc::Connection,
    rumqttc::Event,
    rumqttc::Packet,
    rumqttc::QoS,
    rumqttc::LastWill,
    set_clean_session,
    |options| {},
    |topic| topic.clone(),
    ("will", "gone", QoS::AtLeastOnce, false)
);
player!(
    v5,
    rumqttc::v5::MqttOptions,
    rumqttc::v5::Client,
    rumqttc::v5::Connection,
    rumqttc::v5::Event,
    rumqttc::v5::mqttbytes::v5::Packet,
    rumqttc::v5::mqttbytes::QoS,
    rumqttc::v5::mqttbytes::v5::LastWill,
    set_clean_start,
    |options| options.set_session_expiry_interval(Some(3600)),
    |topic| String::from_utf8_lossy(topic).into_owned(),
    ("will", "gone", QoS::AtLeastOnce, false, None)
);

impl v5::Player {
    /// Publishes with properties, and returns the properties of the received message.
    fn properties_of_a_round_trip(
        &mut self,
        sent: &rumqttc::v5::mqttbytes::v5::PublishProperties,
    ) -> rumqttc::v5::mqttbytes::v5::PublishProperties {
        use rumqttc::v5::mqttbytes::v5::Packet;
        self.subscribe("properties", 1);
        let queued =
            self.client.publish_with_properties("properties", v5::level(1), false, "hi", sent.clone());
        queued.expect("the request is queued");
        let Packet::Publish(publish) = self.until(|packet| matches!(packet, Packet::Publish(_))) else {
            unreachable!()
        };
        publish.properties.expect("the message has properties")
    }
}

fn properties() {
    let sent = rumqttc::v5::mqttbytes::v5::PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(100),
        response_topic: Some("answers".to_owned()),
        correlation_data: Some(vec![0, 1].into()),
        user_properties: [("b", "2"), ("a", "1"), ("b", "2")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .to_vec(),
        content_type: Some("text/plain".to_owned()),
        ..Default::default()
    };
    let mut player = v5::Player::connect(v5::options("properties"));
    let mut got = player.properties_of_a_round_trip(&sent);
    let expiry = got.message_expiry_interval.take();
    assert!(expiry.is_some_and(|expiry| (1..=100).contains(&expiry)), "{expiry:?}");
    assert_eq!(got, rumqttc::v5::mqttbytes::v5::PublishProperties { message_expiry_interval: None, ..sent });
    player.end();
}

fn shared() {
    let mut members = ["one", "two"].map(|name| v5::Player::connect(v5::options(name)));
    for member in &mut members {
        member.subscribe("$share/group/shared", 1);
        member.subscribe("fence", 0);
    }
    let mut publisher = v5::Player::connect(v5::options("publisher"));
    for number in 0..20 {
        publisher.publish("shared", &[number], 1, false);
    }
    publisher.publish("fence", b"fence", 1, false);
    let mut got = Vec::new();
    for mut member in members {
        let before = got.len();
        loop {
            let message = member.receive();
            if message.topic == "fence" {
                break;
            }
            got.extend(message.payload);
        }
        assert!(got.len() > before, "a member got no message");
        member.end();
    }
    got.sort_unstable();
    assert_eq!(got, (0..20).collect::<Vec<u8>>());
    publisher.end();
}

fn main() {
    thread::spawn(|| {
        thread::sleep(2 * PATIENCE);
        eprintln!("it hangs");
        exit(1);
    });
    match env::args().nth(1).as_deref() {
        Some("connect") => (v3_1_1::connect(), v5::connect()),
        Some("qos") => (v3_1_1::qos(), v5::qos()),
        Some("retained") => (v3_1_1::retained(), v5::retained()),
        Some("will") => (v3_1_1::will(), v5::will()),
        Some("resume") => (v3_1_1::resume(), v5::resume()),
        Some("shared") => ((), shared()),
        Some("properties") => ((), properties()),
        Some("tls") => (v3_1_1::round_trip("tls"), v5::round_trip("tls")),
        Some("websocket") => (v3_1_1::round_trip("websocket"), v5::round_trip("websocket")),
        other => panic!("unknown situation {other:?}"),
    };
}
