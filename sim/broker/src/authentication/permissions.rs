//! Which topics a user may publish to and subscribe to (§5.4.2).

use std::sync::{Arc, LazyLock};

use mqttspec_codec::{TopicFilter, TopicName};

/// The Topic Filters that a user may use. `None` allows everything, an empty list nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) publish: Option<Vec<TopicFilter>>,
    pub(crate) subscribe: Option<Vec<TopicFilter>>,
}

static NOTHING: LazyLock<Arc<Permissions>> =
    LazyLock::new(|| Arc::new(Permissions { publish: Some(Vec::new()), subscribe: Some(Vec::new()) }));

impl Permissions {
    /// Those of an unknown user.
    pub(crate) fn nothing() -> Arc<Self> {
        Arc::clone(&NOTHING)
    }

    pub(crate) fn may_publish(&self, topic: &TopicName) -> bool {
        allows(self.publish.as_ref(), topic)
    }

    /// Whether messages of this topic may be sent to the user.
    pub(crate) fn may_receive(&self, topic: &TopicName) -> bool {
        allows(self.subscribe.as_ref(), topic)
    }

    /// Whether every topic that `filter` (without ShareName) matches is allowed.
    pub(crate) fn may_subscribe(&self, filter: &str) -> bool {
        self.subscribe.as_ref().is_none_or(|allowed| allowed.iter().any(|wide| covers(wide.as_str(), filter)))
    }
}

fn allows(filters: Option<&Vec<TopicFilter>>, topic: &TopicName) -> bool {
    filters.is_none_or(|filters| filters.iter().any(|filter| filter.matches_verbatim(topic)))
}

/// Whether `wide` matches every topic that `narrow` matches.
fn covers(wide: &str, narrow: &str) -> bool {
    // [MQTT-4.7.2-1] leading wildcards do not match topics that begin with $
    if narrow.starts_with('$') && wide.starts_with(['#', '+']) {
        return false;
    }
    let mut narrow = narrow.split('/');
    for level in wide.split('/') {
        match (level, narrow.next()) {
            ("#", _) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_filter_is_allowed_only_if_all_its_topics_are() {
        for (wide, narrow) in [
            ("a/#", "a"),
            ("a/#", "a/+/b"),
            ("a/+", "a/+"),
            ("a/+", "a/b"),
            ("#", "+/+"),
            ("$SYS/#", "$SYS/a"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("a/+", "a/#"),
            ("a/b", "a/+"),
            ("a/+", "a"),
            ("a/b", "a/b/c"),
            ("#", "$SYS/a"),
            ("+/a", "$SYS/a"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}
