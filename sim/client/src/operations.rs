//! SUBSCRIBE and UNSUBSCRIBE requests that wait to be sent or answered.
//!
//! They are not Session State and are never re-sent (§4.4). If the Network Connection is lost
//! before the answer, the request is sent on the next one as a new packet with a new Packet
//! Identifier.

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::PacketIdentifier;

use crate::command::{Handle, SubscribeRequest, UnsubscribeRequest};

/// A request.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Subscribe(SubscribeRequest),
    /// Restores subscriptions of a lost Session; no command waits for it.
    Restore(SubscribeRequest),
    /// A subscription for the client itself, for responses and end-to-end acknowledgements; no
    /// command waits for it.
    Own(SubscribeRequest),
    Unsubscribe(UnsubscribeRequest),
}

impl Request {
    /// The subscriptions, if it is a SUBSCRIBE.
    pub(crate) fn subscribe(&self) -> Option<&SubscribeRequest> {
        match self {
            Self::Subscribe(request) | Self::Restore(request) | Self::Own(request) => Some(request),
            Self::Unsubscribe(_) => None,
        }
    }
}

#[derive(Debug)]
struct Sent {
    handle: Handle,
    request: Request,
    /// `None` after the timeout was reported to the application.
    deadline: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Operations {
    waiting: BTreeMap<Handle, Request>,
    sent: BTreeMap<PacketIdentifier, Sent>,
}

impl Operations {
    pub(crate) fn insert(&mut self, handle: Handle, request: Request) {
        self.waiting.insert(handle, request);
    }

    /// Removes and returns the next request to send.
    pub(crate) fn pop_waiting(&mut self) -> Option<(Handle, Request)> {
        self.waiting.pop_first()
    }

    pub(crate) fn sent(
        &mut self,
        identifier: PacketIdentifier,
        handle: Handle,
        request: Request,
        deadline: Duration,
    ) {
        self.sent.insert(identifier, Sent { handle, request, deadline: Some(deadline) });
    }

    pub(crate) fn request(&self, identifier: PacketIdentifier) -> Option<&Request> {
        self.sent.get(&identifier).map(|sent| &sent.request)
    }

    /// The answer was received. The flag is whether the command still waits for it.
    pub(crate) fn answered(&mut self, identifier: PacketIdentifier) -> Option<(Handle, Request, bool)> {
        let sent = self.sent.remove(&identifier)?;
        Some((sent.handle, sent.request, sent.deadline.is_some()))
    }

    /// The Network Connection has ended: requests without answer wait again. Returns the
    /// identifiers that are free now.
    pub(crate) fn connection_closed(&mut self) -> Vec<PacketIdentifier> {
        let sent = std::mem::take(&mut self.sent);
        sent.into_iter()
            .map(|(identifier, sent)| {
                let restores = matches!(sent.request, Request::Restore(_));
                if sent.deadline.is_some() && !restores {
                    self.waiting.insert(sent.handle, sent.request);
                }
                identifier
            })
            .collect()
    }

    /// A command whose answer is overdue at `now`. Its identifier stays in use until the answer is
    /// received.
    pub(crate) fn next_overdue(&mut self, now: Duration) -> Option<(Handle, Request)> {
        let sent =
            self.sent.values_mut().find(|sent| sent.deadline.is_some_and(|deadline| deadline <= now))?;
        sent.deadline = None;
        Some((sent.handle, sent.request.clone()))
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.sent.values().filter_map(|sent| sent.deadline).min()
    }

    /// Removes and returns all waiting requests.
    pub(crate) fn cancel(&mut self) -> Vec<(Handle, Request)> {
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}
