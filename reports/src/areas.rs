//! Counts of cases and clauses by area of the protocol: CONNECT, QoS, Wills, flow control and so
//! on.
//!
//! A case counts once: in the area of the first clause that it cites, or in that of its folder if
//! it cites none.

use mqttspec_judge::results::{CaseResult, SuiteResult, Tally};
use mqttspec_spec::{Area, Catalogue, Standard};

use crate::Coverage;

/// The areas of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Areas {
    /// The versions that were run, the older first.
    pub versions: Vec<String>,
    /// The areas that have a case or a numbered clause in one of the versions, in the order of
    /// [`Area`].
    pub rows: Vec<AreaRow>,
    /// The sum of all areas.
    pub all: AreaRow,
}

/// One area.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AreaRow {
    /// Its name: `Wills`.
    pub name: &'static str,
    /// Its cases by verdict.
    pub tally: Tally,
    /// For each version, the number of numbered clauses that were shown, and of all that it has.
    pub shown: Vec<(usize, usize)>,
}

impl Areas {
    /// Counts a suite's cases and clauses by area.
    #[must_use]
    pub fn of(suite: &SuiteResult) -> Self {
        let coverage = Coverage::of(suite);
        let mut rows: Vec<(Option<Area>, AreaRow)> = Vec::new();
        for area in Area::ALL.iter().copied().map(Some).chain([None]) {
            let shown = |coverage: &Coverage| {
                let row = coverage.areas.iter().find(|row| row.area.is_some() && row.area == area);
                row.map_or((0, 0), |row| (row.shown, row.total))
            };
            let name = area.map_or("(no clause)", Area::name);
            let shown = coverage.iter().map(shown).collect();
            rows.push((area, AreaRow { name, tally: Tally::default(), shown }));
        }
        for case in &suite.cases {
            let of_case = area(case);
            if let Some((_, row)) = rows.iter_mut().find(|(area, _)| *area == of_case) {
                row.tally.add(case.verdict);
            }
        }
        let rows = rows.into_iter().map(|(_, row)| row);
        let touched = |row: &AreaRow| row.tally.total() > 0 || row.shown.iter().any(|(_, total)| *total > 0);
        let all = AreaRow {
            name: "all",
            tally: suite.tally(),
            shown: coverage.iter().map(|coverage| (coverage.all.shown, coverage.all.total)).collect(),
        };
        Self {
            rows: rows.filter(touched).collect(),
            versions: coverage.into_iter().map(|coverage| coverage.version).collect(),
            all,
        }
    }
}

fn area(case: &CaseResult) -> Option<Area> {
    let standard: Option<Standard> = case.version.parse().ok();
    let mut clauses = case.clauses.iter().filter_map(|id| Catalogue::get(standard?, id));
    clauses.next().map(|clause| clause.area).or_else(|| Area::of_folder(case.folder()))
}
