//! Shared Subscriptions (§4.8.2): their members, and which of them gets a message.
//!
//! A message goes to a connected member that can receive it; the option `shared_choice` selects one
//! of these. If no member is connected, the message waits for one that is not. A member whose
//! Maximum Packet Size is too small for the message is skipped.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The complete filter, with `$share` and ShareName: ShareName and Topic Filter together
    /// identify a Shared Subscription.
    filter: TopicFilter,
    members: BTreeMap<SessionKey, Granted>,
    /// Those that have a Network Connection: there may be few among very many members.
    connected: BTreeSet<SessionKey>,
    last_chosen: Option<SessionKey>,
}

/// Whether a member can receive a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// Connected. `load` is the number of messages that wait or are in flight.
    Connected { load: usize },
    /// Not connected, or not reading.
    Disconnected { load: usize },
    /// The message is larger than its Maximum Packet Size (§3.1.2.11.4), or its user may not read
    /// it.
    Unable,
}

impl SharedSubscription {
    pub(crate) fn new(filter: TopicFilter) -> Self {
        Self { filter, members: BTreeMap::new(), connected: BTreeSet::new(), last_chosen: None }
    }

    pub(crate) fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// Adds a member, which is connected; a repeated SUBSCRIBE of a member updates it and does not
    /// count twice.
    pub(crate) fn join(&mut self, session: SessionKey, granted: Granted) {
        self.members.insert(session, granted);
        self.connected.insert(session);
    }

    pub(crate) fn leave(&mut self, session: SessionKey) {
        self.members.remove(&session);
        self.connected.remove(&session);
    }

    /// A member has a Network Connection again.
    pub(crate) fn attach(&mut self, session: SessionKey) {
        if self.members.contains_key(&session) {
            self.connected.insert(session);
        }
    }

    /// The Network Connection of a member has closed.
    pub(crate) fn detach(&mut self, session: SessionKey) {
        self.connected.remove(&session);
    }

    /// The number of members that [`choose`](Self::choose) may look at.
    pub(crate) fn effort(&self, choice: SharedChoice) -> u64 {
        let looked_at = match choice {
            SharedChoice::RoundRobin => self.connected.len(),
            SharedChoice::Random | SharedChoice::LeastLoaded => self.members.len(),
        };
        looked_at as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn connected(&self) -> impl Iterator<Item = SessionKey> {
        self.connected.iter().copied()
    }

    /// The member that gets the next message; `None` if none can take it.
    pub(crate) fn choose(
        &mut self,
        choice: SharedChoice,
        random: &mut ChaCha8Rng,
        state_of: impl Fn(SessionKey) -> Member,
    ) -> Option<(SessionKey, Granted)> {
        let chosen = match choice {
            SharedChoice::RoundRobin => self.next_in_turn(&state_of),
            SharedChoice::Random => self.drawn(random, &state_of),
            SharedChoice::LeastLoaded => self.least_loaded(&state_of),
        }?;
        self.last_chosen = Some(chosen);
        self.members.get(&chosen).map(|granted| (chosen, *granted))
    }

    /// Every member once, starting after the one that was selected last.
    fn in_turn(&self) -> impl Iterator<Item = SessionKey> {
        let after = self.last_chosen.map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = self.last_chosen.map_or(Bound::Unbounded, Bound::Included);
        let first = self.members.range((after, Bound::Unbounded));
        let then = self.members.range((Bound::Unbounded, up_to)).filter(|_| self.last_chosen.is_some());
        first.chain(then).map(|(session, _)| *session)
    }

    fn next_in_turn(&self, state_of: impl Fn(SessionKey) -> Member) -> Option<SessionKey> {
        let after = self.last_chosen.map_or(Bound::Unbounded, Bound::Excluded);
        let up_to = self.last_chosen.map_or(Bound::Unbounded, Bound::Included);
        let first = self.connected.range((after, Bound::Unbounded));
        let then = self.connected.range((Bound::Unbounded, up_to)).filter(|_| self.last_chosen.is_some());
        let is_ready = |session: &SessionKey| matches!(state_of(*session), Member::Connected { .. });
        let ready = first.chain(then).copied().find(is_ready);
        ready.or_else(|| self.in_turn().find(|session| state_of(*session) != Member::Unable))
    }

    fn drawn(&self, random: &mut ChaCha8Rng, state_of: impl Fn(SessionKey) -> Member) -> Option<SessionKey> {
        let states: Vec<_> = self.members.keys().map(|session| (*session, state_of(*session))).collect();
        let connected = states.iter().filter(|(_, member)| matches!(member, Member::Connected { .. }));
        let disconnected = states.iter().filter(|(_, member)| matches!(member, Member::Disconnected { .. }));
        let mut candidates: Vec<_> = connected.map(|(session, _)| *session).collect();
        if candidates.is_empty() {
            candidates = disconnected.map(|(session, _)| *session).collect();
        }
        let count = u64::try_from(candidates.len()).ok().filter(|count| *count > 0)?;
        // The bias of the remainder is below one in 2^40 for any possible number of members.
        let place = random.next_u64() % count;
        candidates.get(usize::try_from(place).ok()?).copied()
    }

    fn least_loaded(&self, state_of: impl Fn(SessionKey) -> Member) -> Option<SessionKey> {
        let scored = self.in_turn().filter_map(|session| match state_of(session) {
            Member::Connected { load } => Some(((false, load), session)),
            Member::Disconnected { load } => Some(((true, load), session)),
            Member::Unable => None,
        });
        // The first of equal ones, so that they take turns.
        scored.min_by_key(|(score, _)| *score).map(|(_, session)| session)
    }
}

impl Member {
    pub(crate) fn state_of(
        key: SessionKey,
        sessions: &BTreeMap<SessionKey, Box<Session>>,
        connections: &BTreeMap<ConnectionId, Connection>,
        message: &Message,
    ) -> Self {
        let Some(session) = sessions.get(&key) else { return Self::Unable };
        if !session.permissions.may_receive(&message.topic) {
            return Self::Unable;
        }
        let load = session.outbound.load();
        let Some(connection) = session.connection.and_then(|id| connections.get(&id)) else {
            return Self::Disconnected { load };
        };
        // A lower bound of the size of the PUBLISH, in which an alias may replace the topic.
        let topic = match connection.aliases_to_client.get(&message.topic) {
            Some(_) => 0,
            None => message.topic.as_bytes().len() as u64,
        };
        let least = message.weight() - message.topic.as_bytes().len() as u64 + topic;
        let too_large = connection.client.maximum_packet_size.is_some_and(|maximum| least > maximum.into());
        match (too_large, connection.congested) {
            (true, _) => Self::Unable,
            (false, true) => Self::Disconnected { load },
            (false, false) => Self::Connected { load },
        }
    }

    /// Whether the member is connected and reads.
    pub(crate) fn is_connected(
        key: SessionKey,
        sessions: &BTreeMap<SessionKey, Box<Session>>,
        connections: &BTreeMap<ConnectionId, Connection>,
    ) -> bool {
        let connection =
            sessions.get(&key).and_then(|session| session.connection).and_then(|id| connections.get(&id));
        connection.is_some_and(|connection| !connection.congested)
    }
}
