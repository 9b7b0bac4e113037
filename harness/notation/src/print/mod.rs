//! Prints a scenario as a file, in the canonical layout. The file parses to an equal scenario.

mod content;
mod header;
pub(super) mod places;
mod shows;
mod steps;
mod values;

use core::fmt;

use super::vocabulary::Owner;
use super::{Content, Field, PacketPattern, Scenario, Step};

/// The whole file.
#[must_use]
pub fn print(scenario: &Scenario) -> String {
    let mut written = String::new();
    header::header(scenario, &mut written);
    if !scenario.steps.is_empty() {
        written.push('\n');
        steps::steps(&scenario.steps, 0, &mut written);
    }
    if !scenario.comments_below.is_empty() {
        let comments = super::Comments { above: scenario.comments_below.clone(), ..Default::default() };
        steps::comments_above(&comments, 0, &mut written);
    }
    written
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(self))
    }
}

impl fmt::Display for Step {
    /// The line of the step, without its comments and without its block.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&steps::line(self, 0))
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&content::content(self))
    }
}

impl fmt::Display for PacketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&content::packet(self))
    }
}

/// A field of `owner`, as in a line.
#[must_use]
pub fn print_field(field: &Field, owner: Owner) -> String {
    values::field(field, owner)
}
