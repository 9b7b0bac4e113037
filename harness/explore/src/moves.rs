//! Writes the actions of the peers in a generated scenario. Most are valid in the state that the
//! writer tracks. Some are stale (an old Packet Identifier, a second acknowledgement), and some are
//! malformed.

use std::fmt::Write as _;

use mqttspec_world::Draw;

use crate::swarm::{Feature, Swarm};

const TOPICS: [&str; 6] = ["t/a", "t/b", "t/a/x", "t/", "u", "u/b"];
const FILTERS: [&str; 9] = ["t/a", "t/b", "t/+", "t/#", "\"#\"", "+/b", "u", "u/b", "t/a/x"];

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
}

/// A host with the reference client.
struct Client {
    name: String,
    connected: bool,
    runs: bool,
    stalled: bool,
    filters: Vec<&'static str>,
}

/// A host for which the harness acts.
struct RawHost {
    name: String,
    open: bool,
    /// Faults on its link: a new connection might not be established.
    blocked: bool,
    next_identifier: u64,
    /// Identifiers of its own QoS 2 messages that it has not released.
    unreleased: Vec<u64>,
}

impl<'s> Writer<'s> {
    pub(crate) fn new(swarm: &'s Swarm, draw: Draw) -> Self {
        let client = |number| Client {
            name: format!("d{number}"),
            connected: true,
            runs: true,
            stalled: false,
            filters: Vec::new(),
        };
        let raw = |number| RawHost {
            name: format!("r{number}"),
            open: false,
            blocked: false,
            next_identifier: 1,
            unreleased: Vec::new(),
        };
        Self {
            swarm,
            draw,
            body: String::new(),
            clients: (1..=swarm.clients).map(client).collect(),
            raws: (1..=swarm.raw).map(raw).collect(),
            messages: 0,
            server_runs: true,
        }
    }

    /// The declarations of clients and all steps.
    pub(crate) fn body(self) -> String {
        self.body
    }

    pub(crate) fn safety_phase(&mut self) {
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
        self.line("wait 15s");
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
        self.line(if self.swarm.is_calm() { "wait for quiet 300s" } else { "wait for quiet 20s" });
        self.line("wait 5s");
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.body, "{line}");
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
                let _ = write!(options, " session_expiry={}", if short { self.draw.below(8) } else { 3600 });
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
            if self.has(Feature::Wills, 70) {
                let topic = self.one(&TOPICS);
                let qos = self.qos();
                let _ = write!(options, " will_topic={topic} will_payload=will-{name} will_qos={qos}");
                if self.has(Feature::Retained, 40) {
                    options.push_str(" will_retain=true");
                }
                if is_5 && self.has(Feature::WillDelay, 60) {
                    let _ = write!(options, " will_delay={}", 1 + self.draw.below(10));
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
        let topic = self.one(&TOPICS);
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
            text = format!("\"\\$share/g/{}\"", filter.trim_matches('"'));
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

    fn raw_move(&mut self, host: usize) {
        if !self.server_runs || self.raws[host].blocked {
            return self.wait();
        }
        if !self.raws[host].open {
            return self.raw_connect(host);
        }
        let RawHost { name, next_identifier, .. } = &self.raws[host];
        let (name, id) = (name.clone(), *next_identifier);
        self.raws[host].next_identifier = id % 20 + 1;
        let line = match self.draw.below(100) {
            0..12 => {
                let filters = [self.one(&FILTERS), "t/a"];
                let filter = self.one(&filters);
                let filter = self.filter(filter);
                format!("SUBSCRIBE id={id} {filter}")
            }
            12..16 => {
                let filter = self.one(&FILTERS);
                format!("UNSUBSCRIBE id={id} {filter}")
            }
            16..50 => {
                let topic = self.one(&TOPICS);
                let payload = self.payload();
                let qos = self.qos();
                let retain = if self.has(Feature::Retained, 30) { " retain" } else { "" };
                let (id, dup) = if qos == 0 {
                    (String::new(), "")
                } else {
                    if qos == 2 {
                        self.raws[host].unreleased.push(id);
                    }
                    (format!(" id={id}"), if self.has(Feature::Stale, 20) { " dup" } else { "" })
                };
                format!("PUBLISH{id}{dup}{retain} qos={qos} topic={topic} payload={payload}")
            }
            50..65 => match self.raws[host].unreleased.pop() {
                Some(id) => format!("PUBREL id={id}"),
                None => format!("PUBACK id={}", 1 + self.draw.below(5)),
            },
            65..75 => {
                let word = self.one(&["PUBACK", "PUBREC", "PUBCOMP"]);
                format!("{word} id={}", 1 + self.draw.below(6))
            }
            75..80 => "PINGREQ".to_owned(),
            80..86 if self.swarm.has(Feature::Stale) => {
                let word = self.one(&["PUBACK", "PUBREC", "PUBREL", "PUBCOMP"]);
                format!("{word} id={}", 60_000 + self.draw.below(3))
            }
            86..92 if self.swarm.has(Feature::Malformed) => {
                self.raws[host].open = false;
                let line = self.malformed();
                self.line(&format!("{name} > {line}"));
                if line.starts_with("CONNECT") {
                    // If the server has ended the connection, this begins another one.
                    self.line(&format!("{name} < anything"));
                }
                return;
            }
            92..96 => {
                self.raws[host].open = false;
                self.line(&format!("{name} > DISCONNECT"));
                self.line(&format!("{name} closes"));
                return;
            }
            96..98 => {
                self.raws[host].open = false;
                self.line(&format!("{name} closes"));
                return;
            }
            _ if self.swarm.has(Feature::TakeOver) => {
                // Another connection with the same Client Identifier.
                self.raws[host].open = false;
                return self.raw_connect(host);
            }
            _ => "PINGREQ".to_owned(),
        };
        self.line(&format!("{name} > {line}"));
    }

    fn malformed(&mut self) -> String {
        self.one(&[
            "CONNECT client_id=again",
            "PUBLISH topic=t/a with flags=0x06",
            "PUBLISH topic=t/a with topic=\"t/+\"",
            "SUBSCRIBE id=9 t/a with options=0xc0",
            "SUBSCRIBE id=9 t/b with filter=\"t/#/b\"",
            "PUBREL id=3 with flags=0x00",
            "PINGREQ with flags=0x01",
            "PUBLISH qos=1 id=5 topic=t/a with id=0",
            "raw f0 02 00 00 00",
            "raw 30 ff ff ff ff 01",
            "UNSUBSCRIBE id=9 t/a with id=0",
            "PUBLISH topic=t/a with topic=x\"61ff\"",
            "PUBLISH qos=1 id=5 topic=t/a truncated to 6",
        ])
        .to_owned()
    }

    fn raw_connect(&mut self, host: usize) {
        let shared = self.has(Feature::TakeOver, 30);
        let raw = &self.raws[host];
        let (name, id) = (raw.name.clone(), if shared { "r-shared".to_owned() } else { raw.name.clone() });
        let mut fields = format!("client_id={id} clean_start={}", self.draw.below(2));
        let is_5 = self.swarm.version.is_5();
        if self.draw.below(3) == 0 {
            let _ = write!(fields, " keep_alive={}", 2 + self.draw.below(8));
        }
        if is_5 && self.draw.below(3) > 0 {
            let _ = write!(fields, " session_expiry={}", [2, 10, 3600][self.below(3)]);
        }
        if self.has(Feature::ReceiveMaximum, 50) {
            let _ = write!(fields, " receive_maximum={}", 1 + self.draw.below(3));
        }
        if self.has(Feature::TopicAliases, 50) {
            fields.push_str(" topic_alias_maximum=1");
        }
        if self.has(Feature::Wills, 60) {
            let (topic, payload, qos) = (self.one(&TOPICS), self.payload(), self.qos());
            let retain = if self.has(Feature::Retained, 30) { " retain" } else { "" };
            let delay = if is_5 && self.has(Feature::WillDelay, 50) {
                format!(" will_delay={}", 1 + self.draw.below(6))
            } else {
                String::new()
            };
            let _ = write!(fields, " will={{topic={topic} payload={payload} qos={qos}{retain}{delay}}}");
        }
        self.line(&format!("{name} > CONNECT {fields}"));
        self.line(&format!("{name} < anything"));
        let raw = &mut self.raws[host];
        raw.open = true;
        raw.unreleased.clear();
        if self.draw.below(2) == 0 {
            self.line("wait 100ms");
        }
    }

    fn fault(&mut self) {
        use Feature as F;
        let faults: Vec<Feature> = [
            F::Cut,
            F::Close,
            F::Partition,
            F::Latency,
            F::Loss,
            F::Bandwidth,
            F::Stall,
            F::CrashServer,
            F::CrashClient,
            F::Profile,
        ]
        .into_iter()
        .filter(|feature| self.swarm.has(*feature))
        .collect();
        let Some(fault) = self.draw.pick(&faults).copied() else { return self.wait() };
        let index = self.below(self.clients.len());
        let name = self.clients[index].name.clone();
        // Inside packets and between them: the cut falls where the seed draws it.
        let timing = ["", " between 0ms..20ms", " after 3ms"][self.below(3)];
        match fault {
            F::Cut | F::Close => {
                let word = if fault == F::Cut { "cut" } else { "close" };
                if !self.raws.is_empty() && self.draw.below(4) == 0 {
                    let host = self.below(self.raws.len());
                    if self.raws[host].open {
                        self.raws[host].open = false;
                        let name = self.raws[host].name.clone();
                        return self.line(&format!("{word} {name}{timing}"));
                    }
                }
                // The executor closes only connections that it plays.
                if self.clients[index].runs && fault == F::Cut {
                    self.line(&format!("cut {name}{timing}"));
                }
            }
            F::Partition => {
                let towards = ["", " to broker"][self.below(2)];
                let time = [500, 3000, 12_000][self.below(3)];
                self.line(&format!("partition {name}{towards} for {time}ms"));
            }
            F::Latency => {
                let least = self.draw.below(200);
                self.line(&format!("latency {name} {least}ms..{}ms for 10s", least + 200));
            }
            F::Loss => self.line(&format!("loss {name} 25% for 8s")),
            F::Bandwidth => self.line(&format!("bandwidth {name} 1kB/s for 5s")),
            F::Stall => {
                if self.clients[index].stalled {
                    self.line(&format!("resume {name}"));
                } else if self.clients[index].runs {
                    self.line(&format!("stall {name}"));
                } else {
                    return;
                }
                self.clients[index].stalled = !self.clients[index].stalled;
            }
            F::CrashServer => {
                if self.server_runs {
                    self.line(&format!("crash broker{timing}"));
                    self.raws.iter_mut().for_each(|raw| raw.open = false);
                } else {
                    self.line("start broker");
                }
                self.server_runs = !self.server_runs;
            }
            F::CrashClient => {
                if self.clients[index].runs {
                    self.line(&format!("crash {name}{timing}"));
                } else {
                    self.line(&format!("start {name}"));
                }
                self.clients[index].stalled = false;
                self.clients[index].runs = !self.clients[index].runs;
            }
            F::Profile => {
                let profile =
                    self.one(&["reset", "half-open", "one-way-partition", "complete-outage", "packet-loss"]);
                self.line(&format!("profile {profile} {name}"));
            }
            _ => {}
        }
    }
}
