//! Test programs for peers that are right, or wrong in a known way.

use std::process::ExitCode;
use std::rc::Rc;

use mqttspec_broker::Options;
use mqttspec_conformance::{Listener, Net, PeerResult, WorldHost, conformance};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::store::{DiskStore, NoStore};

use crate::mini;

pub(crate) fn run(peer: &str) -> ExitCode {
    let tests = match peer {
        "reference" => conformance().broker(reference),
        "mini" => conformance().broker(mini_broker),
        "panics" => conformance().broker(|host| async move {
            let (_stream, _) = host.net().listen(1883).await?.accept().await?;
            let nothing: Option<u8> = None;
            let _byte = nothing.expect("a byte");
            Ok(())
        }),
        "panics-in-a-task" => conformance().broker(|host| async move {
            let listener = host.net().listen(1883).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(async move {
                    drop(stream);
                    panic!("no stream left");
                });
            }
        }),
        "returns" => conformance().broker(|host| async move {
            let _listener = host.net().listen(1883).await?;
            Ok(())
        }),
        "errs" => conformance().broker(|host| async move {
            host.net().listen(1883).await?.accept().await?;
            Err("the configuration is wrong".into())
        }),
        "spins" => conformance().broker(|host| async move {
            let _listener = host.net().listen(1883).await?;
            loop {
                tokio::task::yield_now().await;
            }
        }),
        "real-socket" => conformance().broker(|_| async move {
            Ok(drop(tokio::net::TcpListener::bind("127.0.0.1:0").await?))
        }),
        _ => return ExitCode::from(3),
    };
    tests.name(peer).main()
}

/// The reference broker, driven as any other.
async fn reference(host: WorldHost) -> PeerResult {
    let mut options = Options::default();
    for (name, value) in host.options().iter().filter(|(name, _)| name != "store") {
        options.set(name, value)?;
    }
    let seed = host.seed().child("broker").to_u64();
    let clock = Clock::showing(host.now());
    if host.option("store") == Some("durable") {
        let store = DiskStore::open(host.disk())?;
        return Ok(serve(&host.net(), 1883, options, seed, clock, store, ()).await?);
    }
    Ok(serve(&host.net(), 1883, options, seed, clock, NoStore, ()).await?)
}

async fn mini_broker(host: WorldHost) -> PeerResult {
    let listener = host.net().listen(1883).await?;
    let clients = mini::Clients::default();
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(mini::serve(stream, number, Rc::clone(&clients)));
    }
    Ok(())
}
