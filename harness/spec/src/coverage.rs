//! Which clauses a set of scenarios cites, and what keeps the others from being cited.

use std::collections::BTreeSet;

use crate::{Catalogue, Clause, Roles, Standard};

/// The clauses of one standard that concern one role, sorted by whether a set of scenarios cites them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Cited by at least one scenario, in the catalogue's order.
    pub cited: Vec<&'static Clause>,
    /// Not cited, with the reason.
    pub uncited: Vec<(&'static Clause, Uncited)>,
    /// Ids that were cited and that the standard does not have.
    pub unknown: BTreeSet<String>,
}

/// Why no scenario cites a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncited {
    /// The wire cannot show it; the text says why.
    Unobservable(&'static str),
    /// A scenario could show it, and none does: a gap.
    Missing,
}

impl Coverage {
    /// Sorts the clauses of `standard` that concern `role` by whether `cited` names them. Clauses that concern the other role only are
    /// left out, cited or not; [`Roles::Both`] leaves out none.
    pub fn of<'a>(standard: Standard, role: Roles, cited: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: BTreeSet<&str> = cited.into_iter().collect();
        let unknown = ids
            .iter()
            .filter(|id| Catalogue::get(standard, id).is_none())
            .map(|id| (*id).to_owned())
            .collect();
        let mut coverage = Self { cited: Vec::new(), uncited: Vec::new(), unknown };
        for clause in Catalogue::iter(standard).filter(|clause| clause.concerns(role)) {
            if ids.contains(clause.id) {
                coverage.cited.push(clause);
            } else {
                coverage
                    .uncited
                    .push((clause, clause.unobservable.map_or(Uncited::Missing, Uncited::Unobservable)));
            }
        }
        coverage
    }

    /// The clauses that a scenario could show and none does.
    pub fn missing(&self) -> impl Iterator<Item = &'static Clause> {
        self.uncited.iter().filter(|(_, why)| *why == Uncited::Missing).map(|(clause, _)| *clause)
    }
}
