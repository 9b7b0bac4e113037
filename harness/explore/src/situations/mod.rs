//! Situations: small scenarios about one or two features, with drawn values. The long scenarios of
//! `moves` mix everything, so that a rare combination, such as a Will with a delay that is longer
//! than its Session, is drawn in few of them. Many short runs find such a case sooner.
//!
//! Lines that expect something are set-up: they make sure that the run reaches the situation. The
//! monitors and the history model judge it. Only what they cannot know is a claim, for example that
//! a drawn signature is wrong.

mod client;
mod connecting;
mod delivering;
mod publishing;
mod script;
mod subscribing;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mqttspec_codec::{Role, Version};
use mqttspec_world::{Draw, Seed};

use crate::features::Feature;
use crate::live_server::LiveServer;

/// A situation, by its place in the list of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation(usize);

/// One entry of the list.
struct Entry {
    name: &'static str,
    tests: Role,
    /// Only for MQTT 5.
    only_5: bool,
    over_websocket: bool,
    /// The features that must be allowed.
    needs: &'static [Feature],
    write: fn(&mut Sketch),
}

impl Entry {
    const fn server(name: &'static str, needs: &'static [Feature], write: fn(&mut Sketch)) -> Self {
        Self { name, tests: Role::Server, only_5: false, over_websocket: false, needs, write }
    }

    const fn client(name: &'static str, needs: &'static [Feature], write: fn(&mut Sketch)) -> Self {
        Self { tests: Role::Client, ..Self::server(name, needs, write) }
    }

    const fn only_5(self) -> Self {
        Self { only_5: true, ..self }
    }

    const fn over_websocket(self) -> Self {
        Self { over_websocket: true, ..self }
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    [connecting::ENTRIES, publishing::ENTRIES, subscribing::ENTRIES, delivering::ENTRIES, client::ENTRIES]
        .into_iter()
        .flatten()
}

impl Situation {
    /// Draws a situation of the role and the version whose features are all allowed.
    pub(crate) fn draw(
        draw: &mut Draw,
        tests: Role,
        version: Version,
        allowed: impl Fn(Feature) -> bool,
    ) -> Option<Self> {
        let fits = |entry: &Entry| {
            entry.tests == tests
                && (version.is_5() || !entry.only_5)
                && entry.needs.iter().all(|feature| allowed(*feature))
        };
        let fitting: Vec<usize> =
            entries().enumerate().filter(|(_, entry)| fits(entry)).map(|(number, _)| number).collect();
        draw.pick(&fitting).copied().map(Self)
    }

    fn entry(self) -> Option<&'static Entry> {
        entries().nth(self.0)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.name)
    }

    /// Writes the scenario of a seed.
    pub(crate) fn sketch(self, seed: u64, version: Version, live: Option<LiveServer>) -> Sketch {
        let draw = Seed::new(seed).child("moves").draw();
        let mut sketch = Sketch {
            version,
            live,
            draw,
            header: String::new(),
            body: String::new(),
            claims: BTreeSet::new(),
            messages: 0,
            over_websocket: false,
        };
        if let Some(entry) = self.entry() {
            sketch.over_websocket = entry.over_websocket;
            (entry.write)(&mut sketch);
            sketch.mark_the_end(entry.tests);
        }
        sketch
    }
}

/// A scenario that is being written.
pub(crate) struct Sketch {
    version: Version,
    /// The server, if it is a live one.
    live: Option<LiveServer>,
    draw: Draw,
    /// The lines `broker` and `client`.
    pub(crate) header: String,
    pub(crate) body: String,
    pub(crate) claims: BTreeSet<&'static str>,
    pub(crate) over_websocket: bool,
    messages: u64,
}

impl Sketch {
    fn is_5(&self) -> bool {
        self.version.is_5()
    }

    /// A QoS, or the highest that the server grants.
    fn granted(&self, qos: u64) -> u64 {
        self.live.map_or(qos, |server| qos.min(server.maximum_qos))
    }

    /// A Keep Alive, or another one if the server does not accept 0.
    fn accepted(&self, keep_alive: u64, other: u64) -> u64 {
        match self.live {
            Some(server) if keep_alive == 0 && !server.accepts_keep_alive_0 => other,
            _ => keep_alive,
        }
    }

    /// Whether the server may be sent malformed packets.
    fn takes_malformed(&self) -> bool {
        self.live.is_none_or(|server| server.takes_malformed)
    }

    fn line(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.body, "{}", line.as_ref());
    }

    /// A last event. The history model judges what did not happen up to the time of the last event.
    fn mark_the_end(&mut self, tests: Role) {
        match tests {
            Role::Server => self.line("end opens"),
            Role::Client => self.line("ask device publish end \"end\" qos=0"),
        }
        self.line("wait 10ms");
    }

    fn declare(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.header, "{}", line.as_ref());
    }

    /// An expected line that shows a clause.
    fn claim(&mut self, line: impl AsRef<str>, clause: &'static str) {
        self.claims.insert(clause);
        self.line(format!("{} shows {clause}", line.as_ref()));
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.draw.below(100) < percent
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.draw.below(limit)
    }

    fn one<'t>(&mut self, items: &[&'t str]) -> &'t str {
        self.draw.pick(items).copied().unwrap_or_default()
    }

    fn number(&mut self, items: &[u64]) -> u64 {
        self.draw.pick(items).copied().unwrap_or_default()
    }

    /// A text, in a part of the cases.
    fn maybe<'t>(&mut self, percent: u64, text: &'t str) -> &'t str {
        if self.chance(percent) { text } else { "" }
    }

    /// A text for 5.0 only.
    fn if_5<'t>(&self, text: &'t str) -> &'t str {
        if self.is_5() { text } else { "" }
    }

    /// A payload that no other message has.
    fn payload(&mut self) -> String {
        self.messages += 1;
        format!("\"m{}\"", self.messages)
    }
}
