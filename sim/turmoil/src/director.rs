//! The director: code outside all hosts that lets time pass, acts for hosts and injects faults.

use crate::pipe::{AgentRequest, DirectorStream, Piped};
use crate::simulation::{Power, Simulation};
use mqttspec_ports::{Listener, Net};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The director's handle on the running simulation. Clones refer to the same simulation.
#[derive(Clone)]
pub struct Turmoil {
    pub(crate) simulation: Rc<Simulation>,
    pub(crate) began: Instant,
}

impl Turmoil {
    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.simulation.now.get()
    }

    /// Lets simulated time pass.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets simulated time pass until this time since the start of the run. Returns at once if that
    /// time has passed.
    pub async fn sleep_until(&self, since_start: Duration) {
        tokio::time::sleep_until(self.began + since_start).await;
    }

    /// The network of a host until the host stops, for a director that acts for it.
    ///
    /// # Errors
    /// `NotFound` for an unknown name; `NotConnected` if the host does not run.
    pub fn net(&self, host: &str) -> io::Result<DirectorNet> {
        let index = self.find(host)?;
        let agent = self.simulation.hosts[index].agent.borrow().clone();
        Ok(DirectorNet { agent: agent.ok_or_else(is_down)? })
    }

    /// True while the host's process runs.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub fn is_up(&self, host: &str) -> io::Result<bool> {
        Ok(self.simulation.hosts[self.find(host)?].power.get() == Power::On)
    }

    /// The error that the host's main task returned after its last start.
    ///
    /// # Errors
    /// `NotFound` for an unknown name.
    pub fn failure(&self, host: &str) -> io::Result<Option<String>> {
        let ended = self.simulation.hosts[self.find(host)?].ended.borrow().clone();
        Ok(ended.and_then(Result::err))
    }

    /// The name of the host that has this address.
    pub fn host_at(&self, address: SocketAddr) -> Option<&str> {
        self.simulation.host_at(address.ip()).map(|host| self.simulation.hosts[host].name.as_str())
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is named {name:?}"));
        self.simulation.host_named(name).ok_or_else(unknown)
    }
}

fn is_down() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the host does not run")
}

/// The network of a host, for the director.
///
/// In turmoil, only code on a host can use that host's sockets. So an agent on the host dials and
/// listens, and passes the bytes on.
#[derive(Clone)]
pub struct DirectorNet {
    agent: mpsc::UnboundedSender<AgentRequest>,
}

/// A port of a host, for the director.
pub struct DirectorListener {
    address: SocketAddr,
    accepted: RefCell<mpsc::UnboundedReceiver<(Piped, SocketAddr)>>,
}

impl Net for DirectorNet {
    type Stream = DirectorStream;
    type Listener = DirectorListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<DirectorStream> {
        let (reply, answer) = oneshot::channel();
        let request = AgentRequest::Connect { host: host.to_owned(), port, reply };
        self.agent.send(request).map_err(|_| is_down())?;
        answer.await.map_err(|_| is_down())?
    }

    async fn listen(&self, port: u16) -> io::Result<DirectorListener> {
        let (reply, answer) = oneshot::channel();
        let (accepted, connections) = mpsc::unbounded_channel();
        self.agent.send(AgentRequest::Listen { port, accepted, reply }).map_err(|_| is_down())?;
        let address = answer.await.map_err(|_| is_down())??;
        Ok(DirectorListener { address, accepted: RefCell::new(connections) })
    }

    fn reset(&self, stream: DirectorStream) {
        stream.state.resets.set(true);
    }
}

impl Listener for DirectorListener {
    type Stream = DirectorStream;

    async fn accept(&self) -> io::Result<(DirectorStream, SocketAddr)> {
        poll_fn(|cx| self.accepted.borrow_mut().poll_recv(cx)).await.ok_or_else(is_down)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl fmt::Debug for Turmoil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turmoil(seed {}, {} hosts)", self.simulation.seed, self.simulation.hosts.len())
    }
}

impl fmt::Debug for DirectorNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectorNet")
    }
}

impl fmt::Debug for DirectorListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectorListener({})", self.address)
    }
}
