//! Removes the Subscriptions of a Session that has ended, in parts.
//!
//! A Session may have 100,000 Subscriptions. If it has more than [`AT_ONCE`], they are removed in
//! parts, and other work is done between the parts. The Session itself is gone, so a message that
//! matches one of them meanwhile is not delivered.

use std::time::Duration;

use crate::broker::Broker;
use crate::memory;
use crate::parts::Leaving;
use crate::session::{Session, SessionKey};
use crate::timers::Timer;

/// The number of levels of Topic Filters that are removed at once.
const AT_ONCE: usize = 16_000;

impl Broker {
    /// Removes all Subscriptions of a Session that is no longer one of the broker's.
    pub(crate) fn forget_subscriptions(&mut self, now: Duration, key: SessionKey, session: &mut Session) {
        let filters: Vec<_> = session
            .subscriptions
            .iter()
            .map(|(filter, subscription)| (filter.clone(), subscription.shared))
            .collect();
        if filters.is_empty() {
            return;
        }
        let charge = std::mem::take(&mut session.charge);
        self.leaving.push_back(Leaving::new(key, filters, charge));
        if self.leaving.len() == 1 {
            self.run_leaving(now);
        }
    }

    /// The timer has fired, or a Session has ended.
    pub(crate) fn run_leaving(&mut self, now: Duration) {
        let mut left = AT_ONCE;
        while let Some(leaving) = self.leaving.front_mut().filter(|_| left > 0) {
            let Some((filter, is_shared)) = leaving.filters.pop() else {
                self.leaving.pop_front();
                continue;
            };
            let levels = memory::levels(&filter);
            left = left.saturating_sub(levels);
            self.effort += levels as u64;
            if is_shared {
                self.subscriptions.remove_shared(&filter, leaving.session);
            } else {
                self.subscriptions.remove(filter.as_bytes(), leaving.session);
            }
        }
        if self.leaving.front().is_some_and(|leaving| leaving.filters.is_empty()) {
            self.leaving.pop_front();
        }
        if !self.leaving.is_empty() {
            self.timers.set(Timer::Leaving, now.saturating_add(Duration::from_nanos(1)));
        }
    }
}
