//! Packets that break the standard. The harness sends them byte by byte; the Server must close.

use mqttspec_codec::Version;

/// Packets after CONNACK, in every version.
const ANY: [&str; 28] = [
    "CONNECT client_id=again",
    "PUBLISH topic=t/a with flags=0x06",
    "PUBLISH topic=t/a with flags=0x0e",
    "PUBLISH topic=t/a with topic=\"t/+\"",
    "PUBLISH topic=t/a with topic=\"t/#\"",
    "PUBLISH topic=t/a with topic=x\"61ff\"",
    "PUBLISH topic=t/a with topic=x\"74eda080\"",
    "PUBLISH topic=t/a with topic=x\"740074\"",
    "PUBLISH qos=1 id=5 topic=t/a with id=0",
    "PUBLISH qos=1 id=5 topic=t/a truncated to 6",
    "SUBSCRIBE id=9 t/a with options=0xc0",
    "SUBSCRIBE id=9 t/a with options=0x03",
    "SUBSCRIBE id=9 t/a with flags=0x00",
    "SUBSCRIBE id=9 t/a with id=0",
    "SUBSCRIBE id=9 t/b with filter=\"t/#/b\"",
    "SUBSCRIBE id=9 t/b with filter=\"t+/b\"",
    "SUBSCRIBE id=9 t/b with filter=x\"61c0af\"",
    "UNSUBSCRIBE id=9 t/a with id=0",
    "UNSUBSCRIBE id=9 t/a with flags=0x00",
    "PUBREL id=3 with flags=0x00",
    "PUBACK id=3 with flags=0x01",
    "PINGREQ with flags=0x01",
    "PINGREQ extended by 00",
    "DISCONNECT with flags=0x01",
    "raw 00 00",
    "raw 30 00",
    "raw 30 ff ff ff ff 01",
    "raw 32 { str \"t\" }",
];

/// Packets after CONNACK that only 5.0 has.
const ONLY_5: [&str; 14] = [
    "PUBLISH topic=t/a with properties { 23 u16 0 }",
    "PUBLISH topic=t/a with properties { 08 str \"reply/+\" }",
    "PUBLISH topic=t/a with properties { 0b 01 }",
    "PUBLISH topic=t/a with properties { 01 01 01 01 }",
    "PUBLISH topic=t/a with properties { 7f 00 }",
    "PUBLISH topic=t/a with properties { 26 str x\"ff\" str \"value\" }",
    "PUBLISH topic=t/a with property_length=100",
    "SUBSCRIBE id=9 t/a with options=0x30",
    "SUBSCRIBE id=9 t/a with properties { 0b 00 }",
    "SUBSCRIBE id=9 t/a with properties { 21 u16 10 }",
    "SUBSCRIBE id=9 t/a with filter=\"\\$share//t\"",
    "DISCONNECT with properties { 7f 00 }",
    "AUTH reason=continue-authentication authentication_method=PLAIN",
    "raw f0 02 00 00 00",
];

/// The same for 3.1.1.
const ONLY_3: [&str; 4] =
    ["raw 82 { u16 1 }", "raw a2 { u16 1 }", "raw f0 00", "SUBSCRIBE id=9 t/a with options=0x04"];

/// First packets of a connection, in every version.
const FIRST: [&str; 12] = [
    "CONNECT client_id=bad with connect_flags=0x03",
    "CONNECT client_id=bad with flags=0x01",
    "CONNECT client_id=bad with connect_flags=0x0a",
    "CONNECT client_id=bad with connect_flags=0x22",
    "CONNECT client_id=bad with connect_flags=0x06",
    "CONNECT client_id=bad will={topic=t/a payload=\"x\"} with connect_flags=0x1e",
    "CONNECT client_id=bad with client_id=x\"61eda08062\"",
    "CONNECT client_id=bad with client_id=x\"610062\"",
    "CONNECT client_id=bad with protocol_version=9",
    "CONNECT client_id=bad with protocol_name=\"MQTX\"",
    "PINGREQ",
    "PUBLISH topic=t/a",
];

/// First packets that only 5.0 has.
const FIRST_5: [&str; 5] = [
    "CONNECT client_id=bad with properties { 21 u16 10 21 u16 10 }",
    "CONNECT client_id=bad with properties { 21 u16 0 }",
    "CONNECT client_id=bad with properties { 17 02 }",
    "CONNECT client_id=bad with properties { 7f 00 }",
    "CONNECT client_id=bad with properties { 16 str \"data\" }",
];

/// What a Server may send against the standard, in every version.
const OF_SERVER: [&str; 12] = [
    "PUBLISH topic=t/a payload=\"x\" with flags=0x06",
    "PUBLISH topic=t/a payload=\"x\" with topic=\"t/+\"",
    "PUBLISH topic=t/a payload=\"x\" with topic=x\"74eda080\"",
    "PUBLISH topic=t/a payload=\"x\" with topic=x\"740074\"",
    "PUBLISH id=1 qos=1 topic=t/a payload=\"x\" with id=0",
    "PUBREL id=1 with flags=0x00",
    "PUBACK id=1 with flags=0x01",
    "CONNACK",
    "CONNECT client_id=server",
    "SUBSCRIBE id=1 t/a qos=0",
    "raw 00 00",
    "raw 30 ff ff ff ff 01",
];

/// The same for 5.0.
const OF_SERVER_5: [&str; 5] = [
    "PUBLISH topic=t/a payload=\"x\" with properties { 23 u16 0 }",
    "PUBLISH topic=t/a payload=\"x\" topic_alias=1",
    "AUTH reason=continue-authentication authentication_method=SCRAM-SHA-256",
    "raw 30 { str \"t\" }",
    "DISCONNECT with flags=0x01",
];

/// What a Server may send to a client after CONNACK against the standard.
pub(crate) fn of_server(version: Version) -> Vec<&'static str> {
    with(&OF_SERVER, if version.is_5() { &OF_SERVER_5 } else { &[] })
}

/// What a client may send after CONNACK against the standard.
pub(super) fn later(version: Version) -> Vec<&'static str> {
    with(&ANY, if version.is_5() { &ONLY_5 } else { &ONLY_3 })
}

/// What a client may send first against the standard.
pub(super) fn first(version: Version) -> Vec<&'static str> {
    with(&FIRST, if version.is_5() { &FIRST_5 } else { &[] })
}

fn with(every: &[&'static str], of_version: &[&'static str]) -> Vec<&'static str> {
    every.iter().chain(of_version).copied().collect()
}
