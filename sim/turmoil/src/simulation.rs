//! The state that the director and the hosts of a run share, and the changes of hosts between two
//! steps of turmoil.

use crate::connection::{Connections, Key};
use crate::disk::Drive;
use crate::pipe::AgentRequest;
use crate::wakers::Wakers;
use mqttspec_faults::{FaultError, LinkState};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use turmoil::Sim;
use turmoil::net::TcpStream;

/// Whether a host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// Its process runs.
    On,
    /// Its process has ended; its machine closes connections and refuses new ones.
    NoProcess,
    /// It has crashed.
    Off,
}

/// A host, over all its starts.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Cell<IpAddr>,
    pub(crate) power: Cell<Power>,
    pub(crate) incarnation: Cell<u32>,
    /// How the director reaches the agent that runs on the host.
    pub(crate) agent: RefCell<Option<mpsc::UnboundedSender<AgentRequest>>>,
    pub(crate) stalled: Cell<bool>,
    pub(crate) stall_changed: Wakers,
    /// What the main task returned in this life.
    pub(crate) ended: RefCell<Option<Result<(), String>>>,
    pub(crate) drive: Arc<Drive>,
    /// Notified when the process ends, in whatever way.
    pub(crate) went_down: Arc<tokio::sync::Notify>,
}

impl Host {
    pub(crate) fn new(name: String) -> Host {
        Host {
            name,
            address: Cell::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            power: Cell::new(Power::On),
            incarnation: Cell::new(0),
            agent: RefCell::default(),
            stalled: Cell::new(false),
            stall_changed: Wakers::default(),
            ended: RefCell::default(),
            drive: Arc::default(),
            went_down: Arc::default(),
        }
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.stalled.set(stalled);
        self.stall_changed.wake();
    }

    fn process_is_gone(&self, power: Power) {
        self.power.set(power);
        self.set_stalled(false);
        *self.agent.borrow_mut() = None;
        self.went_down.notify_waiters();
    }
}

/// A change that cannot be made while the director or a host is being polled.
pub(crate) enum HostRequest {
    Crash(usize, oneshot::Sender<Result<(), FaultError>>),
    Start(usize, oneshot::Sender<Result<(), FaultError>>),
}

/// What turmoil does to the messages of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Passage {
    #[default]
    Open,
    /// Nothing passes now. Everything passes later.
    Held,
    /// Nothing passes, ever.
    Cut,
}

pub(crate) struct Simulation {
    /// None once the run is over. Borrowed while a step is made.
    pub(crate) sim: RefCell<Option<Sim<'static>>>,
    pub(crate) hosts: Vec<Rc<Host>>,
    pub(crate) connections: Connections,
    /// Ends of connections that were dropped and that carry nothing: their peer must not notice.
    pub(crate) silent_streams: RefCell<Vec<TcpStream>>,
    pub(crate) requests: RefCell<VecDeque<HostRequest>>,
    /// By direction.
    faults: RefCell<BTreeMap<(usize, usize), LinkState>>,
    /// By pair, the lower number first.
    passages: RefCell<BTreeMap<(usize, usize), Passage>>,
    latency: RangeInclusive<Duration>,
    pub(crate) seed: u64,
    /// The director's clock.
    pub(crate) now: Cell<Duration>,
}

impl Simulation {
    pub(crate) fn new(hosts: Vec<Rc<Host>>, latency: RangeInclusive<Duration>, seed: u64) -> Simulation {
        Simulation {
            sim: RefCell::default(),
            hosts,
            connections: Connections::default(),
            silent_streams: RefCell::default(),
            requests: RefCell::default(),
            faults: RefCell::default(),
            passages: RefCell::default(),
            latency,
            seed,
            now: Cell::default(),
        }
    }

    pub(crate) fn host_named(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    pub(crate) fn host_at(&self, address: IpAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.address.get() == address)
    }

    /// The hosts at the ends of a connection.
    pub(crate) fn hosts_of(&self, key: &Key) -> (Option<usize>, Option<usize>) {
        (self.host_at(key.0.ip()), self.host_at(key.1.ip()))
    }

    /// Puts faults in force on one direction.
    pub(crate) fn set_faults(&self, from: usize, to: usize, state: &LinkState) {
        let before = self.faults.borrow_mut().insert((from, to), state.clone()).unwrap_or_default();
        let latency = |state: &LinkState| {
            let fixed = state.latency.clone().unwrap_or_else(|| self.latency.clone());
            *fixed.start() + state.added_latency..=*fixed.end() + state.added_latency
        };
        if latency(&before) != latency(state) {
            self.set_latency(from, to, &latency(state));
        }
        self.update_passage(from, to);
    }

    fn set_latency(&self, a: usize, b: usize, latency: &RangeInclusive<Duration>) {
        let (a, b) = (self.hosts[a].address.get(), self.hosts[b].address.get());
        if let Some(sim) = &*self.sim.borrow() {
            sim.set_link_latency(a, b, *latency.start());
            sim.set_link_max_message_latency(a, b, *latency.end());
        }
    }

    /// Sets in turmoil whether messages pass between two hosts.
    fn update_passage(&self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        let is_off = |host: usize| self.hosts[host].power.get() == Power::Off;
        let faults = self.faults.borrow();
        let is_partitioned = |from, to| faults.get(&(from, to)).is_some_and(|state| state.partitioned);
        let wanted = if is_off(a) || is_off(b) {
            Passage::Cut
        } else if is_partitioned(a, b) || is_partitioned(b, a) {
            Passage::Held
        } else {
            Passage::Open
        };
        let present = self.passages.borrow_mut().insert(pair, wanted).unwrap_or_default();
        let (a, b) = (self.hosts[a].address.get(), self.hosts[b].address.get());
        let sim = self.sim.borrow();
        let Some(sim) = &*sim else { return };
        match (present, wanted) {
            (Passage::Open, Passage::Open)
            | (Passage::Held, Passage::Held)
            | (Passage::Cut, Passage::Cut) => {}
            (_, Passage::Cut) => sim.partition(a, b),
            (_, Passage::Held) => sim.hold(a, b),
            (Passage::Held, Passage::Open) => sim.release(a, b),
            (Passage::Cut, Passage::Open) => sim.repair(a, b),
        }
    }

    fn update_passages(&self, host: usize) {
        (0..self.hosts.len())
            .filter(|&other| other != host)
            .for_each(|other| self.update_passage(host, other));
    }

    /// Executes the requests. Returns true if there were any.
    pub(crate) fn serve_requests(&self) -> bool {
        let requests = self.requests.take();
        let served = !requests.is_empty();
        for request in requests {
            // The caller may no longer wait for the result.
            match request {
                HostRequest::Crash(host, done) => drop(done.send(self.crash(host))),
                HostRequest::Start(host, done) => drop(done.send(self.start(host))),
            }
        }
        served
    }

    fn crash(&self, host: usize) -> Result<(), FaultError> {
        let slot = &self.hosts[host];
        if slot.power.get() != Power::On {
            return Err(FaultError::Down(slot.name.clone()));
        }
        self.note_what_is_lost(host);
        // The disk first, so that tasks cannot write while they are dropped.
        slot.drive.lose_power();
        slot.process_is_gone(Power::Off);
        // Then the links, so that sockets cannot send while they are dropped.
        self.update_passages(host);
        if let Some(sim) = &mut *self.sim.borrow_mut() {
            sim.crash(slot.name.as_str());
        }
        Ok(())
    }

    /// Marks the connections whose segments in transit to a host are lost by its crash.
    fn note_what_is_lost(&self, host: usize) {
        let address = self.hosts[host].address.get();
        let mut lost = Vec::new();
        if let Some(sim) = &*self.sim.borrow() {
            sim.links(|links| {
                let pairs = links.flatten().map(|sent| sent.pair());
                lost.extend(pairs.filter(|(_, to)| to.ip() == address));
            });
        }
        self.connections.each(
            |(client, server)| lost.contains(&(*client, *server)) || lost.contains(&(*server, *client)),
            |connection| connection.spoke_in_vain.set(true),
        );
    }

    fn start(&self, host: usize) -> Result<(), FaultError> {
        let slot = &self.hosts[host];
        if slot.power.get() == Power::On {
            return Err(FaultError::AlreadyUp(slot.name.clone()));
        }
        slot.power.set(Power::On);
        self.connections.each(
            |key| {
                let ends = self.hosts_of(key);
                ends.0 == Some(host) || ends.1 == Some(host)
            },
            |connection| {
                if connection.spoke_in_vain.get() {
                    connection.is_reset.set(true);
                }
            },
        );
        self.update_passages(host);
        if let Some(sim) = &mut *self.sim.borrow_mut() {
            sim.bounce(slot.name.as_str());
        }
        Ok(())
    }

    /// Ends the processes of hosts whose main task returned, or whose power failed at a write, in
    /// the last step.
    pub(crate) fn bury(&self) {
        for (index, slot) in self.hosts.iter().enumerate() {
            if slot.power.get() != Power::On {
                continue;
            }
            if slot.drive.power_failed() {
                // A power failure of a host that is up cannot fail.
                let _ = self.crash(index);
            } else if slot.ended.borrow().is_some() {
                slot.process_is_gone(Power::NoProcess);
                if let Some(sim) = &mut *self.sim.borrow_mut() {
                    // Drops the tasks, which closes the sockets, and starts an idle process.
                    sim.bounce(slot.name.as_str());
                }
            }
        }
    }

    /// Drops all hosts. Their disks are switched off first, so that nothing is written meanwhile.
    pub(crate) fn tear_down(&self) {
        self.hosts.iter().for_each(|host| host.drive.lose_power());
        let sim = self.sim.take();
        drop(sim);
        self.silent_streams.take();
    }
}
