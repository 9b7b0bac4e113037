//! The body of the fuzz target `notation`, which reads any bytes as a scenario file. `cargo test`
//! runs it over the corpus.

use super::{CatalogueClauses, parse, print, read};

/// Reads bytes as a file. Reading must not panic, every diagnostic must be printable, and a valid
/// scenario must print and parse to an equal one.
///
/// # Panics
/// If one of these does not hold.
pub fn file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match read("fuzz", text, &CatalogueClauses) {
        Ok((scenario, _)) => {
            let printed = print(&scenario);
            let again = parse("printed", &printed);
            assert_eq!(again.as_ref().ok(), Some(&scenario), "{printed}");
        }
        Err(diagnostics) => {
            assert!(diagnostics.has_errors(), "refused without a reason");
            assert!(!diagnostics.plain().is_empty(), "a reason that cannot be drawn");
        }
    }
}
