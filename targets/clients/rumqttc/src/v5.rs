//! rumqttc's API for MQTT 5.0.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, PubAckReason, PubCompReason, PubRecReason, Publish, PublishProperties, RetainForwardRule,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError};
use serde_json::{Value, json};
use std::cell::RefCell;
use tokio::task::{JoinHandle, spawn_local};

use crate::{Client, Done, Place, Refusal, Shared, bytes, flag, number, only, refused, text, unsupported};

pub struct V5 {
    client: AsyncClient,
    shared: Rc<Shared>,
    unacknowledged: Messages,
}

crate::properties!(PublishProperties);

type Messages = Rc<RefCell<HashMap<u64, Publish>>>;

pub fn qos(number: u64) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number.min(2) as usize]
}

impl Client for V5 {
    fn hello() -> Value {
        json!({"name": "rumqttc (v5)", "version": "0.25.1", "language": "Rust", "versions": ["5.0"],
            "supports": ["reconnect", "manual-acknowledgement"]})
    }

    fn connect(place: &Place, shared: Rc<Shared>, fields: &Value) -> Result<(Self, JoinHandle<()>), Refusal> {
        only(fields, &["client_id", "clean_start", "keep_alive", "session_expiry", "will", "user_name",
            "password", "receive_maximum", "maximum_packet_size", "topic_alias_maximum"])?;
        only(&fields["will"], &["topic", "payload", "qos", "retain"])?;
        if number(fields, "keep_alive") < 5 {
            return Err(unsupported("rumqttc (v5) refuses a Keep Alive below 5 s"));
        }
        let mut options = MqttOptions::new(text(fields, "client_id"), &place.address, place.port);
        options.set_keep_alive(Duration::from_secs(number(fields, "keep_alive")));
        options.set_clean_start(flag(fields, "clean_start"));
        options.set_manual_acks(place.manual);
        let mut properties = ConnectProperties::new();
        let set = |name: &str| Some(number(fields, name)).filter(|value| *value != 0);
        properties.session_expiry_interval = set("session_expiry").map(|value| value as u32);
        properties.receive_maximum = set("receive_maximum").map(|value| value as u16);
        properties.max_packet_size = set("maximum_packet_size").map(|value| value as u32);
        properties.topic_alias_max = set("topic_alias_maximum").map(|value| value as u16);
        options.set_connect_properties(properties);
        if fields["user_name"].is_string() {
            options.set_credentials(text(fields, "user_name"), text(fields, "password"));
        }
        let will = &fields["will"];
        if will.is_object() {
            let (topic, payload) = (text(will, "topic"), bytes(will, "payload"));
            options.set_last_will(LastWill::new(topic, payload, qos(number(will, "qos")), flag(will, "retain"), None));
        }
        let (client, eventloop) = AsyncClient::new(options, 1000);
        let unacknowledged = Messages::default();
        let (manual, reconnect) = (place.manual, place.reconnect);
        let task = poll(eventloop, shared.clone(), unacknowledged.clone(), manual, reconnect);
        Ok((Self { client, shared, unacknowledged }, spawn_local(task)))
    }

    async fn publish(&mut self, id: u64, topic: &str, payload: Vec<u8>, level: u8, retain: bool, fields: &Value) -> Done {
        self.shared.waiting.borrow_mut().push_back(id);
        if !fields["properties"].is_object() {
            return self.client.publish(topic, qos(level.into()), retain, payload).await.map_err(refused);
        }
        self.client.publish_with_properties(topic, qos(level.into()), retain, payload, given(fields)).await.map_err(refused)
    }

    async fn subscribe(&mut self, id: u64, subscriptions: &[Value]) -> Done {
        let filters = subscriptions.iter().map(|one| Filter {
            path: text(one, "filter"),
            qos: qos(number(one, "qos")),
            nolocal: flag(one, "no_local"),
            preserve_retain: flag(one, "retain_as_published"),
            retain_forward_rule: match number(one, "retain_handling") {
                0 => RetainForwardRule::OnEverySubscribe,
                1 => RetainForwardRule::OnNewSubscribe,
                _ => RetainForwardRule::Never,
            },
        });
        self.shared.waiting.borrow_mut().push_back(id);
        self.client.subscribe_many(filters).await.map_err(refused)
    }

    async fn unsubscribe(&mut self, id: u64, filters: &[Value]) -> Done {
        let [filter] = filters else { return Err(unsupported("rumqttc has one filter in an UNSUBSCRIBE")) };
        self.shared.waiting.borrow_mut().push_back(id);
        self.client.unsubscribe(filter.as_str().unwrap_or_default()).await.map_err(refused)
    }

    async fn acknowledge(&mut self, message: u64) -> Done {
        let is_next = self.unacknowledged.borrow().keys().min() == Some(&message);
        if !is_next {
            return Err(unsupported("rumqttc leaves the order of acknowledgements to the application"));
        }
        let publish = self.unacknowledged.borrow_mut().remove(&message);
        self.client.ack(&publish.ok_or_else(|| refused("no such message"))?).await.map_err(refused)
    }

    async fn disconnect(&mut self, fields: &Value) -> Done {
        if number(fields, "reason") != 0 || fields["session_expiry"].is_u64() {
            return Err(unsupported("rumqttc (v5) has no fields of DISCONNECT"));
        }
        self.client.disconnect().await.map_err(refused)
    }
}

async fn poll(mut eventloop: EventLoop, shared: Rc<Shared>, messages: Messages, manual: bool, reconnect: bool) {
    loop {
        match eventloop.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(id) | Outgoing::Subscribe(id) | Outgoing::Unsubscribe(id))) => {
                shared.sent(id);
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => {
                shared.connected.set(false);
                shared.say(json!({"event": "disconnected"}));
            }
            Ok(Event::Outgoing(_)) => {}
            Ok(Event::Incoming(packet)) => incoming(packet, &shared, &messages, manual),
            Err(error) => {
                let is_refusal = matches!(
                    error,
                    ConnectionError::ConnectionRefused(_) | ConnectionError::MqttState(StateError::ConnFail { .. })
                );
                if !shared.lost(error.to_string(), is_refusal, reconnect).await {
                    return;
                }
            }
        }
    }
}

fn incoming(packet: Incoming, shared: &Shared, messages: &Messages, manual: bool) {
    let failed = |reason: &dyn std::fmt::Debug| json!({"event": "failed", "text": format!("{reason:?}")});
    let published = || json!({"event": "published", "reason": 0});
    match packet {
        Incoming::ConnAck(connack) => {
            shared.connected.set(true);
            shared.say(json!({"event": "connected", "session_present": connack.session_present}));
        }
        Incoming::Publish(publish) => {
            let message = (manual && publish.pkid != 0).then(|| shared.next_message());
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let event = json!({"qos": publish.qos as u8, "retain": publish.retain, "dup": publish.dup,
                    "properties": seen(publish.properties.clone())});
                shared.received(message, &topic, &publish.payload, event);
            message.map(|message| messages.borrow_mut().insert(message, publish));
        }
        Incoming::PubAck(puback) => match puback.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => shared.ended(puback.pkid, published()),
            reason => shared.ended(puback.pkid, failed(&reason)),
        },
        Incoming::PubRec(pubrec)
            if !matches!(pubrec.reason, PubRecReason::Success | PubRecReason::NoMatchingSubscribers) =>
        {
            shared.ended(pubrec.pkid, failed(&pubrec.reason));
        }
        Incoming::PubComp(pubcomp) => match pubcomp.reason {
            PubCompReason::Success => shared.ended(pubcomp.pkid, published()),
            reason => shared.ended(pubcomp.pkid, failed(&reason)),
        },
        Incoming::SubAck(suback) => {
            let code = |reason: &SubscribeReasonCode| match reason {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                _ => 0x80,
            };
            let reasons: Vec<u8> = suback.return_codes.iter().map(code).collect();
            shared.ended(suback.pkid, json!({"event": "subscribed", "reasons": reasons}));
        }
        Incoming::UnsubAck(unsuback) => shared.ended(unsuback.pkid, json!({"event": "unsubscribed"})),
        _ => {}
    }
}
