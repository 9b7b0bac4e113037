//! Reads a scenario file. What is no file of a reasonable size is refused by its name: a device, a
//! FIFO or a disk image would be read for ever.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest scenario file.
const MAX_BYTES: u64 = 1 << 20;

/// Why a scenario file is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioFileError {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("its name has control characters: rename it")]
    Name,
    #[error("it is a {0}, not a file")]
    NoFile(&'static str),
    #[error("it has {0} bytes, and a scenario file has at most {MAX_BYTES}")]
    TooLarge(u64),
    #[error("it is not text in UTF-8: byte {0} is wrong")]
    NotText(usize),
}

/// The text of a scenario file.
pub(crate) fn read(path: &Path) -> Result<String, ScenarioFileError> {
    if has_control(&path.to_string_lossy()) {
        return Err(ScenarioFileError::Name);
    }
    // Before it is opened: opening a FIFO waits for its other end.
    let found = fs::metadata(path)?;
    if found.is_dir() {
        fs::read_dir(path)?;
    }
    if !found.is_file() {
        return Err(ScenarioFileError::NoFile(kind(&found)));
    }
    if found.len() > MAX_BYTES {
        return Err(ScenarioFileError::TooLarge(found.len()));
    }
    let mut bytes = Vec::new();
    // A file of /proc has no length, and a file may grow.
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ScenarioFileError::TooLarge(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| ScenarioFileError::NotText(error.utf8_error().valid_up_to()))
}

/// Whether a name could control the terminal on which it is printed.
fn has_control(name: &str) -> bool {
    name.chars().any(char::is_control)
}

/// A name for messages, with control characters as escapes.
pub(crate) fn shown(name: &str) -> String {
    let escaped = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    name.chars().map(escaped).collect()
}

#[cfg(unix)]
fn kind(found: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = found.file_type();
    match () {
        () if kind.is_dir() => "folder",
        () if kind.is_fifo() => "FIFO",
        () if kind.is_socket() => "socket",
        () => "device",
    }
}

#[cfg(not(unix))]
fn kind(found: &fs::Metadata) -> &'static str {
    if found.is_dir() { "folder" } else { "device" }
}
