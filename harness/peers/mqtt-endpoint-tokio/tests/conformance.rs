//! The server side of `mqtt-endpoint-tokio` as published. An endpoint has its own tasks and timers, and
//! takes any transport. What a broker does beyond that is not its task, so only the cases that its own
//! checks decide are run, as for `mqtt-protocol-core`.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::time::Duration;

use mqtt_endpoint_tokio::mqtt_ep::packet::GenericPacket;
use mqtt_endpoint_tokio::mqtt_ep::{Endpoint, Mode, TransportError, TransportOps, Version, role};
use mqtt_protocol_core_peer::{CASES, answer, is_allowed};
use mqttspec::{Listener, Net};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

fn main() -> std::process::ExitCode {
    mqttspec::conformance()
        .broker(|host| async move {
            let listener = host.net().listen(1883).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(serve(Transport(stream)));
            }
        })
        .name("mqtt-endpoint-tokio 0.6.6, server")
        .only(CASES)
        .known_failures("known.toml")
        .main()
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(transport: Transport<S>) {
    let endpoint = Endpoint::<role::Server>::new(Version::Undetermined);
    if endpoint.attach(transport, Mode::Server).await.is_err() {
        return;
    }
    // An error is the end of the Network Connection.
    while let Ok(packet) = endpoint.recv().await {
        if !is_allowed(&packet) {
            break;
        }
        if let Some(answer) = answer(&packet)
            && endpoint.send(answer).await.is_err()
        {
            break;
        }
        // The crate leaves it to its user to close after DISCONNECT.
        if matches!(packet, GenericPacket::V3_1_1Disconnect(_) | GenericPacket::V5_0Disconnect(_)) {
            break;
        }
    }
    let _ = endpoint.close().await;
}

/// A stream of the simulated world as a transport.
struct Transport<S>(S);

type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> TransportOps for Transport<S> {
    fn send<'a>(&'a mut self, buffers: &'a [IoSlice<'a>]) -> Pending<'a, Result<(), TransportError>> {
        Box::pin(async move {
            for buffer in buffers {
                self.0.write_all(buffer).await.map_err(TransportError::Io)?;
            }
            self.0.flush().await.map_err(TransportError::Io)
        })
    }

    fn recv<'a>(&'a mut self, buffer: &'a mut [u8]) -> Pending<'a, Result<usize, TransportError>> {
        Box::pin(async move { self.0.read(buffer).await.map_err(TransportError::Io) })
    }

    fn shutdown<'a>(&'a mut self, _: Duration) -> Pending<'a, ()> {
        Box::pin(async move { drop(self.0.shutdown().await) })
    }
}
