//! Crashing servers: servers that mqttspec did not start, crashed with the commands of a target
//! file, and servers that die without a fault.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{Folder, HOLDS, SCENARIOS, mqttspec, scenario};

/// An `mqttspec serve` that is started and killed by scripts, like a server of an administrator.
struct Administered {
    folder: Folder,
    port: u16,
    first: Child,
}

impl Administered {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let program = env!("CARGO_BIN_EXE_mqttspec");
        let (pid, records) = (folder.at("pid"), folder.at("records"));
        let start = folder.write(
            "start.sh",
            &format!(
                "echo $$ > '{pid}'\nexec '{program}' serve --listen 127.0.0.1:{port} --store '{records}'\n"
            ),
        );
        folder.write("kill.sh", &format!("kill -9 $(cat '{pid}')\n"));
        folder.write("reset.sh", &format!("echo reset >> '{}'\n", folder.at("resets")));
        let first = Command::new("sh").arg(&start).stdout(Stdio::null()).spawn().unwrap();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::yield_now();
        }
        Self { folder, port, first }
    }

    fn target_file(&self) -> String {
        let script = |name: &str| format!("\"sh '{}'\"", self.folder.at(name));
        self.folder.write(
            "target_file.toml",
            &format!(
                "name = \"administered\"\ndurable = true\nstart = {}\nkill = {}\nreset = {}\n",
                script("start.sh"),
                script("kill.sh"),
                script("reset.sh")
            ),
        )
    }
}

impl Drop for Administered {
    fn drop(&mut self) {
        // The currently running process, which may be the first one.
        let _ = Command::new("sh").arg(self.folder.at("kill.sh")).stderr(Stdio::null()).status();
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

#[test]
fn a_server_that_mqttspec_did_not_start_is_reset_once_and_crashed_by_command() {
    let server = Administered::start("administered");
    let target = format!("mqtt://127.0.0.1:{}", server.port);
    let first_life = std::fs::read_to_string(server.folder.at("pid")).unwrap();
    let outcome = mqttspec(&[
        "run",
        "faults/broker-crash",
        "--scenarios",
        SCENARIOS,
        "--target",
        &target,
        "--target-file",
        &server.target_file(),
    ]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.contains(" passed, 0 failed, 0 skipped, 0 errors"), "{}", outcome.out);
    assert_eq!(std::fs::read_to_string(server.folder.at("resets")).unwrap(), "reset\n");
    assert_ne!(
        std::fs::read_to_string(server.folder.at("pid")).unwrap(),
        first_life,
        "the server was not crashed"
    );
    // mqttspec must not stop a server that it did not start.
    TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
}

#[test]
fn a_server_that_dies_in_one_scenario_is_restarted_for_the_next() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: python3 is not installed");
        return;
    }
    let folder = Folder::new("dies");
    // A 3.1.1 server that reads packets with a two-byte fixed header; it exits after a PUBLISH.
    let script = "\
import os, socket, sys, threading
def serve(stream):
    while len(head := stream.recv(2, socket.MSG_WAITALL)) == 2:
        body = stream.recv(head[1], socket.MSG_WAITALL) if head[1] else b''
        kind = head[0] >> 4
        if kind == 1 and body[6] != 4:
            break
        if kind == 3 and body.endswith(b'die'):
            print('dying', flush=True)
            os._exit(7)
        answers = {1: bytes([32, 2, 0, 0]), 8: bytes([144, 3]) + body[:2] + bytes([0]), 12: bytes([208, 0])}
        stream.sendall(answers.get(kind, b''))
    stream.close()
listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
";
    let script = folder.write("server.py", script);
    let target_file = folder.write("target_file.toml", &format!("start = \"python3 '{script}' {{port}}\"\n"));
    folder.write("scenarios/a.mqtt", &scenario(HOLDS));
    folder
        .write("scenarios/b.mqtt", &scenario("device connects\ndevice publishes t \"die\"\ndevice pings\n"));
    folder.write("scenarios/c.mqtt", &scenario(HOLDS));
    let outcome = mqttspec(&["run", "--scenarios", &folder.at("scenarios"), "--target-file", &target_file]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("2 passed, 0 failed, 0 skipped, 1 error"), "{}", outcome.out);
    assert!(outcome.out.contains("exit status: 7"), "{}", outcome.out);
}

/// Behind a slow network, and if the server dies or stops, the verdicts are those of an undisturbed
/// run, but for the scenario that is named as the cause.
#[test]
fn disturbances_change_no_verdict() {
    if Command::new("python3").args(["-c", "import tomllib"]).status().is_ok_and(|status| status.success()) {
        let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets");
        let folder = Folder::new("disturbed");
        let output = Command::new("python3")
            .current_dir(format!("{targets}/.."))
            .arg(format!("{targets}/disturb.py"))
            .args(["--program", env!("CARGO_BIN_EXE_mqttspec"), "--out", &folder.at("reports"), "--soon"])
            .args(["--target-file", &format!("{targets}/serve.toml")])
            .args(["--only", "100 ms", "--only", "dies of a packet"])
            .args(["disconnect/malformed", "publish/malformed-acknowledgements"])
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{out}\n{err}");
        // The scenario that ends the broker, in two versions.
        assert_eq!(err.matches("-> error").count(), 2, "{out}\n{err}");
        assert_eq!(out.lines().filter(|line| line.ends_with("| 0 | 2 |")).count(), 1, "{out}");
    } else {
        eprintln!("skipped: python3 has no tomllib");
    }
}

#[test]
fn a_second_interrupt_of_a_campaign_kills_its_servers() {
    let folder = Folder::new("interrupted-campaign");
    let alive = folder.at("alive");
    assert!(Command::new("mkfifo").arg(&alive).status().unwrap().success());
    // The group does not end at SIGTERM, so that the campaign still waits at the second signal.
    let program = env!("CARGO_BIN_EXE_mqttspec");
    let script = folder.write(
        "start.sh",
        &format!(
            "trap '' TERM\nexec 3> '{alive}'\n'{program}' serve --listen 127.0.0.1:$1 &\nwhile :; do sleep 1; done\n"
        ),
    );
    let start = format!("sh '{script}' {{port}}");
    let mut campaign = Command::new(program)
        .args(["explore", "--for", "10m", "--jobs", "1", "--start", &start])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Waits until a server has opened it.
    let mut alive = File::open(alive).unwrap();
    let id = campaign.id().to_string();
    let status = loop {
        if let Some(status) = campaign.try_wait().unwrap() {
            break status;
        }
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(130));
    // The end of the file is reached when no process has it open: all have ended.
    let mut rest = Vec::new();
    alive.read_to_end(&mut rest).unwrap();
}
