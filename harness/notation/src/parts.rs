//! Parts that lines of the header and of the body share: clauses, hosts, comments.

use mqttspec_codec::Version;

use super::values::{Name, Span, VersionMark};

/// A reference to a clause. The two standards number the same rule differently and use the same
/// number for different rules, so the version is part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseReference {
    /// The position of the id.
    pub span: Span,
    /// The version of the clause.
    pub version: Version,
    /// The id as the standard prints it: `MQTT-3.1.2-8`.
    pub id: String,
}

/// `shows MQTT-3.1.2-8`: the clauses that a line, or the lines of a block, show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// `shows all`: every clause of the case, those of the header and those of its row.
    All,
    /// The named ones, at least one. Those without a mark come first.
    Clauses(Vec<ShownClause>),
}

impl Shows {
    /// The clauses that are shown in `version`, of those that the case lists, in the order of the
    /// list, each once.
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

/// A clause that a line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownClause {
    /// Where the id is written.
    pub span: Span,
    /// `[5] MQTT-4.3.3-10`: the versions in which it is shown. Without a mark, every version in
    /// which the case lists it.
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

/// A host, or a range of numbered hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostName {
    /// `device`
    One(Name),
    /// `d1..d100`: `d1`, `d2` and so on, both ends included.
    Numbered {
        /// The part before the number.
        prefix: Name,
        /// The first number.
        first: u32,
        /// The last number, not smaller.
        last: u32,
    },
}

impl HostName {
    /// The names of the hosts.
    #[must_use]
    pub fn expand(&self) -> Vec<Name> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Numbered { prefix, first, last } => {
                (*first..=*last).map(|number| format!("{prefix}{number}")).collect()
            }
        }
    }
}

/// The hosts of a fault, a load or a delivery check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// `all`: every host but the broker.
    All,
    /// By name, at least one.
    Named(Vec<HostName>),
}

/// Comments and blank lines around a line. They have no meaning, but a printed file keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// Whether a blank line is above. Always false for the first line of the body and of a block,
    /// where the printer decides.
    pub blank_line_above: bool,
    /// Comments on lines of their own above, without their `# `.
    pub above: Vec<String>,
    /// The comment at the end of the line, without its `# `.
    pub after: Option<String>,
}
