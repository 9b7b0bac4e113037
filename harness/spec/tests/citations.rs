//! Every clause that the code or a scenario cites exists in the standard for which it is cited.
//!
//! In code, a citation is `[id]` in a comment, of 5.0 unless `3.1.1/` stands before it, or an id
//! alone in a string of a table. In a scenario it is an id behind a mark such as `[5]`; without a
//! mark it counts for every version of the file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mqttspec_spec::{Catalogue, Standard};

#[test]
fn every_cited_clause_exists() {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in the workspace");
    let mut files = Vec::new();
    collect_files(root, &mut files);
    let (mut cited, mut wrong) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("source files are UTF-8");
        let citations = match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => citations_in_code(&text, is_test(&file)),
            _ => citations_in_scenario(&text),
        };
        cited += citations.len();
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        wrong.extend(citations.iter().filter_map(|citation| citation.complaint(&name)));
    }
    assert!(cited > 0, "no citation found: does the test still look where the code is?");
    assert!(wrong.is_empty(), "{} of {cited} citations are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Where a clause is cited.
#[derive(Debug, PartialEq, Eq)]
struct Citation {
    /// From 1.
    line: usize,
    id: String,
    of: Of,
}

/// The standard for which a clause is cited.
#[derive(Debug, PartialEq, Eq)]
enum Of {
    Each(BTreeSet<Standard>),
    Either,
    Unknown(String),
}

impl Citation {
    /// `file:line: …`, if the citation is wrong.
    fn complaint(&self, file: &str) -> Option<String> {
        let Self { line, id, of } = self;
        let has = |standard: &Standard| Catalogue::get(*standard, id).is_some();
        match of {
            Of::Each(standards) => standards.iter().find(|standard| !has(standard)).map(|standard| {
                let hint = Catalogue::nearest(*standard, id)
                    .map_or(String::new(), |near| format!("; did you mean {}: {}", near.id, near.summary));
                format!("{file}:{line}: {id} is no clause of MQTT {standard}{hint}")
            }),
            Of::Either => (!Standard::ALL.iter().any(has))
                .then(|| format!("{file}:{line}: {id} is a clause of no standard")),
            Of::Unknown(prefix) => Some(format!(
                "{file}:{line}: {prefix}/[{id}]: {prefix:?} names no standard: 3.1.1/ or nothing"
            )),
        }
    }
}

/// All `.rs` and `.mqtt` files below `folder` that are part of the project, in order of name.
fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of the workspace")
        .map(|entry| entry.expect("readable").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            // The files of `notation_errors` are wrong on purpose.
            if name != "target" && name != "notation_errors" && !name.starts_with('.') {
                collect_files(&path, files);
            }
        } else if name.ends_with(".rs") || name.ends_with(".mqtt") {
            files.push(path);
        }
    }
}

/// Whether a file of code holds tests only.
fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
}

/// Bracketed ids in comments, and strings that are an id outside of tests: tests name ids that do
/// not exist on purpose.
fn citations_in_code(text: &str, mut in_tests: bool) -> Vec<Citation> {
    let mut citations = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        in_tests |= line.trim() == "#[cfg(test)]";
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        for (start, id) in ids_in(comment) {
            let Some(before) = comment[..start].strip_suffix('[') else { continue };
            if !comment[start + id.len()..].starts_with(']') {
                continue;
            }
            let prefix = before.strip_suffix('/').map(|before| {
                before.rsplit(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default()
            });
            let of = match prefix {
                None => Of::Each(BTreeSet::from([Standard::V5])),
                Some(prefix) => match prefix.parse() {
                    Ok(standard) => Of::Each(BTreeSet::from([standard])),
                    Err(_) => Of::Unknown(prefix.to_owned()),
                },
            };
            citations.push(Citation { line: number, id: id.to_owned(), of });
        }
        if !in_tests {
            for (start, id) in ids_in(code) {
                if code[..start].ends_with('"') && code[start + id.len()..].starts_with('"') {
                    citations.push(Citation { line: number, id: id.to_owned(), of: Of::Either });
                }
            }
        }
    }
    citations
}

/// Ids in the `clauses` lines and the table of a scenario, and bracketed ones in its comments.
fn citations_in_scenario(text: &str) -> Vec<Citation> {
    let versions: BTreeSet<Standard> = text
        .lines()
        .filter_map(|line| line.strip_prefix("versions"))
        .flat_map(str::split_whitespace)
        .filter_map(|version| version.parse().ok())
        .collect();
    let mut citations = Vec::new();
    // Marks hold to the end of a line, and of `clauses` also on the lines that continue it.
    let mut marked = None;
    let mut in_clauses = false;
    for (number, line) in (1..).zip(text.lines()) {
        let (content, comment) = line.split_once('#').unwrap_or((line, ""));
        in_clauses = content.starts_with("clauses") || (in_clauses && content.starts_with(' '));
        if content.starts_with("clauses") || !in_clauses {
            marked = None;
        }
        for word in content.split_inclusive(']').flat_map(|part| {
            let mark = part.find('[').filter(|_| part.ends_with(']'));
            let (before, mark) = part.split_at(mark.unwrap_or(part.len()));
            before.split_whitespace().chain((!mark.is_empty()).then_some(mark))
        }) {
            if let Some(mark) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) {
                let standards: BTreeSet<Standard> =
                    mark.split_whitespace().filter_map(|v| v.parse().ok()).collect();
                if !standards.is_empty() {
                    marked = Some(standards);
                }
            } else if ids_in(word).first().is_some_and(|(start, id)| *start == 0 && id.len() == word.len()) {
                // Ids of 3.1 are always marked, where a file has other versions too: no other
                // version has the same.
                let unmarked = || match versions.len() {
                    1 => versions.clone(),
                    _ => versions.iter().copied().filter(|of| *of != Standard::V3_1).collect(),
                };
                let of = Of::Each(marked.clone().unwrap_or_else(unmarked));
                citations.push(Citation { line: number, id: word.to_owned(), of });
            }
        }
        let in_comment = citations_in_code(&format!("//{comment}"), true);
        citations.extend(in_comment.into_iter().map(|citation| Citation { line: number, ..citation }));
    }
    citations
}

/// What looks like the id of a clause, with the place where it begins: `MQTT-` and a digit, or
/// `U3-`, `U31-` or `U5-` and a digit, up to the last letter, digit, dot or dash.
fn ids_in(text: &str) -> Vec<(usize, &str)> {
    let mut ids = Vec::new();
    let mut from = 0;
    while let Some(start) = ["MQTT-", "U3-", "U31-", "U5-"].iter().filter_map(|p| text[from..].find(p)).min()
    {
        let start = from + start;
        let rest = &text[start..];
        let length =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-').unwrap_or(rest.len());
        let id = rest[..length].trim_end_matches(['.', '-']);
        if id.split_once('-').is_some_and(|(_, number)| number.starts_with(|c: char| c.is_ascii_digit())) {
            ids.push((start, id));
        }
        from = start + length.max(1);
    }
    ids
}

/// Ids for the tests below, pieced together so that they are not citations themselves.
fn wrong_id() -> String {
    ["MQTT", "9.9.9", "9"].join("-")
}

#[test]
fn code_cites_in_brackets_with_the_older_standard_named() {
    let wrong = wrong_id();
    let text = format!("// [MQTT-3.1.2-8] 3.1.1/[MQTT-3.1.2-24]\nx(); // see [{wrong}], not {wrong}\n");
    let each = |standard| Of::Each(BTreeSet::from([standard]));
    let found = citations_in_code(&text, false);
    let expected = [
        Citation { line: 1, id: "MQTT-3.1.2-8".into(), of: each(Standard::V5) },
        Citation { line: 1, id: "MQTT-3.1.2-24".into(), of: each(Standard::V3_1_1) },
        Citation { line: 2, id: wrong.clone(), of: each(Standard::V5) },
    ];
    assert_eq!(found, expected);
    assert_eq!(found[0].complaint("a.rs"), None);
    assert_eq!(found[2].complaint("a.rs"), Some(format!("a.rs:2: {wrong} is no clause of MQTT 5.0")));
}

#[test]
fn a_clause_of_one_standard_does_not_serve_for_the_other() {
    let citation = &citations_in_code(&format!("// 3.1.1/[{}]", ["MQTT", "3.3.4", "7"].join("-")), false)[0];
    let complaint = citation.complaint("b.rs").expect("3.1.1 has no flow control");
    assert!(complaint.starts_with("b.rs:1: MQTT-3.3.4-7 is no clause of MQTT 3.1.1"), "{complaint}");
    let citation = &citations_in_code(&format!("// 3.2/[{}]", ["MQTT", "3.3.4", "7"].join("-")), false)[0];
    assert!(citation.complaint("b.rs").is_some_and(|complaint| complaint.contains("names no standard")));
}

#[test]
fn tables_in_code_name_clauses_of_either_standard() {
    let found = citations_in_code(
        &format!(
            "row(\"MQTT-3.3.4-7\", \"MQTT-2.3.1-5\", \"{0}\");\n#[cfg(test)]\nrow(\"{0}\");",
            wrong_id()
        ),
        false,
    );
    let complaints: Vec<bool> = found.iter().map(|citation| citation.complaint("c.rs").is_some()).collect();
    assert_eq!(complaints, [false, false, true], "and unit tests are left alone");
}

#[test]
fn scenarios_mark_the_standard_of_their_clauses() {
    let text = "title    Two lists\n\
        clauses  [5] MQTT-3.1.2-22 U5-043  [3.1.1] MQTT-3.1.2-24\n         MQTT-3.1.2-8   # 3.1.1/[MQTT-3.1.2-10]\n\
        versions 3.1.1 5\n\
        table    case  clauses\n         a     MQTT-3.1.2-3\n         b     [5] MQTT-3.1.2-9\n\
        a > PUBLISH payload=\"MQTT-0\" [5] topic_alias=1\n";
    let found: Vec<(usize, String, Vec<Standard>)> = citations_in_scenario(text)
        .into_iter()
        .map(|citation| match citation.of {
            Of::Each(standards) => (citation.line, citation.id, standards.into_iter().collect()),
            other => panic!("{other:?}"),
        })
        .collect();
    let (v3, v5) = (Standard::V3_1_1, Standard::V5);
    let expected = [
        (2, "MQTT-3.1.2-22", vec![v5]),
        (2, "U5-043", vec![v5]),
        (2, "MQTT-3.1.2-24", vec![v3]),
        (3, "MQTT-3.1.2-8", vec![v3]),
        (3, "MQTT-3.1.2-10", vec![v3]),
        (6, "MQTT-3.1.2-3", vec![v3, v5]),
        (7, "MQTT-3.1.2-9", vec![v5]),
    ];
    assert_eq!(found, expected.map(|(line, id, standards)| (line, id.to_owned(), standards)));
}
