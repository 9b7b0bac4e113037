//! Plans: of the project's scenario files, and of a text.

use std::path::Path;

use mqttspec_judge::Case;
use mqttspec_runner::suite::{Plan, Selection, Source, plan, read_folder};

/// The cases of the project's scenario files that are selected.
pub(crate) fn scenarios(selection: &Selection) -> Plan {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
    let plan = plan(&read_folder(folder).expect("the scenarios can be read"), selection);
    assert!(plan.errors.is_empty() && !plan.cases.is_empty());
    plan
}

/// The cases of one file with this text.
pub(crate) fn planned(text: String) -> Plan {
    let plan = plan(&[Source { file: "test.mqtt".to_owned(), text }], &Selection::default());
    if let Some(error) = plan.errors.first() {
        panic!("{}", error.message);
    }
    plan
}

/// A scenario of MQTT 5.0 that cites one clause: the rest of the header, and the body.
pub(crate) fn case(header: &str, body: &str) -> Case {
    let text = format!("title    A test\nclauses  MQTT-1.5.5-1\nversions 5\n{header}\n{body}");
    planned(text).cases[0].clone()
}
