//! Writes the clauses that a line shows.

use super::values::mark;
use crate::Shows;
use crate::lexicon::SHOWS;

/// The `shows` at the end of a line, with a space before it; empty if the line has none.
pub(super) fn shows(shows: Option<&Shows>) -> String {
    match shows {
        None => String::new(),
        Some(Shows::All) => format!(" {SHOWS} all"),
        Some(Shows::Clauses(clauses)) => {
            let mut written = format!(" {SHOWS}");
            for run in clauses.chunk_by(|left, right| left.versions == right.versions) {
                let ids: Vec<&str> = run.iter().map(|clause| clause.id.as_str()).collect();
                let mark = run.first().map_or_else(String::new, |first| mark(&first.versions));
                written.push_str(&format!(" {mark}{}", ids.join(" ")));
            }
            written
        }
    }
}
