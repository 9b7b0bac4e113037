//! The program under test, and a Client that sends raw bytes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

/// Far longer than any step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// CONNECT of 5.0 with Clean Start, Keep Alive 0, no properties and the client identifier "c".
pub(crate) const CONNECT: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c";
/// CONNECT of 3.1.1 with Clean Session, Keep Alive 0 and the client identifier "old".
pub(crate) const CONNECT_3_1_1: &[u8] = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03old";

/// A running `mqttspec serve`.
pub(crate) struct Serve {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The ready line.
    pub(crate) ready: String,
}

impl Serve {
    /// Starts the broker and waits for the ready line. It listens on a free port unless `arguments`
    /// contain an address.
    pub(crate) fn start(arguments: &[&str]) -> Serve {
        let mut command = program(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Serve::spawn(command)
    }

    /// Starts a command that becomes the broker.
    pub(crate) fn spawn(mut command: Command) -> Serve {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        Serve { child, out, ready }
    }

    /// The URLs of the ready line.
    pub(crate) fn urls(&self) -> Vec<&str> {
        self.ready.trim().strip_prefix("ready: ").unwrap().split(' ').collect()
    }

    /// The address of the first URL with this scheme.
    pub(crate) fn address(&self, scheme: &str) -> SocketAddr {
        let urls = self.urls();
        let url = urls.iter().find_map(|url| url.strip_prefix(&format!("{scheme}://"))).unwrap();
        url.split('/').next().unwrap().parse().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address("mqtt")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Connects, sends this packet and expects exactly these bytes.
    pub(crate) fn dial(&self, packet: &[u8], answer: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        exchange(&mut stream, packet, answer);
        stream
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The current memory use of the process in bytes.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The peak memory use of the process in bytes.
    pub(crate) fn most_resident_bytes(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, row: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        let row = status.lines().find_map(|line| line.strip_prefix(row)).unwrap();
        row.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.process().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Stops the broker. Returns its exit code and its output after the ready line.
    pub(crate) fn stop(mut self) -> (i32, String) {
        self.signal("TERM");
        self.ended()
    }

    pub(crate) fn ended(&mut self) -> (i32, String) {
        let mut printed = String::new();
        self.out.read_to_string(&mut printed).unwrap();
        (self.child.wait().unwrap().code().unwrap(), printed)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the broker with arguments that it refuses. Returns its message.
pub(crate) fn refused(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = program(arguments).output().unwrap();
    assert_eq!((status.code(), &stdout[..]), (Some(2), &b""[..]));
    String::from_utf8(stderr).unwrap()
}

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqttspec"));
    command.arg("serve").args(arguments);
    command
}

/// Sends bytes and expects exactly these.
pub(crate) fn exchange(stream: &mut TcpStream, bytes: &[u8], answer: &[u8]) {
    stream.write_all(bytes).unwrap();
    expect(stream, answer);
}

/// Expects exactly these bytes.
pub(crate) fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    let read = stream.read_exact(&mut got);
    assert!(read.is_ok() && got == bytes, "expected {bytes:02x?}, got {got:02x?} ({read:?})");
}

/// Reads everything until the other end closes.
pub(crate) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest
}

/// The texts of the lines that `--trace` prints, without their times.
pub(crate) fn transcript(printed: &str) -> Vec<&str> {
    printed.lines().filter_map(|line| Some(line.trim_start().split_once("  ")?.1)).collect()
}

/// Writes a file for one test. Returns its path.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The CONNACK of success to the client identifier in CONNECT: Topic Alias Maximum is 10, Maximum Packet Size 16 MiB.
pub(crate) const CONNACK: &[u8] = b"\x20\x0b\x00\x00\x08\x27\x01\x00\x00\x00\x22\x00\x0a";
