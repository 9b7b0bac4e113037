//! Simulated times as text.

/// Nanoseconds as seconds with this number of decimals. They are cut off, so that a time never
/// seems later than it was.
///
/// ```
/// assert_eq!(mqttspec_reports::seconds(1_234_567_890, 3), "1.234s");
/// assert_eq!(mqttspec_reports::seconds(999, 6), "0.000000s");
/// ```
#[must_use]
pub fn seconds(nanoseconds: u64, decimals: u32) -> String {
    let decimals = decimals.min(9);
    let whole = nanoseconds / 1_000_000_000;
    let part = nanoseconds % 1_000_000_000 / 10_u64.pow(9 - decimals);
    if decimals == 0 {
        format!("{whole}s")
    } else {
        format!("{whole}.{part:0width$}s", width = decimals as usize)
    }
}
