//! The `serde` feature: a round trip of every packet through a self-describing format.
#![cfg(feature = "serde")]
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use mqttspec_codec::*;
use proptest::prelude::*;
use support::packets::{packet, version};

proptest! {
    #[test]
    fn every_packet_survives_a_round_trip_through_json(packet in version().prop_flat_map(packet)) {
        let json = serde_json::to_string(&packet).unwrap();
        prop_assert_eq!(serde_json::from_str::<Packet>(&json).unwrap(), packet);
    }
}

#[test]
fn values_that_break_a_rule_are_refused() {
    assert!(serde_json::from_str::<TopicName>(r#""a/+""#).is_err());
    assert!(serde_json::from_str::<TopicFilter>(r#""a+""#).is_err());
    assert!(serde_json::from_str::<Utf8String>(r#""\u0000""#).is_err());
    assert!(serde_json::from_str::<PacketIdentifier>("0").is_err());
    assert!(serde_json::from_str::<SubscriptionIdentifier>("268435456").is_err());
    assert!(serde_json::from_str::<NonEmpty<TopicFilter>>("[]").is_err());
    assert!(serde_json::from_str::<Properties<Connect>>(r#"[{"TopicAlias":1}]"#).is_err());
    assert!(
        serde_json::from_str::<Properties<Connect>>(r#"[{"ReceiveMaximum":1},{"ReceiveMaximum":1}]"#)
            .is_err()
    );
    let long = format!("\"{}\"", "a".repeat(65_536));
    assert!(serde_json::from_str::<Utf8String>(&long).is_err());
}
