//! The messages of a run by Topic Name and payload.

use std::collections::{BTreeMap, BTreeSet};

use crate::deliveries::key;

/// The number of all messages with the same Topic Name and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageNumber(usize);

/// All messages of a run, with the publications and arrivals of each.
#[derive(Debug, Default)]
pub(super) struct Messages<'h> {
    /// By [`key`].
    numbers: BTreeMap<(u64, &'h str, &'h [u8]), usize>,
    messages: Vec<Message<'h>>,
    /// The topics to which something was published.
    topics: BTreeSet<&'h str>,
}

#[derive(Debug)]
struct Message<'h> {
    payload: &'h [u8],
    /// Wills included.
    publications: Vec<usize>,
    arrivals: Vec<usize>,
}

impl<'h> Messages<'h> {
    /// A publication of this number has this message.
    pub(super) fn published(
        &mut self,
        topic: &'h str,
        payload: &'h [u8],
        publication: usize,
    ) -> MessageNumber {
        let number = self.number(topic, payload);
        let message = &mut self.messages[number.0];
        if message.publications.is_empty() {
            self.topics.insert(topic);
        }
        message.publications.push(publication);
        number
    }

    /// An arrival of this number has this message.
    pub(super) fn arrived(&mut self, topic: &'h str, payload: &'h [u8], arrival: usize) -> MessageNumber {
        let number = self.number(topic, payload);
        self.messages[number.0].arrivals.push(arrival);
        number
    }

    fn number(&mut self, topic: &'h str, payload: &'h [u8]) -> MessageNumber {
        let next = self.messages.len();
        let number = *self.numbers.entry(key(topic, payload)).or_insert(next);
        if number == next {
            self.messages.push(Message { payload, publications: Vec::new(), arrivals: Vec::new() });
        }
        MessageNumber(number)
    }

    pub(super) fn payload(&self, message: MessageNumber) -> &'h [u8] {
        self.messages[message.0].payload
    }

    pub(super) fn publications(&self, message: MessageNumber) -> &[usize] {
        &self.messages[message.0].publications
    }

    pub(super) fn arrivals(&self, message: MessageNumber) -> &[usize] {
        &self.messages[message.0].arrivals
    }

    pub(super) fn has_topic(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }
}
