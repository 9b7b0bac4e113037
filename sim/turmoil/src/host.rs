//! A host's main task, its context, and the agent that runs on the same host.

use crate::disk::TurmoilDisk;
use crate::net::{HostListener, HostNet};
use crate::pipe::{AgentRequest, Piped};
use crate::relaying::director_end;
use crate::simulation::{Host, Power, Simulation};
use mqttspec_ports::{Listener as _, Net as _};
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

pub(crate) type MainTask = Pin<Box<dyn Future<Output = Result<(), String>>>>;
pub(crate) type Factory = Box<dyn Fn(HostContext) -> MainTask>;

/// The context that a host receives at each start.
#[derive(Clone)]
pub struct HostContext {
    simulation: Weak<Simulation>,
    host: Rc<Host>,
    incarnation: u32,
}

impl HostContext {
    /// The host's name.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// How often this host has been started, this time included: 1 at the first start.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The host's network.
    pub fn net(&self) -> HostNet {
        HostNet::new(self.simulation.clone(), self.host.clone())
    }

    /// The host's disk. Synced data survives a crash of the host.
    pub fn disk(&self) -> TurmoilDisk {
        self.host.drive.disk()
    }

    /// Simulated time since the start of the run. Zero outside the host's own tasks.
    pub fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_default()
    }
}

impl fmt::Debug for HostContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostContext({} #{})", self.host.name, self.incarnation)
    }
}

/// The closure with which turmoil starts a host.
pub(crate) fn software(
    simulation: Weak<Simulation>,
    host: Rc<Host>,
    factory: Factory,
) -> impl Fn() -> Pin<Box<dyn Future<Output = turmoil::Result>>> {
    let factory = Rc::new(factory);
    move || {
        if host.power.get() == Power::NoProcess {
            return Box::pin(pending());
        }
        host.incarnation.set(host.incarnation.get() + 1);
        *host.ended.borrow_mut() = None;
        let (requests, inbox) = mpsc::unbounded_channel();
        *host.agent.borrow_mut() = Some(requests);
        let incarnation = host.incarnation.get();
        let context = HostContext { simulation: simulation.clone(), host: host.clone(), incarnation };
        let (host, factory) = (host.clone(), factory.clone());
        Box::pin(async move {
            spawn_local(agent(context.net(), inbox));
            // Inside this future, turmoil assigns the call to the host.
            let result = factory(context).await;
            *host.ended.borrow_mut() = Some(result);
            // Until the process is ended after this step.
            pending().await
        })
    }
}

/// Dials and listens for the director.
async fn agent(net: HostNet, mut inbox: mpsc::UnboundedReceiver<AgentRequest>) {
    while let Some(request) = inbox.recv().await {
        match request {
            AgentRequest::Connect { host, port, reply } => {
                spawn_local(connect(net.clone(), host, port, reply));
            }
            AgentRequest::Listen { port, accepted, reply } => {
                let listener = net.listen(port).await;
                let address = listener.as_ref().map(HostListener::local_addr);
                let address = match address {
                    Ok(address) => address,
                    Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
                };
                if reply.send(address).is_ok()
                    && let Ok(listener) = listener
                {
                    spawn_local(accept(listener, accepted));
                }
            }
        }
    }
}

async fn connect(net: HostNet, host: String, port: u16, mut reply: oneshot::Sender<io::Result<Piped>>) {
    let stream = tokio::select! {
        stream = net.connect(&host, port) => stream,
        // The director no longer waits for the connection.
        () = reply.closed() => return,
    };
    // If the director has ended, the connection was dropped.
    let _ = reply.send(stream.map(director_end));
}

async fn accept(listener: HostListener, accepted: mpsc::UnboundedSender<(Piped, SocketAddr)>) {
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = accepted.closed() => return,
        };
        let Ok((stream, peer)) = connection else { return };
        if accepted.send((director_end(stream), peer)).is_err() {
            return;
        }
    }
}
