//! The codec does not depend on an operating system: this test checks its manifest and the modules
//! of `std` that it uses. (`cargo build -p mqttspec-codec --target wasm32-unknown-unknown` shows
//! the same where that target is installed.)
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn manifest() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap()
}

/// The lines of one table of the manifest, without comments.
fn table(name: &str) -> Vec<String> {
    manifest()
        .lines()
        .skip_while(|line| *line != format!("[{name}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn bytes_and_thiserror_are_the_only_required_dependencies() {
    assert_eq!(
        table("dependencies"),
        [
            "bytes.workspace = true",
            "thiserror.workspace = true",
            "serde = { workspace = true, optional = true }"
        ]
    );
    assert_eq!(table("features"), ["serde = [\"dep:serde\", \"bytes/serde\"]", "fuzz = []"]);
    let manifest = manifest();
    for more in ["build-dependencies", "target.", "build = "] {
        assert!(!manifest.contains(more), "{more}");
    }
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { sources(&path, all) } else { all.push(path) }
    }
}

/// Modules of `std` that also exist in `core` or `alloc`.
const PURE: [&str; 11] =
    ["borrow", "fmt", "hash", "iter", "marker", "num", "ops", "slice", "str", "string", "vec"];

#[test]
fn only_modules_of_core_and_alloc_are_used() {
    let mut files = vec![];
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "{files:?}");
    let mut used = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for path in code.split("std::").skip(1) {
            let module: String = path.chars().take_while(|character| character.is_alphanumeric()).collect();
            assert!(PURE.contains(&module.as_str()), "std::{module} in {}", file.display());
            used.insert(module);
        }
    }
    assert!(used.contains("fmt"), "{used:?}");
}
