//! The scenario notation: one text form for scenario files, transcripts, snapshots, recorded captures and shrunk counter-examples.
//!
//! The types here are the one scenario type of the product: files are parsed into [`Scenario`], generators draw it, the runner
//! executes it, and it prints back as a file that parses to an equal value. Nothing here knows how a scenario is
//! run. The grammar, with an example of every construct, is in `scenarios/NOTATION.md`.
//!
//! A scenario obeys no part of the standard itself; its names are the standard's own terms (section 1.2 and the
//! tables of chapters 2 and 3), and each scenario names the statements that it shows, which belong to a version.

mod packets;
mod scenario;
mod steps;
mod values;

pub use packets::{
    Atom, AtomText, Comparison, Content, Extent, Operand, PacketPattern, PacketType, Patch, PatchValue,
    Place, RawBytes, Subscription,
};
pub use scenario::{
    Cell, ClauseReference, ClientDeclaration, Comments, HeaderComment, HeaderWord, HostName, Hosts, Need,
    Row, Scenario, Table, Tested, Version, VersionMark,
};
pub use steps::{
    Action, Branch, Direction, DiskFault, Fault, FaultKind, Guarantee, Level, Load, Property, Rate, Report,
    Step, StepKind, Timing,
};
pub use values::{Field, Name, Number, Operator, Piece, Radix, Span, Test, Text, Time, TimeRange, Value};
