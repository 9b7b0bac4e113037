//! The case that is executed, its hosts, and the line numbers of its steps.

use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::history::HostIndex;
use mqttspec_notation::{Span, Step};

use super::lines::Lines;
use crate::found::Stop;
use crate::hosts::Hosts;

pub(crate) struct Script<'r> {
    pub(crate) case: &'r Case,
    pub(crate) hosts: Rc<Hosts>,
    lines: Lines,
}

impl<'r> Script<'r> {
    pub(crate) fn of(case: &'r Case, hosts: Rc<Hosts>) -> Self {
        Self { case, hosts, lines: Lines::of(&case.source) }
    }

    pub(crate) fn version(&self) -> Version {
        self.case.version
    }

    /// The line of the file in which a span starts.
    pub(crate) fn line_of(&self, span: Span) -> u32 {
        self.lines.of_span(span)
    }

    /// The host of a client by its name.
    pub(crate) fn host(&self, name: &str) -> Result<HostIndex, Stop> {
        self.hosts.index(name).ok_or_else(|| Stop::broken(format!("no host is called {name}")))
    }

    /// The steps that apply to the version of the case.
    pub(crate) fn counting<'s>(&self, steps: &'s [Step]) -> impl Iterator<Item = &'s Step> + use<'s> {
        let version = self.version();
        steps.iter().filter(move |step| step.versions.applies_to(version))
    }
}
