//! A Server that the harness plays line by line for one client under test. It can do what the
//! reference broker never does.

use super::Sketch;

const TOPICS: [&str; 5] = ["t/a", "t/b", "jobs/1", "answers/device", "u"];

/// The number of Packet Identifiers that the Server uses, so that it uses each again and again.
const IDENTIFIERS: u64 = 3;

/// The exchanges between the scripted Server and its client.
pub(super) struct Script<'s> {
    pub(super) sketch: &'s mut Sketch,
    next: u64,
    captures: u64,
    /// Whether the lines compare what the client sends.
    compares: bool,
}

impl<'s> Script<'s> {
    /// Declares the client and connects it. `connack` has the fields of CONNACK.
    pub(super) fn new(sketch: &'s mut Sketch, options: &str, connack: &str) -> Self {
        sketch.declare(format!("client   device reference{options}"));
        let expiry = sketch.if_5(" session_expiry=3600");
        sketch.line(format!("ask device connect clean_start=0 keep_alive=3600{expiry}"));
        sketch.line("device > CONNECT");
        sketch.line(format!("device < CONNACK session_present=0{connack}"));
        Self { sketch, next: 0, captures: 0, compares: true }
    }

    pub(super) fn topic(&mut self) -> &'static str {
        self.sketch.draw.pick(&TOPICS).copied().unwrap_or("t/a")
    }

    pub(super) fn line(&mut self, line: &str) {
        self.sketch.line(line);
    }

    fn expects(&mut self, line: &str) {
        if self.compares {
            self.sketch.line(line);
        }
    }

    /// From here on, only monitors and the history model judge what the client sends.
    pub(super) fn anything(&mut self) {
        if self.compares {
            self.line("device > anything");
        }
        self.compares = false;
    }

    /// The next identifier of the Server.
    pub(super) fn identifier(&mut self) -> u64 {
        self.next = self.next % IDENTIFIERS + 1;
        self.next
    }

    fn capture(&mut self) -> String {
        self.captures += 1;
        format!("$p{}", self.captures)
    }

    /// One exchange in one of both directions. Some are left in the middle.
    pub(super) fn exchange(&mut self) {
        if self.sketch.chance(50) { self.server_sends() } else { self.client_sends() }
    }

    pub(super) fn server_sends(&mut self) {
        let (topic, payload, qos) = (self.topic(), self.sketch.payload(), self.sketch.below(3));
        if qos == 0 {
            return self.line(&format!("device < PUBLISH topic={topic} payload={payload}"));
        }
        let id = self.identifier();
        let expiry = if self.sketch.is_5() { self.sketch.maybe(15, " message_expiry=60") } else { "" };
        let message = |dup: &str, payload: &str| {
            format!("device < PUBLISH{dup} id={id} qos={qos} topic={topic} payload={payload}{expiry}")
        };
        self.line(&message("", &payload));
        if qos == 1 {
            self.expects(&format!("device > PUBACK id={id}"));
            if self.sketch.chance(40) {
                // The identifier is free again: this is another message, whatever its DUP says.
                let (payload, dup) = (self.sketch.payload(), self.sketch.maybe(60, " dup"));
                self.line(&message(dup, &payload));
                self.expects(&format!("device > PUBACK id={id}"));
            }
            return;
        }
        self.expects(&format!("device > PUBREC id={id}"));
        if self.sketch.chance(25) {
            return self.loses(true);
        }
        if self.sketch.chance(85) {
            self.line(&format!("device < PUBREL id={id}"));
            self.expects(&format!("device > PUBCOMP id={id}"));
        }
    }

    pub(super) fn client_sends(&mut self) {
        let (topic, payload, qos) = (self.topic(), self.sketch.payload(), self.sketch.below(3));
        self.line(&format!("ask device publish {topic} {payload} qos={qos}"));
        if !self.compares {
            return;
        }
        if qos == 0 {
            return self.line(&format!("device > PUBLISH payload={payload}"));
        }
        let id = self.capture();
        self.line(&format!("device > PUBLISH id={id} qos={qos} payload={payload}"));
        let refuses = self.sketch.is_5() && self.sketch.chance(15);
        let reason = if refuses { " reason=quota-exceeded" } else { "" };
        if self.sketch.chance(35) {
            return;
        }
        if qos == 1 {
            return self.line(&format!("device < PUBACK id={id}{reason}"));
        }
        self.line(&format!("device < PUBREC id={id}{reason}"));
        if refuses {
            return;
        }
        self.line(&format!("device > PUBREL id={id}"));
        if self.sketch.chance(50) {
            self.line(&format!("device < PUBCOMP id={id}"));
        }
    }

    /// The connection is lost, and the client comes back. `kept` is whether the Server has still
    /// its Session.
    pub(super) fn loses(&mut self, kept: bool) {
        if !self.compares {
            return;
        }
        let end = self.sketch.one(&["cut device", "device < closed"]);
        self.line(end);
        self.line("within 60s device > CONNECT clean_start=0");
        self.line(&format!("device < CONNACK session_present={}", u8::from(kept)));
        self.anything();
        self.line("wait 8s");
    }

    /// The application begins another Session.
    pub(super) fn begins_anew(&mut self) {
        if !self.compares {
            return;
        }
        self.line("ask device disconnect");
        self.line("device > DISCONNECT");
        self.line("ask device connect clean_start=1 keep_alive=3600");
        self.line("device > CONNECT clean_start=1");
        self.line("device < CONNACK session_present=0");
        self.anything();
        self.line("wait 8s");
    }

    pub(super) fn ends(&mut self) {
        self.anything();
        self.line("wait 12s");
    }
}
