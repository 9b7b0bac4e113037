//! The granted subscriptions, as far as the client knows: to restore them when the Server has lost
//! the Session.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{Properties, Subscribe, Subscription, TopicFilter, TopicName};

/// The subscriptions that a Server has granted.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    granted: BTreeMap<TopicFilter, (Subscription, Properties<Subscribe>)>,
    /// Filters that the client itself has requested and that are not granted yet.
    asked: BTreeSet<TopicFilter>,
}

impl Subscriptions {
    pub(crate) fn insert(&mut self, subscription: Subscription, properties: Properties<Subscribe>) {
        self.granted.insert(subscription.filter.clone(), (subscription, properties));
    }

    pub(crate) fn contains(&self, filter: &TopicFilter) -> bool {
        self.granted.contains_key(filter)
    }

    /// The client itself needs the filter. Returns false if it was requested already.
    pub(crate) fn ask(&mut self, filter: &TopicFilter) -> bool {
        self.asked.insert(filter.clone())
    }

    /// The Server has answered, or will not answer.
    pub(crate) fn answered(&mut self, filter: &TopicFilter) {
        self.asked.remove(filter);
    }

    /// The granted filters that match a Topic Name.
    pub(crate) fn matching<'a>(&'a self, topic: &'a TopicName) -> impl Iterator<Item = &'a TopicFilter> {
        self.granted.keys().filter(move |filter| filter.matches(topic))
    }

    /// Removes a subscription. Returns whether it was there.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> bool {
        self.granted.remove(filter).is_some()
    }

    /// All subscriptions, grouped by the properties of their SUBSCRIBE.
    pub(crate) fn groups(&self) -> Vec<(Properties<Subscribe>, Vec<Subscription>)> {
        let mut groups: Vec<(Properties<Subscribe>, Vec<Subscription>)> = Vec::new();
        for (subscription, properties) in self.granted.values() {
            match groups.iter_mut().find(|(other, _)| other == properties) {
                Some((_, group)) => group.push(subscription.clone()),
                None => groups.push((properties.clone(), vec![subscription.clone()])),
            }
        }
        groups
    }

    pub(crate) fn drain(&mut self) -> Vec<TopicFilter> {
        std::mem::take(&mut self.granted).into_keys().collect()
    }
}
