//! The arguments of `mqttspec serve`, and the broker options that they set.

use std::fmt;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use mqttspec_broker::{OptionDescription, OptionError, Options};
use mqttspec_net::broker::Limits;
use mqttspec_notation::vocabulary::nearest;

#[derive(Debug, Args)]
#[command(after_long_help = options_help())]
pub(crate) struct ServeArguments {
    /// Address for MQTT over TCP: ADDRESS:PORT, a port of 127.0.0.1, or `none`. May be repeated.
    /// For port 0 the system chooses a free port, which the ready line prints
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1883")]
    pub(crate) listen: Vec<ListenAddress>,
    /// Also listen for TLS, with this certificate (chain) and private key; both are PEM files
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    pub(crate) tls: Option<Vec<PathBuf>>,
    /// Address for TLS. May be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8883", requires = "tls")]
    pub(crate) tls_listen: Vec<ListenAddress>,
    /// Over TLS, accept only Clients with a certificate of these authorities, a PEM file
    #[arg(long, value_name = "CA", requires = "tls")]
    pub(crate) tls_clients: Option<PathBuf>,
    /// Also listen for WebSocket. May be repeated [default address: 127.0.0.1:9001]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:9001")]
    pub(crate) ws: Vec<ListenAddress>,
    /// Also listen for WebSocket over TLS. May be repeated [default address: 127.0.0.1:9002]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "127.0.0.1:9002", requires = "tls")]
    pub(crate) wss: Vec<ListenAddress>,
    /// Keep Sessions and retained messages in this file, which is created if it does not exist. The
    /// broker acknowledges a message after it is on the disk. A file that is damaged or no store is
    /// left as it is
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
    /// Set an option of the broker; --options lists them. May be repeated
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<Setting>,
    /// File of the users and their topics. Other Clients are refused, unless the file has a line
    /// `anonymous`. A Session belongs to the user that made it: another user that connects with its
    /// ClientID is refused. What the file says now also holds for the Subscriptions, messages and
    /// Wills of an older store
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// Print every packet and event as it happens, in the format of `mqttspec trace`. Passwords and
    /// Authentication Data are shown as `***`
    #[arg(long)]
    pub(crate) trace: bool,
    /// Check the Clients: print every violation of the standard with its clause, and exit with 1 if
    /// there was one
    #[arg(long)]
    pub(crate) check: bool,
    /// Seed of the broker's random choices and salts [default: random]
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Print every option of the broker with its default, and exit
    #[arg(long)]
    pub(crate) options: bool,
}

/// An address to listen on, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) Option<SocketAddr>);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenAddress, String> {
        if text == "none" {
            return Ok(ListenAddress(None));
        }
        if let Ok(port) = text.parse() {
            return Ok(ListenAddress(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))));
        }
        let addresses = text.to_socket_addrs();
        addresses
            .ok()
            .and_then(|mut addresses| addresses.next())
            .map(|address| ListenAddress(Some(address)))
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
        // The value is checked here so that clap names the argument in its error.
        set(&mut Options::default(), &mut Limits::default(), &name, &value)
            .map_err(|error| error.to_string())?;
        Ok(Setting { name, value })
    }
}

/// The default of `maximum_packet_size` for `serve`, in bytes: unknown Clients may connect.
const MAXIMUM_PACKET_SIZE: u32 = 16 << 20;

/// The default of `statistics_interval` for `serve`, in seconds.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(10);

/// The default options of `serve`. The core itself has no limit for packets and publishes nothing,
/// because in a scenario only the options that it sets should have an effect.
pub(crate) fn defaults() -> Options {
    let mut options = Options::default();
    options.maximum_packet_size = Some(MAXIMUM_PACKET_SIZE);
    options.statistics_interval = STATISTICS_INTERVAL;
    options
}

/// Sets an option of the core or a limit of its driver. The command line does not distinguish them.
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

/// Every option that `--option` accepts.
pub(crate) fn descriptions() -> Vec<OptionDescription> {
    // `--store` determines record_changes.
    let core = Options::descriptions().into_iter().filter(|option| option.name != "record_changes");
    let mut all: Vec<_> = core.chain(Limits::descriptions()).collect();
    for option in &mut all {
        match option.name {
            "maximum_packet_size" => option.default = MAXIMUM_PACKET_SIZE.to_string(),
            "statistics_interval" => option.default = STATISTICS_INTERVAL.as_secs().to_string(),
            _ => {}
        }
    }
    all
}

fn options_help() -> String {
    let mut help = "Options of the broker, for --option NAME=VALUE:\n".to_owned();
    for option in descriptions() {
        let default = if option.default.is_empty() { "none" } else { &option.default };
        let _ = writeln!(help, "  {} [default: {default}]", option.name);
    }
    help.push_str("\n`mqttspec serve --options` explains each of them.\n");
    help.push_str("\nThe broker publishes its statistics below `$SYS/broker/`, every 10 s:\n");
    help.push_str(
        "mosquitto_sub -v -t '$SYS/#' prints them. --option statistics_interval=0 turns them off.\n",
    );
    help.push_str(
        "\nSIGTERM and SIGINT disconnect the Clients, save the Sessions and stop the broker. SIGUSR1 redirects\n",
    );
    help.push_str(
        "the Clients to the server in the option server_reference (Use another server, 0x9C), and refuses new Clients.",
    );
    help
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}
