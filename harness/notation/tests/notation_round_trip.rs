//! What the notation writes, it reads back as the same, whatever it is.

mod strategies;

use mqttspec_notation::{CatalogueClauses, check, format, parse, print, read};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_scenario_is_read_as_the_same(scenario in strategies::scenario()) {
        let printed = print(&scenario);
        let read = match parse("printed", &printed) {
            Ok(read) => read,
            Err(diagnostics) => return Err(TestCaseError::fail(format!("{diagnostics}\n{printed}"))),
        };
        prop_assert_eq!(&read, &scenario, "{}", printed);
        prop_assert_eq!(print(&read), printed);
    }

    #[test]
    fn the_checks_judge_any_scenario(scenario in strategies::scenario()) {
        for diagnostic in check(&scenario, &CatalogueClauses) {
            prop_assert!(!diagnostic.message.is_empty());
        }
    }

    /// A line that is damaged anywhere is read or refused, at a place that exists, and what can be
    /// drawn is drawn.
    #[test]
    fn a_damaged_file_is_explained(scenario in strategies::scenario(), at in any::<prop::sample::Index>(), with in "\\PC{0,3}|[\"\\[{}$#\n ]") {
        let mut damaged: Vec<char> = print(&scenario).chars().collect();
        let at = at.index(damaged.len());
        damaged.splice(at..=at, with.chars());
        let damaged: String = damaged.into_iter().collect();
        if let Err(diagnostics) = read("damaged", &damaged, &CatalogueClauses) {
            prop_assert!(diagnostics.has_errors());
            for diagnostic in diagnostics.list() {
                prop_assert!(diagnostic.span.start <= diagnostic.span.end && diagnostic.span.end <= damaged.len());
            }
            prop_assert!(diagnostics.plain().contains("error"));
            prop_assert!(!diagnostics.rich().is_empty());
        } else {
            let printed = format("damaged", &damaged).expect("it was read before");
            prop_assert_eq!(format("printed", &printed).expect("it was printed"), printed);
        }
    }
}
