//! The broker of `mqtt5` as published. Its accept loop takes sockets of the machine only, but what
//! serves a connection, `ClientHandler`, takes any stream: this is the accept loop for streams of the
//! simulated world, with the periodic work that the server of the crate does.

mod machine;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::{BrokerTransport, WebSocketTransport};
use mqtt5::broker::{
    AllowAllAuthProvider, BrokerConfig, DynamicStorage, MemoryBackend, ResourceLimits, ResourceMonitor,
};
use mqttspec::{Listener, Net, PeerResult, Unsupported, WorldHost};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::broadcast;
use tokio::task::spawn_local;

fn main() -> ExitCode {
    mqttspec::conformance().broker(broker).name("mqtt5 0.49.0").known_failures("known.toml").main()
}

async fn broker(host: WorldHost) -> PeerResult {
    let config = config(&host)?;
    let clock = host.clone();
    machine::show(move || clock.now());
    let limits = QueueLimits {
        max_messages: config.storage_config.max_queued_messages_per_client,
        max_bytes: config.storage_config.max_queued_bytes_per_client,
    };
    let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)));
    let router = MessageRouter::with_storage(storage.clone()).with_fallback_queue_limits(limits);
    let router =
        Arc::new(router.with_retained_limits(config.max_retained_messages, config.max_retained_message_size));
    router.initialize().await?;
    let monitor = Arc::new(ResourceMonitor::new(ResourceLimits {
        max_connections: config.max_clients,
        max_connections_per_ip: 10_000,
        max_message_rate_per_client: config.max_message_rate_per_client,
        max_bandwidth_per_client: config.max_bandwidth_per_client,
        max_connection_rate: 10_000,
        rate_limit_window: Duration::from_secs(1),
    }));
    let (auth, stats) = (Arc::new(AllowAllAuthProvider), Arc::new(BrokerStats::new()));
    let (shutdown, _) = broadcast::channel(1);
    let cleaned = (storage.clone(), router.clone(), config.storage_config.cleanup_interval);
    spawn_local(clean(cleaned.0, cleaned.1, cleaned.2));
    let config = Arc::new(config);
    let listener = host.net().listen(1883).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let transport = BrokerTransport::WebSocket(Box::new(Stream { stream: Mutex::new(stream), peer }));
        let handler = ClientHandler::new(
            transport,
            peer,
            config.clone(),
            router.clone(),
            auth.clone(),
            Some(storage.clone()),
            stats.clone(),
            monitor.clone(),
            shutdown.subscribe(),
        );
        // The server of the crate writes an error of a connection to its log and goes on.
        spawn_local(async move { drop(handler.run().await) });
    }
}

/// The configuration that the scenario asks for. A case that sets another option is skipped.
fn config(host: &WorldHost) -> Result<BrokerConfig, Unsupported> {
    let mut config = BrokerConfig::default();
    flag(host, "retain_available", &mut config.retain_available)?;
    flag(host, "wildcard_subscription_available", &mut config.wildcard_subscription_available)?;
    flag(host, "subscription_identifier_available", &mut config.subscription_identifier_available)?;
    flag(host, "shared_subscription_available", &mut config.shared_subscription_available)?;
    set(host, "maximum_qos", &mut config.maximum_qos)?;
    set(host, "topic_alias_maximum", &mut config.topic_alias_maximum)?;
    set(host, "maximum_packet_size", &mut config.max_packet_size)?;
    set(host, "maximum_subscriptions", &mut config.max_subscriptions_per_client)?;
    set(host, "maximum_retained", &mut config.max_retained_messages)?;
    set(host, "send_maximum", &mut config.max_outbound_inflight)?;
    set(host, "queue_maximum", &mut config.storage_config.max_queued_messages_per_client)?;
    config.server_receive_maximum = value(host, "receive_maximum")?;
    config.server_keep_alive = value(host, "server_keep_alive")?.map(Duration::from_secs);
    config.response_information = value(host, "response_information")?;
    if let Some(seconds) = value(host, "session_expiry_maximum")? {
        config.session_expiry_interval = Duration::from_secs(seconds);
    }
    Ok(config)
}

fn value<T: FromStr>(host: &WorldHost, option: &str) -> Result<Option<T>, Unsupported> {
    let Some(text) = host.option(option) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| host.unsupported(format!("{option}={text}")))
}

fn set<T: FromStr>(host: &WorldHost, option: &str, field: &mut T) -> Result<(), Unsupported> {
    if let Some(value) = value(host, option)? {
        *field = value;
    }
    Ok(())
}

fn flag(host: &WorldHost, option: &str, field: &mut bool) -> Result<(), Unsupported> {
    *field = match host.option(option) {
        Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(text) => return Err(host.unsupported(format!("{option}={text}"))),
        None => return Ok(()),
    };
    Ok(())
}

async fn clean(storage: Arc<DynamicStorage>, router: Arc<MessageRouter>, every: Duration) {
    let mut interval = tokio::time::interval(every);
    loop {
        interval.tick().await;
        // The server of the crate writes an error to its log and goes on.
        drop(mqtt5::broker::StorageBackend::cleanup_expired(&*storage).await);
        router.sweep_sessions().await;
    }
}

/// A stream of the simulated world in the place of a WebSocket, the one transport of the crate that a
/// user can supply. Its bytes are those of MQTT. The lock is for `Sync` only.
struct Stream<S> {
    stream: Mutex<S>,
    peer: SocketAddr,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> WebSocketTransport for Stream<S> {
    fn peer_addr(&self) -> mqtt5::error::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: Unpin> Stream<S> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(self.get_mut().stream.get_mut().expect("no holder of the lock panics"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
