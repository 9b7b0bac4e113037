//! Both kinds of builds have the same scenario files.

use std::process::Command;

/// What the example prints, built as others build it: with the files inside.
fn listed_by_a_release_build() -> String {
    let listed = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "--locked", "--offline", "--example", "list"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .args(["--target-dir", env!("CARGO_TARGET_TMPDIR")])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn a_release_build_has_the_files_that_a_debug_build_reads() {
    let read = mqttspec_embedded::scenarios().unwrap();
    let read: String = read.iter().map(|(name, text)| format!("{name} {}\n", text.len())).collect();
    assert!(read.starts_with("auth/"), "{read}");
    assert_eq!(read, listed_by_a_release_build());
}
