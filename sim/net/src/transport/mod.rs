//! TLS and WebSocket, each a [`Net`](mqttspec_ports::Net) around another.
//!
//! For example, `WebSocketNet<TlsNet<TcpNet>>` is `wss`. The inner network can also be a simulated
//! one, and drivers need no code for any of them. A listener returns a connection before its
//! handshake. The task of the connection performs the handshake when it reads, so a peer that is
//! slow in the handshake delays no other connection.

#[cfg(feature = "websocket")]
mod frames;
#[cfg(any(feature = "tls", feature = "websocket"))]
mod lazy;
mod target;
#[cfg(feature = "websocket")]
mod test_end;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;

#[cfg(feature = "websocket")]
pub use self::frames::{FrameForm, TextFrame};
#[cfg(any(feature = "tls", feature = "websocket"))]
pub use self::lazy::Lazy;
#[cfg(feature = "tls")]
pub use self::target::TransportError;
pub use self::target::{LiveListener, LiveNet, LiveNetError, LiveStream, Scheme, Target, TargetError};
#[cfg(feature = "websocket")]
pub use self::test_end::{TestEnd, answer, mqtt_if_offered, offer};
#[cfg(feature = "tls")]
pub use self::tls::{ClientTls, ServerTls, TlsError, TlsNet, TlsNetListener};
#[cfg(feature = "websocket")]
pub use self::websocket::{SUBPROTOCOL, WebSocketListener, WebSocketNet, WebSocketStream};
