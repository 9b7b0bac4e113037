//! Checks the header: unknown options, duplicate needs, an unused table.

use super::Checker;
use crate::vocabulary::nearest;
use crate::{HostOption, StepKind};

/// An option of the harness that runs the reference broker: where it keeps its records, `memory` or
/// `durable`.
pub const STORE: &str = "store";
/// An option of the harness that runs the reference broker: its users from its second start on.
pub const LATER_USERS: &str = "users_after_restart";
const STORES: [&str; 2] = ["memory", "durable"];

impl Checker<'_> {
    pub(super) fn header(&mut self) {
        let scenario = self.scenario;
        for (at, need) in scenario.needs.iter().enumerate() {
            self.marked(need.span, &scenario.versions, &need.versions);
            if scenario.needs[..at]
                .iter()
                .any(|other| other.name == need.name && other.versions == need.versions)
            {
                self.warning(need.span, format!("`{}` is listed twice", need.name));
            }
        }
        let names: Vec<&str> = mqttspec_broker::Options::NAMES.iter().copied().chain([LATER_USERS]).collect();
        self.options(&scenario.broker, &names, |name, value| {
            let name = if name == LATER_USERS { "users" } else { name };
            mqttspec_broker::Options::default().set(name, value).map_err(|error| error.to_string())
        });
        let names = mqttspec_client::Options::NAMES;
        for client in &scenario.clients {
            self.options(&client.options, names, |name, value| {
                mqttspec_client::Options::default().set(name, value).map_err(|error| error.to_string())
            });
        }
        self.table();
    }

    fn options(
        &mut self,
        options: &[HostOption],
        names: &[&str],
        set: impl Fn(&str, &str) -> Result<(), String>,
    ) {
        let versions = self.scenario.versions.clone();
        for (at, option) in options.iter().enumerate() {
            self.marked(option.span, &versions, &option.versions);
            let HostOption { span, name, value, .. } = option;
            if options[..at].iter().any(|other| other.name == *name && other.versions == option.versions) {
                self.error(*span, format!("the option `{name}` is set twice"));
            }
            if name == STORE {
                if !STORES.contains(&value.as_str()) {
                    self.error(*span, format!("`{value}` is not a store")).label =
                        format!("expected one of {}", STORES.join(", "));
                }
            } else if !names.contains(&name.as_str()) {
                let near = nearest(name, names.iter().copied().chain([STORE]));
                self.error(*span, format!("unknown option `{name}`")).help =
                    near.map(|near| format!("did you mean `{near}`?"));
            } else if let Err(error) = set(name, value) {
                self.error(*span, error);
            }
        }
    }

    fn table(&mut self) {
        let scenario = self.scenario;
        let Some(table) = &scenario.table else { return };
        for row in &table.rows {
            self.marked(row.span, &scenario.versions, &row.versions);
        }
        let mut used = false;
        scenario.walk(&mut |step| used |= matches!(step.kind, StepKind::EachRow(_)));
        if !used {
            self.error(table.span, "the table is never used").help =
                Some("a block `each row` is run once for each of its rows".to_owned());
        }
    }
}
