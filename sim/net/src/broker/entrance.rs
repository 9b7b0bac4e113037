//! The entrance of a broker: it accepts Network Connections from listeners of any transport, and
//! single streams.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use mqttspec_broker::{Redirect, Users};
use mqttspec_codec::{Connect, Utf8String};
use mqttspec_ports::Listener;
use mqttspec_runtime::Task as Spawned;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{self, LINGER, Link, Task};
use super::inbox::Inbox;
use super::outflow::Memory;
use super::passwords::PasswordChecker;
use super::share::Shares;
use super::{Input, Limits};
use crate::framed::Inflow;

/// How long a listener waits after it failed to accept, for example because no file descriptor is
/// free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A handle of a running [`Server`](super::Server), which gives it Network Connections. Clones are
/// handles of the same server.
#[derive(Clone)]
pub struct Entrance {
    inbox: Inbox<Input>,
    limits: Limits,
    largest_packet: u32,
    keep_bytes: bool,
    listeners: Rc<RefCell<Vec<Spawned>>>,
    /// Connections whose task has not ended.
    inside: Rc<Cell<usize>>,
    pub(super) memory: Memory,
    shares: Shares,
    strangers: Rc<Strangers>,
    users: Users,
    passwords: Rc<RefCell<Option<Rc<dyn PasswordChecker>>>>,
    notices: Rc<RefCell<Option<Tell>>>,
}

type Tell = Rc<dyn Fn(Notice)>;

/// A problem that is reported to the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// Connections cannot be accepted. Reported once, until one is accepted again.
    CannotAccept(std::io::Error),
}

/// Connections without an accepted CONNECT.
#[derive(Debug, Default)]
struct Strangers {
    count: Cell<usize>,
    /// In order of arrival. The list may still have connections with an accepted CONNECT.
    links: RefCell<VecDeque<Weak<Link>>>,
}

impl Strangers {
    fn enter(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        self.count.set(self.count.get() + 1);
        links.push_back(Rc::downgrade(link));
        // Removes finished entries once they are most of the list.
        if links.len() > 2 * self.count.get() + 64 {
            links.retain(|link| link.upgrade().is_some_and(|link| link.is_stranger()));
        }
    }

    fn leave(&self, link: &Link) {
        if link.no_stranger() {
            self.count.set(self.count.get() - 1);
        }
    }

    /// Removes and returns the oldest one.
    fn take_oldest(&self) -> Option<Rc<Link>> {
        let mut links = self.links.borrow_mut();
        let oldest = std::iter::from_fn(|| links.pop_front())
            .filter_map(|link| link.upgrade())
            .find(|link| link.is_stranger())?;
        drop(links);
        self.leave(&oldest);
        Some(oldest)
    }
}

impl Entrance {
    pub(super) fn new(
        inbox: Inbox<Input>,
        limits: Limits,
        largest_packet: u32,
        keep_bytes: bool,
        users: Users,
    ) -> Entrance {
        Entrance {
            inbox,
            limits,
            largest_packet,
            keep_bytes,
            listeners: Rc::default(),
            inside: Rc::default(),
            memory: Memory::new(limits.buffers_maximum),
            shares: Shares::default(),
            strangers: Rc::default(),
            users,
            passwords: Rc::default(),
            notices: Rc::default(),
        }
    }

    /// Sets the checker of passwords. Without one, the loop checks them itself, and everything else
    /// waits meanwhile.
    pub fn check_passwords(&self, checker: impl PasswordChecker + 'static) {
        *self.passwords.borrow_mut() = Some(Rc::new(checker));
    }

    /// Reports a problem to the operator.
    pub fn on_notice(&self, tell: impl Fn(Notice) + 'static) {
        *self.notices.borrow_mut() = Some(Rc::new(tell));
    }

    /// Serves all Network Connections of this listener.
    pub fn listen<L: Listener + 'static>(&self, listener: L)
    where
        L::Stream: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let entrance = self.clone();
        let task = mqttspec_runtime::spawn_local(async move {
            let mut told = false;
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        told = false;
                        entrance.serve(stream, Some(peer));
                    }
                    Err(error) => {
                        let tell = entrance.notices.borrow().clone();
                        if let Some(tell) = tell.filter(|_| !std::mem::replace(&mut told, true)) {
                            tell(Notice::CannotAccept(error));
                        }
                        // A connection without CONNECT may hold a file descriptor that is needed.
                        entrance.close_oldest_stranger();
                        mqttspec_runtime::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        self.listeners.borrow_mut().push(task);
    }

    /// Serves one Network Connection over any byte stream; drops it if there are as many as the
    /// limits allow.
    pub fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(&self, stream: S, peer: Option<SocketAddr>) {
        if self.inside.get() >= self.limits.connections {
            return;
        }
        if self.strangers.count.get() >= self.limits.strangers {
            self.close_oldest_stranger();
        }
        let link = Link::new(self.limits.outflow_high_bytes, self.largest_packet, &self.memory, &self.shares);
        self.strangers.enter(&link);
        let mut inflow = Inflow::from_client();
        let first_packet = self.limits.first_packet_bytes.min(self.largest_packet);
        inflow.decoder_mut().set_maximum_packet_size(first_packet);
        inflow.keep_bytes(self.keep_bytes);
        self.inbox.push(Input::Opened { link: Rc::clone(&link), peer });
        self.inside.set(self.inside.get() + 1);
        let entrance = self.clone();
        mqttspec_runtime::spawn_local(async move {
            let from = peer.map(|peer| peer.ip());
            let check = |connect: &Connect| {
                let passwords = entrance.passwords.borrow();
                passwords
                    .as_ref()
                    .zip(entrance.users.check(connect))
                    .map(|(passwords, check)| passwords.check(from, check))
            };
            let (packet_timeout, inbox) = (entrance.limits.packet_timeout, &entrance.inbox);
            let task = Task { inflow, link: Rc::clone(&link), inbox, packet_timeout, check: &check };
            connection::run(stream, task).await;
            entrance.strangers.leave(&link);
            entrance.inside.set(entrance.inside.get() - 1);
            entrance.inbox.push(Input::Done);
        });
    }

    /// A CONNECT was accepted.
    pub(super) fn known(&self, link: &Link) {
        self.strangers.leave(link);
    }

    fn close_oldest_stranger(&self) {
        if let Some(link) = self.strangers.take_oldest() {
            self.inbox.push(Input::Evicted { link });
        }
    }

    /// The number of connections that are open or being closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inside.get()
    }

    /// Redirects every Client to another Server: those that are connected, and those that connect
    /// until this is called with [`Redirect::No`]. `reference` replaces the option
    /// `server_reference`, unless it is `None`.
    pub fn redirect(&self, redirect: Redirect, reference: Option<Utf8String>) {
        self.inbox.push(Input::Redirect { redirect, reference });
    }

    /// Sends every Client a DISCONNECT, closes all connections and ends
    /// [`Server::run`](super::Server::run).
    pub fn stop(&self) {
        self.inbox.push(Input::Stop);
    }

    /// Stops listening.
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
        let _ = mqttspec_runtime::timeout(2 * LINGER, all_done).await;
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").field("connections", &self.inside.get()).finish_non_exhaustive()
    }
}
