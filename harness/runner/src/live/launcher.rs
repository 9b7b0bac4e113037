//! Starts, crashes and stops servers on this machine with the commands of a target file.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use mqttspec_judge::cut;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::started;
use super::target_clock::{ClockLibrary, TargetClock};
use super::target_file::{Placeholders, TargetFile, TargetFileError};

/// How long a server may take to shut down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// The interval between checks whether a server accepts connections or has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How many of the server's last output lines are kept.
const KEPT_LINES: usize = 60;

/// In how many of its last bytes they are looked for.
const KEPT_BYTES: u64 = 64 << 10;

/// Why a command of a target file failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The command cannot be parsed.
    #[error(transparent)]
    Command(#[from] TargetFileError),
    /// The program cannot be started.
    #[error("cannot start `{program}`: {source}\n  the command is `{command}`; is the program installed?")]
    Start {
        /// The first word of the command.
        program: String,
        /// The command.
        command: String,
        /// The system's error.
        source: io::Error,
    },
    /// The port, folder or files of the server cannot be prepared.
    #[error("cannot prepare a port and folder for the server: {0}")]
    Place(#[from] io::Error),
    /// It ended before it accepted a connection.
    #[error("`{command}` ended ({how}) before it accepted a connection on port {port}{output}")]
    Ended {
        /// The command.
        command: String,
        /// Its exit status.
        how: String,
        /// The port.
        port: u16,
        /// The last lines of its output, after a line break; empty if there are none.
        output: String,
    },
    /// It does not accept connections.
    #[error(
        "`{command}` accepts no connection on port {port} after {after:?}{output}\n  does the command use {{port}}?"
    )]
    NotReady {
        /// The command.
        command: String,
        /// The port.
        port: u16,
        /// The time limit.
        after: Duration,
        /// The last lines of its output, after a line break; empty if there are none.
        output: String,
    },
    /// A command of the target file failed.
    #[error("`{command}` failed: {how}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        how: String,
    },
}

/// A server that the commands of a target file control. Dropping it kills a server that this
/// process started, and removes its folder.
#[derive(Debug)]
pub(crate) struct Instance {
    host: String,
    port: u16,
    dir: TempDir,
    start: String,
    options: String,
    target_file: TargetFile,
    /// Whether this process started the server. Otherwise it ran before, and only the target
    /// file's commands control it.
    is_child: bool,
    /// The clock of the server, if it is not the machine's.
    clock: Option<Rc<TargetClock>>,
    child: RefCell<Option<Child>>,
    /// Whether the server was stopped for good.
    stopped: Cell<bool>,
}

impl Instance {
    /// Starts a server on a free port of this machine, and waits until it accepts connections. With
    /// a library, the server has a clock of its own.
    pub(crate) async fn launch(
        target_file: &TargetFile,
        start: &str,
        options: &str,
        library: Option<&ClockLibrary>,
    ) -> Result<Self, LaunchError> {
        let mut instance = Self::new(target_file, start, options, "127.0.0.1", free_port()?, true)?;
        let clock = library.map(|library| TargetClock::new(library, instance.dir.path())).transpose()?;
        instance.clock = clock.map(Rc::new);
        instance.start().await?;
        Ok(instance)
    }

    /// A server that runs already. The target file's commands crash and start it.
    pub(crate) fn running(target_file: &TargetFile, host: &str, port: u16) -> Result<Self, LaunchError> {
        let start = target_file.start.clone().unwrap_or_default();
        Self::new(target_file, &start, "", host, port, false)
    }

    fn new(
        target_file: &TargetFile,
        start: &str,
        options: &str,
        host: &str,
        port: u16,
        is_child: bool,
    ) -> Result<Self, LaunchError> {
        let instance = Self {
            host: host.to_owned(),
            port,
            dir: tempfile::Builder::new().prefix("mqttspec-").tempdir()?,
            start: start.to_owned(),
            options: options.to_owned(),
            target_file: target_file.clone(),
            is_child,
            clock: None,
            child: RefCell::new(None),
            stopped: Cell::new(false),
        };
        for (name, text) in &target_file.files {
            let path = instance.dir.path().join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(path, instance.placeholders().text(text))?;
        }
        Ok(instance)
    }

    fn placeholders(&self) -> Placeholders<'_> {
        Placeholders { port: self.port, dir: self.dir.path(), options: &self.options }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The clock of the server, if it is not the machine's.
    pub(crate) fn clock(&self) -> Option<&Rc<TargetClock>> {
        self.clock.as_ref()
    }

    /// Starts the server with its folder as it is, and waits until it accepts connections. A server
    /// that runs is not started a second time.
    pub(crate) async fn start(&self) -> Result<(), LaunchError> {
        if self.stopped.get() {
            return Ok(());
        }
        if self.is_child && self.child.borrow().is_some() && self.ended().is_none() {
            return self.wait_until_ready().await;
        }
        let words = self.placeholders().words(&self.start)?;
        let output = File::options().create(true).append(true).open(self.output_file())?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // Its own process group: Ctrl-C reaches only the harness, and the processes that a shell or
        // script starts are killed with it.
        command.process_group(0);
        if let Some(clock) = &self.clock {
            clock.preload_into(&mut command);
        }
        let child = command.spawn().map_err(|source| LaunchError::Start {
            program: words[0].clone(),
            command: self.start.clone(),
            source,
        })?;
        started::add(&child);
        *self.child.borrow_mut() = Some(child);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&self) -> Result<(), LaunchError> {
        let started = Instant::now();
        loop {
            if self.is_open().await {
                return Ok(());
            }
            let ended = self.ended();
            // A command that starts a service ends successfully before the server is ready.
            if let Some(how) = ended.filter(|how| self.is_child || !how.success()) {
                return Err(LaunchError::Ended {
                    command: self.start.clone(),
                    how: how.to_string(),
                    port: self.port,
                    output: self.output_text(),
                });
            }
            let after = self.target_file.ready_within();
            if started.elapsed() > after {
                return Err(LaunchError::NotReady {
                    command: self.start.clone(),
                    port: self.port,
                    after,
                    output: self.output_text(),
                });
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The exit status of the server's process, if it has ended.
    pub(crate) fn ended(&self) -> Option<std::process::ExitStatus> {
        let mut child = self.child.borrow_mut();
        let child = child.as_mut()?;
        let ended = child.try_wait().ok().flatten()?;
        started::remove(child);
        Some(ended)
    }

    /// Kills the server, as a power failure would.
    pub(crate) async fn crash(&self) -> Result<(), LaunchError> {
        match &self.target_file.kill {
            Some(kill) => self.command(kill).await?,
            None => self.signal(Signal::KILL),
        }
        // Taken now: the server may be started again while the one that was killed still ends.
        let killed = self.child.borrow_mut().take();
        self.reap(killed).await;
        // The kill command may return before the server has ended, and the next start needs the
        // port.
        let until = Instant::now() + SHUTDOWN_TIMEOUT;
        while !self.is_child && Instant::now() < until && self.is_open().await {
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    pub(crate) async fn is_open(&self) -> bool {
        TcpStream::connect((self.host.as_str(), self.port)).await.is_ok()
    }

    /// Shuts the server down. Kills it if it does not end in time.
    pub(crate) async fn stop(&self) {
        self.stopped.set(true);
        match self.target_file.stop.as_ref() {
            // If this fails, the server is killed below.
            Some(stop) => drop(self.command(stop).await),
            None => self.signal(Signal::TERM),
        }
        let until = Instant::now() + SHUTDOWN_TIMEOUT;
        while self.child.borrow().is_some() && self.ended().is_none() && Instant::now() < until {
            sleep(POLL_INTERVAL).await;
        }
        self.signal(Signal::KILL);
        let killed = self.child.borrow_mut().take();
        self.reap(killed).await;
    }

    /// Deletes all Sessions and retained messages, if the target file has a command for it.
    pub(crate) async fn reset(&self) -> Result<(), LaunchError> {
        match &self.target_file.reset {
            Some(reset) => self.command(reset).await,
            None => Ok(()),
        }
    }

    async fn command(&self, text: &str) -> Result<(), LaunchError> {
        let words = self.placeholders().words(text)?;
        let output = File::options().create(true).append(true).open(self.output_file())?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.spawn().map_err(|source| LaunchError::Start {
            program: words[0].clone(),
            command: text.to_owned(),
            source,
        })?;
        let until = Instant::now() + self.target_file.ready_within();
        let how = loop {
            match child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => break status.to_string(),
                None if Instant::now() > until => {
                    child.kill()?;
                    break "it did not end".to_owned();
                }
                None => sleep(POLL_INTERVAL).await,
            }
        };
        Err(LaunchError::Failed { command: text.to_owned(), how })
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.borrow();
        let pid = child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
        if let Some(group) = pid {
            // An error means that the group has ended already.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits until a child that was killed has ended.
    async fn reap(&self, child: Option<Child>) {
        let Some(mut child) = child else { return };
        let until = Instant::now() + SHUTDOWN_TIMEOUT;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
        }
        self.forget(&child);
    }

    /// A child has ended, and is not used any more.
    fn forget(&self, child: &Child) {
        started::remove(child);
        if self.clock.is_some() {
            ClockLibrary::clean_up_after(child.id());
        }
    }

    fn output_file(&self) -> PathBuf {
        self.dir.path().join("output.log")
    }

    /// The last lines of the server's output.
    pub(crate) fn output(&self) -> Vec<String> {
        last_lines(&self.output_file())
    }

    pub(crate) fn output_text(&self) -> String {
        let lines = self.output();
        let last = &lines[lines.len().saturating_sub(5)..];
        if last.is_empty() { String::new() } else { format!("\n  its output:\n    {}", last.join("\n    ")) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.is_child {
            self.signal(Signal::KILL);
        }
        if let Some(mut child) = self.child.borrow_mut().take().filter(|_| self.is_child) {
            let _ = child.wait();
            self.forget(&child);
        }
    }
}

fn last_lines(path: &Path) -> Vec<String> {
    let bytes = last_bytes(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(KEPT_LINES)..];
    last.iter().map(|line| cut::text((*line).to_owned(), cut::LINE)).collect()
}

/// The end of a file that may be long.
fn last_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(KEPT_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(KEPT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first and the number of the ports for servers. They are not among those that systems give to
/// outgoing connections: one of these could take it before the server listens, or while it is down.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

/// The number of ports that were tried for servers of this process.
static TRIED: AtomicU16 = AtomicU16::new(0);

/// A port of this machine that is free at the moment, and that this process gave to no other
/// server: that one may not listen on it yet.
fn free_port() -> io::Result<u16> {
    static FROM: OnceLock<u16> = OnceLock::new();
    let from = match FROM.get() {
        Some(from) => *from,
        None => {
            // Another process begins with another port.
            let drawn = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            *FROM.get_or_init(|| drawn % PORTS)
        }
    };
    let mut taken = io::ErrorKind::AddrInUse.into();
    for _ in 0..100 {
        let port = FIRST_PORT + (from + TRIED.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => taken = error,
        }
    }
    Err(taken)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn a_server_that_is_started_while_the_one_before_ends_is_not_forgotten() {
        // Stands for both servers: it accepts connections.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let target_file = TargetFile::default();
        let instance =
            Instance::new(&target_file, "sleep 600", "", "127.0.0.1", port, true).expect("a folder");
        instance.start().await.expect("it starts");
        let id = |instance: &Instance| instance.child.borrow().as_ref().map(Child::id);
        let first = id(&instance).expect("a process");
        let (crashed, started) = tokio::join!(instance.crash(), instance.start());
        crashed.expect("it is killed");
        started.expect("it is started again");
        let second = id(&instance).expect("a process");
        assert!(first != second && is_alive(second));
        instance.start().await.expect("it runs");
        assert_eq!(id(&instance), Some(second), "it is not started a second time");
        drop(instance);
        assert!(!is_alive(first) && !is_alive(second));
    }
}
