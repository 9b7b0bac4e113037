//! Blocks that leave something open: `in any order`, and the choice of a branch in `either … or …`.

use core::time::Duration;

use mqttspec_codec::{Packet, Role};

use super::director::{Director, Flow};
use super::expect::{Expected, Unlike, Window};
use super::found::Stop;
use super::sequence::Sequence;
use super::stage::{Arrival, Arrived};
use mqttspec_judge::history::Lane;
use mqttspec_notation::{Branch, Step, StepKind};

/// How a branch can begin.
struct Beginning {
    branch: usize,
    lane: Lane,
    expected: Expected,
    window: Window,
}

impl Director<'_> {
    /// All of the steps must be met, in whatever order they come.
    pub(crate) async fn in_any_order(&mut self, steps: &[Step]) -> Flow {
        let mut open: Vec<Sequence> = Vec::new();
        let mut windows = Vec::new();
        for step in steps.iter().filter(|step| step.versions.applies_to(self.case.version)) {
            let sequence = self.sequence(step)?;
            if !matches!(sequence.awaited(), Some(Expected::Packet(_) | Expected::Closed(_))) {
                return Err(Stop::broken("only packets and `closed` can come in any order"));
            }
            windows.push(self.window_of(&sequence));
            open.push(sequence);
        }
        while !open.is_empty() {
            let lanes: Vec<Lane> = open.iter().map(|sequence| sequence.lane).collect();
            let until = windows.iter().map(|window| window.until).max().unwrap_or_default();
            let connect = open.iter().filter_map(Sequence::awaited).any(Expected::awaits_connect);
            let Some((lane, arrival)) = self.arrival(&lanes, until, connect).await else {
                let missing = texts(self, &open);
                let window =
                    windows.first().copied().unwrap_or(Window { begun: self.done_at, from: None, until });
                self.stage.set_line(open[0].line);
                return Err(self.nothing_came(&lanes, &missing, window).into());
            };
            let mut met = None;
            let mut unlike = None;
            for (index, sequence) in open.iter().enumerate().filter(|(_, sequence)| sequence.lane == lane) {
                let Some(expected) = sequence.awaited().cloned() else { continue };
                match self.compare(&expected, &arrival)? {
                    Ok(()) => {
                        met = Some((index, expected));
                        break;
                    }
                    Err(difference) => unlike = unlike.or(Some(difference)),
                }
            }
            let Some((index, expected)) = met else {
                let expected = texts(self, &open);
                let only =
                    unlike.filter(|_| open.len() == 1).unwrap_or(Unlike { expected: None, actual: None });
                return Err(self.unlike(&expected, &arrival, &only).into());
            };
            self.stage.set_line(open[index].line);
            let packet = self.accept(lane, &expected, &arrival, windows[index])?;
            open[index].came(packet);
            let mut sequence = open[index].clone();
            self.advance(&mut sequence).await?;
            open[index] = sequence;
            if open[index].awaited().is_none() {
                open.remove(index);
                windows.remove(index);
            } else {
                windows[index] = self.window(mqttspec_notation::Timing::Usual);
            }
        }
        Ok(())
    }

    /// The branch whose first step is met by what comes next. What came stays for the branch itself.
    pub(crate) async fn choose(&mut self, step: &Step, branches: &[Branch]) -> Result<usize, Stop> {
        let mut beginnings = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let first = branch.steps.iter().find(|step| step.versions.applies_to(self.case.version));
            let Some(first) = first else { continue };
            self.beginnings(index, first, &mut beginnings)?;
        }
        self.stage.set_line(self.lines.of_span(step.span));
        let lanes: Vec<Lane> = beginnings.iter().map(|beginning| beginning.lane).collect();
        let connect = beginnings.iter().any(|beginning| beginning.expected.awaits_connect());
        let fence = self.fence(&beginnings)?;
        let silence = beginnings
            .iter()
            .filter_map(|beginning| silence(beginning, self.observer(), self.pace.silence))
            .min();
        let last = beginnings.iter().map(|beginning| beginning.window.until).max().unwrap_or_default();
        let until = silence.map_or(last, |(until, _)| until);
        // A branch that compares nothing is for whatever the others are not, silence included.
        let is_anything = |beginning: &&Beginning| matches!(beginning.expected, Expected::Anything);
        let anything = beginnings.iter().find(is_anything).map(|beginning| beginning.branch);
        loop {
            if let Some(branch) = self.told_beginning(&beginnings)? {
                return Ok(branch);
            }
            let Some((lane, arrival)) =
                self.oldest(&lanes, connect).filter(|(_, arrival)| arrival.at <= until)
            else {
                let awaits_told =
                    beginnings.iter().any(|beginning| matches!(beginning.expected, Expected::Told(_)));
                if self.stage.now() <= until && (silence.is_some() || awaits_told || self.can_come(&lanes)) {
                    self.wait_for_change(until).await;
                    continue;
                }
                if let Some((_, branch)) = silence {
                    return Ok(branch);
                }
                if let Some(branch) = anything {
                    return Ok(branch);
                }
                let expected = alternatives(self, &beginnings);
                let window = Window { begun: self.done_at, from: None, until };
                return Err(self.nothing_came(&lanes, &expected, window).into());
            };
            if let Some(branch) = fence.filter(|_| is_pingresp(&arrival)) {
                // The branch sends its own PINGREQ when it proves its `nothing`.
                self.stage.with_lane(lane, |state| state.inbox.pop_front());
                return Ok(branch);
            }
            let bindings = self.bindings.clone();
            let mut chosen = None;
            for beginning in beginnings.iter().filter(|beginning| beginning.lane == lane) {
                if self.compare(&beginning.expected, &arrival)?.is_ok() {
                    chosen = Some(beginning.branch);
                    break;
                }
            }
            // Captures take their values when the branch takes the packet.
            self.bindings = bindings;
            if let Some(branch) = chosen.or(anything) {
                if fence.is_some() {
                    self.stage.with_lane(lane, |state| state.owed_pings += 1);
                }
                return Ok(branch);
            }
            let expected = alternatives(self, &beginnings);
            return Err(self.unlike(&expected, &arrival, &Unlike { expected: None, actual: None }).into());
        }
    }

    fn beginnings(&self, branch: usize, step: &Step, beginnings: &mut Vec<Beginning>) -> Flow {
        match &step.kind {
            StepKind::InAnyOrder(steps) => {
                for step in steps.iter().filter(|step| step.versions.applies_to(self.case.version)) {
                    self.beginnings(branch, step, beginnings)?;
                }
            }
            StepKind::Either(branches) => {
                for step in branches.iter().filter_map(|branch| branch.steps.first()) {
                    self.beginnings(branch, step, beginnings)?;
                }
            }
            _ => {
                let sequence = self.sequence(step)?;
                let Some(expected) = sequence.awaited().cloned() else {
                    return Err(Stop::broken("a branch begins with what is expected"));
                };
                let window = self.window_of(&sequence);
                beginnings.push(Beginning { branch, lane: sequence.lane, expected, window });
            }
        }
        Ok(())
    }

    /// Sends the PINGREQ that proves a branch that begins with `nothing`; gives that branch.
    fn fence(&mut self, beginnings: &[Beginning]) -> Result<Option<usize>, Stop> {
        let proves = |beginning: &&Beginning| matches!(beginning.expected, Expected::Nothing(None));
        let Some(beginning) = beginnings.iter().find(proves).filter(|_| self.observer() == Role::Client)
        else {
            return Ok(None);
        };
        if self.stage.with_lane(beginning.lane, |state| state.open) {
            self.send_packet(beginning.lane, Packet::PingReq)?;
        }
        Ok(Some(beginning.branch))
    }

    fn told_beginning(&mut self, beginnings: &[Beginning]) -> Result<Option<usize>, Stop> {
        for beginning in beginnings {
            if let Expected::Told(report) = &beginning.expected
                && self.was_told(beginning.lane, report)?
            {
                return Ok(Some(beginning.branch));
            }
        }
        Ok(None)
    }
}

/// When a branch that begins with silence is taken if nothing came, and which it is.
fn silence(beginning: &Beginning, observer: Role, usual: Duration) -> Option<(Duration, usize)> {
    let lasting = match (&beginning.expected, observer) {
        (Expected::Nothing(Some(lasting)), _) => *lasting,
        (Expected::Nothing(None), Role::Server) => usual,
        _ => return None,
    };
    Some((beginning.window.from.unwrap_or(beginning.window.begun) + lasting, beginning.branch))
}

fn is_pingresp(arrival: &Arrival) -> bool {
    matches!(arrival.what, Arrived::Packet(Packet::PingResp))
}

fn texts(director: &Director<'_>, open: &[Sequence]) -> String {
    let lines: Vec<String> = open
        .iter()
        .filter_map(|sequence| Some(director.directed(sequence.lane, &sequence.awaited()?.text())))
        .collect();
    match lines.as_slice() {
        [only] => only.clone(),
        many => format!("in any order:\n  {}", many.join("\n  ")),
    }
}

fn alternatives(director: &Director<'_>, beginnings: &[Beginning]) -> String {
    let lines: Vec<String> = beginnings
        .iter()
        .map(|beginning| director.directed(beginning.lane, &beginning.expected.text()))
        .collect();
    lines.join("\n  or ")
}
