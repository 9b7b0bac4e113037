//! Lists the scenario files that this program has: their names and sizes in bytes.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (name, text) in mqttspec_embedded::scenarios()? {
        writeln!(out, "{name} {}", text.len())?;
    }
    Ok(())
}
