//! Which clauses a line shows: what makes an expectation a claim. Every other line is set-up, and shows nothing.

use super::Version;
use super::scenario::{ClauseReference, VersionMark};
use super::values::Span;

/// `shows MQTT-3.1.2-8`: the clauses that a line, or the lines of a block, show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// `shows all`: every clause of the case, those of the header and those of its row.
    All,
    /// The named ones, at least one. Those without a mark come first.
    Clauses(Vec<ShownClause>),
}

/// A clause that a line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownClause {
    /// Where the id is written.
    pub span: Span,
    /// `[5] MQTT-4.3.3-10`: the versions in which it is shown. Without a mark, every version in which the case lists it.
    pub versions: VersionMark,
    /// The id.
    pub id: String,
}

impl ShownClause {
    /// Whether it names this clause.
    #[must_use]
    pub fn names(&self, clause: &ClauseReference) -> bool {
        self.id == clause.id && self.versions.applies_to(clause.version)
    }
}

impl Shows {
    /// The clauses that are shown in `version`, of those that the case lists: in the order of the list, each once.
    #[must_use]
    pub fn of<'a>(
        &self,
        version: Version,
        listed: impl IntoIterator<Item = &'a ClauseReference>,
    ) -> Vec<&'a str> {
        let mut ids = Vec::new();
        for clause in listed {
            let named = match self {
                Self::All => true,
                Self::Clauses(clauses) => clauses.iter().any(|shown| shown.names(clause)),
            };
            if named && clause.version == version && !ids.contains(&clause.id.as_str()) {
                ids.push(clause.id.as_str());
            }
        }
        ids
    }
}
