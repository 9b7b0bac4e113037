//! The links between hosts: one per ordered pair, each with its own settings.

use crate::seed::Draw;
use mqttspec_faults::{LinkState, Probability};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The transit time of a segment.
///
/// Segments of one connection never overtake each other, whatever latency is drawn for each. The
/// clock has a resolution of one millisecond: a segment that arrives between two ticks is delivered
/// at the later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Uniformly distributed from the first to the second.
    Range(Duration, Duration),
    /// Given by five quantiles: minimum, median, 90th and 99th percentile, maximum; uniformly
    /// distributed between neighbours. Computed with integers only, so that the result is the same
    /// on every machine.
    Quantiles([Duration; 5]),
}

impl Latency {
    fn draw(&self, draw: &mut Draw) -> Duration {
        match self {
            Latency::Fixed(always) => *always,
            Latency::Range(low, high) => draw.duration(*low, *high),
            Latency::Quantiles(quantiles) => {
                let band = match draw.below(100) {
                    0..50 => 0,
                    50..90 => 1,
                    90..99 => 2,
                    _ => 3,
                };
                draw.duration(quantiles[band], quantiles[band + 1])
            }
        }
    }
}

impl From<Duration> for Latency {
    fn from(always: Duration) -> Latency {
        Latency::Fixed(always)
    }
}

impl From<std::ops::RangeInclusive<Duration>> for Latency {
    fn from(range: std::ops::RangeInclusive<Duration>) -> Latency {
        Latency::Range(*range.start(), *range.end())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Latency::Fixed(always) => write!(f, "{always:?}"),
            Latency::Range(low, high) => write!(f, "{low:?}..{high:?}"),
            Latency::Quantiles(q) => write!(f, "{:?} {:?} {:?} {:?} {:?}", q[0], q[1], q[2], q[3], q[4]),
        }
    }
}

/// A change of a link's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkChange {
    /// The link drops every segment; senders keep retrying as TCP does.
    Partitioned,
    /// The link works again: no partition, no hold, no refusal.
    Healed,
    /// Segments are held in transit, in order.
    Held,
    /// Held segments continue.
    Released,
    /// The latency of each segment.
    Latency(Latency),
    /// The faults of courses that are in force, in addition to the other settings.
    Faults(LinkState),
    /// The probability of losing each segment.
    Loss(Probability),
    /// The maximum number of bytes per second; `None` for no limit.
    Bandwidth(Option<u64>),
    /// New connection requests are answered with a reset.
    Refusing,
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkChange::Partitioned => f.write_str("partitioned"),
            LinkChange::Healed => f.write_str("healed"),
            LinkChange::Held => f.write_str("held"),
            LinkChange::Released => f.write_str("released"),
            LinkChange::Latency(latency) => write!(f, "latency {latency}"),
            LinkChange::Faults(state) => write!(f, "{state}"),
            LinkChange::Loss(loss) => write!(f, "loss {:.3} %", loss.as_fraction() * 100.0),
            LinkChange::Bandwidth(Some(bytes)) => write!(f, "bandwidth {bytes} B/s"),
            LinkChange::Bandwidth(None) => f.write_str("bandwidth unlimited"),
            LinkChange::Refusing => f.write_str("refuses connections"),
        }
    }
}

/// One direction between two hosts.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    latency: Latency,
    pub(crate) loss: Probability,
    bytes_per_second: Option<u64>,
    partitioned: bool,
    pub(crate) held: bool,
    pub(crate) refusing: bool,
    /// Of courses, on top of the rest.
    faults: LinkState,
}

impl Link {
    pub(crate) fn new(latency: Latency) -> Link {
        Link {
            latency,
            loss: Probability::NEVER,
            bytes_per_second: None,
            partitioned: false,
            held: false,
            refusing: false,
            faults: LinkState::default(),
        }
    }

    /// Draws the transit time of one segment.
    pub(crate) fn draw_latency(&self, draw: &mut Draw) -> Duration {
        let latency = match &self.faults.latency {
            None => self.latency.draw(draw),
            Some(fixed) if fixed.start() == fixed.end() => *fixed.start(),
            Some(range) => draw.duration(*range.start(), *range.end()),
        };
        latency + self.faults.added_latency
    }

    /// Nothing passes.
    pub(crate) fn is_partitioned(&self) -> bool {
        self.partitioned || self.faults.partitioned
    }

    /// The probability with which a segment is lost.
    pub(crate) fn loss(&self) -> Probability {
        self.faults.loss.unwrap_or(self.loss)
    }

    /// The most that it carries.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.faults.bytes_per_second.or(self.bytes_per_second)
    }

    pub(crate) fn set_latency(&mut self, latency: Latency) {
        self.latency = latency;
    }

    fn apply(&mut self, change: &LinkChange) {
        match change {
            LinkChange::Partitioned => self.partitioned = true,
            LinkChange::Healed => (self.partitioned, self.held, self.refusing) = (false, false, false),
            LinkChange::Held => self.held = true,
            LinkChange::Released => self.held = false,
            LinkChange::Latency(latency) => self.latency = latency.clone(),
            LinkChange::Faults(state) => self.faults = state.clone(),
            LinkChange::Loss(loss) => self.loss = *loss,
            LinkChange::Bandwidth(limit) => self.bytes_per_second = *limit,
            LinkChange::Refusing => self.refusing = true,
        }
    }
}

/// The links that a fault affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    Between(u16, u16),
    OneWay(u16, u16),
    Around(u16),
    From(u16),
    To(u16),
    Everywhere,
}

impl Selection {
    /// Whether the selection contains the link from one host to the other.
    pub(crate) fn covers(self, from: u16, to: u16) -> bool {
        match self {
            Selection::Between(a, b) => (from, to) == (a, b) || (from, to) == (b, a),
            Selection::OneWay(a, b) => (from, to) == (a, b),
            Selection::Around(host) => from == host || to == host,
            Selection::From(host) => from == host,
            Selection::To(host) => to == host,
            Selection::Everywhere => true,
        }
    }
}

/// The links with individual settings, and the settings of all others.
#[derive(Debug)]
pub(crate) struct Links {
    usual: Link,
    special: Special,
    hosts: u16,
}

/// The links with individual settings, by (from, to).
#[derive(Debug)]
enum Special {
    /// For few hosts, with a place for each pair once there is such a link: links are looked up for
    /// each segment.
    Few(Vec<Option<Box<Link>>>),
    Many(BTreeMap<(u16, u16), Link>),
}

/// The largest number of hosts for which each pair has a place.
const FEW_HOSTS: u16 = 64;

impl Links {
    pub(crate) fn new(usual: Link, hosts: u16) -> Links {
        let special =
            if hosts <= FEW_HOSTS { Special::Few(Vec::new()) } else { Special::Many(BTreeMap::new()) };
        Links { usual, special, hosts }
    }

    pub(crate) fn get(&self, from: u16, to: u16) -> &Link {
        let special = match &self.special {
            Special::Few(places) => {
                let place = usize::from(from) * usize::from(self.hosts) + usize::from(to);
                places.get(place).and_then(Option::as_deref)
            }
            Special::Many(links) => links.get(&(from, to)),
        };
        special.unwrap_or(&self.usual)
    }

    /// The link with the usual settings until it gets its own.
    fn individual(&mut self, from: u16, to: u16) -> &mut Link {
        let usual = &self.usual;
        match &mut self.special {
            Special::Few(places) => {
                let hosts = usize::from(self.hosts);
                if places.is_empty() {
                    places.resize_with(hosts * hosts, || None);
                }
                let place = &mut places[usize::from(from) * hosts + usize::from(to)];
                place.get_or_insert_with(|| Box::new(usual.clone()))
            }
            Special::Many(links) => links.entry((from, to)).or_insert_with(|| usual.clone()),
        }
    }

    pub(crate) fn apply(&mut self, selection: Selection, change: &LinkChange) {
        if selection == Selection::Everywhere {
            self.usual.apply(change);
            match &mut self.special {
                Special::Few(places) => places.iter_mut().flatten().for_each(|link| link.apply(change)),
                Special::Many(links) => links.values_mut().for_each(|link| link.apply(change)),
            }
            return;
        }
        for (from, to) in self.pairs(selection) {
            self.individual(from, to).apply(change);
        }
    }

    /// The selected links, each as (from, to).
    pub(crate) fn pairs(&self, selection: Selection) -> Vec<(u16, u16)> {
        let others = |host: u16| (0..self.hosts).filter(move |&other| other != host);
        match selection {
            Selection::Between(a, b) => vec![(a, b), (b, a)],
            Selection::OneWay(a, b) => vec![(a, b)],
            Selection::Around(host) => {
                others(host).flat_map(|other| [(host, other), (other, host)]).collect()
            }
            Selection::From(host) => others(host).map(|other| (host, other)).collect(),
            Selection::To(host) => others(host).map(|other| (other, host)).collect(),
            Selection::Everywhere => {
                (0..self.hosts).flat_map(|from| others(from).map(move |to| (from, to))).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_latency_by_quantiles_keeps_its_quantiles() {
        let ms = Duration::from_millis;
        let latency = Latency::Quantiles([ms(10), ms(20), ms(50), ms(200), ms(900)]);
        let mut draw = Seed::new(3).draw();
        let mut drawn: Vec<Duration> = (0..10_000).map(|_| latency.draw(&mut draw)).collect();
        drawn.sort();
        assert!(drawn[0] >= ms(10) && drawn[9_999] <= ms(900));
        assert!((ms(19)..=ms(21)).contains(&drawn[5_000]), "{:?}", drawn[5_000]);
        assert!((ms(45)..=ms(55)).contains(&drawn[9_000]), "{:?}", drawn[9_000]);
    }

    #[test]
    fn healing_one_direction_leaves_the_other_cut() {
        let mut links = Links::new(Link::new(Latency::Fixed(Duration::ZERO)), 3);
        links.apply(Selection::Around(0), &LinkChange::Partitioned);
        links.apply(Selection::OneWay(0, 1), &LinkChange::Healed);
        assert!(!links.get(0, 1).partitioned);
        assert!(links.get(1, 0).partitioned);
        assert!(links.get(2, 0).partitioned);
        assert!(!links.get(1, 2).partitioned);
        links.apply(Selection::Everywhere, &LinkChange::Healed);
        assert!(!links.get(2, 0).partitioned);
    }
}
