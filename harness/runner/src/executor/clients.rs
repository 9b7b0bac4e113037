//! Commands to the clients under test, their reports, and their loads.

use core::time::Duration;
use std::rc::Rc;

use mqttspec_client::{DisconnectRequest, Publication, SubscribeRequest, UnsubscribeRequest};
use mqttspec_codec::{Packet, PacketIdentifier, QoS, TopicName, Version};
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::finding::Finding;
use mqttspec_judge::history::{Asked, HostIndex, Told, What};
use mqttspec_judge::transcript::told_text;
use mqttspec_notation::fields::payload_text;
use mqttspec_notation::{
    Action, Field, Load, PacketPattern, PacketType, Report, StepKind, Test, Text, Value,
};

use super::blame::blame_message;
use super::clock::Window;
use super::matcher::{Match, Matcher, report_text};
use super::patterns::{bare, filter, publish};
use super::script::Script;
use crate::backend::Backend;
use crate::found::{SetUp, Stop, waited};
use crate::hosts::Hosts;
use crate::peers::client::{Application, Applications};
use crate::peers::commands::By;
use crate::peers::reports::ClientReport;
use crate::recorder::Recorder;

/// A message that the client reported in place of the one that a line expects.
pub(crate) struct Another {
    found: Finding,
    /// The fields that differ.
    fields: Vec<String>,
    /// Whether the expected message came after it.
    pub(crate) comes: bool,
}

impl Another {
    /// The finding, with the clauses that the message breaks.
    pub(crate) fn blamed(self) -> Finding {
        blame_message(self.found, self.fields, self.comes)
    }
}

/// A report of a line among those that the client has made.
enum Position {
    At(usize),
    After(Another),
    None,
}

/// What a line that expects a report takes.
pub(crate) enum Taken {
    /// The report, which was made at this time.
    At(Duration),
    Another(Another),
    Nothing,
}

pub(crate) struct Clients {
    applications: Rc<Applications>,
    backend: Rc<dyn Backend>,
    recorder: Rc<Recorder>,
    hosts: Rc<Hosts>,
    version: Version,
}

impl Clients {
    pub(crate) fn new(
        applications: Rc<Applications>,
        backend: Rc<dyn Backend>,
        recorder: Rc<Recorder>,
        hosts: Rc<Hosts>,
        version: Version,
    ) -> Self {
        Self { applications, backend, recorder, hosts, version }
    }

    /// Gives the client a command, and does not wait for its effect.
    pub(crate) async fn ask(&self, host: &str, action: &Action, matcher: &mut Matcher) -> Result<(), Stop> {
        let application = self.application(host)?;
        let mut packet = |pattern| {
            let client_id = self.hosts.name(application.host);
            matcher.build(pattern, application.host, client_id, PacketIdentifier::MIN)
        };
        let asked = match action {
            Action::Connects { fields, .. } => {
                let mut options = application.options.clone();
                for field in fields.iter().filter(|field| field.versions.applies_to(self.version)) {
                    set_option(&mut options, "", field, matcher, self.version)?;
                }
                // After a crash, a client under test waits for a line that connects it. A
                // background client reconnects without one.
                application.connect(options, !self.hosts.plays_server, self.in_version(fields)).await
            }
            Action::Subscribes { subscriptions, fields, .. } => {
                let (fields, subscriptions) = (fields.clone(), subscriptions.clone());
                let pattern = PacketPattern { fields, subscriptions, ..bare(PacketType::Subscribe) };
                let Packet::Subscribe(subscribe) = packet(&pattern)? else { return Ok(()) };
                let subscriptions = subscribe.subscriptions.into_vec();
                application
                    .subscribe(SubscribeRequest { subscriptions, properties: subscribe.properties })
                    .await
            }
            Action::Unsubscribes { filters, fields, .. } => {
                let subscriptions = filters.iter().cloned().map(filter).collect();
                let pattern =
                    PacketPattern { fields: fields.clone(), subscriptions, ..bare(PacketType::Unsubscribe) };
                let Packet::Unsubscribe(unsubscribe) = packet(&pattern)? else { return Ok(()) };
                let (filters, properties) = (unsubscribe.filters.into_vec(), unsubscribe.properties);
                application.unsubscribe(UnsubscribeRequest { filters, properties }).await
            }
            Action::Publishes { topic, payload, fields, .. }
            | Action::Requests { topic, payload, fields }
            | Action::Delivers { topic, payload, fields } => {
                let pattern = publish(topic, payload.as_ref(), fields);
                let Packet::Publish(publish) = packet(&pattern)? else { return Ok(()) };
                let topic =
                    publish.topic.ok_or_else(|| Stop::broken("a client needs a topic to publish to"))?;
                let qos = fields.iter().any(|field| field.name == "qos").then(|| publish.delivery.qos());
                let (payload, retain, properties) = (publish.payload, publish.retain, publish.properties);
                let publication = Publication { topic, payload, qos, retain, properties };
                match action {
                    Action::Requests { .. } => application.request(publication).await,
                    Action::Delivers { .. } => application.deliver(publication).await,
                    _ => application.publish(publication, By::Line).await,
                }
            }
            Action::Acknowledges { topic, payload, fields } => {
                let pattern = publish(topic, payload.as_ref(), &[]);
                let Packet::Publish(publish) = packet(&pattern)? else { return Ok(()) };
                let answer = PacketPattern { fields: fields.clone(), ..bare(PacketType::PubAck) };
                let Packet::PubAck(answer) = packet(&answer)? else { return Ok(()) };
                let topic = publish.topic.ok_or_else(|| Stop::broken("the message has no topic"))?;
                let named = payload.is_some().then_some(&publish.payload[..]);
                let Some(message) = application.unacknowledged(topic.as_str(), named) else {
                    let payload = named.map(|payload| format!(" {}", payload_text(payload)));
                    let message = format!("{}{}", topic.as_str(), payload.unwrap_or_default());
                    let expected = format!("{host} has a message {message} that it has not acknowledged");
                    return Err(self.recorder.found(expected, "it has none", None).into());
                };
                application.acknowledge(message, answer.reason, self.in_version(fields)).await
            }
            Action::Reauthenticates => application.reauthenticate().await,
            Action::Disconnects { fields } => {
                let pattern = PacketPattern { fields: fields.clone(), ..bare(PacketType::Disconnect) };
                let Packet::Disconnect(disconnect) = packet(&pattern)? else { return Ok(()) };
                let request =
                    DisconnectRequest { reason: disconnect.reason, properties: disconnect.properties };
                application.disconnect(request, self.in_version(fields)).await
            }
            Action::Opens | Action::Receives { .. } | Action::Pings | Action::Closes => {
                return Err(Stop::broken("a client under test has no such command"));
            }
        };
        asked.map_err(|error| Stop::broken(format!("{host}: {error}")))
    }

    /// Whether the client has made this report already. The report is not taken.
    pub(crate) fn was_told(
        &self,
        host: HostIndex,
        report: &Report,
        matcher: &mut Matcher,
    ) -> Result<bool, Stop> {
        match matcher.without_captures(|matcher| self.position(host, report, matcher))? {
            Position::At(_) => Ok(true),
            Position::None => Ok(false),
            Position::After(another) => Err(another.blamed().into()),
        }
    }

    /// Takes this report, if the client has made it; returns its time.
    pub(crate) fn take_told(
        &self,
        host: HostIndex,
        report: &Report,
        matcher: &mut Matcher,
    ) -> Result<Taken, Stop> {
        let place = match self.position(host, report, matcher)? {
            Position::At(place) => place,
            Position::None => return Ok(Taken::Nothing),
            Position::After(another) => return Ok(Taken::Another(another)),
        };
        let taken = self.client_of(host)?.reports.borrow_mut().take(place);
        let Some(ClientReport { event, told, .. }) = taken else { return Ok(Taken::Nothing) };
        self.recorder.answered(event, self.recorder.line());
        if let Some(reason) = self.lower_grant(host, &told) {
            let reason = format!("line {}: {reason}", self.recorder.line());
            return Err(Stop::SetUp(SetUp { reason, timing_sensitive: false }));
        }
        Ok(Taken::At(self.recorder.with_history(|history| history.events()[event].at)))
    }

    /// The Subscription that was granted a lower QoS than the client asked for: the Server may do
    /// that, and the scenario cannot use it.
    fn lower_grant(&self, host: HostIndex, told: &Told) -> Option<String> {
        let Told::Subscribed { handle, granted, .. } = told else { return None };
        let wanted = self.recorder.with_history(|history| {
            history.events().iter().rev().find_map(|event| match &event.what {
                What::Asked(Asked::Subscribe { filters, handle: of }) if of == handle => {
                    Some(filters.iter().map(|(_, qos)| *qos).collect::<Vec<_>>())
                }
                _ => None,
            })
        })?;
        let (wanted, granted) = wanted.into_iter().zip(granted).find_map(|(wanted, granted)| {
            granted.filter(|granted| *granted < wanted).map(|granted| (wanted, granted))
        })?;
        let (granted, wanted) = (u8::from(granted), u8::from(wanted));
        let name = self.hosts.name(host);
        Some(format!("{name} was granted QoS {granted}; the scenario needs {wanted}"))
    }

    /// The position of a report among those that no line has taken. Messages must arrive in the
    /// order of the lines; other reports need only belong to the line.
    fn position(&self, host: HostIndex, report: &Report, matcher: &mut Matcher) -> Result<Position, Stop> {
        let reports = self.client_of(host)?.reports.borrow().for_line(report);
        let mut first: Option<Another> = None;
        for (place, ClientReport { told, reason, .. }) in &reports {
            match matcher.compare_report(report, told, *reason)? {
                Match::Equal => {
                    return Ok(match first {
                        None => Position::At(*place),
                        Some(another) => Position::After(Another { comes: true, ..another }),
                    });
                }
                Match::Differs { expected, actual } if matches!(report, Report::Received { .. }) => {
                    let found = self.recorder.found(
                        format!("{} is told {}", self.hosts.name(host), report_text(report)),
                        format!("{}\n({actual} instead of {expected})", told_text(told)),
                        None,
                    );
                    if first.is_none() {
                        let fields = matcher.differing_fields(report, told);
                        first = Some(Another { found, fields, comes: false });
                    }
                }
                Match::Differs { .. } | Match::Other => {}
            }
        }
        Ok(first.map_or(Position::None, Position::After))
    }

    /// The finding for a report that the client did not make in time.
    pub(crate) fn not_told(&self, host: HostIndex, report: &Report, window: Window) -> Finding {
        let application = self.applications.get(self.hosts.name(host));
        let told: String = application.map_or_else(String::new, |application| {
            let reports = application.reports.borrow();
            reports.waiting().map(|report| format!("\n  {}", told_text(&report.told))).collect()
        });
        let told = if told.is_empty() { told } else { format!("; it was told{told}") };
        let waited = waited(window.until.saturating_sub(window.start));
        self.recorder.found(
            format!("{} is told {}", self.hosts.name(host), report_text(report)),
            format!("not told within {waited:?}{told}"),
            None,
        )
    }

    /// The finding for a received message that no line expects, with its host. There is none if the
    /// scenario has no `told … received` line for the host.
    pub(crate) fn left_over(&self, script: &Script<'_>) -> Option<(String, Finding)> {
        if !self.hosts.plays_server {
            return None;
        }
        self.applications.all().find_map(|application| {
            let host = self.hosts.name(application.host);
            if !says_what_is_received(script, host) {
                return None;
            }
            let reports = application.reports.borrow();
            let left = reports.waiting().find(|report| matches!(report.told, Told::Message { .. }))?;
            let expected = format!("{host} receives only messages that a line expects");
            let found = self.recorder.found(expected, told_text(&left.told), Some(left.event));
            Some((host.to_owned(), found))
        })
    }

    /// Starts a load.
    pub(crate) fn load(&self, load: &Load) -> Result<(), Stop> {
        let interval = load.rate.per / load.rate.count.max(1);
        for host in self.hosts.named(&load.publishers) {
            let application = self.application(&host)?.clone();
            let topic =
                client_topic(&load.topic, &host).and_then(|topic| TopicName::try_from(topic.as_str()).ok());
            let topic = topic.ok_or_else(|| Stop::broken("the topic of the load is not a Topic Name"))?;
            let qos: Vec<QoS> = load.qos.iter().filter_map(|qos| QoS::try_from(*qos).ok()).collect();
            let (backend, size) = (self.backend.clone(), load.size.unwrap_or(0) as usize);
            let end = self.backend.now() + load.lasting.on(false);
            application.loads.set(application.loads.get() + 1);
            mqttspec_runtime::spawn_local(async move {
                let start = backend.now();
                for (number, qos) in (1u32..).zip(qos.into_iter().cycle()) {
                    let mut payload = format!("{host}-{number}");
                    payload.extend(std::iter::repeat_n('.', size.saturating_sub(payload.len())));
                    let publication = Publication::new(topic.clone(), payload).qos(qos);
                    // If the client is down, this fails. The history has the command anyway.
                    let _ = application.publish(publication, By::Load).await;
                    let next = start + interval * number;
                    if next >= end {
                        break;
                    }
                    mqttspec_runtime::sleep(next.saturating_sub(backend.now())).await;
                }
                application.loads.set(application.loads.get() - 1);
            });
        }
        Ok(())
    }

    /// Why the clients are not quiet: a load runs, a publication is not acknowledged, a client is
    /// not connected, or a packet was sent within `silence`. `None` if they are quiet.
    pub(crate) fn busy(&self, silence: Duration) -> Option<String> {
        for application in self.applications.all() {
            let host = self.hosts.name(application.host);
            if application.loads.get() > 0 {
                return Some(format!("{host} still publishes its load"));
            }
            if application.pending.get() > 0 {
                return Some(format!(
                    "{} publications of {host} are not acknowledged",
                    application.pending.get()
                ));
            }
            if application.awaited.get().is_none() {
                let missing = self.not_arrived(application);
                if missing > 0 {
                    return Some(format!("{missing} publications of {host} have not arrived"));
                }
            }
            if !self.is_connected(application) {
                return Some(format!("{host} is not connected"));
            }
        }
        let silent = self.silent_for().unwrap_or(silence);
        (silent < silence).then(|| format!("the last packet was sent {silent:?} ago"))
    }

    /// How long nothing but PINGREQ and PINGRESP has been sent. `None` if nothing ever was.
    fn silent_for(&self) -> Option<Duration> {
        let last = self.recorder.with_history(|history| {
            history.events().iter().rev().find(|event| is_traffic(&event.what)).map(|event| event.at)
        });
        last.map(|last| self.backend.now().saturating_sub(last))
    }

    /// Whether nothing was sent for this time, and for as long as a client takes to notice that its
    /// connection has ended.
    pub(crate) fn rest(&self, rest: Duration) -> bool {
        let keep_alives = self.applications.all().map(|application| application.options.keep_alive);
        let noticing = keep_alives.map(|seconds| Duration::from_secs(u64::from(seconds)) * 2);
        // No run is so long that a client with a longer Keep Alive would notice.
        let noticing = noticing.filter(|time| *time <= LONGEST_NOTICE).max().unwrap_or_default();
        let no_load = self.applications.all().all(|application| application.loads.get() == 0);
        no_load && self.silent_for().is_some_and(|silent| silent > rest + noticing)
    }

    /// The deliveries so far.
    pub(crate) fn deliveries(&self) -> Deliveries {
        self.recorder.with_history(Deliveries::of)
    }

    /// How many messages above QoS 0 of this client the server does not have.
    fn not_arrived(&self, application: &Application) -> usize {
        self.recorder.with_history(|history| {
            let deliveries = Deliveries::of(history);
            let own = deliveries.publications.iter().filter(|one| one.publisher == application.host);
            own.filter(|one| one.qos != QoS::AtMostOnce && !one.accepted && !one.refused).count()
        })
    }

    /// Whether the client says so; if it is tested, also whether its server does.
    fn is_connected(&self, application: &Application) -> bool {
        application.connected.get()
            && (!self.hosts.serves_tested_clients()
                || self.recorder.with_host(application.host, |host| host.open))
    }

    /// Whether a client is not connected.
    pub(crate) fn has_left(&self) -> bool {
        self.applications.all().any(|application| !self.is_connected(application))
    }

    /// Why messages may have been lost or repeated without a fault of a client under test: one has
    /// connected again without the Session that its application wanted to keep. No clause demands
    /// that a client keeps it.
    pub(crate) fn lost_session(&self) -> Option<String> {
        if self.version == Version::V3_1 {
            // Its CONNACK has no Session Present.
            return None;
        }
        let has_lost = |application: &&Rc<Application>| {
            application.keeps_session()
                && self.recorder.with_history(|history| {
                    let own = history.events().iter().filter(|event| {
                        event.connection.is_some_and(|connection| connection.host == application.host)
                    });
                    let accepted = own.filter_map(|event| match &event.what {
                        What::Sent { packet: Packet::ConnAck(ack), .. } if !ack.reason.is_failure() => {
                            Some(ack)
                        }
                        _ => None,
                    });
                    accepted.skip(1).any(|ack| !ack.session_present)
                })
        };
        let application = self.applications.all().find(has_lost)?;
        let host = self.hosts.name(application.host);
        Some(format!("{host} has connected again without the Session that its application wanted to keep"))
    }

    fn application(&self, host: &str) -> Result<&Rc<Application>, Stop> {
        let application = self.applications.get(host);
        application.ok_or_else(|| Stop::broken(format!("no reference client runs on {host}")))
    }

    fn client_of(&self, host: HostIndex) -> Result<&Rc<Application>, Stop> {
        self.application(self.hosts.name(host))
    }

    fn in_version(&self, fields: &[Field]) -> Vec<Field> {
        fields.iter().filter(|field| field.versions.applies_to(self.version)).cloned().collect()
    }
}

/// The report that must follow a verb on the host of a client; `None` if there is nothing to
/// report.
pub(crate) fn report_of(action: &Action) -> Result<Option<Report>, Stop> {
    Ok(Some(match action {
        Action::Connects { expecting, .. } => Report::Connected(expecting.clone()),
        Action::Subscribes { subscriptions, .. } => match subscriptions.first() {
            Some(first) => Report::Subscribed(first.filter.clone()),
            None => return Ok(None),
        },
        Action::Unsubscribes { filters, .. } => match filters.first() {
            Some(first) => Report::Unsubscribed(first.clone()),
            None => return Ok(None),
        },
        Action::Publishes { topic, payload, fields, .. } => {
            let (topic, payload, fields) = (topic.clone(), payload.clone(), fields.clone());
            Report::Published { topic, payload, fields }
        }
        Action::Receives { topic, payload, fields } => {
            let (topic, payload, fields) = (topic.clone(), payload.clone(), fields.clone());
            Report::Received { topic, payload, fields }
        }
        Action::Acknowledges { topic, payload, .. } => {
            let (topic, payload, fields) = (topic.clone(), payload.clone(), Vec::new());
            Report::Acknowledged { topic, payload, fields }
        }
        Action::Requests { .. } | Action::Delivers { .. } | Action::Reauthenticates => return Ok(None),
        Action::Disconnects { .. } => Report::Disconnected(Vec::new()),
        Action::Opens | Action::Pings | Action::Closes => {
            return Err(Stop::broken("a client under test has no such command"));
        }
    }))
}

fn set_option(
    options: &mut mqttspec_client::Options,
    prefix: &str,
    field: &Field,
    matcher: &Matcher,
    version: Version,
) -> Result<(), Stop> {
    let Test::Equal(value) = &field.test else { return Ok(()) };
    if let Value::Fields(inner) = value {
        return inner
            .iter()
            .filter(|field| field.versions.applies_to(version))
            .try_for_each(|inner| set_option(options, "will_", inner, matcher, version));
    }
    let value = matcher.bindings().resolve(value).map_err(|unknown| Stop::broken(unknown.to_string()))?;
    let text = match &*value {
        Value::Number(number) => number.value.to_string(),
        Value::Word(word) => word.clone(),
        Value::Text(text) => text.as_literal().unwrap_or_default().to_owned(),
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap_or_default(),
        Value::Pair(name, value) => {
            format!("{}={}", name.as_literal().unwrap_or_default(), value.as_literal().unwrap_or_default())
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

fn says_what_is_received(script: &Script<'_>, host: &str) -> bool {
    let mut says = false;
    script.case.scenario.walk(&mut |step| {
        says |= matches!(&step.kind, StepKind::Told { host: of, report: Report::Received { .. } } if of == host);
    });
    says
}

/// How long a client may take to notice that its connection has ended.
const LONGEST_NOTICE: Duration = Duration::from_secs(10);

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
