//! Prints times and hosts: when and where something happens.

use core::time::Duration;

use crate::{HostName, Hosts, Time, TimeRange};

pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let (scale, unit) = match micros {
        0 => (1_000, "ms"),
        _ if micros.is_multiple_of(3_600_000_000) => (3_600_000_000, "h"),
        _ if micros.is_multiple_of(60_000_000) && micros >= 600_000_000 => (60_000_000, "m"),
        1_000_000.. => (1_000_000, "s"),
        1_000.. => (1_000, "ms"),
        _ => (1, "us"),
    };
    let (whole, rest) = (micros / scale, micros % scale);
    if rest == 0 {
        return format!("{whole}{unit}");
    }
    let digits = if scale == 1_000 { 3 } else { 6 };
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

pub(crate) fn time(time: Time) -> String {
    match time.live {
        None => duration(time.simulated),
        Some(live) => format!("{} [live {}]", duration(time.simulated), duration(live)),
    }
}

/// `5ms..40ms`; one duration if both ends are the same and `shorten` allows it.
pub(crate) fn time_range(range: TimeRange, shorten: bool) -> String {
    let one = |(from, to): (Duration, Duration)| {
        if shorten && from == to { duration(from) } else { format!("{}..{}", duration(from), duration(to)) }
    };
    match range.live {
        None => one(range.simulated),
        Some(live) => format!("{} [live {}]", one(range.simulated), one(live)),
    }
}

pub(crate) fn host_name(name: &HostName) -> String {
    match name {
        HostName::One(name) => name.clone(),
        HostName::Numbered { prefix, first, last } => format!("{prefix}{first}..{prefix}{last}"),
    }
}

pub(crate) fn hosts(hosts: &Hosts) -> String {
    match hosts {
        Hosts::All => "all".to_owned(),
        Hosts::Named(names) => names.iter().map(host_name).collect::<Vec<_>>().join(" "),
    }
}
