//! A small ordered map from Session to granted Subscription.
//!
//! Nearly every Topic Filter has one subscriber and a few have a hundred thousand, so few are kept in a
//! sorted vector (16 bytes each) and many in a tree. Either way they are visited in the order of their
//! Sessions.

use std::collections::{BTreeMap, btree_map};
use std::slice;

use super::Granted;
use crate::session::SessionKey;

/// More than this many are kept in a tree.
const FEW: usize = 32;

#[derive(Debug)]
pub(crate) enum Subscribers {
    Few(Vec<(SessionKey, Granted)>),
    Many(BTreeMap<SessionKey, Granted>),
}

impl Subscribers {
    pub(crate) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }

    pub(crate) fn insert(&mut self, session: SessionKey, granted: Granted) {
        match self {
            Self::Few(few) => match few.binary_search_by_key(&session, |(key, _)| *key) {
                Ok(at) => few[at].1 = granted,
                Err(at) => {
                    if few.len() == FEW {
                        let mut many: BTreeMap<_, _> = few.drain(..).collect();
                        many.insert(session, granted);
                        *self = Self::Many(many);
                    } else {
                        few.reserve_exact(usize::from(few.is_empty()));
                        few.insert(at, (session, granted));
                    }
                }
            },
            Self::Many(many) => {
                many.insert(session, granted);
            }
        }
    }

    pub(crate) fn remove(&mut self, session: SessionKey) {
        match self {
            Self::Few(few) => {
                if let Ok(at) = few.binary_search_by_key(&session, |(key, _)| *key) {
                    few.remove(at);
                }
            }
            Self::Many(many) => {
                many.remove(&session);
                // Well below the border, so that a member who comes and goes does not rebuild it each time.
                if many.len() < FEW / 2 {
                    *self = Self::Few(many.iter().map(|(key, granted)| (*key, *granted)).collect());
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        match self {
            Self::Few(few) => Iter::Few(few.iter()),
            Self::Many(many) => Iter::Many(many.iter()),
        }
    }
}

pub(crate) enum Iter<'a> {
    Few(slice::Iter<'a, (SessionKey, Granted)>),
    Many(btree_map::Iter<'a, SessionKey, Granted>),
}

impl Iterator for Iter<'_> {
    type Item = (SessionKey, Granted);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(few) => few.next().copied(),
            Self::Many(many) => many.next().map(|(session, granted)| (*session, *granted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_subscribers_are_visited_in_order() {
        let mut subscribers = Subscribers::new();
        for number in (0..100).rev() {
            subscribers.insert(SessionKey(number), Granted::at(mqttspec_codec::QoS::AtLeastOnce));
        }
        assert!(matches!(subscribers, Subscribers::Many(_)));
        let order: Vec<_> = subscribers.iter().map(|(session, _)| session.0).collect();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        for number in 0..95 {
            subscribers.remove(SessionKey(number));
        }
        assert!(matches!(subscribers, Subscribers::Few(_)));
        assert_eq!(subscribers.iter().count(), 5);
        for number in 95..100 {
            subscribers.remove(SessionKey(number));
        }
        assert!(subscribers.is_empty());
    }
}
