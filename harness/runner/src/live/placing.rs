//! Where a case is played: beside the others, on a server of its own, by itself, or not at all, and why.

use core::time::Duration;

use super::probes::Capabilities;
use super::schedule::{self, Limits, Scheduled};
use super::target_file::TargetFile;
use crate::facts::{Facts, STORE};
use mqttspec_judge::Case;

/// A wait from which on a case counts as one that waits for long.
const LONG: Duration = Duration::from_secs(1);

/// Where a case is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside others, on the server that all share.
    Beside,
    /// On a server that is started for it, with these options.
    Own(Vec<(String, String)>),
    /// On the server that all share, while nobody else plays.
    Alone {
        /// Under the scenario's own names.
        unnamed: bool,
    },
    /// Not at all, for this reason.
    Nowhere(String),
}

/// A case as it is played.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) case: Case,
    pub(crate) place: Place,
    /// How long it takes at least.
    pub(crate) waits: Duration,
    /// Whether it waits for long, or for a clock of the server: an interval that runs out, such as a Keep Alive.
    pub(crate) by_the_clock: bool,
}

/// What placing goes by.
pub(crate) struct Placing<'p> {
    pub(crate) capabilities: &'p Capabilities,
    pub(crate) target_file: &'p TargetFile,
    /// Whether servers can be started here.
    pub(crate) starts: bool,
    pub(crate) limits: Limits,
    /// Whether every Client needs credentials that the scenarios do not have.
    pub(crate) has_credentials: bool,
    /// Whether what waits for long, or for a clock of the server, is left out.
    pub(crate) quick: bool,
}

impl Placing<'_> {
    /// Where to play a case.
    pub(crate) fn place(&self, case: &Case) -> Placed {
        let mut placed =
            Placed { case: case.clone(), place: Place::Beside, waits: Duration::ZERO, by_the_clock: false };
        match self.decide(case) {
            Ok((scheduled, place)) => {
                placed.case.scenario = scheduled.scenario.into();
                (placed.waits, placed.place) = (scheduled.waits, place);
                placed.by_the_clock = scheduled.longest >= LONG || Facts::of(&placed.case).sets_a_clock;
                if placed.by_the_clock && self.quick {
                    placed.place = Place::Nowhere(
                        "waits for a second or longer, or for a clock of the server: left out by --quick"
                            .to_owned(),
                    );
                }
            }
            Err(reason) => placed.place = Place::Nowhere(reason),
        }
        placed
    }

    fn decide(&self, case: &Case) -> Result<(Scheduled, Place), String> {
        if !self.capabilities.versions.contains(&case.version) {
            return Err(format!("the target does not speak MQTT {}", case.version));
        }
        self.needs(case)?;
        let options = self.missing_options(case);
        let own = !options.is_empty();
        if own && !(self.starts && self.target_file.start_with_options.is_some()) {
            let options: Vec<String> =
                options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return Err(format!("needs a server with {}", options.join(" ")));
        }
        let facts = Facts::of(case);
        self.has_power(&facts)?;
        let scheduled = schedule::live(&case.scenario, case.version, self.limits)
            .map_err(|needed| format!("needs {needed:?} of real time; --patient waits"))?;
        let place = if own || (facts.crashes_server || facts.keeps_its_names) && self.starts {
            Place::Own(options)
        } else if facts.crashes_server || facts.keeps_its_names {
            Place::Alone { unnamed: facts.keeps_its_names }
        } else {
            Place::Beside
        };
        if self.has_credentials
            && facts.says_credentials
            && !self.has_the_user_of(case)
            && !matches!(&place, Place::Own(options) if !options.is_empty())
        {
            return Err("needs a server that takes any credentials".to_owned());
        }
        Ok((scheduled, place))
    }

    fn needs(&self, case: &Case) -> Result<(), String> {
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
                // These say what the options of the scenario set up, or what its faults do.
                "password-authentication" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("password_authentication") == Some("1")
                }
                // Users that the target has anyway say nothing of the methods that it knows.
                "enhanced-authentication" => {
                    !self.missing_options(case).is_empty()
                        || self.capabilities.get("enhanced_authentication") == Some("1")
                }
                "response-information" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("response_information") == Some("1")
                }
                "restart" => true,
                _ => false,
            };
            if !met && !self.is_set_up(case, &need.name) {
                return Err(format!("needs {text}"));
            }
        }
        Ok(())
    }

    /// Whether the scenario's own options bring about what it needs.
    fn is_set_up(&self, case: &Case, need: &str) -> bool {
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

    /// What is not announced is not limited.
    fn at_least(&self, capability: &str, least: Option<u64>) -> bool {
        let Some(value) = self.capabilities.get(capability) else { return true };
        match (value.parse::<u64>(), least) {
            (Ok(value), Some(least)) => value >= least,
            _ => true,
        }
    }

    /// Options of the scenario that do not hold of the target as it is.
    fn missing_options(&self, case: &Case) -> Vec<(String, String)> {
        let counting = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        counting
            .filter(|option| option.name != STORE && !self.holds(&option.name, &option.value))
            .filter(|option| option.name != USERS || !self.has_the_user_of(case))
            .map(|option| (option.name.clone(), option.value.clone()))
            .collect()
    }

    /// Whether the second identity stands for the user of the scenario. Raw bytes go out as they are, with the name that they have.
    fn has_the_user_of(&self, case: &Case) -> bool {
        let has = |value: &str| value == ALICE && self.target_file.second_identity.is_some();
        let options = &case.scenario.broker;
        options.iter().any(|option| option.name == USERS && has(&option.value)) && !Facts::of(case).sends_raw
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        self.target_file.configured.contains(&format!("{name}={value}"))
            // What a CONNACK announces is what the option of the same name makes the reference broker announce.
            || ANNOUNCED.contains(&name) && self.capabilities.get(name) == Some(value)
    }

    /// Whether the target has the power over its server that the faults of the scenario need.
    fn has_power(&self, facts: &Facts) -> Result<(), String> {
        if facts.harms_disk {
            return Err("needs power over the server's disk".to_owned());
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

/// The option that says who may connect, and what it says where a scenario needs one user besides anybody.
const USERS: &str = "users";
const ALICE: &str = "user alice password secret";

/// Options that a CONNACK shows.
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
