//! The broker in protocol situations, by direct calls: connect, act, check the outputs.
#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

mod authentication;
mod authorization;
mod budgets;
mod connect;
mod disconnect;
mod distribution;
mod flow_control;
mod keep_alive;
mod limits;
mod publish;
mod qos_in;
mod qos_out;
mod retained;
mod rig;
mod serving;
mod sessions;
mod shared;
mod statistics;
mod store;
mod subscribe;
mod topic_alias;
mod versions;
mod will;
