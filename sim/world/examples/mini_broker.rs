//! Runs your own broker in the simulated world: a broker of thirty lines that forwards lines of
//! text, two clients, a partition and a crash.
//!
//! `cargo run -p mqttspec-world --example mini_broker [SEED]` prints the history of the run; the
//! same seed prints the same history. Broker and clients do not depend on the simulation: they get
//! their streams from a [`Net`], and would run unchanged on real sockets.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use mqttspec_ports::{Listener, Net};
use mqttspec_world::{HostContext, Keep, World, WorldError};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::broadcast;

/// Forwards each line from a client to all clients.
async fn broker<N: Net>(net: N) -> io::Result<()> {
    let listener = net.listen(1883).await?;
    let (lines, _) = broadcast::channel::<String>(64);
    loop {
        let (stream, _) = listener.accept().await?;
        let (sender, receiver) = (lines.clone(), lines.subscribe());
        tokio::task::spawn_local(async move {
            // A lost client does not affect the others.
            let _gone = pass_lines_on(stream, sender, receiver).await;
        });
    }
}

async fn pass_lines_on<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    sender: broadcast::Sender<String>,
    mut receiver: broadcast::Receiver<String>,
) -> io::Result<()> {
    let (read, mut write) = tokio::io::split(stream);
    let mut incoming = BufReader::new(read).lines();
    loop {
        tokio::select! {
            line = incoming.next_line() => match line? {
                Some(line) => {
                    sender.send(line).ok();
                }
                None => return Ok(()),
            },
            line = receiver.recv() => {
                let line = line.map_err(io::Error::other)?;
                write.write_all(format!("{line}\n").as_bytes()).await?;
            }
        }
    }
}

/// Sends a line every second. Reconnects when sending fails or no line arrives for five seconds.
async fn speaker(context: HostContext, heard: Rc<RefCell<Vec<String>>>) {
    let mut number = 0;
    loop {
        if let Ok(stream) = context.net().connect("broker", 1883).await {
            let (read, mut write) = tokio::io::split(stream);
            let mut incoming = BufReader::new(read).lines();
            loop {
                number += 1;
                let line = format!("{} says {number}\n", context.name());
                if write.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                match tokio::time::timeout(Duration::from_secs(5), incoming.next_line()).await {
                    Ok(Ok(Some(line))) => heard.borrow_mut().push(line),
                    _ => break,
                }
            }
            context.note("lost the broker");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (at_ada, at_bob) = (heard.clone(), heard.clone());
    let outcome = World::builder(seed)
        .latency(Duration::from_millis(5)..=Duration::from_millis(50))
        .keep(Keep::All)
        .host("broker", |context| broker(context.net()))
        .host("ada", move |context| speaker(context, at_ada.clone()))
        .host("bob", move |context| speaker(context, at_bob.clone()))
        .run(|world| async move {
            world.sleep(Duration::from_secs(10)).await;
            world.between("ada", "broker")?.partition();
            world.sleep(Duration::from_secs(10)).await;
            world.everywhere().heal();
            world.sleep(Duration::from_secs(10)).await;
            world.crash("broker")?;
            world.sleep(Duration::from_secs(2)).await;
            world.start("broker")?;
            world.sleep(Duration::from_secs(10)).await;
            Ok::<_, WorldError>(())
        })?;
    outcome.output?;
    println!("{}", outcome.trace);
    println!("{} lines were received", heard.borrow().len());
    Ok(())
}
