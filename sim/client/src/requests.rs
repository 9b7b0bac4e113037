//! Requests that wait for their response (§4.10 of 5.0), with their deadlines.

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::{BinaryData, TopicName};

use crate::command::{Handle, Publication};

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) publication: Publication,
    /// The Response Topic that the application has chosen; `None` if the client chooses.
    pub(crate) response_topic: Option<TopicName>,
    pub(crate) deadline: Duration,
    /// Response Topic and Correlation Data, once the request was passed to the publish queue.
    expected: Option<(TopicName, BinaryData)>,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<Handle, Request>,
}

impl Requests {
    pub(crate) fn insert(
        &mut self,
        handle: Handle,
        publication: Publication,
        response_topic: Option<TopicName>,
        deadline: Duration,
    ) {
        self.pending.insert(handle, Request { publication, response_topic, deadline, expected: None });
    }

    pub(crate) fn contains(&self, handle: Handle) -> bool {
        self.pending.contains_key(&handle)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Request> {
        self.pending.remove(&handle)
    }

    /// Requests that wait for the subscription to their Response Topic.
    pub(crate) fn waiting(&self) -> Vec<(Handle, Option<TopicName>)> {
        self.pending
            .iter()
            .filter(|(_, request)| request.expected.is_none())
            .map(|(&handle, request)| (handle, request.response_topic.clone()))
            .collect()
    }

    /// The request is about to be sent: from now on it can be answered. Returns the publication.
    pub(crate) fn sent(
        &mut self,
        handle: Handle,
        topic: TopicName,
        correlation: BinaryData,
    ) -> Option<Publication> {
        let request = self.pending.get_mut(&handle)?;
        request.expected = Some((topic, correlation));
        Some(request.publication.clone())
    }

    /// The request that a message with this Topic Name and Correlation Data answers.
    pub(crate) fn answered(&mut self, topic: &TopicName, correlation: &BinaryData) -> Option<Handle> {
        let answers = |request: &Request| {
            request.expected.as_ref().is_some_and(|(expected, data)| expected == topic && data == correlation)
        };
        let handle = *self.pending.iter().find(|(_, request)| answers(request))?.0;
        self.pending.remove(&handle);
        Some(handle)
    }

    /// A request whose deadline has passed.
    pub(crate) fn next_overdue(&self, now: Duration) -> Option<Handle> {
        self.pending.iter().find(|(_, request)| request.deadline <= now).map(|(&handle, _)| handle)
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.pending.values().map(|request| request.deadline).min()
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.pending.keys().copied().collect()
    }
}
