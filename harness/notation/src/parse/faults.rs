//! Parses faults, waits, loads and properties.

use core::time::Duration;

use super::cursor::{Cursor, Parsed};
use super::values;
use crate::lexicon::FAULT_WORDS;
use crate::vocabulary::{nearest, profiles};
use crate::{
    Diagnostic, DiskFault, Fault, FaultKind, Guarantee, Hosts, Load, Name, Property, Rate, StepKind, Time,
    Timing,
};

/// Words that end a list of hosts.
const AFTER_HOSTS: &[&str] = &[
    "to",
    "for",
    "within",
    "after",
    "between",
    "at",
    "sound",
    "lose-unsynced",
    "torn",
    "full",
    "qos",
    "rate",
    "size",
];

/// The words of [`DiskFault`].
pub(crate) const DISK_FAULTS: &[(&str, DiskFault)] = &[
    ("sound", DiskFault::Sound),
    ("lose-unsynced", DiskFault::LoseUnsynced),
    ("torn", DiskFault::Torn),
    ("full", DiskFault::Full),
];

/// A fault and its time. `word` is its first word, one of [`FAULT_WORDS`], and is read already.
pub(super) fn fault(cursor: &mut Cursor<'_>, word: &str) -> Parsed<(Fault, Option<Timing>)> {
    debug_assert!(FAULT_WORDS.contains(&word));
    let profile = if word == "profile" { Some(profile(cursor)?) } else { None };
    let hosts = values::hosts(cursor, AFTER_HOSTS)?;
    let kind = match word {
        "cut" => FaultKind::Cut,
        "close" => FaultKind::Close,
        "partition" => FaultKind::Partition,
        "heal" => FaultKind::Heal,
        "latency" => FaultKind::Latency(values::time_range(cursor)?),
        "loss" => FaultKind::Loss { per_mille: per_mille(cursor)? },
        "bandwidth" => FaultKind::Bandwidth { bytes_per_second: bandwidth(cursor)? },
        "stall" => FaultKind::Stall,
        "resume" => FaultKind::Resume,
        "crash" => FaultKind::Crash,
        "start" => FaultKind::Start,
        "disk" => FaultKind::Disk(disk(cursor, &hosts)?),
        _ => FaultKind::Profile(profile.unwrap_or_default()),
    };
    let mut towards = None;
    let start = cursor.next_span();
    if cursor.eat_word("to") {
        towards = Some(values::host(cursor)?);
        if !kind.may_be_one_way() {
            return Err(
                Diagnostic::error(start, format!("`{word}` has no direction")).label("expected no `to`")
            );
        }
    }
    let start = cursor.next_span();
    let mut lasting = None;
    if cursor.eat_word("for") {
        lasting = Some(values::time(cursor)?);
        if !kind.may_last() {
            return Err(
                Diagnostic::error(start, format!("`{word}` does not last")).label("expected no `for`")
            );
        }
    }
    let timing = timing(cursor)?;
    Ok((Fault { kind, hosts, towards, lasting }, timing))
}

impl FaultKind {
    /// Whether it can affect only the packets to one host.
    #[must_use]
    pub fn may_be_one_way(&self) -> bool {
        matches!(
            self,
            Self::Partition | Self::Heal | Self::Latency(_) | Self::Loss { .. } | Self::Bandwidth { .. }
        )
    }

    /// Whether it can end by itself.
    #[must_use]
    pub fn may_last(&self) -> bool {
        matches!(
            self,
            Self::Partition
                | Self::Latency(_)
                | Self::Loss { .. }
                | Self::Bandwidth { .. }
                | Self::Stall
                | Self::Crash
        )
    }
}

/// `within 5s`, `after 3s`, `between 0ms..30ms`, `at 90s`, if one is next.
pub(super) fn timing(cursor: &mut Cursor<'_>) -> Parsed<Option<Timing>> {
    Ok(Some(if cursor.eat_word("within") {
        Timing::Within(values::time(cursor)?)
    } else if cursor.eat_word("after") {
        Timing::After(values::time(cursor)?)
    } else if cursor.eat_word("between") {
        Timing::Between(values::time_range(cursor)?)
    } else if cursor.next_is("at") && !is_property(cursor) {
        let at = cursor.clone();
        cursor.eat_word("at");
        if cursor.peek_word().starts_with(|first: char| first.is_ascii_alphabetic()) {
            // `at lest once`
            return guarantee(&mut at.clone()).map(|_| None);
        }
        Timing::At(values::time(cursor)?)
    } else {
        return Ok(None);
    }))
}

fn profile(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    let word = cursor.peek_word();
    if profiles().any(|known| known == word) {
        return Ok(cursor.advance(word.len()).to_owned());
    }
    Err(cursor.expected_one_of("the name of a profile", profiles()))
}

/// `30%`, `0.5%`
fn per_mille(cursor: &mut Cursor<'_>) -> Parsed<u16> {
    cursor.skip_spaces();
    let digits = cursor.run(|character| character.is_ascii_digit() || character == '.');
    let (whole, tenths) = digits.split_once('.').unwrap_or((digits, "0"));
    let tenths = if tenths.len() == 1 { tenths.parse::<u16>().ok() } else { None };
    let per_mille = whole.parse::<u16>().ok().and_then(|whole| whole.checked_mul(10)?.checked_add(tenths?));
    match per_mille.filter(|per_mille| *per_mille <= 1_000 && cursor.rest()[digits.len()..].starts_with('%'))
    {
        Some(per_mille) => {
            cursor.advance(digits.len() + 1);
            Ok(per_mille)
        }
        None => Err(cursor.expected("a share of the packets, at most one decimal: `30%`, `0.5%`")),
    }
}

/// The units of a bandwidth, largest first.
pub(crate) const BANDWIDTHS: &[(&str, u64)] = &[("MB/s", 1_000_000), ("kB/s", 1_000), ("B/s", 1)];

fn bandwidth(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    const EXPECTED: &str = "a bandwidth: `1kB/s`, also B/s and MB/s";
    cursor.skip_spaces();
    let digits = cursor.run(|character| character.is_ascii_digit());
    let unit = BANDWIDTHS.iter().find(|(unit, _)| cursor.rest()[digits.len()..].starts_with(unit));
    let value = digits.parse::<u64>().ok().filter(|value| (1..1 << 40).contains(value));
    match (unit, value) {
        (Some((unit, scale)), Some(value)) => {
            cursor.advance(digits.len() + unit.len());
            Ok(value * scale)
        }
        _ => Err(cursor.expected(EXPECTED)),
    }
}

fn disk(cursor: &mut Cursor<'_>, hosts: &Hosts) -> Parsed<Vec<DiskFault>> {
    let mut faults = Vec::new();
    while let Some((word, fault)) = DISK_FAULTS.iter().find(|(word, _)| *word == cursor.peek_word()) {
        cursor.advance(word.len());
        if !faults.contains(fault) {
            faults.push(*fault);
        }
    }
    if faults.is_empty() {
        let words = DISK_FAULTS.iter().map(|(word, _)| *word);
        // A misspelt word has been read as the name of a host.
        let near = last_host(hosts).and_then(|host| nearest(&host, words.clone()).map(|word| (host, word)));
        let error = cursor.expected_one_of("a disk fault", words);
        return Err(match near {
            Some((host, word)) => error.help(format!("did you mean `{word}` where `{host}` stands?")),
            None => error,
        });
    }
    Ok(faults)
}

fn last_host(hosts: &Hosts) -> Option<Name> {
    match hosts {
        Hosts::All => None,
        Hosts::Named(names) => names.last()?.expand().pop(),
    }
}

/// The step after `wait`.
pub(super) fn wait(cursor: &mut Cursor<'_>) -> Parsed<StepKind> {
    if cursor.eat_word("until") {
        return Ok(StepKind::WaitUntil(values::time(cursor)?));
    }
    if cursor.eat_word("for") {
        if !cursor.eat_word("quiet") {
            return Err(cursor.expected("`quiet` and the longest wait: `wait for quiet 120s`"));
        }
        return Ok(StepKind::WaitForQuiet(values::time(cursor)?));
    }
    Ok(StepKind::Wait(values::time(cursor)?))
}

/// The load after `load`.
pub(super) fn load(cursor: &mut Cursor<'_>) -> Parsed<Load> {
    let publishers = values::hosts(cursor, AFTER_HOSTS)?;
    let topic = if cursor.eat_word("to") {
        values::text(cursor, "a Topic Name")?
    } else {
        return Err(cursor.expected("`to` and a Topic Name: `load d1..d3 to load/$client …`"));
    };
    let mut qos = Vec::new();
    let mut rate = None;
    let mut size = None;
    let lasting: Time = loop {
        cursor.skip_spaces();
        if cursor.eat_word("for") {
            break values::time(cursor)?;
        } else if cursor.eat("qos=") {
            qos = qos_list(cursor)?;
        } else if cursor.eat("rate=") {
            rate = Some(self::rate(cursor)?);
        } else if cursor.eat("size=") {
            size = Some(values::small_number(cursor, "a number of bytes", 0, 268_435_455)?);
        } else {
            return Err(cursor.expected("`qos=0,1,2`, `rate=1/s`, `size=100` or `for` and a duration"));
        }
    };
    let rate = rate.ok_or_else(|| cursor.expected("a `rate=1/s` before `for`"))?;
    if qos.is_empty() {
        qos.push(0);
    }
    Ok(Load { publishers, topic, qos, rate, size, lasting })
}

fn qos_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let mut list = Vec::new();
    loop {
        let qos = values::small_number(cursor, "a QoS", 0, 2)?;
        list.push(u8::try_from(qos).unwrap_or(2));
        if !cursor.eat(",") {
            return Ok(list);
        }
    }
}

/// `50/s`, `1/10s`
fn rate(cursor: &mut Cursor<'_>) -> Parsed<Rate> {
    let count = values::small_number(cursor, "how many messages: `rate=1/s`", 1, 1_000_000)?;
    if !cursor.eat("/") {
        return Err(cursor.expected("`/s` or `/` and a duration"));
    }
    if cursor.eat_word("s") {
        return Ok(Rate { count, per: Duration::from_secs(1) });
    }
    let per = values::duration(cursor)?;
    if per.is_zero() {
        return Err(cursor.expected("a duration above 0"));
    }
    Ok(Rate { count, per })
}

/// Whether the line is a delivery check: `exactly once …`, `qos 2: …`, `sink: …`, `sink qos 2: …`.
pub(super) fn is_property(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    if Guarantee::ALL.iter().any(|guarantee| eat_words(&mut ahead.clone(), guarantee.words())) {
        return true;
    }
    let mut bare = ahead.clone();
    if bare.next_is("qos") {
        return true;
    }
    let word = ahead.peek_word();
    if word.is_empty() {
        return false;
    }
    ahead.advance(word.len());
    ahead.rest().starts_with(':') || ahead.next_is("qos")
}

/// A property, if [`is_property`] is true.
pub(super) fn property(cursor: &mut Cursor<'_>) -> Parsed<Property> {
    let mut property = Property { host: None, qos: None, guarantees: Vec::new() };
    let unscoped = Guarantee::ALL.iter().any(|guarantee| eat_words(&mut cursor.clone(), guarantee.words()));
    if !unscoped {
        if !cursor.next_is("qos") {
            property.host = Some(values::host(cursor)?);
        }
        if cursor.eat_word("qos") {
            let qos = values::small_number(cursor, "a QoS", 0, 2)?;
            property.qos = u8::try_from(qos).ok();
        }
        cursor.skip_spaces();
        if !cursor.eat(":") {
            return Err(cursor.expected("`:` and what must hold: `qos 2: exactly once`"));
        }
    }
    loop {
        property.guarantees.push(guarantee(cursor)?);
        cursor.skip_spaces();
        if !cursor.eat(",") {
            return Ok(property);
        }
    }
}

fn guarantee(cursor: &mut Cursor<'_>) -> Parsed<Guarantee> {
    if let Some(guarantee) = Guarantee::ALL.into_iter().find(|guarantee| eat_words(cursor, guarantee.words()))
    {
        return Ok(guarantee);
    }
    let words = Guarantee::ALL.into_iter().map(Guarantee::words);
    let rest = cursor.rest().split(',').next().unwrap_or_default().trim();
    let near = nearest(rest, words.clone());
    let error = cursor.expected_one_of("what must hold", words);
    Err(match near {
        Some(words) => error.help(format!("did you mean `{words}`?")),
        None => error,
    })
}

/// Reads all of the words if they are next.
fn eat_words(cursor: &mut Cursor<'_>, words: &str) -> bool {
    let mut ahead = cursor.clone();
    let all = words.split(' ').all(|word| ahead.eat_word(word));
    if all {
        *cursor = ahead;
    }
    all
}
