//! A swarm: the features that one run uses. Each run draws its own subset, because features hide
//! each other: a run that crashes the server every second never fills a receive window.

use std::fmt;

use mqttspec_codec::{Role, Version};
use mqttspec_world::Seed;

use crate::features::{Feature, Features};
use crate::live_server::LiveServer;
use crate::situations::Situation;

/// The options of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// The version of the standard.
    pub version: Version,
    /// The role under test.
    pub tests: Role,
    /// The number of hosts that run the reference client.
    pub clients: u64,
    /// The number of hosts for which the harness acts.
    pub raw: u64,
    /// The number of steps of the safety phase.
    pub steps: u64,
    /// The server, if it is a live one.
    pub live: Option<LiveServer>,
    /// The situation that is the whole run. Without one, the features are mixed.
    pub(crate) situation: Option<Situation>,
    features: Vec<Feature>,
}

/// The largest number of steps of the safety phase on a live server, where waits take real time.
const LIVE_STEPS: u64 = 40;

/// In how many of a hundred runs a situation is the whole run.
const SITUATIONS: u64 = 60;

impl Swarm {
    /// Draws the swarm of a seed.
    #[must_use]
    pub fn draw(seed: u64, tests: Role, version: Option<Version>, allowed: &Features) -> Self {
        let mut draw = Seed::new(seed).child("swarm").draw();
        let drawn = if draw.below(4) == 0 { Version::V3_1_1 } else { Version::V5 };
        let version = version.unwrap_or(drawn);
        // Some swarms have few features and some have most of them.
        let share = 15 + draw.below(60);
        let chosen: Vec<bool> = Feature::ALL.iter().map(|_| draw.below(100) < share).collect();
        let only_5 = [
            Feature::NoLocal,
            Feature::RetainAsPublished,
            Feature::RetainHandling,
            Feature::SubscriptionIdentifiers,
            Feature::MessageExpiry,
            Feature::SessionExpiry,
            Feature::Properties,
            Feature::TopicAliases,
            Feature::ReceiveMaximum,
            Feature::WillDelay,
            Feature::Shared,
            Feature::Limits,
            Feature::Refusals,
        ];
        let mut features: Vec<Feature> = Feature::ALL
            .iter()
            .zip(chosen)
            .filter(|(feature, chosen)| *chosen && allowed.allow(**feature))
            .map(|(feature, _)| *feature)
            .filter(|feature| version.is_5() || !only_5.contains(feature))
            .collect();
        // What changes a whole run is for few of them: it hides other things.
        let rare =
            [Feature::Auth, Feature::Permissions, Feature::LongWait, Feature::WebSocket, Feature::Limits];
        features.retain(|feature| !rare.contains(feature) || draw.below(3) == 0);
        // A store on a disk takes most of a run's time, and without a crash it is like one in
        // memory.
        let crashes = [Feature::CrashServer, Feature::CrashClient, Feature::Profile];
        let durable = features.iter().any(|feature| crashes.contains(feature)) && draw.below(4) == 0;
        features.retain(|feature| *feature != Feature::Durable || durable);
        let levels = [Feature::Qos0, Feature::Qos1, Feature::Qos2];
        if !features.iter().any(|feature| levels.contains(feature)) {
            features.extend(draw.pick(&levels));
        }
        let peers = 2 + draw.below(5);
        let has_raw = features.contains(&Feature::Raw) && tests == Role::Server;
        let raw = if has_raw { 1 + draw.below(peers.min(3)) } else { 0 };
        let most = if draw.below(3) == 0 { 190 } else { 50 };
        let steps = 10 + draw.below(most);
        let clients = (peers - raw.min(peers)).max(1);
        let is_allowed = |feature| allowed.allow(feature);
        let situation = match draw.below(100) < SITUATIONS {
            true => Situation::draw(&mut draw, tests, version, is_allowed),
            false => None,
        };
        Self { version, tests, clients, raw, steps, live: None, situation, features }
    }

    /// The same run on a live server.
    #[must_use]
    pub fn on(self, server: LiveServer) -> Self {
        Self { steps: self.steps.min(LIVE_STEPS), live: Some(server), ..self }
    }

    /// Whether the run uses a feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// Whether nothing in the run can lose or duplicate a message, so that delivery checks apply.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        use Feature as F;
        if self.situation.is_some() {
            return false;
        }
        let disturbing = [
            F::Retained,
            F::Wills,
            F::Unsubscribe,
            F::Resubscribe,
            F::Shared,
            F::NoLocal,
            F::MessageExpiry,
            F::SessionExpiry,
            F::CleanStart,
            F::Disconnect,
            F::CrashClient,
            F::Limits,
            F::Auth,
            F::Permissions,
        ];
        let lost = (self.has(F::CrashServer) || self.has(F::Profile)) && !self.has(F::Durable);
        self.raw == 0 && !lost && !disturbing.iter().any(|feature| self.has(*feature))
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, clients, raw, steps, features, tests, .. } = self;
        let role = mqttspec_spec::role_word(*tests);
        if let Some(situation) = self.situation {
            return write!(f, "tests={role} version={version} situation={}", situation.name());
        }
        write!(f, "tests={role} version={version} clients={clients} raw={raw} steps={steps}")?;
        features.iter().try_for_each(|feature| write!(f, " {}", feature.word()))
    }
}
