//! Checks SCRAM messages: their direction, what they need, and the message before each.

use std::collections::BTreeSet;

use super::Checker;
use crate::vocabulary::SCRAM_MESSAGES;
use crate::{Cell, Content, Direction, Field, Name, PacketPattern, Step, StepKind, Test, Value};

/// The messages of each host in the lines so far.
type Seen = BTreeSet<(Name, &'static str)>;

impl<'a> Checker<'a> {
    pub(super) fn scram(&mut self) {
        let mut seen = Seen::new();
        self.visit(&mut |checker, step, _| checker.scram_step(step, &mut seen));
    }

    fn scram_step(&mut self, step: &'a Step, seen: &mut Seen) {
        match &step.kind {
            StepKind::Line { host, direction, content } => {
                self.scram_content(host, *direction, content, seen);
            }
            StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => {
                let fields: &[Field] = match action {
                    crate::Action::Connects { fields, .. } => fields,
                    _ => &[],
                };
                for field in fields {
                    if let Some((_, span)) = fields_of_message(field).map(|inner| (inner, field.span)) {
                        self.error(span, "only a line with a packet can have a SCRAM message").help = Some(
                            "write the exchange as lines: `CONNECT`, `AUTH`, `AUTH`, `CONNACK`".to_owned(),
                        );
                    }
                }
            }
            _ => {}
        }
    }

    fn scram_content(&mut self, host: &str, direction: Direction, content: &'a Content, seen: &mut Seen) {
        match content {
            Content::Packet(pattern) => self.scram_packet(host, direction, pattern, seen),
            Content::Closed { or } => {
                or.iter().for_each(|pattern| self.scram_packet(host, direction, pattern, seen));
            }
            Content::Column(name) => {
                let Some(table) = &self.scenario.table else { return };
                let Some(at) = table.columns.iter().position(|column| column == name) else { return };
                for row in &table.rows {
                    if let Some(Cell::Content(content)) = row.cells.get(at)
                        && !matches!(**content, Content::Column(_))
                    {
                        self.scram_content(host, direction, content, &mut seen.clone());
                    }
                }
            }
            Content::Raw(_) | Content::Nothing { .. } | Content::Anything => {}
        }
    }

    fn scram_packet(
        &mut self,
        host: &str,
        direction: Direction,
        pattern: &'a PacketPattern,
        seen: &mut Seen,
    ) {
        let is_sent = self.is_sent(direction);
        for field in &pattern.fields {
            let Some(inner) = fields_of_message(field) else { continue };
            let has = |name: &str| inner.iter().any(|field| field.name == name);
            let named = inner.iter().find(|field| field.name == "scram").map(|field| &field.test);
            let Some(Test::Equal(Value::Word(word))) = named else {
                self.error(field.span, "the SCRAM message has no name").help =
                    Some(format!("write `scram=` and one of {}", SCRAM_MESSAGES.join(", ")));
                continue;
            };
            let Some(place) = SCRAM_MESSAGES.iter().position(|message| message == word) else { continue };
            let message = SCRAM_MESSAGES[place];
            let sender = if place % 2 == 0 { Direction::ToServer } else { Direction::ToClient };
            if sender != direction {
                let side = if sender == Direction::ToServer { "the Client" } else { "the Server" };
                self.error(field.span, format!("`{message}` is a message of {side}"));
                continue;
            }
            let needs: &[&str] = match (message, is_sent) {
                ("client-first", true) => &["user_name", "password"],
                ("server-first", true) => &["password"],
                ("client-first", false) if has("user_name") => &["user_name"],
                _ => &[],
            };
            for name in needs.iter().filter(|name| !has(name)) {
                self.error(field.span, format!("`{message}` needs `{name}=…`")).label =
                    "this line is sent".to_owned();
            }
            for name in ["user_name", "password"].into_iter().filter(|name| has(name)) {
                if !needs.contains(&name) {
                    self.error(field.span, format!("`{message}` has no `{name}` here"));
                }
            }
            if let Some(before) = place.checked_sub(1).map(|before| SCRAM_MESSAGES[before])
                && !seen.contains(&(host.to_owned(), before))
            {
                self.error(field.span, format!("`{message}` has no `{before}` of {host} before it"));
            }
            seen.insert((host.to_owned(), message));
        }
    }
}

/// The fields in braces, if the field has any and is not the Will.
fn fields_of_message(field: &Field) -> Option<&[Field]> {
    match &field.test {
        Test::Equal(Value::Fields(inner)) if field.name == "authentication_data" => Some(inner),
        _ => None,
    }
}
