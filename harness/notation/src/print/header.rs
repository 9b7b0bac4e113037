//! Prints the header and the table.

use super::content::cell;
use super::places::host_name;
use super::steps::{comments_above, end_line};
use super::values::{self, mark};
use crate::lexicon::{is_bare_option, version_word};
use crate::{
    ClauseReference, Comments, HeaderWord, HostOption, Roles, Row, Scenario, Table, Text, VersionMark,
};

/// The width of the column of words.
const WORDS: usize = 9;
/// The maximum width of a line of clauses.
const WIDEST: usize = 110;

pub(super) fn header(scenario: &Scenario, written: &mut String) {
    let mut write = |word: HeaderWord, index: usize, name: &str, text: &str, needed: bool| {
        let found =
            scenario.header_comments.iter().find(|comment| comment.word == word && comment.index == index);
        if !needed && found.is_none() {
            return;
        }
        let none = Comments::default();
        let comments = found.map_or(&none, |found| &found.comments);
        comments_above(comments, 0, written);
        end_line(&format!("{name:WORDS$}{text}"), comments, 0, written);
    };
    write(HeaderWord::Title, 0, "title", &scenario.title, true);
    let reading = scenario.reading.as_deref();
    write(HeaderWord::Reading, 0, "reading", reading.unwrap_or_default(), reading.is_some());
    for (at, line) in clause_lines(scenario).iter().enumerate() {
        // Only the first line has the comments, because the parser joins those of all lines.
        write(HeaderWord::Clauses, at, "clauses", line, true);
    }
    let versions: Vec<&str> = scenario.versions.iter().copied().map(version_word).collect();
    write(HeaderWord::Versions, 0, "versions", &versions.join(" "), true);
    let tests = match scenario.tests {
        Roles::Server => "server",
        Roles::Client => "client",
        Roles::Both => "server client",
    };
    write(HeaderWord::Tests, 0, "tests", tests, scenario.tests != Roles::Server);
    write(HeaderWord::Over, 0, "over", "websocket", scenario.over_websocket);
    let needs: Vec<String> = scenario
        .needs
        .iter()
        .map(|need| {
            let value = need.value.map(|value| format!("={value}")).unwrap_or_default();
            format!("{}{}{value}", mark(&need.versions), need.name)
        })
        .collect();
    write(HeaderWord::Needs, 0, "needs", &needs.join(" "), !needs.is_empty());
    write(HeaderWord::Broker, 0, "broker", &options(&scenario.broker), !scenario.broker.is_empty());
    for (at, client) in scenario.clients.iter().enumerate() {
        let names: Vec<String> = client.names.iter().map(host_name).collect();
        let line = format!("{} reference {}", names.join(" "), options(&client.options));
        write(HeaderWord::Client, at, "client", &line, true);
    }
    write(HeaderWord::Seeds, 0, "seeds", &scenario.seeds.to_string(), scenario.seeds != 1);
    if let Some(table) = &scenario.table {
        let lines = table_lines(scenario, table);
        let mut lines = lines.iter();
        write(HeaderWord::Table, 0, "table", lines.next().map_or("", String::as_str), true);
        for (line, row) in lines.zip(&table.rows) {
            let indent = " ".repeat(WORDS);
            for comment in &row.comments.above {
                written.push_str(&indent);
                comments_above(&Comments { above: vec![comment.clone()], ..Comments::default() }, 0, written);
            }
            end_line(&format!("{indent}{line}"), &row.comments, 0, written);
        }
    }
}

fn options(options: &[HostOption]) -> String {
    let one = |option: &HostOption| {
        let bare = !option.value.is_empty() && option.value.chars().all(is_bare_option);
        let value = if bare { option.value.clone() } else { values::quoted(&Text::literal(&option.value)) };
        format!("{}{}={value}", mark(&option.versions), option.name)
    };
    options.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Whether the clauses need no marks, because the file has one version and all are of it.
fn is_unmarked(scenario: &Scenario, clauses: &[ClauseReference]) -> bool {
    matches!(scenario.versions.as_slice(), [only] if clauses.iter().all(|clause| clause.version == *only))
}

/// Sequences of clauses of one version, with their mark.
fn runs<'a>(scenario: &Scenario, clauses: &'a [ClauseReference]) -> Vec<(String, Vec<&'a str>)> {
    let unmarked = is_unmarked(scenario, clauses);
    let runs = clauses.chunk_by(|left, right| left.version == right.version).map(|run| {
        let version = run.first().map(|clause| clause.version);
        let mark = if unmarked { String::new() } else { mark(&VersionMark(version.into_iter().collect())) };
        (mark, run.iter().map(|clause| clause.id.as_str()).collect())
    });
    runs.collect()
}

fn clause_lines(scenario: &Scenario) -> Vec<String> {
    let runs = runs(scenario, &scenario.clauses);
    let joined: Vec<String> = runs.iter().map(|(mark, ids)| format!("{mark}{}", ids.join(" "))).collect();
    let whole = joined.join("  ");
    if whole.is_empty() {
        return Vec::new();
    }
    if WORDS + whole.chars().count() <= WIDEST {
        return vec![whole];
    }
    let mut lines = Vec::new();
    for (mark, ids) in runs {
        let mut line = mark.trim_end().to_owned();
        let empty = line.len();
        for id in ids {
            if line.len() > empty && WORDS + line.chars().count() + 1 + id.chars().count() > WIDEST {
                lines.push(line);
                line = mark.trim_end().to_owned();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(id);
        }
        lines.push(line);
    }
    lines
}

/// The head of the table and its rows, in columns.
fn table_lines(scenario: &Scenario, table: &Table) -> Vec<String> {
    let mut head = vec!["case".to_owned()];
    head.extend(table.has_clauses.then(|| "clauses".to_owned()));
    head.extend(table.columns.iter().cloned());
    let mut lines = vec![head];
    lines.extend(table.rows.iter().map(|row| cells(scenario, table, row)));
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

fn cells(scenario: &Scenario, table: &Table, row: &Row) -> Vec<String> {
    let mut cells = vec![format!("{}{}", mark(&row.versions), row.case)];
    if table.has_clauses {
        let runs = runs(scenario, &row.clauses);
        let clauses: Vec<String> =
            runs.iter().map(|(mark, ids)| format!("{mark}{}", ids.join(" "))).collect();
        cells.push(if clauses.is_empty() { "-".to_owned() } else { clauses.join(" ") });
    }
    cells.extend(row.cells.iter().map(cell));
    cells
}
