//! How a client reaches its Server, who it is and what it keeps.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use mqttspec_client::{Options, Publication};
use mqttspec_codec::BinaryData;
use mqttspec_net::Clock;
use mqttspec_net::store::{NoStore, RedbStore, Store};
use mqttspec_net::transport::{LiveNet, Scheme, Target};
use tokio::task::LocalSet;

use crate::client::{Client, drive};
use crate::error::Error;
use crate::pending::Pending;

/// The settings of a client that does not run yet.
#[derive(Clone, Debug)]
pub struct Builder {
    options: Options,
    store: Option<PathBuf>,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Result<Builder, Error> {
        let target: Target = url.parse()?;
        let mut options = Options { address: target.host, port: Some(target.port), ..Options::default() };
        options.tls = target.scheme.is_encrypted();
        if matches!(target.scheme, Scheme::Ws | Scheme::Wss) {
            options.websocket_path = Some(target.path);
        }
        Ok(Builder { options, store: None })
    }

    /// The Client Identifier. Without one, the Server assigns it (5.0).
    ///
    /// # Errors
    /// If it is not a valid UTF-8 string of MQTT.
    pub fn client_id(self, name: &str) -> Result<Builder, Error> {
        self.option("client_id", name)
    }

    /// User Name and Password.
    ///
    /// # Errors
    /// If one of them is too long or not valid.
    pub fn user(mut self, name: &str, password: &[u8]) -> Result<Builder, Error> {
        let password = BinaryData::try_from(password.to_vec())
            .map_err(|_| Error::Text { what: "password: it is too long", text: String::new() })?;
        self.options.password = Some(password);
        self.option("user_name", name)
    }

    /// The file with the certificate authorities to trust, in PEM. Without it, those of this machine
    /// are trusted.
    #[must_use]
    pub fn ca_file(mut self, file: impl AsRef<Path>) -> Builder {
        self.options.ca_file = Some(file.as_ref().to_string_lossy().into_owned());
        self
    }

    /// The files with the certificate that the client shows to the Server and with its private key,
    /// in PEM.
    #[must_use]
    pub fn certificate(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Builder {
        self.options.certificate_file = Some(certificate.as_ref().to_string_lossy().into_owned());
        self.options.key_file = Some(key.as_ref().to_string_lossy().into_owned());
        self
    }

    /// The message that the Server publishes if the connection is lost.
    ///
    /// # Errors
    /// If the payload is longer than 65,535 bytes.
    pub fn will(mut self, will: Publication) -> Result<Builder, Error> {
        let payload = BinaryData::try_from(will.payload.to_vec())
            .map_err(|_| Error::Text { what: "Will Payload: it is too long", text: String::new() })?;
        self.options.will_qos = will.qos.unwrap_or(self.options.default_qos);
        self.options.will_topic = Some(will.topic);
        self.options.will_payload = payload;
        self.options.will_retain = will.retain;
        Ok(self)
    }

    /// The file for the Session and the outbox. With it, messages survive the end of the process.
    /// Without it, they are lost then.
    #[must_use]
    pub fn store(mut self, file: impl AsRef<Path>) -> Builder {
        self.store = Some(file.as_ref().to_owned());
        self
    }

    /// Sets an option of the client by its name and text, such as `keep_alive`, `30`. [`Options`]
    /// lists them all, with their defaults.
    ///
    /// # Errors
    /// If there is no such option, or it does not take the value.
    pub fn option(mut self, name: &str, value: &str) -> Result<Builder, Error> {
        self.options.set(name, value)?;
        Ok(self)
    }

    /// The options so far, to change several of them.
    pub fn options(&mut self) -> &mut Options {
        &mut self.options
    }

    /// Starts the client and connects. If that fails, the client ends. If the connection is lost
    /// later, the client connects again.
    pub fn connect(self) -> Pending<Client> {
        match self.start() {
            Ok(client) => {
                let connected = client.connect();
                connected.and_then(move |()| Ok(client))
            }
            Err(error) => Pending::failed(error),
        }
    }

    /// Starts the client without connecting. Until [`Client::connect`] is called, messages wait in
    /// its queue and in its outbox.
    ///
    /// # Errors
    /// If a file cannot be used, or the machine has no thread for the client.
    pub fn start(self) -> Result<Client, Error> {
        let name = self.options.client_id.as_str().to_owned();
        let net = LiveNet::of(&self.options)?;
        match &self.store {
            None => run(net, self.options, &name, || Ok(NoStore)),
            Some(file) => {
                let file = file.clone();
                run(net, self.options, &name, move || Ok(RedbStore::open_file(&file)?))
            }
        }
    }
}

/// Runs a client on a thread of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "a client of an application is real: it has a thread of its own"
)]
fn run<S: Store + 'static>(
    net: LiveNet,
    options: Options,
    name: &str,
    open: impl FnOnce() -> Result<S, Error> + Send + 'static,
) -> Result<Client, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A short wait that does not need a runtime, and is allowed within one.
    let (started, client) = mpsc::channel();
    std::thread::Builder::new().name(format!("mqtt client {name}")).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, async move {
            let clock = Clock::of_this_machine();
            // Two clients must not draw the same delays.
            let seed = clock.now().as_nanos() as u64 ^ u64::from(std::process::id());
            match open().and_then(|store| drive(net, options, seed, clock, store)) {
                Ok((client, driving)) => {
                    // The thread that starts the client waits here.
                    let _ = started.send(Ok(client));
                    driving.await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        // The last bytes of a connection that is being closed.
        runtime.block_on(local);
    })?;
    client.recv().unwrap_or(Err(Error::Stopped))
}
