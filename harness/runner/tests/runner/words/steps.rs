//! Steps other than faults: a scenario for each word of the grammar's rules.

use super::{LIVE, Word, changed, refused_by, with_header};

/// When a line is due. An answer takes a second over this link.
const TIMING: &[Word] = &[
    changed(
        "within",
        "within 9s ",
        "within 100ms ",
        "device connects keep_alive=0\nlatency device 2s\ndevice > PINGREQ\nwithin 9s device < PINGRESP\n",
    ),
    changed(
        "after",
        "after 900ms",
        "after 5s [live 5s]",
        "device connects keep_alive=0\nlatency device 500ms\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
    ),
    changed(
        "at",
        "at 900ms",
        "at 20s [live 5s]",
        "device connects keep_alive=0\nlatency device 500ms\ndevice > PINGREQ\nat 900ms device < PINGRESP\n",
    ),
    changed(
        "between",
        "between 900ms..9s",
        "between 4s..9s [live 4s..9s]",
        "device connects keep_alive=0\nlatency device 500ms\ndevice > PINGREQ\nbetween 900ms..9s device < PINGRESP\n",
    ),
];

/// What is expected besides a packet.
const CONTENT: &[Word] = &[
    changed(
        "nothing",
        "nothing for 1s",
        "PINGRESP",
        "device connects keep_alive=0\npartition device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    changed(
        "for",
        "nothing for 1s",
        "nothing for 4s [live 4s]",
        "device connects keep_alive=0\nlatency device 1s\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    changed("closed", "closed", "PINGRESP", "device connects keep_alive=0\ncut device\ndevice < closed\n"),
    changed(
        "or",
        " or DISCONNECT",
        "",
        "device connects keep_alive=0\ndevice > raw 00 00\ndevice < closed or DISCONNECT\n",
    ),
    changed(
        "anything",
        "anything",
        "CONNACK",
        "device connects keep_alive=0\ndevice > PINGREQ\ndevice < anything\n",
    ),
];

/// Conditions of a packet.
const PACKET: &[Word] = &[
    changed(
        "where",
        "where $code<0x80",
        "where $code>=0x80",
        "device connects keep_alive=0\ndevice > PUBLISH id=1 qos=1 topic=t/a\ndevice < PUBACK id=1 reason=$code where $code<0x80\n",
    ),
    changed(
        "and",
        "and $code<0x90",
        "and $code>=0x90",
        "device connects keep_alive=0\ndevice > PUBLISH id=1 qos=1 topic=t/a\ndevice < PUBACK id=1 reason=$code where $code<0x80 and $code<0x90\n",
    ),
];

/// A scenario over WebSocket. The live server of the test has none.
const fn over_websocket(word: Word) -> Word {
    refused_by(&[LIVE], with_header("over     websocket\n", word))
}

/// The frames of a packet that is sent.
const FRAMES: &[Word] = &[
    over_websocket(changed(
        "in",
        " in a text frame",
        "",
        "device connects keep_alive=0\ndevice > PUBLISH topic=t/a in a text frame\ndevice < closed\n",
    )),
    over_websocket(changed(
        "a text frame",
        "a text frame",
        "frames of 1",
        "device connects keep_alive=0\ndevice > PUBLISH topic=t/a in a text frame\ndevice < closed\n",
    )),
    over_websocket(changed(
        "frames of",
        "frames of 1",
        "a text frame",
        "device connects keep_alive=0\ndevice > PINGREQ in frames of 1\ndevice < PINGRESP\n",
    )),
    over_websocket(changed(
        "one frame with the next",
        "one frame with the next",
        "a text frame",
        "device connects keep_alive=0\ndevice > PINGREQ in one frame with the next\ndevice > PINGREQ\ndevice < PINGRESP\ndevice < PINGRESP\n",
    )),
];

/// The opening handshake of a WebSocket.
const HANDSHAKE: &[Word] = &[
    over_websocket(changed(
        "handshake",
        "device > handshake offering mqtt\n",
        "device opens\n",
        "device > handshake offering mqtt\ndevice < handshake selecting mqtt\n",
    )),
    over_websocket(changed(
        "offering",
        "offering mqtt",
        "offering other",
        "device > handshake offering mqtt\ndevice < handshake selecting mqtt\n",
    )),
    over_websocket(changed(
        "selecting",
        "selecting mqtt",
        "selecting other",
        "device > handshake offering mqtt\ndevice < handshake selecting mqtt\n",
    )),
];

/// A Reason Code of any value.
const REASON_TEST: &[Word] = &[changed(
    "any",
    "any",
    "quota-exceeded",
    "device connects keep_alive=0\ndevice > SUBSCRIBE id=1 t/a qos=1\ndevice < SUBACK id=1 [any]\n",
)];

/// Changes of a packet that is sent.
const PATCH: &[Word] = &[
    changed(
        "with",
        " with topic=\"t/#\"",
        "",
        "device connects keep_alive=0\ndevice > PUBLISH topic=t/a with topic=\"t/#\"\ndevice < closed or DISCONNECT\n",
    ),
    changed(
        "nonminimal",
        " with remaining_length=nonminimal",
        "",
        "device connects keep_alive=0\ndevice > PINGREQ with remaining_length=nonminimal\ndevice < closed or DISCONNECT\n",
    ),
    changed(
        "properties",
        " with properties { 23 u16 0 }",
        "",
        "device connects keep_alive=0\ndevice > PUBLISH topic=t/a with properties { 23 u16 0 }\ndevice < closed or DISCONNECT\n",
    ),
    changed(
        "truncated to",
        " truncated to 1",
        "",
        "device connects keep_alive=0\ndevice > PINGREQ truncated to 1\ndevice < nothing for 1s\n",
    ),
    changed(
        "extended by",
        " extended by 0000",
        "",
        "device connects keep_alive=0\ndevice > PUBLISH topic=t/a extended by 0000\ndevice < closed or DISCONNECT\n",
    ),
];

/// A byte of a packet that is sent.
const PLACE: &[Word] = &[changed(
    "byte",
    " with byte 0=0xc1",
    "",
    "device connects keep_alive=0\ndevice > PINGREQ with byte 0=0xc1\ndevice < closed or DISCONNECT\n",
)];

/// Bytes in place of a packet.
const RAW: &[Word] = &[changed(
    "raw",
    "raw c0 00",
    "raw 00 00",
    "device connects keep_alive=0\ndevice > raw c0 00\ndevice < PINGRESP\n",
)];

/// Parts of bytes.
const ATOM: &[Word] = &[
    changed(
        "u8",
        "u8 1",
        "u8 3",
        "device connects keep_alive=0\ndevice > raw 82 { u16 1 varint 0 str \"t/a\" u8 1 }\ndevice < SUBACK id=1 [granted-1]\n",
    ),
    changed(
        "u16",
        "u16 1",
        "u16 2",
        "device connects keep_alive=0\ndevice > raw 82 { u16 1 varint 0 str \"t/a\" u8 1 }\ndevice < SUBACK id=1 [granted-1]\n",
    ),
    changed(
        "u32",
        "u32 100",
        "u32 0",
        "device > raw 10 { str \"MQTT\" 05 02 00 00 { 27 u32 100 } str \"d\" }\ndevice < CONNACK reason=success\n",
    ),
    changed(
        "varint",
        "varint 0",
        "varint 9",
        "device connects keep_alive=0\ndevice > raw 82 { u16 1 varint 0 str \"t/a\" u8 1 }\ndevice < SUBACK id=1 [granted-1]\n",
    ),
    changed(
        "str",
        "str \"t/a\"",
        "str \"t/#/a\"",
        "device connects keep_alive=0\ndevice > raw 82 { u16 1 varint 0 str \"t/a\" u8 1 }\ndevice < SUBACK id=1 [granted-1]\n",
    ),
    changed(
        "bytes",
        "bytes x\"61\"",
        "bytes x\"ff\"",
        "device connects keep_alive=0\ndevice > raw 82 { u16 1 00 00 01 bytes x\"61\" 01 }\ndevice < SUBACK id=1 [granted-1]\n",
    ),
    changed(
        "fill",
        "fill 3 61",
        "fill 3 ff",
        "device connects keep_alive=0\ndevice > raw 82 { u16 1 00 00 03 fill 3 61 01 }\ndevice < SUBACK id=1 [granted-1]\n",
    ),
    changed("any", "any", "01", "device connects keep_alive=0\ndevice > PINGREQ\ndevice < raw d0 any\n"),
];

/// Verbs of a client that the harness plays.
const VERB: &[Word] = &[
    changed("opens", "opens", "connects", "device opens\ndevice > CONNECT\ndevice < CONNACK\n"),
    changed(
        "pings",
        "heal device\ndevice pings",
        "partition device\ndevice pings",
        "device connects keep_alive=0\nheal device\ndevice pings\n",
    ),
    changed(
        "closes",
        "device closes\n",
        "",
        "watcher connects keep_alive=0\nwatcher subscribes w/a qos=1\ndevice connects will={topic=w/a payload=\"gone\"}\ndevice closes\nwatcher receives w/a \"gone\"\n",
    ),
    changed(
        "disconnects",
        "disconnects",
        "closes",
        "watcher connects keep_alive=0\nwatcher subscribes w/a qos=1\ndevice connects will={topic=w/a payload=\"gone\"}\ndevice disconnects\nwatcher < nothing for 1s\n",
    ),
    changed("connects", "connects", "opens", "device connects\ndevice pings\n"),
    changed(
        "expecting",
        "expecting session_present=0",
        "expecting session_present",
        "device connects clean_start expecting session_present=0\n",
    ),
    changed(
        "subscribes",
        "reader subscribes t/a qos=1\n",
        "",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nwriter connects keep_alive=0\nwriter publishes t/a \"x\"\nreader receives t/a \"x\"\n",
    ),
    changed(
        "unsubscribes",
        "reader unsubscribes t/a\n",
        "",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nwriter connects keep_alive=0\nreader unsubscribes t/a\nwriter publishes t/a \"x\"\nreader < nothing for 1s\n",
    ),
    changed(
        "publishes",
        "writer publishes t/a \"x\"\n",
        "",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nwriter connects keep_alive=0\nwriter publishes t/a \"x\"\nreader receives t/a \"x\"\n",
    ),
    changed(
        "receives",
        "receives t/a \"x\"",
        "receives t/a \"y\"",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nwriter connects keep_alive=0\nwriter publishes t/a \"x\"\nreader receives t/a \"x\"\n",
    ),
];

/// What a reference client in the background sends.
const LOAD: &[Word] = &[
    with_header(
        "client   d1 reference\n",
        changed(
            "load",
            "load d1 to load/x qos=1 rate=2/s for 1s\n",
            "load d1 to other/x qos=1 rate=2/s for 1s\n",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 1s\nsink receives load/x\n",
        ),
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "to",
            "to load/x",
            "to other/x",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 1s\nsink receives load/x\n",
        ),
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "qos=",
            "qos=1 rate",
            "qos=0 rate",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 1s\nsink receives load/x qos=1\n",
        ),
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "rate=",
            "rate=2/s",
            "rate=1/s",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 1s\nsink receives load/x\nsink receives load/x\n",
        ),
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "s",
            "rate=2/s",
            "rate=2/1h",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 1s\nsink receives load/x\nsink receives load/x\n",
        ),
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "size=",
            "size=10",
            "size=1000",
            "sink connects keep_alive=0 maximum_packet_size=500\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s size=10 for 1s\nsink receives load/x\n",
        ),
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "for",
            "for 1s",
            "for 4s",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 1s\nsink receives load/x\nsink receives load/x\nsink < nothing for 2s [live 2s]\n",
        ),
    ),
];

/// Time between steps.
const WAIT: &[Word] = &[
    changed(
        "wait",
        "wait 2s [live 2s]\n",
        "",
        "writer connects keep_alive=0\nwriter publishes t/a \"x\" retain message_expiry=1\nwait 2s [live 2s]\nreader connects\nreader subscribes t/a\nreader < nothing\n",
    ),
    changed(
        "until",
        "wait until 2s [live 2s]\n",
        "",
        "writer connects keep_alive=0\nwriter publishes t/a \"x\" retain message_expiry=1\nwait until 2s [live 2s]\nreader connects\nreader subscribes t/a\nreader < nothing\n",
    ),
    with_header(
        "client   d1 reference\n",
        changed(
            "for quiet",
            "for quiet 60s",
            "for quiet 1s",
            "sink connects keep_alive=0\nsink subscribes load/# qos=1\nload d1 to load/x qos=1 rate=2/s for 3s\nsink < anything\nwait for quiet 60s\n",
        ),
    ),
];

/// Blocks.
const BLOCK: &[Word] = &[
    changed(
        "in any order",
        "in any order\n  reader < PUBLISH topic=t/b\n  reader < PUBLISH topic=t/a\n",
        "reader < PUBLISH topic=t/b\nreader < PUBLISH topic=t/a\n",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nreader subscribes t/b qos=1\nwriter connects keep_alive=0\nwriter publishes t/a \"x\" qos=1\nwriter publishes t/b \"y\" qos=1\nin any order\n  reader < PUBLISH topic=t/b\n  reader < PUBLISH topic=t/a\n",
    ),
    with_header(
        "table    case  bytes\n         ping  raw c0 00\n",
        changed(
            "each row",
            "each row\n  device > $bytes\n",
            "each row\n  device < nothing\n",
            "device connects keep_alive=0\neach row\n  device > $bytes\ndevice < PINGRESP\n",
        ),
    ),
    changed(
        "repeat",
        "repeat 2",
        "repeat 1",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nwriter connects keep_alive=0\nrepeat 2\n  writer publishes t/a \"x\"\nreader receives t/a\nreader receives t/a\n",
    ),
    changed(
        "as",
        "repeat 2 as i\n  writer publishes t/a \"$i\"",
        "repeat 2\n  writer publishes t/a \"0\"",
        "reader connects keep_alive=0\nreader subscribes t/a qos=1\nwriter connects keep_alive=0\nrepeat 2 as i\n  writer publishes t/a \"$i\"\nreader receives t/a \"1\"\nreader receives t/a \"2\"\n",
    ),
    changed(
        "either",
        "either\n  device < PINGRESP\nor\n  device < closed\n",
        "device < closed\n",
        "device connects keep_alive=0\ndevice > PINGREQ\neither\n  device < PINGRESP\nor\n  device < closed\n",
    ),
    changed(
        "or",
        "or\n  device < PINGRESP\n",
        "or\n  device < DISCONNECT\n",
        "device connects keep_alive=0\ndevice > PINGREQ\neither\n  device < closed\nor\n  device < PINGRESP\n",
    ),
];

/// All hosts but the broker.
const HOSTS: &[Word] =
    &[changed("all", "cut all\n", "", "device connects keep_alive=0\ncut all\ndevice < closed\n")];

/// A scenario for a client under test.
const fn under_test(word: Word) -> Word {
    let header = "tests    client\nclient   device reference acknowledgement=manual reconnect=0\n";
    Word { tests_client: true, ..with_header(header, word) }
}

/// A scenario for a client under test with enhanced authentication.
const fn with_scram(word: Word) -> Word {
    let header = "tests    client\nclient   device reference authentication=scram-sha-256 reconnect=0\n";
    Word { tests_client: true, ..with_header(header, word) }
}

/// Commands to a client under test.
const COMMAND: &[Word] = &[
    under_test(changed(
        "connect",
        "ask device connect clean_start keep_alive=0\n",
        "ask device connect clean_start=0 keep_alive=0\n",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT clean_start\ndevice < CONNACK\n",
    )),
    under_test(changed(
        "subscribe",
        "ask device subscribe t/a qos=1\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device subscribe t/a qos=1\ndevice > SUBSCRIBE id=$s t/a\ndevice < SUBACK id=$s [granted-1]\n",
    )),
    under_test(changed(
        "unsubscribe",
        "ask device unsubscribe t/a\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device subscribe t/a qos=1\ndevice > SUBSCRIBE id=$s t/a\ndevice < SUBACK id=$s [granted-1]\nask device unsubscribe t/a\ndevice > UNSUBSCRIBE id=$u t/a\ndevice < UNSUBACK id=$u [success]\n",
    )),
    under_test(changed(
        "publish",
        "ask device publish t/a \"x\" qos=1\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device publish t/a \"x\" qos=1\ndevice > PUBLISH id=$p qos=1 topic=t/a\ndevice < PUBACK id=$p\n",
    )),
    under_test(changed(
        "request",
        "ask device request t/a \"x\" response_topic=r\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device request t/a \"x\" response_topic=r\ndevice > SUBSCRIBE id=$s r\ndevice < SUBACK id=$s [granted-1]\ndevice > PUBLISH topic=t/a correlation_data=$d\n",
    )),
    under_test(changed(
        "deliver",
        "ask device deliver t/a \"x\" qos=1\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device deliver t/a \"x\" qos=1\ndevice > SUBSCRIBE id=$s delivery/ack/+\ndevice < SUBACK id=$s [granted-1]\ndevice > PUBLISH id=$p topic=t/a\ndevice < PUBACK id=$p\n",
    )),
    with_scram(changed(
        "reauthenticate",
        "ask device reauthenticate\n",
        "",
        "ask device connect clean_start keep_alive=0 user_name=me password=\"secret\"\ndevice > CONNECT authentication_data={scram=client-first}\ndevice < AUTH reason=continue-authentication authentication_method=SCRAM-SHA-256 authentication_data={scram=server-first password=\"secret\"}\ndevice > AUTH authentication_data={scram=client-final}\ndevice < CONNACK authentication_method=SCRAM-SHA-256 authentication_data={scram=server-final}\nask device reauthenticate\ndevice > AUTH reason=re-authenticate authentication_data={scram=client-first}\n",
    )),
    under_test(changed(
        "acknowledge",
        "ask device acknowledge t/a \"in\"\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\ndevice < PUBLISH id=1 qos=1 topic=t/a payload=\"in\"\ntold device received t/a \"in\"\nask device acknowledge t/a \"in\"\ndevice > PUBACK id=1\n",
    )),
    under_test(changed(
        "disconnect",
        "ask device disconnect\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device disconnect\ndevice > DISCONNECT\n",
    )),
];

/// Reports of a client under test.
const EVENT: &[Word] = &[
    under_test(changed(
        "connected",
        "CONNACK\n",
        "CONNACK reason=server-unavailable\n",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\ntold device connected\n",
    )),
    under_test(changed(
        "disconnected",
        "ask device disconnect\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\ntold device connected\nask device disconnect\ndevice > DISCONNECT\ntold device disconnected\n",
    )),
    under_test(changed(
        "failed",
        "CONNACK reason=server-unavailable",
        "CONNACK",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK reason=server-unavailable\ntold device failed\n",
    )),
    under_test(changed(
        "subscribed",
        "device < SUBACK id=$s [granted-1]\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device subscribe t/a qos=1\ndevice > SUBSCRIBE id=$s t/a\ndevice < SUBACK id=$s [granted-1]\ntold device subscribed t/a\n",
    )),
    under_test(changed(
        "unsubscribed",
        "device < UNSUBACK id=$u [success]\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device subscribe t/a qos=1\ndevice > SUBSCRIBE id=$s t/a\ndevice < SUBACK id=$s [granted-1]\nask device unsubscribe t/a\ndevice > UNSUBSCRIBE id=$u t/a\ndevice < UNSUBACK id=$u [success]\ntold device unsubscribed t/a\n",
    )),
    under_test(changed(
        "published",
        "device < PUBACK id=$p\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device publish t/a \"x\" qos=1\ndevice > PUBLISH id=$p qos=1 topic=t/a\ndevice < PUBACK id=$p\ntold device published t/a \"x\"\n",
    )),
    under_test(changed(
        "received",
        "device < PUBLISH id=1 qos=1 topic=t/a payload=\"in\"\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\ndevice < PUBLISH id=1 qos=1 topic=t/a payload=\"in\"\ntold device received t/a \"in\"\n",
    )),
    under_test(changed(
        "answered",
        "device < PUBLISH topic=r payload=\"y\" correlation_data=$d\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\nask device request t/a \"x\" response_topic=r\ndevice > SUBSCRIBE id=$s r\ndevice < SUBACK id=$s [granted-1]\ndevice > PUBLISH topic=t/a correlation_data=$d\ndevice < PUBLISH topic=r payload=\"y\" correlation_data=$d\ntold device answered r \"y\"\n",
    )),
    with_header(
        "client   sender reference\nclient   worker reference acknowledge_deliveries=1\n",
        changed(
            "delivered",
            "ask worker subscribe t/a qos=1\ntold worker subscribed t/a\n",
            "ask worker subscribe t/b qos=1\ntold worker subscribed t/b\n",
            "told worker connected\nask worker subscribe t/a qos=1\ntold worker subscribed t/a\nask sender deliver t/a \"x\" qos=1\ntold sender delivered t/a \"x\"\n",
        ),
    ),
    with_scram(changed(
        "reauthenticated",
        "reason=success",
        "reason=continue-authentication",
        "ask device connect clean_start keep_alive=0 user_name=me password=\"secret\"\ndevice > CONNECT authentication_data={scram=client-first}\ndevice < AUTH reason=continue-authentication authentication_method=SCRAM-SHA-256 authentication_data={scram=server-first password=\"secret\"}\ndevice > AUTH authentication_data={scram=client-final}\ndevice < CONNACK authentication_method=SCRAM-SHA-256 authentication_data={scram=server-final}\nask device reauthenticate\ndevice > AUTH reason=re-authenticate authentication_data={scram=client-first}\ndevice < AUTH reason=continue-authentication authentication_method=SCRAM-SHA-256 authentication_data={scram=server-first password=\"secret\"}\ndevice > AUTH authentication_data={scram=client-final}\ndevice < AUTH reason=success authentication_method=SCRAM-SHA-256 authentication_data={scram=server-final}\ntold device reauthenticated\n",
    )),
    under_test(changed(
        "acknowledged",
        "ask device acknowledge t/a \"in\"\n",
        "",
        "ask device connect clean_start keep_alive=0\ndevice > CONNECT\ndevice < CONNACK\ndevice < PUBLISH id=1 qos=1 topic=t/a payload=\"in\"\ntold device received t/a \"in\"\nask device acknowledge t/a \"in\"\ndevice > PUBACK id=1\ntold device acknowledged t/a \"in\"\n",
    )),
];

/// The rules, each with a scenario for each of its words.
pub(super) const RULES: &[(&str, &[Word])] = &[
    ("timing", TIMING),
    ("content", CONTENT),
    ("packet", PACKET),
    ("frames", FRAMES),
    ("handshake", HANDSHAKE),
    ("reason-test", REASON_TEST),
    ("patch", PATCH),
    ("place", PLACE),
    ("raw", RAW),
    ("atom", ATOM),
    ("verb", VERB),
    ("command", COMMAND),
    ("event", EVENT),
    ("hosts", HOSTS),
    ("load", LOAD),
    ("wait", WAIT),
    ("block", BLOCK),
];
