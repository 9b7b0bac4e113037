//! Finds the Topic Names in an ordered map that match a Topic Filter (§4.7.1), for retained
//! messages.
//!
//! The keys of the map are Topic Names with U+0000 as separator. No topic contains it
//! [MQTT-4.7.3-2], and it sorts before every other character, so the names below a level directly
//! follow it. The search skips ranges of names that cannot match. Its cost grows with the number of
//! matches and of siblings at each `+`, not with the number of names.

use std::collections::BTreeMap;
use std::ops::Bound;

const SEPARATOR: u8 = 0;

/// The key of a Topic Name in the map.
pub(crate) fn key(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| if byte == b'/' { SEPARATOR } else { byte }).collect()
}

/// A search for the names that match a filter, in their order. The map may change between two
/// steps.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    levels: Vec<Vec<u8>>,
    /// Where the rest begins; `None` at the end.
    next: Option<Vec<u8>>,
}

/// A step of a [`Scan`], which looks at one name.
pub(crate) enum Step<'map, V> {
    Match(&'map V),
    /// The name does not match.
    Other,
    End,
}

impl Scan {
    pub(crate) fn new(filter: &[u8]) -> Self {
        let levels = filter.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
        Self { levels, next: Some(Vec::new()) }
    }

    pub(crate) fn step<'map, V>(&mut self, map: &'map BTreeMap<Vec<u8>, V>) -> Step<'map, V> {
        let Some(from) = self.next.take() else { return Step::End };
        let found = map.range::<[u8], _>((Bound::Included(&from[..]), Bound::Unbounded)).next();
        let Some((key, value)) = found else { return Step::End };
        match compare(&self.levels, key) {
            Comparison::Match => {
                let mut after = key.clone();
                after.push(SEPARATOR);
                self.next = Some(after);
                Step::Match(value)
            }
            Comparison::LeapTo(target) => {
                self.next = target;
                Step::Other
            }
        }
    }
}

enum Comparison {
    Match,
    /// No name between this one and the target matches; `None` if no later name does.
    LeapTo(Option<Vec<u8>>),
}

fn compare(filter: &[Vec<u8>], key: &[u8]) -> Comparison {
    // [MQTT-4.7.2-1]
    if key.first() == Some(&b'$') && matches!(filter[0].as_slice(), b"+" | b"#") {
        return Comparison::LeapTo(Some(vec![b'$' + 1]));
    }
    // The end of the level in the key that the last `+` matched.
    let mut last_wildcard: Option<usize> = None;
    let mut at = 0;
    for (number, level) in filter.iter().enumerate() {
        if level == b"#" {
            return Comparison::Match;
        }
        if at > key.len() {
            // The name has fewer levels than the filter. That `sport/#` matches `sport` is handled
            // above.
            let mut target = key.to_vec();
            target.push(SEPARATOR);
            return Comparison::LeapTo(Some(target));
        }
        let end =
            key[at..].iter().position(|&byte| byte == SEPARATOR).map_or(key.len(), |length| at + length);
        if level == b"+" {
            last_wildcard = Some(end);
        } else if level[..] != key[at..end] {
            // Levels compare like their keys, because the separator after the shorter one sorts
            // first.
            return Comparison::LeapTo(if key[at..end] < level[..] {
                let mut target = key[..at].to_vec();
                target.extend_from_slice(level);
                Some(target)
            } else {
                last_wildcard.map(|end| next_sibling(&key[..end]))
            });
        }
        at = end + 1;
        if number + 1 == filter.len() && at <= key.len() {
            // The name has more levels than the filter: no name below it matches.
            return Comparison::LeapTo(Some(next_sibling(&key[..end])));
        }
    }
    Comparison::Match
}

/// The first key after a level and all names below it.
fn next_sibling(level: &[u8]) -> Vec<u8> {
    let mut target = level.to_vec();
    target.push(SEPARATOR + 1);
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttspec_codec::{TopicFilter, TopicName};
    use proptest::prelude::*;

    fn found<'a>(names: &[&'a str], filter: &str) -> Vec<&'a str> {
        let map: BTreeMap<_, _> = names.iter().map(|name| (key(name.as_bytes()), *name)).collect();
        let mut scan = Scan::new(filter.as_bytes());
        let steps = std::iter::from_fn(|| match scan.step(&map) {
            Step::Match(name) => Some(Some(*name)),
            Step::Other => Some(None),
            Step::End => None,
        });
        steps.flatten().collect()
    }

    #[test]
    fn the_examples_of_the_standard() {
        let names = [
            "sport",
            "sport/",
            "sport/tennis",
            "sport/tennis/player1",
            "sport/tennis/player1/score",
            "/finance",
        ];
        assert_eq!(
            found(&names, "sport/tennis/player1/#"),
            ["sport/tennis/player1", "sport/tennis/player1/score"]
        );
        assert_eq!(found(&names, "sport/+"), ["sport/", "sport/tennis"]);
        assert_eq!(found(&names, "sport/#").len(), 5);
        assert_eq!(found(&names, "+/+"), ["/finance", "sport/", "sport/tennis"]);
        assert_eq!(found(&names, "/+"), ["/finance"]);
        assert_eq!(found(&names, "+"), ["sport"]);
    }

    #[test]
    fn dollar_topics_stay_hidden_from_leading_wildcards() {
        let names = ["$SYS", "$SYS/a", "a", "#a", "a/$b"];
        assert_eq!(found(&names, "#"), ["#a", "a", "a/$b"]);
        assert_eq!(found(&names, "+/a"), [] as [&str; 0]);
        assert_eq!(found(&names, "$SYS/#"), ["$SYS", "$SYS/a"]);
        assert_eq!(found(&names, "a/+"), ["a/$b"]);
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[ab\u{1}$é]{1,2}"]
    }

    proptest! {
        #[test]
        fn leaping_finds_what_trying_each_name_finds(
            names in prop::collection::btree_set(prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/")), 0..40),
            filter in prop::collection::vec(prop_oneof![level(), Just("+".to_owned())], 1..5),
            multi in any::<bool>(),
        ) {
            let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
            let mut filter = filter.join("/");
            if multi {
                filter.push_str("/#");
            }
            prop_assume!(!filter.is_empty());
            let filter = TopicFilter::try_from(filter).expect("made of legal levels");
            let expected: std::collections::BTreeSet<_> = names.iter()
                .filter(|name| filter.matches_verbatim(&TopicName::try_from(name.as_str()).expect("no wildcard")))
                .map(String::as_str).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let found: Vec<_> = found(&names, filter.as_str());
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(found.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
        }
    }
}
