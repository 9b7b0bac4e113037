//! Writes the actions of the peers in a generated scenario. Most are valid in the state that the
//! writer tracks. Some are stale (an old Packet Identifier, a second acknowledgement), and some are
//! malformed.

mod faults;
pub(crate) mod malformed;
mod raw;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mqttspec_world::Draw;

use crate::features::Feature;
use crate::swarm::Swarm;
use raw::RawHost;

const TOPICS: [&str; 6] = ["t/a", "t/b", "t/a/x", "t/", "u", "u/b"];
const FILTERS: [&str; 9] = ["t/a", "t/b", "t/+", "t/#", "\"#\"", "+/b", "u", "u/b", "t/a/x"];

/// Topics that are easily taken for others: by case, by an accent in one or two characters, by
/// their width, and with a `$`.
const ODD_TOPICS: [&str; 8] = [
    "T/a",
    "/t/a",
    "t/b/",
    "\"caf\\u{e9}\"",
    "\"cafe\\u{301}\"",
    "\"\\u{ff54}/a\"",
    "\"\\u{feff}t/a\"",
    "$x/a",
];

/// Writes the body of a scenario.
pub(crate) struct Writer<'s> {
    swarm: &'s Swarm,
    draw: Draw,
    body: String,
    clients: Vec<Client>,
    raws: Vec<RawHost>,
    /// The number of payloads; each is used once.
    messages: u64,
    server_runs: bool,
    /// What the broker is configured to, as options of the scenario.
    broker: Vec<String>,
    /// The Topic Alias Maximum, the highest QoS, and whether the Server retains messages.
    limits: Limits,
    /// The clauses that lines of the body show.
    claims: BTreeSet<&'static str>,
}

/// What the Server announces in CONNACK.
struct Limits {
    aliases: u64,
    qos: u64,
    retains: bool,
    /// Whether it limits the size of packets: then it may refuse a CONNECT that it has not read.
    size: bool,
}

/// A host with the reference client.
struct Client {
    name: String,
    connected: bool,
    runs: bool,
    stalled: bool,
    authenticates: bool,
    filters: Vec<&'static str>,
}

impl<'s> Writer<'s> {
    pub(crate) fn new(swarm: &'s Swarm, draw: Draw) -> Self {
        let client = |number| Client {
            name: format!("d{number}"),
            connected: true,
            runs: true,
            stalled: false,
            authenticates: false,
            filters: Vec::new(),
        };
        Self {
            swarm,
            draw,
            body: String::new(),
            clients: (1..=swarm.clients).map(client).collect(),
            raws: (1..=swarm.raw).map(RawHost::new).collect(),
            messages: 0,
            server_runs: true,
            broker: Vec::new(),
            limits: swarm.live.map_or(Limits { aliases: 10, qos: 2, retains: true, size: false }, |server| {
                Limits {
                    aliases: server.topic_alias_maximum,
                    qos: server.maximum_qos,
                    retains: server.retains,
                    size: false,
                }
            }),
            claims: BTreeSet::new(),
        }
    }

    /// The declarations of clients and all steps.
    pub(crate) fn body(&self) -> &str {
        &self.body
    }

    /// The options of the broker.
    pub(crate) fn broker(&self) -> &[String] {
        &self.broker
    }

    /// The clauses that lines of the body show.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &'static str> {
        self.claims.iter().copied()
    }

    /// An expected line that shows a clause.
    fn claim(&mut self, line: &str, clause: &'static str) {
        self.claims.insert(clause);
        self.line(&format!("{line} shows {clause}"));
    }

    /// Draws how the Server is configured.
    fn configure(&mut self) {
        let is_5 = self.swarm.version.is_5();
        if self.is_live() {
            return;
        }
        if self.swarm.has(Feature::Durable) {
            self.broker.push("store=durable".to_owned());
        }
        let allowed = match self.swarm.has(Feature::Permissions) {
            true => "; publish t/#",
            false => "",
        };
        if self.swarm.has(Feature::Auth) || self.swarm.has(Feature::Permissions) {
            self.broker.push(format!("users=\"user alice password secret; anonymous{allowed}\""));
        }
        if self.swarm.has(Feature::Characters) {
            self.broker.push("dollar_topics=accept".to_owned());
        }
        if !is_5 || !self.swarm.has(Feature::Limits) {
            return;
        }
        if self.draw.below(2) == 0 {
            self.limits.aliases = self.draw.below(4);
            self.broker.push(format!("topic_alias_maximum={}", self.limits.aliases));
        }
        if self.draw.below(2) == 0 {
            let maximum = 1 + self.draw.below(3);
            self.broker.push(format!("receive_maximum={maximum}"));
        }
        if self.draw.below(3) == 0 {
            self.limits.qos = self.draw.below(2);
            self.broker.push(format!("maximum_qos={}", self.limits.qos));
        }
        if self.draw.below(3) == 0 {
            self.limits.retains = false;
            self.broker.push("retain_available=0".to_owned());
        }
        // A packet of an authentication cannot be made smaller.
        if !self.swarm.has(Feature::Auth) && self.draw.below(3) == 0 {
            self.limits.size = true;
            let maximum = 60 + self.draw.below(60);
            self.broker.push(format!("maximum_packet_size={maximum}"));
        }
        if self.draw.below(3) == 0 {
            let keep_alive = 2 + self.draw.below(6);
            self.broker.push(format!("server_keep_alive={keep_alive}"));
        }
        if self.draw.below(3) == 0 {
            self.broker.push("maximum_subscriptions=2".to_owned());
        }
        if self.draw.below(3) == 0 {
            self.broker.push("response_information=answers/".to_owned());
        }
    }

    fn is_live(&self) -> bool {
        self.swarm.live.is_some()
    }

    /// One text for a simulation, and another one for a live server.
    fn timed<'t>(&self, simulated: &'t str, live: &'t str) -> &'t str {
        if self.is_live() { live } else { simulated }
    }

    /// The Keep Alive that turns the mechanism off, or is too long to matter.
    fn no_keep_alive(&self) -> u64 {
        if self.swarm.live.is_some_and(|server| !server.accepts_keep_alive_0) { 600 } else { 0 }
    }

    fn alias_maximum(&self) -> u64 {
        self.limits.aliases
    }

    fn topic(&mut self) -> &'static str {
        if self.has(Feature::Characters, 30) { self.pick(&ODD_TOPICS) } else { self.pick(&TOPICS) }
    }

    fn any_filter(&mut self) -> &'static str {
        match self.has(Feature::Characters, 25) {
            true => self.pick(&["\"caf\\u{e9}\"", "\"cafe\\u{301}\"", "+/a", "$x/#", "T/a", "\"#\"", "t/b/"]),
            false => self.pick(&FILTERS),
        }
    }

    fn pick(&mut self, items: &[&'static str]) -> &'static str {
        self.draw.pick(items).copied().unwrap_or_default()
    }

    pub(crate) fn safety_phase(&mut self) {
        self.configure();
        self.declare();
        self.body.push('\n');
        if self.swarm.has(Feature::Latency) {
            self.line("latency all 1ms..40ms");
        }
        // Most runs need subscriptions before anything else is of interest.
        for client in 0..self.clients.len() {
            if self.draw.below(4) > 0 {
                self.subscribe(client);
            } else {
                self.publish(client);
            }
        }
        for _ in 0..self.swarm.steps {
            self.step();
        }
    }

    /// Heals everything, connects everyone, and waits for quiet.
    pub(crate) fn liveness_phase(&mut self) {
        self.body.push('\n');
        if !self.server_runs {
            self.line("start broker");
        }
        self.line("heal all");
        for index in 0..self.clients.len() {
            let client = &self.clients[index];
            let (name, runs, stalled, connected) =
                (client.name.clone(), client.runs, client.stalled, client.connected);
            if !runs {
                self.line(&format!("start {name}"));
            }
            if stalled {
                self.line(&format!("resume {name}"));
            }
            if !connected {
                self.line(&format!("ask {name} connect"));
            }
        }
        if self.swarm.has(Feature::Profile) {
            // A fault profile may leave a half-open connection. Its open end detects that only
            // after the Keep Alive.
            for index in 0..self.clients.len() {
                let name = &self.clients[index].name;
                let line = format!("cut {name}");
                self.line(&line);
            }
        }
        let short = self.timed("wait 15s", "wait 8s");
        let wait = if self.has(Feature::LongWait, 50) { "wait 11m" } else { short };
        self.line(wait);
        // A last message to every topic shows which subscriptions are in force.
        for topic in TOPICS {
            let publisher = self.below(self.clients.len());
            let payload = self.payload();
            let name = &self.clients[publisher].name;
            let line = format!("ask {name} publish {topic} {payload} qos=1");
            self.line(&line);
        }
        // A message that need not be delivered may keep the run from becoming quiet. Only the
        // delivery checks need every message.
        let quiet = self.timed("wait for quiet 300s", "wait for quiet 30s");
        self.line(if self.swarm.is_calm() {
            quiet
        } else {
            self.timed("wait for quiet 20s", "wait for quiet 10s")
        });
        self.line(self.timed("wait 5s", "wait 8s"));
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.body, "{line}");
    }

    /// A wait for what the Server must do. On a live server, most are left out: what it does is seen
    /// until the end of the run anyway.
    fn wait_long(&mut self, simulated: &str, live: &str) {
        if !self.is_live() {
            self.line(simulated);
        } else if self.draw.below(6) == 0 {
            self.line(live);
        } else {
            self.line("wait 500ms");
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.draw.below(limit as u64)).unwrap_or(0)
    }

    fn has(&mut self, feature: Feature, percent: u64) -> bool {
        self.swarm.has(feature) && self.draw.below(100) < percent
    }

    fn one<'a>(&mut self, items: &[&'a str]) -> &'a str {
        self.draw.pick(items).copied().unwrap_or_default()
    }

    fn payload(&mut self) -> String {
        self.messages += 1;
        format!("\"m{}\"", self.messages)
    }

    fn qos(&mut self) -> u64 {
        let levels: Vec<u64> = [Feature::Qos0, Feature::Qos1, Feature::Qos2]
            .into_iter()
            .zip(0..)
            .filter(|(feature, _)| self.swarm.has(*feature))
            .map(|(_, qos)| qos)
            .collect();
        self.draw.pick(&levels).copied().unwrap_or(1)
    }

    fn declare(&mut self) {
        let is_5 = self.swarm.version.is_5();
        for index in 0..self.clients.len() {
            let name = self.clients[index].name.clone();
            let mut options = "clean_start=0 reconnect_attempts=0".to_owned();
            let _ = write!(options, " keep_alive={}", [5, 10, 60][self.below(3)]);
            if is_5 {
                let short = self.has(Feature::SessionExpiry, 40);
                let most = if self.is_live() { 4 } else { 8 };
                let expiry = if short { self.draw.below(most) } else { 3600 };
                let _ = write!(options, " session_expiry={expiry}");
            }
            if self.has(Feature::Durable, 50) {
                options.push_str(" store=durable");
            }
            if self.has(Feature::ReceiveMaximum, 60) {
                let _ = write!(options, " receive_maximum={}", 1 + self.draw.below(3));
            }
            if self.has(Feature::TopicAliases, 70) {
                options.push_str(" topic_alias_maximum=2 topic_aliases=true");
            }
            if !self.limits.size && !self.swarm.has(Feature::Auth) && self.has(Feature::Limits, 50) && is_5 {
                let _ = write!(options, " maximum_packet_size={}", 40 + self.draw.below(60));
            }
            if self.has(Feature::Properties, 30) {
                options.push_str(" request_problem_information=false");
            }
            if self.has(Feature::Auth, 50) && is_5 {
                options.push_str(" authentication=scram-sha-256 user_name=alice password=secret");
                self.clients[index].authenticates = true;
            }
            if self.has(Feature::Wills, 70) {
                let topics = if self.swarm.has(Feature::Permissions) { &TOPICS[..4] } else { &TOPICS[..] };
                let topic = self.one(topics);
                let qos = self.qos().min(self.limits.qos);
                let _ = write!(options, " will_topic={topic} will_payload=will-{name} will_qos={qos}");
                if self.limits.retains && self.has(Feature::Retained, 40) {
                    options.push_str(" will_retain=true");
                }
                if is_5 && self.has(Feature::WillDelay, 60) {
                    let most = if self.is_live() { 3 } else { 10 };
                    let _ = write!(options, " will_delay={}", 1 + self.draw.below(most));
                }
            }
            self.line(&format!("client   {name} reference {options}"));
        }
    }

    fn step(&mut self) {
        let raw = !self.raws.is_empty() && self.draw.below(100) < 40;
        match self.draw.below(100) {
            0..15 => self.fault(),
            15..25 => self.wait(),
            _ if raw => {
                let host = self.below(self.raws.len());
                self.raw_move(host);
            }
            _ => self.client_move(),
        }
    }

    fn wait(&mut self) {
        let time = match self.draw.below(10) {
            6..9 if self.is_live() => format!("{}s", 1 + self.draw.below(2)),
            9 if self.is_live() => format!("{}s", [3, 5, 12][self.below(3)]),
            0..6 => format!("{}ms", 1 + self.draw.below(200)),
            6..9 => format!("{}s", 1 + self.draw.below(6)),
            _ => format!("{}s", 10 + self.draw.below(20)),
        };
        self.line(&format!("wait {time}"));
    }

    fn client_move(&mut self) {
        let index = self.below(self.clients.len());
        if !self.clients[index].runs {
            return self.publish_anywhere();
        }
        let name = self.clients[index].name.clone();
        match self.draw.below(100) {
            0..15 => self.subscribe(index),
            15..22 if self.swarm.has(Feature::Unsubscribe) => self.unsubscribe(index),
            22..30 if self.swarm.has(Feature::Disconnect) => {
                if self.clients[index].connected {
                    let with_will = self.swarm.version.is_5() && self.has(Feature::Wills, 30);
                    let reason = if with_will { " reason=0x04" } else { "" };
                    self.line(&format!("ask {name} disconnect{reason}"));
                    self.clients[index].connected = false;
                } else {
                    self.connect(index);
                }
            }
            30..34 if self.clients[index].authenticates => {
                self.line(&format!("ask {name} reauthenticate"));
            }
            34..36 if self.swarm.has(Feature::KeepAlive) => self.line(self.timed("wait 70s", "wait 9s")),
            _ => self.publish(index),
        }
    }

    fn connect(&mut self, index: usize) {
        let name = self.clients[index].name.clone();
        let clean = if self.has(Feature::CleanStart, 40) {
            self.clients[index].filters.clear();
            " clean_start=1"
        } else {
            ""
        };
        self.line(&format!("ask {name} connect{clean}"));
        self.clients[index].connected = true;
    }

    fn publish_anywhere(&mut self) {
        let running: Vec<usize> = (0..self.clients.len()).filter(|index| self.clients[*index].runs).collect();
        if let Some(index) = self.draw.pick(&running).copied() {
            self.publish(index);
        }
    }

    fn publish(&mut self, index: usize) {
        let topic = self.topic();
        let message = self.message(topic);
        let name = &self.clients[index].name;
        let line = format!("ask {name} publish {message}");
        self.line(&line);
    }

    /// Topic, payload and fields of a message.
    fn message(&mut self, topic: &str) -> String {
        // An empty retained payload clears what is retained.
        let retain = self.has(Feature::Retained, 35);
        let payload =
            if retain && self.draw.below(5) == 0 { String::new() } else { format!(" {}", self.payload()) };
        let mut message = format!("{topic}{payload} qos={}", self.qos());
        if retain {
            message.push_str(" retain");
        }
        message.push_str(&self.properties());
        message
    }

    fn properties(&mut self) -> String {
        let mut text = String::new();
        if self.has(Feature::MessageExpiry, 30) {
            let _ = write!(text, " message_expiry={}", 1 + self.draw.below(20));
        }
        if self.has(Feature::Properties, 40) {
            text.push_str(self.one(&[
                " content_type=text/plain",
                " response_topic=reply/to correlation_data=x\"0102\"",
                " user_property=\"b\":\"1\" user_property=\"a\":\"2\"",
                " payload_format=1",
            ]));
        }
        text
    }

    /// A Topic Filter with its options.
    fn filter(&mut self, filter: &str) -> String {
        let mut text = filter.to_owned();
        let shared = self.has(Feature::Shared, 30);
        if shared {
            let group = self.one(&["g", "h"]);
            text = format!("\"\\$share/{group}/{}\"", filter.trim_matches('"').replace('$', "\\$"));
        }
        let _ = write!(text, " qos={}", self.qos());
        if !shared && self.has(Feature::NoLocal, 30) {
            text.push_str(" no_local");
        }
        if self.has(Feature::RetainAsPublished, 40) {
            text.push_str(" retain_as_published");
        }
        if self.has(Feature::RetainHandling, 40) {
            let _ = write!(text, " retain_handling={}", self.draw.below(3));
        }
        text
    }

    fn subscribe(&mut self, index: usize) {
        let held = self.clients[index].filters.clone();
        let again = !held.is_empty() && self.has(Feature::Resubscribe, 50);
        let filter = if again {
            self.draw.pick(&held).copied().unwrap_or("t/a")
        } else {
            let matching = ["t/a", "t/b", "u"];
            let choices: &[&'static str] =
                if self.swarm.has(Feature::Overlap) { &FILTERS } else { &matching };
            self.one(choices)
        };
        if !again && held.contains(&filter) && !self.swarm.has(Feature::Resubscribe) {
            return;
        }
        self.clients[index].filters.push(filter);
        let identifier = if self.has(Feature::SubscriptionIdentifiers, 60) {
            format!(" subscription_identifier={}", 1 + self.draw.below(200))
        } else {
            String::new()
        };
        let filter = self.filter(filter);
        let name = &self.clients[index].name;
        let line = format!("ask {name} subscribe{identifier} {filter}");
        self.line(&line);
    }

    fn unsubscribe(&mut self, index: usize) {
        let held = self.clients[index].filters.clone();
        let Some(filter) = self.draw.pick(&held).copied() else { return self.subscribe(index) };
        self.clients[index].filters.retain(|other| *other != filter);
        let name = &self.clients[index].name;
        let line = format!("ask {name} unsubscribe {filter}");
        self.line(&line);
    }
}
