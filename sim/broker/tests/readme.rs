//! The table of options in `README.md` matches the broker's options; `UPDATE=1` generates it.
#![expect(clippy::unwrap_used, reason = "a file of the project that cannot be read fails the test")]

use std::fmt::Write as _;

use mqttspec_broker::Options;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- options: written by UPDATE=1 cargo test -p mqttspec-broker --test readme -->\n";
const END: &str = "<!-- /options -->";

#[test]
fn the_table_of_options_is_up_to_date() {
    let readme = std::fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    let expected = table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(README, [before, BEGIN, &expected, END, after].concat()).unwrap();
    } else {
        assert_eq!(found, expected, "UPDATE=1 writes the table");
    }
}

fn table() -> String {
    let mut table = "\n| option | default | values | meaning |\n|---|---|---|---|\n".to_owned();
    for option in Options::descriptions() {
        let default = if option.default.is_empty() { "(empty)" } else { &option.default };
        let (name, values, what) = (option.name, option.values, option.description);
        writeln!(table, "| `{name}` | {default} | {values} | {} |", what.trim()).unwrap();
    }
    table.push('\n');
    table
}
