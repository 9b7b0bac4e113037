//! The client driver: the one loop between a client core, its store, its Network Connection and its
//! application.
//!
//! The core implements the standard. In each turn the driver does these steps:
//!
//! 1. Wait for a command, the outcome of dialling, a packet, the end of the connection, or the
//!    core's next deadline. Pass it to the core.
//! 2. Pass the core's events to the tap, and to the application's queue.
//! 3. Commit the core's changes. Then the application gets the handle of its command: what it has
//!    accepted is durable.
//! 4. Carry out the core's actions: dial, append to the outflow, close.
//!
//! Steps 2 and 3 are before step 4, so that a message is in the application's queue, and its
//! identifier in the store, before it is acknowledged. In a crash, events that the application has
//! not taken from its queue are lost. An application that must not lose them reads them in the tap,
//! or acknowledges messages itself (the core's option `acknowledgement`).
//!
//! All of it runs on one thread: call it within a `LocalSet` or on a host of the simulated world.

mod connection;
mod handle;
mod tap;
mod transport;

use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mqttspec_client::{Client, Handle, Transmit};
use mqttspec_codec::Utf8String;
use mqttspec_ports::Net;
use tokio::sync::mpsc;

use self::connection::Connection;
use self::handle::Request;
pub use self::handle::{ClientGone, ClientHandle, Commander};
pub use self::tap::{ClientObserved, ClientTap};
use self::transport::{NotHonoured, unreachable};
use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::framed::{Arrived, Received};
use crate::store::{Store, StoreError};

/// If more bytes than this wait to be sent, no command is taken.
const OUTFLOW_HIGH_BYTES: usize = 1 << 20;

/// Why a client driver ended although its application had not dropped it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The store failed. What was not committed was not acknowledged either.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs a client core over `net`: the handle for its application, and the driver to spawn or await.
/// The driver ends when the handle and all its commanders are gone.
///
/// # Errors
/// If the store cannot be read. If it fails later, the driver ends with [`ClientError::Store`].
pub fn client<N: Net>(
    net: N,
    options: mqttspec_client::Options,
    seed: u64,
    clock: Clock,
    mut store: impl Store,
    tap: impl ClientTap,
) -> Result<(ClientHandle, impl Future<Output = Result<(), ClientError>>), ClientError> {
    let mut client = Client::restore(options, seed, clock.now(), store.load()?);
    if !store.keeps_records() {
        client.omit_changes();
    }
    let (handle, requests, events) = handle::pair();
    let driver = Driver::new(client, net, clock, store, tap, requests, events);
    Ok((handle, driver.run()))
}

/// [`client`] without a store, spawned.
///
/// # Panics
/// Outside of a `LocalSet` or a host of the simulated world.
pub fn spawn_client<N: Net>(
    net: N,
    options: mqttspec_client::Options,
    seed: u64,
    clock: Clock,
    tap: impl ClientTap + 'static,
) -> ClientHandle {
    let mut client = Client::new(options, seed);
    client.omit_changes();
    let store = crate::store::NoStore;
    let (handle, requests, events) = handle::pair();
    let driver = Driver::new(client, net, clock, store, tap, requests, events);
    mqttspec_runtime::spawn_local(async move { drop(driver.run().await) });
    handle
}

type Dialling<S> = Pin<Box<dyn Future<Output = io::Result<S>>>>;

enum Link<S> {
    Down,
    Dialling(Dialling<S>),
    Open(Connection<S>),
}

enum Input<S> {
    Request(Request),
    Dialled(io::Result<S>),
    Received(Received),
    Timeout,
    /// The application is gone.
    Ended,
}

struct Driver<N: Net, S, T> {
    client: Client,
    net: N,
    clock: Clock,
    store: S,
    tap: T,
    requests: mpsc::UnboundedReceiver<Request>,
    events: mpsc::UnboundedSender<mqttspec_client::Event>,
    link: Link<N::Stream>,
    alarm: Alarm,
    /// How many connections were opened so far.
    connections: u64,
}

impl<N: Net, S: Store, T: ClientTap> Driver<N, S, T> {
    fn new(
        client: Client,
        net: N,
        clock: Clock,
        store: S,
        tap: T,
        requests: mpsc::UnboundedReceiver<Request>,
        events: mpsc::UnboundedSender<mqttspec_client::Event>,
    ) -> Self {
        let (link, alarm, connections) = (Link::Down, Alarm::default(), 0);
        Self { client, net, clock, store, tap, requests, events, link, alarm, connections }
    }

    async fn run(mut self) -> Result<(), ClientError> {
        loop {
            let input = self.input().await;
            if matches!(input, Input::Ended) {
                self.store.finish();
                return Ok(());
            }
            let accepted = self.feed(input);
            self.report();
            let changes = self.client.take_changes();
            if !changes.is_empty() {
                self.store.commit(changes).await?;
            }
            if let Some((reply, handle)) = accepted {
                // The caller need not wait for the handle.
                let _ = reply.send(handle);
            }
            self.act();
        }
    }

    async fn input(&mut self) -> Input<N::Stream> {
        let deadline = self.client.poll_timeout().map(|time| self.clock.instant(time));
        let Driver { link, requests, alarm, .. } = self;
        let takes_commands = !matches!(link, Link::Open(open) if open.unsent() > OUTFLOW_HIGH_BYTES);
        poll_fn(|context| {
            if let Poll::Ready(input) = poll_link(link, context) {
                return Poll::Ready(input);
            }
            if takes_commands && let Poll::Ready(request) = requests.poll_recv(context) {
                return Poll::Ready(request.map_or(Input::Ended, Input::Request));
            }
            alarm.poll(deadline, context).map(|()| Input::Timeout)
        })
        .await
    }

    /// Returns the reply to a command, to be sent once its changes are durable.
    fn feed(&mut self, input: Input<N::Stream>) -> Option<(handle::Reply, Handle)> {
        let now = self.clock.now();
        match input {
            Input::Request(Request::Command(command, reply)) => {
                let handle = self.client.handle_command(now, command);
                self.tap.observe(now, ClientObserved::Commanded { handle });
                return Some((reply, handle));
            }
            Input::Request(Request::Inspect(look)) => look(&self.client),
            Input::Dialled(Ok(stream)) => {
                self.connections += 1;
                self.tap.observe(now, ClientObserved::Opened { connection: self.connections });
                let maximum = self.client.options().maximum_packet_size.map(NonZeroU32::get);
                self.link = Link::Open(Connection::new(stream, self.client.version(), maximum));
                self.client.handle_opened(now);
            }
            Input::Dialled(Err(error)) => {
                self.link = Link::Down;
                self.tap.observe(now, ClientObserved::DialFailed { error: &error });
                self.client.handle_dial_failed(now, unreachable(&error));
            }
            Input::Received(received) => self.receive(now, received),
            Input::Timeout => self.client.handle_timeout(now),
            Input::Ended => {}
        }
        None
    }

    fn receive(&mut self, now: Duration, received: Received) {
        let connection = self.connections;
        match received {
            Received::Arrived(Arrived::Packet { packet, bytes }) => {
                self.tap
                    .observe(now, ClientObserved::Received { connection, packet: &packet, bytes: &bytes });
                self.client.handle_packet(now, packet);
            }
            Received::Arrived(Arrived::Malformed { error, bytes }) => {
                self.tap.observe(now, ClientObserved::Malformed { connection, error: &error, bytes: &bytes });
                self.client.handle_malformed(now, &error);
            }
            Received::Ended(ending) => {
                self.tap.observe(now, ClientObserved::Lost { connection, ending: &ending });
                self.link = Link::Down;
                self.client.handle_closed(now);
            }
        }
    }

    fn report(&mut self) {
        let now = self.clock.now();
        while let Some(event) = self.client.poll_event() {
            self.tap.observe(now, ClientObserved::Core(&event));
            // An application that only commands has dropped the queue.
            let _ = self.events.send(event);
        }
    }

    fn act(&mut self) {
        let now = self.clock.now();
        let connection = self.connections;
        while let Some(transmit) = self.client.poll_transmit() {
            match transmit {
                Transmit::Dial { server } => self.dial(now, server.as_ref()),
                Transmit::Packet { packet, version } => {
                    let Link::Open(open) = &mut self.link else { continue };
                    let outflow = open.outflow();
                    let before = outflow.len();
                    match packet.encode(version, outflow) {
                        Ok(()) => {
                            let bytes = &outflow[before..];
                            self.tap
                                .observe(now, ClientObserved::Sent { connection, packet: &packet, bytes });
                        }
                        Err(error) => {
                            let what =
                                ClientObserved::Unsendable { connection, packet: &packet, error: &error };
                            self.tap.observe(now, what);
                        }
                    }
                }
                Transmit::Close => {
                    if let Link::Open(open) = std::mem::replace(&mut self.link, Link::Down) {
                        self.tap.observe(now, ClientObserved::Closed { connection });
                        mqttspec_runtime::spawn_local(open.close());
                    }
                }
            }
        }
    }

    fn dial(&mut self, now: Duration, server: Option<&Utf8String>) {
        let options = self.client.options();
        if let Some(option) = transport::not_honoured(options, &self.net) {
            let error = io::Error::new(io::ErrorKind::Unsupported, NotHonoured(option));
            self.link = Link::Dialling(Box::pin(std::future::ready(Err(error))));
            return;
        }
        let (host, port) = match server {
            Some(reference) => server_reference(reference, options.effective_port()),
            None => (options.address.clone(), options.effective_port()),
        };
        self.tap.observe(now, ClientObserved::Dialling { host: &host, port });
        let net = self.net.clone();
        self.link = Link::Dialling(Box::pin(async move { net.connect(&host, port).await }));
    }
}

/// The next input from the link: the outcome of dialling, or a packet of the Server. Also writes
/// the outflow.
fn poll_link<S>(link: &mut Link<S>, context: &mut Context<'_>) -> Poll<Input<S>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match link {
        Link::Down => Poll::Pending,
        Link::Dialling(dialling) => dialling.as_mut().poll(context).map(Input::Dialled),
        Link::Open(open) => open.poll_transfer(context).map(Input::Received),
    }
}

/// The first of the Servers that a Server Reference names, `host` or `host:port` (MQTT 5.0 section
/// 4.11).
fn server_reference(reference: &str, default_port: u16) -> (String, u16) {
    let first = reference.split_whitespace().next().unwrap_or_default();
    match first.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host.trim_matches(['[', ']']).to_owned(), port),
            Err(_) => (first.to_owned(), default_port),
        },
        _ => (first.trim_matches(['[', ']']).to_owned(), default_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_references_of_all_forms() {
        let cases = [
            ("myserver.xyz.org", ("myserver.xyz.org", 1883)),
            ("myserver.xyz.org:8883", ("myserver.xyz.org", 8883)),
            ("10.10.151.22:8883 10.10.151.23:8883", ("10.10.151.22", 8883)),
            ("[fe80::9610:3eff:fe1c]:1884", ("fe80::9610:3eff:fe1c", 1884)),
            ("fe80::9610:3eff:fe1c", ("fe80::9610:3eff:fe1c", 1883)),
        ];
        for (reference, (host, port)) in cases {
            assert_eq!(server_reference(reference, 1883), (host.to_owned(), port), "{reference}");
        }
    }
}
