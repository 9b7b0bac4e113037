//! Topic Names, Topic Filters and matching (§4.7), Shared Subscriptions (§4.8.2).

use mqttspec_codec::{Misdeed, TopicFilter, TopicName, Utf8String, ValueError, Version};

#[test]
fn filters_match_as_the_standard_defines() {
    let cases = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/tennis/player1/#", "sport/tennis/player10", false),
        ("sport/#", "sport", true),
        ("#", "a/b", true),
        ("#", "/", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+", "/finance", false),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "finance", true),
        ("a/b", "a/b/", false),
        ("a//b", "a//b", true),
        ("a/+/b", "a//b", true),
        ("A", "a", false),
        ("a/+/#", "a", false),
        ("a/+/#", "a/b", true),
        ("+/a/#", "x/a", true),
        // [MQTT-4.7.2-1]
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/+", "a/$b", true),
        ("a/#", "a/$b", true),
        // Only the part after the ShareName is matched.
        ("$share/g/a/+", "a/b", true),
        ("$share/g//finance", "/finance", true),
        ("$share/g//finance", "finance", false),
        ("$share/g/#", "$SYS/x", false),
        ("$share/g/a", "$share/g/a", false),
    ];
    for (filter, name, matches) in cases {
        let filter = TopicFilter::try_from(filter).unwrap();
        let name = TopicName::try_from(name).unwrap();
        assert_eq!(filter.matches(&name), matches, "{filter} and {name}");
    }
}

#[test]
fn share_is_an_ordinary_level_before_5_0() {
    let filter = TopicFilter::new(Utf8String::from_static("$share/g"), Version::V3_1_1).unwrap();
    assert!(filter.matches_verbatim(&TopicName::from_static("$share/g")));
    assert_eq!((filter.share_name(), filter.without_share()), (None, "$share/g"));
    assert_eq!(TopicFilter::try_from("$share/g"), Err(ValueError::Misdeed(Misdeed::SharedFilterMissing)));
}

#[test]
fn parts_of_a_shared_subscription() {
    let filter = TopicFilter::from_static("$share/consumer1//finance/#");
    assert!(filter.is_shared() && filter.has_wildcard());
    assert_eq!(filter.share_name(), Some("consumer1"));
    assert_eq!(filter.without_share(), "/finance/#");
    let filter = TopicFilter::from_static("share/a");
    assert!(!filter.is_shared() && !filter.has_wildcard());
    assert_eq!((filter.share_name(), filter.without_share()), (None, "share/a"));
}

#[test]
fn levels_may_be_empty() {
    assert_eq!(TopicName::from_static("/a//").levels().collect::<Vec<_>>(), ["", "a", "", ""]);
    assert_eq!(TopicFilter::from_static("+/#").levels().collect::<Vec<_>>(), ["+", "#"]);
}

#[test]
fn values_refuse_what_the_decoder_refuses() {
    let misdeed = |outcome: Result<(), ValueError>| match outcome {
        Err(ValueError::Misdeed(misdeed)) => Some(misdeed),
        Err(ValueError::TooLong) | Ok(()) => None,
    };
    let name = |text: &str| misdeed(TopicName::try_from(text).map(drop));
    let filter = |text: &str| misdeed(TopicFilter::try_from(text).map(drop));
    assert_eq!(name(""), Some(Misdeed::TopicNameEmpty));
    assert_eq!(name("a/#"), Some(Misdeed::TopicNameWildcard));
    assert_eq!(name("a\0"), Some(Misdeed::NullCharacter));
    assert_eq!(filter(""), Some(Misdeed::TopicFilterEmpty));
    assert_eq!(filter("a#"), Some(Misdeed::MultiLevelWildcardMisplaced));
    assert_eq!(filter("a+"), Some(Misdeed::SingleLevelWildcardMisplaced));
    assert_eq!(filter("$share//a"), Some(Misdeed::ShareNameEmpty));
    assert_eq!(filter("$share/+/a"), Some(Misdeed::ShareNameWildcard));
    assert_eq!(TopicName::try_from("a".repeat(65_536)).unwrap_err(), ValueError::TooLong);
    assert!(TopicName::try_from("a".repeat(65_535)).is_ok());
    let bytes = bytes::Bytes::from_static(b"a\xED\xA0\x80");
    assert_eq!(misdeed(Utf8String::try_from(bytes).map(drop)), Some(Misdeed::Surrogate));
}
