//! Retained messages (§3.3.1.3): one for each Topic Name, independent of Sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqttspec_codec::TopicName;

use crate::message::Message;
use crate::topic::{self, Scan, Step};

#[derive(Debug, Default)]
pub(crate) struct Retained {
    by_key: BTreeMap<Vec<u8>, Arc<Message>>,
}

impl Retained {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn contains(&self, topic: &TopicName) -> bool {
        self.by_key.contains_key(&topic::key(topic.as_bytes()))
    }

    pub(crate) fn insert(&mut self, message: Arc<Message>) {
        self.by_key.insert(topic::key(message.topic.as_bytes()), message);
    }

    pub(crate) fn remove(&mut self, topic: &TopicName) -> Option<Arc<Message>> {
        self.by_key.remove(&topic::key(topic.as_bytes()))
    }

    pub(crate) fn matching_name(&self, topic: &TopicName) -> Option<&Arc<Message>> {
        self.by_key.get(&topic::key(topic.as_bytes()))
    }

    /// A step of a search, which looks at one message.
    pub(crate) fn step(&self, scan: &mut Scan) -> Step<'_, Arc<Message>> {
        scan.step(&self.by_key)
    }
}
