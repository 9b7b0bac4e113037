//! Hosts used by several test files.
#![allow(dead_code, reason = "each test file uses some of it")]

use mqttspec_ports::{Listener, Net};
use mqttspec_world::{HostContext, World, WorldNet, WorldStream};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) const PORT: u16 = 1883;

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sends back the bytes it receives, on any number of connections.
pub(crate) async fn echo(context: HostContext) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        mqttspec_runtime::spawn_local(async move {
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => {
                        if stream.write_all(&buffer[..n]).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
}

/// Does nothing until it is crashed.
pub(crate) async fn idle(_: HostContext) {
    std::future::pending::<()>().await;
}

/// The events that an application saw, with their times.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<(Duration, String)>>>);

impl Log {
    pub(crate) fn add(&self, at: Duration, what: impl Into<String>) {
        self.0.borrow_mut().push((at, what.into()));
    }

    pub(crate) fn lines(&self) -> Vec<(Duration, String)> {
        self.0.borrow().clone()
    }

    /// The only line, or the last.
    pub(crate) fn last(&self) -> (Duration, String) {
        self.0.borrow().last().cloned().expect("something happened")
    }
}

/// Listens, and logs the bytes of each connection until it ends.
pub(crate) async fn sink(context: HostContext, log: Log) -> io::Result<()> {
    let listener = context.net().listen(PORT).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (context, log) = (context.clone(), log.clone());
        log.add(context.now(), "accepted");
        tokio::task::spawn_local(async move { log_reads(&context, stream, &log).await });
    }
}

/// Logs the bytes of a stream until it ends.
pub(crate) async fn log_reads(context: &HostContext, mut stream: WorldStream, log: &Log) {
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return log.add(context.now(), "end"),
            Ok(n) => log.add(context.now(), String::from_utf8_lossy(&buffer[..n])),
            Err(error) => return log.add(context.now(), format!("{:?}", error.kind())),
        }
    }
}

/// Sends a question and reads its answer. Returns the response time.
pub(crate) async fn ask(world: &World, stream: &mut WorldStream, question: &[u8]) -> io::Result<Duration> {
    let asked = world.now();
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, question);
    Ok(world.now() - asked)
}

/// Opens a connection from a host of the world, on behalf of the director.
pub(crate) async fn dial(world: &World, from: &str, to: &str) -> io::Result<(WorldNet, WorldStream)> {
    let net = world.net(from).expect("the host is up");
    let stream = net.connect(to, PORT).await?;
    Ok((net, stream))
}

/// Runs a sender at `client`, driven by the director. Returns the log of `broker`.
pub(crate) fn watch<F, Fut>(latency: Duration, director: F) -> Vec<(Duration, String)>
where
    F: FnOnce(World, WorldStream, Log) -> Fut,
    Fut: Future<Output = ()>,
{
    let log = Log::default();
    let at_broker = log.clone();
    World::builder(7)
        .latency(latency)
        .host("broker", move |context| sink(context, at_broker.clone()))
        .host("client", idle)
        .run(|world| async move {
            let (_, stream) = dial(&world, "client", "broker").await.expect("the broker listens");
            world.sleep_until(secs(1)).await;
            director(world, stream, log.clone()).await;
            log.lines()
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
        .output
        .split_off(1)
}

pub(crate) fn line(at: Duration, what: &str) -> (Duration, String) {
    (at, what.to_owned())
}
