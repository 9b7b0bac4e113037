//! `mqttspec serve`: the reference broker on real sockets.

pub(crate) mod arguments;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::watch::print::{self, Printer, Tally};
use crate::watch::{Watch, WatchOptions};
use mqttspec_broker::Redirect;
use mqttspec_broker::{Options, Users, UsersError};
use mqttspec_codec::Role;
use mqttspec_net::broker::{Entrance, Limits, Notice, PasswordThread, ServeError, Server};
use mqttspec_net::store::{NoStore, RedbStore, Store, StoreError};
use mqttspec_net::tap::Tap;
use mqttspec_net::transport::{ServerTls, TlsError, TlsNet, WebSocketNet};
use mqttspec_net::{Clock, TcpNet};
use mqttspec_ports::{Listener, Net};
use thiserror::Error;
use tokio::task::LocalSet;

use self::arguments::{ListenAddress, ServeArguments};
use crate::{CommandError, PASSED};

/// The exit code of `--check` after a violation.
const VIOLATED: u8 = 1;
/// The exit code after a second signal.
const INTERRUPTED: i32 = 130;

/// Why the broker cannot run.
#[derive(Debug, Error)]
pub(crate) enum ServeCommandError {
    #[error("cannot start: {0}")]
    Machine(#[source] io::Error),
    #[error("cannot listen at {address}: {source}{}", remedy(*address, source))]
    Listen { address: SocketAddr, source: io::Error },
    #[error("no address to listen on: --listen none needs --tls or --ws")]
    NoListener,
    #[error("cannot read {what} {}: {source}", file.display())]
    File { what: &'static str, file: PathBuf, source: io::Error },
    #[error("invalid users file {}: {source}", file.display())]
    Users { file: PathBuf, source: UsersError },
    #[error(
        "allow_anonymous=true, but the users file {} does not say what Clients without a User Name may do\n  add the line `anonymous` and below it `publish` and `subscribe` lines; without these it may do everything", file.display()
    )]
    Anonymous { file: PathBuf },
    #[error("cannot use {} and {} for TLS: {source}", certificate.display(), key.display())]
    Tls { certificate: PathBuf, key: PathBuf, source: TlsError },
    #[error("cannot open the store {}: {source}", file.display())]
    Store { file: PathBuf, source: StoreError },
    #[error(transparent)]
    Serve(#[from] ServeError),
}

fn remedy(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "\n  another program uses this port; choose another one, or 0 for a free port: --listen {}:0",
                address.ip()
            )
        }
        io::ErrorKind::PermissionDenied => {
            "\n  ports below 1024 may be reserved; choose a higher one".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "\n  this machine does not have the address; 0.0.0.0 and [::] mean all of its addresses"
                .to_owned()
        }
        _ => String::new(),
    }
}

pub(crate) fn run(arguments: &ServeArguments) -> Result<u8, CommandError> {
    if arguments.options {
        print_options()?;
        return Ok(PASSED);
    }
    let configuration = Configuration::of(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeCommandError::Machine)?;
    LocalSet::new().block_on(&runtime, async {
        let clock = Clock::of_this_machine();
        let watch_options = WatchOptions {
            transcript: arguments.trace,
            violations: arguments.check,
            of_another_broker: false,
        };
        let tally = Tally::default();
        if watch_options == WatchOptions::default() {
            configuration.serve(arguments, clock, ()).await?;
            return Ok(PASSED);
        }
        let printer = Rc::new(Printer::to_stdout().map_err(ServeCommandError::Machine)?);
        let (counted, to) = (tally.clone(), Rc::clone(&printer));
        let print = move |report| print::print(&report, &counted, &to);
        configuration
            .serve(arguments, clock, Watch::new(Role::Server, clock.now(), watch_options, print))
            .await?;
        // The watch was dropped with the server.
        if let Some(printer) = Rc::into_inner(printer) {
            printer.finish(&if arguments.check { tally.summary() } else { String::new() });
        }
        if !arguments.check {
            return Ok(PASSED);
        }
        Ok(if tally.count() == 0 { PASSED } else { VIOLATED })
    })
}

fn print_options() -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let bold = anstyle::Style::new().bold();
    for option in arguments::descriptions() {
        writeln!(out, "{bold}{}{bold:#} = {}", option.name, option.default)?;
        writeln!(out, "    {}", option.description)?;
        writeln!(out, "    values: {}", option.values)?;
    }
    Ok(())
}

/// The configuration from files and arguments. It is read before a listener is opened.
struct Configuration {
    options: Options,
    limits: Limits,
    tls: Option<ServerTls>,
    seed: u64,
}

impl Configuration {
    fn of(arguments: &ServeArguments) -> Result<Configuration, ServeCommandError> {
        let mut options = arguments::defaults();
        let mut limits = Limits::default();
        if let Some(file) = &arguments.users {
            options.users = read_users(file)?;
            options.allow_anonymous = options.users.has_anonymous();
        }
        for setting in &arguments.settings {
            // clap has checked every setting, so this cannot fail.
            let _ = arguments::set(&mut options, &mut limits, &setting.name, &setting.value);
        }
        if let Some(file) = &arguments.users
            && options.allow_anonymous
            && !options.users.has_anonymous()
        {
            return Err(ServeCommandError::Anonymous { file: file.clone() });
        }
        options.record_changes = arguments.store.is_some();
        let tls = arguments.tls.as_deref().map(|files| read_tls(files, arguments.tls_clients.as_deref()));
        let seed = match arguments.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| ServeCommandError::Machine(io::Error::other(error)))?,
        };
        Ok(Configuration { options, limits, tls: tls.transpose()?, seed })
    }

    async fn serve(
        self,
        arguments: &ServeArguments,
        clock: Clock,
        tap: impl Tap,
    ) -> Result<(), ServeCommandError> {
        let store = open_store(arguments.store.as_deref())?;
        let has_users = !self.options.users.is_empty();
        let (server, entrance) =
            Server::with_limits(self.options, self.seed, clock, store, tap, self.limits)?;
        if has_users {
            entrance.check_passwords(PasswordThread::start().map_err(ServeCommandError::Machine)?);
        }
        let stderr = Printer::to_stderr().map_err(ServeCommandError::Machine)?;
        entrance.on_notice(move |notice| stderr.print(notice_text(&notice).into_bytes()));
        let urls = open_listeners(arguments, self.tls, &entrance).await?;
        stop_on_signals(&entrance).map_err(ServeCommandError::Machine)?;
        // A closed pipe must not stop the broker.
        let _ = writeln!(anstream::stdout(), "ready: {}", urls.join(" "));
        Ok(server.run().await?)
    }
}

fn notice_text(notice: &Notice) -> String {
    match notice {
        Notice::CannotAccept(error) => format!(
            "warning: no connection can be accepted: {error}\n  if the limit of file descriptors is reached, raise it: ulimit -n 65536\n"
        ),
        other => format!("warning: {other:?}\n"),
    }
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, ServeCommandError> {
    std::fs::read(file).map_err(|source| ServeCommandError::File { what, file: file.to_owned(), source })
}

fn read_users(file: &Path) -> Result<Users, ServeCommandError> {
    let text = read("the users file", file).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| ServeCommandError::File {
            what: "the users file",
            file: file.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()),
        })
    })?;
    text.parse().map_err(|source| ServeCommandError::Users { file: file.to_owned(), source })
}

fn read_tls(files: &[PathBuf], authorities: Option<&Path>) -> Result<ServerTls, ServeCommandError> {
    // clap requires exactly two files.
    let [certificate, key] = files else { return Err(ServeCommandError::NoListener) };
    let chain = read("the certificate", certificate)?;
    let secret = read("the key", key)?;
    let tls = match authorities {
        Some(file) => ServerTls::for_clients_of(
            &read("the authorities for client certificates", file)?,
            &chain,
            &secret,
        ),
        None => ServerTls::new(&chain, &secret),
    };
    tls.map_err(|source| ServeCommandError::Tls {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    })
}

fn open_store(file: Option<&Path>) -> Result<Box<dyn Store>, ServeCommandError> {
    let Some(file) = file else { return Ok(Box::new(NoStore)) };
    let store = RedbStore::open_file(file)
        .map_err(|source| ServeCommandError::Store { file: file.to_owned(), source })?;
    Ok(Box::new(store))
}

/// Opens every listener, and returns their URLs.
async fn open_listeners(
    arguments: &ServeArguments,
    tls: Option<ServerTls>,
    entrance: &Entrance,
) -> Result<Vec<String>, ServeCommandError> {
    let mut urls = Vec::new();
    let tcp = |address: SocketAddr| TcpNet::listening_at(address.ip());
    for address in addresses(&arguments.listen) {
        urls.push(format!("mqtt://{}", open(tcp(address), address, entrance).await?));
    }
    for address in addresses(&arguments.ws) {
        let net = WebSocketNet::new(tcp(address), "/mqtt");
        urls.push(format!("ws://{}/mqtt", open(net, address, entrance).await?));
    }
    if let Some(tls) = tls {
        for address in addresses(&arguments.tls_listen) {
            let net = TlsNet::listening(tcp(address), tls.clone());
            urls.push(format!("mqtts://{}", open(net, address, entrance).await?));
        }
        for address in addresses(&arguments.wss) {
            let net = WebSocketNet::new(TlsNet::listening(tcp(address), tls.clone()), "/mqtt");
            urls.push(format!("wss://{}/mqtt", open(net, address, entrance).await?));
        }
    }
    if urls.is_empty() { Err(ServeCommandError::NoListener) } else { Ok(urls) }
}

fn addresses(arguments: &[ListenAddress]) -> impl Iterator<Item = SocketAddr> {
    arguments.iter().filter_map(|argument| argument.0)
}

/// Listens on one address, and returns the address with the port that the system chose.
async fn open<N: Net>(
    net: N,
    address: SocketAddr,
    entrance: &Entrance,
) -> Result<SocketAddr, ServeCommandError> {
    let fault = |source| ServeCommandError::Listen { address, source };
    let listener = net.listen(address.port()).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    entrance.listen(listener);
    Ok(bound)
}

/// On SIGTERM or SIGINT, the broker disconnects the Clients, saves the Sessions and stops. The
/// second signal ends the process at once. SIGUSR1 redirects the Clients to another server.
#[cfg(unix)]
fn stop_on_signals(entrance: &Entrance) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut user = signal(SignalKind::user_defined1())?;
    let redirecting = entrance.clone();
    tokio::task::spawn_local(async move {
        while user.recv().await.is_some() {
            redirecting.redirect(Redirect::UseAnotherServer, None);
        }
    });
    let entrance = entrance.clone();
    tokio::task::spawn_local(async move {
        for first in [true, false] {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            if first {
                entrance.stop();
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

#[cfg(not(unix))]
fn stop_on_signals(entrance: &Entrance) -> io::Result<()> {
    let entrance = entrance.clone();
    tokio::task::spawn_local(async move {
        for first in [true, false] {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            if first {
                entrance.stop();
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
