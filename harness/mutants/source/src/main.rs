//! Puts all mutants that cargo-mutants lists into one copy of the sources, each selected at run time.
//!
//! `mqttspec-source-mutants LIST TREE MAP` reads LIST (`cargo mutants --list --json`, each with its
//! number as `id`) and changes the files in TREE. MAP is written: for each mutant, the bytes of the
//! changed file that exist only for it (`own`) and those of the expression that it is part of
//! (`site`), so that an error of the compiler can be attributed to it.
#![forbid(unsafe_code)]

mod edits;
mod places;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::edits::{Edits, Mutant};
use crate::places::Places;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [list, tree, map] = arguments.as_slice() else {
        return Err("usage: mqttspec-source-mutants LIST TREE MAP".into());
    };
    let listed: Vec<Value> = serde_json::from_str(&fs::read_to_string(list)?)?;
    let mut of_files: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for mutant in &listed {
        let file = mutant["file"].as_str().ok_or("a mutant without a file")?;
        of_files.entry(file.to_owned()).or_default().push(mutant);
    }
    let mut written = Vec::new();
    for (file, mutants) in of_files {
        let path = Path::new(tree).join(&file);
        let source = fs::read_to_string(&path)?;
        let places = Places::of(&source)?;
        let mut edits = Edits::new(&source, &places);
        for mutant in mutants {
            let read = Mutant::read(mutant, &source).ok_or("a mutant of an unknown form")?;
            if let Err(reason) = edits.add(&read) {
                written.push(json!({ "id": read.id, "file": file, "error": reason }));
            }
        }
        let (text, ranges) = edits.apply();
        fs::write(&path, text)?;
        written.extend(ranges.into_iter().map(|range| {
            let (own, site) = (range.own, range.site);
            json!({ "id": range.id, "file": file, "own": [own.start, own.end], "site": [site.start, site.end] })
        }));
    }
    fs::write(map, serde_json::to_string(&written)?)?;
    Ok(())
}
