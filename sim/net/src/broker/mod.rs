//! The broker driver: the one loop between the broker core, its store and its Network Connections.
//!
//! It obeys the core's contract and no rule of the standard but one: **nothing is acknowledged
//! before it is durable** (4.1 and 4.3 of MQTT 5.0, and what a Server's acknowledgement means). One
//! turn:
//!
//! 1. Wait until a connection has something, or the core's next deadline.
//! 2. Feed the core all that is there, up to a limit: accepted connections, packets, malformed
//!    bytes, endings.
//! 3. Tell the tap what the core did.
//! 4. Take the core's changes and commit them: one transaction for all that step 2 brought.
//! 5. Append what the core transmits to the connections' outflows; their tasks write it.
//!
//! A task per connection moves the bytes (`connection.rs`); back-pressure is told there. All of it
//! runs on one thread: call it within a `LocalSet` or a host of the simulated world.

mod connection;
mod entrance;
mod inbox;
mod limits;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mqttspec_broker::Redirect;
use mqttspec_broker::{Broker, ConnectionId, Options, RestoreError, Transmit};
use mqttspec_codec::Utf8String;
use mqttspec_ports::Net;
use tokio::time::Instant;

use self::connection::Link;
pub use self::entrance::Entrance;
use self::inbox::Inbox;
pub use self::limits::Limits;
use crate::clock::Clock;
use crate::framed::{Arrived, Ending};
use crate::store::{Store, StoreError};
use crate::tap::{Observed, Tap};

/// Things given to the core before their changes are committed. More would make a larger group
/// commit, and keep those that came first waiting.
const TURN: usize = 1024;

/// Why a broker driver ended, if it was not told to.
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

/// What reaches the loop.
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
    },
    Drained {
        link: Rc<Link>,
    },
    Lost {
        link: Rc<Link>,
        ending: Ending,
    },
    /// A connection's task is at its end; only of interest when the driver stops.
    Done,
    Redirect {
        redirect: Redirect,
        reference: Option<Utf8String>,
    },
    Stop,
}

/// A broker core with its store, about to run.
#[derive(Debug)]
pub struct Server<S, T> {
    broker: Broker,
    clock: Clock,
    store: S,
    tap: T,
    limits: Limits,
    inbox: Inbox<Input>,
    entrance: Entrance,
    links: BTreeMap<ConnectionId, Rc<Link>>,
}

impl<S: Store, T: Tap> Server<S, T> {
    /// A broker with the Sessions that `store` holds, and the entrance to it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what no broker wrote.
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
        options: Options,
        seed: u64,
        clock: Clock,
        mut store: S,
        tap: T,
        limits: Limits,
    ) -> Result<(Server<S, T>, Entrance), ServeError> {
        let largest_packet = options.decoder_limit();
        let broker = Broker::restore(options, seed, clock.now(), store.load()?)?;
        let inbox = Inbox::new();
        let entrance = Entrance::new(inbox.clone(), limits, largest_packet, tap.wants_bytes());
        let links = BTreeMap::new();
        let server = Server { broker, clock, store, tap, limits, inbox, entrance: entrance.clone(), links };
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
            let stopping = self.feed();
            self.report();
            self.commit().await?;
            more = self.transmit();
            if stopping {
                self.entrance.close();
                self.entrance.deserted().await;
                self.store.finish();
                return Ok(());
            }
            // Connections write and read between two turns, also when there is more to do at once.
            tokio::task::yield_now().await;
        }
    }

    async fn wait(&self) {
        let deadline = self.broker.poll_timeout().map(|time| self.clock.instant(time));
        tokio::select! {
            biased;
            () = self.inbox.filled() => {}
            () = sleep_until(deadline) => {}
        }
    }

    /// Gives the core what is there. True when the driver is to stop.
    fn feed(&mut self) -> bool {
        let now = self.clock.now();
        if self.broker.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.broker.handle_timeout(now);
        }
        for _ in 0..TURN {
            match self.inbox.pop() {
                Some(Input::Stop) => {
                    self.broker.handle_shutdown(now);
                    return true;
                }
                Some(input) => self.feed_one(now, input),
                None => break,
            }
        }
        false
    }

    fn feed_one(&mut self, now: Duration, input: Input) {
        match input {
            Input::Opened { link, peer } => {
                let connection = self.broker.handle_opened(now);
                link.id.set(Some(connection));
                self.links.insert(connection, link);
                self.tap.observe(now, Observed::Opened { connection, peer });
            }
            Input::Arrived { link, arrived, size } => {
                link.taken(size);
                // What a connection sent before the broker closed it may still be on its way here.
                let Some(connection) = self.open(&link) else { return };
                match arrived {
                    Arrived::Packet { packet, bytes } => {
                        let what = Observed::Received { connection, packet: &packet, bytes: &bytes };
                        self.tap.observe(now, what);
                        self.broker.handle_packet(now, connection, packet);
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

    fn report(&mut self) {
        let now = self.clock.now();
        while let Some(event) = self.broker.poll_event() {
            self.tap.observe(now, Observed::Core(&event));
        }
    }

    async fn commit(&mut self) -> Result<(), ServeError> {
        let changes = self.broker.take_changes();
        if !changes.is_empty() {
            self.store.commit(changes).await?;
        }
        Ok(())
    }

    /// Hands out what the core sends. True when that led to something for the core that cannot
    /// wait.
    fn transmit(&mut self) -> bool {
        let now = self.clock.now();
        // What the core does about these is not durable yet, so it learns when all that is durable
        // is handed out.
        let mut congested = Vec::new();
        let mut given_up = Vec::new();
        while let Some(transmit) = self.broker.poll_transmit() {
            match transmit {
                Transmit::Packet { connection, packet, version } => {
                    let Some(link) = self.links.get(&connection) else { continue };
                    let mut outflow = link.outflow();
                    let before = outflow.len();
                    match packet.encode(version, &mut outflow) {
                        Ok(()) => {
                            let bytes = &outflow[before..];
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

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
