//! The standard as data: every clause of MQTT 3.1.1 and 5.0 that the project cites, and the types that all crates of the harness
//! use to speak about clauses.
#![forbid(unsafe_code)]

mod area;
mod catalogue;
mod coverage;
mod level;
mod requirement;
mod roles;

pub use area::Area;
pub use catalogue::{Catalogue, Clause, Origin, Standard, UnknownStandard};
pub use coverage::{Coverage, Uncited};
pub use level::Level;
pub use requirement::Requirement;
pub use roles::{Roles, role_word};
