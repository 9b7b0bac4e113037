//! Cases and clauses by module, the parts of the protocol: CONNECT, QoS, Wills, flow control and so on.
//!
//! A case belongs to the module of the first clause that it cites, so that the numbers add up.

use mqttspec_judge::results::{CaseResult, SuiteResult, Tally};
use mqttspec_spec::{AREAS, Catalogue, Standard};

use crate::Coverage;

/// The modules that a suite touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    /// The versions that were run, the older first.
    pub versions: Vec<String>,
    /// The modules with a case, or with a numbered clause in one of the versions, in the order of [`AREAS`].
    pub rows: Vec<Module>,
    /// All of them together.
    pub all: Module,
}

/// One module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its name: `Wills`.
    pub name: &'static str,
    /// Its cases.
    pub tally: Tally,
    /// For each version how many of its numbered clauses were shown, and how many it has.
    pub shown: Vec<(usize, usize)>,
}

impl Modules {
    /// Sorts a suite's cases and clauses.
    #[must_use]
    pub fn of(suite: &SuiteResult) -> Self {
        let coverage = Coverage::of(suite);
        let mut rows: Vec<Module> = AREAS
            .into_iter()
            .chain(["(no clause)"])
            .map(|name| {
                let shown = |coverage: &Coverage| {
                    let module = coverage.modules.iter().find(|module| module.module == name);
                    module.map_or((0, 0), |module| (module.shown, module.total))
                };
                Module { name, tally: Tally::default(), shown: coverage.iter().map(shown).collect() }
            })
            .collect();
        for case in &suite.cases {
            let area = area(case);
            if let Some(module) = rows.iter_mut().find(|module| module.name == area) {
                module.tally.add(case.verdict);
            }
        }
        rows.retain(|module| module.tally.total() > 0 || module.shown.iter().any(|(_, total)| *total > 0));
        let all = Module {
            name: "all",
            tally: suite.tally(),
            shown: coverage.iter().map(|coverage| (coverage.all.shown, coverage.all.total)).collect(),
        };
        Self { versions: coverage.into_iter().map(|coverage| coverage.version).collect(), rows, all }
    }
}

fn area(case: &CaseResult) -> &'static str {
    let standard: Option<Standard> = case.version.parse().ok();
    let clauses = case.clauses.iter().filter_map(|id| Catalogue::get(standard?, id));
    clauses.map(|clause| clause.area).next().unwrap_or("(no clause)")
}
