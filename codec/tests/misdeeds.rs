//! The answer to a misdeed is a total function: these tests call it for all variants, versions and
//! packets.

use std::collections::BTreeSet;

use mqttspec_codec::{Answer, ConnectReason, DisconnectReason, Misdeed, PacketType, Role, Version};

fn packets() -> impl Iterator<Item = Option<PacketType>> {
    std::iter::once(None).chain(PacketType::ALL.into_iter().map(Some))
}

#[test]
fn every_misdeed_has_one_answer_in_every_version_and_packet() {
    for &misdeed in Misdeed::ALL {
        for packet in packets() {
            match misdeed.answer(Version::V5, packet) {
                // [MQTT-3.14.0-1]
                Answer::ConnAck(reason) => {
                    assert_eq!(packet, Some(PacketType::Connect), "{misdeed:?}");
                    assert!(reason.is_failure(), "{misdeed:?}");
                }
                Answer::Disconnect(reason) => {
                    assert!(
                        packet != Some(PacketType::Connect) || misdeed == Misdeed::WrongSender,
                        "{misdeed:?}"
                    );
                    assert!(reason.is_failure(), "{misdeed:?}");
                    // Either end can receive a misdeed, so both must be allowed to send the code.
                    assert!(reason.client_may_send() && reason.server_may_send(), "{misdeed:?}");
                }
                Answer::Close => assert_eq!(misdeed, Misdeed::FirstPacketNotConnect),
            }
            for version in [Version::V3_1, Version::V3_1_1] {
                match misdeed.answer(version, packet) {
                    Answer::Close => {}
                    // 3.1.1/[MQTT-3.1.4-1]: no CONNACK except for these.
                    Answer::ConnAck(reason) => {
                        let code = reason.return_code().unwrap();
                        match misdeed {
                            Misdeed::ProtocolVersionUnsupported => assert_eq!(code, 1),
                            Misdeed::ClientIdentifierMissing | Misdeed::ClientIdentifierTooLong => {
                                assert_eq!(code, 2);
                            }
                            _ => panic!("{misdeed:?} is answered before 5.0"),
                        }
                    }
                    Answer::Disconnect(_) => panic!("a Server sends no DISCONNECT before 5.0: {misdeed:?}"),
                }
            }
        }
    }
}

/// The expected Reason Code of each misdeed, by §4.13.1 and the sections that name a more specific
/// one.
#[test]
fn reason_codes_of_5_0() {
    let malformed = [
        "PacketTypeZero",
        "PacketTypeReserved",
        "ReservedFlags",
        "RemainingLengthTooLong",
        "RemainingLengthNotMinimal",
        "PacketTooShort",
        "SurplusBytes",
        "VariableByteIntegerTooLong",
        "VariableByteIntegerNotMinimal",
        "IllFormedUtf8",
        "Surrogate",
        "NullCharacter",
        "ControlCharacter",
        "NonCharacter",
        "PropertyLengthTooLong",
        "PropertyTruncated",
        "PropertyUnknown",
        "PropertyNotAllowed",
        "ConnectReservedFlag",
        "WillQoSInvalid",
        "WillQoSWithoutWill",
        "WillRetainWithoutWill",
        "PasswordWithoutUserName",
        "ConnAckReservedFlags",
        "PublishQoSInvalid",
        "DupWithQoSZero",
        "SubscriptionOptionsReserved",
        "SubAckEmpty",
        "UnsubAckEmpty",
    ];
    let others = [
        ("PacketTooLarge", 0x95),
        ("TopicAliasZero", 0x94),
        ("WillPayloadNotUtf8", 0x99),
        ("PayloadNotUtf8", 0x99),
        ("ProtocolNameUnknown", 0x84),
        ("ProtocolVersionUnsupported", 0x84),
        ("ClientIdentifierMissing", 0x85),
        ("ClientIdentifierTooLong", 0x85),
    ];
    for &misdeed in Misdeed::ALL {
        let expected = if malformed.contains(&misdeed.name()) {
            0x81
        } else if let Some(&(_, code)) = others.iter().find(|(name, _)| *name == misdeed.name()) {
            code
        } else {
            0x82
        };
        match misdeed.answer(Version::V5, Some(PacketType::Connect)) {
            Answer::ConnAck(reason) if ConnectReason::try_from(expected).is_ok() => {
                assert_eq!(u8::from(reason), expected, "{misdeed:?}");
            }
            Answer::ConnAck(reason) => assert_eq!(reason, ConnectReason::ProtocolError, "{misdeed:?}"),
            Answer::Disconnect(_) | Answer::Close => {}
        }
        match misdeed.answer(Version::V5, Some(PacketType::Publish)) {
            Answer::Disconnect(reason) if DisconnectReason::try_from(expected).is_ok() => {
                assert_eq!(u8::from(reason), expected, "{misdeed:?}");
            }
            Answer::Disconnect(reason) => assert_eq!(reason, DisconnectReason::ProtocolError, "{misdeed:?}"),
            Answer::ConnAck(_) | Answer::Close => {}
        }
    }
}

#[test]
fn every_misdeed_has_a_distinct_description() {
    let sentences: BTreeSet<_> = Misdeed::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), Misdeed::ALL.len());
    let names: BTreeSet<_> = Misdeed::ALL.iter().map(|misdeed| misdeed.name()).collect();
    assert_eq!(names.len(), Misdeed::ALL.len());
    for sentence in sentences {
        assert!(!sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn every_misdeed_has_a_section_in_a_standard() {
    for &misdeed in Misdeed::ALL {
        assert!(Version::ALL.iter().any(|&version| misdeed.section(version).is_some()), "{misdeed:?}");
        for version in Version::ALL {
            for packet in packets() {
                if let Some(clause) = misdeed.clause(version, packet) {
                    let number = clause.strip_prefix("MQTT-").unwrap();
                    assert!(number.split(['.', '-']).all(|part| part.parse::<u8>().is_ok()), "{clause}");
                    assert!(misdeed.section(version).is_some(), "{misdeed:?} has {clause} but no section");
                }
            }
        }
    }
    assert_eq!(Role::Client.peer(), Role::Server);
}
