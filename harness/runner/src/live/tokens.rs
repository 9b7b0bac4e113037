//! New names for the wire.

/// Names on the wire differ from one process to the next, so that nothing that an earlier one left behind is met.
#[expect(
    clippy::disallowed_methods,
    reason = "names on the wire must be new; nothing that is judged or shown depends on them"
)]
pub(crate) fn token() -> String {
    let since =
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mixed = since.as_micros() as u64 ^ u64::from(std::process::id()) << 20;
    // Four figures: a Client Identifier has room for 23, and every run adds its number.
    format!("m{}", base36(mixed % 36_u64.pow(4)))
}

pub(crate) fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().collect()
}
