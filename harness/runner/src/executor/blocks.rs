//! `in any order`, and the choice of a branch of `either … or …`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mqttspec_codec::{Packet, Role};
use mqttspec_judge::claims::{self, Shown};
use mqttspec_judge::history::HostIndex;
use mqttspec_notation::{Branch, Step, StepKind, Timing};

use super::blame;
use super::clock::{Tolerance, Window};
use super::matcher::{Expected, Match};
use super::sequence::Sequence;
use super::{Executor, Flow};
use crate::found::Stop;
use crate::hosts::Hosts;
use crate::recorder::{Arrival, Arrived};

/// The first expectation of a branch.
struct Beginning {
    branch: usize,
    host: HostIndex,
    expected: Rc<Expected>,
    window: Window,
    shown: Shown,
}

impl Executor<'_> {
    /// Waits until all of the steps are met, in any order.
    pub(crate) async fn in_any_order(&mut self, steps: &[Step]) -> Flow {
        let mut open: Vec<Sequence> = Vec::new();
        let mut windows = Vec::new();
        for step in self.script.counting(steps) {
            let sequence = Sequence::of(step, &self.script, &self.matcher, &mut self.moves)?;
            let awaited = sequence.awaited();
            if !matches!(awaited, Some(Expected::Packet(_) | Expected::Raw(_) | Expected::Closed(_))) {
                return Err(Stop::broken("only packets and `closed` can come in any order"));
            }
            windows.push(self.clock.window(sequence.timing));
            open.push(sequence);
        }
        // The line whose time ends first; of several, the first in the file.
        while let Some((first, window)) =
            windows.iter().copied().enumerate().min_by_key(|(_, window)| window.until)
        {
            let hosts: Vec<HostIndex> = open.iter().map(|sequence| sequence.host).collect();
            let connect = open.iter().filter_map(Sequence::awaited).any(Expected::awaits_connect);
            let Some((host, arrival)) = self.arrival(&hosts, window.until, connect).await else {
                self.recorder.begin(open[first].line, self.claims.at(open[first].span));
                let expected = unmet(&self.script.hosts, &open, first);
                let owed = open[first].awaited().and_then(Expected::owed);
                let found = self.nothing_arrived(&hosts, &expected, window);
                return Err(blame::silence(found, &[owed]).into());
            };
            let mut met = None;
            let mut nearest: Option<(usize, usize, Match)> = None;
            for (index, sequence) in open.iter().enumerate().filter(|(_, sequence)| sequence.host == host) {
                let Some(expected) = sequence.awaited_shared() else { continue };
                let claimed = self.claims.at(sequence.span);
                let matched = self.compare(&claimed, &expected, &arrival)?;
                if matched == Match::Equal {
                    met = Some((index, expected));
                    break;
                }
                let distance = self.distance(&expected, &arrival)?;
                if nearest.as_ref().is_none_or(|(least, ..)| distance < *least) {
                    nearest = Some((distance, index, matched));
                }
            }
            let Some((index, expected)) = met else {
                let (_, index, matched) = nearest.unwrap_or((0, first, Match::Other));
                self.recorder.begin(open[index].line, self.claims.at(open[index].span));
                let text = unmet(&self.script.hosts, &open, index);
                let found = self.unlike(&text, &arrival, &matched);
                let Some(expected) = open[index].awaited_shared() else { return Err(found.into()) };
                let until = windows[index].until;
                return Err(self.blame(found, host, &expected, &arrival, until).await?.into());
            };
            self.recorder.begin(open[index].line, self.claims.at(open[index].span));
            let packet = self.accept(host, &expected, &arrival, windows[index]).await?;
            open[index].arrived(packet);
            self.advance(&mut open[index]).await?;
            if open[index].awaited().is_none() {
                self.findings.passed.insert(open[index].span.start);
                open.remove(index);
                windows.remove(index);
            } else {
                windows[index] = self.clock.window(Timing::Usual);
            }
        }
        Ok(())
    }

    /// The branch whose first step is met by the next arrival. The branch itself takes the arrival.
    pub(crate) async fn choose(&mut self, step: &Step, branches: &[Branch]) -> Result<usize, Stop> {
        let mut beginnings = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let Some(first) = self.script.counting(&branch.steps).next() else { continue };
            self.beginnings(index, first, &mut beginnings)?;
        }
        self.recorder.begin(self.script.line_of(step.span), of_none(&beginnings));
        let hosts: Vec<HostIndex> = beginnings.iter().map(|beginning| beginning.host).collect();
        let connect = beginnings.iter().any(|beginning| beginning.expected.awaits_connect());
        let fence = self.fence(&beginnings)?;
        let (observer, usual) = (self.script.hosts.observer(), self.clock.timeouts.silence);
        let silence = beginnings.iter().filter_map(|beginning| silence(beginning, observer, usual)).min();
        let last = beginnings.iter().map(|beginning| beginning.window.until).max().unwrap_or_default();
        let until = silence.map_or(last, |(until, _)| until);
        // A branch that starts with `anything` is taken if no other branch is, also on silence.
        let is_anything = |beginning: &&Beginning| matches!(*beginning.expected, Expected::Anything);
        let anything = beginnings.iter().find(is_anything).map(|beginning| beginning.branch);
        let is_told = |beginning: &Beginning| matches!(*beginning.expected, Expected::Told(_));
        let awaits_told = beginnings.iter().any(is_told);
        loop {
            if let Some(branch) = self.told_beginning(&beginnings)? {
                return Ok(branch);
            }
            let Some((host, arrival)) =
                self.inboxes.oldest(&hosts, connect).filter(|(_, arrival)| arrival.at <= until)
            else {
                let can_change = silence.is_some() || awaits_told || self.inboxes.can_arrive(&hosts);
                if self.clock.now() <= until && can_change {
                    match silence {
                        Some(_) => self.clock.watch_for_change(until).await,
                        None => self.clock.wait_for_change(until).await,
                    }
                    continue;
                }
                if let Some(branch) = silence.map(|(_, branch)| branch).or(anything) {
                    return Ok(branch);
                }
                let expected = any_of(&self.script.hosts, &beginnings);
                let window = Window {
                    start: self.clock.done_at(),
                    from: None,
                    until,
                    tolerance: Tolerance::default(),
                };
                let owed: Vec<_> = beginnings.iter().map(|beginning| beginning.expected.owed()).collect();
                let found = self.nothing_arrived(&hosts, &expected, window);
                return Err(blame::silence(found, &owed).into());
            };
            if let Some(branch) = fence.filter(|_| is_pingresp(&arrival)) {
                // The branch sends its own PINGREQ when it proves its `nothing`.
                self.inboxes.drop_front(host);
                return Ok(branch);
            }
            let mut chosen = None;
            for beginning in beginnings.iter().filter(|beginning| beginning.host == host) {
                // Captures take their values when the branch takes the packet.
                if self.would_take(&beginning.shown, &beginning.expected, &arrival)? {
                    chosen = Some(beginning.branch);
                    break;
                }
            }
            if let Some(branch) = chosen.or(anything) {
                if fence.is_some() {
                    self.inboxes.owe_ping(host);
                }
                return Ok(branch);
            }
            let expected = any_of(&self.script.hosts, &beginnings);
            let found = self.unlike(&expected, &arrival, &Match::Other);
            let of_host = beginnings.iter().filter(|beginning| beginning.host == host);
            let beginnings: Vec<(&Expected, Duration)> =
                of_host.map(|beginning| (&*beginning.expected, beginning.window.until)).collect();
            return Err(self.blame_any(found, host, &beginnings, &arrival).await?.into());
        }
    }

    fn beginnings(&mut self, branch: usize, step: &Step, beginnings: &mut Vec<Beginning>) -> Flow {
        match &step.kind {
            StepKind::InAnyOrder(steps) => {
                for step in self.script.counting(steps) {
                    self.beginnings(branch, step, beginnings)?;
                }
            }
            StepKind::Either(branches) => {
                for step in branches.iter().filter_map(|branch| branch.steps.first()) {
                    self.beginnings(branch, step, beginnings)?;
                }
            }
            _ => {
                let sequence = Sequence::of(step, &self.script, &self.matcher, &mut self.moves)?;
                let Some(expected) = sequence.awaited_shared() else {
                    return Err(Stop::broken("a branch must start with an expectation"));
                };
                let window = self.clock.window(sequence.timing);
                let shown = self.claims.at(step.span);
                beginnings.push(Beginning { branch, host: sequence.host, expected, window, shown });
            }
        }
        Ok(())
    }

    /// Sends the PINGREQ that proves a branch that begins with `nothing`; returns that branch.
    fn fence(&mut self, beginnings: &[Beginning]) -> Result<Option<usize>, Stop> {
        let proves = |beginning: &&Beginning| matches!(*beginning.expected, Expected::Nothing(None));
        let is_client = self.script.hosts.observer() == Role::Client;
        let Some(beginning) = beginnings.iter().find(proves).filter(|_| is_client) else {
            return Ok(None);
        };
        if self.inboxes.is_open(beginning.host) {
            self.wire.send_packet(beginning.host, Packet::PingReq)?;
            self.clock.done_now();
        }
        Ok(Some(beginning.branch))
    }

    fn told_beginning(&mut self, beginnings: &[Beginning]) -> Result<Option<usize>, Stop> {
        for beginning in beginnings {
            if let Expected::Told(report) = &*beginning.expected
                && self.clients.was_told(beginning.host, report, &mut self.matcher)?
            {
                return Ok(Some(beginning.branch));
            }
        }
        Ok(None)
    }
}

/// The time at which a branch that starts with `nothing` is taken if nothing arrives, and the
/// branch.
fn silence(beginning: &Beginning, observer: Role, usual: Duration) -> Option<(Duration, usize)> {
    let lasting = match (&*beginning.expected, observer) {
        (Expected::Nothing(Some(lasting)), _) => *lasting,
        (Expected::Nothing(None), Role::Server) => usual,
        _ => return None,
    };
    Some((beginning.window.from.unwrap_or(beginning.window.start) + lasting, beginning.branch))
}

/// The clauses that are broken if no branch is met.
fn of_none(beginnings: &[Beginning]) -> Shown {
    let mut branches: BTreeMap<usize, Vec<&Shown>> = BTreeMap::new();
    for beginning in beginnings {
        branches.entry(beginning.branch).or_default().push(&beginning.shown);
    }
    let of_branches: Vec<Shown> =
        branches.into_values().map(|lines| claims::all(lines.into_iter())).collect();
    claims::common(&of_branches)
}

fn is_pingresp(arrival: &Arrival) -> bool {
    matches!(arrival.what, Arrived::Packet(Packet::PingResp))
}

/// The line of a block that is not met, and the others that are still open, each with its number.
fn unmet(hosts: &Hosts, open: &[Sequence], line: usize) -> String {
    let text = |sequence: &Sequence| {
        let expected = sequence.awaited().map(Expected::text).unwrap_or_default();
        hosts.directed(sequence.host, &expected)
    };
    let mut unmet = text(&open[line]);
    for other in open.iter().enumerate().filter(|(index, _)| *index != line).map(|(_, other)| other) {
        unmet.push_str(&format!("\n  and in any order, line {}: {}", other.line, text(other)));
    }
    unmet
}

fn any_of(hosts: &Hosts, beginnings: &[Beginning]) -> String {
    let line = |beginning: &Beginning| hosts.directed(beginning.host, &beginning.expected.text());
    let lines: Vec<String> = beginnings.iter().map(line).collect();
    lines.join("\n  or ")
}
