//! What may stand behind `mqttspec serve`, and the broker options that it names.

use std::fmt;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use mqttspec_broker::{OptionDescription, OptionError, Options};
use mqttspec_net::broker::Limits;
use mqttspec_notation::vocabulary::nearest;

#[derive(Debug, Args)]
#[command(after_long_help = options_help())]
pub(crate) struct ServeArguments {
    /// Where to listen for MQTT over TCP: ADDRESS:PORT, or a port of 127.0.0.1. May be repeated. With port 0 the
    /// system chooses, and the ready line says which; `none` is for TLS or WebSocket only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1883")]
    pub(crate) listen: Vec<Place>,
    /// Listens for TLS too, with this certificate (chain) and private key; both are PEM files
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    pub(crate) tls: Option<Vec<PathBuf>>,
    /// Where to listen for TLS. May be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8883", requires = "tls")]
    pub(crate) tls_listen: Vec<Place>,
    /// Serves over TLS only Clients that show a certificate of these authorities, a PEM file
    #[arg(long, value_name = "CA", requires = "tls")]
    pub(crate) tls_clients: Option<PathBuf>,
    /// Listens for WebSocket too. May be repeated [default address: 127.0.0.1:9001]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:9001")]
    pub(crate) ws: Vec<Place>,
    /// Listens for WebSocket over TLS too. May be repeated [default address: 127.0.0.1:9002]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:9002", requires = "tls")]
    pub(crate) wss: Vec<Place>,
    /// Keeps Sessions and retained messages in this file, made if there is none: nothing is acknowledged before it is
    /// on the disk
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
    /// Sets an option of the broker; `--options` lists them. May be repeated
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<Setting>,
    /// Who may connect, and which topics each may publish and subscribe to. Nobody else may, unless the file has a
    /// line `anonymous` or the option allow_anonymous is set
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// Prints what happens, while it happens, as `mqttspec trace` does
    #[arg(long)]
    pub(crate) trace: bool,
    /// Holds the Clients to the standard: prints each rule that one breaks, with its clause. The exit code is 1 then
    #[arg(long)]
    pub(crate) check: bool,
    /// What the broker draws (salts, choices) derives from this [default: drawn from the system]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Prints every option of the broker with its default, and ends
    #[arg(long)]
    pub(crate) options: bool,
}

/// An address to listen at, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) Option<SocketAddr>);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        if text == "none" {
            return Ok(Place(None));
        }
        if let Ok(port) = text.parse() {
            return Ok(Place(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))));
        }
        let addresses = text.to_socket_addrs();
        addresses
            .ok()
            .and_then(|mut addresses| addresses.next())
            .map(|address| Place(Some(address)))
            .ok_or_else(|| {
                "expected ADDRESS:PORT, such as 127.0.0.1:1883 or [::1]:1883, a port, or none".to_owned()
            })
    }
}

/// `NAME=VALUE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| "expected NAME=VALUE, such as receive_maximum=10".to_owned())?;
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        // Nothing is broken here but the name and the value, so this is where clap can say in which argument.
        set(&mut Options::default(), &mut Limits::default(), &name, &value)
            .map_err(|error| error.to_string())?;
        Ok(Setting { name, value })
    }
}

/// Sets an option of the core or a limit of its driver: on the command line they are one list.
pub(crate) fn set(
    options: &mut Options,
    limits: &mut Limits,
    name: &str,
    value: &str,
) -> Result<(), OptionError> {
    if Limits::NAMES.contains(&name) {
        return limits.set(name, value);
    }
    options.set(name, value).map_err(|error| match error {
        OptionError::Unknown { name, .. } => {
            let nearest = nearest(&name, Options::NAMES.iter().chain(Limits::NAMES).copied());
            OptionError::Unknown { name, nearest }
        }
        other => other,
    })
}

/// Every option that `--option` takes.
pub(crate) fn descriptions() -> Vec<OptionDescription> {
    // A run without a store has nothing to record changes for, and one with a store must: no choice is left.
    let core = Options::descriptions().into_iter().filter(|option| option.name != "record_changes");
    core.chain(Limits::descriptions()).collect()
}

fn options_help() -> String {
    let mut help = "Options of the broker, for --option NAME=VALUE:\n".to_owned();
    for option in descriptions() {
        let default = if option.default.is_empty() { "none" } else { &option.default };
        let _ = writeln!(help, "  {} [default: {default}]", option.name);
    }
    help.push_str("\n`mqttspec serve --options` says what each of them means.\n");
    help.push_str("\nSIGTERM and SIGINT tell the Clients, save the Sessions and end the broker. SIGUSR1 sends the Clients to\n");
    help.push_str(
        "the server that the option server_reference names, and refuses new ones (Use another server, 0x9C).",
    );
    help
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}
