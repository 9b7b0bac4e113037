//! The table by area: the verdicts of its cases, and the share of the standard that was shown.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use mqttspec_judge::results::SuiteResult;
use mqttspec_spec::Roles;

use crate::{Areas, Coverage};

/// The least width for words as headings: without the column `not judged`, and with it.
const WIDE: [u16; 2] = [80, 92];

/// The index of the column `not judged`.
const NOT_JUDGED: usize = 3;

pub(super) fn table(suite: &SuiteResult, width: u16) -> String {
    let areas = Areas::of(suite);
    // The column is left out if it would be empty, as for most targets.
    let has_not_judged = areas.all.tally.not_judged > 0;
    let wide = width >= WIDE[usize::from(has_not_judged)];
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let mut header: Vec<String> = vec!["module".into()];
    let words = if wide {
        ["passed", "failed", "skipped", "not judged", "errors"]
    } else {
        ["✓", "✗", "↷", "○", "!"]
    };
    let columns = |index: &usize| *index != NOT_JUDGED || has_not_judged;
    let counts: Vec<usize> = (0..words.len()).filter(columns).collect();
    header.extend(counts.iter().map(|index| words[*index].to_owned()));
    let long = |version: &String| format!("{version} shown");
    header.extend(areas.versions.iter().map(|version| if wide { long(version) } else { version.clone() }));
    let columns = header.len();
    table.set_header(header);
    for area in areas.rows.iter().chain([&areas.all]) {
        let number = |number: u32| if number == 0 { "–".to_owned() } else { number.to_string() };
        let tally = area.tally;
        let name = if wide { area.name.to_owned() } else { super::cut(area.name, 13) };
        let mut cells = vec![name];
        let numbers = [tally.passed, tally.failed, tally.skipped, tally.not_judged, tally.errors];
        cells.extend(counts.iter().map(|index| number(numbers[*index])));
        cells.extend(area.shown.iter().map(|(shown, total)| match total {
            0 => String::new(),
            _ if wide => format!("{shown} of {total} ({}%)", shown * 100 / total),
            _ => format!("{}%", shown * 100 / total),
        }));
        table.add_row(cells);
    }
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_padding((1, 0));
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A sentence about one version: the number of clauses that were shown, and of the others by
/// standing.
pub(super) fn share(coverage: &Coverage) -> String {
    let all = &coverage.all;
    let mut parts = vec![format!("{} of {} shown", all.shown, all.total)];
    if all.failed > 0 {
        parts.push(format!("{} failed", all.failed));
    }
    if all.contested > 0 {
        parts.push(format!("{} failed under a contested reading", all.contested));
    }
    if all.skipped > 0 {
        parts.push(format!("{} skipped or broken", all.skipped));
    }
    if all.not_judged > 0 {
        parts.push(format!("{} not judged", all.not_judged));
    }
    if all.unobservable > 0 {
        parts.push(format!("{} not to be seen on the wire", all.unobservable));
    }
    parts.push(format!("{} not exercised", all.not_shown));
    let about = match coverage.roles {
        Roles::Server => " about servers",
        Roles::Client => " about clients",
        Roles::Both => "",
    };
    format!("{}clauses of MQTT {}{about}: {}", coverage.numbered(), coverage.version, parts.join(", "))
}
