//! Coverage: which clauses a set of scenarios cites, and why it does not cite the others.

use std::collections::BTreeSet;

use crate::{Catalogue, Clause, Roles, Standard};

/// The coverage of the clauses of one standard that concern one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Cited by at least one scenario, in the catalogue's order.
    pub cited: Vec<&'static Clause>,
    /// Not cited, with the reason.
    pub uncited: Vec<(&'static Clause, Uncited)>,
    /// Cited ids that the standard does not have.
    pub unknown: BTreeSet<String>,
}

/// Why no scenario cites a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncited {
    /// It cannot be observed on the wire, for this reason.
    Unobservable(&'static str),
    /// A scenario could cite it, and none does.
    Missing,
}

impl Coverage {
    /// The coverage of `standard` by the ids in `cited`. Clauses that concern only the other role
    /// are omitted; [`Roles::Both`] omits none.
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

    /// The clauses that a scenario could cite and none does.
    pub fn missing(&self) -> impl Iterator<Item = &'static Clause> {
        self.uncited.iter().filter(|(_, why)| *why == Uncited::Missing).map(|(clause, _)| *clause)
    }
}
