//! Where Network Connections come in: listeners of any transport, or single streams, all to one
//! broker.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mqttspec_broker::Redirect;
use mqttspec_codec::Utf8String;
use mqttspec_ports::Listener;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::connection::{self, LINGER, Link};
use super::inbox::Inbox;
use super::{Input, Limits};
use crate::framed::Inflow;

/// How long a listener rests after it failed to accept, as it does while the machine is out of file
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The way into a running [`Server`](super::Server). Clones lead to the same one.
#[derive(Debug, Clone)]
pub struct Entrance {
    inbox: Inbox<Input>,
    limits: Limits,
    largest_packet: u32,
    keep_bytes: bool,
    listeners: Rc<RefCell<Vec<AbortHandle>>>,
    /// Connections whose task is not at its end.
    inside: Rc<Cell<usize>>,
}

impl Entrance {
    pub(super) fn new(
        inbox: Inbox<Input>,
        limits: Limits,
        largest_packet: u32,
        keep_bytes: bool,
    ) -> Entrance {
        let listeners = Rc::new(RefCell::new(Vec::new()));
        Entrance { inbox, limits, largest_packet, keep_bytes, listeners, inside: Rc::new(Cell::new(0)) }
    }

    /// Serves whoever connects to this listener.
    pub fn listen<L: Listener + 'static>(&self, listener: L)
    where
        L::Stream: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let entrance = self.clone();
        let task = tokio::task::spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => entrance.serve(stream, Some(peer)),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            }
        });
        self.listeners.borrow_mut().push(task.abort_handle());
    }

    /// Serves one Network Connection over any byte stream; drops it if there are as many as the
    /// limits allow.
    pub fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(&self, stream: S, peer: Option<SocketAddr>) {
        if self.inside.get() >= self.limits.connections {
            return;
        }
        let link = Link::new(self.limits.outflow_high_bytes, self.largest_packet);
        let mut inflow = Inflow::from_client();
        let first_packet = self.limits.first_packet_bytes.min(self.largest_packet);
        inflow.decoder_mut().set_maximum_packet_size(first_packet);
        inflow.keep_bytes(self.keep_bytes);
        self.inbox.push(Input::Opened { link: Rc::clone(&link), peer });
        self.inside.set(self.inside.get() + 1);
        let (inbox, inside) = (self.inbox.clone(), Rc::clone(&self.inside));
        tokio::task::spawn_local(async move {
            connection::run(stream, inflow, link, &inbox).await;
            inside.set(inside.get() - 1);
            inbox.push(Input::Done);
        });
    }

    /// How many connections are open, or on their way to be closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inside.get()
    }

    /// Sends every Client to another Server, those that are connected and those that come, until
    /// this is called with [`Redirect::No`]. `reference` takes the place of the option
    /// `server_reference`, unless it is `None`.
    pub fn redirect(&self, redirect: Redirect, reference: Option<Utf8String>) {
        self.inbox.push(Input::Redirect { redirect, reference });
    }

    /// Tells every Client that the Server shuts down, closes all connections and ends
    /// [`Server::run`](super::Server::run).
    pub fn stop(&self) {
        self.inbox.push(Input::Stop);
    }

    /// Stops to listen.
    pub(super) fn close(&self) {
        self.listeners.borrow_mut().drain(..).for_each(|listener| listener.abort());
    }

    /// Resolves when all connections are closed; they have a little time to send what is left.
    pub(super) async fn deserted(&self) {
        let all_done = async {
            while self.inside.get() > 0 {
                self.inbox.filled().await;
                while self.inbox.pop().is_some() {}
            }
        };
        let _ = tokio::time::timeout(2 * LINGER, all_done).await;
    }
}
