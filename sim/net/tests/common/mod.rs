//! One body on two networks: the simulated world and this machine's TCP.
#![allow(dead_code, reason = "each test program uses a part")]

use std::future::{Future, pending};
use std::time::Duration;

use mqttspec_world::{World, WorldNet};
use tokio::task::LocalSet;
use tokio::time::timeout;

/// Far longer than anything takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a body as director of a simulated world, with the networks of two hosts; the name leads to the first.
pub(crate) fn simulated<F: Future<Output = ()>>(body: impl FnOnce(WorldNet, WorldNet, &'static str) -> F) {
    World::builder(7)
        .host("server", |_| pending::<()>())
        .host("client", |_| pending::<()>())
        .run(|world| async move {
            let (server, client) = (world.net("server").unwrap(), world.net("client").unwrap());
            LocalSet::new().run_until(patiently(body(server, client, "server"))).await;
        })
        .unwrap();
}

/// Runs a body on this machine's loopback interface.
pub(crate) fn real<F: Future<Output = ()>>(
    body: impl FnOnce(mqttspec_net::TcpNet, mqttspec_net::TcpNet, &'static str) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let net = mqttspec_net::TcpNet::loopback();
    LocalSet::new().block_on(&runtime, patiently(body(net, net, "127.0.0.1")));
}

async fn patiently(body: impl Future<Output = ()>) {
    timeout(PATIENCE, body).await.expect("the test hangs");
}

/// A test on each network for every body.
#[macro_export]
macro_rules! on_both_networks {
    ($($body:ident),+ $(,)?) => {
        mod simulated {
            $(#[test] fn $body() { $crate::common::simulated(super::$body) })+
        }
        mod real {
            $(#[test] fn $body() { $crate::common::real(super::$body) })+
        }
    };
}
