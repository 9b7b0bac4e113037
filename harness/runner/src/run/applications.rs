//! The applications of reference clients: they ask their client for something, record what it tells them, and put load on it.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_client::{self as client, Command, Event, Options};
use mqttspec_codec::{QoS, Version};
use mqttspec_net::Clock;
use mqttspec_net::client::{ClientObserved, Commander};
use mqttspec_net::framed::Ending as NetEnding;
use mqttspec_net::store::{DiskStore, MemoryStore, Store};
use mqttspec_ports::Net;
use mqttspec_world::HostContext;

use super::cast::{PORT, SERVER};
use super::stage::Stage;
use mqttspec_judge::history::{Asked, ConnectionKey, Ending, Lane, Message, Told, Trouble, What};
use mqttspec_mutants::Mutant;
use mqttspec_mutants::MutantNet;

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

/// An application with its client. It outlives crashes of its host, and so does the client's store.
pub(crate) struct Application {
    pub(crate) lane: Lane,
    stage: Rc<Stage>,
    version: Version,
    pub(crate) options: Options,
    /// Kept apart from the host, as on a disk on which every write is synced at once.
    store: MemoryStore,
    /// Whether the client's store is on its host's disk instead.
    durable: bool,
    /// Whether packets are recorded at the client's end.
    records_packets: bool,
    /// What its client does wrong.
    mutant: Option<&'static Mutant>,
    commander: RefCell<Option<Commander>>,
    /// The options of the last wish to be connected; a client that is started again is asked for the same.
    wanted: RefCell<Option<Options>>,
    wishes: RefCell<BTreeMap<client::Handle, Wish>>,
    /// Events of commands whose handle is not known yet.
    early: RefCell<Vec<(client::Handle, CommandEnd)>>,
    last_wish: Cell<u64>,
    /// Publications that are asked for and not done.
    pub(crate) pending: Cell<u64>,
    pub(crate) connected: Cell<bool>,
    /// Loads that still run.
    pub(crate) loads: Cell<u32>,
    /// The connections of the client as the history numbers them.
    keys: RefCell<BTreeMap<u64, ConnectionKey>>,
}

/// What a handle stands for.
#[derive(Clone, Debug)]
enum Wish {
    Publish { number: u64, message: Message },
    Subscribe { number: u64, filters: Vec<String> },
    Unsubscribe { filters: Vec<String> },
    Other,
}

impl Application {
    pub(crate) fn new(
        lane: Lane,
        stage: Rc<Stage>,
        version: Version,
        mut options: Options,
        records_packets: bool,
        durable: bool,
        mutant: Option<&'static Mutant>,
    ) -> Rc<Self> {
        options.version = version;
        SERVER.clone_into(&mut options.address);
        options.port = Some(PORT);
        Rc::new(Self {
            lane,
            stage,
            version,
            options,
            store: MemoryStore::new(),
            durable,
            records_packets,
            mutant,
            commander: RefCell::default(),
            wanted: RefCell::default(),
            wishes: RefCell::default(),
            early: RefCell::default(),
            last_wish: Cell::new(0),
            pending: Cell::new(0),
            connected: Cell::new(false),
            loads: Cell::new(0),
            keys: RefCell::default(),
        })
    }

    /// The main task of the client's host.
    pub(crate) async fn run(self: Rc<Self>, context: HostContext, connects: bool) -> Result<(), String> {
        let net = context.net();
        match self.mutant {
            Some(mutant) => self.run_on(MutantNet::new(net, mutant), context, connects).await,
            None => self.run_on(net, context, connects).await,
        }
    }

    async fn run_on<N: Net>(
        self: Rc<Self>,
        net: N,
        context: HostContext,
        connects: bool,
    ) -> Result<(), String> {
        let (seed, clock) = (context.seed().child("client"), Clock::showing(context.now()));
        if self.durable {
            let store = DiskStore::open(context.disk()).map_err(|error| error.to_string())?;
            self.drive(net, seed.to_u64(), clock, connects, store).await
        } else {
            let store = self.store.clone();
            self.drive(net, seed.to_u64(), clock, connects, store).await
        }
    }

    /// The same before a live server. Its store outlives its crashes, as a disk does on which every write is synced.
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
        let (mut handle, driver) = mqttspec_net::client::client(
            net,
            self.options.clone(),
            seed,
            clock,
            store,
            move |_: Duration, what: ClientObserved<'_>| observer.observe(&what),
        )
        .map_err(|error| error.to_string())?;
        *self.commander.borrow_mut() = Some(handle.commander());
        let wanted = self.wanted.borrow().clone().map(Box::new);
        if connects || wanted.is_some() {
            drop(handle.commander().send(Command::Connect(wanted)));
        }
        // The tap has seen the events already; the queue only has to be emptied.
        tokio::task::spawn_local(async move { while handle.event().await.is_some() {} });
        driver.await.map_err(|error| error.to_string())
    }

    /// Remembers what the application wants, over a crash too.
    pub(crate) fn wants_to_be_connected(&self, options: Option<&Options>) {
        *self.wanted.borrow_mut() = options.cloned();
    }

    /// Asks the client to publish.
    pub(crate) async fn publish(&self, publication: client::Publication) -> Result<(), String> {
        let message = Message {
            topic: publication.topic.as_str().to_owned(),
            payload: publication.payload.clone(),
            qos: publication.qos.unwrap_or(self.options.default_qos),
            retain: publication.retain,
        };
        let number = self.next_wish();
        self.record(What::Asked(Asked::Publish { message: message.clone(), handle: number }));
        self.pending.set(self.pending.get() + 1);
        self.command(Command::Publish(publication), Wish::Publish { number, message }).await
    }

    /// Asks the client to subscribe.
    pub(crate) async fn subscribe(&self, request: client::SubscribeRequest) -> Result<(), String> {
        let asked: Vec<(String, QoS)> =
            request.subscriptions.iter().map(|s| (s.filter.as_str().to_owned(), s.qos)).collect();
        let filters = asked.iter().map(|(filter, _)| filter.clone()).collect();
        let number = self.next_wish();
        self.record(What::Asked(Asked::Subscribe { filters: asked, handle: number }));
        self.command(Command::Subscribe(request), Wish::Subscribe { number, filters }).await
    }

    /// Asks the client to unsubscribe.
    pub(crate) async fn unsubscribe(&self, request: client::UnsubscribeRequest) -> Result<(), String> {
        let filters: Vec<String> = request.filters.iter().map(|filter| filter.as_str().to_owned()).collect();
        self.record(What::Asked(Asked::Other(format!("unsubscribe {}", filters.join(" ")))));
        self.command(Command::Unsubscribe(request), Wish::Unsubscribe { filters }).await
    }

    /// Asks the client for something else; `text` is the wish in the notation.
    pub(crate) async fn other(&self, command: Command, text: String) -> Result<(), String> {
        self.record(What::Asked(Asked::Other(text)));
        self.command(command, Wish::Other).await
    }

    async fn command(&self, command: Command, wish: Wish) -> Result<(), String> {
        let commander = self.started().await;
        let given = match commander {
            Some(commander) => commander.command(command).await.map_err(|gone| gone.to_string()),
            None => Err("the client does not run".to_owned()),
        };
        let handle = match given {
            Ok(handle) => handle,
            Err(error) => {
                if let Wish::Publish { number, message } = wish {
                    self.pending.set(self.pending.get().saturating_sub(1));
                    let refused = Some(Trouble { kind: "application", reason: None, text: error.clone() });
                    self.tell(Told::Published { handle: number, message, refused });
                }
                return Err(error);
            }
        };
        self.wishes.borrow_mut().insert(handle, wish);
        let early = self.early.take();
        for (of, end) in early {
            self.ended(of, end);
        }
        Ok(())
    }

    /// The way to the client; where its host has only just been started, the client may need a moment.
    async fn started(&self) -> Option<Commander> {
        for _ in 0..10 {
            let commander = self.commander.borrow().clone();
            if commander.is_some() {
                return commander;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    /// The client's host has crashed.
    pub(crate) fn crashed(&self) {
        *self.commander.borrow_mut() = None;
        self.connected.set(false);
        let last = self.keys.borrow_mut().pop_last();
        if let Some((_, key)) = last.filter(|_| self.stage.with_lane(self.lane, |state| state.open)) {
            self.stage.end(key, Ending::Crashed);
        }
    }

    fn next_wish(&self) -> u64 {
        self.last_wish.set(self.last_wish.get() + 1);
        self.last_wish.get()
    }

    fn record(&self, what: What) {
        self.stage.record(ConnectionKey { lane: self.lane, number: 0 }, self.stage.line(), what);
    }

    fn observe(&self, what: &ClientObserved<'_>) {
        if let ClientObserved::Core(event) = what {
            return self.event(event);
        }
        if !self.records_packets {
            return;
        }
        match what {
            ClientObserved::Opened { connection } => {
                let key = self.stage.open(self.lane, self.version);
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
            ClientObserved::Lost { connection, ending } => {
                let ending = match ending {
                    NetEnding::Closed { .. } => Ending::ByPeer,
                    NetEnding::TimedOut => Ending::TimedOut,
                    NetEnding::Reset | NetEnding::Failed(_) => Ending::Reset,
                };
                self.ended_connection(*connection, ending);
            }
            ClientObserved::Closed { connection } => self.ended_connection(*connection, Ending::ByObserver),
            _ => {}
        }
    }

    fn ended_connection(&self, connection: u64, ending: Ending) {
        let key = self.keys.borrow_mut().remove(&connection);
        if let Some(key) = key {
            self.stage.end(key, ending);
        }
    }

    fn packet(&self, connection: u64, what: What) {
        if let Some(key) = self.keys.borrow().get(&connection) {
            self.stage.record(*key, 0, what);
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Connected { session_present, .. } => {
                self.connected.set(true);
                self.tell(Told::Connected { session_present: *session_present });
            }
            Event::Disconnected { error, .. } => {
                self.connected.set(false);
                self.tell(Told::Disconnected { error: error.as_ref().map(trouble) });
            }
            Event::Message(message) => self.tell(Told::Message(Message {
                topic: message.topic.as_str().to_owned(),
                payload: message.payload.clone(),
                qos: message.qos,
                retain: message.retain,
            })),
            Event::Published { handle, .. } | Event::Unsubscribed { handle, .. } => {
                self.ended(*handle, CommandEnd::Done(Vec::new()));
            }
            Event::Subscribed { handle, reasons, .. } => {
                let granted = reasons.iter().map(|reason| QoS::try_from(u8::from(*reason)).ok()).collect();
                self.ended(*handle, CommandEnd::Done(granted));
            }
            Event::Failed { handle, error } => self.ended(*handle, CommandEnd::Failed(trouble(error))),
            Event::Dropped { handle } => {
                let text = "the publish queue had no place for it".to_owned();
                self.ended(*handle, CommandEnd::Failed(Trouble { kind: "application", reason: None, text }));
            }
            Event::GaveUp { error } => self.tell(Told::Failed { error: trouble(error) }),
            _ => {}
        }
    }

    /// A command has ended: told to the application, once it is known what the command was.
    fn ended(&self, handle: client::Handle, end: CommandEnd) {
        let wish = self.wishes.borrow().get(&handle).cloned();
        let Some(wish) = wish else {
            self.early.borrow_mut().push((handle, end));
            return;
        };
        match (wish, end) {
            (Wish::Publish { number, message }, end) => {
                self.pending.set(self.pending.get().saturating_sub(1));
                let refused = match end {
                    CommandEnd::Done(_) => None,
                    CommandEnd::Failed(error) => Some(error),
                };
                self.tell(Told::Published { handle: number, message, refused });
            }
            (Wish::Subscribe { number, filters }, CommandEnd::Done(granted)) => {
                self.tell(Told::Subscribed { handle: number, filters, granted });
            }
            (Wish::Unsubscribe { filters }, CommandEnd::Done(_)) => self.tell(Told::Unsubscribed { filters }),
            (Wish::Other, CommandEnd::Done(_)) => {}
            (_, CommandEnd::Failed(error)) => self.tell(Told::Failed { error }),
        }
    }

    fn tell(&self, told: Told) {
        self.stage.tell(self.lane, told);
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
enum CommandEnd {
    /// As wanted; for a subscription with what was granted.
    Done(Vec<Option<QoS>>),
    Failed(Trouble),
}

fn trouble(error: &client::Error) -> Trouble {
    let kind = match error.kind() {
        client::ErrorKind::Network => "network",
        client::ErrorKind::Authentication => "authentication",
        client::ErrorKind::TimeOut => "timeout",
        client::ErrorKind::Protocol => "protocol",
        client::ErrorKind::Application => "application",
    };
    let reason = match error {
        client::Error::Refused { reason, .. } => Some(u8::from(*reason)),
        client::Error::DisconnectedByServer { reason, .. } => Some(u8::from(*reason)),
        client::Error::PublishRefused { reason, .. } => Some(u8::from(*reason)),
        _ => None,
    };
    Trouble { kind, reason, text: error.to_string() }
}
