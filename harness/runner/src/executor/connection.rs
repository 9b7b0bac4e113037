//! The executor's end of a Network Connection. One task writes, another one records arrivals.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Misdeed, Packet, Version};
use mqttspec_net::framed::{self, Arrived, Inflow};
use mqttspec_net::transport::{FrameForm, TextFrame};
use mqttspec_notation::Framing;
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
    /// Whether the peer has a newer connection.
    replaced: Rc<Cell<bool>>,
    /// The versions whose form a refusal may have, besides that of the run.
    refusals: Rc<Cell<&'static [Version]>>,
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
        framing: Framing,
    },
    /// Close after all previous writes.
    Close,
}

impl Connection {
    /// Starts the tasks of one end of `stream`. `inflow` decodes the packets of the other end.
    /// `form` is that of the frames of its WebSocket, if it has one.
    pub(crate) fn play<S>(
        recorder: Rc<Recorder>,
        key: ConnectionKey,
        stream: S,
        mut inflow: Inflow,
        form: Option<Rc<Cell<FrameForm>>>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        let (orders, received) = mpsc::unbounded_channel();
        inflow.decoder_mut().set_maximum_packet_size(recorder.maximum_packet_size());
        let (dropped, replaced, refusals) = (Rc::default(), Rc::default(), Rc::default());
        let connection = Self { key, orders, dropped, replaced, refusals, recorder };
        mqttspec_runtime::spawn_local(connection.clone().read(read, inflow));
        mqttspec_runtime::spawn_local(connection.clone().write(write, received, form.unwrap_or_default()));
        connection
    }

    /// Writes bytes after all previous ones; `what` is recorded at that time.
    pub(crate) fn write_bytes(&self, what: What, bytes: Bytes, line: u32, framing: Framing) {
        if matches!(what, What::SentRaw { .. }) {
            self.refusals.set(versions_of_refusals(&bytes));
        }
        // If the tasks have ended, the end of the connection is recorded already.
        let _ = self.orders.send(Order::Write { what, bytes, line, framing });
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

    /// Notes that the peer has a newer connection. Only the end of this one still matters.
    pub(crate) fn replaced(&self) {
        if !self.dropped.is.get() && !self.replaced.replace(true) {
            self.recorder.replaced(self.key);
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
                Err(error) if is_text_frame(&error) => {
                    if !self.replaced.get() {
                        self.recorder.arrive(self.key, What::ReceivedTextFrame);
                    }
                    continue;
                }
                Err(error) => Some(ending(&framed::Ending::of_error(&error))),
            };
            while let Some(arrived) = inflow.next_arrived() {
                if matches!(&arrived, Arrived::Malformed { error, .. } if error.kind == Misdeed::PacketTooLarge)
                {
                    self.recorder.refuse_packet();
                }
                if self.recorder.is_exceeded() {
                    return;
                }
                let what = match arrived {
                    Arrived::Packet { packet, bytes } => What::Received { packet, bytes },
                    Arrived::Malformed { error, bytes } => match self.refusal_of_raw_bytes(&bytes) {
                        Some(packet) => What::Received { packet, bytes },
                        None => What::ReceivedMalformed { error, bytes },
                    },
                };
                if !self.replaced.get() {
                    self.recorder.arrive(self.key, what);
                }
            }
            if let Some(ending) = ending {
                self.dropped.is.set(true);
                self.dropped.now.notify_waiters();
                if self.replaced.get() {
                    self.recorder.replaced_ended(self.key, ending);
                } else {
                    self.recorder.arrive(self.key, What::Closed(ending));
                }
                return;
            }
        }
    }

    /// A refusal of a CONNECT that was sent as raw bytes, if it has the form of another version
    /// than that of the run.
    fn refusal_of_raw_bytes(&self, bytes: &Bytes) -> Option<Packet> {
        let versions = self.refusals.get().iter();
        let decoded = versions.filter_map(|version| mqttspec_codec::decode(bytes, *version).ok()).next()?;
        matches!(&decoded, Packet::ConnAck(connack) if connack.reason.is_failure()).then_some(decoded)
    }

    async fn write<S: AsyncWrite>(
        self,
        mut stream: WriteHalf<S>,
        mut orders: mpsc::UnboundedReceiver<Order>,
        form: Rc<Cell<FrameForm>>,
    ) {
        // Packets that are sent in one frame with the next one.
        let mut held = BytesMut::new();
        loop {
            let order = tokio::select! {
                biased;
                () = self.dropped.now.notified() => return,
                order = orders.recv() => order,
            };
            match order {
                Some(Order::Write { what, bytes, line, framing }) => {
                    if framing != Framing::Own {
                        self.recorder.record(Some(self.key), line, What::Framed(framing));
                    }
                    self.recorder.record(Some(self.key), line, what);
                    held.extend_from_slice(&bytes);
                    if framing == Framing::WithNext {
                        continue;
                    }
                    let bytes = held.split();
                    form.set(match framing {
                        Framing::Own | Framing::WithNext => FrameForm::Binary,
                        Framing::Text => FrameForm::Text,
                        Framing::Pieces(bytes) => FrameForm::Pieces(bytes as usize),
                    });
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

fn is_text_frame(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<TextFrame>)
}

/// The versions in whose form a server may refuse these bytes. A CONNECT is refused in the form of
/// the version that it names. If it names a version that does not exist, the forms of 5.0 and 3.1.1
/// are allowed (MQTT 5.0 and 3.1.1 §3.1.2.2): which standard binds the Server is not said. A CONNECT
/// with another Protocol Name may be of any protocol (§3.1.2.1).
fn versions_of_refusals(bytes: &[u8]) -> &'static [Version] {
    match protocol_of_connect(bytes) {
        Some((name, _)) if ![&b"MQTT"[..], b"MQIsdp"].contains(&name) => {
            &[Version::V5, Version::V3_1_1, Version::V3_1]
        }
        Some((_, 3)) => &[Version::V3_1],
        Some((_, 4)) => &[Version::V3_1_1],
        Some((_, 5)) => &[Version::V5],
        // Bytes whose level cannot be read leave the version open.
        _ => &[Version::V5, Version::V3_1_1],
    }
}

/// The Protocol Name and Version, if the bytes begin as a CONNECT does.
fn protocol_of_connect(bytes: &[u8]) -> Option<(&[u8], u8)> {
    let (first, rest) = bytes.split_first()?;
    if first >> 4 != 1 {
        return None;
    }
    let length = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (name_length, rest) = rest.get(length..)?.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*name_length).into())?;
    Some((name, *rest.first()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_is_refused_in_the_form_of_the_version_that_it_names() {
        let connect = |level| [0x10, 0x80, 0x01, 0, 4, b'M', b'Q', b'T', b'T', level, 2];
        assert_eq!(versions_of_refusals(&connect(2)), [Version::V5, Version::V3_1_1]);
        assert_eq!(versions_of_refusals(&connect(4)), [Version::V3_1_1]);
        assert_eq!(versions_of_refusals(&connect(5)), [Version::V5]);
        assert_eq!(versions_of_refusals(&connect(7)), [Version::V5, Version::V3_1_1]);
        assert_eq!(versions_of_refusals(&connect(4)[..9]), [Version::V5, Version::V3_1_1]);
        let other = [0x10, 0x0d, 0, 4, b'M', b'Q', b'T', b'X', 5, 2];
        assert_eq!(versions_of_refusals(&other), [Version::V5, Version::V3_1_1, Version::V3_1]);
    }
}
