//! The form of a refusal: what answers a CONNECT of 3.1.1 in the form of 5.0 breaks the standard.

use std::path::Path;

use mqttspec_codec::{Role, Version};
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Mutant;
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::{Selection, plan, read_folder};

#[test]
fn a_refusal_of_3_1_1_in_the_form_of_5_0_fails() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
    let sources = read_folder(folder).expect("the scenarios can be read");
    for file in ["connect/empty-client-id", "connect/unsupported-protocol-version"] {
        let filters = vec![file.to_owned()];
        let selection = Selection { filters, version: Some(Version::V3_1_1), ..Selection::default() };
        let cases = plan(&sources, &selection).cases;
        assert_eq!(cases.len(), 1, "{file}");
        let mutant = Mutant::named("refuses-in-the-form-of-5.0", Role::Server);
        assert!(mutant.is_some(), "there is no such mutant");
        for (mutant, verdict) in [(None, Verdict::Pass), (mutant, Verdict::Fail)] {
            let run = run_with(&cases[0], 0, RunOptions { mutant, ..RunOptions::default() });
            assert_eq!(run.verdict, verdict, "{file}: {:?} {}", run.failures, run.reason);
        }
    }
}
