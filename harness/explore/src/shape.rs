//! The shape of a finding: what several runs that show the same error have in common.

use mqttspec_codec::Version;
use mqttspec_judge::finding::Finding;
use serde::{Deserialize, Serialize};

/// The check, its clauses and what it expected, without names and numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// The version of the standard.
    pub version: String,
    /// The check: `the monitor …`.
    pub check: String,
    /// The violated clauses.
    pub clauses: Vec<String>,
    /// What was expected. Names of hosts, topics, payloads and numbers are `_`.
    pub expected: String,
}

impl Shape {
    /// The shape of a finding.
    #[must_use]
    pub fn of(finding: &Finding, version: Version) -> Self {
        let clauses = finding.requirements.iter().map(|requirement| requirement.clause.clone()).collect();
        let expected = without_names(&finding.expected);
        Self { version: version.to_string(), check: finding.check.to_string(), clauses, expected }
    }

    /// The shape of a run that broke off: an error of the harness or of a reference peer.
    #[must_use]
    pub fn of_error(reason: &str, version: Version) -> Self {
        let expected = without_names(reason);
        Self { version: version.to_string(), check: "the run".to_owned(), clauses: Vec::new(), expected }
    }
}

/// The words of a sentence without quoted text, and without words that have digits or slashes.
fn without_names(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut quoted = false;
    for word in text.split_whitespace() {
        let quotes = word.matches('"').count();
        let named = quoted || quotes > 0 || word.contains(|c: char| c.is_ascii_digit() || c == '/');
        if quotes % 2 == 1 {
            quoted = !quoted;
        }
        let word = if named { "_" } else { word };
        if word != "_" || words.last() != Some(&"_") {
            words.push(word);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_do_not_make_a_shape() {
        let one = without_names("d1 has t/a \"one two\" at most 2 times");
        assert_eq!(one, without_names("d3 has u/b \"x\" at most 17 times"));
        assert_eq!(one, "_ has _ at most _ times");
    }
}
