//! A whole scenario and its header.

use mqttspec_codec::Version;
use mqttspec_spec::Roles;

use super::packets::Content;
use super::steps::{Step, StepKind};
use super::values::{Name, Span, Value};

/// `[5]`, `[3.1.1]`, `[3.1 3.1.1]`: the versions in which what is marked counts. No mark is every version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionMark(
    /// In ascending order, each once; empty for every version.
    pub Vec<Version>,
);

impl VersionMark {
    /// Whether what carries this mark counts in `version`.
    #[must_use]
    pub fn applies_to(&self, version: Version) -> bool {
        self.0.is_empty() || self.0.contains(&version)
    }
}

/// A scenario: what a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// `title`: what is shown, in one sentence.
    pub title: String,
    /// `reading`: how the standard is read here, where its words bear more than one defensible reading. What such a scenario finds is reported apart.
    pub reading: Option<String>,
    /// `clauses`: the statements of the standard that the scenario shows, in the order of the file. Those of the rows of a table stand in the rows.
    pub clauses: Vec<ClauseReference>,
    /// `versions`: it is run once for each. In ascending order, each once, never empty.
    pub versions: Vec<Version>,
    /// `tests`: which side is under test.
    pub tests: Roles,
    /// `needs`: what the target must be able to do, or the scenario is skipped.
    pub needs: Vec<Need>,
    /// `broker receive_maximum=10 store=durable`: options of the reference broker.
    pub broker: Vec<HostOption>,
    /// `client d1 d2 reference keep_alive=5`: hosts on which the reference client runs.
    pub clients: Vec<ClientDeclaration>,
    /// `seeds`: under how many seeds it is run; 1 where the file does not say.
    pub seeds: u32,
    /// `table`: values for `each row`.
    pub table: Option<Table>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Comments on and above lines of the header.
    pub header_comments: Vec<HeaderComment>,
    /// Comments below the last line, without their `# `.
    pub comments_below: Vec<String>,
}

impl Scenario {
    /// Every name of a `sometimes` line, in order, each once: each must be reached under at least one seed.
    #[must_use]
    pub fn sometimes(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.walk(&mut |step| {
            if let StepKind::Sometimes(name) = &step.kind
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        });
        names
    }

    /// Calls `visit` with every step, those of blocks after the block itself.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Step)) {
        fn walk_steps<'a>(steps: &'a [Step], visit: &mut dyn FnMut(&'a Step)) {
            for step in steps {
                visit(step);
                match &step.kind {
                    StepKind::InAnyOrder(steps)
                    | StepKind::EachRow(steps)
                    | StepKind::Repeat { steps, .. } => {
                        walk_steps(steps, visit);
                    }
                    StepKind::Either(branches) => {
                        for branch in branches {
                            walk_steps(&branch.steps, visit);
                        }
                    }
                    _ => {}
                }
            }
        }
        walk_steps(&self.steps, visit);
    }

    /// Whether a line or a block says what it shows. Otherwise each expected line shows every clause of the case.
    #[must_use]
    pub fn marks_claims(&self) -> bool {
        let mut marks = false;
        self.walk(&mut |step| {
            marks |= step.shows.is_some();
            if let StepKind::Either(branches) = &step.kind {
                marks |= branches.iter().any(|branch| branch.shows.is_some());
            }
        });
        marks
    }

    /// The clauses of the header and of the table's rows, in the order of the file.
    pub(crate) fn listed_clauses(&self) -> impl Iterator<Item = &ClauseReference> {
        let rows = self.table.iter().flat_map(|table| &table.rows).flat_map(|row| &row.clauses);
        self.clauses.iter().chain(rows)
    }

    /// The clauses that count in `version`, those of the table's rows included, each once, in the order of the file.
    #[must_use]
    pub fn clauses_of(&self, version: Version) -> Vec<&str> {
        let mut ids = Vec::new();
        for clause in self.listed_clauses() {
            if clause.version == version && !ids.contains(&clause.id.as_str()) {
                ids.push(clause.id.as_str());
            }
        }
        ids
    }
}

/// A statement of the standard. The two standards number the same rule differently and use one number for different rules, so the version is part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClauseReference {
    /// Where the id stands.
    pub span: Span,
    /// The version whose statement it is.
    pub version: Version,
    /// The id as the standard has it: `MQTT-3.1.2-8`.
    pub id: String,
}

/// `needs shared-subscriptions qos=2`: one capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Where it stands.
    pub span: Span,
    /// In which versions it is needed.
    pub versions: VersionMark,
    /// The name, as the table of needs has it.
    pub name: Name,
    /// The least value, where the need has one: `qos=2`.
    pub value: Option<u64>,
}

/// `client d1 d2 reference keep_alive=5`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDeclaration {
    /// Where it stands.
    pub span: Span,
    /// The hosts on which a client of this kind runs.
    pub names: Vec<HostName>,
    /// Its options.
    pub options: Vec<HostOption>,
}

/// `receive_maximum=10`: an option of the reference broker or of a reference client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOption {
    /// Where it stands.
    pub span: Span,
    /// In which versions it is set.
    pub versions: VersionMark,
    /// Its name, as `set` of the broker's or client's `Options` takes it, or one of the harness's own (`store`).
    pub name: Name,
    /// Its value in the spelling that `set` takes; quoted in the file where it has characters that a bare value may not have.
    pub value: String,
}

/// A host, or a row of numbered hosts.
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

/// The hosts that a fault, a load or a property is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// `all`: every host but the broker.
    All,
    /// By name, at least one.
    Named(Vec<HostName>),
}

/// `table`: named columns, one row a line. Cells stand two or more spaces apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Where its first line stands.
    pub span: Span,
    /// Whether the rows have a `clauses` column (always the second).
    pub has_clauses: bool,
    /// The columns besides `case` and `clauses`, which a line uses as `$column`.
    pub columns: Vec<Name>,
    /// The rows, at least one.
    pub rows: Vec<Row>,
}

/// A row of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub span: Span,
    /// In which versions the row counts.
    pub versions: VersionMark,
    /// The name of the case, which a failure names.
    pub case: Name,
    /// The clauses that the row shows, besides those of the header.
    pub clauses: Vec<ClauseReference>,
    /// One for each of [`Table::columns`].
    pub cells: Vec<Cell>,
    /// Comments above and behind the row.
    pub comments: Comments,
}

/// A cell of a [`Row`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A packet, raw bytes, `closed` and so on; used as a whole line: `bad > $bytes`.
    Content(Box<Content>),
    /// A value; used as the value of a field or in a text.
    Value(Value),
}

/// Comments and blank lines around a line. They say nothing, but a printed file keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comments {
    /// Whether a blank line stands above. Always false for the first line of the body and of a block, where the printer decides.
    pub blank_line_above: bool,
    /// Comments on lines of their own above, without their `# `.
    pub above: Vec<String>,
    /// The comment at the end of the line, without its `# `.
    pub behind: Option<String>,
}

/// The first word of a line of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the word of its name")]
pub enum HeaderWord {
    Title,
    Reading,
    Clauses,
    Versions,
    Tests,
    Needs,
    Broker,
    Client,
    Seeds,
    Table,
}

/// A comment in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderComment {
    /// The line of the header to which it belongs.
    pub word: HeaderWord,
    /// Which line of that word, counted from 0 (there may be several `client` lines).
    pub index: usize,
    /// The comments above and behind that line.
    pub comments: Comments,
}
