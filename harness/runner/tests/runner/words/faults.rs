//! Faults: a scenario for each word of the grammar's rule, and for each profile.

use super::{LIVE, TURMOIL};
use super::{Word, changed, on_a_durable_broker, refused_by, word};

/// The words of `fault` in the grammar.
pub(super) const WORDS: &[Word] = &[
    word("cut", "cut device\n", "device connects\ncut device\ndevice < closed\n"),
    word(
        "close",
        "close device\n",
        "watcher connects\nwatcher subscribes w/a qos=1\ndevice connects will={topic=w/a payload=\"gone\"}\nclose device\nwatcher receives w/a \"gone\"\n",
    ),
    word(
        "partition",
        "partition device\n",
        "device connects keep_alive=0\npartition device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    word(
        "heal",
        "heal device after 1s\n",
        "device connects keep_alive=0\npartition device\ndevice > PINGREQ\nheal device after 1s\ndevice < PINGRESP\n",
    ),
    word(
        "latency",
        "latency device 500ms\n",
        "device connects keep_alive=0\nlatency device 500ms\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
    ),
    refused_by(
        &[TURMOIL],
        word(
            "loss",
            "loss device 100%\n",
            "device connects keep_alive=0\nloss device 100%\ndevice > PINGREQ\ndevice < nothing for 1s\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "bandwidth",
            "bandwidth device 2B/s\n",
            "device connects keep_alive=0\nbandwidth device 2B/s\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "B/s",
            "bandwidth device 2B/s\n",
            "device connects keep_alive=0\nbandwidth device 2B/s\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
        ),
    ),
    // A thousand times and a million times faster: the lowest limit of the link is not in the way.
    refused_by(
        &[TURMOIL],
        word(
            "kB/s",
            "bandwidth device 1kB/s\n",
            "device connects keep_alive=0\nbandwidth device 1B/s\nbandwidth device 1kB/s\ndevice > PUBLISH id=1 qos=1 topic=t/a payload=\"some twenty bytes of it\"\nwithin 2s device < PUBACK id=1\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "MB/s",
            "bandwidth device 1MB/s\n",
            "device connects keep_alive=0\nbandwidth device 1B/s\nbandwidth device 1MB/s\ndevice > PUBLISH id=1 qos=1 topic=t/a payload=\"some twenty bytes of it\"\nwithin 2s device < PUBACK id=1\n",
        ),
    ),
    word(
        "stall",
        "stall device\n",
        "device connects keep_alive=0\nstall device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    word(
        "resume",
        "resume device after 1s\n",
        "device connects keep_alive=0\nstall device\ndevice > PINGREQ\nresume device after 1s\ndevice < PINGRESP\n",
    ),
    refused_by(
        &[LIVE],
        word(
            "crash",
            "crash broker\n",
            "device connects\ncrash broker\nstart broker after 1s\ndevice connects\n",
        ),
    ),
    refused_by(
        &[LIVE],
        word(
            "start",
            "start broker after 1s\n",
            "device connects\ncrash broker\nstart broker after 1s\ndevice connects\n",
        ),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "disk",
            "disk broker full\n",
            "device connects keep_alive=0\ndisk broker full\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice < closed\n",
        )),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "full",
            "disk broker full\n",
            "device connects keep_alive=0\ndisk broker full\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice < closed\n",
        )),
    ),
    // A retained message of 4 MB makes the store grow. The other words of a disk end `full`; what
    // they do to unsynced writes, only a faulty broker shows: see tests/faults.rs and the tests of
    // the disks.
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "sound",
            "disk broker sound\n",
            "device connects keep_alive=0\ndisk broker full\ndisk broker sound\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice pings\n",
        )),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "lose-unsynced",
            "disk broker lose-unsynced\n",
            "device connects keep_alive=0\ndisk broker full\ndisk broker lose-unsynced\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice pings\n",
        )),
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "torn",
            "disk broker torn\n",
            "device connects keep_alive=0\ndisk broker full\ndisk broker torn\ndevice > raw 31 { str \"t/a\" 00 fill 4000000 61 }\ndevice pings\n",
        )),
    ),
    word("profile", "profile reset device\n", "device connects\nprofile reset device\ndevice < closed\n"),
    refused_by(
        &[TURMOIL],
        word(
            "to",
            " to broker",
            "device connects keep_alive=0\ndevice subscribes t/a\nother connects\npartition device to broker\nother publishes t/a \"x\"\nwithin 2s device < PUBLISH topic=t/a\n",
        ),
    ),
    word(
        "for",
        " for 1s",
        "device connects keep_alive=0\npartition device for 1s\ndevice > PINGREQ\ndevice < PINGRESP\n",
    ),
];

/// The words of `measure` in the grammar.
pub(super) const MEASURES: &[Word] = &[
    changed(
        "on",
        "1s on",
        "4s on",
        "device connects keep_alive=0\nprofile intermittent-link device 1s on 2s off for 9s\nwait 3500ms\ndevice > PINGREQ\nafter 1s device < PINGRESP\n",
    ),
    changed(
        "off",
        "3s off",
        "1s off",
        "device connects keep_alive=0\nprofile intermittent-link device 1s on 3s off for 9s\ndevice > PINGREQ\nafter 2500ms device < PINGRESP\n",
    ),
];

/// Measures that have no word in the grammar.
pub(super) const SHARES_AND_TIMES: &[Word] = &[
    changed(
        "high-latency",
        " 1s for 5s",
        " 100ms for 5s",
        "device connects keep_alive=0\nprofile high-latency device 1s for 5s\ndevice > PINGREQ\nafter 1500ms device < PINGRESP\n",
    ),
    refused_by(
        &[TURMOIL],
        changed(
            "packet-loss",
            " 30%",
            " 0%",
            "device connects keep_alive=0\nprofile packet-loss device 30% for 6s [live 1200ms]\nrepeat 40\n  device pings\ndevice > PINGREQ\nat 1s [live 300ms] device < PINGRESP\n",
        ),
    ),
];

/// The fault profiles.
pub(super) const PROFILES: &[Word] = &[
    word(
        "complete-outage",
        "profile complete-outage device\n",
        "device connects keep_alive=0\nprofile complete-outage device\ndevice > PINGREQ\nafter 3s [live 500ms] device < PINGRESP\n",
    ),
    word(
        "intermittent-link",
        "profile intermittent-link device\n",
        "device connects keep_alive=0\nprofile intermittent-link device\ndevice > PINGREQ\nafter 500ms [live 100ms] device < PINGRESP\n",
    ),
    word(
        "high-latency",
        "profile high-latency device\n",
        "device connects keep_alive=0\nprofile high-latency device\ndevice > PINGREQ\nafter 900ms device < PINGRESP\n",
    ),
    refused_by(
        &[TURMOIL],
        word(
            "packet-loss",
            "profile packet-loss device\n",
            "device connects keep_alive=0\nprofile packet-loss device\nrepeat 40\n  device pings\ndevice > PINGREQ\nat 1s [live 300ms] device < PINGRESP\n",
        ),
    ),
    refused_by(
        &[TURMOIL],
        word(
            "one-way-partition",
            "profile one-way-partition device\n",
            "device connects keep_alive=0\nprofile one-way-partition device\ndevice > PINGREQ\nafter 3s [live 500ms] device < PINGRESP\n",
        ),
    ),
    word("reset", "profile reset device\n", "device connects\nprofile reset device\ndevice < closed\n"),
    word(
        "half-open",
        "profile half-open device\n",
        "device connects keep_alive=0\nprofile half-open device\ndevice > PINGREQ\ndevice < nothing for 1s\n",
    ),
    word(
        "slow-reader",
        "profile slow-reader device\n",
        "device connects keep_alive=0\nprofile slow-reader device\ndevice > PINGREQ\nafter 5s [live 500ms] device < PINGRESP\n",
    ),
    refused_by(
        &[LIVE],
        word(
            "broker-crash",
            "profile broker-crash broker\n",
            "device connects\nprofile broker-crash broker\nwait 3s\ndevice connects\n",
        ),
    ),
    word(
        "client-crash",
        "profile client-crash device\n",
        "device connects\nprofile client-crash device\nwait 3s [live 1s]\ndevice connects\n",
    ),
    refused_by(
        &[LIVE],
        on_a_durable_broker(word(
            "disk-loss",
            "profile disk-loss broker\n",
            "device connects\nprofile disk-loss broker\nwait 10s\ndevice connects\n",
        )),
    ),
];
