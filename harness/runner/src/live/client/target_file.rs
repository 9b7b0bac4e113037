//! Target files of clients, in TOML. See `targets/clients/README.md`.

use core::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A client under test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTargetFile {
    /// The command of the adapter.
    pub command: String,
    /// The name in reports. The default is the one that the adapter says.
    #[serde(default)]
    pub name: String,
    /// The number of concurrent runs, unless the command line gives one.
    #[serde(default)]
    pub jobs: Option<usize>,
    /// How much faster than real time the clock of the client may run in cases that wait.
    #[serde(default)]
    pub clock_speed: Option<NonZeroU32>,
}

/// Why a target file of a client cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientTargetError {
    /// The file cannot be read.
    #[error("cannot read the target file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a wrong value.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        source: Box<toml::de::Error>,
    },
}

impl ClientTargetFile {
    /// Reads a target file.
    ///
    /// # Errors
    /// If the file cannot be read or is not a valid target file.
    pub fn read(path: &Path) -> Result<Self, ClientTargetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClientTargetError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|source| ClientTargetError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}
