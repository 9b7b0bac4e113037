//! Parses a file into a [`Scenario`], line by line, and reports every mistake.
//!
//! The parser checks words and fields. [`super::check`] has the rules that need the whole scenario:
//! hosts that never act, captures without a value, clauses.

mod actions;
mod bytes;
mod content;
pub(super) mod cursor;
mod fields;
mod header;
mod lines;
mod shows;
mod steps;
mod timing;
pub(super) mod values;

use cursor::Cursor;
use lines::Line;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::{Cell, Roles, Scenario, Span, Step, Text};

/// Parses a file. `file` is its name for messages.
///
/// # Errors
/// The mistakes that the parser finds. [`super::read`] also applies the rules that need the whole
/// scenario and the clause catalogue.
pub fn parse(file: &str, source: &str) -> Result<Scenario, Diagnostics> {
    let (scenario, diagnostics) = parse_leniently(file, source);
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(scenario) }
}

/// Parses as much of a file as possible, and reports the mistakes.
pub(super) fn parse_leniently(file: &str, source: &str) -> (Scenario, Diagnostics) {
    let (lines, comments_below) = lines::split(source);
    let mut parser = Parser {
        source,
        lines,
        next: 0,
        misspelt_header: false,
        diagnostics: Diagnostics::new(file, source),
    };
    let mut scenario = Scenario {
        title: String::new(),
        reading: None,
        clauses: Vec::new(),
        versions: Vec::new(),
        tests: Roles::Server,
        needs: Vec::new(),
        broker: Vec::new(),
        clients: Vec::new(),
        over_websocket: false,
        seeds: 1,
        table: None,
        steps: Vec::new(),
        header_comments: Vec::new(),
        comments_below,
    };
    parser.control_characters();
    let header = parser.header(&mut scenario);
    parser.finish_header(&mut scenario, header);
    scenario.steps = parser.body();
    (scenario, parser.diagnostics)
}

struct Parser<'a> {
    source: &'a str,
    lines: Vec<Line>,
    next: usize,
    /// Whether a word of the header was misspelt. Then missing lines are not reported.
    misspelt_header: bool,
    diagnostics: Diagnostics,
}

impl<'a> Parser<'a> {
    /// Titles and lines are printed on terminals, which control characters would control.
    fn control_characters(&mut self) {
        let is_line_end = |at: usize| self.source[at..].starts_with("\r\n");
        let controls = |&(at, character): &(usize, char)| {
            character.is_control() && !matches!(character, '\n' | '\t') && !is_line_end(at)
        };
        if let Some((at, character)) = self.source.char_indices().find(controls) {
            let span = Span::new(at, at + character.len_utf8());
            let message = format!("a file cannot contain the character U+{:04X}", u32::from(character));
            let help = "a text in quotes can contain every character as an escape";
            self.diagnostics.push(Diagnostic::error(span, message).help(help));
        }
    }

    fn body(&mut self) -> Vec<Step> {
        let steps = self.steps(0, 0);
        debug_assert!(self.peek().is_none(), "every line is read");
        steps
    }

    fn peek(&self) -> Option<Line> {
        self.lines.get(self.next).cloned()
    }

    fn next_line(&mut self) {
        self.next += 1;
    }

    fn cursor(&self, line: &Line) -> Cursor<'a> {
        Cursor::new(self.source, line.span)
    }

    /// Skips the next lines that are indented deeper.
    fn skip_block(&mut self, indent: usize) {
        while self.peek().is_some_and(|line| line.indent > indent) {
            self.next_line();
        }
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn warn(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}

/// Whether `written` without quotes parses to this text of a field.
pub(super) fn reads_as_text(written: &str, text: &Text) -> bool {
    let mut cursor = whole(written);
    values::capture(&mut cursor).is_none()
        && !written.starts_with('"')
        && values::text(&mut cursor, "").is_ok_and(|read| read == *text)
        && cursor.is_done()
}

/// Whether a bare word among fields parses to a positional value, not to bytes or the end of a
/// list.
pub(super) fn reads_as_positional(written: &str) -> bool {
    !whole(written).next_is("raw") && values::mark(&mut whole(written)).is_none()
}

/// Whether `written` parses to this cell.
pub(super) fn reads_as_cell(written: &str, cell: &Cell) -> bool {
    let mut cursor = whole(written);
    !written.starts_with('#') && header::cell(&mut cursor).is_ok_and(|read| read == *cell) && cursor.is_done()
}

fn whole(text: &str) -> Cursor<'_> {
    Cursor::new(text, Span::new(0, text.len()))
}
