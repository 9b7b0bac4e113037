//! The clock and the entropy of the test programs.

mod machine;

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, SystemTime};

use machine::{BEGIN, show};

#[test]
fn the_clock_shows_the_time_of_the_simulation_in_its_thread() {
    let shown = thread::spawn(|| {
        show(|| Duration::from_secs(5));
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
    });
    assert_eq!(shown.join().unwrap(), BEGIN + Duration::from_secs(5));
    let machine = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(machine > BEGIN + Duration::from_secs(365 * 24 * 3600));
}

#[test]
fn maps_have_the_same_order_in_each_thread() {
    let order = || {
        let map: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
        map.into_keys().collect::<Vec<_>>()
    };
    let first = thread::spawn(order).join().unwrap();
    assert_eq!(first, thread::spawn(order).join().unwrap());
    assert_ne!(first, (0..100).collect::<Vec<_>>());
}
