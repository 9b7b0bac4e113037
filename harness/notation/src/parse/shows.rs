//! Reads the clauses that a line shows.

use super::cursor::{Cursor, Parsed};
use super::header;
use crate::lexicon::SHOWS;
use crate::vocabulary::nearest;
use crate::{Diagnostic, ShownClause, Shows};

/// Parses `shows [5] MQTT-4.3.3-10 [3.1.1] MQTT-4.3.3-2` or `shows all`, up to the end of the line,
/// if it is next.
pub(super) fn shows(cursor: &mut Cursor<'_>) -> Parsed<Option<Shows>> {
    if !cursor.eat_word(SHOWS) {
        let meant = nearest(cursor.peek_word(), [SHOWS]);
        return match meant {
            Some(_) => Err(cursor.expected("`shows` or the end of the line").did_you_mean(meant)),
            None => Ok(None),
        };
    }
    if cursor.eat_word("all") {
        return Ok(Some(Shows::All));
    }
    let clauses = header::clauses(cursor)?;
    if clauses.is_empty() {
        return Err(
            cursor.expected("`all` or clauses that the header lists: `shows MQTT-3.1.2-8 [5] MQTT-3.1.2-22`")
        );
    }
    let mut shown: Vec<ShownClause> = Vec::new();
    for (versions, span, id) in clauses {
        let one = ShownClause { span, versions: versions.unwrap_or_default(), id };
        if shown.contains(&one) {
            return Err(Diagnostic::error(one.span, format!("`{}` is named twice", one.id)));
        }
        shown.push(one);
    }
    Ok(Some(Shows::Clauses(shown)))
}
