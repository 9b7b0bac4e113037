//! The reference broker as a hosted peer.

use mqttspec_broker::Options;
use mqttspec_conformance::{Net, PeerResult, WorldHost};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::store::{LogStore, NoStore};
use mqttspec_ports::Disk as _;

/// The reference broker, driven as any other.
pub(crate) async fn reference(host: WorldHost) -> PeerResult {
    let net = host.net();
    reference_on(host, net).await
}

/// The same over another network.
pub(crate) async fn reference_on<N: Net>(host: WorldHost, net: N) -> PeerResult {
    let mut options = Options::default();
    for (name, value) in host.options() {
        match name.as_str() {
            "store" => {}
            // The file of the store is made at the first start.
            "users_after_restart" if host.disk().exists("sessions.log")? => options.set("users", value)?,
            "users_after_restart" => {}
            name => options.set(name, value)?,
        }
    }
    let seed = host.seed().child("broker").to_u64();
    let clock = Clock::showing(host.now());
    if host.option("store") == Some("durable") {
        let store = LogStore::open(host.disk())?;
        return Ok(serve(&net, 1883, options, seed, clock, store, ()).await?);
    }
    Ok(serve(&net, 1883, options, seed, clock, NoStore, ()).await?)
}
