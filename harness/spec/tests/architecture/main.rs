//! The structure of the workspace is the one that ARCHITECTURE.md describes: the dependencies
//! between crates are those of its diagram, and the files of a crate have no dependency cycle.

mod crates;
mod modules;

use std::collections::BTreeSet;
use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand, Target, TargetKind};

use crate::modules::{Modules, cycles, shortest};

/// The cycles that there still are: lists of files, with a blank line between two cycles.
const KNOWN_CYCLES: &str = include_str!("known_cycles.txt");

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo reads the manifests")
}

#[test]
fn dependencies_between_crates_are_those_of_the_diagram() {
    let metadata = metadata();
    let page = std::fs::read_to_string(metadata.workspace_root.join("ARCHITECTURE.md")).expect("is there");
    let drawn = crates::Diagram::read(&page).unwrap_or_else(|error| panic!("ARCHITECTURE.md: {error}"));
    let differences = drawn.differences(&crates::Diagram::of(&metadata));
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}

#[test]
fn every_crate_is_described() {
    let metadata = metadata();
    let page = std::fs::read_to_string(metadata.workspace_root.join("ARCHITECTURE.md")).expect("is there");
    let described: BTreeSet<String> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once("/` | `")?.0.to_owned()))
        .collect();
    let folders: BTreeSet<String> =
        metadata.workspace_packages().into_iter().map(|package| crates::folder(&metadata, package)).collect();
    assert_eq!(described, folders, "the table of crates has a line for each crate of the workspace");
}

#[test]
fn files_of_a_crate_have_no_cycle() {
    let metadata = metadata();
    let root = metadata.workspace_root.as_std_path();
    let known: BTreeSet<Vec<String>> = KNOWN_CYCLES
        .split("\n\n")
        .map(|files| files.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
        .filter(|files: &Vec<String>| !files.is_empty())
        .collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        let kinds = [TargetKind::Lib, TargetKind::Bin];
        let is_code = |target: &&Target| kinds.iter().any(|kind| target.kind.contains(kind));
        for target in package.targets.iter().filter(is_code) {
            let dependencies = Modules::read(target.src_path.as_std_path()).dependencies();
            for files in cycles(dependencies.keys()) {
                let names: Vec<String> = files.iter().map(|file| short(root, file)).collect();
                if !known.contains(&names) {
                    complaints.push(format!("a new cycle of files:\n{}\n\nof which:", names.join("\n")));
                    complaints.extend(shortest(&files, &dependencies).iter().map(|(from, to, path)| {
                        format!("{} -> {} ({path})", short(root, from), short(root, to))
                    }));
                }
                found.insert(names);
            }
        }
    }
    let gone = known.difference(&found);
    complaints.extend(
        gone.map(|files| {
            format!("this cycle is gone; remove it from known_cycles.txt:\n{}", files.join("\n"))
        }),
    );
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn short(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}
