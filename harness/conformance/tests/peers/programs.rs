//! Test programs for peers that are right, or wrong in a known way.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "what a peer must not do is tested")]

use core::future::pending;
use core::time::Duration;
use std::hash::{BuildHasher as _, RandomState};
use std::process::ExitCode;
use std::rc::Rc;

use mqttspec_conformance::{Listener, Net, PeerResult, WorldHost, conformance};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::mini;
use crate::reference::reference;
use crate::small_core::SmallCore;

pub(crate) fn run(peer: &str) -> ExitCode {
    let tests = match peer {
        "reference" => conformance().broker(reference),
        "mini" => conformance().broker(mini_broker),
        "turmoil" => conformance().broker_in_turmoil(|_| async move {
            let listener = turmoil::net::TcpListener::bind(("0.0.0.0", 1883)).await?;
            let clients = mini::Clients::default();
            for number in 0.. {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(mini::serve(stream, number, Rc::clone(&clients)));
            }
            Ok(())
        }),
        "core" => conformance().broker_core(|_| Ok(SmallCore::default())),
        "panics" => conformance().broker(|host| async move {
            let (_stream, _) = host.net().listen(1883).await?.accept().await?;
            panic!("a byte is missing");
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
            let _listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            Ok(())
        }),
        "draws" => conformance().broker(|host| async move {
            let listener = host.net().listen(1883).await?;
            let drawn = RandomState::new().hash_one(0_u8) % 1_000_000;
            tokio::time::sleep(Duration::from_micros(drawn)).await;
            let (mut stream, _) = listener.accept().await?;
            stream.read_u8().await?;
            stream.write_all(&[0x20, 2, 0, 0]).await?;
            pending().await
        }),
        "chooses" => conformance().broker(|host| async move {
            if let Some(most) = host.option("maximum_qos") {
                return Err(host.unsupported(format!("a maximum QoS of {most}")).into());
            }
            reference(host).await
        }),
        _ => return ExitCode::from(3),
    };
    let tests = match std::env::var("KNOWN") {
        Ok(file) => tests.known_failures(file),
        Err(_) => tests,
    };
    tests.name(peer).main()
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
