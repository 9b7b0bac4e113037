//! The catalogue says what a clause is about in words of the notation.

use std::collections::BTreeSet;

use mqttspec_codec::PacketType;
use mqttspec_notation::vocabulary::Owner;
use mqttspec_spec::{Catalogue, Standard};

/// Words that are neither packets nor fields: see `Clause::about`.
const OTHERS: [&str; 8] = ["closed", "order", "instead", "extra", "form", "reasons", "dup=0", "dup=1"];

#[test]
fn clauses_are_about_packets_and_fields() {
    let mut words: BTreeSet<&str> = OTHERS.into_iter().collect();
    for packet in PacketType::ALL {
        words.insert(packet.name());
        let fields = Owner::Packet(packet).fields().map(|field| field.name);
        words.extend(fields.filter(|name| *name != "dup"));
    }
    for clause in Standard::ALL.into_iter().flat_map(Catalogue::iter) {
        for word in &clause.about {
            assert!(words.contains(word), "{clause} is about {word:?}, which is no word of the notation");
        }
        let distinct: BTreeSet<&&str> = clause.about.iter().collect();
        assert_eq!(distinct.len(), clause.about.len(), "{clause} is about the same thing twice");
    }
}
