//! rumqttc's API for MQTT 3.1.1.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions, Outgoing, Publish, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_local};

use crate::{Client, Done, Place, Refusal, Shared, bytes, flag, number, only, refused, text, unsupported};

pub struct V4 {
    client: AsyncClient,
    shared: Rc<Shared>,
    unacknowledged: Messages,
}

type Messages = Rc<RefCell<HashMap<u64, Publish>>>;

fn qos(number: u64) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number.min(2) as usize]
}

impl Client for V4 {
    fn hello() -> Value {
        json!({"name": "rumqttc", "version": "0.25.1", "language": "Rust", "versions": ["3.1.1"],
            "supports": ["reconnect", "manual-acknowledgement"]})
    }

    fn connect(place: &Place, shared: Rc<Shared>, fields: &Value) -> Result<(Self, JoinHandle<()>), Refusal> {
        only(fields, &["client_id", "clean_start", "keep_alive", "will", "user_name", "password"])?;
        only(&fields["will"], &["topic", "payload", "qos", "retain"])?;
        let mut options = MqttOptions::new(text(fields, "client_id"), &place.address, place.port);
        options.set_keep_alive(Duration::from_secs(number(fields, "keep_alive")));
        options.set_clean_session(flag(fields, "clean_start"));
        options.set_manual_acks(place.manual);
        if fields["user_name"].is_string() {
            options.set_credentials(text(fields, "user_name"), text(fields, "password"));
        }
        let will = &fields["will"];
        if will.is_object() {
            let (topic, payload) = (text(will, "topic"), bytes(will, "payload"));
            options.set_last_will(LastWill::new(topic, payload, qos(number(will, "qos")), flag(will, "retain")));
        }
        let (client, eventloop) = AsyncClient::new(options, 1000);
        let unacknowledged = Messages::default();
        let (manual, reconnect) = (place.manual, place.reconnect);
        let task = poll(eventloop, shared.clone(), unacknowledged.clone(), manual, reconnect);
        Ok((Self { client, shared, unacknowledged }, spawn_local(task)))
    }

    async fn publish(&mut self, id: u64, topic: &str, payload: Vec<u8>, level: u8, retain: bool, _: &Value) -> Done {
        self.shared.waiting.borrow_mut().push_back(id);
        self.client.publish(topic, qos(level.into()), retain, payload).await.map_err(refused)
    }

    async fn subscribe(&mut self, id: u64, subscriptions: &[Value]) -> Done {
        let filters = subscriptions.iter().map(|one| SubscribeFilter::new(text(one, "filter"), qos(number(one, "qos"))));
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

    async fn disconnect(&mut self, _: &Value) -> Done {
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
                let is_refusal = matches!(error, ConnectionError::ConnectionRefused(_));
                if !shared.lost(error.to_string(), is_refusal, reconnect).await {
                    return;
                }
            }
        }
    }
}

fn incoming(packet: Incoming, shared: &Shared, messages: &Messages, manual: bool) {
    let published = || json!({"event": "published", "reason": 0});
    match packet {
        Incoming::ConnAck(connack) => {
            shared.connected.set(true);
            shared.say(json!({"event": "connected", "session_present": connack.session_present}));
        }
        Incoming::Publish(publish) => {
            let message = (manual && publish.pkid != 0).then(|| shared.next_message());
            let (topic, payload) = (&publish.topic, &publish.payload);
            let event = json!({"qos": publish.qos as u8, "retain": publish.retain, "dup": publish.dup});
            shared.received(message, topic, payload, event);
            message.map(|message| messages.borrow_mut().insert(message, publish));
        }
        Incoming::PubAck(puback) => shared.ended(puback.pkid, published()),
        Incoming::PubComp(pubcomp) => shared.ended(pubcomp.pkid, published()),
        Incoming::SubAck(suback) => {
            let code = |reason: &SubscribeReasonCode| match reason {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                SubscribeReasonCode::Failure => 0x80,
            };
            let reasons: Vec<u8> = suback.return_codes.iter().map(code).collect();
            shared.ended(suback.pkid, json!({"event": "subscribed", "reasons": reasons}));
        }
        Incoming::UnsubAck(unsuback) => shared.ended(unsuback.pkid, json!({"event": "unsubscribed"})),
        _ => {}
    }
}
