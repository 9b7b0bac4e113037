//! FAULTS.md and the fault tests agree: each test has a row, and each row names an existing test.

use std::collections::BTreeSet;

/// Files of which every test must have a row.
const TABLED: [&str; 3] =
    [include_str!("faults.rs"), include_str!("faults_of_hosts.rs"), include_str!("disk.rs")];
/// Files whose tests may have a row.
const OTHERS: [&str; 1] = [include_str!("world.rs")];

#[test]
fn the_table_of_faults_names_the_tests_and_all_of_them() {
    let named: BTreeSet<&str> = include_str!("../FAULTS.md")
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix("` |")?.rsplit('`').next())
        .collect();
    let tests: BTreeSet<&str> = TABLED.into_iter().flat_map(tests_of).collect();
    let others: BTreeSet<&str> = OTHERS.into_iter().flat_map(tests_of).collect();
    assert!(tests.len() > 40);
    let missing: Vec<_> = tests.difference(&named).collect();
    assert!(missing.is_empty(), "not in FAULTS.md: {missing:?}");
    let unknown: Vec<_> =
        named.iter().filter(|name| !tests.contains(*name) && !others.contains(*name)).collect();
    assert!(unknown.is_empty(), "FAULTS.md names tests that do not exist: {unknown:?}");
}

fn tests_of(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.split("#[test]\nfn ").skip(1).filter_map(|test| test.split('(').next())
}
