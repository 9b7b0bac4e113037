use mqttspec_judge::finding::{Check, Finding, ReportedFinding};
use mqttspec_judge::history::Ending;
use mqttspec_judge::trace::{Trace, TraceEvent, TraceFault, TraceFaultKind, TraceKind};
use mqttspec_spec::Level;

use super::{Diagram, LABEL_LENGTH, Observer, RowKind, label};

#[test]
fn the_server_is_between_its_clients() {
    let diagram = laid_out(&["broker", "a", "b", "c"], Vec::new());
    let names: Vec<&str> = diagram.lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "broker", "c"]);
    assert!(diagram.lanes.windows(2).all(|pair| pair[0].x < pair[1].x));
}

#[test]
fn arrows_point_in_the_direction_of_the_packet() {
    let diagram = laid_out(
        &["broker", "a"],
        vec![
            event(1, "a", TraceKind::ToServer, "> PINGREQ"),
            event(2, "a", TraceKind::ToClient, "< PINGRESP"),
        ],
    );
    let [there, back] = &diagram.rows[..] else { panic!("two rows") };
    assert!(there.from < there.to && back.from > back.to);
    assert!(there.y < back.y && back.y < diagram.height);
}

#[test]
fn a_close_by_the_peer_comes_from_the_end_under_test() {
    let trace = trace(&["broker", "a"], vec![closed(1, "a", Ending::ByPeer)]);
    let by_server = Diagram::of(&trace, Observer::Client, &[]);
    let by_client = Diagram::of(&trace, Observer::Server, &[]);
    assert!(by_server.rows[0].from > by_server.rows[0].to);
    assert!(by_client.rows[0].from < by_client.rows[0].to);
}

#[test]
fn a_partition_lasts_until_it_is_healed_and_a_cut_does_not_last() {
    let diagram = laid_out(
        &["broker", "a", "b"],
        vec![
            fault(1, TraceKind::FaultBegun, TraceFaultKind::Partition, "a", Some(0), &[]),
            fault(2, TraceKind::FaultBegun, TraceFaultKind::Cut, "b", None, &[]),
            fault(3, TraceKind::FaultEnded, TraceFaultKind::Heal, "a", None, &[0]),
            fault(4, TraceKind::Crashed, TraceFaultKind::Crash, "broker", Some(3), &[]),
        ],
    );
    let [partition, crash] = &diagram.bands[..] else { panic!("{:?}", diagram.bands) };
    assert_eq!((partition.top, partition.bottom), (diagram.rows[0].y, diagram.rows[2].y));
    assert_eq!((partition.left, partition.right), (diagram.lanes[0].x, diagram.lanes[1].x));
    assert!(partition.severe && crash.severe);
    assert!(crash.bottom > diagram.rows[3].y, "it lasts to the end");
}

#[test]
fn a_connection_ends_where_it_was_lost_even_if_the_next_is_already_open() {
    let mut next = event(2, "a", TraceKind::Opened, "opens a connection");
    next.connection = 2;
    let diagram = laid_out(
        &["broker", "a"],
        vec![
            event(1, "a", TraceKind::Opened, "opens a connection"),
            next,
            closed(3, "a", Ending::Reset),
            event(4, "", TraceKind::Note, "later"),
        ],
    );
    let [first, second] = &diagram.bars[..] else { panic!("{:?}", diagram.bars) };
    assert_eq!((first.bottom, second.top), (diagram.rows[2].y, diagram.rows[1].y));
    assert!(second.bottom > diagram.rows[3].y, "it is open to the end");
}

#[test]
fn a_failure_is_below_its_event() {
    let finding = Finding {
        check: Check::Expectation,
        level: Level::Must,
        requirements: Vec::new(),
        expected: "nothing".into(),
        actual: "PINGRESP".into(),
        nearly: None,
        line: 3,
        at_ns: 2,
        event: None,
        timing_sensitive: false,
    };
    let failure = ReportedFinding {
        finding,
        actual_hex: "d0 00".into(),
        file: "a.mqtt".into(),
        source: "a < nothing".into(),
        transcript: Vec::new(),
        command: String::new(),
    };
    let mut bad = event(2, "a", TraceKind::ToClient, "< PINGRESP");
    bad.hex = "d000".into();
    let events =
        vec![event(1, "a", TraceKind::ToServer, "> PINGREQ"), bad, event(9, "", TraceKind::Note, "end")];
    let diagram = Diagram::of(&trace(&["broker", "a"], events), Observer::Client, &[failure]);
    let kinds: Vec<RowKind> = diagram.rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [RowKind::Packet, RowKind::Packet, RowKind::Failure, RowKind::Note]);
    let bad: Vec<bool> = diagram.rows.iter().map(|row| row.bad).collect();
    assert_eq!(bad, [false, true, true, false]);
}

#[test]
fn time_without_events_is_one_row() {
    let hour = 3_600_000_000_000;
    let diagram = laid_out(
        &["broker", "a"],
        vec![
            event(0, "a", TraceKind::ToServer, "> PINGREQ"),
            event(hour, "a", TraceKind::ToClient, "< PINGRESP"),
        ],
    );
    assert_eq!((diagram.rows[1].kind, diagram.rows[1].at_ns), (RowKind::Pause, hour));
}

#[test]
fn a_label_is_cut_and_a_short_one_is_not() {
    assert_eq!(label("> PINGREQ"), "PINGREQ");
    let long = label(&format!("< PUBLISH topic={}", "é".repeat(200)));
    assert_eq!(long.chars().count(), LABEL_LENGTH);
    assert!(long.ends_with('…'));
}

fn laid_out(hosts: &[&str], events: Vec<TraceEvent>) -> Diagram {
    Diagram::of(&trace(hosts, events), Observer::Client, &[])
}

fn trace(hosts: &[&str], events: Vec<TraceEvent>) -> Trace {
    Trace { hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), events }
}

fn event(at_ns: u64, host: &str, kind: TraceKind, text: &str) -> TraceEvent {
    TraceEvent {
        at_ns,
        host: host.into(),
        connection: u32::from(!host.is_empty()),
        kind,
        text: text.into(),
        hex: String::new(),
        line: 0,
        ending: None,
        fault: None,
    }
}

fn closed(at_ns: u64, host: &str, ending: Ending) -> TraceEvent {
    TraceEvent { ending: Some(ending), ..event(at_ns, host, TraceKind::Closed, ending.words()) }
}

fn fault(
    at_ns: u64,
    kind: TraceKind,
    does: TraceFaultKind,
    host: &str,
    begins: Option<u64>,
    ends: &[u64],
) -> TraceEvent {
    let hosts = vec![host.to_owned()];
    let fault = TraceFault { kind: does, hosts, towards: None, begins, ends: ends.to_vec() };
    TraceEvent { fault: Some(fault), ..event(at_ns, "", kind, "a fault") }
}
