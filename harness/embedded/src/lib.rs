//! The scenario files of this project, compiled in, so that a program runs them from any folder.
//!
//! Only a debug build in a clone of this project reads them from the clone when it runs: nothing is
//! compiled then after a change of a scenario. `.cargo/config.toml` asks for it.
#![forbid(unsafe_code)]

use std::io;

#[cfg(reads_clone)]
mod folder;

/// Each scenario file: its path below the folder of scenarios, with `/`, and its text. In order of
/// the paths.
///
/// # Errors
///
/// If the files are not compiled in, and the clone cannot be read.
pub fn scenarios() -> io::Result<Vec<(String, String)>> {
    #[cfg(reads_clone)]
    return folder::files(env!("MQTTSPEC_SCENARIOS").as_ref())?
        .into_iter()
        .map(|(name, path)| Ok((name, std::fs::read_to_string(path)?)))
        .collect();
    #[cfg(not(reads_clone))]
    {
        const COMPILED_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));
        Ok(COMPILED_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }
}
