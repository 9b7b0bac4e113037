//! Tokens for names on the wire.

/// A token of this process. It differs from those of earlier processes, so that a run does not meet
/// their Sessions and retained messages.
#[expect(
    clippy::disallowed_methods,
    reason = "names on the wire must be new; no verdict and no report depends on them"
)]
pub(crate) fn token() -> String {
    let since =
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mixed = since.as_micros() as u64 ^ u64::from(std::process::id()) << 20;
    // Four digits: a Client Identifier has room for 23 bytes, and every run adds its number.
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
