//! What happens in a scenario: transcript lines, verbs, faults, waiting, blocks, load and end-of-run properties.

use super::packets::Content;
use mqttspec_codec::Role;
use mqttspec_spec::Level;

use super::scenario::{Comments, Hosts, VersionMark};
use super::shows::Shows;
use super::values::{Field, Name, Span, Test, Text, Time, TimeRange, Value};

/// A line of the body, with its block if it opens one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the line stands (of a block: its first line).
    pub span: Span,
    /// `[5] watcher > …`: in which versions the line, with its block, is there at all.
    pub versions: VersionMark,
    /// When it happens.
    pub timing: Timing,
    /// What happens.
    pub kind: StepKind,
    /// `shows MQTT-3.1.2-8` at its end. On a block it counts for the lines inside that have none of their own. Never on
    /// [`StepKind::Either`], whose branches have their own.
    pub shows: Option<Shows>,
    /// Comments above and behind it.
    pub comments: Comments,
}

/// When a step happens. The reference is the moment at which the step before it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Nothing is written. What is sent is sent at once; what is expected must come within the runner's usual patience.
    #[default]
    Usual,
    /// `within 16s`: what is expected must come no later than this.
    Within(Time),
    /// `after 14.9s`: what is sent or done is sent or done that much later; what is expected must not come sooner, and
    /// then within the usual patience; `nothing` is proved at that moment.
    After(Time),
    /// `between 14s..16s`: what is expected must come no sooner and no later. What is sent or done happens at a moment drawn by
    /// the seed from the range, both ends included.
    Between(TimeRange),
    /// `at 90s`: as [`Timing::After`], but counted from the start of the scenario.
    At(Time),
}

/// What a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// `watcher > CONNECT …`, `watcher < nothing`: a line of the transcript.
    Line {
        /// The client's host.
        host: Name,
        /// Which way.
        direction: Direction,
        /// What goes that way.
        content: Content,
    },
    /// `watcher connects`, `watcher receives t "x"`: shorthand for lines of the transcript. On a host that runs the reference
    /// client it is what the application does or gets.
    Verb {
        /// The client's host.
        host: Name,
        /// What it does.
        action: Action,
    },
    /// `ask device publish t "x" qos=2`: what its application wants of the client under test. Never [`Action::Opens`],
    /// [`Action::Receives`], [`Action::Pings`] or [`Action::Closes`].
    Ask {
        /// The host of the client under test.
        host: Name,
        /// What is asked for, without any `expecting`.
        action: Action,
    },
    /// `told device published t "x"`: what the client under test must tell its application.
    Told {
        /// The host of the client under test.
        host: Name,
        /// What it must tell.
        report: Report,
    },
    /// `cut device`, `partition device`, …: a fault begins or ends.
    Fault(Fault),
    /// `wait 30s`
    Wait(Time),
    /// `wait until 90s`: until that long after the start of the scenario.
    WaitUntil(Time),
    /// `wait for quiet 120s`: until no load runs, no Application Message is under way and every client is connected; fails after that time.
    WaitForQuiet(Time),
    /// `in any order`: all of the steps must be met, in whatever order they come. Only expected lines stand in it.
    InAnyOrder(Vec<Step>),
    /// `either … or …`: exactly one branch is taken, at its first step.
    Either(Vec<Branch>),
    /// `repeat 100 as i`: `$i` counts from 1. A capture that gets its first value inside is forgotten at the end of each round.
    Repeat {
        /// How many times.
        times: u32,
        /// The name of the counter.
        variable: Option<Name>,
        /// The steps of one round.
        steps: Vec<Step>,
    },
    /// `each row`: once for each row of the table that counts in the version, with `$column` standing for its cell; captures as in `repeat`.
    EachRow(Vec<Step>),
    /// `load d1 d2 to load/$client qos=0,1,2 rate=1/s for 60s`: begins and lets the next step begin.
    Load(Load),
    /// `sometimes pubrec-lost`: this line must be reached under at least one seed of the scenario.
    Sometimes(Name),
    /// `qos 2: exactly once, in order`: judged at the end of the run.
    Property(Property),
}

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// `>`: client to server.
    ToServer,
    /// `<`: server to client.
    ToClient,
}

impl Direction {
    /// Whether the peer under test sends what goes this way, so that it is expected and not sent by the harness.
    #[must_use]
    pub fn is_expected(self, tested: Role) -> bool {
        match tested {
            Role::Server => self == Self::ToClient,
            Role::Client => self == Self::ToServer,
        }
    }
}

/// What a client does: as a verb (`connects`), as a wish (`ask device connect`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `opens`: a Network Connection, and sends nothing.
    Opens,
    /// `connects clean_start=0 expecting session_present=1`: CONNECT, CONNACK. On a new Network Connection if there is none.
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
        /// Other fields of SUBSCRIBE: those that are no Subscription Options, before the first Topic Filter.
        fields: Vec<Field>,
        /// The Reason Codes of SUBACK. When empty, each QoS is granted as asked for.
        expecting: Vec<Test>,
    },
    /// `unsubscribes a/b c/# expecting success no-subscription-existed`: UNSUBSCRIBE, UNSUBACK.
    Unsubscribes {
        /// The Topic Filters, at least one: [`Value::Text`] or [`Value::Capture`].
        filters: Vec<Value>,
        /// Other fields of UNSUBSCRIBE, before the first Topic Filter.
        fields: Vec<Field>,
        /// The Reason Codes of UNSUBACK. When empty, success (in 3.1.1 there are none).
        expecting: Vec<Test>,
    },
    /// `publishes t "x" qos=2 retain expecting reason=quota-exceeded`: PUBLISH and the whole hand-shake of its QoS.
    Publishes {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload ([`Value::Text`], [`Value::Bytes`], [`Value::Capture`]); empty where absent.
        payload: Option<Value>,
        /// Other fields of PUBLISH.
        fields: Vec<Field>,
        /// Fields of PUBACK or PUBREC. Without `reason`, a Reason Code below 0x80 is expected.
        expecting: Vec<Field>,
    },
    /// `receives t "x" qos=2 id!=$held`: PUBLISH and the whole hand-shake of its QoS.
    Receives {
        /// The Topic Name: [`Value::Text`] or [`Value::Capture`].
        topic: Value,
        /// The payload; any where absent.
        payload: Option<Value>,
        /// Other fields of PUBLISH.
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

/// What a client under test, or a reference client, tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// `connected session_present=1`
    Connected(Vec<Field>),
    /// `disconnected reason=…`: the connection ended, whoever ended it.
    Disconnected(Vec<Field>),
    /// `subscribed a/b`
    Subscribed(Value),
    /// `unsubscribed a/b`
    Unsubscribed(Value),
    /// `published t "x"`: the hand-shake of its QoS is complete.
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
    /// `failed reason=…`: what was asked for last was refused, or the client gave up.
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

/// A fault, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// On which hosts. For [`FaultKind::Crash`], [`FaultKind::Start`] and [`FaultKind::Disk`] mostly the host `broker`.
    pub hosts: Hosts,
    /// `to broker`: only packets from `hosts` to that host are concerned. Partition, heal, latency, loss and bandwidth only.
    pub towards: Option<Name>,
    /// `for 5s`: it ends by itself after that time; the next step does not wait for it. Partition, latency, loss,
    /// bandwidth, stall and crash only.
    pub lasting: Option<Time>,
}

/// What a [`Fault`] does to each of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// `cut device`: its connections are reset.
    Cut,
    /// `close device`: its connections are closed without a DISCONNECT, after what was already sent.
    Close,
    /// `partition device`: nothing reaches it and nothing of it arrives, connections stay open.
    Partition,
    /// `heal device`: partition, latency, loss, bandwidth of its links end.
    Heal,
    /// `latency device 500ms..800ms`: each packet takes as long, drawn by the seed.
    Latency(TimeRange),
    /// `loss device 30%`: in thousandths, so `0.5%` is 5.
    Loss {
        /// Of a thousand packets, how many are lost on the way (and sent again by the transport).
        per_mille: u16,
    },
    /// `bandwidth device 1kB/s`: in bytes a second.
    Bandwidth {
        /// Bytes a second, each way.
        bytes_per_second: u64,
    },
    /// `stall device`: it reads nothing from its connections.
    Stall,
    /// `resume device`: it reads again.
    Resume,
    /// `crash broker`: the process ends without a word; what it had not synced is at its disk's mercy.
    Crash,
    /// `start broker`: the process starts again, with what its disk kept.
    Start,
    /// `disk broker lose-unsynced torn`: what the disk does to unsynced writes at the next crash.
    Disk(Vec<DiskFault>),
    /// `profile packet-loss d1 d2`: a named course of faults, which ends by itself.
    Profile(Name),
}

/// What a disk does to unsynced writes when its host crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFault {
    /// `sound`: keeps them all.
    Sound,
    /// `lose-unsynced`: loses them.
    LoseUnsynced,
    /// `torn`: keeps a part of them, in blocks.
    Torn,
    /// `full`: takes no more writes.
    Full,
}

/// A branch of [`StepKind::Either`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Where its first line stands.
    pub span: Span,
    /// `either should`, `or may`: how the standard asks for this behaviour.
    pub level: Level,
    /// `either "refuses with a reason"`: its name in the verdict.
    pub name: Option<String>,
    /// `or shows MQTT-3.1.2-8`: for its lines that have none of their own.
    pub shows: Option<Shows>,
    /// Its steps, at least one. The first decides whether the branch is taken.
    pub steps: Vec<Step>,
    /// Comments above and behind its `or` line; those of the first branch are the step's.
    pub comments: Comments,
}

/// `load d1..d3 to load/$client qos=0,1,2 rate=1/s for 60s`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Who publishes.
    pub publishers: Hosts,
    /// The Topic Name, in which `$client` is the publisher's host.
    pub topic: Text,
    /// The QoS values, used in turn; at least one.
    pub qos: Vec<u8>,
    /// How often each of the publishers publishes.
    pub rate: Rate,
    /// `size=100`: bytes of each payload, at least as many as its unique mark takes.
    pub size: Option<u32>,
    /// How long it lasts.
    pub lasting: Time,
}

/// `50/s`, `1/10s`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time; one second when written `/s`.
    pub per: core::time::Duration,
}

/// An end-of-run property: over every Application Message that the subscribers should have had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// `sink: …`: for what this host got only; every subscriber where absent.
    pub host: Option<Name>,
    /// `qos 1: …`: for Application Messages delivered with this QoS only.
    pub qos: Option<u8>,
    /// What must hold, at least one.
    pub guarantees: Vec<Guarantee>,
}

/// What a [`Property`] asks for.
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
    /// `in order of first delivery`: as `in order`, leaving repetitions aside.
    InOrderOfFirstDelivery,
    /// `nothing more`: at the end of the run no packet is left that no line expected. This fails any run; the step says what it shows.
    NothingMore,
}

impl Guarantee {
    /// Every guarantee. Those with more words come before those whose words they begin with.
    pub const ALL: [Self; 6] = [
        Self::ExactlyOnce,
        Self::AtLeastOnce,
        Self::AtMostOnce,
        Self::InOrderOfFirstDelivery,
        Self::InOrder,
        Self::NothingMore,
    ];

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
        }
    }
}
