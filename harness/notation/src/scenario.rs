//! A whole scenario and its header.

use mqttspec_codec::Version;
use mqttspec_spec::Roles;

use super::packets::Content;
use super::parts::{ClauseReference, Comments, HostName};
use super::steps::{Step, StepKind};
use super::values::{Name, Span, Value, VersionMark};

/// A scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// `title`: what the scenario tests, in one sentence.
    pub title: String,
    /// `reading`: the interpretation of a contested clause. Reports list the findings of such a
    /// scenario separately.
    pub reading: Option<String>,
    /// `clauses`: the clauses that the scenario tests, in the order of the file. The rows of a
    /// table have their own.
    pub clauses: Vec<ClauseReference>,
    /// `versions`: the scenario runs once for each. In ascending order, without duplicates, never
    /// empty.
    pub versions: Vec<Version>,
    /// `tests`: the roles under test.
    pub tests: Roles,
    /// `over websocket`: the packets are in WebSocket frames (section 6).
    pub over_websocket: bool,
    /// `needs`: capabilities without which a target skips the scenario.
    pub needs: Vec<Need>,
    /// `broker receive_maximum=10 store=durable`: options of the reference broker.
    pub broker: Vec<HostOption>,
    /// `client d1 d2 reference keep_alive=5`: hosts on which the reference client runs.
    pub clients: Vec<ClientDeclaration>,
    /// `seeds`: the number of seeds; 1 by default.
    pub seeds: u32,
    /// `table`: values for `each row`.
    pub table: Option<Table>,
    /// The steps of the body.
    pub steps: Vec<Step>,
    /// Comments on and above lines of the header.
    pub header_comments: Vec<HeaderComment>,
    /// Comments below the last line, without their `# `.
    pub comments_below: Vec<String>,
}

impl Scenario {
    /// The names of the `sometimes` lines, in order, without duplicates. Each must be reached under
    /// at least one seed.
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

    /// Calls `visit` for every step, and for the steps of a block after the block itself.
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

    /// Whether a line or a block has `shows`. Otherwise each expected line shows every clause of
    /// the case.
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

    /// The clauses of `version`, including those of the table's rows, without duplicates, in the
    /// order of the file.
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

/// `needs shared-subscriptions qos=2`: one capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The position.
    pub span: Span,
    /// The versions in which it is needed.
    pub versions: VersionMark,
    /// The name in [`crate::vocabulary::NEEDS`].
    pub name: Name,
    /// The least sufficient value, if the need has one: `qos=2`.
    pub value: Option<u64>,
}

/// `client d1 d2 reference keep_alive=5`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDeclaration {
    /// The position.
    pub span: Span,
    /// The hosts on which such a client runs.
    pub names: Vec<HostName>,
    /// Its options.
    pub options: Vec<HostOption>,
}

/// `receive_maximum=10`: an option of the reference broker or of a reference client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOption {
    /// The position.
    pub span: Span,
    /// The versions in which it is set.
    pub versions: VersionMark,
    /// The name: of an option of the broker's or client's `Options`, or of the harness (`store`).
    pub name: Name,
    /// The value as text. The file has quotes if it has characters that a bare value may not have.
    pub value: String,
}

/// `table`: named columns, one row a line. Cells are separated by two or more spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The position of its first line.
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
    /// The position.
    pub span: Span,
    /// The versions to which the row applies.
    pub versions: VersionMark,
    /// The name of the case.
    pub case: Name,
    /// The clauses that the row tests, besides those of the header.
    pub clauses: Vec<ClauseReference>,
    /// One for each of [`Table::columns`].
    pub cells: Vec<Cell>,
    /// Comments above and after the row.
    pub comments: Comments,
}

/// A cell of a [`Row`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A packet, raw bytes, `closed` and so on, for a whole line: `bad > $bytes`.
    Content(Box<Content>),
    /// A value, for a field or a text.
    Value(Value),
}

/// The first word of a line of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the words")]
pub enum HeaderWord {
    Title,
    Reading,
    Clauses,
    Versions,
    Tests,
    Over,
    Needs,
    Broker,
    Client,
    Seeds,
    Table,
}

/// A comment in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderComment {
    /// The first word of the line to which it belongs.
    pub word: HeaderWord,
    /// The number of the line among those with this word, from 0. There may be several `client`
    /// lines.
    pub index: usize,
    /// The comments above and after that line.
    pub comments: Comments,
}
