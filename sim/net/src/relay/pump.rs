//! One relayed connection: reads at both ends, passes on at both ends, as the faults say.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use mqttspec_runtime::{Instant, Sleep};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::faults::{Cut, Direction, Faults};
use super::queue::{Item, Next, Queue};

/// Bytes asked of a stream at once.
const READ_BYTES: usize = 16 * 1024;

/// Relays between the end that dialled and the server's end until both have ended. Returns how the
/// connection must end. The caller, which has the streams, ends it.
pub(super) async fn relay<A, B>(client: &mut A, server: &mut B, faults: &Faults, opened: u64) -> Option<Cut>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let now = mqttspec_runtime::now();
    let mut pump = Pump {
        faults: faults.clone(),
        listener: faults.listener(),
        opened,
        blackholed: false,
        to_server: Queue::new(now),
        to_client: Queue::new(now),
        timer: mqttspec_runtime::sleep_until(now),
    };
    poll_fn(|context| pump.poll(client, server, context)).await
}

struct Pump {
    faults: Faults,
    listener: u64,
    /// The generation of the faults when the connection was opened, or of the cut that made it
    /// carry nothing any more.
    opened: u64,
    blackholed: bool,
    to_server: Queue,
    to_client: Queue,
    timer: Sleep,
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.faults.forget(self.listener);
    }
}

/// The result of one step of a direction.
enum Turn {
    /// Something moved.
    Moved,
    /// Nothing can, before this time if there is one.
    Still(Option<Instant>),
    /// The connection ends.
    End(Cut),
}

impl Pump {
    fn poll<A, B>(&mut self, client: &mut A, server: &mut B, context: &mut Context<'_>) -> Poll<Option<Cut>>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        self.faults.listen(self.listener, context);
        loop {
            match self.faults.cut_since(self.opened) {
                Some((generation, Cut::Blackhole)) => self.lose_everything(generation),
                Some((_, how)) => return Poll::Ready(Some(how)),
                None => {}
            }
            if self.blackholed {
                return Poll::Pending;
            }
            let turns = [
                turn(&mut self.to_server, client, server, &self.faults, Direction::ToServer, context),
                turn(&mut self.to_client, server, client, &self.faults, Direction::ToClient, context),
            ];
            let mut moved = false;
            let mut wake_at = None;
            for turn in turns {
                match turn {
                    Turn::End(Cut::Blackhole) => {
                        self.lose_everything(self.opened);
                        return Poll::Pending;
                    }
                    Turn::End(how) => return Poll::Ready(Some(how)),
                    Turn::Moved => moved = true,
                    Turn::Still(at) => wake_at = [wake_at, at].into_iter().flatten().min(),
                }
            }
            if self.to_server.sink_done && self.to_client.sink_done {
                return Poll::Ready(None);
            }
            if moved {
                continue;
            }
            let Some(wake_at) = wake_at else { return Poll::Pending };
            self.timer.reset(wake_at);
            if self.timer.poll_deadline(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Nothing is read or passed on any more; a later cut still ends the connection.
    fn lose_everything(&mut self, generation: u64) {
        self.opened = generation;
        self.blackholed = true;
    }
}

fn turn<R, W>(
    queue: &mut Queue,
    source: &mut R,
    sink: &mut W,
    faults: &Faults,
    direction: Direction,
    context: &mut Context<'_>,
) -> Turn
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let now = mqttspec_runtime::now();
    let taken = take_in(queue, source, faults, direction, now, context);
    let state = faults.of(direction);
    let planned = faults.planned(direction);
    if let Some((point, how)) = planned
        && queue.has_reached(point)
    {
        faults.carried_out();
        return Turn::End(how);
    }
    let still = |at| if taken { Turn::Moved } else { Turn::Still(at) };
    match queue.next(now, &state, planned.map(|(point, _)| point)) {
        Next::Nothing => still(None),
        Next::NotBefore(due) => still(Some(due)),
        Next::Reset => Turn::End(Cut::Reset),
        Next::End => match Pin::new(sink).poll_shutdown(context) {
            Poll::Pending => still(None),
            // An error means that the receiver has ended already.
            Poll::Ready(_) => {
                queue.sink_done = true;
                Turn::Moved
            }
        },
        Next::Bytes(bytes) => match Pin::new(&mut *sink).poll_write(context, &bytes) {
            Poll::Pending => still(None),
            Poll::Ready(Ok(written)) if written > 0 => {
                queue.pass(now, written, &state);
                // What cannot be flushed at once is flushed with the next bytes, or by the
                // transport itself.
                let _ = Pin::new(sink).poll_flush(context);
                Turn::Moved
            }
            // The receiver has ended. Reading from it returns how.
            Poll::Ready(_) => {
                queue.sink_done = true;
                Turn::Moved
            }
        },
    }
}

/// Reads once. True when something was read, be it an end.
fn take_in<R: AsyncRead + Unpin>(
    queue: &mut Queue,
    source: &mut R,
    faults: &Faults,
    direction: Direction,
    now: Instant,
    context: &mut Context<'_>,
) -> bool {
    if !queue.has_room() || faults.of(direction).stalled {
        return false;
    }
    let mut bytes = BytesMut::with_capacity(READ_BYTES);
    let item = match pin!(source.read_buf(&mut bytes)).poll(context) {
        Poll::Pending => return false,
        Poll::Ready(Ok(0)) => Item::End,
        Poll::Ready(Ok(_)) => Item::Bytes(bytes.freeze()),
        Poll::Ready(Err(_)) => Item::Reset,
    };
    queue.push(now, faults.draw_delay(direction), item);
    true
}
