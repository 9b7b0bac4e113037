//! Draws scenarios: everything that the notation can say, in every place where it may stand.
//!
//! What is drawn may mean nothing (a host that never acts, a capture without a value): it is for
//! what must hold of every scenario that can be written, such as that its print is read back as the
//! same.

mod lines;
mod parts;

use mqttspec_notation::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use lines::steps;
use parts::{bare_word, cell, comments_above, host_name, mark, options, version};

/// Any scenario.
pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let head = (
        (title(), option::of(title())),
        versions(),
        prop_oneof![Just(Roles::Server), Just(Roles::Client), Just(Roles::Both)],
        any::<bool>(),
        vec(need(), 0..3),
        options(),
        vec(client(), 0..3),
        prop_oneof![Just(1), 2..=1_000_000u32],
    );
    let rest = (option::of(table()), steps(3), vec(any::<(bool, bool)>(), 12), comments_above());
    (head, rest).prop_flat_map(
        |(
            ((title, reading), versions, tests, over_websocket, needs, broker, clients, seeds),
            (table, steps, commented, below),
        )| {
            let scenario = Scenario {
                title,
                reading,
                clauses: Vec::new(),
                versions: versions.clone(),
                tests,
                over_websocket,
                needs,
                broker,
                clients,
                seeds,
                table,
                steps,
                header_comments: Vec::new(),
                comments_below: below,
            };
            let row_count = scenario.table.as_ref().map_or(0, |table| table.rows.len());
            (
                Just(scenario),
                clauses(versions.clone(), 0..8),
                vec(clauses(versions, 0..3), row_count),
                Just(commented),
            )
                .prop_flat_map(|(mut scenario, header, rows, commented)| {
                    scenario.clauses = header;
                    if let Some(table) = &mut scenario.table {
                        for (row, clauses) in table.rows.iter_mut().zip(rows) {
                            row.clauses = if table.has_clauses { clauses } else { Vec::new() };
                        }
                    }
                    let words = commented_words(&scenario, &commented);
                    let comments = vec((comments_above(), option::of(parts::comment())), words.len());
                    (Just(scenario), Just(words), comments).prop_map(|(mut scenario, words, comments)| {
                        for ((word, index), (above, after)) in words.into_iter().zip(comments) {
                            let after =
                                after.filter(|_| !matches!(word, HeaderWord::Title | HeaderWord::Reading));
                            if !above.is_empty() || after.is_some() {
                                let comments = Comments { blank_line_above: false, above, after };
                                scenario.header_comments.push(HeaderComment { word, index, comments });
                            }
                        }
                        scenario
                    })
                })
        },
    )
}

/// The lines of the header that exist, as many of them as are chosen.
fn commented_words(scenario: &Scenario, chosen: &[(bool, bool)]) -> Vec<(HeaderWord, usize)> {
    let mut words = vec![(HeaderWord::Title, 0)];
    words.extend(scenario.reading.is_some().then_some((HeaderWord::Reading, 0)));
    words.extend((!scenario.clauses.is_empty()).then_some((HeaderWord::Clauses, 0)));
    words.extend([(HeaderWord::Versions, 0), (HeaderWord::Tests, 0)]);
    words.extend((!scenario.needs.is_empty()).then_some((HeaderWord::Needs, 0)));
    words.extend((!scenario.broker.is_empty()).then_some((HeaderWord::Broker, 0)));
    words.extend((0..scenario.clients.len()).map(|index| (HeaderWord::Client, index)));
    words.push((HeaderWord::Seeds, 0));
    words.extend(scenario.table.is_some().then_some((HeaderWord::Table, 0)));
    let mut chosen = chosen.iter().map(|(one, other)| *one && *other);
    words.retain(|_| chosen.next().unwrap_or(false));
    words
}

fn title() -> impl Strategy<Value = String> {
    "[A-Za-z0-9#\"$é€][A-Za-z0-9 #\"$é€]{0,60}".prop_map(|title| title.trim().to_owned())
}

fn versions() -> impl Strategy<Value = Vec<Version>> {
    proptest::sample::subsequence(Version::ALL.to_vec(), 1..=3)
}

fn clauses(
    versions: Vec<Version>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<ClauseReference>> {
    // Also clauses of versions that the scenario does not run for: those are the checker's to
    // refuse.
    let version = prop_oneof![4 => proptest::sample::select(versions), 1 => version()];
    vec((version, "MQTT-[1-6]\\.[0-9]\\.[0-9]-[0-9]{1,2}"), count).prop_map(|references| {
        let mut clauses: Vec<ClauseReference> = Vec::new();
        for (version, id) in references {
            let reference = ClauseReference { span: Span::default(), version, id };
            if !clauses.contains(&reference) {
                clauses.push(reference);
            }
        }
        clauses
    })
}

fn need() -> impl Strategy<Value = Need> {
    (mark(), proptest::sample::select(vocabulary::NEEDS.to_vec()), any::<u32>()).prop_map(
        |(versions, rule, value)| Need {
            span: Span::default(),
            versions,
            name: rule.name.to_owned(),
            value: rule.has_value.then_some(u64::from(value)),
        },
    )
}

fn client() -> impl Strategy<Value = ClientDeclaration> {
    (vec(host_name(), 1..3), options()).prop_map(|(names, options)| ClientDeclaration {
        span: Span::default(),
        names,
        options,
    })
}

fn table() -> impl Strategy<Value = Table> {
    (any::<bool>(), vec("[a-z][a-z0-9_]{0,6}x", 0..3), 1..4usize).prop_flat_map(
        |(has_clauses, mut columns, rows)| {
            columns.sort();
            columns.dedup();
            vec(row(columns.len()), rows).prop_map(move |mut rows| {
                for (at, row) in rows.iter_mut().enumerate() {
                    row.case = format!("{}{at}", row.case);
                }
                Table { span: Span::default(), has_clauses, columns: columns.clone(), rows }
            })
        },
    )
}

fn row(columns: usize) -> impl Strategy<Value = Row> {
    let comments = (comments_above(), option::of(parts::comment()));
    (mark(), bare_word(), vec(cell(), columns), comments).prop_map(
        |(versions, case, cells, (above, after))| Row {
            span: Span::default(),
            versions,
            case,
            clauses: Vec::new(),
            cells,
            comments: Comments { blank_line_above: false, above, after },
        },
    )
}
