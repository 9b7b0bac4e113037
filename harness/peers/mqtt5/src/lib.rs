//! The crate under test is a dependency; its glue is in `tests/conformance.rs`.
