//! Checks of passwords apart from the loop: one takes as long as hundreds of packets, by intention.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use mqttspec_broker::{CheckedPassword, PasswordCheck};
use tokio::sync::oneshot;

/// Checks that may wait.
const WAITING: usize = 128;
/// Checks that may wait for Clients with one address.
const WAITING_FROM_ONE_ADDRESS: usize = 16;

/// The result of a check.
pub type Checking = Pin<Box<dyn Future<Output = CheckedPassword>>>;

/// Does the checks of passwords.
pub trait PasswordChecker: fmt::Debug {
    /// Begins a check for a Client with this address. While it lasts, nothing more is read from the
    /// Client.
    fn check(&self, from: Option<IpAddr>, check: PasswordCheck) -> Checking;
}

/// A thread that does them, one after the other. What comes when too many wait is refused with
/// Server busy (0x89).
#[derive(Debug)]
pub struct PasswordThread {
    queue: SyncSender<(PasswordCheck, oneshot::Sender<CheckedPassword>)>,
    waiting: Rc<RefCell<BTreeMap<IpAddr, usize>>>,
}

impl PasswordThread {
    /// Starts the thread. It ends when this is dropped.
    ///
    /// # Errors
    /// If the system starts no thread.
    #[expect(
        clippy::disallowed_methods,
        reason = "only a live broker has one: a simulated one checks inline"
    )]
    pub fn start() -> io::Result<PasswordThread> {
        let (queue, jobs) = sync_channel::<(PasswordCheck, oneshot::Sender<CheckedPassword>)>(WAITING);
        std::thread::Builder::new().name("passwords".to_owned()).spawn(move || {
            while let Ok((check, reply)) = jobs.recv() {
                // The Client may have gone meanwhile.
                if !reply.is_closed() {
                    let _ = reply.send(check.run());
                }
            }
        })?;
        Ok(PasswordThread { queue, waiting: Rc::default() })
    }
}

impl PasswordChecker for PasswordThread {
    fn check(&self, from: Option<IpAddr>, check: PasswordCheck) -> Checking {
        let busy = check.busy();
        let Some(place) = Place::take(&self.waiting, from) else {
            return Box::pin(std::future::ready(busy));
        };
        let (reply, answer) = oneshot::channel();
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send((check, reply))
        {
            return Box::pin(std::future::ready(busy));
        }
        Box::pin(async move {
            let _place = place;
            answer.await.unwrap_or(busy)
        })
    }
}

/// One of the places of an address.
struct Place {
    waiting: Rc<RefCell<BTreeMap<IpAddr, usize>>>,
    from: Option<IpAddr>,
}

impl Place {
    fn take(waiting: &Rc<RefCell<BTreeMap<IpAddr, usize>>>, from: Option<IpAddr>) -> Option<Place> {
        if let Some(from) = from {
            let mut waiting = waiting.borrow_mut();
            let count = waiting.entry(from).or_default();
            if *count >= WAITING_FROM_ONE_ADDRESS {
                return None;
            }
            *count += 1;
        }
        Some(Place { waiting: Rc::clone(waiting), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(from) = self.from else { return };
        let mut waiting = self.waiting.borrow_mut();
        if let Some(count) = waiting.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&from);
            }
        }
    }
}
