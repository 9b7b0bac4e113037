//! The process of an adapter: starts it, writes and reads its lines, and kills it.

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::fast_clock::FastClock;
use super::protocol::{Command, Hello, Line, PROTOCOL, Reply, Request, shortened};
use crate::live::target_clock::ClockLibrary;

/// How long an adapter may take to start and answer `hello`.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an adapter may take to answer a command.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest line.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Bytes asked of its standard output at once.
const READ_BYTES: usize = 16 << 10;

/// What an adapter may print in one case.
const MAX_CASE_BYTES: usize = 32 << 20;

/// How many of the last lines of its standard error are kept.
const KEPT_LINES: usize = 40;

/// How many of the last bytes of its standard error are kept.
const KEPT_BYTES: usize = 16 << 10;

/// What an adapter did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// The command cannot be split into words.
    #[error("the command `{0}` is empty, or has a quote that is not closed")]
    Words(String),
    /// The program cannot be started.
    #[error("cannot start `{command}`: {error}")]
    Start {
        /// The command.
        command: String,
        /// The system's error.
        error: String,
    },
    /// The process ended.
    #[error("the adapter ended ({0})")]
    Ended(String),
    /// A pipe to the process failed.
    #[error("the pipe to the adapter failed: {0}")]
    Pipe(String),
    /// No reply came.
    #[error("the adapter did not answer `{command}` within {after:?}")]
    Silent {
        /// The command.
        command: &'static str,
        /// The time limit.
        after: Duration,
    },
    /// A line is not one of the protocol.
    #[error("the adapter printed a line that is not one of the protocol: {error}\n  {line}")]
    Garbage {
        /// The line, shortened.
        line: String,
        /// What is wrong with it.
        error: String,
    },
    /// A line does not end.
    #[error("the adapter printed more than {MAX_LINE_BYTES} bytes without a line break")]
    LongLine,
    /// It prints without end.
    #[error("the adapter printed more than {0} events in one case")]
    Flood(u32),
    /// The same, counted in bytes.
    #[error("the adapter printed more than {} MiB in one case", MAX_CASE_BYTES >> 20)]
    FloodOfBytes,
    /// A reply or event names a command that was not given, or that has ended.
    #[error("the adapter's `{what}` names the command {id}, which is not open")]
    UnknownCommand {
        /// The event, or `reply`.
        what: &'static str,
        /// The number.
        id: u64,
    },
    /// It refused a command that every adapter must accept.
    #[error("the adapter refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Its reason.
        reason: String,
    },
    /// The library never opens a Network Connection.
    #[error("the client opened no Network Connection within {0:?} after `connect`")]
    NeverConnects(Duration),
    /// The library opens another Network Connection while the first is open.
    #[error("the client opened a second Network Connection while its first one was open")]
    ConnectsTwice,
}

/// A running adapter. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) hello: Hello,
    child: Child,
    /// Whether it has another clock.
    is_fast: bool,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    /// Bytes of lines that were not taken.
    read: BytesMut,
    stderr: pipe::Receiver,
    /// The last bytes of its standard error.
    errors: BytesMut,
    /// What it printed since the last [`Process::begin_case`].
    printed: usize,
    last_id: u64,
}

/// How to kill a process that another task owns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killer(Option<Pid>);

impl Killer {
    pub(super) fn kill(self) {
        if let Some(group) = self.0 {
            // It fails if the process has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Process {
    /// Starts an adapter, and waits for its `hello`. On failure also returns its standard error.
    pub(super) async fn start(
        command: &str,
        clock: Option<&FastClock>,
    ) -> Result<Self, (AdapterError, Vec<String>)> {
        let mut process = Self::spawn(command, clock).map_err(|error| (error, Vec::new()))?;
        let hello = match process.call(Command::Hello { protocol: PROTOCOL }, START_TIMEOUT).await {
            Ok(Reply::Ok(value)) => serde_json::from_value::<Hello>(value.clone()).map_err(|error| {
                AdapterError::Garbage { line: shortened(&value.to_string()), error: error.to_string() }
            }),
            Ok(Reply::Unsupported(reason) | Reply::Error(reason)) => {
                Err(AdapterError::Refused { command: "hello", reason })
            }
            Err(error) => Err(error),
        };
        match hello {
            Ok(hello) => {
                process.hello = hello.shortened();
                Ok(process)
            }
            Err(error) => {
                let output = process.output();
                Err((error, output))
            }
        }
    }

    fn spawn(command: &str, clock: Option<&FastClock>) -> Result<Self, AdapterError> {
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| AdapterError::Words(command.to_owned()))?;
        let failed =
            |error: io::Error| AdapterError::Start { command: command.to_owned(), error: error.to_string() };
        // Its own process group: what it starts is killed with it.
        let mut program = std::process::Command::new(&words[0]);
        program.args(&words[1..]).process_group(0);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(clock) = clock {
            clock.preload_into(&mut program);
        }
        let mut child = program.spawn().map_err(failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let ((stdin, stdout), stderr) = pipes.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            hello: Hello {
                name: String::new(),
                version: String::new(),
                language: String::new(),
                versions: Vec::new(),
                supports: Vec::new(),
                silent: Vec::new(),
            },
            child,
            is_fast: clock.is_some(),
            stdin: pipe::Sender::from_owned_fd(OwnedFd::from(stdin)).map_err(failed)?,
            stdout: pipe::Receiver::from_owned_fd(OwnedFd::from(stdout)).map_err(failed)?,
            stderr: pipe::Receiver::from_owned_fd(OwnedFd::from(stderr)).map_err(failed)?,
            read: BytesMut::new(),
            errors: BytesMut::new(),
            printed: 0,
            last_id: 0,
        })
    }

    /// Gives a command outside of a case, and waits for its reply. Events meanwhile are of no client.
    pub(super) async fn call(&mut self, command: Command, after: Duration) -> Result<Reply, AdapterError> {
        let name = command.name();
        let exchange = async {
            let id = self.send(command).await?;
            loop {
                match self.line().await? {
                    Line::Reply { id: of, reply } if of == id => return Ok(reply),
                    Line::Reply { id, .. } => {
                        return Err(AdapterError::UnknownCommand { what: "reply", id });
                    }
                    Line::Event(_) => {}
                }
            }
        };
        timeout(after, exchange).await.unwrap_or(Err(AdapterError::Silent { command: name, after }))
    }

    /// Writes a command; returns its number.
    pub(super) async fn send(&mut self, command: Command) -> Result<u64, AdapterError> {
        self.last_id += 1;
        let request = Request { id: self.last_id, command };
        let mut line = serde_json::to_vec(&request).map_err(|error| AdapterError::Pipe(error.to_string()))?;
        line.push(b'\n');
        let (stderr, errors) = (&mut self.stderr, &mut self.errors);
        let written = tokio::select! {
            biased;
            written = self.stdin.write_all(&line) => written,
            // An adapter that waits until its standard error is read takes no command.
            never = keep_reading(stderr, errors) => match never {},
        };
        if let Err(error) = written {
            return Err(self.ended().unwrap_or_else(|| AdapterError::Pipe(error.to_string())));
        }
        Ok(self.last_id)
    }

    /// The number of the next command.
    pub(super) fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    /// The next line. Cancel safe.
    pub(super) async fn line(&mut self) -> Result<Line, AdapterError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let bytes = self.read.split_to(end + 1);
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                if text.is_empty() {
                    continue;
                }
                return Line::parse(&text).map_err(|error| AdapterError::Garbage {
                    line: shortened(&text),
                    error: error.to_string(),
                });
            }
            if self.read.len() > MAX_LINE_BYTES {
                return Err(AdapterError::LongLine);
            }
            if self.printed > MAX_CASE_BYTES {
                return Err(AdapterError::FloodOfBytes);
            }
            self.read.reserve(READ_BYTES);
            let (stderr, errors) = (&mut self.stderr, &mut self.errors);
            let read = tokio::select! {
                biased;
                read = self.stdout.read_buf(&mut self.read) => read,
                never = keep_reading(stderr, errors) => match never {},
            };
            match read {
                Ok(0) => {
                    // The pipe closes a moment before the process can be reaped.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let closed = || AdapterError::Ended("it closed its standard output".to_owned());
                    return Err(self.ended().unwrap_or_else(closed));
                }
                Ok(count) => self.printed += count,
                Err(error) => return Err(AdapterError::Pipe(error.to_string())),
            }
        }
    }

    /// Another case begins.
    pub(super) fn begin_case(&mut self) {
        self.printed = 0;
    }

    fn ended(&mut self) -> Option<AdapterError> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(AdapterError::Ended(status.to_string()))
    }

    pub(super) fn killer(&self) -> Killer {
        Killer(i32::try_from(self.child.id()).ok().and_then(Pid::from_raw))
    }

    /// The last lines of its standard error.
    pub(super) fn output(&mut self) -> Vec<String> {
        let mut more = [0; KEPT_BYTES];
        for _ in 0..4 {
            let Ok(count @ 1..) = self.stderr.try_read(&mut more) else { break };
            keep(&mut self.errors, &more[..count]);
        }
        let text = String::from_utf8_lossy(&self.errors);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(KEPT_LINES)..].iter().map(|line| shortened(line)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.killer().kill();
        // A killed process can be reaped at once.
        let _ = self.child.wait();
        if self.is_fast {
            ClockLibrary::clean_up_after(self.child.id());
        }
    }
}

/// Keeps the last bytes of a standard error.
fn keep(errors: &mut BytesMut, more: &[u8]) {
    errors.extend_from_slice(more);
    let too_many = errors.len().saturating_sub(KEPT_BYTES);
    drop(errors.split_to(too_many));
}

/// Reads a standard error, for as long as its caller waits for something else.
async fn keep_reading(stderr: &mut pipe::Receiver, errors: &mut BytesMut) -> Infallible {
    let mut more = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut more).await {
        keep(errors, &more[..count]);
    }
    std::future::pending().await
}
