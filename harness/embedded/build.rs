//! Has all scenario files compiled in. A debug build in a clone of this project reads them from the
//! clone instead (see `.cargo/config.toml`).

use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/folder.rs"]
mod folder;

fn main() -> io::Result<()> {
    // Read when the build script runs, not when it is compiled: a cached build script of another
    // checkout would have the path of that checkout.
    let here = env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?;
    let scenarios = Path::new(&here).join("../../scenarios").canonicalize()?;
    println!("cargo::rustc-check-cfg=cfg(reads_clone)");
    println!("cargo::rerun-if-env-changed=MQTTSPEC_READ_SCENARIOS");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/folder.rs");
    let debug = env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    if debug && env::var_os("MQTTSPEC_READ_SCENARIOS").is_some() {
        println!("cargo::rustc-cfg=reads_clone");
        println!("cargo::rustc-env=MQTTSPEC_SCENARIOS={}", scenarios.display());
        return Ok(());
    }
    println!("cargo::rerun-if-changed={}", scenarios.display());
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("scenarios.rs"), list(folder::files(&scenarios)?))
}

fn list(files: Vec<(String, PathBuf)>) -> String {
    let mut list = String::from("&[\n");
    for (name, path) in files {
        list.push_str(&format!("    ({name:?}, include_str!({:?})),\n", path.to_string_lossy()));
    }
    list + "]\n"
}
