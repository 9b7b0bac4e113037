//! The moves of hosts for which the harness acts: Clients without a library, which can also do what
//! a library never does.

use std::fmt::Write as _;

use super::{FILTERS, TOPICS, Writer, malformed};
use crate::features::Feature;

/// Client Identifiers of which some differ only in case, or after eight characters.
const NAMES: [&str; 4] = ["device-0001", "device-0002", "DEVICE-0001", "r-shared"];

/// The number of Packet Identifiers that a host uses, so that it uses each again and again.
const IDENTIFIERS: u64 = 8;

/// The longest Keep Alive, in seconds, after which the end of a connection of a live server is waited
/// for.
const LONGEST_LIVE_KEEP_ALIVE: u64 = 10;

/// A host for which the harness acts.
pub(super) struct RawHost {
    pub(super) name: String,
    pub(super) open: bool,
    client_id: String,
    keep_alive: u64,
    next_identifier: u64,
    /// The identifier of the next message of the Server to acknowledge, if it counts from 1.
    next_of_server: u64,
    /// Identifiers of its own QoS 2 messages that it has not released.
    unreleased: Vec<u64>,
    /// Whether its Session ends with the connection.
    ends_with_the_connection: bool,
    /// The Topic Aliases that it has set on this connection.
    aliases: u64,
}

impl RawHost {
    pub(super) fn new(number: u64) -> Self {
        Self {
            name: format!("r{number}"),
            open: false,
            client_id: format!("r{number}"),
            keep_alive: 0,
            next_identifier: 1,
            next_of_server: 1,
            unreleased: Vec::new(),
            ends_with_the_connection: false,
            aliases: 0,
        }
    }
}

impl Writer<'_> {
    pub(super) fn raw_move(&mut self, host: usize) {
        if !self.server_runs {
            return self.wait();
        }
        if !self.raws[host].open {
            return self.raw_connect(host);
        }
        let name = self.raws[host].name.clone();
        let line = match self.draw.below(100) {
            0..12 => self.raw_subscribe(host),
            12..17 => self.raw_unsubscribe(host),
            17..45 => self.raw_publish(host),
            45..56 => match self.raws[host].unreleased.pop() {
                Some(id) => format!("PUBREL id={id}"),
                None => return self.raw_acknowledge(host),
            },
            56..66 => return self.raw_acknowledge(host),
            66..70 => "PINGREQ".to_owned(),
            70..74 if self.swarm.has(Feature::Stale) => {
                let word = self.one(&["PUBACK", "PUBREC", "PUBREL", "PUBCOMP"]);
                format!("{word} id={}", 60_000 + self.draw.below(3))
            }
            74..78 if self.swarm.has(Feature::Repeats) => return self.raw_repeat(host),
            78..84 if self.swarm.has(Feature::Malformed) => return self.raw_malformed(host),
            // A live server takes real time.
            84..88
                if self.swarm.has(Feature::KeepAlive)
                    && !(self.is_live() && self.raws[host].keep_alive > LONGEST_LIVE_KEEP_ALIVE) =>
            {
                // Longer than one and a half times the Keep Alive.
                let late = self.swarm.live.map_or(0, |server| server.late);
                let time = self.raws[host].keep_alive * 3 / 2 + 6 + late;
                return self.line(&format!("wait {time}s"));
            }
            88..92 => return self.raw_disconnect(host),
            92..96 => {
                self.raws[host].open = false;
                return self.line(&format!("{name} closes"));
            }
            96..98 if self.swarm.has(Feature::Repeats) => return self.raw_resume(host),
            _ => "PINGREQ".to_owned(),
        };
        self.line(&format!("{name} > {line}"));
    }

    fn raw_identifier(&mut self, host: usize) -> u64 {
        let id = self.raws[host].next_identifier;
        self.raws[host].next_identifier = id % IDENTIFIERS + 1;
        id
    }

    fn raw_subscribe(&mut self, host: usize) -> String {
        let id = self.raw_identifier(host);
        let identifier = match self.has(Feature::SubscriptionIdentifiers, 60) {
            true => format!(" subscription_identifier={}", 1 + self.draw.below(200)),
            false => String::new(),
        };
        let count = if self.draw.below(3) == 0 { 2 + self.draw.below(2) } else { 1 };
        let mut line = format!("SUBSCRIBE id={id}{identifier}");
        for _ in 0..count {
            let filter = self.any_filter();
            let filter = self.filter(filter);
            let _ = write!(line, " {filter}");
        }
        line
    }

    fn raw_unsubscribe(&mut self, host: usize) -> String {
        let id = self.raw_identifier(host);
        let count = if self.draw.below(2) == 0 { 2 } else { 1 };
        let mut line = format!("UNSUBSCRIBE id={id}");
        for _ in 0..count {
            let _ = write!(line, " {}", self.one(&FILTERS));
        }
        line
    }

    fn raw_publish(&mut self, host: usize) -> String {
        let topic = self.topic();
        let retain = self.has(Feature::Retained, 35);
        let payload = match retain && self.draw.below(5) == 0 {
            true => "\"\"".to_owned(),
            false => self.payload(),
        };
        let qos = self.qos();
        let retain = if retain { " retain" } else { "" };
        let properties = self.properties();
        let mut topic = format!(" topic={topic}");
        let mut alias = String::new();
        if self.has(Feature::TopicAliases, 50) && !self.raws[host].client_id.is_empty() {
            // An alias that was set before needs no topic.
            let known = self.raws[host].aliases;
            if known > 0 && self.draw.below(2) == 0 {
                topic = " topic=\"\"".to_owned();
                alias = format!(" topic_alias={}", 1 + self.draw.below(known));
            } else {
                self.raws[host].aliases = (known + 1).min(self.alias_maximum());
                alias = format!(" topic_alias={}", self.raws[host].aliases.max(1));
            }
        }
        let id = match qos {
            0 => String::new(),
            _ => format!(" id={}", self.raw_identifier(host)),
        };
        let line = format!("{id}{retain} qos={qos}{topic} payload={payload}{properties}");
        if qos == 2 {
            let id = (self.raws[host].next_identifier + IDENTIFIERS - 2) % IDENTIFIERS + 1;
            self.raws[host].unreleased.push(id);
        }
        let dup = if qos > 0 && self.has(Feature::Stale, 10) { " dup" } else { "" };
        format!("PUBLISH{dup}{line}{alias}")
    }

    /// Acknowledges the next message of the Server, whatever its QoS.
    fn raw_acknowledge(&mut self, host: usize) {
        let name = self.raws[host].name.clone();
        let stale = self.has(Feature::Stale, 20);
        let id = if stale { 1 + self.draw.below(6) } else { self.raws[host].next_of_server };
        if !stale {
            self.raws[host].next_of_server += 1;
        }
        let refuses = self.swarm.version.is_5() && self.has(Feature::Refusals, 40);
        let reason =
            if refuses { format!(" reason={}", self.one(&["0x83", "0x97", "0x80"])) } else { String::new() };
        if self.qos() < 2 {
            return self.line(&format!("{name} > PUBACK id={id}{reason}"));
        }
        self.line(&format!("{name} > PUBREC id={id}{reason}"));
        if self.has(Feature::Repeats, 30) {
            return self.raw_resume(host);
        }
        if self.draw.below(3) > 0 && !refuses {
            self.line("wait 100ms");
            self.line(&format!("{name} > PUBCOMP id={id}"));
        }
    }

    /// Resumes the Session on a new connection, and waits for what is sent again.
    fn raw_resume(&mut self, host: usize) {
        let (name, client_id) = (self.raws[host].name.clone(), self.raws[host].client_id.clone());
        if client_id.is_empty() {
            return;
        }
        if self.draw.below(2) == 0 {
            self.line("wait 100ms");
        }
        self.line(&format!("{name} closes"));
        let expiry = if self.swarm.version.is_5() { " session_expiry=3600" } else { "" };
        let keep_alive = self.no_keep_alive();
        let fields = format!("clean_start=0 keep_alive={keep_alive}{expiry}");
        self.line(&format!("{name} > CONNECT client_id=\"{client_id}\" {fields}"));
        self.line(&format!("{name} < anything"));
        self.wait_long("wait 6s", "wait 42s");
        self.begun(host, client_id, 0);
    }

    /// Loses the connection with a message on the way, and sends the message again in the same
    /// Session.
    fn raw_repeat(&mut self, host: usize) {
        let (name, client_id) = (self.raws[host].name.clone(), self.raws[host].client_id.clone());
        if client_id.is_empty() {
            return;
        }
        let (id, topic, payload) = (self.raw_identifier(host), self.topic(), self.payload());
        let qos = if self.draw.below(3) == 0 { 1 } else { 2 };
        let message = format!(" id={id} qos={qos} topic={topic} payload={payload}");
        let expiry = if self.swarm.version.is_5() { " session_expiry=3600" } else { "" };
        let keep_alive = self.no_keep_alive();
        let connect =
            format!("CONNECT client_id=\"{client_id}\" clean_start=0 keep_alive={keep_alive}{expiry}");
        let mut dup = "";
        for _ in 0..2 + self.draw.below(2) {
            let word = self.one(&["cut NAME", "NAME closes"]).replace("NAME", &name);
            self.line(&word);
            self.line(&format!("{name} > {connect}"));
            self.line(&format!("{name} < anything"));
            self.line("wait 1s");
            self.line(&format!("{name} > PUBLISH{dup}{message}"));
            if self.draw.below(3) > 0 {
                let wait = self.one(&["wait 3ms", "wait 2s"]);
                self.line(wait);
            }
            dup = " dup";
        }
        self.begun(host, client_id, 0);
        if qos == 2 {
            self.raws[host].unreleased.push(id);
        }
        self.line("wait 1s");
    }

    fn raw_malformed(&mut self, host: usize) {
        self.raws[host].open = false;
        let name = self.raws[host].name.clone();
        let lines = malformed::later(self.swarm.version);
        let line = self.one(&lines);
        self.line(&format!("{name} > {line}"));
        if line.starts_with("CONNECT") {
            // If the Server has ended the connection, this begins another one.
            self.line(&format!("{name} < anything"));
        }
        if self.draw.below(2) == 0 {
            self.wait_long("wait 12s", "wait 14s");
        }
        if ["truncated", "raw ", "CONNECT"].iter().any(|part| line.contains(part)) {
            // The connection may still be open, and the next CONNECT begins another one.
            self.line(&format!("{name} closes"));
        }
    }

    fn raw_disconnect(&mut self, host: usize) {
        self.raws[host].open = false;
        let name = self.raws[host].name.clone();
        let mut fields = String::new();
        if self.swarm.version.is_5() {
            if self.draw.below(3) == 0 {
                fields.push_str(" reason=0x04");
            }
            if self.has(Feature::SessionExpiry, 40) && !self.raws[host].ends_with_the_connection {
                let _ = write!(fields, " session_expiry={}", [1, 5, 60][self.below(3)]);
            }
        }
        self.line(&format!("{name} > DISCONNECT{fields}"));
        if self.draw.below(4) > 0 {
            self.line(&format!("{name} closes"));
        }
    }

    fn raw_connect(&mut self, host: usize) {
        let name = self.raws[host].name.clone();
        if self.has(Feature::Malformed, 12) {
            let lines = malformed::first(self.swarm.version);
            let line = self.one(&lines);
            if !line.starts_with("CONNECT") {
                self.line(&format!("{name} opens"));
            }
            self.line(&format!("{name} > {line}"));
            self.line(&format!("{name} < anything"));
            return self.wait_long("wait 12s", "wait 14s");
        }
        let is_5 = self.swarm.version.is_5();
        if is_5 && self.has(Feature::Auth, 60) {
            return self.raw_authenticate(host);
        }
        let client_id = match self.has(Feature::Identifiers, 60) {
            true => self.one(&NAMES).to_owned(),
            false if self.has(Feature::Identifiers, 20) => String::new(),
            false if self.has(Feature::TakeOver, 25) => "r-shared".to_owned(),
            false => name.clone(),
        };
        let clean = if client_id.is_empty() || self.has(Feature::CleanStart, 40) { 1 } else { 0 };
        let mut fields = format!("client_id=\"{client_id}\" clean_start={clean}");
        let keep_alive = match self.has(Feature::KeepAlive, 70) {
            true if self.is_live() => 2 + self.draw.below(2),
            true => 2 + self.draw.below(8),
            false => [self.no_keep_alive(), 60, 600][self.below(3)],
        };
        let _ = write!(fields, " keep_alive={keep_alive}");
        if is_5 {
            self.connect_properties(host, &mut fields);
        }
        if self.swarm.has(Feature::Auth) && self.draw.below(4) == 0 {
            return self.raw_intrude(host);
        }
        if self.has(Feature::Wills, 60) {
            let will = self.will();
            let _ = write!(fields, " will={{{will}}}");
        }
        self.line(&format!("{name} > CONNECT {fields}"));
        self.line(&format!("{name} < anything"));
        self.begun(host, client_id, keep_alive);
        if self.draw.below(2) == 0 {
            self.line("wait 100ms");
        }
    }

    /// Connects with a wrong Password, and with the Client Identifier of another Client.
    fn raw_intrude(&mut self, host: usize) {
        let name = self.raws[host].name.clone();
        let others: Vec<String> = self.clients.iter().map(|client| client.name.clone()).collect();
        let other = self.draw.pick(&others).cloned().unwrap_or_default();
        let user = "user_name=alice password=\"guess\"";
        // Faults that were drawn before must not hit this connection.
        self.line("wait 100ms");
        self.line(&format!("{name} > CONNECT client_id={other} clean_start=0 {user}"));
        let clause = if self.swarm.version.is_5() { "MQTT-3.1.4-2" } else { "U3-001" };
        self.claim(&format!("{name} < closed or CONNACK reason>=0x80"), clause);
        self.line("wait 1s");
    }

    fn begun(&mut self, host: usize, client_id: String, keep_alive: u64) {
        let raw = &mut self.raws[host];
        raw.open = true;
        raw.keep_alive = keep_alive;
        raw.client_id = client_id;
        raw.unreleased.clear();
        raw.aliases = 0;
        raw.next_of_server = 1;
    }

    fn connect_properties(&mut self, host: usize, fields: &mut String) {
        let ends = self.draw.below(4) == 0;
        self.raws[host].ends_with_the_connection = ends;
        if !ends {
            let choices = if self.is_live() { [2, 3, 3600, 3600] } else { [2, 10, 20, 3600] };
            let _ = write!(fields, " session_expiry={}", choices[self.below(4)]);
        }
        if self.has(Feature::ReceiveMaximum, 50) {
            let _ = write!(fields, " receive_maximum={}", 1 + self.draw.below(3));
        }
        if self.has(Feature::TopicAliases, 50) {
            let _ = write!(fields, " topic_alias_maximum={}", 1 + self.draw.below(2));
        }
        if !self.limits.size && self.has(Feature::Limits, 60) {
            let _ = write!(fields, " maximum_packet_size={}", 24 + self.draw.below(60));
        }
        if self.has(Feature::Limits, 40) {
            fields.push_str(" request_problem_information=0");
        }
        if self.has(Feature::Properties, 30) {
            let _ = write!(fields, " request_response_information={}", self.draw.below(2));
        }
    }

    fn will(&mut self) -> String {
        let topics = if self.swarm.has(Feature::Permissions) { &TOPICS[..4] } else { &TOPICS[..] };
        let (topic, payload, qos) = (self.one(topics), self.payload(), self.qos());
        let mut will = format!("topic={topic} payload={payload} qos={qos}");
        if self.has(Feature::Retained, 30) {
            will.push_str(" retain");
        }
        if self.swarm.version.is_5() {
            if self.has(Feature::WillDelay, 50) {
                let choices = if self.is_live() { [1, 2, 3, 1000] } else { [1, 3, 6, 1000] };
                let _ = write!(will, " will_delay={}", choices[self.below(4)]);
            }
            if self.has(Feature::Properties, 50) {
                will.push_str(" content_type=text/plain user_property=\"b\":\"1\" user_property=\"a\":\"2\"");
            }
        }
        will
    }

    /// Authenticates by SCRAM-SHA-256, with a right or a wrong proof, and sometimes again.
    fn raw_authenticate(&mut self, host: usize) {
        let name = self.raws[host].name.clone();
        let password = if self.draw.below(3) == 0 { "guess" } else { "secret" };
        let first = |password: &str| {
            format!("authentication_data={{scram=client-first user_name=alice password=\"{password}\"}}")
        };
        let method = "authentication_method=SCRAM-SHA-256";
        // Faults that were drawn before must not hit this connection.
        self.line("wait 100ms");
        self.line(&format!("{name} > CONNECT client_id={name} clean_start=1 {method} {}", first(password)));
        self.line(&format!(
            "{name} < AUTH reason=continue-authentication authentication_data={{scram=server-first}}"
        ));
        let last = format!(
            "AUTH reason=continue-authentication {method} authentication_data={{scram=client-final}}"
        );
        match self.draw.below(6) {
            0 => {
                // Another method than that of CONNECT.
                let other = last.replace("SCRAM-SHA-256", "SCRAM-SHA-1");
                self.line(&format!("{name} > {other}"));
                self.line(&format!("{name} < anything"));
                return self.line("wait 12s");
            }
            1 => {
                let with = self.one(&["flags=0x01", "reason=0x42"]);
                self.line(&format!("{name} > AUTH reason=continue-authentication {method} with {with}"));
                self.line(&format!("{name} < anything"));
                return self.line("wait 12s");
            }
            _ => {}
        }
        self.line(&format!("{name} > {last}"));
        if password == "guess" {
            return self.claim(&format!("{name} < closed or CONNACK reason>=0x80"), "MQTT-4.12.0-4");
        }
        self.line(&format!("{name} < CONNACK"));
        if self.draw.below(2) == 0 {
            let password = if self.draw.below(2) == 0 { "guess" } else { "secret" };
            self.line(&format!("{name} > AUTH reason=re-authenticate {method} {}", first(password)));
            let server = "authentication_data={scram=server-first}";
            self.line(&format!("{name} < AUTH reason=continue-authentication {server}"));
            if self.draw.below(2) == 0 {
                // Other packets are served meanwhile. A Server Keep Alive may be short.
                self.line(&format!("{name} > PINGREQ"));
                self.line("wait 1s");
                self.line(&format!("{name} < PINGRESP"));
            }
            self.line(&format!("{name} > {last}"));
            if password == "guess" {
                return self.claim(&format!("{name} < closed or DISCONNECT reason>=0x80"), "MQTT-4.12.1-2");
            }
            self.claim(&format!("{name} < AUTH reason=success"), "U5-141");
            self.line(&format!("{name} < anything"));
        } else {
            self.line(&format!("{name} < anything"));
        }
        self.begun(host, name, 60);
    }
}
