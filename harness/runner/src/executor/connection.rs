//! The executor's end of a Network Connection: one task writes what the executor orders, another records what arrives.

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
    /// Ends both tasks at once: the stream is dropped, which closes it.
    dropped: Rc<Dropped>,
    /// Whether the executor has sent bytes that are no packet.
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
    /// Close after what was written before.
    Close,
}

impl Connection {
    /// Begins to play one end of `stream`. `inflow` knows what the other end sends.
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

    /// Writes bytes as soon as all before are written; `what` is recorded at that moment.
    pub(crate) fn write_bytes(&self, what: What, bytes: Bytes, line: u32) {
        if matches!(what, What::SentRaw { .. }) {
            self.raw.set(true);
        }
        // If the tasks have ended, so has the connection, and that is on record.
        let _ = self.orders.send(Order::Write { what, bytes, line });
    }

    /// Closes after what was written before. The peer sees the end, or a reset if it sent what was not read.
    pub(crate) fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }

    /// The connection is gone with its host, or is not wanted any more: no word to the peer.
    pub(crate) fn abandon(&self, ending: Ending) {
        if !self.dropped.is.replace(true) {
            self.recorder.end(self.key, ending);
            self.dropped.now.notify_waiters();
        }
    }

    /// The peer has a new connection: this one is dropped, and its end recorded if it was not yet.
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

    /// Who sends a CONNECT of a version that there is not may be refused in any version that there is (MQTT 5.0 §3.1.2.2).
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
                        // The reader learns how it ended.
                        return;
                    }
                }
                Some(Order::Close) => return self.abandon(Ending::ByObserver),
                None => return,
            }
        }
    }
}
