//! Checks the names in a `cargo` command without running it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Checks that the folders, manifests, packages and targets in a command exist, and that options
/// for a benchmark reach only this benchmark.
pub(crate) fn check_names(line: &str, root: &Path) -> Result<(), String> {
    let mut folder = root.to_owned();
    for command in line.split("&&") {
        let words: Vec<&str> = command.split_whitespace().skip_while(|word| word.contains('=')).collect();
        match words[..] {
            ["cd", name, ..] => folder = folder.join(name),
            ["cargo", "fuzz", "run", target, ..] => {
                has_target(&metadata(&root.join("fuzz/Cargo.toml"))?, None, "bin", target)?;
            }
            ["cargo", subcommand, ..] if !["install", "insta"].contains(&subcommand) => {
                check_cargo(subcommand, &words, &folder, root)?;
            }
            _ => {}
        }
    }
    if folder.is_dir() { Ok(()) } else { Err(format!("{} is not a folder", folder.display())) }
}

fn check_cargo(subcommand: &str, words: &[&str], folder: &Path, root: &Path) -> Result<(), String> {
    let options: Vec<&str> = words.iter().copied().take_while(|&word| word != "--").collect();
    let value = |name: &str| options.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    let manifest = match value("--manifest-path") {
        Some(path) => root.join(path),
        None => folder.join("Cargo.toml"),
    };
    let metadata = metadata(&manifest)?;
    let package = value("-p");
    let names = |found: &Value| package.is_none_or(|name| found["name"] == name);
    if !metadata["packages"].as_array().is_some_and(|packages| packages.iter().any(names)) {
        return Err(format!("no package {package:?} in {}", manifest.display()));
    }
    for kind in ["test", "bench", "example", "bin"] {
        if let Some(target) = value(&format!("--{kind}")) {
            has_target(&metadata, package, kind, target)?;
        }
    }
    if subcommand == "bench" && options.len() < words.len() && value("--bench").is_none() {
        return Err(
            "the options after `--` reach the harness of the library too: name the --bench".to_owned()
        );
    }
    Ok(())
}

fn has_target(metadata: &Value, package: Option<&str>, kind: &str, name: &str) -> Result<(), String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages
        .filter(|found| package.is_none_or(|name| found["name"] == name))
        .flat_map(|found| found["targets"].as_array().into_iter().flatten());
    let is_it = |target: &Value| {
        target["name"] == name && target["kind"].as_array().is_some_and(|kinds| kinds.contains(&kind.into()))
    };
    if targets.into_iter().any(is_it) { Ok(()) } else { Err(format!("no {kind} target {name}")) }
}

fn metadata(manifest: &Path) -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
}
