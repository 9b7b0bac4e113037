//! Every statement that a server must obey stands in `CLAUSES.md` with the functions that obey it, found by their
//! citations, or with the reason why the broker cannot break it (`clauses-by-construction.toml`).
//!
//! `UPDATE=1 cargo test -p mqttspec-broker --test clauses` writes the table anew.
#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where server statements are obeyed: the rooms whose code is the server.
const ROOMS: [&str; 2] = ["codec/src", "sim/broker/src"];

const HEAD: &str = "\
# Where the broker obeys the standards

Every numbered statement that binds a server (alone or with the client), and where it is obeyed: the file and function
whose code stands below the citation. The decoder and encoder (`codec/`) are part of the server. What none of this code
can break has its reason instead. Written by `tests/clauses.rs` from the citations; do not edit.
";

/// One statement of the catalogue.
struct Clause {
    id: String,
    summary: String,
    counterparts: Vec<String>,
}

/// A place in the code, as `file function`.
type Places = BTreeMap<String, BTreeSet<String>>;

#[test]
fn every_server_statement_has_its_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (five, three) = (clauses(&root, "v5.0.toml"), clauses(&root, "v3.1.1.toml"));
    // Of the server alone, and of server and client alike.
    assert_eq!((five.len(), three.len()), (118 + 84, 69 + 37));
    let places = citations(&root);
    let reasons: BTreeMap<String, String> =
        toml::from_str(&fs::read_to_string(root.join("sim/broker/clauses-by-construction.toml")).unwrap())
            .unwrap();

    let mut missing = Vec::new();
    let mut table = HEAD.to_owned();
    table += "\n## MQTT 5.0\n\n| statement | what | where |\n|---|---|---|\n";
    for clause in &five {
        let cell = cell(&clause.id, &places, &reasons).unwrap_or_else(|| {
            missing.push(clause.id.clone());
            String::new()
        });
        writeln!(table, "| {} | {} | {cell} |", clause.id, clause.summary).unwrap();
    }
    table += "\n## MQTT 3.1.1\n\n| statement | what | where |\n|---|---|---|\n";
    let of_five: BTreeSet<_> = five.iter().map(|clause| clause.id.as_str()).collect();
    for clause in &three {
        let own = cell(&format!("3.1.1/{}", clause.id), &places, &reasons);
        let as_five: Vec<_> = clause
            .counterparts
            .iter()
            .filter(|id| of_five.contains(id.as_str()) && cell(id, &places, &reasons).is_some())
            .map(|id| format!("as 5.0 {id}"))
            .collect();
        let cell: Vec<_> = own.into_iter().chain(as_five).collect();
        if cell.is_empty() {
            missing.push(format!("3.1.1/{}", clause.id));
        }
        writeln!(table, "| {} | {} | {} |", clause.id, clause.summary, cell.join("; ")).unwrap();
    }
    assert!(missing.is_empty(), "neither obeyed anywhere nor impossible to break: {missing:#?}");

    let known: BTreeSet<_> =
        five.iter().map(|c| c.id.clone()).chain(three.iter().map(|c| format!("3.1.1/{}", c.id))).collect();
    let superfluous: Vec<_> =
        reasons.keys().filter(|id| !known.contains(*id) || places.contains_key(*id)).collect();
    assert!(
        superfluous.is_empty(),
        "reasons for what is obeyed somewhere, or does not exist: {superfluous:?}"
    );

    let path = root.join("sim/broker/CLAUSES.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "CLAUSES.md is out of date: run UPDATE=1 cargo test -p mqttspec-broker --test clauses"
    );
}

fn cell(id: &str, places: &Places, reasons: &BTreeMap<String, String>) -> Option<String> {
    let places = places.get(id).map(|places| places.iter().cloned().collect::<Vec<_>>().join(", "));
    places.or_else(|| reasons.get(id).cloned())
}

/// The statements that a server has to obey.
fn clauses(root: &Path, file: &str) -> Vec<Clause> {
    let clauses = catalogue(root, file);
    clauses.into_iter().filter(|(_, role)| role != "client").map(|(clause, _)| clause).collect()
}

fn catalogue(root: &Path, file: &str) -> Vec<(Clause, String)> {
    let text = fs::read_to_string(root.join("harness/spec/clauses").join(file)).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let clauses = table["clause"].as_array().unwrap();
    let text = |clause: &toml::Value, field: &str| clause[field].as_str().unwrap().to_owned();
    let read = |clause: &toml::Value| {
        let counterparts = clause.get("counterparts").and_then(toml::Value::as_array);
        let counterparts =
            counterparts.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned);
        let (id, summary) = (text(clause, "id"), text(clause, "summary"));
        (Clause { id, summary, counterparts: counterparts.collect() }, text(clause, "role"))
    };
    clauses.iter().map(read).collect()
}

/// Where each id is cited, over all rooms.
fn citations(root: &Path) -> Places {
    let mut places = Places::new();
    for room in ROOMS {
        let mut files = Vec::new();
        find_files(&root.join(room), &mut files);
        files.sort();
        for file in files {
            let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).unwrap();
            // What tests cite they show; they do not obey it.
            let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
            for (id, function) in cited(code) {
                places.entry(id).or_default().insert(format!("`{name}` {function}"));
            }
        }
    }
    places
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "fuzz" && name != "tests") {
                find_files(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            files.push(path);
        }
    }
}

/// Ids in comments (`[MQTT-…]`) with the function around them.
fn cited(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut function = String::new();
    // Citations in the documentation of an item belong to what it documents.
    let mut of_next: Vec<String> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_start();
        let named = ["fn ", "struct ", "enum ", "trait "].iter().find_map(|word| name_behind(trimmed, word));
        if let Some(name) = named.filter(|_| !trimmed.starts_with("//")) {
            function = format!("`{name}`");
            found.extend(of_next.drain(..).map(|id| (id, function.clone())));
        }
        let Some((_, comment)) = line.split_once("//") else { continue };
        let ids = ids_in(comment);
        if trimmed.starts_with("///") {
            of_next.extend(ids);
        } else if trimmed.starts_with("//!") {
            found.extend(ids.into_iter().map(|id| (id, "as a whole".to_owned())));
        } else {
            found.extend(ids.into_iter().map(|id| (id, function.clone())));
        }
    }
    found
}

fn name_behind<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let at = line.find(word)?;
    if at > 0 && !line[..at].ends_with(' ') && !line[..at].ends_with(')') {
        return None;
    }
    let rest = &line[at + word.len()..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

fn ids_in(comment: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (at, _) in comment.match_indices("[MQTT-") {
        let Some(id) =
            comment[at + 1..].split(']').next().filter(|id| id.ends_with(|c: char| c.is_ascii_digit()))
        else {
            continue;
        };
        let old = comment[..at].ends_with("3.1.1/");
        ids.push(if old { format!("3.1.1/{id}") } else { id.to_owned() });
    }
    ids
}
