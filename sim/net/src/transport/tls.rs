//! MQTT over TLS, with rustls. Section 4.2 of the standard names TLS as a transport; port 8883 is
//! its own.
//!
//! The cryptography is ring's: it needs a C compiler and nothing else to build.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mqttspec_ports::{Listener, Net};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::Lazy;

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text is not PEM, or lacks the expected content.
    #[error("{what}: {error}")]
    Pem {
        /// Which text.
        what: &'static str,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// A PEM text that should hold certificates holds none.
    #[error("{0}: no certificate in it")]
    NoCertificate(&'static str),
    /// The certificates or the key do not fit together, or are of a kind that is not supported.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
    /// This machine has no certificate authorities to trust.
    #[error("this machine has no certificate authorities to trust: name a file with them")]
    NoAuthorities,
    /// Clients' certificates cannot be verified with these authorities.
    #[error("the authorities for client certificates: {0}")]
    Authorities(#[from] rustls::server::VerifierBuilderError),
}

/// How a Client verifies its Server.
#[derive(Debug, Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the certificate authorities in this PEM text, and no others; without one, those of
    /// this machine. Shows a certificate with its key, if there is one.
    ///
    /// # Errors
    /// If one of the PEM texts does not hold what it should, key and certificate do not fit
    /// together, or the machine trusts no authority.
    pub fn new(
        authorities: Option<&[u8]>,
        identity_pem: Option<(&[u8], &[u8])>,
    ) -> Result<ClientTls, TlsError> {
        let roots = match authorities {
            Some(pem) => roots("the certificate authorities", pem)?,
            None => system_roots()?,
        };
        let builder = client_builder()?.with_root_certificates(roots);
        let config = match identity_pem {
            Some((certificates, key)) => {
                let (certificates, key) = identity(certificates, key)?;
                builder.with_client_auth_cert(certificates, key)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(ClientTls(Arc::new(config)))
    }

    /// Trusts the certificate authorities in this PEM text, and no others.
    ///
    /// # Errors
    /// When there is no certificate in it.
    pub fn trusting(authorities: &[u8]) -> Result<ClientTls, TlsError> {
        ClientTls::new(Some(authorities), None)
    }

    /// As [`trusting`](ClientTls::trusting), and shows a certificate of its own.
    ///
    /// # Errors
    /// When one of the PEM texts does not hold what it should, or key and certificate do not fit
    /// together.
    pub fn with_certificate(
        authorities: &[u8],
        certificates: &[u8],
        key: &[u8],
    ) -> Result<ClientTls, TlsError> {
        ClientTls::new(Some(authorities), Some((certificates, key)))
    }
}

/// The certificates and the key of a Server.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// Shows these certificates, the Server's own first; both are PEM texts.
    ///
    /// # Errors
    /// When one of the PEM texts does not hold what it should, or key and certificate do not fit
    /// together.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<ServerTls, TlsError> {
        let (certificates, key) = identity(certificates, key)?;
        let config = server_builder()?.with_no_client_auth().with_single_cert(certificates, key)?;
        Ok(ServerTls(Arc::new(config)))
    }

    /// As [`new`](ServerTls::new), and serves only Clients with a certificate of these authorities.
    ///
    /// # Errors
    /// When one of the PEM texts does not hold what it should, or key and certificate do not fit
    /// together.
    pub fn for_clients_of(
        authorities: &[u8],
        certificates: &[u8],
        key: &[u8],
    ) -> Result<ServerTls, TlsError> {
        let (certificates, key) = identity(certificates, key)?;
        let authorities = Arc::new(roots("the certificate authorities", authorities)?);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(authorities, Arc::new(ring::default_provider()))
                .build()?;
        let config =
            server_builder()?.with_client_cert_verifier(verifier).with_single_cert(certificates, key)?;
        Ok(ServerTls(Arc::new(config)))
    }
}

fn client_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
}

fn server_builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| TlsError::Pem { what, error })?;
    if certificates.is_empty() { Err(TlsError::NoCertificate(what)) } else { Ok(certificates) }
}

/// What this machine trusts. Certificates that cannot be used are left out.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if usable == 0 { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

fn roots(what: &'static str, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn identity(
    chain: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates("the certificate", chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Pem { what: "the key", error })?;
    Ok((chain, key))
}

/// A network on which everything is encrypted.
#[derive(Debug, Clone)]
pub struct TlsNet<N> {
    net: N,
    client: Option<ClientTls>,
    server: Option<ServerTls>,
}

impl<N: Net> TlsNet<N> {
    /// For dialling.
    pub fn dialling(net: N, tls: ClientTls) -> TlsNet<N> {
        TlsNet { net, client: Some(tls), server: None }
    }

    /// For listening.
    pub fn listening(net: N, tls: ServerTls) -> TlsNet<N> {
        TlsNet { net, client: None, server: Some(tls) }
    }
}

impl<N: Net> Net for TlsNet<N> {
    type Stream = Lazy<TlsStream<N::Stream>>;
    type Listener = TlsNetListener<N::Listener>;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        let Some(ClientTls(config)) = &self.client else { return Err(not_set_up()) };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = self.net.connect(host, port).await?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        Ok(Lazy::open(TlsStream::Client(stream)))
    }

    async fn listen(&self, port: u16) -> io::Result<Self::Listener> {
        let Some(ServerTls(config)) = &self.server else { return Err(not_set_up()) };
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        Ok(TlsNetListener { listener: self.net.listen(port).await?, acceptor })
    }

    fn honours(&self, option: &str, value: &str) -> bool {
        option == "tls" && self.client.is_some() || self.net.honours(option, value)
    }

    fn reset(&self, stream: Self::Stream) {
        match stream.into_stream() {
            Some(TlsStream::Client(stream)) => self.net.reset(stream.into_inner().0),
            Some(TlsStream::Server(stream)) => self.net.reset(stream.into_inner().0),
            None => {}
        }
    }
}

fn not_set_up() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "TLS is not set up for this direction")
}

/// A port at which connections are encrypted.
pub struct TlsNetListener<L> {
    listener: L,
    acceptor: TlsAcceptor,
}

impl<L: Listener> Listener for TlsNetListener<L>
where
    L::Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    type Stream = Lazy<TlsStream<L::Stream>>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        let handshake = self.acceptor.accept(stream);
        Ok((Lazy::after(async { Ok(TlsStream::Server(handshake.await?)) }), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl<L: std::fmt::Debug> std::fmt::Debug for TlsNetListener<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsNetListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}
