//! The standard as data: the clauses of MQTT 3.1.1 and 5.0, and the types with which all crates of
//! the harness refer to them.
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
