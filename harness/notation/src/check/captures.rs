//! Checks that every capture and variable has a value where it is compared or sent.

use std::collections::BTreeSet;

use super::Checker;
use crate::vocabulary::nearest;
use crate::{
    Action, Atom, AtomText, Cell, Content, Direction, Field, Name, Operand, PacketPattern, Patch, Piece,
    Report, Span, Step, StepKind, Test, Text, Value,
};

/// The variable with the publisher's host in the topic of `load`.
const PUBLISHER: &str = "client";

/// Whether a line may set a capture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The expected packet sets it.
    Expected,
    /// It must have a value, because the line is sent.
    Sent,
}

/// The names with a value so far.
type Known = BTreeSet<Name>;

impl<'a> Checker<'a> {
    pub(super) fn captures(&mut self) {
        let mut known = Known::new();
        let scenario = self.scenario;
        self.steps(&scenario.steps, &mut known);
    }

    fn steps(&mut self, steps: &'a [Step], known: &mut Known) {
        for step in steps {
            self.capture_step(step, known);
        }
    }

    fn capture_step(&mut self, step: &'a Step, known: &mut Known) {
        match &step.kind {
            StepKind::Line { direction, content, .. } => self.content(step.span, *direction, content, known),
            StepKind::Verb { action, .. } => self.action(step.span, action, known),
            StepKind::Ask { action, .. } => self.action(step.span, action, known),
            StepKind::Told { report, .. } => self.report(step.span, report, known),
            StepKind::Load(load) => {
                let mut known = known.clone();
                known.insert(PUBLISHER.to_owned());
                self.text(step.span, &load.topic, &known);
            }
            StepKind::InAnyOrder(steps) => self.steps(steps, known),
            StepKind::Either(branches) => {
                let mut after: Option<Known> = None;
                for branch in branches {
                    let mut branch_known = known.clone();
                    self.steps(&branch.steps, &mut branch_known);
                    after = Some(match after {
                        Some(after) => after.intersection(&branch_known).cloned().collect(),
                        None => branch_known,
                    });
                }
                *known = after.unwrap_or_default();
            }
            StepKind::Repeat { variable, steps, .. } => {
                let mut inside = known.clone();
                if let Some(name) = variable
                    && !inside.insert(name.clone())
                {
                    self.error(step.span, format!("`${name}` has a value already")).label =
                        "expected a new name for the counter".to_owned();
                }
                self.steps(steps, &mut inside);
            }
            StepKind::EachRow(steps) => {
                let mut inside = known.clone();
                inside.extend(self.scenario.table.iter().flat_map(|table| table.columns.iter().cloned()));
                self.steps(steps, &mut inside);
            }
            _ => {}
        }
    }

    fn content(&mut self, span: Span, direction: Direction, content: &'a Content, known: &mut Known) {
        let used = if self.is_sent(direction) { Use::Sent } else { Use::Expected };
        match content {
            Content::Packet(pattern) => self.pattern(pattern, used, known),
            Content::Raw(raw) => self.atoms(span, &raw.atoms, used, known),
            Content::Closed { or } => {
                // Only one of them arrives, so none sets a capture for later lines.
                for pattern in or {
                    self.pattern(pattern, used, &mut known.clone());
                }
            }
            Content::Column(name) => self.column(span, direction, name, known),
            Content::Nothing { .. } | Content::Anything => {}
        }
    }

    /// A column of the table that is used as a whole line.
    fn column(&mut self, span: Span, direction: Direction, name: &str, known: &mut Known) {
        let Some(table) = &self.scenario.table else {
            self.error(span, format!("there is no table with a column `{name}`"));
            return;
        };
        let Some(at) = table.columns.iter().position(|column| column == name) else {
            let near = nearest(name, table.columns.iter().map(String::as_str))
                .map(|near| format!("did you mean `${near}`?"));
            self.error(span, format!("the table has no column `{name}`")).help = near;
            return;
        };
        if !known.contains(name) {
            self.error(span, format!("`${name}` is used outside of `each row`"));
            return;
        }
        for row in &table.rows {
            match row.cells.get(at) {
                Some(Cell::Content(content)) if !matches!(**content, Content::Column(_)) => {
                    self.content(row.span, direction, content, &mut known.clone());
                }
                _ => {
                    self.error(
                        row.span,
                        format!("the cell `{name}` is not a packet, raw bytes or another content"),
                    )
                    .label = "a line uses it as its content".to_owned();
                }
            }
        }
    }

    fn pattern(&mut self, pattern: &'a PacketPattern, used: Use, known: &mut Known) {
        let span = pattern.span;
        self.fields(&pattern.fields, used, known);
        for subscription in &pattern.subscriptions {
            self.value(subscription.span, &subscription.filter, used, known);
            self.fields(&subscription.options, used, known);
        }
        for test in pattern.reasons.iter().flatten() {
            self.test(span, test, used, known);
        }
        for patch in &pattern.patches {
            if let Patch::Properties(atoms) = patch {
                self.atoms(span, atoms, Use::Sent, known);
            }
        }
        for condition in &pattern.conditions {
            self.must_know(condition.span, &condition.capture, known);
            self.value(condition.span, &condition.value, Use::Sent, known);
        }
    }

    fn action(&mut self, span: Span, action: &'a Action, known: &mut Known) {
        match action {
            Action::Connects { fields, expecting } => {
                self.fields(fields, Use::Sent, known);
                self.fields(expecting, Use::Expected, known);
            }
            Action::Subscribes { subscriptions, fields, expecting } => {
                self.fields(fields, Use::Sent, known);
                for subscription in subscriptions {
                    self.value(subscription.span, &subscription.filter, Use::Sent, known);
                    self.fields(&subscription.options, Use::Sent, known);
                }
                expecting.iter().for_each(|test| self.test(span, test, Use::Expected, known));
            }
            Action::Unsubscribes { filters, fields, expecting } => {
                self.fields(fields, Use::Sent, known);
                filters.iter().for_each(|filter| self.value(span, filter, Use::Sent, known));
                expecting.iter().for_each(|test| self.test(span, test, Use::Expected, known));
            }
            Action::Publishes { topic, payload, fields, expecting } => {
                self.message(span, topic, payload.as_ref(), fields, Use::Sent, known);
                self.fields(expecting, Use::Expected, known);
            }
            Action::Receives { topic, payload, fields } => {
                self.message(span, topic, payload.as_ref(), fields, Use::Expected, known);
            }
            Action::Requests { topic, payload, fields }
            | Action::Delivers { topic, payload, fields }
            | Action::Acknowledges { topic, payload, fields } => {
                self.message(span, topic, payload.as_ref(), fields, Use::Sent, known);
            }
            Action::Disconnects { fields } => self.fields(fields, Use::Sent, known),
            Action::Opens | Action::Pings | Action::Reauthenticates | Action::Closes => {}
        }
    }

    fn report(&mut self, span: Span, report: &'a Report, known: &mut Known) {
        match report {
            Report::Connected(fields) | Report::Disconnected(fields) | Report::Failed(fields) => {
                self.fields(fields, Use::Expected, known);
            }
            Report::Subscribed(filter) | Report::Unsubscribed(filter) => {
                self.value(span, filter, Use::Expected, known);
            }
            Report::Published { topic, payload, fields }
            | Report::Received { topic, payload, fields }
            | Report::Answered { topic, payload, fields }
            | Report::Delivered { topic, payload, fields }
            | Report::Acknowledged { topic, payload, fields } => {
                self.message(span, topic, payload.as_ref(), fields, Use::Expected, known);
            }
            Report::Reauthenticated => {}
        }
    }

    fn message(
        &mut self,
        span: Span,
        topic: &'a Value,
        payload: Option<&'a Value>,
        fields: &'a [Field],
        used: Use,
        known: &mut Known,
    ) {
        self.value(span, topic, used, known);
        payload.into_iter().for_each(|payload| self.value(span, payload, used, known));
        self.fields(fields, used, known);
    }

    fn fields(&mut self, fields: &'a [Field], used: Use, known: &mut Known) {
        for field in fields {
            // The harness chooses a free Packet Identifier for a packet that it sends.
            let used = if field.name == "id" { Use::Expected } else { used };
            self.test(field.span, &field.test, used, known);
        }
    }

    fn test(&mut self, span: Span, test: &'a Test, used: Use, known: &mut Known) {
        match test {
            Test::Equal(value) => self.value(span, value, used, known),
            Test::OneOf(values) => values.iter().for_each(|value| self.value(span, value, Use::Sent, known)),
            Test::Compared(_, value) => self.value(span, value, Use::Sent, known),
            Test::Between(..) | Test::Absent | Test::Present => {}
        }
    }

    fn value(&mut self, span: Span, value: &'a Value, used: Use, known: &mut Known) {
        match value {
            Value::Capture(name) => {
                if used == Use::Expected {
                    known.insert(name.clone());
                } else {
                    self.must_know(span, name, known);
                }
                self.is_value_column(span, name);
            }
            Value::Text(text) => self.text(span, text, known),
            Value::Pair(name, value) => {
                self.text(span, name, known);
                self.text(span, value, known);
            }
            Value::Fields(fields) => self.fields(fields, used, known),
            Value::Number(_) | Value::Word(_) | Value::Bytes(_) => {}
        }
    }

    /// A column that is used as a value must contain values.
    fn is_value_column(&mut self, span: Span, name: &str) {
        let Some(table) = &self.scenario.table else { return };
        let Some(at) = table.columns.iter().position(|column| column == name) else { return };
        if table.rows.iter().any(|row| matches!(row.cells.get(at), Some(Cell::Content(_)))) {
            self.error(span, format!("`${name}` stands for a whole line, not for a value"));
        }
    }

    fn text(&mut self, span: Span, text: &Text, known: &Known) {
        for piece in &text.0 {
            if let Piece::Variable(name) = piece {
                if !known.contains(name) {
                    self.must_know(span, name, known);
                    if let Some(error) = self.found.last_mut() {
                        error
                            .help
                            .get_or_insert_with(|| "a literal `$` is written `\\$`, in quotes".to_owned());
                    }
                }
                self.is_value_column(span, name);
            }
        }
    }

    fn atoms(&mut self, span: Span, atoms: &[Atom], used: Use, known: &mut Known) {
        for atom in atoms {
            match atom {
                Atom::Integer(_, Operand::Capture(name)) if used == Use::Expected => {
                    known.insert(name.clone());
                }
                Atom::Integer(_, Operand::Capture(name)) => self.must_know(span, name, known),
                Atom::String(AtomText::Text(text)) | Atom::Content(AtomText::Text(text)) => {
                    self.text(span, text, known);
                }
                Atom::Counted(inner) => self.atoms(span, inner, used, known),
                _ => {}
            }
        }
    }

    fn must_know(&mut self, span: Span, name: &str, known: &Known) {
        if known.contains(name) {
            return;
        }
        let near =
            nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean `${near}`?"));
        let error = self.error(span, format!("`${name}` has no value here"));
        error.label = "a capture takes its value from an expected line before".to_owned();
        error.help = near;
    }
}
