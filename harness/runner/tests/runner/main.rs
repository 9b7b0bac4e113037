//! What the runner does with a scenario: one program, since each more costs a second to link.

mod common;

mod applications;
mod blocks;
mod claims;
mod faults;
mod latitude;
mod poisoned;
mod refusals;
mod turmoil;
mod words;
