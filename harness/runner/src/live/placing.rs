//! Decides where a case runs: on the shared server with other cases, on a server of its own, on the
//! shared server alone, or nowhere.

use core::time::Duration;

use super::acceleration::has_load;
use super::capabilities::Capabilities;
use super::fast_time::Overdue;
use super::schedule::{self, Limits, Scheduled, Times};
use super::target_file::TargetFile;
use crate::facts::Facts;
use mqttspec_judge::Case;
use mqttspec_notation::{LATER_USERS, STORE};

/// A case with a wait of at least this duration gets a server with a clock of its own, even if it
/// waits for less than a second in real time.
const WORTH_A_CLOCK: Duration = Duration::from_secs(10);

/// A case with a wait of at least this duration is slow.
const LONG: Duration = Duration::from_secs(1);

/// Where a case runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the shared server, concurrently with other cases.
    Shared,
    /// On a server that is started for it, with these options.
    Own(Vec<(String, String)>),
    /// On such a server whose clock is put forward while the case waits.
    Accelerated(Vec<(String, String)>),
    /// On the shared server, while no other case runs.
    Exclusive {
        /// Whether the scenario's names go on the wire unchanged.
        plain_names: bool,
    },
    /// Nowhere, for this reason.
    Skip(String),
}

/// The kind of the server of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Shared,
    Own,
    /// An own one whose clock is put forward.
    Accelerated,
}

impl Place {
    pub(crate) fn on(&self) -> On {
        match self {
            Self::Own(_) => On::Own,
            Self::Accelerated(_) => On::Accelerated,
            Self::Shared | Self::Exclusive { .. } | Self::Skip(_) => On::Shared,
        }
    }

    /// Whether the case has a server to itself.
    pub(crate) fn has_own_server(&self) -> bool {
        self.on() != On::Shared
    }
}

/// A case with the times of its run, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) case: Case,
    pub(crate) place: Place,
    /// The sum of its waits: its shortest duration.
    pub(crate) waits: Duration,
    /// The number of its lines that are executed.
    pub(crate) lines: u32,
    /// The longest time within which something must happen.
    pub(crate) within: Duration,
    /// Whether it has a long wait, or waits for a timer of the server, such as a Keep Alive.
    pub(crate) is_slow: bool,
    /// Whether it needs a server that no other case has used.
    pub(crate) is_first: bool,
    /// Set by an accelerated run of this case.
    pub(crate) overdue: Overdue,
}

/// What placing depends on.
pub(crate) struct Placing<'p> {
    pub(crate) capabilities: &'p Capabilities,
    pub(crate) target_file: &'p TargetFile,
    /// Whether the harness can start servers.
    pub(crate) starts: bool,
    /// Whether they start within a short time.
    pub(crate) starts_quickly: bool,
    pub(crate) limits: Limits,
    /// Whether Clients get credentials that the scenarios do not name.
    pub(crate) has_credentials: bool,
    /// Whether slow cases are skipped.
    pub(crate) quick: bool,
}

impl Placed {
    /// How long it takes if it fails: a packet and its answer take `round_trip`, and something does not
    /// come within the patience, or within the time that the scenario gives and the tolerance.
    pub(crate) fn may_take(&self, round_trip: Duration, patience: Duration, late: Duration) -> Duration {
        self.waits + patience.max(self.within + late) + round_trip * self.lines
    }
}

impl Placing<'_> {
    /// Decides where a case runs.
    pub(crate) fn place(&self, case: &Case) -> Placed {
        let mut placed = Placed {
            case: case.clone(),
            place: Place::Shared,
            waits: Duration::ZERO,
            lines: 0,
            within: Duration::ZERO,
            is_slow: false,
            is_first: false,
            overdue: Overdue::default(),
        };
        match self.decide(case, self.limits) {
            Ok((scheduled, place)) => {
                placed.case.scenario = scheduled.scenario.into();
                (placed.waits, placed.lines, placed.place) = (scheduled.waits, scheduled.lines, place);
                placed.within = scheduled.within;
                placed.is_slow = scheduled.longest >= LONG || Facts::of(&placed.case).sets_server_timer;
                if placed.is_slow && self.quick {
                    placed.place = Place::Skip(
                        "waits for a second or longer, or for a timer of the server: skipped by --quick"
                            .to_owned(),
                    );
                }
            }
            Err(reason) => placed.place = Place::Skip(reason),
        }
        placed
    }

    /// Places a case on a server whose clock is put forward, if it gains by that compared with how
    /// it runs in real time. `speed` is how much faster than real time the clock runs.
    pub(crate) fn place_accelerated(&self, case: &Case, real: &Placed, speed: u32) -> Option<Placed> {
        let limits = Limits {
            times: if has_load(case) { Times::Live } else { Times::Simulated },
            wait: self.limits.wait.map(|wait| wait.saturating_mul(speed)),
            silence: Duration::MAX,
            travel: Duration::ZERO,
        };
        let (scheduled, place) = self.decide(case, limits).ok()?;
        let options = if let Place::Own(options) = place { options } else { Vec::new() };
        let Scheduled { scenario, longest, waits, lines, within, rounds } = scheduled;
        let case = Case { scenario: scenario.into(), ..case.clone() };
        let waits_for_timer = within >= LONG && Facts::of(&case).sets_server_timer;
        // Exchanges take real time.
        let exchanges_too_long = self.limits.wait.is_some_and(|longest| rounds > longest);
        let is_slow = matches!(real.place, Place::Skip(_)) || real.waits >= LONG;
        let gains = (is_slow || longest >= WORTH_A_CLOCK || waits_for_timer) && !exchanges_too_long;
        let place = Place::Accelerated(options);
        let overdue = Overdue::default();
        gains.then_some(Placed { case, place, waits, lines, within, is_slow: true, is_first: false, overdue })
    }

    fn decide(&self, case: &Case, limits: Limits) -> Result<(Scheduled, Place), String> {
        self.needs(case)?;
        let options = self.missing_options(case);
        let own = !options.is_empty();
        let known = &self.target_file.options;
        let knows = |name: &String| known.is_empty() && name.as_str() != LATER_USERS || known.contains(name);
        let starts = self.starts
            && self.target_file.start_with_options.is_some()
            && options.iter().all(|(name, _)| knows(name));
        if own && !starts {
            let options: Vec<String> =
                options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return Err(format!("needs a server with {}", options.join(" ")));
        }
        let facts = Facts::of(case);
        self.has_power(&facts)?;
        let scheduled = schedule::live(&case.scenario, case.version, limits)
            .map_err(|needed| format!("needs a wait of {needed:?}: run with --patient"))?;
        // On a server that others use too, a delayed Will once came five seconds late (mosquitto
        // 2.0.11).
        let is_apart = facts.delays_will && self.starts_quickly;
        let needs_own = facts.crashes_server || facts.needs_plain_names || is_apart;
        let place = if own || needs_own && self.starts {
            Place::Own(options)
        } else if facts.crashes_server || facts.needs_plain_names {
            Place::Exclusive { plain_names: facts.needs_plain_names }
        } else {
            Place::Shared
        };
        if self.has_credentials
            && facts.sets_credentials
            && !self.has_user_of(case)
            && !matches!(&place, Place::Own(options) if !options.is_empty())
        {
            return Err("needs a server that accepts any credentials".to_owned());
        }
        Ok((scheduled, place))
    }

    /// Whether the target has what the case needs.
    ///
    /// # Errors
    /// The first thing that it lacks.
    pub(crate) fn needs(&self, case: &Case) -> Result<(), String> {
        if !self.capabilities.versions.contains(&case.version) {
            return Err(format!("the target does not support MQTT {}", case.version));
        }
        for need in case.scenario.needs.iter().filter(|need| need.versions.applies_to(case.version)) {
            let text = match need.value {
                Some(value) => format!("{}={value}", need.name),
                None => need.name.clone(),
            };
            let met = match need.name.as_str() {
                "qos" => self.at_least("maximum_qos", need.value),
                "retained" => self.at_least("retain_available", Some(1)),
                "wildcard-subscriptions" => self.at_least("wildcard_subscription_available", Some(1)),
                "subscription-identifiers" => self.at_least("subscription_identifier_available", Some(1)),
                "shared-subscriptions" => self.at_least("shared_subscription_available", Some(1)),
                "topic-alias" => self.at_least("topic_alias_maximum", need.value),
                "session-expiry" => self.at_least("session_expiry", need.value),
                "receive-maximum" => self.at_least("receive_maximum", need.value),
                "maximum-packet-size" => self.at_least("maximum_packet_size", need.value),
                "assigned-client-id" => self.at_least("assigned_client_id", Some(1)),
                "durable-store" => self.target_file.durable,
                // The options of the scenario, where it has any, configure the next ones.
                "password-authentication" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("password_authentication") == Some("1")
                }
                // That the target has these users does not mean that it supports the method.
                "enhanced-authentication" => match self.capabilities.get("enhanced_authentication") {
                    Some("0") => false,
                    Some("1") => true,
                    _ => !self.missing_options(case).is_empty(),
                },
                "response-information" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("response_information") == Some("1")
                }
                "restart" => true,
                _ => false,
            };
            if !met && !self.is_configured(case, &need.name) {
                return Err(format!("needs {text}"));
            }
        }
        Ok(())
    }

    /// Whether an option of the scenario itself provides what it needs.
    fn is_configured(&self, case: &Case, need: &str) -> bool {
        let name = match need {
            "topic-alias" => "topic_alias_maximum",
            "receive-maximum" => "receive_maximum",
            "maximum-packet-size" => "maximum_packet_size",
            _ => return false,
        };
        case.scenario
            .broker
            .iter()
            .any(|option| option.name == name && option.versions.applies_to(case.version))
    }

    /// Whether a capability has at least this value. One that is not announced has no limit.
    fn at_least(&self, capability: &str, least: Option<u64>) -> bool {
        let Some(value) = self.capabilities.get(capability) else { return true };
        match (value.parse::<u64>(), least) {
            (Ok(value), Some(least)) => value >= least,
            _ => true,
        }
    }

    /// Options of the scenario that the target does not have as it is configured.
    pub(crate) fn missing_options(&self, case: &Case) -> Vec<(String, String)> {
        let counting = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        counting
            .filter(|option| option.name != STORE && !self.holds(&option.name, &option.value))
            .filter(|option| option.name != USERS || !self.has_user_of(case))
            .map(|option| (option.name.clone(), option.value.clone()))
            .collect()
    }

    /// Whether the second identity can replace the scenario's user. Raw bytes are sent unchanged,
    /// so a user name in them is not replaced.
    fn has_user_of(&self, case: &Case) -> bool {
        let has = |value: &str| named(value) == ALICE && self.target_file.second_identity.is_some();
        let options = &case.scenario.broker;
        options.iter().any(|option| option.name == USERS && has(&option.value)) && !Facts::of(case).sends_raw
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        let is_configured = |value| self.target_file.configured.contains(&format!("{name}={value}"));
        is_configured(value)
            || name == USERS && is_configured(named(value))
            || name == CHOICE
            // The option of the reference broker has the same name as the capability in a CONNACK.
            || ANNOUNCED.contains(&name) && self.capabilities.get(name) == Some(value)
    }

    /// Checks that the harness can inject the faults of the scenario.
    fn has_power(&self, facts: &Facts) -> Result<(), String> {
        if facts.has_disk_fault {
            return Err("needs control of the server's disk".to_owned());
        }
        let by_commands = self.target_file.kill.is_some() && self.target_file.start.is_some();
        if facts.crashes_server && !self.starts && !by_commands {
            return Err(
                "needs a server that can be crashed: --start COMMAND, or a target file with kill and start"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// The option that lists the users, and its value in scenarios that need a second user.
const USERS: &str = "users";
const ALICE: &str = "user alice password secret";

/// A list of users without the word that lets Clients without User Name do everything. Whether a
/// target lets them connect is found by probing.
fn named(users: &str) -> &str {
    users.strip_suffix("; anonymous").unwrap_or(users)
}

/// An option by which the reference broker makes a choice. The scenarios that have it accept every
/// choice of another server.
const CHOICE: &str = "dollar_topics";

/// Options whose value the probes find, mostly in the CONNACK.
const ANNOUNCED: [&str; 10] = [
    "allow_anonymous",
    "maximum_qos",
    "retain_available",
    "wildcard_subscription_available",
    "subscription_identifier_available",
    "shared_subscription_available",
    "topic_alias_maximum",
    "receive_maximum",
    "maximum_packet_size",
    "server_keep_alive",
];
