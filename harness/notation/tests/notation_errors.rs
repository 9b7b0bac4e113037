//! What the notation says about files that are wrong: each file of `notation_errors` makes one kind
//! of mistake, and the snapshot beside it is what its author reads.

#![allow(clippy::unwrap_used, reason = "a test")]

use mqttspec_notation::{CatalogueClauses, read};

#[test]
fn every_mistake_is_named_with_its_place_and_a_hint() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/notation_errors");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mqtt"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 15, "the mistakes are gone");
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&path).unwrap();
        let diagnostics = match read(&format!("{name}.mqtt"), &source, &CatalogueClauses) {
            Ok((_, warnings)) => panic!("{name} passes:\n{warnings}"),
            Err(diagnostics) => diagnostics,
        };
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false,
            snapshot_path => "notation_errors" }, {
            insta::assert_snapshot!(name, diagnostics.plain());
        });
    }
}
