//! The clock of a server that the harness started with libfaketime: it runs at the pace of real time,
//! and the harness puts it forward.
//!
//! libfaketime reads the difference from real time in a file, at each call that asks for the time.
//! The speed of the clock is never changed: with a speed, the library counts from the start of each
//! process, and no other process knows that exactly. With a difference, every process of the server
//! sees the same time, and so do its realtime and its monotonic clock.

use core::cell::Cell;
use core::time::Duration;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use mqttspec_runtime::Ahead;
use tempfile::TempDir;
use tokio::time::Instant;

/// The environment variable with the path of the library.
pub(crate) const LIBRARY_VARIABLE: &str = "MQTTSPEC_LIBFAKETIME";

/// The library: the variant for programs with threads, or else the other one. Without locks, two
/// threads that read the file at the same moment may read half of it.
const LIBRARY_NAMES: [&str; 2] = ["libfaketimeMT.so.1", "libfaketime.so.1"];

/// Where packages install it.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/arm-linux-gnueabihf/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
    "/usr/local/lib64/faketime",
    "/usr/lib",
];

/// Where the library keeps what the processes of a server share.
const SHARED_MEMORY: &str = "/dev/shm";

/// Variables that would give a process another time.
const OTHER_VARIABLES: [&str; 5] = [
    "FAKETIME",
    "FAKETIME_TIMESTAMP_FILE",
    "FAKETIME_XRESET",
    "FAKETIME_DONT_FAKE_MONOTONIC",
    "DONT_FAKE_MONOTONIC",
];

/// A jump of the clock counts as recent for this long: what arrives meanwhile may be older.
const RECENT: Duration = Duration::from_millis(100);

/// Why there is no library to preload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LibraryError {
    /// None of the usual paths has it.
    #[error(
        "libfaketime is not installed: on Debian, apt-get install libfaketime; elsewhere, \
         {LIBRARY_VARIABLE} names the file"
    )]
    NotInstalled,
    /// The environment names a file that does not exist.
    #[error("{LIBRARY_VARIABLE} names {}, which does not exist", .0.display())]
    NoSuchFile(PathBuf),
}

/// The library that gives a process another clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockLibrary(PathBuf);

impl core::fmt::Display for ClockLibrary {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

impl ClockLibrary {
    /// The library that the environment names, or that is installed.
    pub(crate) fn find() -> Result<Self, LibraryError> {
        let folders: Vec<&Path> = LIBRARY_FOLDERS.iter().map(Path::new).collect();
        Self::find_in(std::env::var_os(LIBRARY_VARIABLE), &folders)
    }

    fn find_in(named: Option<OsString>, folders: &[&Path]) -> Result<Self, LibraryError> {
        if let Some(file) = named.filter(|file| !file.is_empty()).map(PathBuf::from) {
            return if file.is_file() { Ok(Self(file)) } else { Err(LibraryError::NoSuchFile(file)) };
        }
        let files = folders.iter().flat_map(|folder| LIBRARY_NAMES.map(|name| folder.join(name)));
        files.into_iter().find(|file| file.is_file()).map(Self).ok_or(LibraryError::NotInstalled)
    }

    #[cfg(test)]
    pub(crate) fn named(file: &str) -> Self {
        Self(file.into())
    }

    /// Loads it into a process. Nothing says yet which time it shows.
    pub(crate) fn preload_into(&self, command: &mut Command) {
        let mut libraries = self.0.clone().into_os_string();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            libraries.push(":");
            libraries.push(others);
        }
        for other in OTHER_VARIABLES {
            command.env_remove(other);
        }
        command
            .env("LD_PRELOAD", libraries)
            // The times of files would change too.
            .env("NO_FAKE_STAT", "1")
            // The library reads the fraction of a second with the locale's decimal mark.
            .env("LC_NUMERIC", "C");
    }

    /// Removes what the library leaves of a process that was killed. A later process with the same
    /// id could not start.
    pub(crate) fn clean_up_after(process: u32) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            // A process that ended by itself leaves nothing.
            let _ = fs::remove_file(Path::new(SHARED_MEMORY).join(format!("{name}{process}")));
        }
    }
}

/// The clock of one server. Its processes share it, and it goes on when the server is restarted.
#[derive(Debug)]
pub(crate) struct TargetClock {
    library: ClockLibrary,
    file: PathBuf,
    /// The folder of the file, if it is in memory.
    _in_memory: Option<TempDir>,
    began: Instant,
    /// The same clock, for what runs in this process: links, loads and reference clients.
    here: Rc<Ahead>,
    last_jump: Cell<Option<(Instant, Duration)>>,
}

impl TargetClock {
    /// A clock that shows real time. Its file is in memory, because it is replaced many times in a
    /// second, or else in this folder.
    pub(crate) fn new(library: &ClockLibrary, folder: &Path) -> io::Result<Self> {
        let in_memory = tempfile::Builder::new().prefix("mqttspec-clock-").tempdir_in(SHARED_MEMORY).ok();
        let clock = Self {
            library: library.clone(),
            file: in_memory.as_ref().map_or(folder, TempDir::path).join("clock"),
            _in_memory: in_memory,
            began: Instant::now(),
            here: Ahead::new(),
            last_jump: Cell::default(),
        };
        clock.write(Duration::ZERO)?;
        Ok(clock)
    }

    /// Lets a process use this clock.
    pub(crate) fn preload_into(&self, command: &mut Command) {
        self.library.preload_into(command);
        command.env("FAKETIME_TIMESTAMP_FILE", &self.file).env("FAKETIME_NO_CACHE", "1");
    }

    /// The same clock, for what runs in this process.
    pub(crate) fn here(&self) -> &Rc<Ahead> {
        &self.here
    }

    /// The time that it has shown since it was made.
    pub(crate) fn now(&self) -> Duration {
        self.here.now().saturating_duration_since(self.began)
    }

    /// Puts it forward.
    pub(crate) fn advance(&self, by: Duration) -> io::Result<()> {
        self.write(self.here.by() + by)?;
        self.here.advance(by);
        self.last_jump.set(Some((Instant::now(), by)));
        Ok(())
    }

    /// By how much what arrives now may be older than this clock shows.
    pub(crate) fn grain(&self) -> Duration {
        let recent = self.last_jump.get().filter(|(at, _)| at.elapsed() < RECENT);
        recent.map_or(Duration::ZERO, |(_, by)| by)
    }

    /// Replaces the file, so that no process reads a half of it.
    fn write(&self, added: Duration) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, setting(added))?;
        fs::rename(&new, &self.file)
    }
}

/// The difference from real time as libfaketime reads it.
fn setting(added: Duration) -> String {
    format!("+{}.{:06}\n", added.as_secs(), added.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_named_file_or_the_installed_one() {
        let folder = tempfile::tempdir().unwrap();
        let find = |named: Option<&Path>| {
            ClockLibrary::find_in(named.map(|file| file.as_os_str().to_owned()), &[folder.path()])
        };
        assert_eq!(find(None), Err(LibraryError::NotInstalled));
        let (plain, threads) = (folder.path().join(LIBRARY_NAMES[1]), folder.path().join(LIBRARY_NAMES[0]));
        fs::write(&plain, "").unwrap();
        assert_eq!(find(None), Ok(ClockLibrary(plain.clone())));
        fs::write(&threads, "").unwrap();
        assert_eq!(find(None), Ok(ClockLibrary(threads)));
        assert_eq!(find(Some(&plain)), Ok(ClockLibrary(plain)));
        let missing = folder.path().join("missing.so");
        assert_eq!(find(Some(&missing)), Err(LibraryError::NoSuchFile(missing)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_shows_real_time_and_the_jumps() {
        let folder = tempfile::tempdir().unwrap();
        let clock = TargetClock::new(&ClockLibrary("lib.so".into()), folder.path()).unwrap();
        let written = || fs::read_to_string(&clock.file).unwrap();
        assert_eq!((written().as_str(), clock.now()), ("+0.000000\n", Duration::ZERO));
        clock.advance(Duration::from_millis(86_400_250)).unwrap();
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(written(), "+86400.250000\n");
        assert_eq!(clock.now(), Duration::from_millis(86_400_260));
        assert_eq!(clock.grain(), Duration::from_millis(86_400_250));
        tokio::time::advance(RECENT).await;
        assert_eq!(clock.grain(), Duration::ZERO);
    }
}
