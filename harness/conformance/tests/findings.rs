//! Every known failure of the peers in `harness/peers` belongs to a cause that `FINDINGS.md` argues, and
//! the matrix counts them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The known failures of each peer: the case and its reason.
fn known() -> BTreeMap<String, Vec<(String, String)>> {
    let mut known = BTreeMap::new();
    for entry in std::fs::read_dir(peers()).expect("the folder of the peers") {
        let folder = entry.expect("a folder").path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `mini` is wrong on purpose, and its own test has the reasons.
        if !folder.join("known.toml").exists() || name == "mini" {
            continue;
        }
        let text = read(&folder.join("known.toml"));
        let value = |entry: &str, key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
            line.and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
        };
        let entries = text.split("[[known]]").skip(1);
        known.insert(name, entries.map(|entry| (value(entry, "case"), value(entry, "reason"))).collect());
    }
    known
}

#[test]
fn every_known_failure_has_a_cause_that_is_argued() {
    let findings = read(&peers().join("FINDINGS.md"));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let is_cause = |cell: &str| {
        cell.starts_with(|first: char| first.is_ascii_uppercase())
            && cell[1..].parse::<u32>().is_ok_and(|number| number > 0)
    };
    // A row has the cause, what the peer does, the clauses and the cases.
    let rows = findings.lines().map(cells).filter(|row| row.len() == 6 && is_cause(&row[1]));
    let argued: BTreeSet<String> = rows.map(|row| row[1].clone()).collect();
    let mut used = BTreeSet::new();
    for (peer, failures) in known() {
        for (case, reason) in failures {
            let cause = reason.split_once(": ").map_or("", |(cause, _)| cause).to_owned();
            assert!(argued.contains(&cause), "{peer}: {case} has no cause in FINDINGS.md: {reason:?}");
            used.insert(cause);
        }
    }
    assert_eq!(used, argued, "a cause without a case");
}

#[test]
fn the_matrix_counts_the_known_failures() {
    let page = read(&peers().join("README.md"));
    for (peer, failures) in known() {
        let row = page.lines().find(|line| line.contains(&format!("]({peer}) |")));
        let cells: Vec<&str> = row.unwrap_or_default().split('|').map(str::trim).collect();
        // The peer, its role, its version, passed, failed.
        let failed = cells.get(5).and_then(|cell| cell.parse().ok());
        assert_eq!(failed, Some(failures.len()), "{peer}");
    }
}
