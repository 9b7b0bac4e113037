//! Checks `shows`: a line shows only clauses that the case lists, the line can fail, and every
//! listed clause is shown by a line.

use super::{Checker, narrowed};
use crate::vocabulary::nearest;
use crate::{Branch, ClauseReference, Content, Property, ShownClause, Shows, Span, Step, StepKind, Version};

/// The clauses that lines show, each in the versions to which its line applies.
type Shown<'a> = Vec<(&'a Shows, Vec<Version>)>;

impl<'a> Checker<'a> {
    pub(super) fn shows(&mut self) {
        let scenario = self.scenario;
        let mut shown = Shown::new();
        self.shows_of(&scenario.steps, &scenario.versions, None, &mut shown);
        self.all_shown(&shown);
    }

    /// Every clause that the file lists is shown by a line.
    fn all_shown(&mut self, shown: &[(&'a Shows, Vec<Version>)]) {
        if shown.is_empty() {
            return;
        }
        for clause in self.scenario.listed_clauses() {
            let shows = |(shows, versions): &(&Shows, Vec<Version>)| {
                versions.contains(&clause.version) && !shows.of(clause.version, [clause]).is_empty()
            };
            if !shown.iter().any(shows) {
                let message = format!("no line shows `{}` of MQTT {}", clause.id, clause.version);
                self.error(clause.span, message).help =
                    Some("write `shows` on the line that fails if the clause is broken".to_owned());
            }
        }
    }

    /// Whether a line of the block inherits the `shows` of the block.
    fn shows_of(
        &mut self,
        steps: &'a [Step],
        versions: &[Version],
        inherited: Option<&'a Shows>,
        shown: &mut Shown<'a>,
    ) -> bool {
        let mut used = false;
        for step in steps {
            let versions = narrowed(versions, &step.versions);
            match &step.kind {
                StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) | StepKind::Repeat { steps, .. } => {
                    let own = self.block_shows(step.span, step.shows.as_ref(), steps, &versions, shown);
                    used |= own.unwrap_or_else(|| self.shows_of(steps, &versions, inherited, shown));
                }
                StepKind::Either(branches) => {
                    for Branch { span, shows, steps, .. } in branches {
                        let own = self.block_shows(*span, shows.as_ref(), steps, &versions, shown);
                        used |= own.unwrap_or_else(|| self.shows_of(steps, &versions, inherited, shown));
                    }
                }
                _ => used |= self.line_shows(step, &versions, inherited, shown),
            }
        }
        used
    }

    /// For a block with a `shows` of its own, which uses nothing that it inherits.
    fn block_shows(
        &mut self,
        span: Span,
        shows: Option<&'a Shows>,
        steps: &'a [Step],
        versions: &[Version],
        shown: &mut Shown<'a>,
    ) -> Option<bool> {
        self.listed(span, shows?, versions);
        if !self.shows_of(steps, versions, shows, shown) && !versions.is_empty() {
            self.error(span, "no line of the block shows it").label =
                "expected a line inside that expects something and has no `shows` of its own".to_owned();
        }
        Some(false)
    }

    fn line_shows(
        &mut self,
        step: &'a Step,
        versions: &[Version],
        inherited: Option<&'a Shows>,
        shown: &mut Shown<'a>,
    ) -> bool {
        let expects = self.expects(step);
        if let Some(shows) = &step.shows {
            self.listed(step.span, shows, versions);
            if !expects {
                self.error(step.span, "the line shows nothing, because it expects nothing").help =
                    Some("write `shows` on the line that fails if the clause is broken".to_owned());
            }
        }
        if let StepKind::Property(property) = &step.kind {
            self.any_packet(step.span, property);
        }
        let shows = step.shows.as_ref().or(inherited).filter(|_| expects);
        shown.extend(shows.map(|shows| (shows, versions.to_vec())));
        expects && step.shows.is_none()
    }

    /// Whether the line can fail because of what the peer does or leaves undone.
    fn expects(&self, step: &Step) -> bool {
        match &step.kind {
            StepKind::Line { direction, content, .. } => {
                self.is_expected(*direction) && !matches!(content, Content::Anything)
            }
            StepKind::Verb { action, .. } => action.expects(),
            StepKind::Told { .. } | StepKind::Property(_) => true,
            _ => false,
        }
    }

    /// A shown clause must be listed in the header or in a row, in a version to which the line
    /// applies.
    fn listed(&mut self, span: Span, shows: &Shows, versions: &[Version]) {
        let listed: Vec<&ClauseReference> =
            self.scenario.listed_clauses().filter(|clause| versions.contains(&clause.version)).collect();
        match shows {
            Shows::All => {
                if listed.is_empty() && !versions.is_empty() {
                    self.error(span, "there is no clause that it could show").label =
                        "the header and the table list none for it".to_owned();
                }
            }
            Shows::Clauses(clauses) => {
                clauses.iter().for_each(|shown| self.one_listed(shown, &listed, versions));
            }
        }
    }

    fn one_listed(&mut self, shown: &ShownClause, listed: &[&ClauseReference], versions: &[Version]) {
        let names = |version: &Version| {
            listed.iter().any(|clause| clause.version == *version && clause.id == shown.id)
        };
        let asked = if shown.versions.0.is_empty() { versions } else { shown.versions.0.as_slice() };
        if let Some(absent) = asked.iter().find(|version| !versions.contains(version)) {
            self.error(shown.span, format!("the line does not count for MQTT {absent}")).label =
                format!("expected no mark for it in front of `{}`", shown.id);
            return;
        }
        let missing: Vec<String> =
            asked.iter().filter(|version| !names(version)).map(ToString::to_string).collect();
        let marked = !shown.versions.0.is_empty();
        if missing.is_empty() || (!marked && missing.len() < asked.len()) {
            return;
        }
        let known =
            listed.iter().filter(|clause| asked.contains(&clause.version)).map(|clause| clause.id.as_str());
        let near = nearest(&shown.id, known).map(str::to_owned);
        let message = format!("`{}` is not among the clauses of MQTT {}", shown.id, missing.join(" and "));
        let error = self.error(shown.span, message);
        error.label = "expected a clause that the header or a row lists".to_owned();
        error.help = near.map(|near| format!("did you mean `{near}`?"));
    }

    /// Checks of packets of any kind are not restricted to a QoS.
    fn any_packet(&mut self, span: Span, property: &Property) {
        let about_packets = property.guarantees.iter().find(|asked| asked.is_about_packets());
        if let (Some(_), Some(guarantee)) = (property.qos, about_packets) {
            self.error(span, format!("`{}` is about packets of any kind", guarantee.words())).label =
                "expected no `qos` in front of it".to_owned();
        }
    }
}
