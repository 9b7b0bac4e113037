//! A client under test that an adapter drives: converts commands of the application to lines, and
//! lines to events for the application.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mqttspec_client::{self as client, Delivered, Handle, Options};
use mqttspec_codec::{self as codec, QoS, SessionExpiryInterval, Version};
use mqttspec_judge::history::{Message, ReportedError};
use mqttspec_net::client::ClientGone;
use mqttspec_notation::fields::property_fields;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::process::{AdapterError, Killer, Process, REPLY_TIMEOUT};
use super::properties::PacketProperties;
use super::protocol::{
    Command, Connect, Disconnect, Event, Line, New, PUBLISHED, Publish, RECONNECT, Reply, Subscription,
    Trouble, Will,
};
use crate::peers::client::Application;
use crate::peers::commands::{CommandEnd, Commands};

/// How many events a client may report in one case.
const MAX_EVENTS: u32 = 100_000;

/// How long the application waits before it repeats the command to connect, if the library does not
/// reconnect by itself.
const RECONNECT_DELAY: Duration = Duration::from_millis(200);

/// The largest number of such repetitions in a case.
const MAX_RECONNECTS: u32 = 20;

/// The options that CONNECT carries. The others are the client's.
const CONNECT_FIELDS: [&str; 8] = [
    "user_name",
    "password",
    "receive_maximum",
    "maximum_packet_size",
    "topic_alias_maximum",
    "request_response_information",
    "request_problem_information",
    "user_property",
];

/// Options that the protocol carries in another form, or that only the reference client's driver
/// has.
const NOT_SENT: [&str; 8] =
    ["version", "client_id", "clean_start", "keep_alive", "session_expiry", "address", "port", "default_qos"];

/// Why a case cannot go on.
#[derive(Clone, Debug)]
pub(crate) enum Stopped {
    /// The library cannot do what the case needs.
    Unsupported(String),
    /// The adapter broke.
    Broken(AdapterError),
}

/// Where the peers of a run note that the case cannot go on.
#[derive(Debug, Default)]
pub(crate) struct Stops {
    first: RefCell<Option<Stopped>>,
    noted: Notify,
}

impl Stops {
    pub(crate) fn stop(&self, stopped: Stopped) {
        self.first.borrow_mut().get_or_insert(stopped);
        self.noted.notify_one();
    }

    pub(crate) fn take(&self) -> Option<Stopped> {
        self.first.borrow_mut().take()
    }

    /// Waits until a peer stops the case.
    pub(super) async fn stopped(&self) {
        while self.first.borrow().is_none() {
            self.noted.notified().await;
        }
    }
}

/// The address of a client's server, and the folder of its state.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) port: u16,
    pub(super) state_dir: String,
}

/// A running client. Ended with [`RunningPeer::end`], its process can drive another one.
pub(super) struct RunningPeer {
    killer: Killer,
    commands: Rc<Queue>,
    task: JoinHandle<Option<Process>>,
    stops: Rc<Stops>,
}

/// The commands that the task of the peer has not taken.
pub(crate) struct Queue {
    sender: RefCell<Option<mpsc::UnboundedSender<Given>>>,
}

impl Queue {
    pub(crate) fn new() -> (Rc<Self>, mpsc::UnboundedReceiver<Given>) {
        let (sender, received) = mpsc::unbounded_channel();
        (Rc::new(Self { sender: RefCell::new(Some(sender)) }), received)
    }
}

pub(crate) struct Given {
    command: client::Command,
    accepted: oneshot::Sender<Handle>,
}

impl Commands for Queue {
    fn send(&self, command: client::Command) -> Result<oneshot::Receiver<Handle>, ClientGone> {
        let (accepted, receiver) = oneshot::channel();
        let sender = self.sender.borrow();
        let sender = sender.as_ref().ok_or(ClientGone)?;
        sender.send(Given { command, accepted }).map_err(|_| ClientGone)?;
        Ok(receiver)
    }
}

impl RunningPeer {
    /// Makes a new client in the adapter, and runs it for the application.
    pub(super) async fn start(
        mut process: Process,
        place: &Place,
        application: Rc<Application>,
        connects: bool,
        stops: Rc<Stops>,
        output: Rc<RefCell<Vec<String>>>,
    ) -> Option<Self> {
        let options = client_options(&application.options, process.hello.supports(RECONNECT));
        let new = New {
            version: place.version.to_string(),
            address: "127.0.0.1".to_owned(),
            port: place.port,
            options,
            state_dir: place.state_dir.clone(),
        };
        let refusal = match process.call(Command::New(new), REPLY_TIMEOUT).await {
            Ok(Reply::Ok(_)) => None,
            Ok(Reply::Unsupported(reason)) => Some(Stopped::Unsupported(reason)),
            Ok(Reply::Error(reason)) => {
                Some(Stopped::Broken(AdapterError::Refused { command: "new", reason }))
            }
            Err(error) => Some(Stopped::Broken(error)),
        };
        if let Some(stopped) = refusal {
            output.borrow_mut().extend(process.output());
            stops.stop(stopped);
            return None;
        }
        let is_silent = process.hello.silent.iter().any(|event| event == PUBLISHED);
        let killer = process.killer();
        let reconnects = process.hello.supports(RECONNECT);
        let (commands, received) = Queue::new();
        application.start(commands.clone(), connects);
        let driver = Driver::new(process, place.version, application.clone(), stops.clone(), reconnects);
        if is_silent {
            application.awaited.set(None);
        }
        let task = tokio::task::spawn_local(driver.run(received, output));
        Some(Self { killer, commands, task, stops })
    }

    /// Kills the process at once, as a power failure would.
    pub(super) fn crash(self) {
        self.killer.kill();
        self.task.abort();
    }

    /// Drops the client; returns its process, if it can drive another one.
    pub(super) async fn end(self) -> Option<Process> {
        // The task ends when no more commands can come.
        self.commands.sender.borrow_mut().take();
        let mut process = self.task.await.ok().flatten()?;
        match process.call(Command::Drop {}, REPLY_TIMEOUT).await {
            Ok(Reply::Ok(_)) => Some(process),
            Ok(Reply::Unsupported(reason) | Reply::Error(reason)) => {
                self.stops.stop(AdapterError::Refused { command: "drop", reason }.into());
                None
            }
            // It may have ended in the case: a process that ends looks like a client that closes.
            Err(error) => {
                self.stops.stop(error.into());
                None
            }
        }
    }
}

/// The options of the client besides CONNECT that are not the default.
pub(crate) fn client_options(options: &Options, reconnects: bool) -> BTreeMap<String, String> {
    let default = Options::default();
    let is_of_client = |name: &&&str| {
        !NOT_SENT.contains(*name)
            && !CONNECT_FIELDS.contains(*name)
            && !name.starts_with("will_")
            // Without it the harness connects again, as an application does.
            && (reconnects || !name.starts_with("reconnect"))
    };
    Options::NAMES
        .iter()
        .filter(is_of_client)
        .filter_map(|name| {
            let value = options.get(name)?;
            (Some(&value) != default.get(name).as_ref()).then(|| ((*name).to_owned(), value))
        })
        .collect()
}

fn connect_line(options: &Options, version: Version) -> Connect {
    let default = Options::default();
    let changed = |name: &str| {
        let value = options.get(name)?;
        (Some(&value) != default.get(name).as_ref()).then_some(value)
    };
    let others = CONNECT_FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), changed(name)?)));
    let will = options.will_topic.as_ref().map(|topic| {
        let names = Options::NAMES.iter().filter_map(|name| {
            let of_will = name.strip_prefix("will_")?;
            let is_own = ["topic", "payload", "qos", "retain"].contains(&of_will);
            (!is_own).then_some((of_will.to_owned(), changed(name)?))
        });
        Will {
            topic: topic.as_str().to_owned(),
            payload: options.will_payload.to_vec(),
            qos: options.will_qos.into(),
            retain: options.will_retain,
            others: names.collect(),
        }
    });
    Connect {
        client_id: options.client_id.as_str().to_owned(),
        clean_start: options.clean_start.unwrap_or(false),
        keep_alive: options.keep_alive,
        session_expiry: (version == Version::V5).then_some(options.session_expiry),
        will,
        others: others.collect(),
    }
}

/// A command that the adapter has not answered.
struct Unanswered {
    name: &'static str,
    /// `None` for a command that the application repeats by itself.
    accepted: Option<oneshot::Sender<Handle>>,
    due: Instant,
}

/// The two directions of an adapter.
pub(crate) trait Adapter {
    /// Gives a command; returns its number.
    async fn send(&mut self, command: Command) -> Result<u64, AdapterError>;

    /// The next reply or event. Cancel safe.
    async fn line(&mut self) -> Result<Line, AdapterError>;

    /// The number of the next command.
    fn next_id(&self) -> u64;

    /// What it printed besides its lines.
    fn output(&mut self) -> Vec<String>;
}

impl Adapter for Process {
    async fn send(&mut self, command: Command) -> Result<u64, AdapterError> {
        Process::send(self, command).await
    }

    async fn line(&mut self) -> Result<Line, AdapterError> {
        Process::line(self).await
    }

    fn next_id(&self) -> u64 {
        Process::next_id(self)
    }

    fn output(&mut self) -> Vec<String> {
        Process::output(self)
    }
}

/// Drives a client through its adapter, for an application.
pub(crate) struct Driver<A> {
    adapter: A,
    version: Version,
    application: Rc<Application>,
    stops: Rc<Stops>,
    /// Whether the application connects again where the library does not.
    reconnects: bool,
    /// Commands that have not ended, with their names.
    open: BTreeMap<u64, &'static str>,
    replies: BTreeMap<u64, Unanswered>,
    connecting: Option<u64>,
    disconnecting: Option<u64>,
    last_connect: Option<Connect>,
    reconnect_at: Option<Instant>,
    reconnected: u32,
    /// The last command to connect that no line gave.
    repeated: Option<u64>,
    events: u32,
}

impl<A: Adapter> Driver<A> {
    /// A driver for a new client. `reconnects` says whether the library connects again by itself.
    pub(crate) fn new(
        adapter: A,
        version: Version,
        application: Rc<Application>,
        stops: Rc<Stops>,
        reconnects: bool,
    ) -> Self {
        // A client need not report that it has dropped a QoS 0 message.
        application.awaited.set(Some(QoS::AtLeastOnce));
        Self {
            reconnects: !reconnects && application.options.reconnect,
            adapter,
            version,
            application,
            stops,
            open: BTreeMap::new(),
            replies: BTreeMap::new(),
            connecting: None,
            disconnecting: None,
            last_connect: None,
            reconnect_at: None,
            reconnected: 0,
            repeated: None,
            events: 0,
        }
    }

    /// Runs until no more commands can come, or the case stops.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Given>,
        output: Rc<RefCell<Vec<String>>>,
    ) -> Option<A> {
        let stopped = loop {
            let due = self.replies.values().map(|unanswered| unanswered.due).min();
            let step = tokio::select! {
                biased;
                line = self.adapter.line() => match line {
                    Ok(line) => self.line(line),
                    Err(error) => Err(Stopped::Broken(error)),
                },
                given = commands.recv() => match given {
                    Some(given) => self.give(given).await,
                    None => return Some(self.adapter),
                },
                () = until(due) => Err(Stopped::Broken(self.silent())),
                () = until(self.reconnect_at) => self.connect_again().await,
            };
            if let Err(stopped) = step {
                break stopped;
            }
        };
        let broken = matches!(stopped, Stopped::Broken(_));
        self.stops.stop(stopped);
        if broken {
            // Its last output may arrive a moment later.
            tokio::time::sleep(Duration::from_millis(50)).await;
            output.borrow_mut().extend(self.adapter.output());
            return None;
        }
        Some(self.adapter)
    }

    fn silent(&self) -> AdapterError {
        let first = self.replies.values().min_by_key(|unanswered| unanswered.due);
        AdapterError::Silent { command: first.map_or("", |first| first.name), after: REPLY_TIMEOUT }
    }

    async fn give(&mut self, Given { command, accepted }: Given) -> Result<(), Stopped> {
        let line = self.line_of(command)?;
        let (name, id) = (line.name(), self.adapter.next_id());
        self.application.accepted(Handle(id));
        self.open.insert(id, name);
        match &line {
            Command::Connect(connect) => {
                self.last_connect = Some(connect.clone());
                (self.connecting, self.reconnect_at) = (Some(id), None);
            }
            Command::Disconnect(_) => (self.disconnecting, self.reconnect_at) = (Some(id), None),
            _ => {}
        }
        self.send(line, Some(accepted)).await
    }

    async fn send(
        &mut self,
        line: Command,
        accepted: Option<oneshot::Sender<Handle>>,
    ) -> Result<(), Stopped> {
        let name = line.name();
        let silent = AdapterError::Silent { command: name, after: REPLY_TIMEOUT };
        let sent = tokio::time::timeout(REPLY_TIMEOUT, self.adapter.send(line)).await;
        let id = sent.unwrap_or(Err(silent)).map_err(Stopped::Broken)?;
        self.replies.insert(id, Unanswered { name, accepted, due: Instant::now() + REPLY_TIMEOUT });
        Ok(())
    }

    async fn connect_again(&mut self) -> Result<(), Stopped> {
        self.reconnect_at = None;
        let Some(connect) = self.last_connect.clone() else { return Ok(()) };
        self.reconnected += 1;
        self.repeated = Some(self.adapter.next_id());
        self.send(Command::Connect(connect), None).await
    }

    fn line_of(&self, command: client::Command) -> Result<Command, Stopped> {
        let unsupported = |what: &str| Stopped::Unsupported(format!("the adapter protocol has no {what}"));
        Ok(match command {
            client::Command::Connect(options) => {
                let options = options.unwrap_or_else(|| Box::new(self.application.options.clone()));
                if options.authentication != self.application.options.authentication {
                    return Err(unsupported("enhanced authentication"));
                }
                Command::Connect(connect_line(&options, self.version))
            }
            client::Command::Publish(message) => Command::Publish(Publish {
                topic: message.topic.as_str().to_owned(),
                payload: message.payload.to_vec(),
                qos: message.qos.unwrap_or(self.application.options.default_qos).into(),
                retain: message.retain,
                properties: PacketProperties::of(&message.properties),
            }),
            client::Command::Subscribe(request) => {
                let properties = PacketProperties::of(&request.properties);
                let subscription = |subscription: mqttspec_codec::Subscription| Subscription {
                    filter: subscription.filter.as_str().to_owned(),
                    qos: subscription.qos.into(),
                    no_local: subscription.no_local,
                    retain_as_published: subscription.retain_as_published,
                    retain_handling: subscription.retain_handling as u8,
                };
                let subscriptions = request.subscriptions.into_iter().map(subscription).collect();
                Command::Subscribe { subscriptions, properties }
            }
            client::Command::Unsubscribe(request) => Command::Unsubscribe {
                filters: request.filters.iter().map(|filter| filter.as_str().to_owned()).collect(),
                properties: PacketProperties::of(&request.properties),
            },
            client::Command::Acknowledge { message, reason } => {
                Command::Acknowledge { message: message.0, reason: reason.into() }
            }
            client::Command::Disconnect(request) => {
                let session_expiry =
                    request.properties.get::<SessionExpiryInterval>().map(|interval| interval.0);
                Command::Disconnect(Disconnect { reason: request.reason.into(), session_expiry })
            }
            client::Command::Reauthenticate => Command::Reauthenticate {},
            client::Command::Request { .. } => return Err(unsupported("`request`")),
            client::Command::Deliver(_) => return Err(unsupported("`deliver`")),
            _ => return Err(unsupported("such command")),
        })
    }

    fn line(&mut self, line: Line) -> Result<(), Stopped> {
        match line {
            Line::Reply { id, reply } => self.reply(id, reply),
            Line::Event(event) => {
                self.events += 1;
                if self.events > MAX_EVENTS {
                    return Err(Stopped::Broken(AdapterError::Flood(MAX_EVENTS)));
                }
                self.event(event)
            }
        }
    }

    fn reply(&mut self, id: u64, reply: Reply) -> Result<(), Stopped> {
        let unknown = AdapterError::UnknownCommand { what: "reply", id };
        let Unanswered { accepted, .. } = self.replies.remove(&id).ok_or(Stopped::Broken(unknown))?;
        match reply {
            Reply::Ok(_) => {}
            Reply::Unsupported(reason) => return Err(Stopped::Unsupported(reason)),
            Reply::Error(text) => {
                self.close(id);
                let error = ReportedError { kind: "", reason: None, text };
                self.application.end_of(Handle(id), CommandEnd::Failed(error));
            }
        }
        if let Some(accepted) = accepted {
            // The line that gave the command may be over.
            let _ = accepted.send(Handle(id));
        }
        Ok(())
    }

    /// The command has ended.
    fn close(&mut self, id: u64) {
        self.open.remove(&id);
        self.connecting.take_if(|open| *open == id);
        self.disconnecting.take_if(|open| *open == id);
    }

    fn end(&mut self, what: &'static str, id: u64, end: CommandEnd) -> Result<(), Stopped> {
        if self.open.remove(&id).is_none() {
            return Err(Stopped::Broken(AdapterError::UnknownCommand { what, id }));
        }
        self.close(id);
        self.application.end_of(Handle(id), end);
        Ok(())
    }

    fn lost(&mut self) {
        if self.reconnects && self.last_connect.is_some() && self.reconnected < MAX_RECONNECTS {
            self.reconnect_at = Some(Instant::now() + RECONNECT_DELAY);
        }
    }

    fn event(&mut self, event: Event) -> Result<(), Stopped> {
        match event {
            Event::Connected { session_present } => {
                let id = self.connecting.take();
                id.map(|id| self.open.remove(&id));
                self.application.client_connected(id.map(Handle), session_present);
            }
            Event::Disconnected(trouble) => {
                let id = self.disconnecting.take();
                id.map(|id| self.open.remove(&id));
                let error = id.is_none().then(|| reported(trouble));
                self.application.client_disconnected(id.map(Handle), error);
                if id.is_none() {
                    self.lost();
                }
            }
            Event::Failed { id: Some(id), trouble } if self.repeated == Some(id) => {
                self.application.gave_up(reported(trouble));
                self.lost();
            }
            Event::Failed { id: Some(id), trouble } => {
                let is_connect = self.connecting == Some(id);
                self.end("failed", id, CommandEnd::Failed(reported(trouble)))?;
                if is_connect {
                    self.lost();
                }
            }
            Event::Failed { id: None, trouble } => {
                match self.connecting.take() {
                    Some(id) => {
                        self.end("failed", id, CommandEnd::Failed(reported(trouble)))?;
                    }
                    None => self.application.gave_up(reported(trouble)),
                }
                self.lost();
            }
            Event::Received { message, topic, payload, qos, retain, dup: _, properties } => {
                let qos = QoS::try_from(qos).map_err(|_| garbage("received", "qos is 0, 1 or 2"))?;
                let message_told = Message { topic, payload: payload.into(), qos, retain };
                let properties = match properties.map(|properties| properties.in_packet::<codec::Publish>()) {
                    Some(None) => return Err(garbage("received", "the properties are those of a PUBLISH")),
                    properties => properties.flatten().map(|properties| property_fields(&properties)),
                };
                self.application.received(message_told, properties, message.map(Delivered));
            }
            Event::Published { id, reason } if reason < 0x80 => {
                self.end("published", id, CommandEnd::Published(reason))?;
            }
            Event::Published { id, reason } => {
                let error = ReportedError { kind: "protocol", reason: Some(reason), text: String::new() };
                self.end("published", id, CommandEnd::Failed(error))?;
            }
            Event::Subscribed { id, reasons } => {
                let granted = reasons.iter().map(|reason| QoS::try_from(*reason).ok()).collect();
                self.end("subscribed", id, CommandEnd::Granted(granted))?;
            }
            Event::Unsubscribed { id } => self.end("unsubscribed", id, CommandEnd::Done)?,
            Event::Acknowledged { id } => self.end("acknowledged", id, CommandEnd::Done)?,
            Event::Reauthenticated { id } => self.end("reauthenticated", id, CommandEnd::Done)?,
        }
        Ok(())
    }
}

fn garbage(event: &str, error: &str) -> Stopped {
    Stopped::Broken(AdapterError::Garbage { line: format!("the event `{event}`"), error: error.to_owned() })
}

fn reported(trouble: Trouble) -> ReportedError {
    let kinds = ["network", "authentication", "timeout", "protocol", "application"];
    let kind = trouble.error.and_then(|error| kinds.into_iter().find(|kind| *kind == error));
    ReportedError { kind: kind.unwrap_or_default(), reason: trouble.reason, text: trouble.text }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
