//! Test programs for peers that are right, or wrong in a known way.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "what a peer must not do is tested")]

use core::future::pending;
use core::time::Duration;
use std::hash::{BuildHasher as _, RandomState};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use mqttspec_codec::Role;
use mqttspec_conformance::{
    ClientCommand, ClientEvent, Connect, Listener, Net, PeerResult, Tests, Version, WorldHost, conformance,
};
use mqttspec_mutants::{Mutant, MutantNet};
use mqttspec_net::store::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::mini;
use crate::reference::{reference, reference_on};
use crate::reference_client::{reference_client, reference_client_on};
use crate::small_core::SmallCore;

/// How long a blocking peer blocks.
const HOUR: Duration = Duration::from_secs(3600);

/// After this real time, the process of a blocking peer must abort.
const LIMIT: Duration = Duration::from_secs(1);

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
        "blocks" => broker_that_stops(|| std::thread::sleep(HOUR)),
        "loops" => broker_that_stops(endless),
        "blocks-in-a-task" => broker_that_stops(|| {
            tokio::spawn(async { std::thread::sleep(HOUR) });
        }),
        "spins-in-a-task" => broker_that_stops(|| {
            tokio::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }),
        "blocks-on-the-first-connection" => conformance()
            .broker(|host| async move {
                let _stream = host.net().listen(1883).await?.accept().await?;
                std::thread::sleep(HOUR);
                Ok(())
            })
            .blocking_limit(LIMIT),
        "turmoil-loops" => conformance()
            .broker_in_turmoil(|_| async move {
                let _stream = turmoil::net::TcpListener::bind(("0.0.0.0", 1883)).await?.accept().await?;
                endless();
                Ok(())
            })
            .blocking_limit(LIMIT),
        "client-that-blocks" => conformance()
            .client(|_, mut app| async move {
                app.command().await;
                std::thread::sleep(HOUR);
                Ok(())
            })
            .blocking_limit(LIMIT),
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
        "delivers-at-qos-0" => conformance().broker(|host| async move {
            let mutant = Mutant::named("qos-always-0", Role::Server).ok_or("no such mutant")?;
            let net = MutantNet::new(host.net(), mutant);
            reference_on(host, net).await
        }),
        "client" => conformance().client(|host, app| reference_client(host, app, true)).reconnects(),
        "client-that-does-not-reconnect" => {
            conformance().client(|host, app| reference_client(host, app, false))
        }
        "client-without-pings" => conformance()
            .client(|host, app| async move {
                let mutant = Mutant::named("does-not-ping", Role::Client).ok_or("no such mutant")?;
                let net = MutantNet::new(host.net(), mutant);
                reference_client_on(host, app, net, MemoryStore::new(), true).await
            })
            .reconnects(),
        "client-without-a-disk" => conformance()
            .client(|host, app| {
                let net = host.net();
                reference_client_on(host, app, net, MemoryStore::new(), true)
            })
            .reconnects(),
        "client-that-ends-no-command" => conformance().client(|_, mut app| async move {
            let (id, _) = app.command().await;
            app.tell(ClientEvent::Published { id: id + 1, reason: 0 });
            pending().await
        }),
        "client-that-panics" => conformance().client(|_, mut app| async move {
            app.command().await;
            panic!("no Network Connection for this client");
        }),
        "client-that-takes-no-command" => conformance().client(|_, _| pending()),
        "client-of-3.1.1" => conformance().client(|host, mut app| async move {
            if app.version() != Version::V3_1_1 {
                return Err(host.unsupported(format!("MQTT {}", app.version())).into());
            }
            // It asks for no option and for no disk.
            let mut _stream = None;
            loop {
                match app.command().await.1 {
                    ClientCommand::Connect(connect) => {
                        let mut connection = host.net().connect("broker", 1883).await?;
                        connection.write_all(&connect_packet(&connect)).await?;
                        _stream = Some(connection);
                    }
                    _ => return Err(host.unsupported("everything but CONNECT").into()),
                }
            }
        }),
        _ => return ExitCode::from(3),
    };
    let tests = match std::env::var("KNOWN") {
        Ok(file) => tests.known_failures(file),
        Err(_) => tests,
    };
    tests.name(peer).main()
}

/// A CONNECT of MQTT 3.1.1.
fn connect_packet(connect: &Connect) -> Vec<u8> {
    let id = connect.client_id.as_bytes();
    let (length, flags) = (id.len() as u8, u8::from(connect.clean_start) << 1);
    let mut packet = vec![0x10, 12 + length, 0, 4, b'M', b'Q', b'T', b'T', 4, flags];
    packet.extend(connect.keep_alive.to_be_bytes());
    packet.extend([0, length]);
    packet.extend(id);
    packet
}

/// The small broker, but in every start after that for the probes, it does something else when a
/// client connects.
fn broker_that_stops(stop: fn()) -> Tests {
    static IS_PROBED: AtomicBool = AtomicBool::new(false);
    let broker = move |host: WorldHost| async move {
        if !IS_PROBED.swap(true, Ordering::Relaxed) {
            return mini_broker(host).await;
        }
        let _stream = host.net().listen(1883).await?.accept().await?;
        stop();
        pending().await
    };
    conformance().broker(broker).blocking_limit(LIMIT)
}

fn endless() {
    loop {
        std::hint::spin_loop();
    }
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
