//! The applications of reference clients. An application gives commands to its client, records the
//! client's reports, and counts its loads.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_client::{self as client, Command, Event, Options};
use mqttspec_codec::{PubAckReason, QoS, ResponseTopic, Version};
use mqttspec_net::Clock;
use mqttspec_net::client::{ClientGone, ClientObserved};
use mqttspec_net::store::{LogStore, MemoryStore, NoStore, Store};
use mqttspec_net::transport::WebSocketNet;
use mqttspec_ports::{Disk, Net};
use tokio::sync::oneshot;

use super::commands::{By, ClientCommand, CommandEnd, Commands, GivenCommand, received, reported_error};
use super::reports::{ClientReport, CommandNumber, Reports};
use super::{PeerHost, Transport};
use crate::backend::WEBSOCKET_PATH;
use crate::hosts::{PORT, SERVER};
use crate::recorder::{Recorder, ending};
use mqttspec_judge::history::{Asked, ConnectionKey, Ending, HostIndex, Message, ReportedError, Told, What};
use mqttspec_mutants::{MutantNet, MutantWebSocketNet};
use mqttspec_notation::Field;
use mqttspec_notation::fields::property_fields;

/// All applications of a run, by host.
#[derive(Default)]
pub(crate) struct Applications {
    by_host: BTreeMap<String, Rc<Application>>,
}

impl Applications {
    pub(crate) fn add(&mut self, host: &str, application: Rc<Application>) {
        self.by_host.insert(host.to_owned(), application);
    }

    pub(crate) fn get(&self, host: &str) -> Option<&Rc<Application>> {
        self.by_host.get(host)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Application>> {
        self.by_host.values()
    }
}

/// An application with its client. The application and the client's store survive crashes of the
/// host.
pub(crate) struct Application {
    pub(crate) host: HostIndex,
    recorder: Rc<Recorder>,
    version: Version,
    pub(crate) options: Options,
    /// Survives crashes, like a disk that syncs every write at once.
    store: MemoryStore,
    keeping: Keeping,
    /// Whether packets are recorded at the client's end.
    records_packets: bool,
    transport: Transport,
    commander: RefCell<Option<Rc<dyn Commands>>>,
    /// The first command when the host starts after a crash.
    after_crash: RefCell<AfterCrash>,
    /// Commands that were sent and that the client has not accepted yet, oldest first.
    sent: RefCell<VecDeque<GivenCommand>>,
    /// Commands that the client has accepted and that have not ended.
    accepted: RefCell<BTreeMap<client::Handle, GivenCommand>>,
    /// Messages that the client has reported and no command has acknowledged, oldest first.
    unacknowledged: RefCell<VecDeque<Unacknowledged>>,
    /// Reports that no line has taken.
    pub(crate) reports: RefCell<Reports>,
    last_number: Cell<u64>,
    /// The number of publications that were commanded and have not ended.
    pub(crate) pending: Cell<u64>,
    /// The least QoS of publications whose end the client is expected to report. The others are
    /// never pending.
    pub(crate) awaited: Cell<Option<QoS>>,
    pub(crate) connected: Cell<bool>,
    /// The number of loads that run.
    pub(crate) loads: Cell<u32>,
    /// The connections of the client, by their numbers in the client.
    keys: RefCell<BTreeMap<u64, ConnectionKey>>,
}

/// Where a client in a simulation keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// On the disk of its host.
    OnDisk,
    /// In memory that survives crashes.
    InMemory,
    /// Nowhere: its host cannot crash, so that no other client reads them.
    Nowhere,
}

/// A message that the client has reported, and how to acknowledge it.
pub(crate) type Unacknowledged = (client::Delivered, Message);

/// What an application does when its host starts after a crash.
#[derive(Clone, Debug)]
enum AfterCrash {
    /// Nothing: it waits for a command of the scenario.
    Wait,
    /// It connects with the options of its last connect command.
    Connect(Option<Box<Options>>),
}

impl Application {
    pub(crate) fn new(
        host: HostIndex,
        recorder: Rc<Recorder>,
        version: Version,
        mut options: Options,
        records_packets: bool,
        keeping: Keeping,
        transport: Transport,
    ) -> Rc<Self> {
        options.version = version;
        SERVER.clone_into(&mut options.address);
        options.port = Some(PORT);
        Rc::new(Self {
            host,
            recorder,
            version,
            options,
            store: MemoryStore::new(),
            keeping,
            records_packets,
            transport,
            commander: RefCell::default(),
            after_crash: RefCell::new(AfterCrash::Wait),
            sent: RefCell::default(),
            accepted: RefCell::default(),
            unacknowledged: RefCell::default(),
            reports: RefCell::default(),
            last_number: Cell::new(0),
            pending: Cell::new(0),
            awaited: Cell::new(Some(QoS::AtMostOnce)),
            connected: Cell::new(false),
            loads: Cell::new(0),
            keys: RefCell::default(),
        })
    }

    /// The main task of the client's host in a simulation.
    pub(crate) async fn run<N: Net, D: Disk>(
        self: Rc<Self>,
        host: PeerHost<N, D>,
        connects: bool,
    ) -> Result<(), String> {
        let PeerHost { net, disk, seed, now } = host;
        match (self.transport.mutant, self.transport.over_websocket) {
            (None, false) => self.run_on(PeerHost { net, disk, seed, now }, connects).await,
            (Some(mutant), false) => {
                let net = MutantNet::new(net, mutant);
                self.run_on(PeerHost { net, disk, seed, now }, connects).await
            }
            (None, true) => {
                let net = WebSocketNet::new(net, WEBSOCKET_PATH);
                self.run_on(PeerHost { net, disk, seed, now }, connects).await
            }
            (Some(mutant), true) => {
                let net = MutantNet::new(MutantWebSocketNet::new(net, mutant), mutant);
                self.run_on(PeerHost { net, disk, seed, now }, connects).await
            }
        }
    }

    async fn run_on<N: Net, D: Disk>(
        self: Rc<Self>,
        host: PeerHost<N, D>,
        connects: bool,
    ) -> Result<(), String> {
        let (seed, clock) = (host.seed.child("client"), Clock::showing(host.now));
        match self.keeping {
            Keeping::OnDisk => {
                let store = LogStore::open(host.disk).map_err(|error| error.to_string())?;
                self.drive(host.net, seed.to_u64(), clock, connects, store).await
            }
            Keeping::InMemory => {
                let store = self.store.clone();
                self.drive(host.net, seed.to_u64(), clock, connects, store).await
            }
            Keeping::Nowhere => self.drive(host.net, seed.to_u64(), clock, connects, NoStore).await,
        }
    }

    /// Runs the client against a live server. Its store survives crashes, like a disk that syncs
    /// every write.
    pub(crate) async fn run_live<N: Net>(
        self: Rc<Self>,
        net: N,
        seed: u64,
        connects: bool,
    ) -> Result<(), String> {
        let (clock, store) = (Clock::of_this_machine(), self.store.clone());
        self.drive(net, seed, clock, connects, store).await
    }

    async fn drive<N: Net>(
        self: Rc<Self>,
        net: N,
        seed: u64,
        clock: Clock,
        connects: bool,
        store: impl Store + 'static,
    ) -> Result<(), String> {
        self.connected.set(false);
        let observer = self.clone();
        let (handle, driver) = mqttspec_net::client::client(
            net,
            self.options.clone(),
            seed,
            clock,
            store,
            move |_: Duration, what: ClientObserved<'_>| observer.observe(&what),
        )
        .map_err(|error| error.to_string())?;
        // The tap observes the events. The commander is kept, because the driver ends with the last one.
        let commander = handle.without_events();
        self.start(Rc::new(commander.clone()), connects);
        let ended = driver.await.map_err(|error| error.to_string());
        drop(commander);
        ended
    }

    /// The client runs, and takes commands from now on.
    pub(crate) fn start(&self, commander: Rc<dyn Commands>, connects: bool) {
        let connect = match &*self.after_crash.borrow() {
            AfterCrash::Connect(options) => Some(options.clone()),
            AfterCrash::Wait => connects.then_some(None),
        };
        if let Some(options) = connect {
            // No line expects the end of this command.
            let connect = GivenCommand { number: None, what: ClientCommand::Connect };
            drop(self.send(&*commander, Command::Connect(options), connect));
        }
        *self.commander.borrow_mut() = Some(commander);
    }

    /// Commands the client to connect with these options. With `again`, the application repeats the
    /// command when its host starts after a crash; otherwise a line of the scenario does.
    pub(crate) async fn connect(
        &self,
        options: Options,
        again: bool,
        fields: Vec<Field>,
    ) -> Result<(), String> {
        self.record(What::Asked(Asked::Connect(fields)));
        let options = Some(Box::new(options));
        self.command(Command::Connect(options.clone()), By::Line, ClientCommand::Connect).await?;
        // Set after the command, so that a host that is just starting does not connect twice.
        if again {
            *self.after_crash.borrow_mut() = AfterCrash::Connect(options);
        }
        Ok(())
    }

    pub(crate) async fn disconnect(
        &self,
        request: client::DisconnectRequest,
        fields: Vec<Field>,
    ) -> Result<(), String> {
        self.record(What::Asked(Asked::Disconnect(fields)));
        *self.after_crash.borrow_mut() = AfterCrash::Wait;
        self.command(Command::Disconnect(request), By::Line, ClientCommand::Disconnect).await
    }

    pub(crate) async fn publish(&self, publication: client::Publication, by: By) -> Result<(), String> {
        let message = self.message(&publication);
        let handle = self.next_number();
        self.record(What::Asked(Asked::Publish { message: message.clone(), handle }));
        self.pending.set(self.pending.get() + self.awaits(&message));
        self.command(Command::Publish(publication), by, ClientCommand::Publish { handle, message }).await
    }

    pub(crate) async fn request(&self, mut publication: client::Publication) -> Result<(), String> {
        self.record(What::Asked(Asked::Request { message: self.message(&publication) }));
        let response_topic = publication.properties.get().map(|ResponseTopic(topic)| topic);
        publication.properties.remove::<ResponseTopic>();
        let request = Command::Request { publication, response_topic, timeout: None };
        self.command(request, By::Line, ClientCommand::Request).await
    }

    pub(crate) async fn deliver(&self, publication: client::Publication) -> Result<(), String> {
        let message = self.message(&publication);
        self.record(What::Asked(Asked::Deliver { message: message.clone() }));
        self.pending.set(self.pending.get() + 1);
        let deliver = Command::Deliver(publication.into());
        self.command(deliver, By::Line, ClientCommand::Deliver { message }).await
    }

    pub(crate) async fn reauthenticate(&self) -> Result<(), String> {
        self.record(What::Asked(Asked::Reauthenticate));
        self.command(Command::Reauthenticate, By::Line, ClientCommand::Reauthenticate).await
    }

    /// 1 if the publication of this message counts as pending until its end.
    fn awaits(&self, message: &Message) -> u64 {
        u64::from(self.awaited.get().is_some_and(|least| message.qos >= least))
    }

    fn message(&self, publication: &client::Publication) -> Message {
        Message {
            topic: publication.topic.as_str().to_owned(),
            payload: publication.payload.clone(),
            qos: publication.qos.unwrap_or(self.options.default_qos),
            retain: publication.retain,
        }
    }

    pub(crate) async fn subscribe(&self, request: client::SubscribeRequest) -> Result<(), String> {
        let asked: Vec<(String, QoS)> =
            request.subscriptions.iter().map(|s| (s.filter.as_str().to_owned(), s.qos)).collect();
        let filters = asked.iter().map(|(filter, _)| filter.clone()).collect();
        let handle = self.next_number();
        self.record(What::Asked(Asked::Subscribe { filters: asked, handle }));
        let subscribe = ClientCommand::Subscribe { handle, filters };
        self.command(Command::Subscribe(request), By::Line, subscribe).await
    }

    pub(crate) async fn unsubscribe(&self, request: client::UnsubscribeRequest) -> Result<(), String> {
        let filters: Vec<String> = request.filters.iter().map(|filter| filter.as_str().to_owned()).collect();
        self.record(What::Asked(Asked::Unsubscribe(filters.clone())));
        self.command(Command::Unsubscribe(request), By::Line, ClientCommand::Unsubscribe { filters }).await
    }

    /// Takes the oldest message of this kind that the client has reported and that no command has
    /// acknowledged.
    pub(crate) fn unacknowledged(&self, topic: &str, payload: Option<&[u8]>) -> Option<Unacknowledged> {
        let mut messages = self.unacknowledged.borrow_mut();
        let matches = |(_, message): &Unacknowledged| {
            message.topic == topic && payload.is_none_or(|payload| *message.payload == *payload)
        };
        let place = messages.iter().position(matches)?;
        messages.remove(place)
    }

    pub(crate) async fn acknowledge(
        &self,
        (delivered, message): Unacknowledged,
        reason: PubAckReason,
        fields: Vec<Field>,
    ) -> Result<(), String> {
        self.record(What::Asked(Asked::Acknowledge { message: message.clone(), fields }));
        let command = Command::Acknowledge { message: delivered, reason };
        self.command(command, By::Line, ClientCommand::Acknowledge { message }).await
    }

    /// Gives the client a command, and waits until the client has accepted it.
    async fn command(&self, command: Command, by: By, what: ClientCommand) -> Result<(), String> {
        let number = (by == By::Line).then(|| {
            let given_at = self.recorder.with_history(|history| history.events().len());
            self.reports.borrow_mut().begin(what.kind(), given_at)
        });
        let given = GivenCommand { number, what };
        let taken = match self.commander().await {
            Some(commander) => match self.send(&*commander, command, given.clone()) {
                Ok(taken) => taken.await.map(drop).map_err(|_| ClientGone.to_string()),
                Err(gone) => Err(gone.to_string()),
            },
            None => Err("the client does not run".to_owned()),
        };
        if let Err(error) = &taken
            && let ClientCommand::Publish { .. } | ClientCommand::Deliver { .. } = given.what
        {
            let text = error.clone();
            self.end(given, CommandEnd::Failed(ReportedError { kind: "application", reason: None, text }));
        }
        taken
    }

    /// Sends a command to the client. The receiver resolves when the client has accepted it.
    fn send(
        &self,
        commander: &dyn Commands,
        command: Command,
        given: GivenCommand,
    ) -> Result<oneshot::Receiver<client::Handle>, ClientGone> {
        // A client accepts a command after this task waits.
        let taken = commander.send(command)?;
        self.sent.borrow_mut().push_back(given);
        Ok(taken)
    }

    /// The handle for commands. Waits for a short time if the host has just been started.
    async fn commander(&self) -> Option<Rc<dyn Commands>> {
        for _ in 0..10 {
            let commander = self.commander.borrow().clone();
            if commander.is_some() {
                return commander;
            }
            mqttspec_runtime::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    /// Whether the application wants its Session to outlive a connection.
    pub(crate) fn keeps_session(&self) -> bool {
        let keeps = |options: &Options| {
            options.clean_start == Some(false) && (self.version != Version::V5 || options.session_expiry > 0)
        };
        match &*self.after_crash.borrow() {
            AfterCrash::Connect(Some(options)) => keeps(options),
            AfterCrash::Connect(None) | AfterCrash::Wait => keeps(&self.options),
        }
    }

    /// Notes that the client's host has crashed.
    pub(crate) fn crashed(&self) {
        *self.commander.borrow_mut() = None;
        self.connected.set(false);
        self.sent.borrow_mut().clear();
        self.unacknowledged.borrow_mut().clear();
        // Only publications above QoS 0 and messages of the outbox survive, in the store. Other commands never end.
        let mut lost = 0;
        self.accepted.borrow_mut().retain(|_, given| match &given.what {
            ClientCommand::Publish { message, .. } if message.qos == QoS::AtMostOnce => {
                lost += self.awaits(message);
                false
            }
            what => matches!(what, ClientCommand::Publish { .. } | ClientCommand::Deliver { .. }),
        });
        self.pending.set(self.pending.get().saturating_sub(lost));
        let last = self.keys.borrow_mut().pop_last();
        if let Some((_, key)) = last.filter(|_| self.recorder.with_host(self.host, |state| state.open)) {
            self.recorder.end(key, Ending::Crashed);
        }
    }

    fn next_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    fn record(&self, what: What) {
        let key = ConnectionKey { host: self.host, number: 0 };
        self.recorder.record(Some(key), self.recorder.line(), what);
    }

    fn observe(&self, what: &ClientObserved<'_>) {
        match what {
            ClientObserved::Core(event) => return self.event(event),
            ClientObserved::Commanded { handle } => return self.accepted(*handle),
            _ => {}
        }
        if !self.records_packets {
            return;
        }
        match what {
            ClientObserved::Opened { connection } => {
                let key = self.recorder.open(self.host, self.version);
                self.keys.borrow_mut().insert(*connection, key);
            }
            ClientObserved::Sent { connection, packet, bytes } => {
                let (packet, bytes) = ((*packet).clone(), Bytes::copy_from_slice(bytes));
                self.packet(*connection, What::Sent { packet, bytes });
            }
            ClientObserved::Received { connection, packet, bytes } => {
                let (packet, bytes) = ((*packet).clone(), (*bytes).clone());
                self.packet(*connection, What::Received { packet, bytes });
            }
            ClientObserved::Malformed { connection, error, bytes } => {
                let (error, bytes) = (**error, (*bytes).clone());
                self.packet(*connection, What::ReceivedMalformed { error, bytes });
            }
            ClientObserved::Lost { connection, ending: lost } => {
                self.ended_connection(*connection, ending(lost));
            }
            ClientObserved::Closed { connection } => self.ended_connection(*connection, Ending::ByObserver),
            _ => {}
        }
    }

    fn ended_connection(&self, connection: u64, ending: Ending) {
        let key = self.keys.borrow_mut().remove(&connection);
        if let Some(key) = key {
            self.recorder.end(key, ending);
        }
    }

    fn packet(&self, connection: u64, what: What) {
        if let Some(key) = self.keys.borrow().get(&connection) {
            self.recorder.record(Some(*key), 0, what);
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Connected { handle, session_present, .. } => {
                self.client_connected(*handle, *session_present);
            }
            Event::Disconnected { handle, error, .. } => {
                self.client_disconnected(*handle, error.as_ref().map(reported_error));
            }
            Event::Message(message) => {
                let properties = Some(property_fields(&message.properties));
                self.received(received(message), properties, message.delivered);
            }
            Event::Published { handle, reason, .. } => {
                self.end_of(*handle, CommandEnd::Published(u8::from(*reason)));
            }
            Event::Unsubscribed { handle, .. }
            | Event::Acknowledged { handle }
            | Event::Delivered { handle, .. }
            | Event::Reauthenticated { handle } => self.end_of(*handle, CommandEnd::Done),
            Event::Response { handle, message } => {
                let properties = property_fields(&message.properties);
                self.end_of(*handle, CommandEnd::Answered(received(message), properties));
            }
            Event::Subscribed { handle, reasons, .. } => {
                let granted = reasons.iter().map(|reason| QoS::try_from(u8::from(*reason)).ok()).collect();
                self.end_of(*handle, CommandEnd::Granted(granted));
            }
            Event::Failed { handle, error } => {
                self.end_of(*handle, CommandEnd::Failed(reported_error(error)));
            }
            Event::Dropped { handle } => {
                let text = "the publish queue had no place for it".to_owned();
                self.end_of(
                    *handle,
                    CommandEnd::Failed(ReportedError { kind: "application", reason: None, text }),
                );
            }
            Event::GaveUp { error } => self.gave_up(reported_error(error)),
            _ => {}
        }
    }

    /// The client has accepted the oldest command that was sent.
    pub(crate) fn accepted(&self, handle: client::Handle) {
        let oldest = self.sent.borrow_mut().pop_front();
        self.accepted.borrow_mut().extend(oldest.map(|given| (handle, given)));
    }

    pub(crate) fn client_connected(&self, handle: Option<client::Handle>, session_present: bool) {
        self.connected.set(true);
        let number = self.ended(handle).and_then(|given| given.number);
        self.tell(number, Told::Connected { session_present });
    }

    pub(crate) fn client_disconnected(&self, handle: Option<client::Handle>, error: Option<ReportedError>) {
        self.connected.set(false);
        let number = self.ended(handle).and_then(|given| given.number);
        self.tell(number, Told::Disconnected { error });
    }

    /// The client has received a message; `delivered` identifies it if it can be acknowledged.
    pub(crate) fn received(
        &self,
        message: Message,
        properties: Option<Vec<Field>>,
        delivered: Option<client::Delivered>,
    ) {
        if let Some(delivered) = delivered {
            self.unacknowledged.borrow_mut().push_back((delivered, message.clone()));
        }
        self.tell(None, Told::Message { message, properties });
    }

    /// The client makes no more attempts to connect.
    pub(crate) fn gave_up(&self, error: ReportedError) {
        self.tell(None, Told::Failed { error });
    }

    /// Removes and returns the command with this handle.
    fn ended(&self, handle: Option<client::Handle>) -> Option<GivenCommand> {
        self.accepted.borrow_mut().remove(&handle?)
    }

    pub(crate) fn end_of(&self, handle: client::Handle, end: CommandEnd) {
        if let Some(given) = self.ended(Some(handle)) {
            self.end(given, end);
        }
    }

    /// Reports the end of a command to the application.
    fn end(&self, given: GivenCommand, end: CommandEnd) {
        let GivenCommand { number, what } = given;
        match (what, end) {
            (ClientCommand::Publish { handle, message }, end) => {
                self.pending.set(self.pending.get().saturating_sub(self.awaits(&message)));
                let (refused, reason) = match end {
                    CommandEnd::Failed(error) => (Some(error), None),
                    CommandEnd::Published(reason) => (None, Some(reason)),
                    CommandEnd::Done | CommandEnd::Granted(_) | CommandEnd::Answered(..) => (None, None),
                };
                let told = Told::Published { handle, message, refused };
                if number.is_some() {
                    let event = self.recorder.tell(self.host, told.clone());
                    self.reports.borrow_mut().add(ClientReport { event, command: number, told, reason });
                } else {
                    // No line expects the end of a load's publication.
                    self.recorder.tell(self.host, told);
                }
            }
            (ClientCommand::Subscribe { handle, filters }, CommandEnd::Granted(granted)) => {
                self.tell(number, Told::Subscribed { handle, filters, granted });
            }
            (ClientCommand::Unsubscribe { filters }, CommandEnd::Done) => {
                self.tell(number, Told::Unsubscribed { filters });
            }
            (ClientCommand::Acknowledge { message }, CommandEnd::Done) => {
                self.tell(number, Told::Acknowledged { message });
            }
            (ClientCommand::Deliver { message }, end) => {
                self.pending.set(self.pending.get().saturating_sub(1));
                let told = match end {
                    CommandEnd::Failed(error) => Told::Failed { error },
                    _ => Told::Delivered { message },
                };
                self.tell(number, told);
            }
            (ClientCommand::Request, CommandEnd::Answered(message, properties)) => {
                self.tell(number, Told::Answered { message, properties });
            }
            (ClientCommand::Reauthenticate, CommandEnd::Done) => self.tell(number, Told::Reauthenticated),
            (_, CommandEnd::Failed(error)) => self.tell(number, Told::Failed { error }),
            _ => {}
        }
    }

    /// Records a report, and keeps it until a line takes it.
    fn tell(&self, command: Option<CommandNumber>, told: Told) {
        let event = self.recorder.tell(self.host, told.clone());
        self.reports.borrow_mut().add(ClientReport { event, command, told, reason: None });
    }
}
