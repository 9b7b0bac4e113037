//! The broker driver: the one loop between the broker core, its store and its Network Connections.
//!
//! The core implements the standard. The driver ensures one rule: **nothing is acknowledged before
//! it is durable** (§4.1 and §4.3 of MQTT 5.0). In each turn it does these steps:
//!
//! 1. Wait for an input from a connection, or for the core's next deadline.
//! 2. Pass the waiting inputs to the core, up to a limit: accepted connections, packets, malformed
//!    bytes, ends of connections.
//! 3. Report the core's events to the tap.
//! 4. Commit the core's changes: one transaction for all inputs of step 2.
//! 5. Append the packets that the core transmits to the outflows of the connections. The task of
//!    each connection writes its outflow.
//!
//! One task per connection reads and writes its bytes; `connection.rs` describes back-pressure. All
//! tasks run on one thread: call the driver within a `LocalSet` or on a host of the simulated
//! world.

mod connection;
mod entrance;
mod inbox;
mod limits;
mod outflow;
mod passwords;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use mqttspec_broker::Redirect;
use mqttspec_broker::{Broker, CheckedPassword, ConnectionId, Event, Options, RestoreError, Transmit};
use mqttspec_codec::{EncodeError, Packet, Publish, Utf8String, Version};
use mqttspec_ports::Net;

use self::connection::Link;
pub use self::entrance::{Entrance, Notice};
use self::inbox::Inbox;
pub use self::limits::Limits;
use self::outflow::SharedPayload;
pub use self::passwords::{Checking, PasswordChecker, PasswordThread};
use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::framed::{Arrived, Ending};
use crate::store::{Store, StoreError};
use crate::tap::{Observed, Tap};

/// The largest number of inputs of one turn. More inputs would share a commit, but the first of
/// them would wait longer.
const TURN: usize = 1024;

/// The time after which a turn takes no more inputs. The clock is read after each [`TIMED`] inputs.
const TURN_TIME: Duration = Duration::from_millis(10);
const TIMED: usize = 16;

/// The number of changes after which a turn takes no more inputs: their commit takes long too.
const TURN_CHANGES: usize = 4096;

/// After a turn that took longer than this, the loop waits until the runtime has looked for bytes
/// of other connections.
const LONG_TURN: Duration = Duration::from_millis(5);
const BREAK: Duration = Duration::from_millis(1);

/// An input after which the core's measure of work has grown by more than this took long: the
/// clock is read, and further inputs of this connection wait until those of others were processed.
const MUCH_EFFORT: u64 = 256;

/// A connection whose buffers hold no more than this is not closed to free memory.
const SMALL_HOLDING: usize = 64 * 1024;

/// A payload of this size, in bytes, is sent to several Clients without a copy for each.
const SHARED_BYTES: usize = 8 * 1024;

/// Why a broker driver ended without [`Entrance::stop`].
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store holds records that are not this broker's.
    #[error("the stored Sessions cannot be restored: {0}")]
    Restore(#[from] RestoreError),
    /// The store failed. What was not committed was not acknowledged either.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The port cannot be listened at.
    #[error("cannot listen: {0}")]
    Listen(#[source] io::Error),
}

/// Restores a broker from `store`, listens at `port` and serves until the store fails. To serve
/// several listeners, or to stop, use a [`Server`].
///
/// # Errors
/// See [`ServeError`].
pub async fn serve<N: Net>(
    net: &N,
    port: u16,
    options: Options,
    seed: u64,
    clock: Clock,
    store: impl Store,
    tap: impl Tap,
) -> Result<(), ServeError> {
    let (server, entrance) = Server::new(options, seed, clock, store, tap)?;
    entrance.listen(net.listen(port).await.map_err(ServeError::Listen)?);
    server.run().await
}

/// An input of the loop.
#[derive(Debug)]
enum Input {
    Opened {
        link: Rc<Link>,
        peer: Option<SocketAddr>,
    },
    Arrived {
        link: Rc<Link>,
        arrived: Arrived,
        size: usize,
        /// The result of the check of the password of a CONNECT.
        checked: Option<Box<CheckedPassword>>,
    },
    /// The peer exceeds a limit of the driver.
    Exceeded {
        link: Rc<Link>,
        detail: &'static str,
    },
    /// There are too many connections without an accepted CONNECT: this one is closed.
    Evicted {
        link: Rc<Link>,
    },
    Drained {
        link: Rc<Link>,
    },
    Lost {
        link: Rc<Link>,
        ending: Ending,
    },
    /// Wakes the loop: the task of a connection has ended, which matters only when the driver
    /// stops, or the buffers of all connections hold too much.
    Done,
    Redirect {
        redirect: Redirect,
        reference: Option<Utf8String>,
    },
    Stop,
}

impl Input {
    /// The connection from which it came.
    fn link(&self) -> Option<&Rc<Link>> {
        match self {
            Self::Opened { link, .. }
            | Self::Arrived { link, .. }
            | Self::Exceeded { link, .. }
            | Self::Evicted { link }
            | Self::Drained { link }
            | Self::Lost { link, .. } => Some(link),
            Self::Done | Self::Redirect { .. } | Self::Stop => None,
        }
    }
}

/// A broker core with its store, about to run.
#[derive(Debug)]
pub struct Server<S, T> {
    broker: Broker,
    clock: Clock,
    store: S,
    tap: T,
    limits: Limits,
    alarm: Alarm,
    inbox: Inbox<Input>,
    entrance: Entrance,
    links: BTreeMap<ConnectionId, Rc<Link>>,
    /// Connections whose last input took long, with the inputs that wait.
    costly: BTreeMap<ConnectionId, VecDeque<Input>>,
    /// The order in which they are served.
    costly_order: VecDeque<ConnectionId>,
}

impl<S: Store, T: Tap> Server<S, T> {
    /// A broker with the Sessions of `store`, and its entrance.
    ///
    /// # Errors
    /// If the store cannot be read, or has records that no broker wrote.
    pub fn new(
        options: Options,
        seed: u64,
        clock: Clock,
        store: S,
        tap: T,
    ) -> Result<(Server<S, T>, Entrance), ServeError> {
        Server::with_limits(options, seed, clock, store, tap, Limits::default())
    }

    /// [`new`](Server::new) with limits of your own.
    ///
    /// # Errors
    /// As [`new`](Server::new).
    pub fn with_limits(
        mut options: Options,
        seed: u64,
        clock: Clock,
        mut store: S,
        tap: T,
        limits: Limits,
    ) -> Result<(Server<S, T>, Entrance), ServeError> {
        let (largest_packet, users) = (options.decoder_limit(), options.users.clone());
        options.record_changes &= store.keeps_records();
        let mut broker = Broker::restore(options, seed, clock.now(), store.load()?)?;
        if !tap.wants_messages() {
            broker.omit_message_events();
        }
        let inbox = Inbox::new();
        let entrance = Entrance::new(inbox.clone(), limits, largest_packet, tap.wants_bytes(), users);
        let links = BTreeMap::new();
        let (costly, costly_order) = (BTreeMap::new(), VecDeque::new());
        let server = Server {
            broker,
            clock,
            store,
            tap,
            limits,
            alarm: Alarm::default(),
            inbox,
            entrance: entrance.clone(),
            links,
            costly,
            costly_order,
        };
        Ok((server, entrance))
    }

    /// Serves until [`Entrance::stop`].
    ///
    /// # Errors
    /// [`ServeError::Store`]: a broker that cannot keep what it is about to acknowledge stops.
    pub async fn run(mut self) -> Result<(), ServeError> {
        let mut more = false;
        loop {
            if !more {
                self.wait().await;
            }
            let began = self.clock.now();
            let stopping = self.feed(began);
            self.relieve();
            self.report(began);
            self.commit().await?;
            more = self.transmit() | self.costly_order.iter().any(|costly| !self.broker.is_busy(*costly));
            if stopping {
                self.entrance.close();
                self.entrance.deserted().await;
                self.store.finish();
                return Ok(());
            }
            // Connections write and read between two turns, also when there is more to do at once.
            if self.clock.now() - began > LONG_TURN {
                // The runtime looks for bytes of other connections only if no task is ready, or
                // after 61 tasks. With turns of this length, that is too rare.
                mqttspec_runtime::sleep(BREAK).await;
            } else {
                mqttspec_runtime::yield_now().await;
            }
        }
    }

    async fn wait(&mut self) {
        let deadline = self.broker.poll_timeout().map(|time| self.clock.instant(time));
        let (inbox, alarm) = (&self.inbox, &mut self.alarm);
        poll_fn(|context| match inbox.poll_filled(context) {
            Poll::Pending => alarm.poll(deadline, context),
            filled => filled,
        })
        .await;
    }

    /// Passes the waiting inputs to the core. Returns true if the driver must stop.
    fn feed(&mut self, now: Duration) -> bool {
        if self.broker.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.broker.handle_timeout(now);
        }
        let mut took_long = false;
        for number in 1..=TURN {
            if (number % TIMED == 0 || took_long) && self.is_long(now) {
                break;
            }
            match self.inbox.pop() {
                Some(Input::Stop) => {
                    self.broker.handle_shutdown(now);
                    return true;
                }
                Some(input) => took_long = self.feed_in_turn(now, input),
                None => break,
            }
        }
        self.feed_costly(now);
        false
    }

    /// Whether the turn that began then has done enough.
    fn is_long(&self, began: Duration) -> bool {
        self.clock.now() - began > TURN_TIME || self.broker.change_count() > TURN_CHANGES
    }

    /// Passes an input to the core, unless its connection must wait for others. Returns whether it
    /// took long.
    #[inline(always)]
    fn feed_in_turn(&mut self, now: Duration, input: Input) -> bool {
        let connection = input.link().and_then(|link| link.id.get());
        if let Some(waiting) = connection.and_then(|connection| self.costly.get_mut(&connection)) {
            waiting.push_back(input);
            return false;
        }
        // The Client may have connected again while a message of its older connection is given to
        // others, so this is not only so after an input of this connection.
        if let Some(connection) = connection.filter(|connection| self.broker.is_busy(*connection)) {
            self.costly.insert(connection, VecDeque::from([input]));
            self.costly_order.push_back(connection);
            return false;
        }
        let before = self.broker.effort();
        self.feed_one(now, input);
        let took_long = self.broker.effort() - before > MUCH_EFFORT;
        if took_long && let Some(connection) = connection {
            self.costly.insert(connection, VecDeque::new());
            self.costly_order.push_back(connection);
        }
        took_long
    }

    /// Passes inputs of connections whose last one took long, one of each in turn, for as long as a
    /// turn may take. Those of a Client that the core is busy with wait for the next turn.
    fn feed_costly(&mut self, now: Duration) {
        let mut busy = 0;
        while busy < self.costly_order.len()
            && let Some(connection) = self.costly_order.pop_front()
        {
            if self.broker.is_busy(connection) {
                self.costly_order.push_back(connection);
                busy += 1;
                continue;
            }
            let Some(input) = self.costly.get_mut(&connection).and_then(VecDeque::pop_front) else {
                self.costly.remove(&connection);
                continue;
            };
            self.feed_one(now, input);
            self.costly_order.push_back(connection);
            busy = 0;
            if self.is_long(now) {
                return;
            }
        }
    }

    // Inlined, so that the parts of a packet are not moved once more.
    #[inline(always)]
    fn feed_one(&mut self, now: Duration, input: Input) {
        match input {
            Input::Opened { link, peer } => {
                let connection = self.broker.handle_opened(now);
                link.id.set(Some(connection));
                self.links.insert(connection, link);
                self.tap.observe(now, Observed::Opened { connection, peer });
            }
            Input::Arrived { link, arrived, size, checked } => {
                link.taken(size);
                // A packet may have been read before the broker closed its connection.
                let Some(connection) = self.open(&link) else { return };
                match arrived {
                    Arrived::Packet { packet, bytes } => {
                        let what = Observed::Received { connection, packet: &packet, bytes: &bytes };
                        self.tap.observe(now, what);
                        match packet {
                            Packet::Connect(connect) => match checked {
                                Some(checked) => {
                                    self.broker.handle_checked_connect(now, connection, *connect, *checked);
                                }
                                None => self.broker.handle_packet(now, connection, Packet::Connect(connect)),
                            },
                            packet => self.broker.handle_packet(now, connection, packet),
                        }
                    }
                    Arrived::Malformed { error, bytes } => {
                        let what = Observed::Malformed { connection, error: &error, bytes: &bytes };
                        self.tap.observe(now, what);
                        self.broker.handle_malformed(now, connection, &error);
                    }
                }
            }
            Input::Drained { link } => {
                link.congested.set(false);
                if let Some(connection) = self.open(&link) {
                    self.broker.handle_congestion(now, connection, false);
                }
            }
            Input::Exceeded { link, detail } => {
                if let Some(connection) = self.open(&link) {
                    self.broker.handle_exceeded(now, connection, detail);
                }
            }
            Input::Evicted { link } => {
                link.abandon();
                let Some(connection) = self.open(&link) else { return };
                self.tap.observe(now, Observed::Closed { connection });
                self.links.remove(&connection);
                self.broker.handle_closed(now, connection);
            }
            Input::Lost { link, ending } => {
                let Some(connection) = self.open(&link) else { return };
                self.tap.observe(now, Observed::Lost { connection, ending: &ending });
                self.links.remove(&connection);
                self.broker.handle_closed(now, connection);
            }
            Input::Redirect { redirect, reference } => self.broker.handle_redirect(now, redirect, reference),
            Input::Done | Input::Stop => {}
        }
    }

    /// The number of a connection, unless it is over.
    fn open(&self, link: &Link) -> Option<ConnectionId> {
        link.id.get().filter(|connection| self.links.contains_key(connection))
    }

    fn report(&mut self, now: Duration) {
        while let Some(event) = self.broker.poll_event() {
            if let Event::Connected { connection, .. } = &event
                && let Some(link) = self.links.get(connection)
            {
                self.entrance.known(link);
            }
            self.tap.observe(now, Observed::Core(&event));
        }
    }

    /// While all buffers together hold too much, ends the connections whose buffers hold most. A
    /// peer that does not read gets no DISCONNECT.
    fn relieve(&mut self) {
        let mut excess = self.entrance.memory.excess();
        if excess == 0 {
            return;
        }
        let now = self.clock.now();
        let mut holders: Vec<_> =
            self.links.iter().map(|(connection, link)| (link.held_bytes(), *connection)).collect();
        holders.sort_unstable_by(|left, right| right.cmp(left));
        for (held, connection) in holders {
            let is_large = excess > 0 && held > SMALL_HOLDING;
            let Some(link) = self.links.get(&connection).filter(|_| is_large) else { return };
            excess = excess.saturating_sub(held);
            if link.unfinished_bytes() > held / 2 {
                let detail = "the Server has no memory for the rest of the packet";
                self.broker.handle_exceeded(now, connection, detail);
            } else {
                link.abandon();
                self.tap.observe(now, Observed::Overflowed { connection, unsent_bytes: held });
                self.links.remove(&connection);
                self.broker.handle_closed(now, connection);
            }
        }
    }

    async fn commit(&mut self) -> Result<(), ServeError> {
        let changes = self.broker.take_changes();
        if !changes.is_empty() {
            self.store.commit(changes).await?;
        }
        Ok(())
    }

    /// Distributes the packets and closes that the core transmits. Returns true if the core got an
    /// input meanwhile, so that the next turn must not wait.
    fn transmit(&mut self) -> bool {
        let now = self.clock.now();
        // These are passed to the core after everything that is durable was distributed, because
        // the changes that they cause are not durable yet.
        let mut congested = Vec::new();
        let mut given_up = Vec::new();
        let wants_bytes = self.tap.wants_bytes();
        // The payload of the last large message, which others may get too.
        let mut shared: Option<SharedPayload> = None;
        while let Some(transmit) = self.broker.poll_transmit() {
            match transmit {
                Transmit::Packet { connection, packet, version } => {
                    let Some(link) = self.links.get(&connection) else { continue };
                    let mut outflow = link.outflow();
                    let before = outflow.len();
                    let shares = |publish: &Publish| publish.payload.len() >= SHARED_BYTES && !wants_bytes;
                    let result = match &packet {
                        Packet::Publish(publish) if shares(publish) => {
                            let known =
                                shared.take().filter(|payload: &SharedPayload| payload.is(&publish.payload));
                            let payload = known.unwrap_or_else(|| {
                                SharedPayload::new(publish.payload.clone(), &self.entrance.memory)
                            });
                            let result =
                                outflow.append(|out| encode_head(publish, &packet, version, out)).map(|_| ());
                            if result.is_ok() {
                                outflow.append_shared(payload.clone());
                            }
                            shared = Some(payload);
                            // The tap does not look at bytes.
                            result.map(|()| &[][..])
                        }
                        packet => outflow.append(|out| packet.encode(version, out)),
                    };
                    match result {
                        Ok(bytes) => {
                            self.tap.observe(now, Observed::Sent { connection, packet: &packet, bytes });
                        }
                        Err(error) => {
                            let what = Observed::Unsendable { connection, packet: &packet, error: &error };
                            self.tap.observe(now, what);
                            given_up.push(connection);
                        }
                    }
                    if before > self.limits.outflow_max_bytes {
                        self.tap.observe(now, Observed::Overflowed { connection, unsent_bytes: before });
                        given_up.push(connection);
                    } else if outflow.len() > self.limits.outflow_high_bytes && !link.congested.replace(true)
                    {
                        congested.push(connection);
                    }
                    drop(outflow);
                    link.wake();
                }
                Transmit::Close { connection } => {
                    if let Some(link) = self.links.remove(&connection) {
                        self.tap.observe(now, Observed::Closed { connection });
                        link.close();
                    }
                }
            }
        }
        for &connection in &given_up {
            if let Some(link) = self.links.remove(&connection) {
                link.abandon();
                self.broker.handle_closed(now, connection);
            }
        }
        for &connection in &congested {
            self.broker.handle_congestion(now, connection, true);
        }
        !given_up.is_empty() || !congested.is_empty()
    }
}

/// Encodes a PUBLISH without its payload.
fn encode_head(
    publish: &Publish,
    packet: &Packet,
    version: Version,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    // Its Remaining Length includes the payload, and its length is checked with it.
    let total = packet.encoded_len(version)?;
    let mut head = BytesMut::new();
    Packet::Publish(Publish { payload: Bytes::new(), ..publish.clone() }).encode(version, &mut head)?;
    let length_bytes = 1 + head.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count();
    let variable = &head[1 + length_bytes..];
    let mut remaining = variable.len() + publish.payload.len();
    debug_assert!(total > remaining, "the fixed header is part of the packet");
    out.put_u8(head[0]);
    loop {
        let low = u8::try_from(remaining % 128).unwrap_or_default();
        remaining /= 128;
        out.put_u8(if remaining > 0 { low | 0x80 } else { low });
        if remaining == 0 {
            break;
        }
    }
    out.put_slice(variable);
    Ok(())
}

/// A server that is dropped while it runs drops its connections and listeners too, as a killed
/// process does.
impl<S, T> Drop for Server<S, T> {
    fn drop(&mut self) {
        self.entrance.close();
        for link in self.links.values() {
            link.abandon();
        }
    }
}
