//! Faults of links and hosts as data, and the interpreter that injects them into a backend.
//!
//! **A backend implements [`Inject`], which only applies a given state. The [`Injector`] tracks
//! which faults are active. So a fault has the same meaning on every backend.**
//!
//! 1. A [`Fault`] is one thing that can go wrong, and where.
//! 2. A [`Course`] is a list of faults with the time at which each begins and how long it lasts. A
//!    [`Profile`] is a course with a name, as scenario files write it.
//! 3. An [`Injector`] begins and ends faults and runs courses. It calls back at the start and the
//!    end of each step, so that a history can record them.
//! 4. A fault that a backend cannot model is refused as [`Unsupported`] before anything happens.
//!
//! Faults that are active at the same time combine as follows, for each direction of each link:
//!
//! | faults | in force |
//! |---|---|
//! | partitions | a partition while any is active |
//! | added latencies | their sum |
//! | latencies, losses, bandwidths | the one that began last; when it ends, the one before |
//!
//! The end of a fault does not end other faults. [`Injector::heal`] ends every fault of a link.
//!
//! Time is tokio's: the backends either pause it (the simulated world), step it (turmoil) or let it
//! run (live).
#![forbid(unsafe_code)]

mod course;
mod fault;
mod inject;
mod injector;
mod probability;
mod profile;

pub use course::{Course, Step};
pub use fault::{Fault, LinkState, Way};
pub use inject::{FaultError, Inject, Unsupported};
pub use injector::{Injector, Phase, RunningCourse};
pub use probability::Probability;
pub use profile::Profile;
