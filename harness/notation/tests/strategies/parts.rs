//! Draws the parts of lines: values, fields, packets, bytes.

use core::time::Duration;

use mqttspec_notation::vocabulary::{FieldKind, FieldRule, Owner, reason_names};
use mqttspec_notation::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

pub(crate) fn version() -> impl Strategy<Value = Version> {
    select(Version::ALL.to_vec())
}

pub(crate) fn mark() -> impl Strategy<Value = VersionMark> {
    prop_oneof![
        4 => Just(VersionMark::default()),
        1 => subsequence(Version::ALL.to_vec(), 1..=3).prop_map(VersionMark),
    ]
}

/// A word that means nothing to the notation.
pub(crate) fn bare_word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,5}x"
}

pub(crate) fn variable() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]", "[A-Za-z][A-Za-z0-9_]{0,5}"]
}

pub(crate) fn host() -> impl Strategy<Value = String> {
    prop_oneof![Just("watcher".to_owned()), Just("device".to_owned()), bare_word()]
}

pub(crate) fn host_name() -> impl Strategy<Value = HostName> {
    prop_oneof![
        3 => host().prop_map(HostName::One),
        1 => ("[a-z][a-z-]{0,3}x", 0..50u32, 0..50u32).prop_map(|(prefix, first, more)| HostName::Numbered {
            prefix,
            first,
            last: first + more,
        }),
    ]
}

pub(crate) fn hosts() -> impl Strategy<Value = Hosts> {
    prop_oneof![1 => Just(Hosts::All), 3 => vec(host_name(), 1..3).prop_map(Hosts::Named)]
}

/// A comment's text: anything on one line.
pub(crate) fn comment() -> impl Strategy<Value = String> {
    "[ -~é]{0,20}".prop_map(|comment| comment.trim_end().to_owned())
}

pub(crate) fn comments_above() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![4 => Just(Vec::new()), 1 => vec(comment(), 1..3)]
}

pub(crate) fn number() -> impl Strategy<Value = Number> {
    number_between(0, u64::MAX)
}

fn number_between(least: u64, most: u64) -> impl Strategy<Value = Number> {
    let value = prop_oneof![2 => least..=most, 1 => least..=most.min(least.saturating_add(300))];
    let radix = prop_oneof![2 => Just(Radix::Decimal), 1 => Just(Radix::Hexadecimal)];
    (value, radix).prop_map(|(value, radix)| Number { value, radix })
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0..5_000u64).prop_map(Duration::from_micros),
        (0..90_000u64).prop_map(Duration::from_millis),
        (0..100_000u64).prop_map(Duration::from_secs),
        (0..10_000_000_000u64).prop_map(Duration::from_micros),
    ]
}

pub(crate) fn plain_duration() -> impl Strategy<Value = Duration> {
    duration().prop_filter("above zero", |duration| !duration.is_zero())
}

pub(crate) fn time() -> impl Strategy<Value = Time> {
    (duration(), option::weighted(0.2, duration())).prop_map(|(simulated, live)| Time { simulated, live })
}

pub(crate) fn time_range() -> impl Strategy<Value = TimeRange> {
    let range = || (duration(), duration()).prop_map(|(one, other)| (one.min(other), one.max(other)));
    (range(), option::weighted(0.2, range())).prop_map(|(simulated, live)| TimeRange { simulated, live })
}

/// Texts with everything in them that could be read as something else.
pub(crate) fn text() -> impl Strategy<Value = Text> {
    let literal = prop_oneof![
        4 => "[a-z0-9/+#$_.:@*%-]{1,8}",
        2 => "[ -~]{1,8}",
        1 => "\\PC{1,6}",
        1 => any::<String>(),
        1 => select(vec!["$SYS/", "$share/g/", "#", "x\"", "${", "$", "\\", "or", "qos", "retain", "[5]", "raw", "CONNECT", "0x1f", "12"])
            .prop_map(str::to_owned),
    ];
    let piece = prop_oneof![
        3 => literal.prop_map(Piece::Literal),
        1 => variable().prop_map(Piece::Variable),
    ];
    vec(piece, 0..4).prop_map(|pieces| {
        let mut joined: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (_, Piece::Literal(more)) if more.is_empty() => {}
                (Some(Piece::Literal(last)), Piece::Literal(more)) => last.push_str(&more),
                (_, piece) => joined.push(piece),
            }
        }
        Text(joined)
    })
}

fn literal_text() -> impl Strategy<Value = Text> {
    text().prop_map(|text| {
        let literals = text.0.into_iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text),
            Piece::Variable(_) => None,
        });
        Text::literal(&literals.collect::<String>())
    })
}

pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..6)
}

fn capture() -> impl Strategy<Value = Value> {
    variable().prop_map(Value::Capture)
}

/// A Topic Name or Topic Filter.
pub(crate) fn topic() -> impl Strategy<Value = Value> {
    prop_oneof![4 => text().prop_map(Value::Text), 1 => capture()]
}

pub(crate) fn payload() -> impl Strategy<Value = Option<Value>> {
    option::of(prop_oneof![
        3 => text().prop_map(Value::Text),
        1 => bytes().prop_map(Value::Bytes),
        1 => capture(),
    ])
}

fn reason(packet: Option<PacketType>) -> BoxedStrategy<Value> {
    let names: Vec<&str> = reason_names(packet).collect();
    let number = number_between(0, 255).prop_map(Value::Number);
    if names.is_empty() {
        return number.boxed();
    }
    prop_oneof![3 => select(names).prop_map(|name| Value::Word(name.to_owned())), 1 => number, 1 => capture()]
        .boxed()
}

fn value(rule: &FieldRule, owner: Owner) -> BoxedStrategy<Value> {
    match rule.kind {
        FieldKind::Flag => prop_oneof![number_between(0, 1).prop_map(Value::Number), capture()].boxed(),
        FieldKind::Number { least, most } => {
            prop_oneof![3 => number_between(least, most).prop_map(Value::Number), 1 => capture()].boxed()
        }
        FieldKind::Text => topic().boxed(),
        FieldKind::Binary => {
            prop_oneof![text().prop_map(Value::Text), bytes().prop_map(Value::Bytes), capture()].boxed()
        }
        FieldKind::Reason => reason(owner.reason_packet()),
        FieldKind::Pair => (text(), text()).prop_map(|(name, value)| Value::Pair(name, value)).boxed(),
        FieldKind::Authentication => prop_oneof![
            text().prop_map(Value::Text),
            bytes().prop_map(Value::Bytes),
            fields(Owner::Scram).prop_map(Value::Fields),
        ]
        .boxed(),
        FieldKind::Will => fields(Owner::Will).prop_map(Value::Fields).boxed(),
        FieldKind::Word(words) => select(words).prop_map(|word| Value::Word(word.to_owned())).boxed(),
    }
}

fn operator() -> impl Strategy<Value = Operator> {
    select(vec![Operator::NotEqual, Operator::Less, Operator::AtMost, Operator::More, Operator::AtLeast])
}

fn test(rule: &'static FieldRule, owner: Owner) -> BoxedStrategy<(Test, Option<Number>)> {
    let equal = (value(rule, owner), option::weighted(0.2, number())).prop_map(|(value, live)| {
        let live = live.filter(|_| matches!(value, Value::Number(_)));
        (Test::Equal(value), live)
    });
    let others = prop_oneof![
        vec(value(rule, owner), 2..4).prop_map(Test::OneOf),
        (operator(), value(rule, owner)).prop_map(|(operator, value)| Test::Compared(operator, value)),
    ];
    let numeric = matches!(rule.kind, FieldKind::Flag | FieldKind::Number { .. });
    let between = match rule.kind {
        FieldKind::Number { least, most } => {
            (number_between(least, most), number()).prop_map(|(from, to)| Test::Between(from, to)).boxed()
        }
        _ => Just(Test::Absent).boxed(),
    };
    let special = match (rule.optional, rule.kind) {
        (true, FieldKind::Flag) => Just(Test::Absent).boxed(),
        (true, _) if numeric => prop_oneof![Just(Test::Absent), Just(Test::Present), between].boxed(),
        (true, _) => prop_oneof![Just(Test::Absent), Just(Test::Present)].boxed(),
        (false, FieldKind::Number { .. }) => between,
        (false, _) => return prop_oneof![4 => equal, 1 => others.prop_map(|test| (test, None))].boxed(),
    };
    prop_oneof![4 => equal, 1 => others.prop_map(|test| (test, None)), 1 => special.prop_map(|test| (test, None))].boxed()
}

/// Fields of the owner, each once, in any order.
pub(crate) fn fields(owner: Owner) -> BoxedStrategy<Vec<Field>> {
    let rules: Vec<&'static FieldRule> = owner.fields().collect();
    if rules.is_empty() {
        return Just(Vec::new()).boxed();
    }
    let most = rules.len().min(4);
    subsequence(rules, 0..=most)
        .prop_shuffle()
        .prop_flat_map(move |rules| {
            let one = |rule: &'static FieldRule| {
                (mark(), test(rule, owner)).prop_map(move |(versions, (test, live))| Field {
                    span: Span::default(),
                    versions,
                    name: rule.name.to_owned(),
                    test,
                    live,
                })
            };
            rules.into_iter().map(one).collect::<Vec<_>>()
        })
        .boxed()
}

pub(crate) fn subscription() -> impl Strategy<Value = Subscription> {
    (mark(), topic(), fields(Owner::Subscription)).prop_map(|(versions, filter, options)| Subscription {
        span: Span::default(),
        versions,
        filter,
        options,
    })
}

pub(crate) fn reason_test(packet: PacketType) -> BoxedStrategy<Test> {
    let reason = move || reason(Some(packet));
    prop_oneof![
        4 => reason().prop_map(Test::Equal),
        1 => vec(reason(), 2..4).prop_map(Test::OneOf),
        1 => (operator(), reason()).prop_map(|(operator, value)| Test::Compared(operator, value)),
        1 => Just(Test::Present),
    ]
    .boxed()
}

pub(crate) fn packet() -> impl Strategy<Value = PacketPattern> {
    select(PacketType::ALL.to_vec()).prop_flat_map(|packet_type| {
        let subscriptions = match packet_type {
            PacketType::Subscribe => vec(subscription(), 0..3).boxed(),
            PacketType::Unsubscribe => {
                vec(subscription().prop_map(|one| Subscription { options: Vec::new(), ..one }), 0..3).boxed()
            }
            _ => Just(Vec::new()).boxed(),
        };
        let reasons = match packet_type {
            PacketType::SubAck | PacketType::UnsubAck => {
                option::of(vec(reason_test(packet_type), 0..3)).boxed()
            }
            _ => Just(None).boxed(),
        };
        let conditions = prop_oneof![4 => Just(Vec::new()), 1 => vec(comparison(), 1..3)];
        let patches = prop_oneof![4 => Just(Vec::new()), 1 => vec(patch(packet_type), 1..4)];
        (fields(Owner::Packet(packet_type)), subscriptions, reasons, patches, conditions).prop_map(
            move |(fields, subscriptions, reasons, patches, conditions)| PacketPattern {
                span: Span::default(),
                packet_type,
                fields,
                subscriptions,
                reasons,
                patches,
                conditions,
            },
        )
    })
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let value = prop_oneof![number().prop_map(Value::Number), reason(None), capture()];
    (variable(), operator(), value).prop_map(|(capture, operator, value)| Comparison {
        span: Span::default(),
        capture,
        operator,
        value,
    })
}

fn patch(packet: PacketType) -> BoxedStrategy<Patch> {
    let named = Place::NAMED
        .iter()
        .map(|(_, place)| *place)
        .filter(move |place| place.is_in(packet))
        .collect::<Vec<_>>();
    let place = prop_oneof![select(named), any::<u32>().prop_map(Place::Byte)];
    let set = place.prop_flat_map(|place| {
        let value = match place.most() {
            None => bytes().prop_map(PatchValue::Bytes).boxed(),
            Some(most) if matches!(place, Place::RemainingLength | Place::PropertyLength) => prop_oneof![
                number_between(0, most).prop_map(PatchValue::Number),
                Just(PatchValue::Nonminimal)
            ]
            .boxed(),
            Some(most) => number_between(0, most).prop_map(PatchValue::Number).boxed(),
        };
        value.prop_map(move |value| Patch::Set { place, value })
    });
    prop_oneof![3 => set, 1 => atoms(2).prop_map(Patch::Properties), 1 => flat_patch()].boxed()
}

fn flat_patch() -> impl Strategy<Value = Patch> {
    prop_oneof![any::<u32>().prop_map(Patch::TruncatedTo), vec(any::<u8>(), 1..4).prop_map(Patch::ExtendedBy)]
}

fn atoms(depth: u32) -> BoxedStrategy<Vec<Atom>> {
    let operand = |most: u64| {
        prop_oneof![number_between(0, most).prop_map(Operand::Number), variable().prop_map(Operand::Capture)]
    };
    let atom_text = || prop_oneof![text().prop_map(AtomText::Text), bytes().prop_map(AtomText::Bytes)];
    let integer =
        |extent: Extent, most: u64| operand(most).prop_map(move |operand| Atom::Integer(extent, operand));
    let leaf = prop_oneof![
        3 => vec(any::<u8>(), 1..4).prop_map(Atom::Bytes),
        1 => integer(Extent::Byte, 0xff),
        1 => integer(Extent::TwoBytes, 0xffff),
        1 => integer(Extent::FourBytes, 0xffff_ffff),
        1 => integer(Extent::Variable, 268_435_455),
        1 => atom_text().prop_map(Atom::String),
        1 => atom_text().prop_map(Atom::Content),
        1 => (0..=(16u32 << 20), any::<u8>()).prop_map(|(times, byte)| Atom::Fill { times, byte }),
        1 => Just(Atom::Any),
    ];
    let atom = if depth == 0 {
        leaf.boxed()
    } else {
        prop_oneof![4 => leaf, 1 => atoms(depth - 1).prop_map(Atom::Counted)].boxed()
    };
    vec(atom, 0..4)
        .prop_map(|list| {
            let mut joined: Vec<Atom> = Vec::new();
            for atom in list {
                match (joined.last_mut(), atom) {
                    (Some(Atom::Bytes(last)), Atom::Bytes(more)) => last.extend(more),
                    (_, atom) => joined.push(atom),
                }
            }
            joined
        })
        .boxed()
}

fn raw() -> impl Strategy<Value = RawBytes> {
    let atoms = atoms(3).prop_filter("raw bytes are some bytes", |atoms| !atoms.is_empty());
    let patches = prop_oneof![3 => Just(Vec::new()), 1 => vec(flat_patch(), 1..3)];
    (atoms, patches).prop_map(|(atoms, patches)| RawBytes { span: Span::default(), atoms, patches })
}

pub(crate) fn content() -> impl Strategy<Value = Content> {
    prop_oneof![6 => whole_line(), 1 => variable().prop_map(Content::Column)]
}

/// What may stand in a line and in a cell.
fn whole_line() -> impl Strategy<Value = Content> {
    // `closed or PACKET`: `or` after conditions and patches is read as what follows them.
    prop_oneof![
        6 => packet().prop_map(Content::Packet),
        2 => raw().prop_map(Content::Raw),
        1 => option::of(time()).prop_map(|lasting| Content::Nothing { lasting }),
        1 => vec(packet(), 0..3).prop_map(|or| Content::Closed { or }),
        1 => Just(Content::Anything),
    ]
}

pub(crate) fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        2 => whole_line().prop_map(|content| Cell::Content(Box::new(content))),
        1 => number().prop_map(|number| Cell::Value(Value::Number(number))),
        1 => text().prop_map(|text| Cell::Value(Value::Text(text))),
        1 => bytes().prop_map(|bytes| Cell::Value(Value::Bytes(bytes))),
        1 => select(reason_names(None).collect::<Vec<_>>()).prop_map(|name| Cell::Value(Value::Word(name.to_owned()))),
    ]
}

pub(crate) fn options() -> impl Strategy<Value = Vec<HostOption>> {
    let option =
        (mark(), "[a-z][a-z0-9_]{0,10}", literal_text()).prop_map(|(versions, name, value)| HostOption {
            span: Span::default(),
            versions,
            name,
            value: value.as_literal().unwrap_or_default().to_owned(),
        });
    vec(option, 0..3)
}
