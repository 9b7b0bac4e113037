//! Splits a file into lines, with their indentation and comments.

use crate::{Comments, Span};

/// A line that is not empty.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The number of spaces before it.
    pub(super) indent: usize,
    /// From the first to the last character that is not a space or a comment.
    pub(super) span: Span,
    /// Comments above and after it.
    pub(super) comments: Comments,
    /// Whether the indentation has a tab in it.
    pub(super) tab: bool,
}

/// The lines of `source` and the comments below the last of them.
pub(super) fn split(source: &str) -> (Vec<Line>, Vec<String>) {
    let mut lines = Vec::new();
    let mut above = Vec::new();
    let mut blank_line_above = false;
    let mut start = 0;
    for whole in source.split_inclusive('\n') {
        let offset = start;
        start += whole.len();
        let indent_bytes = whole.len() - whole.trim_start_matches([' ', '\t', '\r', '\u{feff}']).len();
        let text = &whole[indent_bytes..];
        let said_start = offset + indent_bytes;
        // A sentence extends to the end of its line, even if it contains a `#`.
        let sentence = ["title", "reading"]
            .iter()
            .any(|word| text.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\t'])));
        let comment_at = if sentence { None } else { comment_start(text) };
        let said = text[..comment_at.unwrap_or(text.len())].trim_end();
        let comment = comment_at.map(|at| comment_text(&text[at + 1..]));
        if said.is_empty() {
            match comment {
                Some(comment) => above.push(comment),
                None => blank_line_above = true,
            }
            continue;
        }
        lines.push(Line {
            indent: indent_bytes,
            span: Span::new(said_start, said_start + said.len()),
            comments: Comments { blank_line_above, above: core::mem::take(&mut above), after: comment },
            tab: whole[..indent_bytes].contains('\t'),
        });
        blank_line_above = false;
    }
    (lines, above)
}

fn comment_text(text: &str) -> String {
    text.strip_prefix(' ').unwrap_or(text).trim_end().to_owned()
}

/// The start of the comment of a line: a `#` that starts a word and is not in quotes.
fn comment_start(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted && before.is_whitespace() => return Some(at),
            _ => {}
        }
        before = character;
    }
    None
}
