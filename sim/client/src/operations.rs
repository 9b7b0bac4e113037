//! SUBSCRIBE and UNSUBSCRIBE that wait to be sent or to be answered.
//!
//! Neither is Session State and neither is ever sent again (§4.4): when the Network Connection is lost before the answer,
//! what the application asked for goes out on the next one as a new packet with a new Packet Identifier.

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::PacketIdentifier;

use crate::command::{Handle, SubscribeRequest, UnsubscribeRequest};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Subscribe(SubscribeRequest),
    /// Subscriptions of a lost Session; no command waits for them.
    Restore(SubscribeRequest),
    /// What the client itself needs, for responses and end-to-end acknowledgements; no command waits for it.
    Own(SubscribeRequest),
    Unsubscribe(UnsubscribeRequest),
}

impl Request {
    /// What is subscribed to, if it is a SUBSCRIBE.
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
    /// `None` once the application was told that the answer is overdue.
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

    /// The next one to send.
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

    /// The answer has come. The flag tells whether the command still waits for it.
    pub(crate) fn answered(&mut self, identifier: PacketIdentifier) -> Option<(Handle, Request, bool)> {
        let sent = self.sent.remove(&identifier)?;
        Some((sent.handle, sent.request, sent.deadline.is_some()))
    }

    /// The Network Connection is over: what was not answered waits again. Gives the identifiers that are free now.
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

    /// A command whose answer is overdue at `now`. Its identifier stays in use until the answer comes.
    pub(crate) fn next_overdue(&mut self, now: Duration) -> Option<(Handle, Request)> {
        let sent =
            self.sent.values_mut().find(|sent| sent.deadline.is_some_and(|deadline| deadline <= now))?;
        sent.deadline = None;
        Some((sent.handle, sent.request.clone()))
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.sent.values().filter_map(|sent| sent.deadline).min()
    }

    /// Nothing is going to be sent: gives what was asked.
    pub(crate) fn cancel(&mut self) -> Vec<(Handle, Request)> {
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}
