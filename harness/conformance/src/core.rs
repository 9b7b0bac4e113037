//! Drives a broker core that does no I/O: bytes in, bytes out, and a deadline.

use core::cell::RefCell;
use core::future::{Future, pending};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mqttspec_ports::{Listener as _, Net};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;

/// A broker without sockets and clocks. `now` is the time since the start of the run.
pub trait BrokerCore: 'static {
    /// A Network Connection was opened.
    fn opened(&mut self, connection: u64, now: Duration);

    /// Bytes arrived on a connection. They are a part of a packet, a packet or several.
    fn received(&mut self, connection: u64, bytes: &[u8], now: Duration);

    /// The other end closed the connection, or it was lost.
    fn lost(&mut self, connection: u64, now: Duration);

    /// The time at which [`timer`](BrokerCore::timer) must be called, if there is one.
    fn deadline(&self) -> Option<Duration>;

    /// The deadline has come.
    fn timer(&mut self, now: Duration);

    /// What to do next; `None` if there is nothing to do. It is called after each of the others.
    fn next(&mut self) -> Option<Output>;
}

/// What a core wants its driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send bytes on a connection.
    Send(u64, Vec<u8>),
    /// Close a connection after the bytes that were sent.
    Close(u64),
}

/// The most bytes that are read at once.
const READ: usize = 4096;

struct Driver<C> {
    core: C,
    now: Box<dyn Fn() -> Duration>,
    /// To the writers of the open connections. A writer without a sender closes its connection.
    writers: BTreeMap<u64, mpsc::UnboundedSender<Vec<u8>>>,
}

impl<C: BrokerCore> Driver<C> {
    fn call(&mut self, call: impl FnOnce(&mut C, Duration)) {
        let now = (self.now)();
        call(&mut self.core, now);
        while let Some(output) = self.core.next() {
            match output {
                Output::Send(connection, bytes) => {
                    if let Some(writer) = self.writers.get(&connection) {
                        // Sending on a lost connection has no effect. The reader notifies the core.
                        let _ = writer.send(bytes);
                    }
                }
                Output::Close(connection) => drop(self.writers.remove(&connection)),
            }
        }
    }
}

/// Serves a core at the port of MQTT.
pub(crate) async fn serve<N: Net, C: BrokerCore>(
    net: N,
    now: impl Fn() -> Duration + 'static,
    core: C,
) -> io::Result<()> {
    let listener = net.listen(1883).await?;
    let driver = Rc::new(RefCell::new(Driver { core, now: Box::new(now), writers: BTreeMap::new() }));
    let changed = Rc::new(Notify::new());
    spawn_local(keep_time(driver.clone(), changed.clone()));
    for connection in 0.. {
        let (stream, _) = listener.accept().await?;
        let (writer, bytes) = mpsc::unbounded_channel();
        driver.borrow_mut().writers.insert(connection, writer);
        driver.borrow_mut().call(|core, now| core.opened(connection, now));
        spawn_local(serve_connection::<N, C>(stream, connection, bytes, driver.clone(), changed.clone()));
        changed.notify_one();
    }
    Ok(())
}

async fn serve_connection<N: Net, C: BrokerCore>(
    stream: N::Stream,
    connection: u64,
    mut bytes: mpsc::UnboundedReceiver<Vec<u8>>,
    driver: Rc<RefCell<Driver<C>>>,
    changed: Rc<Notify>,
) {
    let (mut from, mut to) = split(stream);
    let of_reader = (driver.clone(), changed.clone());
    let read = async move {
        let (driver, changed) = of_reader;
        let mut buffer = vec![0; READ];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            driver.borrow_mut().call(|core, now| core.received(connection, &buffer[..length], now));
            changed.notify_one();
        }
    };
    let write = async move {
        while let Some(bytes) = bytes.recv().await {
            if to.write_all(&bytes).await.is_err() {
                // The reader sees the end too.
                pending::<()>().await;
            }
        }
        // The core closed it. What was sent goes out before the end of the stream.
        let _ = to.shutdown().await;
    };
    first(read, write).await;
    if driver.borrow_mut().writers.remove(&connection).is_some() {
        driver.borrow_mut().call(|core, now| core.lost(connection, now));
        changed.notify_one();
    }
}

async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = other => {}
        () = one => {}
    }
}

/// Calls the core at its deadlines.
async fn keep_time<C: BrokerCore>(driver: Rc<RefCell<Driver<C>>>, changed: Rc<Notify>) {
    loop {
        let (deadline, now) = {
            let driver = driver.borrow();
            (driver.core.deadline(), (driver.now)())
        };
        let left = deadline.map(|deadline| deadline.saturating_sub(now));
        let due = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = changed.notified() => {}
            () = due => driver.borrow_mut().call(BrokerCore::timer),
        }
    }
}
