//! Checks blocks and `sometimes`.

use super::{Checker, inner};
use crate::{Action, Branch, Content, FaultKind, Span, Step, StepKind};

impl<'a> Checker<'a> {
    pub(super) fn blocks(&mut self) {
        self.visit(&mut |checker, step, _| checker.block(step));
        self.sometimes();
        self.restart();
    }

    fn block(&mut self, step: &'a Step) {
        match &step.kind {
            StepKind::InAnyOrder(steps) => self.in_any_order(steps),
            StepKind::Either(branches) => branches.iter().for_each(|branch| self.branch(branch)),
            StepKind::EachRow(steps) => {
                if self.scenario.table.is_none() {
                    self.error(step.span, "there is no table").help = Some(
                        "the header has none: `table case clauses bytes` and a line for each row".to_owned(),
                    );
                }
                self.no_second_table(steps);
            }
            _ => {}
        }
    }

    fn in_any_order(&mut self, steps: &[Step]) {
        for step in steps {
            let fits = match &step.kind {
                StepKind::Line { direction, content, .. } => {
                    self.is_expected(*direction)
                        && matches!(
                            content,
                            Content::Packet(_)
                                | Content::Raw(_)
                                | Content::Closed { .. }
                                | Content::HandshakeOffering(_)
                                | Content::HandshakeSelecting(_)
                                | Content::Column(_)
                        )
                }
                StepKind::Told { .. } => true,
                StepKind::Verb { action, .. } => matches!(action, Action::Receives { .. }),
                _ => false,
            };
            if !fits {
                self.error(step.span, "only expectations can be in any order").label =
                    "expected a packet to receive, `closed`, `receives` or `told`".to_owned();
            }
        }
    }

    fn branch(&mut self, branch: &Branch) {
        let Some(first) = branch.steps.first() else { return };
        let decides = match &first.kind {
            StepKind::Line { direction, .. } => self.is_expected(*direction),
            StepKind::Told { .. } => true,
            StepKind::Verb { action, .. } => matches!(action, Action::Receives { .. }),
            // The arrival of one of them decides.
            StepKind::InAnyOrder(_) => true,
            _ => false,
        };
        if !decides {
            self.error(first.span, "the first line of a branch decides whether it is taken").label =
                "expected a line that expects something, `receives` or `told`".to_owned();
        }
    }

    fn no_second_table(&mut self, steps: &'a [Step]) {
        for step in steps {
            if matches!(step.kind, StepKind::EachRow(_)) {
                self.error(step.span, "`each row` within `each row`");
            }
            for block in inner(step) {
                self.no_second_table(block);
            }
        }
    }

    fn sometimes(&mut self) {
        if self.scenario.seeds > 1 {
            return;
        }
        let mut first: Option<Span> = None;
        self.visit(&mut |_, step, _| {
            if matches!(step.kind, StepKind::Sometimes(_)) {
                first.get_or_insert(step.span);
            }
        });
        if let Some(span) = first {
            self.warning(span, "with one seed, `sometimes` means always").help =
                Some("`seeds 100` in the header runs the scenario with a hundred seeds".to_owned());
        }
    }

    /// A scenario that crashes the broker must have `needs restart`.
    fn restart(&mut self) {
        if self.scenario.needs.iter().any(|need| need.name == "restart") {
            return;
        }
        let mut first: Option<Span> = None;
        self.visit(&mut |_, step, _| {
            let StepKind::Fault(fault) = &step.kind else { return };
            let stops = match &fault.kind {
                FaultKind::Crash | FaultKind::Start => {
                    matches!(&fault.hosts, crate::Hosts::Named(names)
                        if names.iter().flat_map(crate::HostName::expand).any(|name| name == crate::SERVER))
                }
                FaultKind::Profile(profile) => profile.name == "broker-crash",
                _ => false,
            };
            if stops {
                first.get_or_insert(step.span);
            }
        });
        if let Some(span) = first {
            self.warning(span, "the broker is stopped without `needs restart`").help = Some(
                "add it to the header, so that targets that cannot be restarted skip the scenario".to_owned(),
            );
        }
    }
}
