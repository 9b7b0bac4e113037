//! What may lie between TCP and packets: TLS and WebSocket, each a [`Net`](mqttspec_ports::Net)
//! around another.
//!
//! So that `WebSocketNet<TlsNet<TcpNet>>` is `wss`, over the simulated network too, and no driver
//! knows of any of it. A listener of these hands out a connection before its handshake: whoever
//! serves the connection drives the handshake by reading, and a peer that is slow in it, or never
//! ends it, keeps nobody else waiting.

#[cfg(any(feature = "tls", feature = "websocket"))]
mod lazy;
#[cfg(feature = "websocket")]
mod server_frames;
mod target;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;

#[cfg(any(feature = "tls", feature = "websocket"))]
pub use self::lazy::Lazy;
pub use self::target::{LiveListener, LiveNet, LiveNetError, LiveStream, Scheme, Target, TargetError};
#[cfg(feature = "tls")]
pub use self::tls::{ClientTls, ServerTls, TlsError, TlsNet, TlsNetListener};
#[cfg(feature = "websocket")]
pub use self::websocket::{WebSocketListener, WebSocketNet, WebSocketStream};
