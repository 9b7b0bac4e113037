//! Prints the fastest samples of criterion's last run as the Markdown tables of `codec/README.md`.
//!
//! Run `cargo bench --bench peers` in this folder first, then `cargo run`. An argument names
//! another target folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Nanoseconds per packet, by item and codec.
type Estimates = BTreeMap<String, BTreeMap<String, f64>>;

/// Item, and its name in the table.
const ITEMS: [(&str, &str); 6] = [
    ("connect", "CONNECT: Will, User Name, Password, properties"),
    ("publish_small", "PUBLISH, QoS 1, 64 B, no properties"),
    ("publish_large", "PUBLISH, QoS 1, 16 KiB, five properties"),
    ("puback", "PUBACK"),
    ("subscribe", "SUBSCRIBE, ten filters"),
    ("stream", "1 MiB mixed stream, per packet"),
];

fn json(file: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
}

/// Nanoseconds of the fastest sample: other load on the machine can only add time.
fn fastest(samples: &Value) -> f64 {
    let numbers = |key: &str| samples[key].as_array().into_iter().flatten().filter_map(Value::as_f64);
    numbers("times").zip(numbers("iters")).map(|(time, times)| time / times).fold(f64::INFINITY, f64::min)
}

fn estimates(criterion: &Path) -> std::io::Result<Estimates> {
    let mut all = Estimates::new();
    for group in std::fs::read_dir(criterion)? {
        let group = group?.path();
        for who in std::fs::read_dir(&group).into_iter().flatten() {
            let who = who?.path();
            let new = who.join("new");
            let (Some(samples), Some(benchmark)) =
                (json(&new.join("sample.json")), json(&new.join("benchmark.json")))
            else {
                continue;
            };
            let packets = benchmark["throughput"]["Elements"].as_f64().unwrap_or(1.0);
            let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            if let (Some(item), Some(who)) = (name(&group), name(&who)) {
                all.entry(item).or_default().insert(who, fastest(&samples) / packets);
            }
        }
    }
    Ok(all)
}

/// Nanoseconds, and the ratio to this codec's time.
fn with_ratio(value: Option<&f64>, ours: Option<&f64>) -> String {
    match (value, ours) {
        (Some(value), Some(ours)) => format!("{value:.1} ({:.2}×)", value / ours),
        _ => "–".to_owned(),
    }
}

fn plain(value: Option<&f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}

fn main() -> std::io::Result<()> {
    let target = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let all = estimates(&target.join("criterion"))?;
    let none = BTreeMap::new();

    println!(
        "| decode, ns per packet | mqttspec | rumqttc | mqttspec, in place | mqttspec 3.1.1, in place | mqttrs 3.1.1 |"
    );
    println!("|---|---|---|---|---|---|");
    for (item, title) in ITEMS {
        let of = all.get(&format!("decode_{item}")).unwrap_or(&none);
        let three = of.get("mqttspec_borrowed_311");
        println!(
            "| {title} | {} | {} | {} | {} | {} |",
            plain(of.get("mqttspec")),
            with_ratio(of.get("rumqttc"), of.get("mqttspec")),
            plain(of.get("mqttspec_borrowed")),
            plain(three),
            with_ratio(of.get("mqttrs_311"), three),
        );
    }
    let stream = all.get("decode_stream").unwrap_or(&none);
    println!(
        "\nLower bounds for the stream: copying {} ns per packet, scanning its fixed headers {} ns per packet.\n",
        plain(stream.get("floor_memcpy")),
        plain(stream.get("floor_headers")),
    );

    println!("| encode, ns per packet | mqttspec | rumqttc | mqttspec 3.1.1 | mqttrs 3.1.1 |");
    println!("|---|---|---|---|---|");
    for (item, title) in ITEMS {
        let of = all.get(&format!("encode_{item}")).unwrap_or(&none);
        let three = of.get("mqttspec_311");
        println!(
            "| {title} | {} | {} | {} | {} |",
            plain(of.get("mqttspec")),
            with_ratio(of.get("rumqttc"), of.get("mqttspec")),
            plain(three),
            with_ratio(of.get("mqttrs_311"), three),
        );
    }
    Ok(())
}
