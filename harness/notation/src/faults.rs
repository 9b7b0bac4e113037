//! Faults in the notation: their words, how they are read and printed, and what they ask of a
//! backend.

use core::time::Duration;

use mqttspec_faults::{Fault as Asked, Probability, Profile, Way};

use crate::diagnostics::Diagnostic;
use crate::lexicon::{AFTER_HOSTS, FAULT_WORDS};
use crate::parse::cursor::{Cursor, Parsed};
use crate::parse::values as read;
use crate::print::places as written;
use crate::vocabulary::{nearest, profiles};
use crate::{Hosts, Name, Time, TimeRange};

/// A fault, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The affected hosts. For [`FaultKind::Crash`], [`FaultKind::Start`] and [`FaultKind::Disk`]
    /// mostly the host `broker`.
    pub hosts: Hosts,
    /// `to broker`: only packets from `hosts` to that host are affected. Only for partition, heal,
    /// latency, loss and bandwidth.
    pub towards: Option<Name>,
    /// `for 5s`: it ends after this time; the next step does not wait for the end. Only for
    /// partition, latency, loss, bandwidth, stall, crash, and profiles that have a duration.
    pub lasting: Option<Time>,
}

/// The effect of a [`Fault`] on each of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// `cut device`: its connections are reset.
    Cut,
    /// `close device`: its connections are closed without a DISCONNECT, after all previous packets.
    Close,
    /// `partition device`: no packet from or to it arrives; connections stay open.
    Partition,
    /// `heal device`: ends partition, latency, loss and bandwidth on its links.
    Heal,
    /// `latency device 500ms..800ms`: the latency of each packet, drawn by the seed.
    Latency(TimeRange),
    /// `loss device 30%`: in thousandths, so `0.5%` is 5.
    Loss {
        /// The share of packets that are lost, and then sent again by the transport.
        per_mille: u16,
    },
    /// `bandwidth device 1kB/s`
    Bandwidth {
        /// The bandwidth of each direction.
        bytes_per_second: u64,
    },
    /// `stall device`: it stops reading from its connections.
    Stall,
    /// `resume device`: it reads again.
    Resume,
    /// `crash broker`: the process ends as in a power failure; its disk may lose unsynced writes.
    Crash,
    /// `start broker`: the process starts again, with the data on its disk.
    Start,
    /// `disk broker lose-unsynced torn`: faults of the disk.
    Disk(Vec<DiskFault>),
    /// `profile packet-loss d1 d2 50% for 60s`: a fault profile, which ends by itself.
    Profile(ProfileFault),
}

/// A fault profile, and the measure that replaces its usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFault {
    /// Its name: `packet-loss`.
    pub name: Name,
    /// Its strength, if the line gives one. Its duration is [`Fault::lasting`].
    pub measure: Option<Measure>,
}

/// How strong a fault profile is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `profile high-latency device 300ms`: how much longer each direction takes.
    Added(Duration),
    /// `profile packet-loss device 50%`: the share of segments that are lost, in thousandths.
    Loss {
        /// The share.
        per_mille: u16,
    },
    /// `profile intermittent-link device 3s on 1s off`: how long the link works, and how long it
    /// is partitioned, in turns.
    Turns {
        /// How long it works at a time.
        on: Duration,
        /// How long it is partitioned at a time.
        off: Duration,
    },
}

impl ProfileFault {
    /// The profile with its usual parameters, but for the measure; `None` if there is no such
    /// profile, or if it has no such measure.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        let mut profile = Profile::named(&self.name)?;
        match (&mut profile, self.measure) {
            (_, None) => {}
            (Profile::HighLatency { added, .. }, Some(Measure::Added(more))) => *added = more,
            (Profile::PacketLoss { probability, .. }, Some(Measure::Loss { per_mille })) => {
                *probability = Probability::fraction(f64::from(per_mille) / 1000.0);
            }
            (Profile::Intermittent { on, off, .. }, Some(Measure::Turns { on: works, off: fails })) => {
                (*on, *off) = (works, fails);
            }
            _ => return None,
        }
        Some(profile)
    }
}

/// A fault of a disk. All but `full` concern unsynced writes in a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFault {
    /// `sound`: keeps them all.
    Sound,
    /// `lose-unsynced`: loses them.
    LoseUnsynced,
    /// `torn`: keeps a part of them, in blocks.
    Torn,
    /// `full`: refuses writes.
    Full,
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

    /// What it asks of a link, if it begins something there.
    #[must_use]
    pub fn on_link(&self, on: Way) -> Option<Asked> {
        Some(match self {
            Self::Cut => Asked::Reset { on },
            Self::Partition => Asked::Partition { on },
            Self::Latency(range) => {
                let (least, most) = range.on(false);
                Asked::Latency { on, latency: least..=most }
            }
            Self::Loss { per_mille } => {
                let probability = Probability::fraction(f64::from(*per_mille) / 1000.0);
                Asked::Loss { on, probability }
            }
            Self::Bandwidth { bytes_per_second } => {
                Asked::Bandwidth { on, bytes_per_second: *bytes_per_second }
            }
            _ => return None,
        })
    }

    /// What it asks of a host, if it begins something there.
    #[must_use]
    pub fn on_host(&self, host: Name) -> Option<Asked> {
        match self {
            Self::Stall => Some(Asked::StalledReader { host }),
            Self::Crash => Some(Asked::Crash { host }),
            Self::Disk(words) if words.contains(&DiskFault::Full) => Some(Asked::FullDisk { host }),
            _ => None,
        }
    }

    /// Whether it can end by itself.
    #[must_use]
    pub fn may_last(&self) -> bool {
        if let Self::Profile(profile) = self {
            return profile.profile().is_some_and(|profile| profile.lasting(Duration::ZERO).is_some());
        }
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

/// The words of [`DiskFault`].
const DISK_FAULTS: &[(&str, DiskFault)] = &[
    ("sound", DiskFault::Sound),
    ("lose-unsynced", DiskFault::LoseUnsynced),
    ("torn", DiskFault::Torn),
    ("full", DiskFault::Full),
];

/// A fault, without its time. `word` is its first word, one of [`FAULT_WORDS`], and is read already.
pub(crate) fn read(cursor: &mut Cursor<'_>, word: &str) -> Parsed<Fault> {
    debug_assert!(FAULT_WORDS.contains(&word));
    let profile = if word == "profile" { Some(profile(cursor)?) } else { None };
    let hosts = read::hosts(cursor, AFTER_HOSTS)?;
    let kind = match word {
        "cut" => FaultKind::Cut,
        "close" => FaultKind::Close,
        "partition" => FaultKind::Partition,
        "heal" => FaultKind::Heal,
        "latency" => FaultKind::Latency(read::time_range(cursor)?),
        "loss" => FaultKind::Loss { per_mille: per_mille(cursor)? },
        "bandwidth" => FaultKind::Bandwidth { bytes_per_second: bandwidth(cursor)? },
        "stall" => FaultKind::Stall,
        "resume" => FaultKind::Resume,
        "crash" => FaultKind::Crash,
        "start" => FaultKind::Start,
        "disk" => FaultKind::Disk(disk(cursor, &hosts)?),
        _ => {
            let name = profile.unwrap_or_default();
            let measure = measure(cursor, &name)?;
            FaultKind::Profile(ProfileFault { name, measure })
        }
    };
    let mut towards = None;
    let start = cursor.next_span();
    if cursor.eat_word("to") {
        towards = Some(read::host(cursor)?);
        if !kind.may_be_one_way() {
            return Err(
                Diagnostic::error(start, format!("`{word}` has no direction")).label("expected no `to`")
            );
        }
    }
    let start = cursor.next_span();
    let mut lasting = None;
    if cursor.eat_word("for") {
        lasting = Some(read::time(cursor)?);
        if !kind.may_last() {
            return Err(
                Diagnostic::error(start, format!("`{word}` does not last")).label("expected no `for`")
            );
        }
    }
    Ok(Fault { kind, hosts, towards, lasting })
}

fn profile(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    let word = cursor.peek_word();
    if profiles().any(|known| known == word) {
        return Ok(cursor.advance(word.len()).to_owned());
    }
    Err(cursor.expected_one_of("the name of a profile", profiles()))
}

/// The measure of a profile that has one, if it is next.
fn measure(cursor: &mut Cursor<'_>, profile: &str) -> Parsed<Option<Measure>> {
    cursor.skip_spaces();
    if !cursor.rest().starts_with(|next: char| next.is_ascii_digit()) {
        return Ok(None);
    }
    match Profile::named(profile) {
        Some(Profile::PacketLoss { .. }) => Ok(Some(Measure::Loss { per_mille: per_mille(cursor)? })),
        Some(Profile::HighLatency { .. }) => Ok(Some(Measure::Added(read::duration(cursor)?))),
        Some(Profile::Intermittent { .. }) => {
            let on = turn(cursor, "on")?;
            let off = turn(cursor, "off")?;
            Ok(Some(Measure::Turns { on, off }))
        }
        _ => Err(cursor.expected("no measure: this profile has only a duration, as in `for 5s`")),
    }
}

/// `3s on`
fn turn(cursor: &mut Cursor<'_>, word: &str) -> Parsed<Duration> {
    let time = read::duration(cursor)?;
    if cursor.eat_word(word) {
        return Ok(time);
    }
    Err(cursor.expected(&format!("`{word}`: the link alternates, as in `3s on 1s off`")))
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
const BANDWIDTHS: &[(&str, u64)] = &[("MB/s", 1_000_000), ("kB/s", 1_000), ("B/s", 1)];

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

impl Fault {
    /// Its line without its hosts and its timing: `packet-loss 50% for 60s`, `partition for 5s`.
    #[must_use]
    pub fn brief(&self) -> String {
        let lasting = self.lasting.map(|time| Time { live: None, ..time });
        let words = print_on(&Self { lasting, ..self.clone() }, "");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        words.strip_prefix("profile ").map_or(words.clone(), str::to_owned)
    }
}

pub(crate) fn print(fault: &Fault) -> String {
    print_on(fault, &written::hosts(&fault.hosts))
}

fn print_on(fault: &Fault, hosts: &str) -> String {
    let mut written = match &fault.kind {
        FaultKind::Cut => format!("cut {hosts}"),
        FaultKind::Close => format!("close {hosts}"),
        FaultKind::Partition => format!("partition {hosts}"),
        FaultKind::Heal => format!("heal {hosts}"),
        FaultKind::Latency(range) => format!("latency {hosts} {}", written::time_range(*range, true)),
        FaultKind::Loss { per_mille } => format!("loss {hosts} {}", share_text(*per_mille)),
        FaultKind::Bandwidth { bytes_per_second } => {
            format!("bandwidth {hosts} {}", bandwidth_text(*bytes_per_second))
        }
        FaultKind::Stall => format!("stall {hosts}"),
        FaultKind::Resume => format!("resume {hosts}"),
        FaultKind::Crash => format!("crash {hosts}"),
        FaultKind::Start => format!("start {hosts}"),
        FaultKind::Disk(faults) => {
            let words = DISK_FAULTS.iter().filter(|(_, fault)| faults.contains(fault)).map(|(word, _)| *word);
            format!("disk {hosts} {}", words.collect::<Vec<_>>().join(" "))
        }
        FaultKind::Profile(ProfileFault { name, measure }) => {
            let measure = measure.map_or_else(String::new, |measure| format!(" {}", measure_text(measure)));
            format!("profile {name} {hosts}{measure}")
        }
    };
    if let Some(host) = &fault.towards {
        written = format!("{written} to {host}");
    }
    if let Some(time) = fault.lasting {
        written = format!("{written} for {}", written::time(time));
    }
    written
}

fn share_text(per_mille: u16) -> String {
    match (per_mille / 10, per_mille % 10) {
        (whole, 0) => format!("{whole}%"),
        (whole, tenths) => format!("{whole}.{tenths}%"),
    }
}

fn measure_text(measure: Measure) -> String {
    match measure {
        Measure::Added(added) => written::duration(added),
        Measure::Loss { per_mille } => share_text(per_mille),
        Measure::Turns { on, off } => {
            format!("{} on {} off", written::duration(on), written::duration(off))
        }
    }
}

fn bandwidth_text(bytes_per_second: u64) -> String {
    let fits = |scale: u64| bytes_per_second.is_multiple_of(scale);
    let (unit, scale) = BANDWIDTHS.iter().find(|(_, scale)| fits(*scale)).copied().unwrap_or(("B/s", 1));
    format!("{}{unit}", bytes_per_second / scale)
}
