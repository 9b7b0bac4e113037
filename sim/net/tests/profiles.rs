//! Fault profiles through the relay: a client sees the same of them as in the simulated world.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../world/tests/felt/mod.rs"]
mod felt;

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use felt::{Felt, asker};
use mqttspec_faults::{Course, Fault, FaultError, Inject, Injector, Phase, Probability, Profile, Step, Way};
use mqttspec_net::relay::{Faults, Power, RelayNet, Relays};
use mqttspec_ports::{Listener as _, Net};
use mqttspec_world::{HostContext, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

const S: Duration = Duration::from_secs(1);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn ignore(_: &Step, _: Phase) {}

async fn echo(context: HostContext) -> io::Result<()> {
    let listener = context.net().listen(1883).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn_local(async move {
            let (mut read, mut write) = tokio::io::split(stream);
            tokio::io::copy(&mut read, &mut write).await
        });
    }
}

/// A host of the world for the server, and a task for the client.
struct Machines<N> {
    world: World,
    net: RelayNet<N>,
    felt: Rc<RefCell<Felt>>,
    client: RefCell<Option<JoinHandle<()>>>,
}

impl<N: Net> Machines<N> {
    fn start_client(&self) {
        let client = spawn_local(asker(self.net.clone(), self.felt.clone()));
        *self.client.borrow_mut() = Some(client);
    }
}

impl<N: Net> Power for Machines<N> {
    fn reaches(&self, _: &str) -> Result<(), &'static str> {
        Ok(())
    }

    async fn crash(&self, host: &str) -> Result<(), FaultError> {
        if host == "broker" {
            return Ok(self.world.crash(host)?);
        }
        self.client.borrow_mut().take().unwrap().abort();
        Ok(())
    }

    async fn start(&self, host: &str) -> Result<(), FaultError> {
        if host == "broker" {
            return Ok(self.world.start(host)?);
        }
        self.start_client();
        Ok(())
    }
}

fn felt_under(profile: Profile) -> Felt {
    let felt = Rc::new(RefCell::new(Felt::default()));
    let report = felt.clone();
    World::builder(11)
        .host("broker", echo)
        .host("client", |_| pending::<()>())
        .run(|world| async move {
            let net = RelayNet::new(world.net("client").unwrap(), Faults::new(1));
            let relay = ("client".to_owned(), net.faults().clone());
            let machines =
                Machines { world: world.clone(), net, felt: felt.clone(), client: RefCell::default() };
            let tasks = LocalSet::new();
            let run = async {
                machines.start_client();
                let injector = Injector::new(Relays::new("broker", [relay], machines));
                sleep(5 * S).await;
                assert!(felt.borrow().errors.is_empty() && felt.borrow().slowest == ms(2));
                injector.run(profile.course(&["client"], "broker"), ignore).await.unwrap();
                sleep(40 * S).await;
                let before = felt.borrow().answers;
                sleep(5 * S).await;
                assert!(felt.borrow().answers > before + 40, "{profile}: over, and answers come again");
            };
            tasks.run_until(run).await;
        })
        .unwrap_or_else(|failure| panic!("{profile}: {failure}"));
    report.take()
}

#[test]
fn every_profile_but_a_disk_loss_is_felt_as_in_the_world() {
    for profile in Profile::USUAL {
        if matches!(profile, Profile::TornWrites { .. }) {
            continue;
        }
        let felt = felt_under(profile);
        assert!(felt.is_as_expected(profile), "{profile}: {felt:?}");
    }
}

/// Processes that run for ever.
struct NoPower;

const NO_POWER: &str = "no command starts this server";

impl Power for NoPower {
    fn reaches(&self, _: &str) -> Result<(), &'static str> {
        Err(NO_POWER)
    }

    async fn crash(&self, _: &str) -> Result<(), FaultError> {
        Err(FaultError::Failed(NO_POWER.to_owned()))
    }

    async fn start(&self, _: &str) -> Result<(), FaultError> {
        Err(FaultError::Failed(NO_POWER.to_owned()))
    }
}

/// Two clients and a broker, without connections.
fn relays() -> Injector<Relays<NoPower>> {
    let clients = ["a", "b"].map(|host| (host.to_owned(), Faults::new(1)));
    Injector::new(Relays::new("broker", clients, NoPower))
}

#[test]
fn a_fault_that_only_a_simulation_has_is_refused_with_the_reason() {
    let injector = relays();
    let host = || "broker".to_owned();
    let cases = [
        (Fault::Crash { host: host() }, "crash of broker is not supported: no command starts this server"),
        (
            Fault::DiskLoss { host: host(), within: S },
            "disk loss of broker is not supported: a killed process loses nothing that it wrote, because \
             its machine goes on",
        ),
        (
            Fault::FullDisk { host: host() },
            "full disk of broker is not supported: the disk of a live host cannot be filled from here",
        ),
    ];
    for (fault, message) in cases {
        let refused = injector.supports(&Course::of(fault, None)).map_err(|error| error.to_string());
        assert_eq!(refused, Err(message.to_owned()));
    }
    assert!(matches!(injector.free_disk("broker"), Err(FaultError::Unsupported(_))));
    let on = || Way::Everywhere;
    let links = [
        Fault::Partition { on: on() },
        Fault::Latency { on: on(), latency: S..=S },
        Fault::AddedLatency { on: on(), added: S },
        Fault::Loss { on: on(), probability: Probability::ALWAYS },
        Fault::Bandwidth { on: on(), bytes_per_second: 1 },
        Fault::Reset { on: on() },
        Fault::HalfOpen { on: on() },
        Fault::StalledReader { host: host() },
    ];
    for fault in links {
        assert_eq!(injector.supports(&Course::of(fault, None)), Ok(()));
    }
}

#[test]
fn every_link_is_between_a_client_and_the_server() {
    let injector = relays();
    let links = |on: Way| {
        let links = injector.backend().links(&on)?;
        Ok(links.iter().map(|(host, direction)| format!("{host} {direction:?}")).collect::<Vec<_>>())
    };
    let one_way = |from: &str, to: &str| Way::OneWay { from: from.to_owned(), to: to.to_owned() };
    let all = ["a ToServer", "a ToClient", "b ToServer", "b ToClient"].map(String::from);
    assert_eq!(links(Way::Everywhere), Ok(all.to_vec()));
    assert_eq!(links(Way::Around("broker".to_owned())), Ok(all.to_vec()));
    assert_eq!(links(Way::Around("b".to_owned())), Ok(all[2..].to_vec()));
    assert_eq!(links(Way::To("broker".to_owned())), Ok(vec![all[0].clone(), all[2].clone()]));
    assert_eq!(links(Way::To("a".to_owned())), Ok(vec![all[1].clone()]));
    assert_eq!(links(one_way("a", "broker")), Ok(vec![all[0].clone()]));
    assert_eq!(links(one_way("broker", "b")), Ok(vec![all[3].clone()]));
    let no_link = FaultError::NoLink { from: "a".to_owned(), to: "b".to_owned() };
    assert_eq!(links(one_way("a", "b")), Err(no_link));
    let unknown = FaultError::UnknownHost("c".to_owned());
    assert_eq!(links(one_way("c", "broker")), Err(unknown.clone()));
    assert_eq!(links(Way::Around("c".to_owned())), Err(unknown));
}

/// On the machine's own TCP, where time is real: a course that ends by itself, shortened.
#[test]
fn a_course_on_real_sockets() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let tcp = mqttspec_net::TcpNet::loopback();
        let listener = tcp.listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let net = RelayNet::new(tcp, Faults::new(1));
        let relay = ("client".to_owned(), net.faults().clone());
        let injector = Injector::new(Relays::new("broker", [relay], NoPower));
        let (accepted, dialled) = tokio::join!(listener.accept(), net.connect("127.0.0.1", port));
        let (mut server, mut client) = (accepted.unwrap().0, dialled.unwrap());

        let outage = Profile::Outage { lasts: 30 * S }.course(&["client"], "broker").shortened(100);
        let rest = injector.begin(outage, ignore).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let early = timeout(ms(100), server.read_u8()).await;
        assert!(early.is_err(), "the link is partitioned");
        rest.finish().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');

        let half_open = Profile::HalfOpen.course(&["client"], "broker");
        injector.run(half_open, ignore).await.unwrap();
        client.write_all(b"y").await.unwrap();
        assert!(timeout(ms(100), server.read_u8()).await.is_err(), "the server is not notified");
        assert!(timeout(ms(100), client.read_u8()).await.is_err(), "nor is the client");
        let (accepted, dialled) = tokio::join!(listener.accept(), net.connect("127.0.0.1", port));
        let (mut new_server, mut new_client) = (accepted.unwrap().0, dialled.unwrap());
        new_client.write_all(b"z").await.unwrap();
        assert_eq!(new_server.read_u8().await.unwrap(), b'z');

        injector.run(Profile::Reset.course(&["client"], "broker"), ignore).await.unwrap();
        for reset in [client.read_u8().await, new_client.read_u8().await, server.read_u8().await] {
            assert_eq!(reset.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    });
}
