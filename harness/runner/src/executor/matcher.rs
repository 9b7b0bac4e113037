//! Compares an arrival or a report of a client with the expectation of a line. It does not wait,
//! send or record.

use core::time::Duration;

use mqttspec_codec::{Packet, PacketIdentifier, Version};
use mqttspec_judge::Case;
use mqttspec_judge::history::{HostIndex, Message, ReportedError, Told};
use mqttspec_notation::fields::{
    Bindings, Defaults, Expectation, Mismatch, accept_fields, accept_raw, build, field_words,
};
use mqttspec_notation::{
    Cell, Content, Field, PacketPattern, PacketType, RawBytes, Report, Test, Text, Value,
};

use super::patterns::{equal, field, number};
use crate::facts::starts_a_connect;
use crate::recorder::{Arrival, Arrived};

/// What a line expects.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Packet(PacketPattern),
    /// A packet with these bytes.
    Raw(RawBytes),
    /// The end of the connection, after one of these packets or none.
    Closed(Vec<PacketPattern>),
    /// The handshake of a client that offers these subprotocols.
    Offering(Vec<String>),
    /// The handshake of a server that selects this subprotocol.
    Selecting(String),
    Nothing(Option<Duration>),
    Anything,
    Told(Report),
}

impl Expected {
    /// The text in the notation.
    pub(crate) fn text(&self) -> String {
        match self {
            Expected::Packet(pattern) => pattern.to_string(),
            Expected::Raw(raw) => Content::Raw(raw.clone()).to_string(),
            Expected::Closed(or) => {
                let or: String = or.iter().map(|pattern| format!(" or {pattern}")).collect();
                format!("closed{or}")
            }
            Expected::Offering(names) => Content::HandshakeOffering(names.clone()).to_string(),
            Expected::Selecting(name) => Content::HandshakeSelecting(name.clone()).to_string(),
            Expected::Nothing(None) => "nothing".to_owned(),
            Expected::Nothing(Some(lasting)) => format!("nothing for {lasting:?}"),
            Expected::Anything => "anything".to_owned(),
            Expected::Told(_) => "what the client tells its application".to_owned(),
        }
    }

    pub(crate) fn awaits_connect(&self) -> bool {
        match self {
            Expected::Packet(pattern) => pattern.packet_type == PacketType::Connect,
            Expected::Raw(raw) => starts_a_connect(raw),
            Expected::Offering(_) => true,
            _ => false,
        }
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Equal,
    /// The kind matches and a part differs.
    Differs {
        expected: String,
        actual: String,
    },
    /// The kind is another one.
    Other,
}

/// Why a line cannot be compared, or its packet cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LineError(pub(crate) String);

impl LineError {
    fn unknown(name: &str) -> Self {
        Self(format!("`${name}` has no value here"))
    }
}

/// The version and the variables of a run.
pub(crate) struct Matcher {
    version: Version,
    bindings: Bindings,
}

impl Matcher {
    /// The columns of the table have the values of the case's row.
    pub(crate) fn new(case: &Case) -> Self {
        let mut bindings = Bindings::default();
        if let Some(table) = &case.scenario.table
            && let Some(row) = case.row.and_then(|row| table.rows.get(row))
        {
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                bindings.bind_column(column, cell.clone());
            }
        }
        Self { version: case.version, bindings }
    }

    pub(crate) fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// Starts a round of a block. Its captures end with it.
    pub(crate) fn enter(&mut self) {
        self.bindings.enter();
    }

    /// Ends a round.
    pub(crate) fn leave(&mut self) {
        self.bindings.leave();
    }

    /// Gives a loop counter its value.
    pub(crate) fn count(&mut self, variable: &str, round: u64) {
        self.bindings.bind(variable, number(round));
    }

    /// The cell of a column.
    pub(crate) fn column(&self, name: &str) -> Option<&Cell> {
        self.bindings.column(name)
    }

    /// Builds the packet of a pattern. Captures without a value take theirs.
    pub(crate) fn build(
        &mut self,
        pattern: &PacketPattern,
        host: HostIndex,
        client_id: &str,
        id: PacketIdentifier,
    ) -> Result<Packet, LineError> {
        build(pattern, self.version, Defaults { client_id, id, host: host.0 }, &mut self.bindings)
            .map_err(|error| LineError(error.to_string()))
    }

    /// Compares an arrival. If it matches, captures without a value take theirs.
    pub(crate) fn compare(&mut self, expected: &Expected, arrival: &Arrival) -> Result<Match, LineError> {
        match (expected, &arrival.what) {
            (Expected::Closed(_), Arrived::Ended(_)) => Ok(Match::Equal),
            (Expected::Packet(pattern), Arrived::Packet(packet)) => {
                self.compare_packet(pattern, packet, arrival.host)
            }
            (Expected::Raw(raw), Arrived::Packet(_) | Arrived::Malformed(_)) => {
                as_match(accept_raw(raw, &arrival.bytes, &mut self.bindings))
            }
            (Expected::Closed(or), Arrived::Packet(packet)) => {
                for pattern in or {
                    if self.compare_packet(pattern, packet, arrival.host)? == Match::Equal {
                        return Ok(Match::Equal);
                    }
                }
                Ok(Match::Other)
            }
            (Expected::Offering(wanted), Arrived::Handshake(names)) => {
                let has_all = wanted.iter().all(|name| names.contains(name));
                Ok(of_subprotocols("offering", wanted, names, has_all))
            }
            (Expected::Selecting(wanted), Arrived::Handshake(names)) => {
                let is_one = matches!(&names[..], [name] if name == wanted);
                Ok(of_subprotocols("selecting", core::slice::from_ref(wanted), names, is_one))
            }
            _ => Ok(Match::Other),
        }
    }

    /// Whether an arrival matches. Captures do not change.
    pub(crate) fn would_take(&mut self, expected: &Expected, arrival: &Arrival) -> Result<bool, LineError> {
        self.without_captures(|matcher| Ok(matcher.compare(expected, arrival)? == Match::Equal))
    }

    fn compare_packet(
        &mut self,
        pattern: &PacketPattern,
        packet: &Packet,
        host: HostIndex,
    ) -> Result<Match, LineError> {
        let expectation = Expectation { pattern, version: self.version, host: host.0 };
        as_match(expectation.accept(packet, &mut self.bindings))
    }

    /// Compares a report of a client. If it matches, captures without a value take theirs. `reason`
    /// is the Reason Code with which the server acknowledged a message, if the client reports one.
    pub(crate) fn compare_report(
        &mut self,
        report: &Report,
        told: &Told,
        reason: Option<u8>,
    ) -> Result<Match, LineError> {
        let Some(mut seen) = seen(report, told) else { return Ok(Match::Other) };
        seen.extend(reason.map(|reason| equal("reason", reason.into())));
        let fields = comparable_fields(report, told);
        as_match(accept_fields(&fields, &seen, PacketType::Publish, self.version, &mut self.bindings))
    }

    /// The names of the fields of a report that differ. No capture takes a value.
    pub(crate) fn differing_fields(&mut self, report: &Report, told: &Told) -> Vec<String> {
        let (seen, version) = (seen(report, told).unwrap_or_default(), self.version);
        let mut fields = comparable_fields(report, told);
        fields.retain(|field| {
            let one = core::slice::from_ref(field);
            self.without_captures(|matcher| {
                accept_fields(one, &seen, PacketType::Publish, version, &mut matcher.bindings).is_err()
            })
        });
        fields.into_iter().map(|field| field.name).collect()
    }

    /// Calls `compare`, and restores the captures afterwards.
    pub(crate) fn without_captures<R>(&mut self, compare: impl FnOnce(&mut Self) -> R) -> R {
        let bindings = self.bindings.clone();
        let result = compare(self);
        self.bindings = bindings;
        result
    }
}

fn as_match(accepted: Result<(), Mismatch>) -> Result<Match, LineError> {
    match accepted {
        Ok(()) => Ok(Match::Equal),
        Err(Mismatch::Differs { expected, actual }) => Ok(Match::Differs { expected, actual }),
        Err(Mismatch::Unknown(name)) => Err(LineError::unknown(&name)),
    }
}

/// The fields that a `told` line expects, without those that the client did not report.
fn comparable_fields(report: &Report, told: &Told) -> Vec<Field> {
    let mut fields = report_fields(report);
    if kind_is_unknown(told) {
        fields.retain(|field| field.name != "error");
    }
    if let Told::Message { properties: None, .. } = told {
        fields.retain(|field| ["topic", "payload", "qos", "retain"].contains(&field.name.as_str()));
    }
    fields
}

/// The fields that a `told` line expects.
fn report_fields(report: &Report) -> Vec<Field> {
    match report {
        Report::Connected(fields) | Report::Disconnected(fields) | Report::Failed(fields) => fields.clone(),
        Report::Subscribed(filter) | Report::Unsubscribed(filter) => {
            vec![field("filter", Test::Equal(filter.clone()))]
        }
        Report::Published { topic, payload, fields }
        | Report::Received { topic, payload, fields }
        | Report::Answered { topic, payload, fields }
        | Report::Delivered { topic, payload, fields }
        | Report::Acknowledged { topic, payload, fields } => {
            let mut all = vec![field("topic", Test::Equal(topic.clone()))];
            all.extend(payload.iter().map(|payload| field("payload", Test::Equal(payload.clone()))));
            all.extend(fields.iter().cloned());
            all
        }
        Report::Reauthenticated => Vec::new(),
    }
}

fn of_subprotocols(word: &str, wanted: &[String], names: &[String], is_equal: bool) -> Match {
    if is_equal {
        return Match::Equal;
    }
    let text = |names: &[String]| match names {
        [] => "no subprotocol".to_owned(),
        names => format!("{word} {}", names.join(" ")),
    };
    Match::Differs { expected: text(wanted), actual: text(names) }
}

/// The fields of a client's report, if it is of the kind of the `told` line.
fn seen(report: &Report, told: &Told) -> Option<Vec<Field>> {
    Some(match (report, told) {
        (Report::Connected(_), Told::Connected { session_present }) => {
            vec![equal("session_present", u64::from(*session_present))]
        }
        (Report::Disconnected(_), Told::Disconnected { error }) => {
            error.iter().flat_map(error_fields).collect()
        }
        (Report::Failed(_), Told::Failed { error } | Told::Published { refused: Some(error), .. }) => {
            error_fields(error).collect()
        }
        (Report::Subscribed(_), Told::Subscribed { filters, .. })
        | (Report::Unsubscribed(_), Told::Unsubscribed { filters }) => {
            let filter = |filter: &String| text("filter", filter);
            filters.iter().map(filter).collect()
        }
        (Report::Published { .. }, Told::Published { message, refused: None, .. })
        | (Report::Delivered { .. }, Told::Delivered { message })
        | (Report::Acknowledged { .. }, Told::Acknowledged { message }) => message_fields(message),
        (Report::Received { .. }, Told::Message { message, properties }) => {
            let properties = properties.iter().flatten().cloned();
            message_fields(message).into_iter().chain(properties).collect()
        }
        (Report::Answered { .. }, Told::Answered { message, properties }) => {
            message_fields(message).into_iter().chain(properties.iter().cloned()).collect()
        }
        (Report::Reauthenticated, Told::Reauthenticated) => Vec::new(),
        _ => return None,
    })
}

/// Whether the client does not say of which kind an error is.
fn kind_is_unknown(told: &Told) -> bool {
    match told {
        Told::Failed { error }
        | Told::Published { refused: Some(error), .. }
        | Told::Disconnected { error: Some(error) } => error.kind.is_empty(),
        _ => false,
    }
}

fn error_fields(error: &ReportedError) -> impl Iterator<Item = Field> {
    let kind =
        (!error.kind.is_empty()).then(|| field("error", Test::Equal(Value::Word(error.kind.to_owned()))));
    let reason = error.reason.map(|reason| equal("reason", reason.into()));
    kind.into_iter().chain(reason)
}

fn message_fields(message: &Message) -> Vec<Field> {
    vec![
        text("topic", &message.topic),
        field("payload", Test::Equal(Value::Bytes(message.payload.to_vec()))),
        equal("qos", u8::from(message.qos).into()),
        equal("retain", u64::from(message.retain)),
    ]
}

fn text(name: &str, value: &str) -> Field {
    field(name, Test::Equal(Value::Text(Text::literal(value))))
}

/// A report in the notation, after `told` and the host.
pub(crate) fn report_text(report: &Report) -> String {
    let word = match report {
        Report::Connected(_) => "connected",
        Report::Disconnected(_) => "disconnected",
        Report::Failed(_) => "failed",
        Report::Subscribed(_) => "subscribed",
        Report::Unsubscribed(_) => "unsubscribed",
        Report::Published { .. } => "published",
        Report::Received { .. } => "received",
        Report::Answered { .. } => "answered",
        Report::Delivered { .. } => "delivered",
        Report::Acknowledged { .. } => "acknowledged",
        Report::Reauthenticated => "reauthenticated",
    };
    format!("{word}{}", fields_text(&report_fields(report)))
}

/// Fields in the notation, with a space before each.
pub(crate) fn fields_text<'f>(fields: impl IntoIterator<Item = &'f Field>) -> String {
    fields.into_iter().map(|field| format!(" {}", field_words(field))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use mqttspec_codec::{Publish, QoS, Role, TopicName};
    use mqttspec_judge::history::Ending;
    use mqttspec_notation::{CatalogueClauses, StepKind, read};

    use super::*;

    /// A matcher, and the lines of a scenario that it compares.
    fn matcher(lines: &str) -> (Matcher, Vec<Expected>) {
        let text = format!("title    A test\nclauses  MQTT-3.1.0-1\nversions 5\n\na connects\n{lines}");
        let scenario = match read("test.mqtt", &text, &CatalogueClauses) {
            Ok((scenario, _)) => scenario,
            Err(diagnostics) => panic!("{}", diagnostics.plain()),
        };
        let expected = |step: &mqttspec_notation::Step| match &step.kind {
            StepKind::Line { content: Content::Packet(pattern), .. } => {
                Some(Expected::Packet(pattern.clone()))
            }
            StepKind::Line { content: Content::Closed { or }, .. } => Some(Expected::Closed(or.clone())),
            _ => None,
        };
        let all = scenario.steps.iter().filter_map(expected).collect();
        let case = Case {
            scenario: Arc::new(scenario),
            file: "test.mqtt".to_owned(),
            source: Arc::from(text.as_str()),
            version: Version::V5,
            tests: Role::Server,
            row: None,
            of_suite: true,
        };
        (Matcher::new(&case), all)
    }

    fn arrival(what: Arrived) -> Arrival {
        Arrival { host: HostIndex(0), at: Duration::ZERO, event: 0, connection: 1, what, bytes: Bytes::new() }
    }

    fn publish(payload: &'static str, id: u16) -> Arrival {
        let id = PacketIdentifier::new(id).expect("an identifier above 0");
        let topic = TopicName::try_from("t").expect("a Topic Name");
        arrival(Arrived::Packet(Publish::new(topic, Bytes::from(payload)).at_least_once(id).into()))
    }

    fn differs(expected: &str, actual: &str) -> Match {
        Match::Differs { expected: expected.to_owned(), actual: actual.to_owned() }
    }

    #[test]
    fn a_difference_names_the_field_or_the_packet_types() {
        let (mut matcher, lines) = matcher("a < PUBLISH topic=t payload=\"x\" qos=1\n");
        assert_eq!(matcher.compare(&lines[0], &publish("x", 1)), Ok(Match::Equal));
        assert_eq!(
            matcher.compare(&lines[0], &publish("y", 1)),
            Ok(differs("payload=\"x\"", "payload=\"y\""))
        );
        let other = arrival(Arrived::Packet(Packet::PingResp));
        assert_eq!(matcher.compare(&lines[0], &other), Ok(differs("PUBLISH", "PINGRESP")));
        assert_eq!(matcher.compare(&lines[0], &arrival(Arrived::Ended(Ending::Reset))), Ok(Match::Other));
    }

    #[test]
    fn only_a_packet_that_is_taken_sets_a_capture() {
        let (mut matcher, lines) =
            matcher("a < PUBLISH topic=t qos=1 id=$first\na < PUBLISH topic=t qos=1 id=$first\n");
        assert_eq!(matcher.would_take(&lines[0], &publish("x", 7)), Ok(true));
        assert_eq!(matcher.compare(&lines[0], &publish("x", 3)), Ok(Match::Equal));
        assert_eq!(matcher.compare(&lines[1], &publish("x", 7)), Ok(differs("id=3", "id=7")));
        assert_eq!(matcher.compare(&lines[1], &publish("x", 3)), Ok(Match::Equal));
    }

    #[test]
    fn a_capture_ends_with_its_round() {
        let (mut matcher, lines) = matcher("a < PUBLISH topic=t qos=1 id=$first\n");
        for id in [3, 7] {
            matcher.enter();
            assert_eq!(matcher.compare(&lines[0], &publish("x", id)), Ok(Match::Equal));
            matcher.leave();
        }
    }

    #[test]
    fn closed_or_matches_the_end_and_the_named_packets() {
        let (mut matcher, lines) = matcher("a < closed or DISCONNECT or PUBLISH payload=\"x\"\n");
        assert_eq!(matcher.compare(&lines[0], &arrival(Arrived::Ended(Ending::ByPeer))), Ok(Match::Equal));
        assert_eq!(matcher.compare(&lines[0], &publish("x", 1)), Ok(Match::Equal));
        assert_eq!(matcher.compare(&lines[0], &publish("y", 1)), Ok(Match::Other));
    }

    #[test]
    fn a_variable_without_a_value_is_an_error_of_the_line() {
        let (mut matcher, mut lines) = matcher("a < PUBLISH topic=t\n");
        let Expected::Packet(pattern) = &mut lines[0] else { panic!("a packet is expected") };
        let unknown = Test::OneOf(vec![Value::Capture("who".to_owned())]);
        pattern.fields.push(field("payload", unknown));
        let error = matcher.compare(&lines[0], &publish("x", 1)).expect_err("`$who` has no value");
        assert_eq!(error.to_string(), "`$who` has no value here");
    }

    #[test]
    fn a_report_matches_only_a_line_of_its_own_kind() {
        let (mut matcher, _) = matcher("");
        let received = Report::Received {
            topic: Value::Text(Text::literal("t")),
            payload: Some(Value::Text(Text::literal("x"))),
            fields: vec![equal("qos", 1)],
        };
        let message = |payload: &'static str| Message {
            topic: "t".to_owned(),
            payload: Bytes::from(payload),
            qos: QoS::AtLeastOnce,
            retain: false,
        };
        let compared = |told: Told, matcher: &mut Matcher| matcher.compare_report(&received, &told, None);
        assert_eq!(
            compared(Told::Message { message: message("x"), properties: None }, &mut matcher),
            Ok(Match::Equal)
        );
        assert_eq!(
            compared(Told::Message { message: message("y"), properties: None }, &mut matcher),
            Ok(differs("payload=\"x\"", "payload=\"y\""))
        );
        let published = Told::Published { handle: 1, message: message("x"), refused: None };
        assert_eq!(compared(published, &mut matcher), Ok(Match::Other));
        assert_eq!(report_text(&received), "received topic=\"t\" payload=\"x\" qos=1");
    }
}
