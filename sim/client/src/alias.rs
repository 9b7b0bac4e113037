//! Topic Aliases (§3.3.2.3.4 of 5.0). The two directions are independent, and last for one Network
//! Connection.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use mqttspec_codec::TopicName;

use crate::error::Violation;

/// The aliases that the Server has set.
#[derive(Debug)]
pub(crate) struct InboundAliases {
    maximum: u16,
    topics: BTreeMap<NonZeroU16, TopicName>,
}

impl InboundAliases {
    pub(crate) fn new(maximum: u16) -> Self {
        // [MQTT-3.3.2-7]
        Self { maximum, topics: BTreeMap::new() }
    }

    /// The Topic Name of a PUBLISH. Stores the mapping if the PUBLISH has one.
    ///
    /// # Errors
    /// If the alias is too large or has no mapping.
    pub(crate) fn resolve(
        &mut self,
        topic: Option<TopicName>,
        alias: Option<NonZeroU16>,
    ) -> Result<TopicName, Violation> {
        // [MQTT-3.3.2-10]
        match (topic, alias) {
            (Some(topic), None) => Ok(topic),
            (_, Some(alias)) if alias.get() > self.maximum => Err(Violation::TopicAliasTooLarge),
            (Some(topic), Some(alias)) => {
                self.topics.insert(alias, topic.clone());
                Ok(topic)
            }
            (None, Some(alias)) => self.topics.get(&alias).cloned().ok_or(Violation::TopicAliasUnknown),
            (None, None) => Err(Violation::TopicAliasUnknown),
        }
    }
}

/// How a Topic Name is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As the alias alone.
    Alias(NonZeroU16),
    /// In full, with an alias for the following packets.
    Both(NonZeroU16),
    /// In full.
    Full,
}

/// The aliases that this client has set. When all are in use, the least recently used one is set
/// again, but only for a topic that is used more often than its topic: topics in turn, more of them
/// than there are aliases, would otherwise replace each other's before they save a byte.
#[derive(Debug)]
pub(crate) struct OutboundAliases {
    maximum: u16,
    uses: u64,
    aliases: BTreeMap<TopicName, (NonZeroU16, u64)>,
    by_use: BTreeMap<u64, TopicName>,
    /// How often each topic was used of late; halved from time to time.
    counts: BTreeMap<TopicName, u32>,
}

/// The size of a Topic Alias property, in bytes: a topic that is not longer is never replaced by
/// its alias.
pub(crate) const ALIAS_COST: usize = 3;

/// Counts are halved after this many uses for each alias.
const USES_PER_ALIAS: u64 = 16;

/// Topics that are counted for each alias, and beyond that for all of them.
const COUNTED_PER_ALIAS: usize = 4;
const COUNTED: usize = 64;

impl OutboundAliases {
    /// `maximum` is the Server's Topic Alias Maximum, or 0 for no aliases.
    pub(crate) fn new(maximum: u16) -> Self {
        Self { maximum, uses: 0, aliases: BTreeMap::new(), by_use: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// How to send `topic` now. The caller must send it that way, so that both sides have the same
    /// mappings.
    pub(crate) fn spell(&mut self, topic: &TopicName) -> Spelling {
        // [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9]
        if self.maximum == 0 || topic.as_bytes().len() <= ALIAS_COST {
            return Spelling::Full;
        }
        self.uses += 1;
        let count = self.count(topic);
        if let Some((alias, last_use)) = self.aliases.get_mut(topic) {
            let alias = *alias;
            let last_use = std::mem::replace(last_use, self.uses);
            self.by_use.remove(&last_use);
            self.by_use.insert(self.uses, topic.clone());
            return Spelling::Alias(alias);
        }
        let taken = u16::try_from(self.aliases.len()).unwrap_or(u16::MAX);
        let free = if taken < self.maximum { NonZeroU16::new(taken + 1) } else { self.replace_oldest(count) };
        let Some(alias) = free else { return Spelling::Full };
        self.aliases.insert(topic.clone(), (alias, self.uses));
        self.by_use.insert(self.uses, topic.clone());
        Spelling::Both(alias)
    }

    /// Takes the alias that was not used for the longest time, if its topic is used less often than
    /// `count`. A difference of 1 can come from the order of the topics alone.
    fn replace_oldest(&mut self, count: u32) -> Option<NonZeroU16> {
        let (_, oldest) = self.by_use.first_key_value()?;
        let of_oldest = self.counts.get(oldest).copied().unwrap_or(0);
        if of_oldest + 1 >= count {
            return None;
        }
        let (_, topic) = self.by_use.pop_first()?;
        self.aliases.remove(&topic).map(|(alias, _)| alias)
    }

    /// Counts a use of the topic.
    fn count(&mut self, topic: &TopicName) -> u32 {
        if self.uses.is_multiple_of(USES_PER_ALIAS * u64::from(self.maximum)) {
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        if let Some(count) = self.counts.get_mut(topic) {
            *count += 1;
            return *count;
        }
        if self.counts.len() < COUNTED_PER_ALIAS * usize::from(self.maximum) + COUNTED {
            self.counts.insert(topic.clone(), 1);
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &'static str) -> TopicName {
        TopicName::from_static(name)
    }

    fn alias(value: u16) -> NonZeroU16 {
        NonZeroU16::new(value).unwrap()
    }

    #[test]
    fn the_alias_used_least_recently_goes_to_a_topic_that_is_used_more() {
        let mut aliases = OutboundAliases::new(2);
        assert_eq!(aliases.spell(&topic("t/a")), Spelling::Full, "its alias is no shorter");
        assert_eq!(aliases.spell(&topic("topic/a")), Spelling::Both(alias(1)));
        assert_eq!(aliases.spell(&topic("topic/b")), Spelling::Both(alias(2)));
        assert_eq!(aliases.spell(&topic("topic/a")), Spelling::Alias(alias(1)));
        assert_eq!(aliases.spell(&topic("topic/c")), Spelling::Full, "once, as b");
        assert_eq!(aliases.spell(&topic("topic/c")), Spelling::Full, "twice");
        assert_eq!(aliases.spell(&topic("topic/c")), Spelling::Both(alias(2)), "three times");
        assert_eq!(aliases.spell(&topic("topic/a")), Spelling::Alias(alias(1)));
        assert_eq!(aliases.spell(&topic("topic/b")), Spelling::Full);
    }

    /// The bytes saved over these topics, each used as often as it is listed.
    fn saved(maximum: u16, topics: impl IntoIterator<Item = String>) -> i64 {
        let mut aliases = OutboundAliases::new(maximum);
        let cost = ALIAS_COST as i64;
        let saved = topics.into_iter().map(|name| {
            let length = name.len() as i64;
            match aliases.spell(&TopicName::try_from(name).unwrap()) {
                Spelling::Full => 0,
                Spelling::Both(_) => -cost,
                Spelling::Alias(_) => length - cost,
            }
        });
        saved.sum()
    }

    #[test]
    fn more_topics_in_turn_than_aliases_still_save_bytes() {
        let name = |number: u32| format!("sensors/room-{number:02}/temperature");
        let in_turn = saved(10, (0..100).flat_map(|_| (0..12).map(name)));
        // Ten of the twelve topics have an alias from their first use on: 27 bytes each.
        assert_eq!(in_turn, 10 * 99 * (27 - 3) - 10 * 3);
        let all_different = saved(10, (0..1000).map(name));
        assert_eq!(all_different, -10 * 3, "no alias is replaced for a topic that is used once");
        let moved = saved(10, (0..10).flat_map(|place| (0..500).map(move |_| name(place))));
        assert!(moved > 4_900 * 24, "{moved}");
        let changing =
            saved(2, (0..20).flat_map(|place| (0..200).map(move |use_| name(place * 2 + use_ % 2))));
        assert!(changing > 3_200 * 24, "the aliases go to the topics of the present: {changing}");
    }

    #[test]
    fn without_topic_alias_maximum_every_topic_goes_in_full() {
        let mut aliases = OutboundAliases::new(0);
        assert_eq!(aliases.spell(&topic("a")), Spelling::Full);
        assert_eq!(aliases.spell(&topic("a")), Spelling::Full);
    }

    #[test]
    fn a_topic_with_an_alias_replaces_the_mapping() {
        let mut aliases = InboundAliases::new(5);
        assert_eq!(aliases.resolve(None, Some(alias(5))), Err(Violation::TopicAliasUnknown));
        assert_eq!(aliases.resolve(Some(topic("a")), Some(alias(5))), Ok(topic("a")));
        assert_eq!(aliases.resolve(None, Some(alias(5))), Ok(topic("a")));
        assert_eq!(aliases.resolve(Some(topic("b")), Some(alias(5))), Ok(topic("b")));
        assert_eq!(aliases.resolve(None, Some(alias(5))), Ok(topic("b")));
        assert_eq!(aliases.resolve(Some(topic("a")), Some(alias(6))), Err(Violation::TopicAliasTooLarge));
    }
}
