//! The scenario notation: one text form for scenario files, transcripts, snapshots, recorded captures and shrunk counter-examples.
//!
//! The types here are the one scenario type of the product: files are parsed into [`Scenario`], generators draw it, the runner
//! executes it, and it prints back as a file that parses to an equal value. Nothing here knows how a scenario is
//! run. The grammar, with an example of every construct, is in `scenarios/NOTATION.md`.
//!
//! A scenario obeys no part of the standard itself; its names are the standard's own terms (section 1.2 and the
//! tables of chapters 2 and 3), and each scenario names the statements that it shows, which belong to a version.

pub mod bytes;
mod check;
mod diagnostics;
pub mod fields;
pub mod fuzz;
mod lexicon;
mod packets;
mod parse;
mod print;
mod scenario;
mod shows;
mod steps;
mod values;
pub mod vocabulary;

pub use mqttspec_codec::{PacketType, Version};
pub use mqttspec_spec::{Level, Roles};

pub use check::{CatalogueClauses, ClauseLookup, check, read};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use parse::parse;
pub use print::{print, print_field};

pub use packets::{
    Atom, AtomText, Comparison, Content, Extent, Operand, PacketPattern, Patch, PatchValue, Place, RawBytes,
    Subscription,
};
pub use scenario::{
    Cell, ClauseReference, ClientDeclaration, Comments, HeaderComment, HeaderWord, HostName, HostOption,
    Hosts, Need, Row, Scenario, Table, VersionMark,
};
pub use shows::{ShownClause, Shows};
pub use steps::{
    Action, Branch, Direction, DiskFault, Fault, FaultKind, Guarantee, Load, Property, Rate, Report, Step,
    StepKind, Timing,
};
pub use values::{Field, Name, Number, Operator, Piece, Radix, Span, Test, Text, Time, TimeRange, Value};

/// The name of the server's host.
pub const SERVER: &str = "broker";

/// Whether a host may have this name: letters, digits, `-` and `_`, a letter first, and no word of the notation.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && lexicon::may_be_host(name)
}

/// The file in the canonical layout.
///
/// # Errors
/// What is wrong with the file, if it is no scenario.
pub fn format(file: &str, source: &str) -> Result<String, Diagnostics> {
    parse(file, source).map(|scenario| print(&scenario))
}
