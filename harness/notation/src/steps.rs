//! The steps of a scenario: transcript lines, verbs, faults, waits, blocks, loads and delivery
//! checks.

use super::faults::Fault;
use super::packets::Content;
use mqttspec_codec::Role;
use mqttspec_spec::Level;

use super::parts::{Comments, Hosts, Shows};
use super::values::{Field, Name, Span, Test, Text, Time, TimeRange, Value, VersionMark};

/// A line of the body, with its block if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The position of the line; for a block, of its first line.
    pub span: Span,
    /// `[5] watcher > …`: the versions to which the line and its block apply.
    pub versions: VersionMark,
    /// The time.
    pub timing: Timing,
    /// The kind of step, with its parts.
    pub kind: StepKind,
    /// `shows MQTT-3.1.2-8` at the end of its line. On a block, it applies to the lines of the
    /// block that have no `shows` of their own. Never on [`StepKind::Either`], whose branches have
    /// it.
    pub shows: Option<Shows>,
    /// Comments above and after it.
    pub comments: Comments,
}

/// The time of a step, counted from the end of the previous step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Not written. An action happens at once; an expectation must be met within the runner's usual
    /// patience.
    #[default]
    Usual,
    /// `within 16s`: the expectation must be met no later than this.
    Within(Time),
    /// `after 14.9s`: an action happens at this time. An expectation must not be met earlier, and
    /// then within the usual patience; `nothing` is proved at this time.
    After(Time),
    /// `between 14s..16s`: an expectation must be met neither earlier nor later. An action happens
    /// at a time in the range that the seed draws, both ends included.
    Between(TimeRange),
    /// `at 90s`: as [`Timing::After`], but counted from the start of the scenario.
    At(Time),
}

/// The kind of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// `watcher > CONNECT …`, `watcher < nothing`: a line of the transcript.
    Line {
        /// The client's host.
        host: Name,
        /// The direction.
        direction: Direction,
        /// What is sent or expected.
        content: Content,
    },
    /// `watcher connects`, `watcher receives t "x"`: shorthand for lines of the transcript. On a
    /// host with the reference client, a command to the client or a report of it.
    Verb {
        /// The client's host.
        host: Name,
        /// The action.
        action: Action,
    },
    /// `ask device publish t "x" qos=2`: a command to the client under test. Never
    /// [`Action::Opens`], [`Action::Receives`], [`Action::Pings`] or [`Action::Closes`]. Only here:
    /// [`Action::Requests`], [`Action::Delivers`], [`Action::Acknowledges`] and
    /// [`Action::Reauthenticates`].
    Ask {
        /// The host of the client under test.
        host: Name,
        /// The command, without any `expecting`.
        action: Action,
    },
    /// `told device published t "x"`: a report that the client under test must make.
    Told {
        /// The host of the client under test.
        host: Name,
        /// The report.
        report: Report,
    },
    /// `cut device`, `partition device`, …: a fault starts or ends.
    Fault(Fault),
    /// `wait 30s`
    Wait(Time),
    /// `wait until 90s`: until this time after the start of the scenario.
    WaitUntil(Time),
    /// `wait for quiet 120s`: until no load runs, no Application Message is in transit and every
    /// client is connected. Fails after this time.
    WaitForQuiet(Time),
    /// `in any order`: all of the steps must be met, in any order. It contains only expectations.
    InAnyOrder(Vec<Step>),
    /// `either … or …`: exactly one branch is taken, at its first step.
    Either(Vec<Branch>),
    /// `repeat 100 as i`: `$i` counts from 1. A capture that gets its first value in a round ends
    /// with the round.
    Repeat {
        /// The number of rounds.
        times: u32,
        /// The name of the counter.
        variable: Option<Name>,
        /// The steps of one round.
        steps: Vec<Step>,
    },
    /// `each row`: the scenario runs once for each row. In that run the block is executed once, and
    /// `$column` is the cell of the row.
    EachRow(Vec<Step>),
    /// `load d1 d2 to load/$client qos=0,1,2 rate=1/s for 60s`: starts a load. The next step does
    /// not wait for its end.
    Load(Load),
    /// `sometimes pubrec-lost`: this line must be reached under at least one seed of the scenario.
    Sometimes(Name),
    /// `qos 2: exactly once, in order`: judged at the end of the run.
    Property(Property),
}

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// `>`: client to server.
    ToServer,
    /// `<`: server to client.
    ToClient,
}

impl Direction {
    /// Whether the peer under test sends packets in this direction, so that the harness expects
    /// them.
    #[must_use]
    pub fn is_expected(self, tested: Role) -> bool {
        match tested {
            Role::Server => self == Self::ToClient,
            Role::Client => self == Self::ToServer,
        }
    }
}

/// An action of a client: a verb (`connects`), or a command (`ask device connect`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `opens`: opens a Network Connection, and sends nothing.
    Opens,
    /// `connects clean_start=0 expecting session_present=1`: CONNECT, CONNACK. Opens a Network
    /// Connection if there is none.
    Connects {
        /// Fields of CONNECT.
        fields: Vec<Field>,
        /// Fields of CONNACK. Without `reason`, success is expected.
        expecting: Vec<Field>,
    },
    /// `subscribes a/b qos=1 c/# expecting granted-1 failure`: SUBSCRIBE, SUBACK.
    Subscribes {
        /// The subscriptions, at least one.
        subscriptions: Vec<super::Subscription>,
        /// Other fields of SUBSCRIBE, which are before the first Topic Filter.
        fields: Vec<Field>,
        /// The Reason Codes of SUBACK. If empty, each requested QoS is granted.
        expecting: Vec<Test>,
    },
    /// `unsubscribes a/b c/# expecting success no-subscription-existed`: UNSUBSCRIBE, UNSUBACK.
    Unsubscribes {
        /// The Topic Filters, at least one: [`Value::Text`] or [`Value::Capture`].
        filters: Vec<Value>,
        /// Other fields of UNSUBSCRIBE, before the first Topic Filter.
        fields: Vec<Field>,
        /// The Reason Codes of UNSUBACK. If empty, success. 3.1.1 has none.
        expecting: Vec<Test>,
    },
    /// `publishes t "x" qos=2 retain expecting reason=quota-exceeded`: PUBLISH and the handshake of
    /// its QoS.
    Publishes {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload ([`Value::Text`], [`Value::Bytes`], [`Value::Capture`]); `None` is an empty
        /// one.
        payload: Option<Value>,
        /// Other fields of PUBLISH.
        fields: Vec<Field>,
        /// Fields of PUBACK or PUBREC. Without `reason`, a Reason Code below 0x80 is expected.
        expecting: Vec<Field>,
    },
    /// `receives t "x" qos=2 id!=$held`: PUBLISH and the handshake of its QoS.
    Receives {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload; `None` is any payload.
        payload: Option<Value>,
        /// Other fields of PUBLISH.
        fields: Vec<Field>,
    },
    /// `ask device request t "x" response_topic=r`: the application publishes a request, and waits
    /// for the response.
    Requests {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload; `None` is an empty one.
        payload: Option<Value>,
        /// Other fields of PUBLISH.
        fields: Vec<Field>,
    },
    /// `ask device deliver t "x" qos=1`: the application puts a message into the outbox of its
    /// client.
    Delivers {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload; `None` is an empty one.
        payload: Option<Value>,
        /// Other fields of PUBLISH.
        fields: Vec<Field>,
    },
    /// `ask device reauthenticate`: the client authenticates again on the same connection.
    Reauthenticates,
    /// `ask device acknowledge t "x" reason=quota-exceeded`: the application acknowledges a message
    /// that its client reported.
    Acknowledges {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload; any where absent.
        payload: Option<Value>,
        /// `reason`: the Reason Code of the acknowledgement.
        fields: Vec<Field>,
    },
    /// `pings`: PINGREQ, PINGRESP.
    Pings,
    /// `disconnects reason=0x04`: DISCONNECT, and closes the Network Connection.
    Disconnects {
        /// Fields of DISCONNECT.
        fields: Vec<Field>,
    },
    /// `closes`: ends the Network Connection without a DISCONNECT.
    Closes,
}

/// A report of a client to its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// `connected session_present=1`
    Connected(Vec<Field>),
    /// `disconnected reason=…`: the connection ended, by either side.
    Disconnected(Vec<Field>),
    /// `subscribed a/b`
    Subscribed(Value),
    /// `unsubscribed a/b`
    Unsubscribed(Value),
    /// `published t "x"`: the handshake of its QoS is complete.
    Published {
        /// The Topic Name.
        topic: Value,
        /// The payload.
        payload: Option<Value>,
        /// Other fields: those of the PUBLISH, and `reason` of its acknowledgement.
        fields: Vec<Field>,
    },
    /// `received t "x" qos=1`
    Received {
        /// The Topic Name.
        topic: Value,
        /// The payload.
        payload: Option<Value>,
        /// Other fields of the PUBLISH.
        fields: Vec<Field>,
    },
    /// `acknowledged t "x" qos=1`: the client has acknowledged this message.
    Acknowledged {
        /// The Topic Name.
        topic: Value,
        /// The payload.
        payload: Option<Value>,
        /// Other fields of the message.
        fields: Vec<Field>,
    },
    /// `answered t "x"`: the response to a request arrived.
    Answered {
        /// The Topic Name.
        topic: Value,
        /// The payload.
        payload: Option<Value>,
        /// Other fields of the PUBLISH.
        fields: Vec<Field>,
    },
    /// `delivered t "x"`: the receiver has acknowledged this message of the outbox.
    Delivered {
        /// The Topic Name.
        topic: Value,
        /// The payload.
        payload: Option<Value>,
        /// Other fields of the message.
        fields: Vec<Field>,
    },
    /// `reauthenticated`: the Server has accepted the re-authentication.
    Reauthenticated,
    /// `failed reason=…`: the last command was refused, or the client gave up.
    Failed(Vec<Field>),
}

impl Action {
    /// Whether it can fail because of what the server does or leaves undone.
    #[must_use]
    pub fn expects(&self) -> bool {
        match self {
            Self::Opens | Self::Closes | Self::Disconnects { .. } => false,
            Self::Publishes { fields, .. } => fields.iter().any(|field| {
                let is_0 = matches!(&field.test, Test::Equal(Value::Number(number)) if number.value == 0);
                field.name == "qos" && !is_0
            }),
            _ => true,
        }
    }
}

/// A branch of [`StepKind::Either`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The position of its first line.
    pub span: Span,
    /// `either should`, `or may`: the requirement level of this behaviour.
    pub level: Level,
    /// `either "refuses with a reason"`: its name in reports.
    pub name: Option<String>,
    /// `or shows MQTT-3.1.2-8`: for its lines that have none of their own.
    pub shows: Option<Shows>,
    /// Its steps, at least one. The first decides whether the branch is taken.
    pub steps: Vec<Step>,
    /// Comments above and after its `or` line. Those of the first branch belong to the step.
    pub comments: Comments,
}

/// `load d1..d3 to load/$client qos=0,1,2 rate=1/s for 60s`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The publishing hosts.
    pub publishers: Hosts,
    /// The Topic Name, in which `$client` is the publisher's host.
    pub topic: Text,
    /// The QoS values, used in turn; at least one.
    pub qos: Vec<u8>,
    /// The rate of each publisher.
    pub rate: Rate,
    /// `size=100`: the least size of each payload in bytes. A payload has a unique start, which may
    /// be longer.
    pub size: Option<u32>,
    /// The duration.
    pub lasting: Time,
}

/// `50/s`, `1/10s`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of messages.
    pub count: u32,
    /// The interval for that number; one second if written `/s`.
    pub per: core::time::Duration,
}

/// A delivery check: guarantees about all deliveries, judged at the end of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// `sink: …`: only for deliveries to this host; `None` for every subscriber.
    pub host: Option<Name>,
    /// `qos 1: …`: only for Application Messages delivered with this QoS.
    pub qos: Option<u8>,
    /// The guarantees, at least one.
    pub guarantees: Vec<Guarantee>,
}

/// A guarantee of a [`Property`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// `exactly once`
    ExactlyOnce,
    /// `at least once`
    AtLeastOnce,
    /// `at most once`
    AtMostOnce,
    /// `in order`: of publication, for each publisher, topic and QoS.
    InOrder,
    /// `in order of first delivery`: as `in order`, ignoring duplicates.
    InOrderOfFirstDelivery,
    /// `nothing more`: at the end of the run, no packet is left that no line expected. Such a
    /// packet ends every run. With this step the step's clauses are then broken, without it the
    /// case is not judged.
    NothingMore,
    /// `no violation`: no packet of the peer is malformed, and the monitors find none that breaks
    /// a clause of the step. A packet that breaks one is the finding of its monitor.
    NoViolation,
}

impl Guarantee {
    /// Every guarantee. A longer text is before one that is its prefix.
    pub const ALL: [Self; 7] = [
        Self::ExactlyOnce,
        Self::AtLeastOnce,
        Self::AtMostOnce,
        Self::InOrderOfFirstDelivery,
        Self::InOrder,
        Self::NothingMore,
        Self::NoViolation,
    ];

    /// Whether it is about packets of any kind, and not about deliveries.
    #[must_use]
    pub const fn is_about_packets(self) -> bool {
        matches!(self, Self::NothingMore | Self::NoViolation)
    }

    /// Takes away what the loss of a message would break. Whether anything is left.
    pub fn without_loss(&mut self) -> bool {
        if *self == Self::ExactlyOnce {
            *self = Self::AtMostOnce;
        }
        *self != Self::AtLeastOnce
    }

    /// The words of the notation.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly once",
            Self::AtLeastOnce => "at least once",
            Self::AtMostOnce => "at most once",
            Self::InOrder => "in order",
            Self::InOrderOfFirstDelivery => "in order of first delivery",
            Self::NothingMore => "nothing more",
            Self::NoViolation => "no violation",
        }
    }
}
