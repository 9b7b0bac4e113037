//! The table of requirements in the README: each row exists, and so does everything that it names.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// The file or folder that a path of the table names: of this crate, or of the repository.
fn found(path: &str) -> Option<PathBuf> {
    [Path::new(CRATE).join(path), Path::new(CRATE).join("../..").join(path)]
        .into_iter()
        .find(|path| path.exists())
}

/// The texts in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_requirement_is_shown_by_files_and_tests_that_exist() {
    let page = fs::read_to_string(Path::new(CRATE).join("README.md")).unwrap();
    let mut rows = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| C")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [row, _, shown] = cells[..] else { panic!("three cells are expected: {line}") };
        rows.insert(row.to_owned());
        let paths: Vec<&str> = quoted(shown).filter(|text| text.contains('/')).collect();
        if paths.is_empty() {
            wrong.push(format!("{row} names no file"));
        }
        let texts: Vec<String> = paths
            .iter()
            .filter_map(|path| match found(path) {
                Some(file) if file.is_file() => Some(fs::read_to_string(file).unwrap()),
                Some(_) => None,
                None => {
                    wrong.push(format!("{row}: there is no {path}"));
                    None
                }
            })
            .collect();
        for test in quoted(shown).filter(|text| text.contains('_') && !text.contains('/')) {
            if !texts.iter().any(|text| text.contains(&format!("fn {test}("))) {
                wrong.push(format!("{row}: none of its files has the test {test}"));
            }
        }
    }
    let expected = ["C1", "C2", "C3", "C4", "C5", "C5b", "C6", "C7", "C8", "C9"];
    assert_eq!(rows, expected.map(str::to_owned).into());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
