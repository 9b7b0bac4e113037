//! The frames of a capture, read back by a library. The crate's own code makes the sequence numbers
//! and streams.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mqttspec_judge::history::Ending;
use mqttspec_judge::trace::{Trace, TraceEvent, TraceKind};
use pcap_file::pcapng::{Block, PcapNgReader};

use super::{CaptureError, pcapng};
use crate::diagram::Observer;

#[test]
fn sequence_numbers_follow_the_bytes_of_each_connection() {
    let trace = trace(vec![
        event(1_000, 1, TraceKind::Opened, "opens a connection", ""),
        event(2_000, 1, TraceKind::ToServer, "> PINGREQ", "c000"),
        event(3_000, 1, TraceKind::ToClient, "< PINGRESP", "d000"),
        closed(4_000, Ending::ByObserver),
    ]);
    let seen: Vec<String> = segments(&pcapng(&trace, Observer::Client, "a title").unwrap());
    assert_eq!(
        seen,
        [
            "1000 40001>1883 S 0 0 []",
            "1000 1883>40001 SA 0 1 []",
            "1000 40001>1883 A 1 1 []",
            "2000 40001>1883 PA 1 1 [c0, 0]",
            "3000 1883>40001 PA 1 3 [d0, 0]",
            "4000 40001>1883 FA 3 3 []",
            "4000 1883>40001 FA 3 4 []",
            "4000 40001>1883 A 4 4 []",
        ]
    );
}

#[test]
fn a_long_packet_is_cut_into_segments() {
    let trace = trace(vec![event(1, 1, TraceKind::ToServer, "> PUBLISH", &"ab".repeat(4000))]);
    let seen = segments(&pcapng(&trace, Observer::Client, "").unwrap());
    assert_eq!(seen.len(), 3 + 3, "the added handshake, and three segments");
}

#[test]
fn a_reset_comes_from_the_end_that_is_not_the_observer() {
    let events = vec![event(1, 1, TraceKind::Opened, "opens a connection", ""), closed(2, Ending::Reset)];
    let last = |observer| segments(&pcapng(&trace(events.clone()), observer, "").unwrap()).pop().unwrap();
    assert_eq!(last(Observer::Client), "2 1883>40001 RA 1 1 []");
    assert_eq!(last(Observer::Server), "2 40001>1883 RA 1 1 []");
}

#[test]
fn a_refused_connection_is_a_syn_that_is_reset() {
    let trace = trace(vec![closed(5, Ending::Refused)]);
    let seen = segments(&pcapng(&trace, Observer::Client, "").unwrap());
    assert_eq!(seen, ["5 40001>1883 S 0 0 []", "5 1883>40001 RA 0 1 []"]);
}

#[test]
fn bytes_that_are_not_hex_pairs_are_an_error() {
    for hex in ["abc", "zz"] {
        let trace = trace(vec![event(7, 1, TraceKind::ToServer, "> raw", hex)]);
        let error = pcapng(&trace, Observer::Client, "").unwrap_err();
        assert!(matches!(error, CaptureError::NotHex { at_ns: 7, .. }), "{error}");
    }
}

/// Each frame as `time source>target flags sequence acknowledgement payload`. Asserts that the
/// checksums are right.
fn segments(file: &[u8]) -> Vec<String> {
    let mut reader = PcapNgReader::new(file).unwrap();
    let mut seen = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.unwrap() else { continue };
        let sliced = SlicedPacket::from_ethernet(&packet.data).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("IPv4") };
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("TCP") };
        assert_eq!(tcp.calc_checksum_ipv4(header.source, header.destination).unwrap(), tcp.checksum());
        let flags: String =
            [(tcp.syn(), 'S'), (tcp.fin(), 'F'), (tcp.rst(), 'R'), (tcp.psh(), 'P'), (tcp.ack(), 'A')]
                .iter()
                .filter_map(|(set, letter)| set.then_some(*letter))
                .collect();
        seen.push(format!(
            "{} {}>{} {flags} {} {} {:x?}",
            packet.timestamp.as_nanos(),
            tcp.source_port(),
            tcp.destination_port(),
            tcp.sequence_number(),
            tcp.acknowledgment_number(),
            tcp.payload()
        ));
    }
    seen
}

fn trace(events: Vec<TraceEvent>) -> Trace {
    Trace { hosts: vec!["broker".into(), "a".into()], events }
}

fn event(at_ns: u64, connection: u32, kind: TraceKind, text: &str, hex: &str) -> TraceEvent {
    let (host, text, hex) = ("a".into(), text.into(), hex.into());
    TraceEvent { at_ns, host, connection, kind, text, hex, line: 0, ending: None, fault: None }
}

fn closed(at_ns: u64, ending: Ending) -> TraceEvent {
    TraceEvent { ending: Some(ending), ..event(at_ns, 1, TraceKind::Closed, ending.words(), "") }
}
