//! The resilience table for a terminal: one line per case if it fits, otherwise one paragraph per
//! case.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use mqttspec_judge::results::SuiteResult;

use super::{BAD, GOOD, HEAD, QUIET, line, whole_words};
use crate::Outcome;
use crate::resilience::{COLUMNS, HEADING, LEGEND, Row, rows};

/// The indices of the columns with numbers.
const NUMBERS: [usize; 6] = [3, 4, 5, 6, 7, 12];

/// The table, with ANSI styles. The caller strips them if the output is not a terminal.
#[must_use]
pub fn resilience(suite: &SuiteResult, width: u16) -> String {
    let rows = rows(suite);
    let mut out = String::new();
    line(&mut out, &format!("{HEAD}{HEADING}{HEAD:#}"));
    if rows.is_empty() {
        line(&mut out, "nothing that was run puts load on clients under a fault: see scenarios/faults");
        return out;
    }
    let table = table(&rows);
    if table.iter().all(|row| row.chars().count() <= usize::from(width)) {
        table.iter().for_each(|row| line(&mut out, row));
    } else {
        rows.iter().for_each(|row| paragraphs(&mut out, row, usize::from(width)));
    }
    for part in textwrap::wrap(LEGEND, whole_words(usize::from(width))) {
        line(&mut out, &format!("{QUIET}{part}{QUIET:#}"));
    }
    out
}

fn table(rows: &[Row]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(COLUMNS);
    for row in rows {
        table.add_row(row.cells.clone());
    }
    for place in 0..COLUMNS.len() {
        if let Some(column) = table.column_mut(place) {
            let alignment = if NUMBERS.contains(&place) { CellAlignment::Right } else { CellAlignment::Left };
            column.set_cell_alignment(alignment);
            column.set_padding((1, 1));
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn paragraphs(out: &mut String, row: &Row, width: usize) {
    let [
        profile,
        version,
        verdict,
        runs,
        faults,
        gap,
        sent,
        delivered,
        duplicated,
        refused,
        lost,
        errors,
        reconnects,
        end,
    ] = &row.cells;
    let style = if row.outcome == Outcome::Passed { GOOD } else { BAD };
    line(out, &format!(" {HEAD}{profile} {version}{HEAD:#}  {style}{verdict}{style:#}"));
    let lines = [
        format!("{runs} runs; faults last {faults}; longest gap {gap}"),
        format!(
            "{sent} sent, {delivered} delivered; duplicated: {duplicated}; refused: {refused}; lost: {lost}"
        ),
        format!("errors: {errors}; {reconnects} reconnects; at the end: {end}"),
    ];
    for text in lines {
        let options = whole_words(width).initial_indent("   ").subsequent_indent("     ");
        textwrap::wrap(&text, options).iter().for_each(|part| line(out, part));
    }
}
