//! A case: a scenario for one version of the standard, one role under test and one row of its
//! table.

use std::sync::Arc;

use mqttspec_codec::{Role, Version};
use mqttspec_notation::{ClauseReference, Roles, Scenario, Shows, Span, StepKind};
use mqttspec_spec::{Requirement, role_word};

use crate::command::RepeatCommand;

/// A scenario for one version of the standard, one role under test and one row of its table.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its file, relative to the folder of scenarios, separated by `/`.
    pub file: String,
    /// The text of the file.
    pub source: Arc<str>,
    /// The version of the standard.
    pub version: Version,
    /// The role under test.
    pub tests: Role,
    /// The index of the table's row; `None` without a table.
    pub row: Option<usize>,
    /// Whether the file is in the folder of scenarios. The name of any other file is no part of its
    /// seeds, so that a copy of the file runs the same.
    pub of_suite: bool,
}

impl Case {
    /// The name of the row: the text of its first column.
    #[must_use]
    pub fn row_name(&self) -> Option<&str> {
        let table = self.scenario.table.as_ref()?;
        table.rows.get(self.row?).map(|row| row.case.as_str())
    }

    /// The name by which tests and reports list the case.
    #[must_use]
    pub fn name(&self) -> String {
        self.name_with(&self.file)
    }

    /// The name from which the seeds of its runs derive.
    #[must_use]
    pub fn seed_name(&self) -> String {
        self.name_with(if self.of_suite { &self.file } else { "" })
    }

    fn name_with(&self, file: &str) -> String {
        let tests = match self.scenario.tests {
            Roles::Both => format!(" {}", role_word(self.tests)),
            _ => String::new(),
        };
        let row = self.row_name().map_or_else(String::new, |row| format!(" [{row}]"));
        format!("{file} {}{tests}{row}", self.version_text())
    }

    /// The version as results write it: `3.1.1`, `5.0`.
    #[must_use]
    pub fn version_text(&self) -> String {
        self.version.to_string()
    }

    /// The clauses that the case is about. Those of its row come first.
    #[must_use]
    pub fn clauses(&self) -> Vec<String> {
        Shows::All.of(self.version, self.listed()).into_iter().map(str::to_owned).collect()
    }

    fn listed(&self) -> impl Iterator<Item = &ClauseReference> {
        let row = self.row.and_then(|row| self.scenario.table.as_ref()?.rows.get(row));
        row.into_iter().flat_map(|row| &row.clauses).chain(&self.scenario.clauses)
    }

    /// The clauses of the case that a line with this `shows` demonstrates.
    pub(crate) fn shown_by(&self, shows: &Shows) -> Vec<Requirement> {
        let ids = shows.of(self.version, self.listed());
        ids.into_iter().map(|id| Requirement::new(self.version, id)).collect()
    }

    /// The command that repeats the case in the simulator under a seed.
    #[must_use]
    pub fn repeat_command(&self, seed: u64) -> RepeatCommand {
        RepeatCommand {
            file: self.file.clone(),
            version: self.version,
            role: (self.scenario.tests == Roles::Both).then_some(self.tests),
            row: self.row_name().map(str::to_owned),
            seed,
            latitude: None,
            target: None,
        }
    }

    /// The line of the file, from 1, on which a span begins.
    fn line_of(&self, span: Span) -> u32 {
        let (line, _) = span.line_and_column(&self.source);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// The first line with this `sometimes` mark; 0 if there is none.
    #[must_use]
    pub fn line_of_mark(&self, mark: &str) -> u32 {
        let mut line = 0;
        self.scenario.walk(&mut |step| {
            if line == 0 && matches!(&step.kind, StepKind::Sometimes(name) if name == mark) {
                line = self.line_of(step.span);
            }
        });
        line
    }

    /// The text of a line without its indentation.
    #[must_use]
    pub fn source_line(&self, line: u32) -> String {
        let index = (line as usize).checked_sub(1);
        index.and_then(|index| self.source.lines().nth(index)).unwrap_or_default().trim().to_owned()
    }
}
