//! Draws steps: lines and blocks.

use mqttspec_notation::vocabulary::{Owner, profiles};
use mqttspec_notation::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::parts::*;

/// Steps with blocks nested at most `depth` deep.
pub(crate) fn steps(depth: u32) -> BoxedStrategy<Vec<Step>> {
    vec(step(depth), 1..5)
        .prop_map(|mut steps| {
            steps[0].comments.blank_line_above = false;
            steps
        })
        .boxed()
}

fn step(depth: u32) -> BoxedStrategy<Step> {
    let comments = (any::<bool>(), comments_above(), option::weighted(0.2, comment()))
        .prop_map(|(blank_line_above, above, after)| Comments { blank_line_above, above, after });
    let body =
        if depth == 0 { simple().boxed() } else { prop_oneof![6 => simple(), 1 => block(depth)].boxed() };
    (mark(), body, option::weighted(0.3, shows()), comments)
        .prop_map(|(versions, (timing, kind), shows, comments)| Step {
            span: Span::default(),
            versions,
            timing,
            shows: shows.filter(|_| may_show(&kind)),
            kind,
            comments,
        })
        .boxed()
}

fn may_show(kind: &StepKind) -> bool {
    !matches!(
        kind,
        StepKind::Ask { .. }
            | StepKind::Fault(_)
            | StepKind::Load(_)
            | StepKind::Wait(_)
            | StepKind::WaitUntil(_)
            | StepKind::WaitForQuiet(_)
            | StepKind::Sometimes(_)
            | StepKind::Either(_)
    )
}

/// Clauses without a mark come before those with one: a mark counts until the next.
fn shows() -> impl Strategy<Value = Shows> {
    let clause = (mark(), "MQTT-[1-6]\\.[0-9]\\.[0-9]-[0-9]{1,2}");
    let clauses = vec(clause, 1..5).prop_map(|mut clauses| {
        clauses.sort_by_key(|(versions, _)| !versions.0.is_empty());
        clauses.dedup();
        let mut shown: Vec<ShownClause> = Vec::new();
        for (versions, id) in clauses {
            let one = ShownClause { span: Span::default(), versions, id };
            if !shown.contains(&one) {
                shown.push(one);
            }
        }
        Shows::Clauses(shown)
    });
    prop_oneof![1 => Just(Shows::All), 3 => clauses]
}

fn timing(may_be_within: bool) -> BoxedStrategy<Timing> {
    let within =
        if may_be_within { time().prop_map(Timing::Within).boxed() } else { Just(Timing::Usual).boxed() };
    prop_oneof![
        4 => Just(Timing::Usual),
        1 => within,
        1 => time().prop_map(Timing::After),
        1 => time_range().prop_map(Timing::Between),
        1 => time().prop_map(Timing::At),
    ]
    .boxed()
}

fn timed(
    kind: impl Strategy<Value = StepKind>,
    may_be_within: bool,
) -> impl Strategy<Value = (Timing, StepKind)> {
    (timing(may_be_within), kind)
}

fn untimed(kind: impl Strategy<Value = StepKind>) -> impl Strategy<Value = (Timing, StepKind)> {
    kind.prop_map(|kind| (Timing::Usual, kind))
}

fn simple() -> impl Strategy<Value = (Timing, StepKind)> {
    let direction = select(vec![Direction::ToServer, Direction::ToClient]);
    let line = (host(), direction, content()).prop_map(|(host, direction, content)| StepKind::Line {
        host,
        direction,
        content,
    });
    let verb = (host(), action()).prop_map(|(host, action)| StepKind::Verb { host, action });
    let ask = (host(), wish()).prop_map(|(host, action)| StepKind::Ask { host, action });
    let told = (host(), report()).prop_map(|(host, report)| StepKind::Told { host, report });
    prop_oneof![
        6 => timed(line, true),
        3 => timed(verb, true),
        1 => timed(ask, false),
        1 => timed(told, true),
        3 => timed(fault().prop_map(StepKind::Fault), false),
        1 => timed(load().prop_map(StepKind::Load), false),
        1 => untimed(time().prop_map(StepKind::Wait)),
        1 => untimed(time().prop_map(StepKind::WaitUntil)),
        1 => untimed(time().prop_map(StepKind::WaitForQuiet)),
        1 => untimed(bare_word().prop_map(StepKind::Sometimes)),
        1 => untimed(property().prop_map(StepKind::Property)),
    ]
}

fn block(depth: u32) -> impl Strategy<Value = (Timing, StepKind)> {
    let inner = move || steps(depth - 1);
    let repeat = (1..=10_000_000u32, option::of(variable()), inner())
        .prop_map(|(times, variable, steps)| StepKind::Repeat { times, variable, steps });
    let either = vec(branch(depth - 1), 2..4).prop_map(|mut branches| {
        branches[0].comments = Comments::default();
        StepKind::Either(branches)
    });
    untimed(prop_oneof![
        inner().prop_map(StepKind::InAnyOrder),
        inner().prop_map(StepKind::EachRow),
        repeat,
        either,
    ])
}

fn branch(depth: u32) -> impl Strategy<Value = Branch> {
    let level = select(vec![Level::Must, Level::Should, Level::May]);
    let name = option::of("[a-z\"$ ]{1,12}");
    let shows = option::weighted(0.3, shows());
    (level, name, shows, steps(depth), comments_above(), option::weighted(0.2, comment())).prop_map(
        |(level, name, shows, steps, above, after)| Branch {
            span: Span::default(),
            level,
            name,
            shows,
            steps,
            comments: Comments { blank_line_above: false, above, after },
        },
    )
}

fn packet_fields(packet: PacketType) -> BoxedStrategy<Vec<Field>> {
    fields(Owner::Packet(packet))
}

/// Fields of PUBLISH that do not repeat what stands before them.
fn message(owner: Owner) -> impl Strategy<Value = (Value, Option<Value>, Vec<Field>)> {
    (topic(), payload(), fields(owner)).prop_map(|(topic, payload, mut fields)| {
        fields.retain(|field| field.name != "topic" && (field.name != "payload" || payload.is_none()));
        (topic, payload, fields)
    })
}

fn answer(packet: PacketType) -> impl Strategy<Value = Vec<Field>> {
    packet_fields(packet).prop_map(|mut fields| {
        fields.retain(|field| field.name != "id");
        fields
    })
}

fn action() -> BoxedStrategy<Action> {
    let connects = (packet_fields(PacketType::Connect), answer(PacketType::ConnAck))
        .prop_map(|(fields, expecting)| Action::Connects { fields, expecting });
    let subscribes = (
        vec(subscription(), 1..3),
        packet_fields(PacketType::Subscribe),
        vec(reason_test(PacketType::SubAck), 0..3),
    )
        .prop_map(|(subscriptions, fields, expecting)| Action::Subscribes {
            subscriptions,
            fields,
            expecting,
        });
    let unsubscribes = (
        vec(topic(), 1..3),
        packet_fields(PacketType::Unsubscribe),
        vec(reason_test(PacketType::UnsubAck), 0..3),
    )
        .prop_map(|(filters, fields, expecting)| Action::Unsubscribes { filters, fields, expecting });
    let publishes = (message(Owner::Packet(PacketType::Publish)), answer(PacketType::PubAck)).prop_map(
        |((topic, payload, fields), expecting)| Action::Publishes { topic, payload, fields, expecting },
    );
    let receives = message(Owner::Packet(PacketType::Publish))
        .prop_map(|(topic, payload, fields)| Action::Receives { topic, payload, fields });
    prop_oneof![
        Just(Action::Opens),
        connects,
        subscribes,
        unsubscribes,
        publishes,
        receives,
        Just(Action::Pings),
        packet_fields(PacketType::Disconnect).prop_map(|fields| Action::Disconnects { fields }),
        Just(Action::Closes),
    ]
    .boxed()
}

/// An action that a client can be asked for.
fn wish() -> impl Strategy<Value = Action> {
    let acknowledges = message(Owner::Acknowledge)
        .prop_map(|(topic, payload, fields)| Action::Acknowledges { topic, payload, fields });
    let publish = || message(Owner::Packet(PacketType::Publish));
    let requests = publish().prop_map(|(topic, payload, fields)| Action::Requests { topic, payload, fields });
    let delivers = publish().prop_map(|(topic, payload, fields)| Action::Delivers { topic, payload, fields });
    let verbs = action().prop_filter_map("a client cannot be asked for it", |action| match action {
        Action::Opens
        | Action::Receives { .. }
        | Action::Requests { .. }
        | Action::Delivers { .. }
        | Action::Acknowledges { .. }
        | Action::Reauthenticates
        | Action::Pings
        | Action::Closes => None,
        Action::Connects { fields, .. } => Some(Action::Connects { fields, expecting: Vec::new() }),
        Action::Subscribes { subscriptions, fields, .. } => {
            Some(Action::Subscribes { subscriptions, fields, expecting: Vec::new() })
        }
        Action::Unsubscribes { filters, fields, .. } => {
            Some(Action::Unsubscribes { filters, fields, expecting: Vec::new() })
        }
        Action::Publishes { topic, payload, fields, .. } => {
            Some(Action::Publishes { topic, payload, fields, expecting: Vec::new() })
        }
        Action::Disconnects { fields } => Some(Action::Disconnects { fields }),
    });
    prop_oneof![
        6 => verbs,
        1 => acknowledges,
        1 => requests,
        1 => delivers,
        1 => Just(Action::Reauthenticates),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        fields(Owner::Connected).prop_map(Report::Connected),
        fields(Owner::Disconnected).prop_map(Report::Disconnected),
        topic().prop_map(Report::Subscribed),
        topic().prop_map(Report::Unsubscribed),
        message(Owner::Published).prop_map(|(topic, payload, fields)| Report::Published {
            topic,
            payload,
            fields
        }),
        message(Owner::Received).prop_map(|(topic, payload, fields)| Report::Received {
            topic,
            payload,
            fields
        }),
        message(Owner::Message).prop_map(|(topic, payload, fields)| Report::Acknowledged {
            topic,
            payload,
            fields
        }),
        message(Owner::Received).prop_map(|(topic, payload, fields)| Report::Answered {
            topic,
            payload,
            fields
        }),
        message(Owner::Message).prop_map(|(topic, payload, fields)| Report::Delivered {
            topic,
            payload,
            fields
        }),
        Just(Report::Reauthenticated),
        fields(Owner::Failed).prop_map(Report::Failed),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let disk = vec![DiskFault::Sound, DiskFault::LoseUnsynced, DiskFault::Torn, DiskFault::Full];
    let kind = prop_oneof![
        Just(FaultKind::Cut),
        Just(FaultKind::Close),
        Just(FaultKind::Partition),
        Just(FaultKind::Heal),
        time_range().prop_map(FaultKind::Latency),
        (0..=1_000u16).prop_map(|per_mille| FaultKind::Loss { per_mille }),
        (1..1u64 << 40).prop_map(|bytes_per_second| FaultKind::Bandwidth { bytes_per_second }),
        (1..100u64).prop_map(|kilobytes| FaultKind::Bandwidth { bytes_per_second: kilobytes * 1_000 }),
        Just(FaultKind::Stall),
        Just(FaultKind::Resume),
        Just(FaultKind::Crash),
        Just(FaultKind::Start),
        subsequence(disk, 1..=4).prop_map(FaultKind::Disk),
        profile().prop_map(FaultKind::Profile),
    ];
    (kind, hosts(), option::of(host()), option::of(time())).prop_map(|(kind, hosts, towards, lasting)| {
        Fault {
            towards: towards.filter(|_| kind.may_be_one_way()),
            lasting: lasting.filter(|_| kind.may_last()),
            kind,
            hosts,
        }
    })
}

/// A fault profile, with a measure if it has one.
fn profile() -> impl Strategy<Value = ProfileFault> {
    let measure = prop_oneof![
        plain_duration().prop_map(Measure::Added),
        (0..=1_000u16).prop_map(|per_mille| Measure::Loss { per_mille }),
        (plain_duration(), plain_duration()).prop_map(|(on, off)| Measure::Turns { on, off }),
    ];
    (select(profiles().collect::<Vec<_>>()), option::of(measure)).prop_map(|(name, measure)| {
        let with = ProfileFault { name: name.to_owned(), measure };
        let measure = measure.filter(|_| with.profile().is_some());
        ProfileFault { measure, ..with }
    })
}

fn load() -> impl Strategy<Value = Load> {
    let rate = (1..=1_000_000u32, plain_duration()).prop_map(|(count, per)| Rate { count, per });
    (hosts(), text(), vec(0..=2u8, 1..4), rate, option::of(0..=268_435_455u32), time()).prop_map(
        |(publishers, topic, qos, rate, size, lasting)| Load { publishers, topic, qos, rate, size, lasting },
    )
}

fn property() -> impl Strategy<Value = Property> {
    (option::of(host()), option::of(0..=2u8), subsequence(Guarantee::ALL.to_vec(), 1..=2))
        .prop_map(|(host, qos, guarantees)| Property { host, qos, guarantees })
}
