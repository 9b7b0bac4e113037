//! The form of a refusal: what answers a CONNECT of 3.1.1 in the form of 5.0 breaks the standard.

use mqttspec_codec::{Role, Version};
use mqttspec_judge::verdict::Verdict;
use mqttspec_mutants::Mutant;
use mqttspec_runner::run::{RunOptions, run_with};
use mqttspec_runner::suite::Selection;

use crate::common::scenarios;

#[test]
fn a_refusal_of_3_1_1_in_the_form_of_5_0_fails() {
    for file in ["connect/empty-client-id", "connect/older-protocol-version"] {
        let filters = vec![file.to_owned()];
        let selection = Selection { filters, version: Some(Version::V3_1_1), ..Selection::default() };
        let cases = scenarios(&selection).cases;
        assert_eq!(cases.len(), 1, "{file}");
        let mutant = Mutant::named("refuses-in-the-form-of-5.0", Role::Server);
        assert!(mutant.is_some(), "there is no such mutant");
        for (mutant, verdict) in [(None, Verdict::Pass), (mutant, Verdict::Fail)] {
            let run = run_with(&cases[0], 0, RunOptions { mutant, ..RunOptions::default() });
            assert_eq!(run.verdict, verdict, "{file}: {:?} {}", run.failures, run.reason);
        }
    }
}
