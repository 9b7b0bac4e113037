//! The real disk does what the simulated disk does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../world/tests/contract/mod.rs"]
mod contract;

use mqttspec_net::RealDisk;

#[test]
fn a_real_disk_reads_what_was_written() {
    let folder = std::env::temp_dir().join(format!("mqttspec-real-disk-{}", std::process::id()));
    contract::reads_what_was_written(&RealDisk::new(&folder).unwrap()).unwrap();
    std::fs::remove_dir(&folder).unwrap();
}
