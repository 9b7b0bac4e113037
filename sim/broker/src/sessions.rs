//! The life cycle of Sessions: creation, disconnection, resumption, end (§3.1.2.4, §3.1.2.11.2,
//! §4.1).

use std::time::Duration;

use mqttspec_codec::Utf8String;

use crate::broker::Broker;
use crate::connection_id::ConnectionId;
use crate::event::{Event, SessionEnd};
use crate::session::{Session, SessionKey};
use crate::timers::Timer;
use crate::will::WillFate;

impl Broker {
    pub(crate) fn create_session(&mut self, client_id: &Utf8String) -> SessionKey {
        self.next_session += 1;
        let key = SessionKey(self.next_session);
        // A copy of its own: the Session may outlive the packet's buffer by far.
        let client_id = client_id.detached();
        self.output.event(Event::SessionCreated { client_id: client_id.clone() });
        self.session_keys.insert(client_id.clone(), key);
        self.sessions.insert(key, Box::new(Session::new(client_id, &self.memory)));
        key
    }

    /// A Client resumes its Session.
    pub(crate) fn resume_session(&mut self, key: SessionKey, id: ConnectionId) {
        self.timers.cancel(Timer::SessionExpiry(key));
        self.cancel_will(key);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.ends_at = None;
            session.connection = Some(id);
            self.output.event(Event::SessionResumed { client_id: session.client_id.clone() });
        }
        self.note_connection_of_member(key);
    }

    /// The Network Connection of a Session has closed.
    pub(crate) fn detach_session(&mut self, now: Duration, key: SessionKey, will: WillFate) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        session.connection = None;
        self.note_connection_of_member(key);
        self.settle_will(now, key, will);
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if session.expiry_interval == 0 {
            // [MQTT-4.1.0-2] 3.1.1/[MQTT-3.1.2-6]
            self.end_session(now, key, SessionEnd::Expired);
            return;
        }
        // [MQTT-3.1.2-23] 3.1.1/[MQTT-4.1.0-1] the Session State is kept
        session.ends_at = session.end_after_close(now);
        if let Some(at) = session.ends_at {
            self.timers.set(Timer::SessionExpiry(key), at);
        }
        self.records.put_session(key, session);
        self.reassign_waiting_shared(now, key);
    }

    /// [MQTT-4.1.0-1] 3.1.1/[MQTT-4.1.0-2] Only for Sessions without Network Connection.
    ///
    /// Ends a Session and everything that belongs to it. Retained messages do not belong to it
    /// (3.1.1/[MQTT-3.1.2-7]).
    pub(crate) fn end_session(&mut self, now: Duration, key: SessionKey, why: SessionEnd) {
        // [MQTT-3.1.2-8] the Will Message is published no later than this
        self.publish_will(now, key);
        let Some(session) = self.sessions.remove(&key) else { return };
        self.session_keys.remove(&session.client_id);
        self.timers.cancel(Timer::SessionExpiry(key));
        self.timers.cancel(Timer::WillDelay(key));
        self.records.delete_session(key);
        self.routings.note_ended(key);
        self.output.event(Event::SessionEnded { client_id: session.client_id.clone(), why });
        self.leave(now, key, *session);
    }
}
