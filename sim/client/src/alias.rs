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
/// again.
#[derive(Debug)]
pub(crate) struct OutboundAliases {
    maximum: u16,
    uses: u64,
    aliases: BTreeMap<TopicName, (NonZeroU16, u64)>,
    by_use: BTreeMap<u64, TopicName>,
}

impl OutboundAliases {
    /// `maximum` is the Server's Topic Alias Maximum, or 0 for no aliases.
    pub(crate) fn new(maximum: u16) -> Self {
        Self { maximum, uses: 0, aliases: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    /// How to send `topic` now. The caller must send it that way, so that both sides have the same
    /// mappings.
    pub(crate) fn spell(&mut self, topic: &TopicName) -> Spelling {
        // [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9]
        if self.maximum == 0 {
            return Spelling::Full;
        }
        self.uses += 1;
        if let Some((alias, last_use)) = self.aliases.get_mut(topic) {
            let alias = *alias;
            let last_use = std::mem::replace(last_use, self.uses);
            self.by_use.remove(&last_use);
            self.by_use.insert(self.uses, topic.clone());
            return Spelling::Alias(alias);
        }
        let taken = u16::try_from(self.aliases.len()).unwrap_or(u16::MAX);
        let free = if taken < self.maximum { NonZeroU16::new(taken + 1) } else { self.replace_oldest() };
        let Some(alias) = free else { return Spelling::Full };
        self.aliases.insert(topic.clone(), (alias, self.uses));
        self.by_use.insert(self.uses, topic.clone());
        Spelling::Both(alias)
    }

    fn replace_oldest(&mut self) -> Option<NonZeroU16> {
        let (_, topic) = self.by_use.pop_first()?;
        self.aliases.remove(&topic).map(|(alias, _)| alias)
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
    fn the_alias_used_least_recently_gets_the_new_topic() {
        let mut aliases = OutboundAliases::new(2);
        assert_eq!(aliases.spell(&topic("a")), Spelling::Both(alias(1)));
        assert_eq!(aliases.spell(&topic("b")), Spelling::Both(alias(2)));
        assert_eq!(aliases.spell(&topic("a")), Spelling::Alias(alias(1)));
        assert_eq!(aliases.spell(&topic("c")), Spelling::Both(alias(2)), "b has rested longest");
        assert_eq!(aliases.spell(&topic("a")), Spelling::Alias(alias(1)));
        assert_eq!(aliases.spell(&topic("b")), Spelling::Both(alias(2)));
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
