//! Generates `CHECKS.md`, the table of checks by packet, from the rows of `tests/tables/malformed`,
//! against which `tests/malformed.rs` tests the decoder.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use mqttspec_codec::{Answer, Misdeed, PacketType, Policy, Version, decode_from};
use support::rows;

const HEAD: &str = "\
# Checks by packet

Each line is one misdeed, named by its variant of `Misdeed`. The clause is given per version; a rule
without a number is cited by the section that states it, and a rule that applies to several packets by
the section of one of them. The last column is the answer of a 5.0 receiver before it closes the
Network Connection: a Reason Code in DISCONNECT, or in CONNACK if the packet is CONNECT. A 3.1 or 3.1.1
receiver closes without an answer, except for the three misdeeds marked with a Connect Return code.

This page is generated from the rows of `tests/tables/malformed`, against which the decoder is tested.
`cargo test` fails if the page is out of date.
";

/// The packets and versions in which the rows show each misdeed.
type Shown = BTreeMap<Misdeed, BTreeMap<PacketType, BTreeSet<Version>>>;

fn shown() -> Shown {
    let mut shown = Shown::new();
    for row in rows("malformed") {
        let frame = Bytes::from(row.wire.bytes);
        let error = decode_from(Some(row.sender), &frame, row.version, Policy::LENIENT).unwrap_err();
        if let Some(packet) = error.packet {
            let version = if row.version == Version::V5 { Version::V5 } else { Version::V3_1_1 };
            shown.entry(error.kind).or_default().entry(packet).or_default().insert(version);
        }
    }
    shown
}

/// The enum lists the misdeeds of the fixed header, the data types and the Properties first.
fn is_general(misdeed: Misdeed) -> bool {
    misdeed <= Misdeed::PropertyRepeated || misdeed == Misdeed::ReasonCodeInvalid
}

fn rule(misdeed: Misdeed, version: Version, packet: Option<PacketType>) -> String {
    match (misdeed.clause(version, packet), misdeed.section(version)) {
        (Some(clause), _) => clause.to_owned(),
        (None, Some(section)) => format!("§{section}"),
        (None, None) => "–".to_owned(),
    }
}

fn answer(misdeed: Misdeed, packet: Option<PacketType>, in_5: bool) -> String {
    let in_5 = in_5 && misdeed.section(Version::V5).is_some();
    let five = match in_5.then(|| misdeed.answer(Version::V5, packet)) {
        Some(Answer::Disconnect(reason)) => format!("0x{:02X}", u8::from(reason)),
        Some(Answer::ConnAck(reason)) => format!("0x{:02X}", u8::from(reason)),
        Some(Answer::Close) | None => "–".to_owned(),
    };
    match misdeed.answer(Version::V3_1_1, packet) {
        Answer::ConnAck(reason) => format!("{five}; return code {}", reason.return_code().unwrap()),
        Answer::Close | Answer::Disconnect(_) => five,
    }
}

fn line(page: &mut String, misdeed: Misdeed, packet: Option<PacketType>, versions: [bool; 2]) {
    let [three, five] = [Version::V3_1_1, Version::V5].map(|version| rule(misdeed, version, packet));
    let shown = |rule: String, shown: bool| if shown { rule } else { "–".to_owned() };
    let (five, three) = (shown(five, versions[1]), shown(three, versions[0]));
    let answer = answer(misdeed, packet, versions[1]);
    writeln!(page, "| {misdeed} | `{}` | {five} | {three} | {answer} |", misdeed.name()).unwrap();
}

fn heading(page: &mut String, title: &str) {
    writeln!(page, "\n## {title}\n\n| refused | `Misdeed` | 5.0 | 3.1.1 | answer |\n|---|---|---|---|---|")
        .unwrap();
}

fn page() -> String {
    let shown = shown();
    let mut page = HEAD.to_owned();
    heading(&mut page, "Any packet with such a field");
    for &misdeed in Misdeed::ALL.iter().filter(|&&misdeed| is_general(misdeed)) {
        line(&mut page, misdeed, None, [true, true]);
    }
    for packet in PacketType::ALL {
        let mut own = String::new();
        for (&misdeed, packets) in &shown {
            let Some(versions) = packets.get(&packet) else { continue };
            let seen = [Version::V3_1_1, Version::V5].map(|version| versions.contains(&version));
            // Repeat a general rule here if it has a separate number for this packet.
            let number = |packet| rule(misdeed, Version::V5, packet);
            if !is_general(misdeed) || (seen[1] && number(Some(packet)) != number(None)) {
                line(&mut own, misdeed, Some(packet), seen);
            }
        }
        if !own.is_empty() {
            heading(&mut page, packet.name());
            page.push_str(&own);
        }
    }
    heading(&mut page, "By policy");
    for &misdeed in
        Misdeed::ALL.iter().filter(|&&misdeed| !is_general(misdeed) && !shown.contains_key(&misdeed))
    {
        line(&mut page, misdeed, None, [true, true]);
    }
    page
}

#[test]
fn checks_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("CHECKS.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == page,
        "CHECKS.md is out of date: run the test with UPDATE=1 and review the difference"
    );
}

/// Misdeeds without a row are listed under "By policy"; all of them must depend on a policy.
#[test]
fn every_misdeed_without_a_row_depends_on_a_policy() {
    let shown = shown();
    let others: Vec<_> = Misdeed::ALL
        .iter()
        .filter(|&&misdeed| !is_general(misdeed) && !shown.contains_key(&misdeed))
        .map(ToString::to_string)
        .filter(|sentence| !sentence.ends_with("refused by policy"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}
