//! Explores: draws scenarios from seeds, runs them, and shrinks what fails to a short file.
//!
//! **The seed is the whole input.** [`generate`] draws a [`Swarm`] (the features of one run) and
//! then a scenario file. [`explore`] runs one seed after another and keeps one finding of each
//! shape. [`shrink`] makes a failing file short while it still has the same finding. The runs are
//! judged by the monitors, the delivery checks and the history model of `mqttspec-judge`.
#![forbid(unsafe_code)]

mod against;
mod campaign;
mod changed;
mod coverage;
mod features;
mod generate;
mod live;
mod live_server;
mod moves;
mod mutants;
mod reasons;
mod run;
mod shape;
mod shrink;
mod shrink_live;
mod situations;
mod swarm;

pub use against::{Against, Comparison, Difference, Side, Violation, compare};
pub use campaign::{
    Campaign, CampaignError, Found, GENERATION, Options, Progress, Shard, Unconfirmed, explore, merge,
};
pub use changed::Kept;
pub use coverage::Coverage;
pub use features::{Feature, Features};
pub use generate::generate;
pub use live::{Live, explore_live, shrink_first_live};
pub use live_server::LiveServer;
pub use mutants::{Measured, measure, page};
pub use shape::Shape;
pub use shrink::{Limits, Shrunk, shrink, shrink_first};
pub use swarm::Swarm;
