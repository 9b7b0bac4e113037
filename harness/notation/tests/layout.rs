//! Every scenario file can be read and stands in the canonical layout, so that a printed trace, a
//! shrunk counter-example and a file written by hand look the same and a diff shows only what
//! changed.

use std::fs;
use std::path::{Path, PathBuf};

use mqttspec_notation as notation;

#[test]
fn every_scenario_file_is_in_the_canonical_layout() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
    let mut files = Vec::new();
    for area in fs::read_dir(root).expect("the crate's folder can be read") {
        let area = area.expect("the crate's folder can be read").path();
        if area.is_dir() {
            files.extend(scenarios_in(&area));
        }
    }
    files.sort();
    assert!(
        files.len() >= 100,
        "only {} scenario files found: does the test still look where they are?",
        files.len()
    );
    let wrong: Vec<String> = files.iter().filter_map(|file| complaint(root, file)).collect();
    assert!(wrong.is_empty(), "{} of {} files:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

fn scenarios_in(area: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(area).expect("an area can be read");
    entries
        .map(|entry| entry.expect("an area can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mqtt"))
        .collect()
}

fn complaint(root: &Path, file: &Path) -> Option<String> {
    let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
    let source = fs::read_to_string(file).expect("scenario files are UTF-8");
    match notation::format(&name, &source) {
        Ok(formatted) if formatted == source => None,
        Ok(formatted) => {
            let same =
                formatted.lines().zip(source.lines()).take_while(|(ours, theirs)| ours == theirs).count();
            Some(format!("{name}:{}: not in the canonical layout", same + 1))
        }
        Err(diagnostics) => Some(diagnostics.plain()),
    }
}
