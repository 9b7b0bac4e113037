//! The executor's end of a Network Connection. One task writes, another one records arrivals.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_codec::{Packet, Version};
use mqttspec_net::framed::{self, Arrived, Inflow};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::recorder::{Recorder, ending};
use mqttspec_judge::history::{ConnectionKey, Ending, What};

/// The executor's handle on a connection. Dropping it leaves the connection as it is.
#[derive(Clone)]
pub(crate) struct Connection {
    key: ConnectionKey,
    orders: mpsc::UnboundedSender<Order>,
    /// Ends both tasks, which drops and closes the stream.
    dropped: Rc<Dropped>,
    /// Whether the executor has sent raw bytes.
    raw: Rc<Cell<bool>>,
    recorder: Rc<Recorder>,
}

#[derive(Default)]
struct Dropped {
    is: Cell<bool>,
    now: Notify,
}

enum Order {
    Write {
        what: What,
        bytes: Bytes,
        line: u32,
    },
    /// Close after all previous writes.
    Close,
}

impl Connection {
    /// Starts the tasks of one end of `stream`. `inflow` decodes the packets of the other end.
    pub(crate) fn play<S>(recorder: Rc<Recorder>, key: ConnectionKey, stream: S, inflow: Inflow) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        let (orders, received) = mpsc::unbounded_channel();
        let connection = Self { key, orders, dropped: Rc::default(), raw: Rc::default(), recorder };
        tokio::task::spawn_local(connection.clone().read(read, inflow));
        tokio::task::spawn_local(connection.clone().write(write, received));
        connection
    }

    /// Writes bytes after all previous ones; `what` is recorded at that time.
    pub(crate) fn write_bytes(&self, what: What, bytes: Bytes, line: u32) {
        if matches!(what, What::SentRaw { .. }) {
            self.raw.set(true);
        }
        // If the tasks have ended, the end of the connection is recorded already.
        let _ = self.orders.send(Order::Write { what, bytes, line });
    }

    /// Closes after all previous writes. The peer sees a reset if it sent bytes that were not read.
    pub(crate) fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }

    /// Drops the stream, and records that the executor's side ended the connection.
    pub(crate) fn abandon(&self, ending: Ending) {
        if !self.dropped.is.replace(true) {
            self.recorder.end(self.key, ending);
            self.dropped.now.notify_waiters();
        }
    }

    /// Drops the connection because the peer has a new one, and records its end if that was not
    /// recorded yet.
    pub(crate) fn forget(&self, ending: Ending) {
        if !self.dropped.is.replace(true) {
            self.recorder.record(Some(self.key), 0, What::Closed(ending));
            self.dropped.now.notify_waiters();
        }
    }

    async fn read<S: AsyncRead>(self, mut stream: ReadHalf<S>, mut inflow: Inflow) {
        loop {
            let read = tokio::select! {
                biased;
                () = self.dropped.now.notified() => return,
                read = stream.read_buf(inflow.bytes_mut()) => read,
            };
            if self.dropped.is.get() {
                return;
            }
            let ending = match read {
                Ok(0) => Some(Ending::ByPeer),
                Ok(_) => None,
                Err(error) => Some(ending(&framed::Ending::of_error(&error))),
            };
            while let Some(arrived) = inflow.next_arrived() {
                let what = match arrived {
                    Arrived::Packet { packet, bytes } => What::Received { packet, bytes },
                    Arrived::Malformed { error, bytes } => match self.refusal_of_raw_bytes(&bytes) {
                        Some(packet) => What::Received { packet, bytes },
                        None => What::ReceivedMalformed { error, bytes },
                    },
                };
                self.recorder.arrive(self.key, what);
            }
            if let Some(ending) = ending {
                self.dropped.is.set(true);
                self.dropped.now.notify_waiters();
                self.recorder.arrive(self.key, What::Closed(ending));
                return;
            }
        }
    }

    /// Who sends a CONNECT of a version that there is not may be refused in any version that there
    /// is (MQTT 5.0 §3.1.2.2).
    fn refusal_of_raw_bytes(&self, bytes: &Bytes) -> Option<Packet> {
        let versions = [Version::V5, Version::V3_1_1].into_iter().filter(|_| self.raw.get());
        let decoded = versions.filter_map(|version| mqttspec_codec::decode(bytes, version).ok()).next()?;
        matches!(&decoded, Packet::ConnAck(connack) if connack.reason.is_failure()).then_some(decoded)
    }

    async fn write<S: AsyncWrite>(
        self,
        mut stream: WriteHalf<S>,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) {
        loop {
            let order = tokio::select! {
                biased;
                () = self.dropped.now.notified() => return,
                order = orders.recv() => order,
            };
            match order {
                Some(Order::Write { what, bytes, line }) => {
                    self.recorder.record(Some(self.key), line, what);
                    let written = tokio::select! {
                        biased;
                        () = self.dropped.now.notified() => return,
                        written = async { stream.write_all(&bytes).await?; stream.flush().await } => written,
                    };
                    if written.is_err() {
                        // The reading task records how the connection ended.
                        return;
                    }
                }
                Some(Order::Close) => return self.abandon(Ending::ByObserver),
                None => return,
            }
        }
    }
}
