//! Checks lines: which packets a role may send, what can be expected, and which fields a version
//! has.

use super::Checker;
use crate::lexicon::version_word;
use crate::vocabulary::{FieldKind, Owner, reason_code, reason_name};
use crate::{
    Action, Atom, Cell, Content, Direction, Field, PacketPattern, PacketType, Patch, Place, Report, Span,
    Step, StepKind, Test, Value, Version,
};

/// How the scenario uses a packet.
#[derive(Clone, Copy)]
struct Role {
    sent: bool,
    expected: bool,
    direction: Direction,
    /// One of several expected packets, which need not be possible in every version.
    alternative: bool,
}

impl<'a> Checker<'a> {
    pub(super) fn lines(&mut self) {
        let scenario = self.scenario;
        self.visit(&mut |checker, step, versions| checker.line(step, versions));
        // Marks of steps, within the versions of their block.
        self.step_marks(&scenario.steps, &scenario.versions);
    }

    fn step_marks(&mut self, steps: &'a [Step], versions: &[Version]) {
        for step in steps {
            let left = self.marked(step.span, versions, &step.versions);
            for block in super::inner(step) {
                self.step_marks(block, &left);
            }
        }
    }

    fn line(&mut self, step: &'a Step, versions: &[Version]) {
        if versions.is_empty() {
            return;
        }
        match &step.kind {
            StepKind::Line { direction, content, .. } => {
                self.line_content(step.span, *direction, content, versions);
            }
            StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => {
                self.line_action(step.span, action, versions);
            }
            StepKind::Told { report, .. } => {
                let (owner, fields) = match report {
                    Report::Connected(fields) => (Owner::Connected, fields),
                    Report::Disconnected(fields) => (Owner::Disconnected, fields),
                    Report::Published { fields, .. } => (Owner::Published, fields),
                    Report::Received { fields, .. } | Report::Answered { fields, .. } => {
                        (Owner::Received, fields)
                    }
                    Report::Acknowledged { fields, .. } | Report::Delivered { fields, .. } => {
                        (Owner::Message, fields)
                    }
                    Report::Failed(fields) => (Owner::Failed, fields),
                    Report::Subscribed(_) | Report::Unsubscribed(_) | Report::Reauthenticated => return,
                };
                self.version_fields(fields, owner, versions);
            }
            _ => {}
        }
    }

    fn line_content(&mut self, span: Span, direction: Direction, content: &'a Content, versions: &[Version]) {
        let (sent, expected) = (self.is_sent(direction), self.is_expected(direction));
        let role = Role { sent, expected, direction, alternative: false };
        match content {
            Content::Packet(pattern) => self.packet(pattern, role, versions),
            Content::Raw(raw) => {
                if expected && !raw.patches.is_empty() {
                    self.error(span, "only bytes that are sent can have patches").label =
                        "this line is an expectation".to_owned();
                }
                if sent && has_any(&raw.atoms) {
                    self.error(span, "`any` can only be expected").label = "this line is sent".to_owned();
                }
            }
            Content::Nothing { .. } | Content::Anything => {
                if !expected {
                    self.error(span, format!("`{content}` can only be expected")).label =
                        "this line is sent".to_owned();
                }
            }
            Content::Closed { or } => {
                // If the harness acts as the server, `device < closed` closes the connection.
                if !expected && (direction == Direction::ToServer || !or.is_empty()) {
                    self.error(span, "`closed` can only be expected").help =
                        Some("`device closes` ends the connection of `device`".to_owned());
                }
                for pattern in or {
                    self.packet(pattern, Role { alternative: true, ..role }, versions);
                }
            }
            Content::Column(name) => {
                let Some(table) = &self.scenario.table else { return };
                let Some(at) = table.columns.iter().position(|column| column == name) else { return };
                for row in &table.rows {
                    let versions = super::narrowed(versions, &row.versions);
                    if let Some(Cell::Content(content)) = row.cells.get(at)
                        && !matches!(**content, Content::Column(_))
                        && !versions.is_empty()
                    {
                        self.line_content(row.span, direction, content, &versions);
                    }
                }
            }
        }
    }

    fn line_action(&mut self, span: Span, action: &'a Action, versions: &[Version]) {
        let mut all =
            |owner, fields: &'a [Field]| self.version_fields(fields, Owner::Packet(owner), versions);
        match action {
            Action::Connects { fields, expecting } => {
                all(PacketType::Connect, fields);
                all(PacketType::ConnAck, expecting);
                self.only_values(fields);
            }
            Action::Subscribes { subscriptions, fields, expecting } => {
                all(PacketType::Subscribe, fields);
                self.only_values(fields);
                for subscription in subscriptions {
                    let versions = self.marked(subscription.span, versions, &subscription.versions);
                    self.version_fields(&subscription.options, Owner::Subscription, &versions);
                    self.only_values(&subscription.options);
                }
                let packet = Some(PacketType::SubAck);
                expecting.iter().for_each(|test| self.reason(span, test, packet, versions));
            }
            Action::Unsubscribes { fields, expecting, .. } => {
                all(PacketType::Unsubscribe, fields);
                self.only_values(fields);
                let packet = Some(PacketType::UnsubAck);
                expecting.iter().for_each(|test| self.reason(span, test, packet, versions));
            }
            Action::Publishes { fields, expecting, .. } => {
                all(PacketType::Publish, fields);
                all(PacketType::PubAck, expecting);
                self.only_values(fields);
            }
            Action::Requests { fields, .. } | Action::Delivers { fields, .. } => {
                all(PacketType::Publish, fields);
                self.only_values(fields);
            }
            Action::Reauthenticates => self.needs_5(span, "`reauthenticate`", versions),
            Action::Receives { fields, .. } => all(PacketType::Publish, fields),
            Action::Disconnects { fields } => {
                all(PacketType::Disconnect, fields);
                self.only_values(fields);
            }
            Action::Acknowledges { fields, .. } => {
                self.version_fields(fields, Owner::Acknowledge, versions);
                self.only_values(fields);
            }
            Action::Opens | Action::Pings | Action::Closes => {}
        }
    }

    fn packet(&mut self, pattern: &'a PacketPattern, role: Role, versions: &[Version]) {
        self.possible(pattern, role, versions);
        if role.sent {
            self.sent(pattern);
        }
        if role.expected && !role.sent && !pattern.patches.is_empty() {
            self.error(pattern.span, "only a packet that is sent can have patches").label =
                "this line is an expectation".to_owned();
        }
        let owner = Owner::Packet(pattern.packet_type);
        let lenient: Vec<Version>;
        let versions = if role.alternative {
            lenient = versions.iter().copied().filter(|version| version.is_5()).collect();
            lenient.as_slice()
        } else {
            versions
        };
        self.version_fields(&pattern.fields, owner, versions);
        for subscription in &pattern.subscriptions {
            let versions = self.marked(subscription.span, versions, &subscription.versions);
            self.version_fields(&subscription.options, Owner::Subscription, &versions);
        }
        for test in pattern.reasons.iter().flatten() {
            self.reason(pattern.span, test, Some(pattern.packet_type), versions);
        }
        for patch in &pattern.patches {
            if let Patch::Properties(atoms) = patch
                && has_any(atoms)
            {
                self.error(pattern.span, "`any` can only be expected").label =
                    "these bytes are sent".to_owned();
            }
            let place = match patch {
                Patch::Properties(_) => "properties".to_owned(),
                Patch::Set { place: Place::PropertyLength, .. } => Place::PropertyLength.name(),
                Patch::Set { place: Place::Reason, .. }
                    if !matches!(pattern.packet_type, PacketType::ConnAck | PacketType::SubAck) =>
                {
                    Place::Reason.name()
                }
                _ => continue,
            };
            self.needs_5(pattern.span, &format!("`{place}` of {}", pattern.packet_type.name()), versions);
        }
    }

    /// Whether a role sends such a packet in this direction.
    fn possible(&mut self, pattern: &PacketPattern, role: Role, versions: &[Version]) {
        let sender = match role.direction {
            Direction::ToServer => mqttspec_codec::Role::Client,
            Direction::ToClient => mqttspec_codec::Role::Server,
        };
        let packet = pattern.packet_type;
        let (sends, never): (Vec<Version>, Vec<Version>) = versions.iter().partition(|version| {
            packet.may_be_sent_by(sender, **version) && (packet != PacketType::Auth || version.is_5())
        });
        // A packet that is sent may violate the standard on purpose, if the codec can encode it.
        let wrong = if role.sent && !role.expected {
            packet == PacketType::Auth && never.iter().any(|version| !version.is_5()) && !sends.is_empty()
        } else {
            !never.is_empty() && (!role.alternative || sends.is_empty())
        };
        if !wrong {
            return;
        }
        let side = if role.direction == Direction::ToServer { "a Client" } else { "a Server" };
        let error = self.error(pattern.span, format!("{side} never sends {packet} in MQTT {}", never[0]));
        if !sends.is_empty() {
            error.help = Some(format!("mark the line: `[{}]`", version_word(sends[0])));
        }
    }

    /// Checks that a packet can be built.
    fn sent(&mut self, pattern: &PacketPattern) {
        self.only_values(&pattern.fields);
        for subscription in &pattern.subscriptions {
            self.only_values(&subscription.options);
        }
        let packet = pattern.packet_type;
        if let Some(condition) = pattern.conditions.first() {
            self.error(condition.span, "`where` is for expectations").label = "this line is sent".to_owned();
        }
        if pattern.reasons.iter().flatten().any(|test| !matches!(test, Test::Equal(_))) {
            self.error(pattern.span, format!("a {packet} that is sent needs exact Reason Codes"));
        }
        let needs_id = matches!(
            packet,
            PacketType::PubAck
                | PacketType::PubRec
                | PacketType::PubRel
                | PacketType::PubComp
                | PacketType::SubAck
                | PacketType::UnsubAck
        );
        if needs_id && !pattern.fields.iter().any(|field| field.name == "id") {
            self.error(pattern.span, format!("the {packet} has no Packet Identifier")).help =
                Some("give that of the packet that it answers: `id=1` or `id=$m`".to_owned());
        }
        if packet == PacketType::SubAck && pattern.reasons.is_none() {
            self.error(pattern.span, "the SUBACK has no Reason Codes").help =
                Some("write one for each subscription: `[granted-1]`".to_owned());
        }
        if matches!(packet, PacketType::Subscribe | PacketType::Unsubscribe)
            && pattern.subscriptions.is_empty()
        {
            self.error(pattern.span, format!("the {packet} has no Topic Filter")).help =
                Some("send a packet without one as `raw` bytes: `raw 82 { u16 1 00 }`".to_owned());
        }
        if packet == PacketType::Publish {
            self.sent_publish(pattern);
        }
    }

    fn sent_publish(&mut self, pattern: &PacketPattern) {
        let field = |name: &str| pattern.fields.iter().find(|field| field.name == name);
        let is_zero =
            |field: &Field| matches!(&field.test, Test::Equal(Value::Number(number)) if number.value == 0);
        let qos_0 = field("qos").is_none_or(is_zero);
        for name in ["id", "dup"] {
            if let Some(extra) = field(name)
                && qos_0
                && !is_zero(extra)
                && extra.test != Test::Absent
            {
                let what = if name == "id" { "Packet Identifier" } else { "DUP flag" };
                self.error(extra.span, format!("a PUBLISH with QoS 0 has no {what}")).help = Some(
                    "write `qos=1` or `qos=2`; a broken packet is sent with `with flags=…` or as `raw` bytes"
                        .to_owned(),
                );
            }
        }
        if field("topic").is_none() && field("topic_alias").is_none() {
            self.error(pattern.span, "the PUBLISH has neither a Topic Name nor a Topic Alias");
        }
    }

    /// A packet that is built needs values, not tests.
    fn only_values(&mut self, fields: &[Field]) {
        for field in fields {
            match &field.test {
                Test::Equal(Value::Fields(inner)) => self.only_values(inner),
                Test::Equal(_) | Test::Absent => {}
                Test::OneOf(_) | Test::Between(..) | Test::Compared(..) | Test::Present => {
                    let error = self
                        .error(field.span, format!("`{}` needs one value: this line is sent", field.name));
                    error.label = format!("expected `{}=…`", field.name);
                }
            }
        }
    }

    fn version_fields(&mut self, fields: &'a [Field], owner: Owner, versions: &[Version]) {
        for field in fields {
            let versions = self.marked(field.span, versions, &field.versions);
            let Some(rule) = owner.field(&field.name) else { continue };
            let option_of_5 = owner == Owner::Subscription && field.name != "qos";
            if rule.property.is_some() || option_of_5 {
                self.needs_5(field.span, &format!("`{}`", field.name), &versions);
            }
            match &field.test {
                Test::Equal(Value::Fields(inner)) if rule.kind == FieldKind::Will => {
                    self.version_fields(inner, Owner::Will, &versions);
                }
                test if field.name == "reason" => {
                    self.reason(field.span, test, owner.reason_packet(), &versions);
                }
                _ => {}
            }
        }
    }

    fn reason(&mut self, span: Span, test: &Test, packet: Option<PacketType>, versions: &[Version]) {
        let values = match test {
            Test::Equal(value) => core::slice::from_ref(value),
            Test::OneOf(values) => values.as_slice(),
            _ => &[],
        };
        let code_of = |value: &Value| match value {
            Value::Number(number) => u8::try_from(number.value).ok(),
            Value::Word(name) => reason_code(packet, name),
            _ => None,
        };
        let codes: Vec<u8> = values.iter().filter_map(code_of).collect();
        if let Some(packet) = packet
            && let Some(code) = codes.iter().find(|code| reason_name(Some(packet), **code).is_none())
        {
            self.error(span, format!("{packet} has no Reason Code 0x{code:02x}")).help =
                Some(format!("send an unknown code with `with reason=0x{code:02x}`"));
            return;
        }
        let Some(old) = versions.iter().find(|version| !version.is_5()) else { return };
        if packet == Some(PacketType::UnsubAck) {
            // In MQTT 3.1.1 it has none, and none is compared.
            return;
        }
        let possible = match (packet, test) {
            (Some(packet), Test::Equal(_) | Test::OneOf(_)) => {
                codes.len() < values.len() || codes.iter().any(|code| is_old_code(packet, *code))
            }
            (Some(packet), Test::Compared(operator, value)) => code_of(value).is_none_or(|limit| {
                (0..=0xff).any(|code| is_old_code(packet, code) && operator.holds(&code, &limit))
            }),
            _ => true,
        };
        if !possible {
            let packet = packet.map_or("a packet", PacketType::name);
            let error = self.error(span, format!("{packet} of MQTT {old} has no such code"));
            error.label = format!("the line applies to MQTT {old} too");
            error.help = Some("mark the field or the line: `[5]`".to_owned());
        }
    }

    fn needs_5(&mut self, span: Span, what: &str, versions: &[Version]) {
        let Some(old) = versions.iter().find(|version| !version.is_5()) else { return };
        let error = self.error(span, format!("{what} exists in MQTT 5 only"));
        error.label = format!("the line applies to MQTT {old} too");
        error.help = Some("mark the field or the line: `[5]`".to_owned());
        if !versions.contains(&Version::V5) {
            error.label = format!("the line applies to MQTT {old} only");
            error.help = None;
        }
    }
}

/// Whether MQTT 3.1.1 can express the code. An acknowledgement without a code means 0.
fn is_old_code(packet: PacketType, code: u8) -> bool {
    match packet {
        PacketType::ConnAck => code == 0 || (0x84..=0x88).contains(&code),
        PacketType::SubAck => matches!(code, 0..=2 | 0x80),
        _ => code == 0,
    }
}

/// Whether a byte of any value is among them.
fn has_any(atoms: &[Atom]) -> bool {
    atoms.iter().any(|atom| match atom {
        Atom::Any => true,
        Atom::Counted(inner) => has_any(inner),
        _ => false,
    })
}
