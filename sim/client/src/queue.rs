//! Messages that wait for a Network Connection or for send quota, in the order of their commands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mqttspec_codec::{MessageExpiryInterval, QoS};

use crate::command::{Handle, Publication};

/// One message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) publication: Publication,
    pub(crate) qos: QoS,
    pub(crate) accepted_at: Duration,
}

impl Waiting {
    /// When the message expires (§3.3.2.3.3).
    fn expires_at(&self) -> Option<Duration> {
        let MessageExpiryInterval(seconds) = self.publication.properties.get()?;
        Some(self.accepted_at + Duration::from_secs(seconds.into()))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Handle, Waiting>,
    at_most_once: BTreeSet<Handle>,
    expiries: BTreeSet<(Duration, Handle)>,
}

impl Queue {
    pub(crate) fn insert(&mut self, handle: Handle, message: Waiting) {
        if message.qos == QoS::AtMostOnce {
            self.at_most_once.insert(handle);
        }
        if let Some(expires_at) = message.expires_at() {
            self.expiries.insert((expires_at, handle));
        }
        self.waiting.insert(handle, message);
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Waiting> {
        let message = self.waiting.remove(&handle)?;
        self.at_most_once.remove(&handle);
        if let Some(expires_at) = message.expires_at() {
            self.expiries.remove(&(expires_at, handle));
        }
        Some(message)
    }

    /// The oldest message, or the oldest one of QoS 0, which needs no send quota (§4.9).
    pub(crate) fn first(&self, at_most_once_only: bool) -> Option<(Handle, &Waiting)> {
        let handle =
            if at_most_once_only { *self.at_most_once.first()? } else { *self.waiting.first_key_value()?.0 };
        Some((handle, self.waiting.get(&handle)?))
    }

    /// A message that has expired by `now`.
    pub(crate) fn next_expired(&self, now: Duration) -> Option<Handle> {
        self.expiries.first().filter(|&&(at, _)| at <= now).map(|&(_, handle)| handle)
    }

    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.expiries.first().map(|&(at, _)| at)
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&Waiting> {
        self.waiting.get(&handle)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
