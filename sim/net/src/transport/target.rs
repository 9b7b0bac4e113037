//! A live Server that is named by a URL, and the network of its transport.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "websocket")]
use super::WebSocketNet;
#[cfg(feature = "tls")]
use super::{ClientTls, TlsError, TlsNet};
use crate::tcp::{TcpNet, TcpNetListener};

/// What lies between TCP and packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Nothing.
    Mqtt,
    /// TLS.
    Mqtts,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 4] = [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss];

    /// Its name in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    /// The port where a URL names none: the ones registered for MQTT and for the web.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Mqtt => 1883,
            Scheme::Mqtts => 8883,
            Scheme::Ws => 80,
            Scheme::Wss => 443,
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Scheme::Mqtts | Scheme::Wss)
    }
}

/// A Server: `mqtt://host:port`, `mqtts://…`, `ws://host:port/path` or `wss://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What lies between TCP and packets.
    pub scheme: Scheme,
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The path of a WebSocket, with its slash; otherwise empty.
    pub path: String,
}

/// Why a text names no Server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The scheme is unknown or missing.
    #[error("`{0}`: expected mqtt://, mqtts://, ws:// or wss:// and a host")]
    Scheme(String),
    /// The host is missing.
    #[error("`{0}`: no host")]
    NoHost(String),
    /// The port is not a number up to 65,535.
    #[error("`{0}`: no port number")]
    Port(String),
    /// A path where packets go directly over TCP or TLS.
    #[error("`{0}`: only ws and wss have a path")]
    Path(String),
    /// A user in the URL is refused, because it would be visible in reports.
    #[error("user name and password do not go into the URL")]
    Credentials,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| TargetError::Scheme(text.to_owned()))?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|known| known.name() == scheme)
            .ok_or_else(|| TargetError::Scheme(text.to_owned()))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(TargetError::Credentials);
        }
        let websocket = matches!(scheme, Scheme::Ws | Scheme::Wss);
        let path = match path {
            "" | "/" if !websocket => String::new(),
            _ if !websocket => return Err(TargetError::Path(text.to_owned())),
            // The usual path of MQTT servers.
            "" => "/mqtt".to_owned(),
            path => path.to_owned(),
        };
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, port.strip_prefix(':').map_or(Some(port), Some)),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(TargetError::NoHost(text.to_owned()));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| TargetError::Port(text.to_owned()))?,
            None => scheme.default_port(),
        };
        Ok(Target { scheme, host: host.to_owned(), port, path })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { scheme, host, port, path } = self;
        if host.contains(':') {
            write!(f, "{}://[{host}]:{port}{path}", scheme.name())
        } else {
            write!(f, "{}://{host}:{port}{path}", scheme.name())
        }
    }
}

/// Why a live Server cannot be reached as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LiveNetError {
    /// An encrypted scheme, and nothing to trust.
    #[error("{} needs certificate authorities to trust", .0.name())]
    NothingToTrust(Scheme),
    /// This build lacks the transport.
    #[error("this build does not speak {}", .0.name())]
    NotBuilt(Scheme),
}

/// Why the options of a client name no network.
#[cfg(feature = "tls")]
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The certificates or the key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// This build lacks the transport.
    #[error(transparent)]
    Net(#[from] LiveNetError),
    /// A file for TLS without `tls`, or a certificate without its key.
    #[error("the option `{0}` needs the option `{1}`")]
    Needs(&'static str, &'static str),
}

/// The network through which a live Server is reached.
#[derive(Debug, Clone)]
pub struct LiveNet {
    transport: Transport,
    /// The options about the transport that it was made from.
    made_from: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone)]
enum Transport {
    Tcp(TcpNet),
    #[cfg(feature = "tls")]
    Tls(TlsNet<TcpNet>),
    #[cfg(feature = "websocket")]
    WebSocket(WebSocketNet<TcpNet>),
    #[cfg(all(feature = "tls", feature = "websocket"))]
    WebSocketOverTls(WebSocketNet<TlsNet<TcpNet>>),
}

impl LiveNet {
    /// Plain TCP.
    #[must_use]
    pub fn tcp() -> LiveNet {
        LiveNet { transport: Transport::Tcp(TcpNet::loopback()), made_from: Vec::new() }
    }

    /// WebSocket over TCP.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn websocket(path: &str) -> LiveNet {
        let transport = Transport::WebSocket(WebSocketNet::new(TcpNet::loopback(), path));
        LiveNet { transport, made_from: Vec::new() }
    }

    /// The network below the WebSocket, and the path of the WebSocket; `None` if there is none.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn below_websocket(&self) -> Option<(LiveNet, &str)> {
        let (transport, path) = match &self.transport {
            Transport::WebSocket(net) => (Transport::Tcp(*net.parts().0), net.parts().1),
            #[cfg(feature = "tls")]
            Transport::WebSocketOverTls(net) => (Transport::Tls(net.parts().0.clone()), net.parts().1),
            _ => return None,
        };
        Some((LiveNet { transport, made_from: self.made_from.clone() }, path))
    }

    /// The network for this target.
    ///
    /// # Errors
    /// When the target is encrypted and `tls` is none, or this build lacks the transport.
    #[cfg(feature = "tls")]
    pub fn to(target: &Target, tls: Option<ClientTls>) -> Result<LiveNet, LiveNetError> {
        let tcp = TcpNet::loopback();
        let tls =
            || tls.map(|tls| TlsNet::dialling(tcp, tls)).ok_or(LiveNetError::NothingToTrust(target.scheme));
        let transport = match target.scheme {
            Scheme::Mqtt => Transport::Tcp(tcp),
            Scheme::Mqtts => Transport::Tls(tls()?),
            #[cfg(feature = "websocket")]
            Scheme::Ws => Transport::WebSocket(WebSocketNet::new(tcp, &target.path)),
            #[cfg(feature = "websocket")]
            Scheme::Wss => Transport::WebSocketOverTls(WebSocketNet::new(tls()?, &target.path)),
            #[cfg(not(feature = "websocket"))]
            scheme => return Err(LiveNetError::NotBuilt(scheme)),
        };
        Ok(LiveNet { transport, made_from: Vec::new() })
    }

    /// The network that the options of a client demand: `tls` with `ca_file`, `certificate_file`
    /// and `key_file`, and `websocket_path`. Without `ca_file`, TLS trusts the certificate
    /// authorities of this machine.
    ///
    /// # Errors
    /// If a file cannot be read or used, or an option has no effect without another.
    #[cfg(feature = "tls")]
    pub fn of(options: &mqttspec_client::Options) -> Result<LiveNet, TransportError> {
        let read = |file: &String| {
            std::fs::read(file).map_err(|source| TransportError::File { file: file.clone(), source })
        };
        let files = [
            ("ca_file", &options.ca_file),
            ("certificate_file", &options.certificate_file),
            ("key_file", &options.key_file),
        ];
        if let Some((name, _)) = files.iter().find(|(_, file)| file.is_some() && !options.tls) {
            return Err(TransportError::Needs(name, "tls"));
        }
        let identity = match (&options.certificate_file, &options.key_file) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            (Some(_), None) => return Err(TransportError::Needs("certificate_file", "key_file")),
            (None, Some(_)) => return Err(TransportError::Needs("key_file", "certificate_file")),
            (None, None) => None,
        };
        let tls = match options.tls {
            true => {
                let authorities = options.ca_file.as_ref().map(read).transpose()?;
                let identity = identity.as_ref().map(|(certificate, key)| (&certificate[..], &key[..]));
                Some(ClientTls::new(authorities.as_deref(), identity)?)
            }
            false => None,
        };
        let scheme = match (options.tls, &options.websocket_path) {
            (false, None) => Scheme::Mqtt,
            (true, None) => Scheme::Mqtts,
            (false, Some(_)) => Scheme::Ws,
            (true, Some(_)) => Scheme::Wss,
        };
        let target = Target {
            scheme,
            host: options.address.clone(),
            port: options.effective_port(),
            path: options.websocket_path.clone().unwrap_or_default(),
        };
        let net = LiveNet::to(&target, tls)?;
        let made_from = files.into_iter().filter_map(|(name, file)| Some((name, file.clone()?)));
        Ok(LiveNet { made_from: made_from.collect(), ..net })
    }
}

impl Net for LiveNet {
    type Stream = LiveStream;
    type Listener = LiveListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<LiveStream> {
        match &self.transport {
            Transport::Tcp(net) => LiveStream::connect(net, host, port).await,
            #[cfg(feature = "tls")]
            Transport::Tls(net) => LiveStream::connect(net, host, port).await,
            #[cfg(feature = "websocket")]
            Transport::WebSocket(net) => LiveStream::connect(net, host, port).await,
            #[cfg(all(feature = "tls", feature = "websocket"))]
            Transport::WebSocketOverTls(net) => LiveStream::connect(net, host, port).await,
        }
    }

    /// Listens with plain TCP on the loopback interface.
    async fn listen(&self, port: u16) -> io::Result<LiveListener> {
        Ok(LiveListener { listener: TcpNet::loopback().listen(port).await? })
    }

    fn reset(&self, stream: LiveStream) {
        stream.stream.reset();
    }

    fn honours(&self, option: &str, value: &str) -> bool {
        self.made_from.iter().any(|(name, given)| *name == option && given == value)
            || match &self.transport {
                Transport::Tcp(net) => net.honours(option, value),
                #[cfg(feature = "tls")]
                Transport::Tls(net) => net.honours(option, value),
                #[cfg(feature = "websocket")]
                Transport::WebSocket(net) => net.honours(option, value),
                #[cfg(all(feature = "tls", feature = "websocket"))]
                Transport::WebSocketOverTls(net) => net.honours(option, value),
            }
    }
}

/// A connection to or from a live peer.
pub struct LiveStream {
    stream: Box<dyn Resettable>,
}

impl LiveStream {
    async fn connect<N: Net>(net: &N, host: &str, port: u16) -> io::Result<LiveStream> {
        Ok(LiveStream::new(net, net.connect(host, port).await?))
    }

    fn new<N: Net>(net: &N, stream: N::Stream) -> LiveStream {
        LiveStream { stream: Box::new(Of { net: net.clone(), stream }) }
    }
}

impl fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStream").finish_non_exhaustive()
    }
}

trait Resettable: AsyncRead + AsyncWrite + Unpin {
    fn reset(self: Box<Self>);
}

/// A stream with the network that can reset it.
struct Of<N: Net> {
    net: N,
    stream: N::Stream,
}

impl<N: Net> Resettable for Of<N> {
    fn reset(self: Box<Self>) {
        self.net.reset(self.stream);
    }
}

impl<N: Net> Unpin for Of<N> {}

impl<N: Net> AsyncRead for Of<N> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl<N: Net> AsyncWrite for Of<N> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for LiveStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl AsyncWrite for LiveStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A TCP port for live peers.
#[derive(Debug)]
pub struct LiveListener {
    listener: TcpNetListener,
}

impl Listener for LiveListener {
    type Stream = LiveStream;

    async fn accept(&self) -> io::Result<(LiveStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((LiveStream::new(&TcpNet::loopback(), stream), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_in_all_forms() {
        let cases = [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://localhost/", "mqtt://localhost:1883"),
            ("mqtts://broker.example", "mqtts://broker.example:8883"),
            ("ws://[::1]:9001", "ws://[::1]:9001/mqtt"),
            ("wss://broker.example/a/b", "wss://broker.example:443/a/b"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ];
        for (text, expected) in cases {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), expected);
            assert_eq!(target.to_string().parse(), Ok(target));
        }
    }

    #[test]
    fn texts_that_name_no_server() {
        let text = |text: &str| text.to_owned();
        let cases = [
            ("localhost:1883", TargetError::Scheme(text("localhost:1883"))),
            ("http://a", TargetError::Scheme(text("http://a"))),
            ("mqtt://", TargetError::NoHost(text("mqtt://"))),
            ("mqtt://:1883", TargetError::NoHost(text("mqtt://:1883"))),
            ("mqtt://a:65536", TargetError::Port(text("mqtt://a:65536"))),
            ("mqtt://[::1]x", TargetError::Port(text("mqtt://[::1]x"))),
            ("mqtt://a/b", TargetError::Path(text("mqtt://a/b"))),
            ("mqtt://user:secret@a", TargetError::Credentials),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Target>(), Err(error));
        }
    }
}
