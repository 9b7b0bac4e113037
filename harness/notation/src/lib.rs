//! The scenario notation: the text form of scenario files and transcripts.
//!
//! Files are parsed into a [`Scenario`], which the runner executes. A scenario prints back as a
//! file that parses to an equal value. This crate contains no execution. The grammar, with an
//! example of every construct, is in `scenarios/NOTATION.md`.
//!
//! Names are the standard's own terms (section 1.2 and the tables of chapters 2 and 3). Each
//! scenario cites the clauses that it tests. A clause belongs to a version.

pub mod bytes;
mod check;
mod diagnostics;
mod faults;
pub mod fields;
pub mod fuzz;
mod lexicon;
mod packets;
mod parse;
mod parts;
mod print;
mod scenario;
mod steps;
mod values;
pub mod vocabulary;

pub use mqttspec_codec::{PacketType, Version};
pub use mqttspec_spec::{Level, Roles};

pub use check::{CatalogueClauses, ClauseLookup, LATER_USERS, STORE, check, read};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use parse::parse;
pub use print::{print, print_field};

pub use faults::{DiskFault, Fault, FaultKind, Measure, ProfileFault};
pub use packets::{
    Atom, AtomText, Comparison, Content, Extent, Framing, Operand, PacketPattern, Patch, PatchValue, Place,
    RawBytes, Subscription,
};
pub use parts::{ClauseReference, Comments, HostName, Hosts, ShownClause, Shows};
pub use scenario::{
    Cell, ClientDeclaration, HeaderComment, HeaderWord, HostOption, Need, Row, Scenario, Table,
};
pub use steps::{Action, Branch, Direction, Guarantee, Load, Property, Rate, Report, Step, StepKind, Timing};
pub use values::{
    Field, Name, Number, Operator, Piece, Radix, Span, Test, Text, Time, TimeRange, Value, VersionMark,
};

/// The name of the server's host.
pub const SERVER: &str = "broker";

/// Whether a host may have this name: letters, digits, `-` and `_`, starting with a letter, and not
/// a word of the notation.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && lexicon::may_be_host(name)
}

/// Formats a file in the canonical layout.
///
/// # Errors
/// The diagnostics, if the file is not a scenario.
pub fn format(file: &str, source: &str) -> Result<String, Diagnostics> {
    parse(file, source).map(|scenario| print(&scenario))
}
