//! Parses the header: title, clauses, versions, needs, options and the table.

use super::Parser;
use super::content::{content, is_content};
use super::cursor::{Cursor, Parsed};
use super::fields::reason;
use super::lines::Line;
use super::values;
use crate::lexicon::{HEADER_WORDS, is_bare_option};
use crate::vocabulary::{NEEDS, nearest, reason_code};
use crate::{
    Cell, ClauseReference, ClientDeclaration, Comments, Diagnostic, HeaderComment, HeaderWord, HostOption,
    Name, Need, Roles, Row, Scenario, Span, Table, Value, VersionMark,
};

/// The lines of the header so far.
#[derive(Default)]
pub(super) struct Header {
    title: Option<String>,
    reading: Option<Span>,
    clauses: Vec<(Option<VersionMark>, Span, String)>,
    versions: Option<Span>,
    tests: Option<Span>,
    over: Option<Span>,
    broker: Option<Span>,
    seeds: Option<Span>,
    /// For each row of the table, its clauses.
    row_clauses: Vec<Vec<(Option<VersionMark>, Span, String)>>,
}

/// The first word of the line, if it is one of the header.
pub(super) fn word(cursor: &mut Cursor<'_>) -> Option<HeaderWord> {
    const WORDS: [HeaderWord; 11] = [
        HeaderWord::Title,
        HeaderWord::Reading,
        HeaderWord::Clauses,
        HeaderWord::Versions,
        HeaderWord::Tests,
        HeaderWord::Over,
        HeaderWord::Needs,
        HeaderWord::Broker,
        HeaderWord::Client,
        HeaderWord::Seeds,
        HeaderWord::Table,
    ];
    let word = cursor.peek_chunk();
    HEADER_WORDS.iter().position(|known| *known == word).map(|at| WORDS[at])
}

impl Parser<'_> {
    /// Reads the lines of the header, up to the first line of the body.
    pub(super) fn header(&mut self, scenario: &mut Scenario) -> Header {
        let mut header = Header::default();
        while let Some(line) = self.peek() {
            let mut cursor = self.cursor(&line);
            let Some(word) = word(&mut cursor) else {
                if self.is_misspelt_header(&line) {
                    self.next_line();
                    self.skip_block(line.indent);
                    continue;
                }
                break;
            };
            self.next_line();
            let keyword_span = cursor.next_span();
            let index = if word == HeaderWord::Client { scenario.clients.len() } else { 0 };
            cursor.advance(keyword_span.end - keyword_span.start);
            let read = self.header_line(scenario, &mut header, word, keyword_span, &mut cursor);
            if let Err(diagnostic) = read {
                self.error(diagnostic);
            }
            if word != HeaderWord::Client || scenario.clients.len() > index {
                keep_comments(&mut scenario.header_comments, word, index, line.comments);
            }
            if word == HeaderWord::Table {
                self.rows(scenario, &mut header, line.indent);
            }
        }
        header
    }

    fn header_line(
        &mut self,
        scenario: &mut Scenario,
        header: &mut Header,
        word: HeaderWord,
        span: Span,
        cursor: &mut Cursor<'_>,
    ) -> Parsed<()> {
        let once = |seen: &mut Option<Span>| match seen.replace(span) {
            Some(_) => {
                Err(Diagnostic::error(span, "this line is written twice").label("expected once in a file"))
            }
            None => Ok(()),
        };
        match word {
            HeaderWord::Title => {
                let title = cursor.rest().trim();
                if header.title.replace(title.to_owned()).is_some() {
                    return Err(Diagnostic::error(span, "a file has one title"));
                }
                if title.is_empty() {
                    return Err(cursor.expected("what the scenario shows, in one sentence"));
                }
                scenario.title = title.to_owned();
                return Ok(());
            }
            HeaderWord::Reading => {
                once(&mut header.reading)?;
                let reading = cursor.rest().trim();
                if reading.is_empty() {
                    return Err(cursor.expected("how the standard is read here, in one sentence"));
                }
                scenario.reading = Some(reading.to_owned());
                return Ok(());
            }
            HeaderWord::Clauses => {
                let clauses = clauses(cursor)?;
                if clauses.is_empty() {
                    return Err(
                        cursor.expected("clauses of the standard: `[5] MQTT-3.1.2-8  [3.1.1] MQTT-3.1.2-8`")
                    );
                }
                header.clauses.extend(clauses);
            }
            HeaderWord::Versions => {
                once(&mut header.versions)?;
                while !cursor.is_done() {
                    let chunk = cursor.peek_chunk();
                    let version = values::version(chunk).ok_or_else(|| cursor.expected("3.1, 3.1.1 or 5"))?;
                    cursor.advance(chunk.len());
                    scenario.versions.push(version);
                }
                scenario.versions.sort_unstable();
                scenario.versions.dedup();
                if scenario.versions.is_empty() {
                    return Err(cursor.expected("3.1, 3.1.1 or 5"));
                }
            }
            HeaderWord::Tests => {
                once(&mut header.tests)?;
                let server = cursor.eat_word("server");
                let client = cursor.eat_word("client");
                let server = server || cursor.eat_word("server");
                scenario.tests = match (server, client) {
                    (true, true) => Roles::Both,
                    (true, false) => Roles::Server,
                    (false, true) => Roles::Client,
                    (false, false) => return Err(cursor.expected("`server`, `client` or `server client`")),
                };
            }
            HeaderWord::Over => {
                once(&mut header.over)?;
                if !cursor.eat_word("websocket") {
                    return Err(cursor.expected("`websocket` (without this line, it is TCP)"));
                }
                scenario.over_websocket = true;
            }
            HeaderWord::Needs => loop {
                scenario.needs.push(need(cursor)?);
                if cursor.is_done() {
                    break;
                }
            },
            HeaderWord::Broker => {
                once(&mut header.broker)?;
                scenario.broker = options(cursor)?;
                if scenario.broker.is_empty() {
                    return Err(cursor.expected("options of the reference broker: `receive_maximum=10`"));
                }
            }
            HeaderWord::Client => {
                let client = client(cursor, span)?;
                scenario.clients.push(client);
            }
            HeaderWord::Seeds => {
                once(&mut header.seeds)?;
                scenario.seeds = values::small_number(cursor, "a number of seeds", 1, 1_000_000)?;
            }
            HeaderWord::Table => {
                if scenario.table.is_some() {
                    return Err(Diagnostic::error(span, "a file has one table"));
                }
                scenario.table = Some(columns(cursor, span)?);
            }
        }
        cursor.finish()
    }

    /// Whether a line before the body starts with a misspelt word of the header; reports it.
    fn is_misspelt_header(&mut self, line: &Line) -> bool {
        let mut cursor = self.cursor(line);
        let word = cursor.peek_word();
        let span = cursor.next_span();
        if word.len() < 4 || self.looks_like_a_step(line) {
            return false;
        }
        let Some(meant) = nearest(word, HEADER_WORDS.iter().copied()) else { return false };
        self.error(
            Diagnostic::error(span, format!("unknown word `{word}`"))
                .label("expected a word of the header or a step")
                .did_you_mean(Some(meant)),
        );
        self.misspelt_header = true;
        true
    }

    /// The rows of the table: the lines below it that are indented.
    fn rows(&mut self, scenario: &mut Scenario, header: &mut Header, indent: usize) {
        let mut broken = scenario.table.is_none();
        while let Some(line) = self.peek().filter(|line| line.indent > indent) {
            self.next_line();
            let cells = cells(&self.cursor(&line));
            let Some(table) = scenario.table.as_mut() else { continue };
            match row(self.source, &line, &cells, table) {
                Ok((row, clauses)) => {
                    table.rows.push(row);
                    header.row_clauses.push(clauses);
                }
                Err(diagnostic) => {
                    self.error(diagnostic);
                    broken = true;
                }
            }
        }
        if let Some(table) = &scenario.table
            && table.rows.is_empty()
            && !broken
        {
            let error = Diagnostic::error(table.span, "the table has no rows");
            self.error(error.label("expected rows below it, indented"));
        }
    }

    /// Assigns a version to each clause, and reports required lines that are missing.
    pub(super) fn finish_header(&mut self, scenario: &mut Scenario, header: Header) {
        let start = Span::new(0, 0);
        if header.title.is_none() && !self.misspelt_header {
            self.error(
                Diagnostic::error(start, "the file has no title")
                    .help("start it with `title  What it shows`"),
            );
        }
        if header.versions.is_none() && !self.misspelt_header {
            let error = Diagnostic::error(start, "the file has no `versions`");
            self.error(error.help("add a line `versions 3.1.1 5`"));
        }
        scenario.clauses = self.references(scenario, header.clauses);
        for (at, clauses) in header.row_clauses.into_iter().enumerate() {
            let references = self.references(scenario, clauses);
            if let Some(row) = scenario.table.as_mut().and_then(|table| table.rows.get_mut(at)) {
                row.clauses = references;
            }
        }
    }

    fn references(
        &mut self,
        scenario: &Scenario,
        clauses: Vec<(Option<VersionMark>, Span, String)>,
    ) -> Vec<ClauseReference> {
        let mut references: Vec<ClauseReference> = Vec::new();
        let mut unmarked = false;
        for (mark, span, id) in clauses {
            let versions = match (&mark, scenario.versions.as_slice()) {
                (Some(mark), _) => mark.0.clone(),
                (None, [only]) => vec![*only],
                // Without a `versions` line there is one error already.
                (None, []) => Vec::new(),
                (None, _) => {
                    if !unmarked {
                        let error = Diagnostic::error(span, format!("`{id}` has no version"));
                        self.error(error.label("expected a mark before it: `[5]` or `[3.1.1]`").help(
                            "the two standards use the same number for different rules, so a clause belongs to a version",
                        ));
                    }
                    unmarked = true;
                    Vec::new()
                }
            };
            for version in versions {
                let reference = ClauseReference { span, version, id: id.clone() };
                if references.contains(&reference) {
                    self.warn(Diagnostic::warning(span, format!("`{id}` is named twice for MQTT {version}")));
                } else {
                    references.push(reference);
                }
            }
        }
        references
    }
}

/// Adds the comments of a line of the header to those of its word.
fn keep_comments(all: &mut Vec<HeaderComment>, word: HeaderWord, index: usize, comments: Comments) {
    if comments.above.is_empty() && comments.after.is_none() {
        return;
    }
    let comments = Comments { blank_line_above: false, ..comments };
    match all.iter_mut().find(|other| other.word == word && other.index == index) {
        Some(other) => {
            other.comments.above.extend(comments.above);
            match &other.comments.after {
                Some(_) => other.comments.above.extend(comments.after),
                None => other.comments.after = comments.after,
            }
        }
        None => {
            all.push(HeaderComment { word, index, comments });
            all.sort_by_key(|comment| (comment.word, comment.index));
        }
    }
}

/// `[5] MQTT-3.1.2-8 MQTT-3.1.2-22  [3.1.1] MQTT-3.1.2-8`: a mark applies until the next one.
pub(super) fn clauses(cursor: &mut Cursor<'_>) -> Parsed<Vec<(Option<VersionMark>, Span, String)>> {
    let mut clauses = Vec::new();
    let mut mark = None;
    let mut waiting = false;
    while !cursor.is_done() {
        if let Some(next) = values::mark(cursor) {
            mark = Some(next);
            waiting = true;
            continue;
        }
        let chunk = cursor.peek_chunk();
        if chunk.contains(['[', ']', '"', ',']) {
            return Err(cursor.expected(
                "a mark (`[5]`, `[3.1.1]`) or the id of a clause (`MQTT-3.1.2-8`), spaces between",
            ));
        }
        let span = cursor.next_span();
        cursor.advance(chunk.len());
        clauses.push((mark.clone(), span, chunk.to_owned()));
        waiting = false;
    }
    if waiting { Err(cursor.expected("the id of a clause after the mark")) } else { Ok(clauses) }
}

fn need(cursor: &mut Cursor<'_>) -> Parsed<Need> {
    cursor.skip_spaces();
    let start = cursor.at();
    let versions = values::mark(cursor).unwrap_or_default();
    let word = cursor.peek_word();
    let Some(rule) = NEEDS.iter().find(|rule| rule.name == word) else {
        return Err(cursor.expected_one_of("a need", NEEDS.iter().map(|rule| rule.name)));
    };
    cursor.advance(word.len());
    let value = if cursor.eat("=") {
        Some(values::number(cursor, "the least sufficient value")?.value)
    } else {
        None
    };
    let span = cursor.span_from(start);
    match (rule.has_value, value) {
        (true, None) => {
            Err(Diagnostic::error(span, format!("`{word}` needs a value"))
                .label(format!("expected `{word}=…`")))
        }
        (false, Some(_)) => Err(Diagnostic::error(span, format!("`{word}` has no value"))),
        _ => Ok(Need { span, versions, name: word.to_owned(), value }),
    }
}

fn options(cursor: &mut Cursor<'_>) -> Parsed<Vec<HostOption>> {
    let mut options: Vec<HostOption> = Vec::new();
    while !cursor.is_done() {
        let start = cursor.at();
        let versions = values::mark(cursor).unwrap_or_default();
        let name = values::name(cursor, "an option: `receive_maximum=10`")?;
        if !cursor.eat("=") {
            return Err(cursor.expected("`=` and a value"));
        }
        let value = option_value(cursor)?;
        options.push(HostOption { span: cursor.span_from(start), versions, name, value });
    }
    Ok(options)
}

fn option_value(cursor: &mut Cursor<'_>) -> Parsed<String> {
    if cursor.peek() == Some('"') {
        let start = cursor.at();
        let text = values::text(cursor, "a value")?;
        return match text.as_literal() {
            Some(value) => Ok(value.to_owned()),
            None => Err(Diagnostic::error(cursor.span_from(start), "an option has no variables")
                .help("a literal `$` is written `\\$`")),
        };
    }
    let value = cursor.run(is_bare_option);
    if value.is_empty() {
        return Err(cursor.expected("a value, in quotes if it has spaces"));
    }
    Ok(cursor.advance(value.len()).to_owned())
}

/// `d1..d3 sink reference keep_alive=5`
fn client(cursor: &mut Cursor<'_>, span: Span) -> Parsed<ClientDeclaration> {
    let mut names = Vec::new();
    while !cursor.eat_word("reference") {
        if cursor.is_done() {
            return Err(
                cursor.expected("names of hosts and `reference`: `client d1 d2 reference keep_alive=5`")
            );
        }
        names.push(values::host_name(cursor)?);
    }
    if names.is_empty() {
        return Err(
            Diagnostic::error(span, "no host is named").label("expected names of hosts before `reference`")
        );
    }
    let options = options(cursor)?;
    Ok(ClientDeclaration { span: cursor.span_from(span.start), names, options })
}

/// The head of a table.
fn columns(cursor: &mut Cursor<'_>, span: Span) -> Parsed<Table> {
    if !cursor.eat_word("case") {
        return Err(cursor.expected("`case`: the first column names the case"));
    }
    let has_clauses = cursor.eat_word("clauses");
    let mut columns: Vec<Name> = Vec::new();
    while !cursor.is_done() {
        let start = cursor.at();
        let column = values::name(cursor, "the name of a column")?;
        let span = cursor.span_from(start);
        if column.contains('-') {
            return Err(Diagnostic::error(span, "the name of a column is used as a variable")
                .label("expected no `-` in it"));
        }
        if columns.contains(&column) || column == "case" || column == "clauses" {
            return Err(Diagnostic::error(span, format!("the column `{column}` exists already"))
                .help("`case` comes first, `clauses` second, if there is one"));
        }
        columns.push(column);
    }
    Ok(Table { span: cursor.span_from(span.start), has_clauses, columns, rows: Vec::new() })
}

/// The cells of a line. They are separated by two or more spaces.
fn cells(cursor: &Cursor<'_>) -> Vec<Span> {
    let text = cursor.rest();
    let mut cells = Vec::new();
    let mut start = None;
    let mut end = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        let is_space = character.is_whitespace() && !quoted;
        if let Some(from) = start
            && !is_space
            && (at - end >= 2 || text[end..at].contains('\t'))
        {
            cells.push(Span::new(cursor.at() + from, cursor.at() + end));
            start = Some(at);
        }
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        if !is_space {
            start = start.or(Some(at));
            end = at + character.len_utf8();
        }
    }
    cells.extend(start.map(|from| Span::new(cursor.at() + from, cursor.at() + end)));
    cells
}

type RowClauses = Vec<(Option<VersionMark>, Span, String)>;

fn row(source: &str, line: &Line, cells: &[Span], table: &Table) -> Parsed<(Row, RowClauses)> {
    let expected = 1 + usize::from(table.has_clauses) + table.columns.len();
    if cells.len() != expected {
        return Err(Diagnostic::error(line.span, format!("the row has {} cells", cells.len())).label(
            format!("expected {expected}, one for each column; cells are separated by two or more spaces"),
        ));
    }
    let mut cells = cells.iter();
    let mut next = || Cursor::new(source, cells.next().copied().unwrap_or(line.span));
    let mut cursor = next();
    let versions = values::mark(&mut cursor).unwrap_or_default();
    let case = values::name(&mut cursor, "the name of the case: a word")?;
    cursor.finish()?;
    let is_same = |row: &&Row| row.case == case && row.versions.overlaps(&versions);
    if let Some(other) = table.rows.iter().find(is_same) {
        let at = other.span.line_and_column(source).0;
        return Err(Diagnostic::error(
            cursor.span_from(line.span.start),
            format!("line {at} has the case `{case}` already"),
        ));
    }
    let clauses = if table.has_clauses { row_clauses(&mut next())? } else { Vec::new() };
    let mut values = Vec::new();
    for _ in &table.columns {
        let mut cursor = next();
        values.push(cell(&mut cursor)?);
        cursor.finish()?;
    }
    let comments = Comments { blank_line_above: false, ..line.comments.clone() };
    Ok((Row { span: line.span, versions, case, clauses: Vec::new(), cells: values, comments }, clauses))
}

/// The clauses of a row; `-` for none.
fn row_clauses(cursor: &mut Cursor<'_>) -> Parsed<RowClauses> {
    if cursor.peek_chunk() == "-" {
        cursor.advance(1);
        cursor.finish()?;
        return Ok(Vec::new());
    }
    clauses(cursor)
}

/// A cell in a column other than `case` and `clauses`.
pub(super) fn cell(cursor: &mut Cursor<'_>) -> Parsed<Cell> {
    if is_content(cursor) {
        return Ok(Cell::Content(Box::new(content(cursor)?)));
    }
    if let Some(bytes) = values::bytes(cursor)? {
        return Ok(Cell::Value(Value::Bytes(bytes)));
    }
    let word = cursor.peek_word();
    let whole = cursor.peek_chunk() == word;
    if whole && word.starts_with(|first: char| first.is_ascii_digit()) {
        return Ok(Cell::Value(Value::Number(values::number(cursor, "a number")?)));
    }
    if whole && reason_code(None, word).is_some() {
        return Ok(Cell::Value(reason(cursor, None)?));
    }
    Ok(Cell::Value(Value::Text(values::text(
        cursor,
        "a packet, `raw` bytes, a number, a Reason Code or a text",
    )?)))
}
