//! Checks that cited clauses exist in their version, and that the scenario runs in that version.

use super::Checker;
use crate::{ClauseReference, Span, Version};
use mqttspec_spec::{Catalogue, Standard};

/// Looks up clauses.
pub trait ClauseLookup {
    /// Whether the standard of this version has a clause with this id.
    fn knows(&self, version: Version, id: &str) -> bool;
    /// The clause of that version that was probably meant.
    fn nearest(&self, version: Version, id: &str) -> Option<String>;
}

/// The clauses of the catalogue.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatalogueClauses;

impl ClauseLookup for CatalogueClauses {
    fn knows(&self, version: Version, id: &str) -> bool {
        Catalogue::get(Standard::of(version), id).is_some()
    }

    fn nearest(&self, version: Version, id: &str) -> Option<String> {
        Catalogue::nearest(Standard::of(version), id).map(|clause| clause.id.to_string())
    }
}

impl Checker<'_> {
    pub(super) fn clauses(&mut self, lookup: &dyn ClauseLookup) {
        for clause in self.scenario.listed_clauses() {
            self.clause(clause, lookup);
        }
    }

    /// Every version of the scenario must have a clause.
    pub(super) fn some_clause(&mut self) {
        let scenario = self.scenario;
        for version in &scenario.versions {
            if scenario.clauses_of(*version).is_empty() {
                let at = Span::new(0, 0);
                self.error(at, format!("the file cites no clause of MQTT {version}")).help =
                    Some("say what it shows: `clauses [5] MQTT-3.1.2-8  [3.1.1] MQTT-3.1.2-8`".to_owned());
            }
        }
    }

    fn clause(&mut self, clause: &ClauseReference, lookup: &dyn ClauseLookup) {
        let ClauseReference { span, version, id } = clause;
        if !self.scenario.versions.is_empty() && !self.scenario.versions.contains(version) {
            self.error(
                *span,
                format!("`{id}` is marked for MQTT {version}, which the scenario does not run"),
            )
            .label = "see the line `versions`".to_owned();
            return;
        }
        if !lookup.knows(*version, id) {
            let nearest = lookup.nearest(*version, id);
            let error = self.error(*span, format!("MQTT {version} has no clause `{id}`"));
            error.help = nearest.map(|id| format!("did you mean `{id}`?"));
        }
    }
}
