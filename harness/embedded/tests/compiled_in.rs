//! Both kinds of builds have the same scenario files.

use std::process::Command;

#[test]
fn a_release_build_has_the_files_that_a_debug_build_reads() {
    let read = mqttspec_embedded::scenarios().unwrap();
    let read: String = read.iter().map(|(name, text)| format!("{name} {}\n", text.len())).collect();
    assert!(read.starts_with("auth/"), "{read}");

    let built = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "--locked", "--offline", "--example", "list"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .args(["--target-dir", env!("CARGO_TARGET_TMPDIR")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(read, String::from_utf8_lossy(&built.stdout));
}
