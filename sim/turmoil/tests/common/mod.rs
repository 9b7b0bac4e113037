//! Hosts that several test files use.
#![allow(dead_code, reason = "each test file uses some of it")]

use mqttspec_faults::{Fault, Phase, Step, Way};
use mqttspec_ports::{Listener as _, Net};
use mqttspec_turmoil::{Builder, DirectorStream, HostContext, Turmoil};
use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_local;

pub(crate) const PORT: u16 = 1883;

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ignore(_: &Step, _: Phase) {}

/// Sends back what it receives, on any number of connections.
pub(crate) async fn echo(context: HostContext) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        spawn_local(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A host that the director speaks for.
pub(crate) async fn played(_: HostContext) -> io::Result<()> {
    pending().await
}

/// A broker that echoes, and a client that the director speaks for, over links of 10 ms.
pub(crate) fn broker_and_client() -> Builder {
    Turmoil::builder(7).latency(ms(10)).host("broker", echo).host("client", played)
}

/// A connection of the client with the broker.
pub(crate) async fn dial(turmoil: &Turmoil) -> DirectorStream {
    turmoil.net("client").unwrap().connect("broker", PORT).await.unwrap()
}

/// Sends bytes to the echo and returns what came back, and after how long.
pub(crate) async fn ask(turmoil: &Turmoil, stream: &mut DirectorStream, bytes: &[u8]) -> Duration {
    let asked = turmoil.now();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, bytes);
    turmoil.now() - asked
}

pub(crate) fn around(host: &str) -> Way {
    Way::Around(host.to_owned())
}

pub(crate) fn crash(host: &str) -> Fault {
    Fault::Crash { host: host.to_owned() }
}
