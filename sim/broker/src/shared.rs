//! Shared Subscriptions (§4.8.2): who its members are and which of them gets a message.
//!
//! A message goes to a member that is connected and can take it; within those, as the option `shared_choice`
//! says. If none is connected it waits for one that is away. A member for whom the message is too large is
//! passed over.

use std::collections::BTreeMap;
use std::ops::Bound;

use mqttspec_codec::TopicFilter;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::ConnectionId;
use crate::connection::Connection;
use crate::message::Message;
use crate::options::SharedChoice;
use crate::session::{Session, SessionKey};
use crate::topic::Granted;

#[derive(Debug)]
pub(crate) struct SharedSubscription {
    /// The whole of it, with `$share` and ShareName: their pair identifies a Shared Subscription.
    filter: TopicFilter,
    members: BTreeMap<SessionKey, Granted>,
    last_chosen: Option<SessionKey>,
}

/// How well a member can take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// Connected; with so many messages waiting or in flight.
    There { load: usize },
    /// Without Network Connection.
    Away { load: usize },
    /// The message is larger than its Maximum Packet Size (§3.1.2.11.4).
    Unable,
}

impl SharedSubscription {
    pub(crate) fn new(filter: TopicFilter) -> Self {
        Self { filter, members: BTreeMap::new(), last_chosen: None }
    }

    pub(crate) fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// Adds a member; a repeated SUBSCRIBE of a member updates it and does not count twice.
    pub(crate) fn join(&mut self, session: SessionKey, granted: Granted) {
        self.members.insert(session, granted);
    }

    pub(crate) fn leave(&mut self, session: SessionKey) {
        self.members.remove(&session);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = SessionKey> {
        self.members.keys().copied()
    }

    /// The member that gets the next message; `None` if none can take it.
    pub(crate) fn choose(
        &mut self,
        choice: SharedChoice,
        random: &mut ChaCha8Rng,
        look_at: impl Fn(SessionKey) -> Member,
    ) -> Option<(SessionKey, Granted)> {
        let chosen = match choice {
            SharedChoice::RoundRobin => self.next_in_turn(&look_at),
            SharedChoice::Random => self.drawn(random, &look_at),
            SharedChoice::LeastLoaded => self.least_loaded(&look_at),
        }?;
        self.last_chosen = Some(chosen);
        self.members.get(&chosen).map(|granted| (chosen, *granted))
    }

    /// Everybody once, beginning behind the member chosen last.
    fn in_turn(&self) -> impl Iterator<Item = SessionKey> {
        let behind = self.last_chosen.map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = self.last_chosen.map_or(Bound::Unbounded, Bound::Included);
        let first = self.members.range((behind, Bound::Unbounded));
        let then = self.members.range((Bound::Unbounded, up_to)).filter(|_| self.last_chosen.is_some());
        first.chain(then).map(|(session, _)| *session)
    }

    fn next_in_turn(&self, look_at: impl Fn(SessionKey) -> Member) -> Option<SessionKey> {
        let mut away = None;
        for session in self.in_turn() {
            match look_at(session) {
                Member::There { .. } => return Some(session),
                Member::Away { .. } => away = away.or(Some(session)),
                Member::Unable => {}
            }
        }
        away
    }

    fn drawn(&self, random: &mut ChaCha8Rng, look_at: impl Fn(SessionKey) -> Member) -> Option<SessionKey> {
        let looked_at: Vec<_> = self.members().map(|session| (session, look_at(session))).collect();
        let there = looked_at.iter().filter(|(_, member)| matches!(member, Member::There { .. }));
        let away = looked_at.iter().filter(|(_, member)| matches!(member, Member::Away { .. }));
        let mut candidates: Vec<_> = there.map(|(session, _)| *session).collect();
        if candidates.is_empty() {
            candidates = away.map(|(session, _)| *session).collect();
        }
        let count = u64::try_from(candidates.len()).ok().filter(|count| *count > 0)?;
        // The bias of the remainder is below one in 2^40 for any number of members there can be.
        let place = random.next_u64() % count;
        candidates.get(usize::try_from(place).ok()?).copied()
    }

    fn least_loaded(&self, look_at: impl Fn(SessionKey) -> Member) -> Option<SessionKey> {
        let scored = self.in_turn().filter_map(|session| match look_at(session) {
            Member::There { load } => Some(((false, load), session)),
            Member::Away { load } => Some(((true, load), session)),
            Member::Unable => None,
        });
        // The first of equals, so that they take turns.
        scored.min_by_key(|(score, _)| *score).map(|(_, session)| session)
    }
}

impl Member {
    pub(crate) fn look_at(
        key: SessionKey,
        sessions: &BTreeMap<SessionKey, Box<Session>>,
        connections: &BTreeMap<ConnectionId, Connection>,
        message: &Message,
    ) -> Self {
        let Some(session) = sessions.get(&key) else { return Self::Unable };
        let load = session.outbound.load();
        let Some(connection) = session.connection.and_then(|id| connections.get(&id)) else {
            return Self::Away { load };
        };
        // What the PUBLISH holds at least: an alias may stand for the topic.
        let topic = match connection.aliases_to_client.get(&message.topic) {
            Some(_) => 0,
            None => message.topic.as_bytes().len() as u64,
        };
        let least = message.weight() - message.topic.as_bytes().len() as u64 + topic;
        let too_large = connection.client.maximum_packet_size.is_some_and(|maximum| least > maximum.into());
        match (too_large, connection.congested) {
            (true, _) => Self::Unable,
            (false, true) => Self::Away { load },
            (false, false) => Self::There { load },
        }
    }

    /// Whether the member is connected and takes messages.
    pub(crate) fn is_there(
        key: SessionKey,
        sessions: &BTreeMap<SessionKey, Box<Session>>,
        connections: &BTreeMap<ConnectionId, Connection>,
    ) -> bool {
        let connection =
            sessions.get(&key).and_then(|session| session.connection).and_then(|id| connections.get(&id));
        connection.is_some_and(|connection| !connection.congested)
    }
}
