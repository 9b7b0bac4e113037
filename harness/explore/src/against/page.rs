//! The page of a comparison, for people.

use std::fmt::Write as _;

use super::{Comparison, Difference, Violation};

impl Comparison {
    /// The results as Markdown. `file` gives the file of the difference with this number, from 1.
    #[must_use]
    pub fn page(&self, file: &dyn Fn(usize, &Difference) -> String) -> String {
        let Self { names: [one, other], runs, not_compared, equal, differences, unconfirmed } = self;
        let mut text = format!(
            "# {one} and {other}\n\nThe same generated scenarios ran on both. A difference is not a violation by \
             itself: the standard\nleaves many choices to a server. The last column names what a run breaks.\n\n\
             - {runs} scenarios; in {equal} of them the clients saw the same.\n\
             - {not_compared} could not be judged to their end on one of the two.\n\
             - {} kinds of differences, and {unconfirmed} that not every repetition showed.\n",
            differences.len()
        );
        if differences.is_empty() {
            return text;
        }
        let _ = write!(text, "\n| version | what | {one} | {other} | runs | file | breaks |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for (number, difference) in differences.iter().enumerate() {
            let Difference { version, what, seen: [first, second], times, violations, .. } = difference;
            let file = file(number + 1, difference);
            let broken: Vec<String> = [one, other]
                .into_iter()
                .zip(violations)
                .flat_map(|(name, violations)| {
                    violations.iter().map(move |violation| broken(name, violation))
                })
                .collect();
            let broken = broken.join("; ");
            let _ =
                writeln!(text, "| {version} | {what} | {first} | {second} | {times} | {file} | {broken} |");
        }
        text
    }
}

fn broken(name: &str, Violation { check, clauses }: &Violation) -> String {
    format!("{name}: {} ({check})", clauses.join(" "))
}
