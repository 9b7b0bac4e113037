//! What the application is subscribed to, as far as the client knows: so that it can subscribe again when the Server
//! has lost the Session.

use std::collections::BTreeMap;

use mqttspec_codec::{Properties, Subscribe, Subscription, TopicFilter};

/// The subscriptions that a Server has granted.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    granted: BTreeMap<TopicFilter, (Subscription, Properties<Subscribe>)>,
}

impl Subscriptions {
    pub(crate) fn insert(&mut self, subscription: Subscription, properties: Properties<Subscribe>) {
        self.granted.insert(subscription.filter.clone(), (subscription, properties));
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> bool {
        self.granted.remove(filter).is_some()
    }

    /// All, grouped by the Properties that they were made with: one SUBSCRIBE each.
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
