//! Adapter processes that wait for their next case.

use std::cell::{Cell, RefCell};

use super::fast_clock::FastClock;
use super::process::{AdapterError, Process};
use super::protocol::{DISK, Hello};

/// The processes of one adapter command.
pub(super) struct Pool {
    command: String,
    /// The clock of its processes, if it is not the machine's.
    pub(super) clock: Option<FastClock>,
    idle: RefCell<Vec<Process>>,
    keeps_sessions: Cell<bool>,
}

impl Pool {
    /// Starts one process, and sends `hello` to get the name of its library.
    pub(super) async fn start(
        command: &str,
        clock: Option<FastClock>,
    ) -> Result<(Self, Hello), (AdapterError, Vec<String>)> {
        let process = Process::start(command, clock.as_ref()).await?;
        let hello = process.hello.clone();
        let keeps_sessions = Cell::new(hello.supports(DISK));
        let idle = RefCell::new(vec![process]);
        Ok((Self { command: command.to_owned(), clock, idle, keeps_sessions }, hello))
    }

    /// A process that drives no client.
    pub(super) async fn take(&self) -> Result<Process, (AdapterError, Vec<String>)> {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(mut process) => {
                process.begin_case();
                Ok(process)
            }
            None => Process::start(&self.command, self.clock.as_ref()).await,
        }
    }

    pub(super) fn give_back(&self, process: Process) {
        self.idle.borrow_mut().push(process);
    }

    /// Whether the library keeps its Session over the end of its process.
    pub(super) fn keeps_sessions(&self) -> bool {
        self.keeps_sessions.get()
    }
}
