//! Parses times, waits, loads and delivery checks.

use core::time::Duration;

use super::cursor::{Cursor, Parsed};
use super::values;
use crate::lexicon::AFTER_HOSTS;
use crate::vocabulary::nearest;
use crate::{Guarantee, Load, Property, Rate, StepKind, Time, Timing};

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

/// Whether the line is a property: `exactly once …`, `qos 2: …`, `sink: …`, `sink qos 2: …`.
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
