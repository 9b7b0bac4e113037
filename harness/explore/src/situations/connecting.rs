//! Situations of Servers: who connects and how, Sessions, Keep Alive and Wills.

use super::{Entry, Sketch};
use crate::features::Feature as F;

pub(super) static ENTRIES: &[Entry] = &[
    Entry::server("a-will", &[F::Raw, F::Wills, F::Disconnect], will),
    Entry::server("a-session", &[F::Raw, F::SessionExpiry, F::Disconnect], session),
    Entry::server("silence", &[F::Raw, F::KeepAlive], silence),
    Entry::server("connect-of-every-form", &[F::Raw, F::Identifiers, F::Malformed], connect),
    Entry::server("a-wrong-password", &[F::Raw, F::Auth], wrong_password),
    Entry::server("authenticates-again", &[F::Raw, F::Auth], authentication).only_5(),
];

/// A Will, the end of its connection, and sometimes its Client again.
fn will(sketch: &mut Sketch) {
    let is_5 = sketch.is_5();
    sketch.declare("client   w reference keep_alive=5 reconnect_attempts=0");
    sketch.line("ask w subscribe t/a qos=2");
    sketch.line("wait 300ms");
    let (payload, qos, retain) = (sketch.payload(), sketch.below(3), sketch.maybe(50, " retain"));
    let qos = sketch.granted(qos);
    let mut expiry = 0;
    let mut properties = String::new();
    if is_5 && sketch.chance(60) {
        let delay = sketch.number(&[1, 3, 6, 1000]);
        properties = format!(" will_delay={delay}");
    }
    if is_5 && sketch.chance(60) {
        expiry = sketch.number(&[2, 3, 10, 3600]);
    }
    let keep_alive = sketch.number(&[0, 3, 600]);
    let keep_alive = sketch.accepted(keep_alive, 600);
    let clean = if expiry > 0 || !is_5 { sketch.below(2) } else { 1 };
    let session = if expiry > 0 { format!(" session_expiry={expiry}") } else { String::new() };
    let connect = format!("CONNECT client_id=owner clean_start={clean} keep_alive={keep_alive}{session}");
    let will = format!("will={{topic=t/a payload={payload} qos={qos}{retain}{properties}}}");
    sketch.line(format!("owner > {connect} {will}"));
    sketch.line("owner < anything");
    sketch.line("wait 1s");
    let ends = [
        "owner > DISCONNECT",
        "owner > DISCONNECT",
        "owner closes",
        "owner closes",
        "cut owner",
        "cut owner",
        "owner > PINGREQ with flags=0x01",
        "wait 12s",
        "owner > DISCONNECT reason=0x04",
        "owner > DISCONNECT reason=0x04",
    ];
    let end = if is_5 { sketch.one(&ends) } else { sketch.one(&ends[..8]) };
    let end = if end.contains("flags") && !sketch.takes_malformed() { "cut owner" } else { end };
    sketch.line(end);
    if end.contains("DISCONNECT") {
        let closes = sketch.maybe(70, "owner closes");
        sketch.line(closes);
    }
    if sketch.chance(30) {
        // The Client is back, before or after its Will is due.
        let wait = sketch.one(&["wait 1s", "wait 4s"]);
        sketch.line(wait);
        sketch.line(format!("owner > {connect}"));
        sketch.line("owner < anything");
    }
    sketch.line("wait 16s");
    if sketch.chance(70) {
        sketch.declare("client   late reference keep_alive=5 reconnect_attempts=0");
        sketch.line("ask late subscribe t/a qos=1");
        sketch.line("wait 6s");
    }
    sketch.line("wait 2s");
}

/// A Session that its Client leaves, and comes back to.
fn session(sketch: &mut Sketch) {
    let is_5 = sketch.is_5();
    let expiry = sketch.number(&[4, 10, 20, 3600]);
    let session = if is_5 { format!(" session_expiry={expiry}") } else { String::new() };
    let ids = ["device", "Device", "DEVICE", "device-0001", "device-0002"];
    let id = sketch.one(&ids);
    sketch.line(format!("owner > CONNECT client_id={id} clean_start=0 keep_alive=600{session}"));
    sketch.line("owner < anything");
    sketch.line("owner > SUBSCRIBE id=1 t/a qos=1");
    sketch.line("wait 300ms");
    match sketch.below(3) {
        0 => sketch.line("owner closes"),
        1 => sketch.line("cut owner"),
        _ => {
            let other = if is_5 { sketch.maybe(70, " session_expiry=2") } else { "" };
            sketch.line(format!("owner > DISCONNECT{other}"));
            sketch.line("owner closes");
        }
    }
    if sketch.chance(60) {
        sketch.declare("client   w reference keep_alive=5 reconnect_attempts=0");
        let payload = sketch.payload();
        sketch.line(format!("ask w publish t/a {payload} qos=1"));
    }
    let wait = sketch.number(&[1, 5, 8, 14, 24]);
    sketch.line(format!("wait {wait}s"));
    let back = if sketch.chance(30) { sketch.one(&ids) } else { id };
    let clean = u64::from(sketch.chance(15));
    sketch.line(format!("owner > CONNECT client_id={back} clean_start={clean} keep_alive=600{session}"));
    sketch.line("owner < anything");
    sketch.line("wait 300ms");
    sketch.line("owner > PUBACK id=1");
    sketch.line("wait 6s");
}

/// Keep Alive 0 and others, kept or not.
fn silence(sketch: &mut Sketch) {
    let keep_alive = sketch.number(&[0, 0, 4, 10]);
    let keep_alive = sketch.accepted(keep_alive, 10);
    sketch.line(format!("owner > CONNECT client_id=owner keep_alive={keep_alive}"));
    sketch.line("owner < anything");
    if keep_alive == 0 {
        // On a live server, the shortest one takes long enough.
        let times = [70, 130, 700];
        let time = if sketch.live.is_some() { times[0] } else { sketch.number(&times) };
        sketch.line(format!("wait {time}s"));
    } else {
        for _ in 0..1 + sketch.below(3) {
            sketch.line(format!("wait {}ms", keep_alive * 950));
            let packet =
                sketch.one(&["PINGREQ", "PUBLISH topic=t/a payload=\"x\"", "SUBSCRIBE id=1 t/a qos=0"]);
            sketch.line(format!("owner > {packet}"));
        }
        if sketch.chance(50) {
            sketch.line(format!("wait {}s", 3 * keep_alive + 8));
        }
    }
    sketch.line("owner > PINGREQ");
    sketch.line("wait 8s");
}

/// A CONNECT that a Server must accept, must refuse, or may refuse in one way only.
fn connect(sketch: &mut Sketch) {
    let is_5 = sketch.is_5();
    let refused = [
        "CONNECT client_id=a with protocol_version=9",
        "CONNECT client_id=a with protocol_name=\"MQTX\"",
        "CONNECT client_id=a with protocol_name=\"mqtt\"",
        "CONNECT client_id=a with connect_flags=0x03",
        "CONNECT client_id=a with flags=0x01",
        "CONNECT client_id=\"\" clean_start=0",
    ];
    match sketch.below(3) {
        0 => {
            let id = sketch.one(&["a", "0", "Device1", "abcdefghijklmnopqrstuvw"]);
            sketch.line(format!("owner > CONNECT client_id={id}"));
            sketch.claim("owner < CONNACK reason=success session_present=0", "MQTT-3.1.3-5");
            sketch.line("owner < anything");
        }
        1 if is_5 => {
            sketch.line("owner > CONNECT client_id=owner !user_name password=\"secret\"");
            // A stranger may refuse it, even without CONNACK.
            if sketch.live.is_none() {
                sketch.claim("owner < CONNACK", "U5-026");
            }
            sketch.line("owner < anything");
        }
        _ => {
            let line = sketch.one(&refused);
            sketch.line(format!("owner > {line}"));
            sketch.line("owner < anything");
            sketch.line("wait 11s");
        }
    }
    sketch.line("wait 4s");
}

/// A Client with a wrong Password, and the Client Identifier of another one.
fn wrong_password(sketch: &mut Sketch) {
    sketch.declare("broker   users=\"user alice password secret\"");
    let session = sketch.if_5(" session_expiry=60");
    let right = "user_name=alice password=\"secret\"";
    sketch.line(format!("owner > CONNECT client_id=owner clean_start=0 keep_alive=600{session} {right}"));
    sketch.line("owner < anything");
    sketch.line("owner > SUBSCRIBE id=1 t/a qos=1");
    sketch.line("wait 500ms");
    if sketch.chance(30) {
        sketch.line("owner closes");
        sketch.line("wait 500ms");
    }
    let wrong = sketch.one(&["user_name=alice password=\"guess\"", "user_name=bob password=\"secret\""]);
    let clean = sketch.below(2);
    let id = sketch.one(&["owner", "owner", "other"]);
    sketch.line(format!("other > CONNECT client_id={id} clean_start={clean} {wrong}"));
    let clause = if sketch.is_5() { "MQTT-3.1.4-2" } else { "U3-001" };
    if sketch.chance(50) {
        sketch.claim("other < closed or CONNACK reason>=0x80", clause);
    } else {
        sketch.line("other < anything");
    }
    sketch.line("wait 2s");
    if sketch.chance(50) {
        sketch.line("owner > PINGREQ");
    } else {
        sketch.line(format!("owner > CONNECT client_id=owner clean_start=0 keep_alive=600{session} {right}"));
        sketch.line("owner < anything");
    }
    sketch.line("wait 6s");
}

/// SCRAM-SHA-256, with a right or a wrong proof, and again on the open connection.
fn authentication(sketch: &mut Sketch) {
    sketch.declare("broker   users=\"user alice password secret; anonymous\"");
    let method = "authentication_method=SCRAM-SHA-256";
    let first = |password: &str| {
        format!("authentication_data={{scram=client-first user_name=alice password=\"{password}\"}}")
    };
    let last =
        format!("AUTH reason=continue-authentication {method} authentication_data={{scram=client-final}}");
    let challenge = "owner < AUTH reason=continue-authentication authentication_data={scram=server-first}";
    let password = if sketch.chance(20) { "guess" } else { "secret" };
    sketch.line(format!("owner > CONNECT client_id=owner keep_alive=600 {method} {}", first(password)));
    sketch.line(challenge);
    if sketch.chance(15) {
        let other = last.replace("SCRAM-SHA-256", "SCRAM-SHA-1");
        sketch.line(format!("owner > {other}"));
        sketch.line("owner < anything");
        return sketch.line("wait 12s");
    }
    sketch.line(format!("owner > {last}"));
    if password == "guess" {
        return sketch.claim("owner < closed or CONNACK reason>=0x80", "MQTT-4.12.0-4");
    }
    sketch.line("owner < CONNACK");
    let password = if sketch.chance(40) { "guess" } else { "secret" };
    sketch.line(format!("owner > AUTH reason=re-authenticate {method} {}", first(password)));
    sketch.line(challenge);
    if sketch.chance(40) {
        sketch.line("owner > PINGREQ");
        sketch.line("wait 5s");
        sketch.line("owner < PINGRESP");
    }
    sketch.line(format!("owner > {last}"));
    if password == "guess" {
        return sketch.claim("owner < closed or DISCONNECT reason>=0x80", "MQTT-4.12.1-2");
    }
    sketch.claim("owner < AUTH reason=success", "U5-141");
    sketch.line("owner < anything");
    sketch.line("wait 2s");
}
