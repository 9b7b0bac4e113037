//! `mqttspec observe`: a proxy between clients and a broker that judges both with the monitors.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use mqttspec_codec::Role;
use mqttspec_net::proxy::{Taps, Upstream, pass};
use mqttspec_net::transport::{ClientTls, LiveNet, LiveNetError, Target, TlsError};
use mqttspec_net::{Clock, TcpNet};
use mqttspec_ports::{Listener as _, Net as _};
use tokio::task::LocalSet;

use crate::watch::print::{Printer, Tally, print};
use crate::watch::{Watch, WatchOptions};
use crate::{CommandError, FAILED, PASSED};

/// What `observe` can be told.
#[derive(Debug, Args)]
pub(crate) struct ObserveArguments {
    /// Address at which clients connect, with TCP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1884")]
    listen: SocketAddr,
    /// URL of the broker: mqtt://HOST:PORT; also mqtts, ws and wss
    #[arg(long, value_name = "URL")]
    to: Target,
    /// File with the certificate authorities to trust, in PEM, for mqtts and wss
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print every packet
    #[arg(long)]
    trace: bool,
}

/// Why nothing can be observed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    #[error("cannot start: {0}")]
    Machine(#[source] io::Error),
    #[error(
        "cannot listen at {address}: {source}\n  name another address with --listen; port 0 is a free port"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot read {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("cannot use {}: {source}", file.display())]
    Authorities { file: PathBuf, source: TlsError },
    #[error("{0}; --ca FILE names them")]
    Transport(#[from] LiveNetError),
    #[error("cannot accept connections: {0}")]
    Accept(#[source] io::Error),
}

pub(crate) fn run(arguments: &ObserveArguments) -> Result<u8, CommandError> {
    let net = LiveNet::to(&arguments.to, authorities(arguments)?).map_err(ObserveError::Transport)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ObserveError::Machine)?;
    let upstream = Upstream { net, host: arguments.to.host.clone(), port: arguments.to.port };
    let output = Output {
        tally: Tally::default(),
        printer: Rc::new(Printer::to_stdout().map_err(ObserveError::Machine)?),
    };
    LocalSet::new().block_on(&runtime, observe(arguments, upstream, &output))?;
    // The connections, which print too, were dropped with their tasks.
    if let Some(printer) = Rc::into_inner(output.printer) {
        printer.finish(&output.tally.summary());
    }
    Ok(if output.tally.count() == 0 { PASSED } else { FAILED })
}

/// Where findings go.
struct Output {
    tally: Tally,
    printer: Rc<Printer>,
}

async fn observe(
    arguments: &ObserveArguments,
    upstream: Upstream<LiveNet>,
    output: &Output,
) -> Result<(), ObserveError> {
    let address = arguments.listen;
    let fault = |source| ObserveError::Listen { address, source };
    let listener = TcpNet::listening_at(address.ip()).listen(address.port()).await.map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    let clock = Clock::of_this_machine();
    let watch = |observer: Role, transcript| {
        let options = WatchOptions { transcript, violations: true, of_another_broker: true };
        let (tally, printer) = (output.tally.clone(), Rc::clone(&output.printer));
        Watch::new(observer, clock.now(), options, move |report| print(&report, &tally, &printer))
    };
    // One transcript is enough: the other end sees the same packets.
    let taps =
        Taps { at_server: watch(Role::Server, arguments.trace), at_client: watch(Role::Client, false) };
    let taps = Rc::new(RefCell::new(taps));
    // A closed pipe must not stop the proxy.
    let _ = writeln!(anstream::stdout(), "ready: mqtt://{bound} passes to {}", arguments.to);
    tokio::select! {
        ended = pass(listener, upstream, clock, taps) => ended.map_err(ObserveError::Accept),
        stopped = stop_signal() => stopped.map_err(ObserveError::Machine),
    }
}

fn authorities(arguments: &ObserveArguments) -> Result<Option<ClientTls>, ObserveError> {
    let Some(file) = &arguments.ca else { return Ok(None) };
    let pem = std::fs::read(file).map_err(|source| ObserveError::File { file: file.clone(), source })?;
    let tls = ClientTls::new(Some(&pem), None);
    tls.map(Some).map_err(|source| ObserveError::Authorities { file: file.clone(), source })
}

/// Waits for SIGTERM or SIGINT.
#[cfg(unix)]
async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
    Ok(())
}

#[cfg(not(unix))]
async fn stop_signal() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
