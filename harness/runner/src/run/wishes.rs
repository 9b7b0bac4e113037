//! What the scenario wants of reference clients and what they must tell: `ask`, `told`, verbs on their hosts, `load`, `wait for quiet`.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_client::{Command, DisconnectRequest, Publication, SubscribeRequest, UnsubscribeRequest};
use mqttspec_codec::{Packet, QoS, TopicName};

use super::applications::Application;
use super::director::{Director, Flow};
use super::expect::{Expected, Window, bare};
use super::found::Stop;
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{Lane, Message, Told, What};
use mqttspec_judge::transcript::told_text;
use mqttspec_notation::fields::{Defaults, Mismatch, accept_fields, build, field};
use mqttspec_notation::{
    Action, Field, Load, Number, PacketPattern, PacketType, Report, Step, StepKind, Test, Text, Value,
};

impl Director<'_> {
    fn application(&self, host: &str) -> Result<Rc<Application>, Stop> {
        let application = self.applications.get(host).cloned();
        application.ok_or_else(|| Stop::broken(format!("no reference client runs on {host}")))
    }

    /// `ask device publish …`: gives the client the command, and does not wait for what comes of it.
    pub(crate) async fn ask(&mut self, host: &str, action: &Action) -> Flow {
        self.sent_has_arrived().await;
        let application = self.application(host)?;
        let lane = application.lane;
        let asked = match action {
            Action::Connects { fields, .. } => {
                let mut options = application.options.clone();
                let version = self.case.version;
                for field in fields.iter().filter(|field| field.versions.applies_to(version)) {
                    self.set_option(&mut options, "", field)?;
                }
                application.wants_to_be_connected(Some(&options));
                let text = format!("connect{}", texts(fields, version));
                application.other(Command::Connect(Some(Box::new(options))), text).await
            }
            Action::Subscribes { subscriptions, fields, .. } => {
                let (fields, subscriptions) = (fields.clone(), subscriptions.clone());
                let pattern = PacketPattern { fields, subscriptions, ..bare(PacketType::Subscribe) };
                let Packet::Subscribe(subscribe) = self.wanted(lane, &pattern)? else { return Ok(()) };
                let subscriptions = subscribe.subscriptions.into_vec();
                application
                    .subscribe(SubscribeRequest { subscriptions, properties: subscribe.properties })
                    .await
            }
            Action::Unsubscribes { filters, fields, .. } => {
                let subscriptions = filters.iter().cloned().map(super::sequence::filter).collect();
                let pattern =
                    PacketPattern { fields: fields.clone(), subscriptions, ..bare(PacketType::Unsubscribe) };
                let Packet::Unsubscribe(unsubscribe) = self.wanted(lane, &pattern)? else { return Ok(()) };
                let (filters, properties) = (unsubscribe.filters.into_vec(), unsubscribe.properties);
                application.unsubscribe(UnsubscribeRequest { filters, properties }).await
            }
            Action::Publishes { topic, payload, fields, .. } => {
                let pattern = super::sequence::publish(topic, payload.as_ref(), fields);
                let Packet::Publish(publish) = self.wanted(lane, &pattern)? else { return Ok(()) };
                let topic =
                    publish.topic.ok_or_else(|| Stop::broken("a client needs a topic to publish to"))?;
                let qos = fields.iter().any(|field| field.name == "qos").then(|| publish.delivery.qos());
                let (payload, retain, properties) = (publish.payload, publish.retain, publish.properties);
                application.publish(Publication { topic, payload, qos, retain, properties }).await
            }
            Action::Disconnects { fields } => {
                let pattern = PacketPattern { fields: fields.clone(), ..bare(PacketType::Disconnect) };
                let Packet::Disconnect(disconnect) = self.wanted(lane, &pattern)? else { return Ok(()) };
                let request =
                    DisconnectRequest { reason: disconnect.reason, properties: disconnect.properties };
                application.wants_to_be_connected(None);
                let text = format!("disconnect{}", texts(fields, self.case.version));
                application.other(Command::Disconnect(request), text).await
            }
            Action::Opens | Action::Receives { .. } | Action::Pings | Action::Closes => {
                return Err(Stop::broken("an application cannot ask its client for this"));
            }
        };
        self.done_now();
        asked.map_err(|error| Stop::broken(format!("{host}: {error}")))
    }

    /// A verb on the host of a reference client: the wish, and what the client must tell of it.
    pub(crate) async fn application_does(&mut self, step: &Step, host: &str, action: &Action) -> Flow {
        let lane = self.lane(host)?;
        let report = match action {
            Action::Connects { expecting, .. } => Report::Connected(expecting.clone()),
            Action::Subscribes { subscriptions, .. } => match subscriptions.first() {
                Some(first) => Report::Subscribed(first.filter.clone()),
                None => return Ok(()),
            },
            Action::Unsubscribes { filters, .. } => match filters.first() {
                Some(first) => Report::Unsubscribed(first.clone()),
                None => return Ok(()),
            },
            Action::Publishes { topic, payload, fields, .. } => {
                let (topic, payload, fields) = (topic.clone(), payload.clone(), fields.clone());
                Report::Published { topic, payload, fields }
            }
            Action::Receives { topic, payload, fields } => {
                let (topic, payload, fields) = (topic.clone(), payload.clone(), fields.clone());
                Report::Received { topic, payload, fields }
            }
            Action::Disconnects { .. } => Report::Disconnected(Vec::new()),
            Action::Opens | Action::Pings | Action::Closes => {
                return Err(Stop::broken("a reference client does this by itself"));
            }
        };
        let window = self.window(step.timing);
        if !matches!(action, Action::Receives { .. }) {
            self.pause(step.timing).await;
            self.ask(host, action).await?;
        }
        self.expect(lane, &Expected::Told(report), window).await.map(drop)
    }

    fn wanted(&mut self, lane: Lane, pattern: &PacketPattern) -> Result<Packet, Stop> {
        let client_id = self.name(lane);
        let defaults = Defaults { client_id: &client_id, id: mqttspec_codec::PacketIdentifier::MIN };
        build(pattern, self.version, defaults, &mut self.bindings)
            .map_err(|error| Stop::broken(error.to_string()))
    }

    fn set_option(&self, options: &mut mqttspec_client::Options, prefix: &str, field: &Field) -> Flow {
        let Test::Equal(value) = &field.test else { return Ok(()) };
        if let Value::Fields(inner) = value {
            let version = self.case.version;
            return inner
                .iter()
                .filter(|field| field.versions.applies_to(version))
                .try_for_each(|inner| self.set_option(options, "will_", inner));
        }
        let value = self.bindings.resolve(value).map_err(|unknown| Stop::broken(unknown.to_string()))?;
        let text = match &value {
            Value::Number(number) => number.value.to_string(),
            Value::Word(word) => word.clone(),
            Value::Text(text) => text.as_literal().unwrap_or_default().to_owned(),
            Value::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap_or_default(),
            Value::Pair(name, value) => {
                format!(
                    "{}={}",
                    name.as_literal().unwrap_or_default(),
                    value.as_literal().unwrap_or_default()
                )
            }
            Value::Capture(_) | Value::Fields(_) => String::new(),
        };
        let name = match field.name.as_str() {
            "payload_format" => "payload_is_text",
            "will_delay" => "delay",
            name => name,
        };
        options.set(&format!("{prefix}{name}"), &text).map_err(|error| Stop::broken(error.to_string()))
    }

    /// Waits until the client tells its application this.
    pub(crate) async fn told(&mut self, lane: Lane, report: &Report, window: Window) -> Flow {
        loop {
            if let Some(at) = self.take_told(lane, report)? {
                if let Some(from) = window.from.filter(|from| at < *from) {
                    let expected = format!("it is told not before {from:?}");
                    return Err(self.found(expected, format!("it was told at {at:?}"), None).into());
                }
                if at <= window.until {
                    self.done_at = self.done_at.max(at);
                    return Ok(());
                }
            }
            if self.stage.now() > window.until {
                return Err(self.not_told(lane, report, window).into());
            }
            tokio::select! {
                () = self.stage.changed() => {}
                () = self.ground.sleep_until(window.until + Duration::from_millis(1)) => {}
            }
        }
    }

    /// Whether the client has told its application this already; it stays where it is.
    pub(crate) fn was_told(&mut self, lane: Lane, report: &Report) -> Result<bool, Stop> {
        let bindings = self.bindings.clone();
        let found = self.position(lane, report)?;
        self.bindings = bindings;
        Ok(found.is_some())
    }

    /// Takes what the client told, if it has; gives the time.
    fn take_told(&mut self, lane: Lane, report: &Report) -> Result<Option<Duration>, Stop> {
        let Some(place) = self.position(lane, report)? else { return Ok(None) };
        let line = self.stage.line();
        let Some((event, _)) = self.stage.with_lane(lane, |state| state.told.remove(place)) else {
            return Ok(None);
        };
        self.stage.answered(event, line);
        Ok(Some(self.stage.with_history(|history| history.events()[event].at)))
    }

    /// Where in the queue of what was told this stands. The next message must be the one; of other reports any that waits will do.
    fn position(&mut self, lane: Lane, report: &Report) -> Result<Option<usize>, Stop> {
        let told: Vec<Told> =
            self.stage.with_lane(lane, |state| state.told.iter().map(|(_, told)| told.clone()).collect());
        for (place, told) in told.iter().enumerate() {
            let Some(seen) = seen(report, told) else { continue };
            let expected = expected(report);
            match accept_fields(&expected, &seen, PacketType::Publish, self.version, &mut self.bindings) {
                Ok(()) => return Ok(Some(place)),
                Err(Mismatch::Unknown(name)) => {
                    return Err(Stop::broken(format!("`${name}` has no value here")));
                }
                Err(Mismatch::Differs { expected, actual }) if matches!(report, Report::Received { .. }) => {
                    let text = told_text(told);
                    let found = self.found(
                        format!("{} is told {}", self.name(lane), report_text(report)),
                        format!("{text}\n({actual} instead of {expected})"),
                        None,
                    );
                    return Err(found.into());
                }
                Err(Mismatch::Differs { .. }) => {}
            }
        }
        Ok(None)
    }

    fn not_told(&self, lane: Lane, report: &Report, window: Window) -> Finding {
        let told: Vec<String> = self.stage.with_lane(lane, |state| {
            state.told.iter().map(|(_, told)| format!("\n  {}", told_text(told))).collect()
        });
        let told = if told.is_empty() { String::new() } else { format!("; it was told{}", told.concat()) };
        let waited = super::found::waited(window.until.saturating_sub(window.begun));
        self.found(
            format!("{} is told {}", self.name(lane), report_text(report)),
            format!("it was not told so within {waited:?}{told}"),
            None,
        )
    }

    /// No message may be left that the client told its application and no line expected.
    pub(crate) fn no_message_left_over(&self) -> Flow {
        if !self.cast.plays_server {
            return Ok(());
        }
        for application in self.applications.all() {
            // A scenario that never says what is received leaves that open.
            if !self.says_what_is_received(&self.name(application.lane)) {
                continue;
            }
            let left = self.stage.with_lane(application.lane, |state| {
                state.told.iter().find(|(_, told)| matches!(told, Told::Message(_))).cloned()
            });
            if let Some((event, told)) = left {
                let host = self.name(application.lane);
                let mut found = self.found(
                    format!("{host} is told of no message that no line expects"),
                    told_text(&told),
                    Some(event),
                );
                found.check = Check::LeftOver;
                found.timing_sensitive = true;
                return Err(found.into());
            }
        }
        Ok(())
    }

    fn says_what_is_received(&self, host: &str) -> bool {
        let mut says = false;
        self.case.scenario.walk(&mut |step| {
            says |= matches!(&step.kind, StepKind::Told { host: of, report: Report::Received { .. } } if of == host);
        });
        says
    }

    /// Begins to put load on reference clients.
    pub(crate) fn load(&mut self, load: &Load) -> Flow {
        let interval = load.rate.per / load.rate.count.max(1);
        for host in self.cast.hosts(&load.publishers) {
            let application = self.application(&host)?;
            let topic =
                client_topic(&load.topic, &host).and_then(|topic| TopicName::try_from(topic.as_str()).ok());
            let topic = topic.ok_or_else(|| Stop::broken("the topic of the load is no Topic Name"))?;
            let qos: Vec<QoS> = load.qos.iter().filter_map(|qos| QoS::try_from(*qos).ok()).collect();
            let (ground, size) = (self.ground.clone(), load.size.unwrap_or(0) as usize);
            let end = self.stage.now() + load.lasting.on(false);
            application.loads.set(application.loads.get() + 1);
            tokio::task::spawn_local(async move {
                let begun = ground.now();
                for (number, qos) in (1u32..).zip(qos.into_iter().cycle()) {
                    let mut payload = format!("{host}-{number}");
                    payload.extend(std::iter::repeat_n('.', size.saturating_sub(payload.len())));
                    let publication = Publication::new(topic.clone(), payload).qos(qos);
                    // A client that is down cannot take it; that it was asked is on record.
                    let _ = application.publish(publication).await;
                    let next = begun + interval * number;
                    if next >= end {
                        break;
                    }
                    ground.sleep_until(next).await;
                }
                application.loads.set(application.loads.get() - 1);
            });
        }
        self.done_now();
        Ok(())
    }

    /// Waits until no load runs, every wish is met, every reference client is connected and no Application Message is under way.
    pub(crate) async fn quiet(&mut self, longest: Duration) -> Flow {
        let until = self.done_at + longest;
        // The length of the history in which something was not delivered yet: nothing new, nothing delivered.
        let mut undelivered = None;
        loop {
            let busy = self.busy();
            if busy.is_none() {
                let length = self.stage.with_history(|history| history.events().len());
                if undelivered != Some(length) && self.all_delivered() {
                    break;
                }
                undelivered = Some(length);
            }
            if self.stage.now() >= until {
                // What was not delivered by now is for the properties to judge.
                let Some(busy) = busy else { break };
                return Err(self.found(format!("quiet within {longest:?}"), busy, None).into());
            }
            self.ground.sleep(Duration::from_millis(200)).await;
        }
        self.done_now();
        Ok(())
    }

    fn busy(&self) -> Option<String> {
        for application in self.applications.all() {
            let host = self.name(application.lane);
            if application.loads.get() > 0 {
                return Some(format!("{host} still publishes its load"));
            }
            if application.pending.get() > 0 {
                return Some(format!(
                    "{} publications of {host} are not acknowledged",
                    application.pending.get()
                ));
            }
            if !application.connected.get() {
                return Some(format!("{host} is not connected"));
            }
        }
        let last = self.stage.with_history(|history| {
            history.events().iter().rev().find(|event| is_traffic(&event.what)).map(|event| event.at)
        });
        let silent = last.map_or(self.pace.quiet, |last| self.stage.now().saturating_sub(last));
        (silent < self.pace.quiet).then(|| format!("the last packet was sent {silent:?} ago"))
    }

    /// Whether every message with QoS above 0 that was taken over has reached everyone who should have it.
    fn all_delivered(&self) -> bool {
        self.stage.with_history(|history| {
            let deliveries = Deliveries::of(history);
            let mut had = std::collections::BTreeSet::new();
            for delivery in &deliveries.deliveries {
                had.insert((delivery.subscriber, &delivery.topic, &delivery.payload));
            }
            deliveries.subscribers().all(|subscriber| {
                deliveries.publications.iter().filter(|publication| publication.accepted).all(|publication| {
                    let interest = deliveries.interest(subscriber, publication);
                    interest.is_none_or(|interest| interest.qos == QoS::AtMostOnce)
                        || had.contains(&(subscriber, &publication.topic, &publication.payload))
                })
            })
        })
    }
}

fn is_traffic(what: &What) -> bool {
    match what {
        What::Sent { packet, .. } | What::Received { packet, .. } => {
            !matches!(packet, Packet::PingReq | Packet::PingResp)
        }
        What::SentRaw { .. } | What::ReceivedMalformed { .. } => true,
        _ => false,
    }
}

fn client_topic(topic: &Text, host: &str) -> Option<String> {
    topic.resolve(|name| (name == "client").then(|| host.to_owned())).ok()
}

/// The fields that a report asks for.
fn expected(report: &Report) -> Vec<Field> {
    match report {
        Report::Connected(fields) | Report::Disconnected(fields) | Report::Failed(fields) => fields.clone(),
        Report::Subscribed(filter) | Report::Unsubscribed(filter) => vec![field("filter", filter.clone())],
        Report::Published { topic, payload, fields } | Report::Received { topic, payload, fields } => {
            let mut all = vec![field("topic", topic.clone())];
            all.extend(payload.iter().map(|payload| field("payload", payload.clone())));
            all.extend(fields.iter().cloned());
            all
        }
    }
}

/// The fields of what was told, if it is a report of that kind.
fn seen(report: &Report, told: &Told) -> Option<Vec<Field>> {
    Some(match (report, told) {
        (Report::Connected(_), Told::Connected { session_present }) => {
            vec![field("session_present", number(u64::from(*session_present)))]
        }
        (Report::Disconnected(_), Told::Disconnected { error }) => error.iter().flat_map(troubles).collect(),
        (Report::Failed(_), Told::Failed { error } | Told::Published { refused: Some(error), .. }) => {
            troubles(error).collect()
        }
        (Report::Subscribed(_), Told::Subscribed { filters, .. })
        | (Report::Unsubscribed(_), Told::Unsubscribed { filters }) => {
            filters.iter().map(|filter| field("filter", Value::Text(Text::literal(filter)))).collect()
        }
        (Report::Published { .. }, Told::Published { message, refused: None, .. })
        | (Report::Received { .. }, Told::Message(message)) => fields_of(message),
        _ => return None,
    })
}

fn troubles(error: &mqttspec_judge::history::Trouble) -> impl Iterator<Item = Field> {
    let kind = field("error", Value::Word(error.kind.to_owned()));
    let reason = error.reason.map(|reason| field("reason", number(reason.into())));
    std::iter::once(kind).chain(reason)
}

fn fields_of(message: &Message) -> Vec<Field> {
    vec![
        field("topic", Value::Text(Text::literal(&message.topic))),
        field("payload", Value::Bytes(message.payload.to_vec())),
        field("qos", number(u8::from(message.qos).into())),
        field("retain", number(u64::from(message.retain))),
    ]
}

fn number(value: u64) -> Value {
    Value::Number(Number::decimal(value))
}

fn report_text(report: &Report) -> String {
    let (word, fields) = match report {
        Report::Connected(fields) => ("connected", fields.clone()),
        Report::Disconnected(fields) => ("disconnected", fields.clone()),
        Report::Failed(fields) => ("failed", fields.clone()),
        Report::Subscribed(_) => ("subscribed", expected(report)),
        Report::Unsubscribed(_) => ("unsubscribed", expected(report)),
        Report::Published { .. } => ("published", expected(report)),
        Report::Received { .. } => ("received", expected(report)),
    };
    let fields: Vec<String> =
        fields.iter().map(|field| format!(" {}", mqttspec_notation::fields::field_words(field))).collect();
    format!("{word}{}", fields.concat())
}

fn texts(fields: &[Field], version: mqttspec_notation::Version) -> String {
    fields
        .iter()
        .filter(|field| field.versions.applies_to(version))
        .map(|field| format!(" {}", mqttspec_notation::fields::field_words(field)))
        .collect()
}
