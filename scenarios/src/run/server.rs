//! The host `broker`: the reference broker, or the harness in its place where a client is tested.

use std::rc::Rc;

use mqttspec_codec::Version;
use mqttspec_net::Clock;
use mqttspec_net::framed::Inflow;
use mqttspec_net::store::MemoryStore;
use mqttspec_world::{Builder, Listener as _, Net as _, World};

use super::cast::{Connections, PORT, SERVER};
use super::connection::Connection;
use super::found::Stop;
use super::stage::Stage;
use super::{Case, Side};
use crate::history::Ending;

/// The option of the notation that is the harness's own: what the broker's records are kept in.
const STORE: &str = "store";

/// The reference broker's options for a case.
pub(crate) fn options(case: &Case) -> Result<mqttspec_broker::Options, String> {
    let mut options = mqttspec_broker::Options::default();
    for option in case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version)) {
        if option.name == STORE {
            continue;
        }
        options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

/// Declares the host: with the reference broker on it, or with nobody where the director plays the server.
pub(crate) fn host(builder: Builder, tests: Side, options: mqttspec_broker::Options) -> Builder {
    if tests == Side::Client {
        return builder.host(SERVER, |_| std::future::pending::<()>());
    }
    // What is committed survives the crash of the host, as on a disk that keeps what was synced.
    let store = MemoryStore::new();
    builder.host(SERVER, move |context| {
        let (options, store) = (options.clone(), store.clone());
        async move {
            let net = context.net();
            let seed = context.seed().child("broker").to_u64();
            let clock = Clock::showing(context.now());
            mqttspec_net::broker::serve(&net, PORT, options, seed, clock, store, ()).await
        }
    })
}

/// Plays the server: accepts connections, and gives each to the lane of the host that it comes from.
pub(crate) async fn play(
    world: &World,
    stage: &Rc<Stage>,
    connections: &Connections,
    version: Version,
) -> Result<(), Stop> {
    let net = world.net(SERVER)?;
    let listener = net.listen(PORT).await.map_err(|error| Stop::broken(error.to_string()))?;
    let (world, stage, connections) = (world.clone(), stage.clone(), connections.clone());
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let opened = stream.connection().and_then(|id| {
                let (_, from, _) = world.connections().into_iter().find(|(other, ..)| *other == id)?;
                world.hosts().get(from.index()).cloned()
            });
            let Some(lane) = opened.and_then(|host| stage.with_history(|history| history.lane(&host))) else {
                continue;
            };
            let index = usize::from(lane.0);
            if let Some(before) = connections.borrow_mut()[index].take() {
                // The client has given it up: nothing of it can matter any more.
                before.forget(Ending::ByPeer);
            }
            let key = stage.open(lane, version);
            let connection = Connection::play(stage.clone(), key, stream, Inflow::from_client());
            connections.borrow_mut()[index] = Some(connection);
        }
    });
    Ok(())
}
