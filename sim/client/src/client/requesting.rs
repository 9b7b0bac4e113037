//! Request and response (§4.10 of 5.0): subscribe to the Response Topic, publish with Correlation
//! Data, wait.

use std::time::Duration;

use mqttspec_codec::{BinaryData, CorrelationData, ResponseTopic, TopicFilter, TopicName, Utf8String};
use rand::Rng as _;

use super::{Client, Link};
use crate::command::{Handle, Publication};
use crate::error::{Awaited, Error, Invalid};
use crate::event::{Event, Message};

impl Client {
    pub(super) fn request(
        &mut self,
        now: Duration,
        handle: Handle,
        publication: Publication,
        response_topic: Option<TopicName>,
        timeout: Option<Duration>,
    ) {
        if !self.version().is_5() {
            return self.fail(handle, Error::Invalid(Invalid::NeedsVersion5));
        }
        if let Err(invalid) = publication.check(self.version()) {
            return self.fail(handle, Error::Invalid(invalid));
        }
        let deadline = now + timeout.unwrap_or(self.options.request_timeout);
        self.requests.insert(handle, publication, response_topic, deadline);
        self.advance_requests(now);
    }

    /// Publishes the requests whose Response Topic is subscribed to, and subscribes to the others.
    pub(super) fn advance_requests(&mut self, now: Duration) {
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        for (handle, chosen) in self.requests.waiting() {
            let Some(topic) = chosen.or_else(|| self.response_topic()) else { continue };
            let Ok(filter) = TopicFilter::try_from(topic.as_utf8_string().clone()) else { continue };
            // §4.10.2: before the request, so that a fast response is not lost
            if !self.ensure_subscribed(now, &filter) {
                continue;
            }
            let correlation = self.correlation_data(handle);
            let Some(mut publication) = self.requests.sent(handle, topic.clone(), correlation.clone()) else {
                continue;
            };
            publication.properties.set(ResponseTopic(topic));
            publication.properties.set(CorrelationData(correlation));
            self.accept_publication(now, handle, publication);
        }
    }

    pub(super) fn expire_requests(&mut self, now: Duration) {
        while let Some(handle) = self.requests.next_overdue(now) {
            self.end_request(handle, Error::TimedOut(Awaited::Response));
        }
    }

    pub(super) fn cancel_requests(&mut self) {
        for handle in self.requests.handles() {
            self.end_request(handle, Error::Cancelled);
        }
    }

    fn end_request(&mut self, handle: Handle, error: Error) {
        self.requests.remove(handle);
        self.silence_publication(handle);
        self.statistics.count(&error);
        self.events.push_back(Event::Failed { handle, error });
    }

    /// The command has ended: its publication is removed from the queue, or completes without an
    /// event.
    fn silence_publication(&mut self, handle: Handle) {
        if !self.forget_waiting(handle) && self.session.outbound.has(handle) {
            self.silent_publications.insert(handle);
        }
    }

    /// The subscription that requests wait for was refused.
    pub(super) fn fail_waiting_requests(&mut self, filter: &TopicFilter, error: &Error) {
        for (handle, chosen) in self.requests.waiting() {
            let topic = chosen.or_else(|| self.response_topic());
            if topic.is_none_or(|topic| topic.as_str() == filter.as_str()) {
                self.fail(handle, error.clone());
            }
        }
    }

    /// Reports a response to the application. Returns the message if it is not a response.
    pub(super) fn take_response(&mut self, message: Message) -> Option<Message> {
        let answered = message
            .properties
            .get()
            .and_then(|CorrelationData(correlation)| self.requests.answered(&message.topic, &correlation));
        let Some(handle) = answered else {
            // A topic of requests of this client, with Correlation Data of none of them.
            if message.properties.contains::<CorrelationData>() && self.is_response_topic(&message.topic) {
                self.statistics.responses_unexpected += 1;
                self.events.push_back(Event::UnexpectedResponse(message));
                return None;
            }
            return Some(message);
        };
        self.silence_publication(handle);
        self.events.push_back(Event::Response { handle, message });
        None
    }

    /// Whether this is the topic that the client has chosen for responses, and the application did
    /// not subscribe to it by another filter.
    fn is_response_topic(&self, topic: &TopicName) -> bool {
        self.response_topic().as_ref() == Some(topic)
            && TopicFilter::try_from(topic.as_utf8_string().clone())
                .is_ok_and(|own| self.is_for_client_only(topic, &own))
    }

    /// §4.10.2: the Server's Response Information is the root, if there is any.
    fn response_topic(&self) -> Option<TopicName> {
        let Link::Up(connection) = &self.link else { return None };
        let root = connection.response_information.as_ref().map_or("response", Utf8String::as_str);
        let name = self.client_id().as_str().replace(['+', '#'], "_");
        TopicName::try_from(format!("{}/{name}", root.trim_end_matches('/'))).ok()
    }

    /// Unique among all requests, including those of an earlier process.
    fn correlation_data(&mut self, handle: Handle) -> BinaryData {
        let mut data = handle.0.to_be_bytes().to_vec();
        data.extend_from_slice(&self.random.next_u64().to_be_bytes());
        BinaryData::try_from(data).unwrap_or_default()
    }
}

impl Publication {
    /// The response to a request, with its Response Topic and Correlation Data (§4.10).
    ///
    /// # Errors
    /// If the message has no Response Topic.
    pub fn response_to(request: &Message, payload: impl Into<bytes::Bytes>) -> Result<Self, Invalid> {
        let ResponseTopic(topic) = request.properties.get().ok_or(Invalid::NoResponseTopic)?;
        let mut response = Self::new(topic, payload).qos(request.qos);
        if let Some(correlation) = request.properties.get::<CorrelationData>() {
            response.properties.set(correlation);
        }
        Ok(response)
    }
}
