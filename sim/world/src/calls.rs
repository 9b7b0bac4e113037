//! The socket calls of applications.

use crate::connection::{EndKey, Gone, Key};
use crate::history::{EventKind, HostId};
use crate::machine::{Listening, NOBODY, address_of, host_at};
use crate::network::{Due, Network, UnderWay};
use crate::segment::Segment;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::io::ReadBuf;

impl Network {
    /// Starts a connection request.
    pub(crate) fn connect(&mut self, now: Duration, host: u16, target: SocketAddr) -> io::Result<EndKey> {
        let is_loopback = target.ip().is_loopback();
        let own = if is_loopback { Ipv4Addr::LOCALHOST } else { address_of(host) };
        let to = match target.ip() {
            _ if is_loopback => host,
            IpAddr::V4(_) => host_at(target.ip(), self.machines.len()),
            IpAddr::V6(_) => return Err(ErrorKind::NetworkUnreachable.into()),
        };
        let port = self.take_port(now, host)?;
        let asking = SocketAddr::new(IpAddr::V4(own), port);
        let key = self.connections.open((host, asking), (to, target));
        if let Some(machine) = self.machines.get_mut(usize::from(host)) {
            machine.asked_from.insert(port, key);
        }
        let end = EndKey { key, side: 0 };
        let asked = Some(to).filter(|&to| to != NOBODY).map(HostId);
        self.record_end(now, end, EventKind::ConnectionOpening { to: asked, port: target.port() }, &[]);
        if asked.is_some() && host != to && self.links.get(host, to).refusing {
            self.refuse_on_the_way(now, key, host, to);
        }
        self.list(end);
        Ok(end)
    }

    /// A device between the two hosts refuses the connection in place of the destination.
    fn refuse_on_the_way(&mut self, now: Duration, key: Key, host: u16, to: u16) {
        if let Some(connection) = self.connections.get(key) {
            connection.refused = true;
        }
        let there = self.links.get(host, to).draw_latency(&mut self.timing);
        let back = self.links.get(to, host).draw_latency(&mut self.timing);
        let from = EndKey { key, side: 1 };
        let answer = UnderWay { from, segment: Segment::reset(), order: 0, sent: now, leaves: now };
        self.plan(now + there + back, Due::Arrival(answer));
    }

    fn take_port(&mut self, now: Duration, host: u16) -> io::Result<u16> {
        let Some(machine) = self.machines.get_mut(usize::from(host)) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let connections = &mut self.connections;
        let is_free =
            |key: Key| connections.end(EndKey { key, side: 0 }).is_none_or(|end| end.gone().is_some());
        let port = machine.take_port(is_free).ok_or(ErrorKind::AddrInUse)?;
        // Reset an earlier connection from this port that the other end still considers open.
        if let Some(stale) = machine.asked_from.remove(&port) {
            self.reset_connections(now, &[stale]);
        }
        Ok(port)
    }

    /// Polls for the result of a connection request.
    pub(crate) fn poll_connect(&mut self, end: EndKey, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(asking) = self.connections.end(end).filter(|asking| asking.socket.attached) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        if asking.established {
            return Poll::Ready(Ok(()));
        }
        match asking.gone() {
            None => {
                park(&mut asking.socket.reader, waker);
                Poll::Pending
            }
            Some(Gone::TimedOut) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Some(Gone::Reset | Gone::Closed) => Poll::Ready(Err(ErrorKind::ConnectionRefused.into())),
        }
    }

    /// A process no longer waits for its connection: the request is not retried.
    pub(crate) fn withdraw(&mut self, now: Duration, end: EndKey) {
        let Some(connection) = self.connections.get(end.key) else { return };
        let [asking, asked] = &mut connection.ends;
        if asking.established || asking.is_gone() {
            self.close(now, end);
            return;
        }
        let never_left = !asking.waiting.is_empty() || asking.socket.opens.is_some();
        asking.give_up(Gone::Reset);
        asking.socket.detach();
        if never_left {
            asked.give_up(Gone::Reset);
        }
        self.settle(end.key);
    }

    /// Listens on a port of a host. Returns the port and the number of the listener.
    pub(crate) fn listen(&mut self, host: u16, port: u16) -> io::Result<(u16, u64)> {
        let connections = &mut self.connections;
        let Some(machine) = self.machines.get_mut(usize::from(host)) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let port = if port == 0 {
            let is_free = |key: Key| connections.get(key).is_none();
            machine.take_port(is_free).ok_or(ErrorKind::AddrInUse)?
        } else {
            port
        };
        if machine.listening.contains_key(&port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.listeners += 1;
        machine.listening.insert(port, Listening { number: self.listeners, ..Listening::default() });
        Ok((port, self.listeners))
    }

    /// Polls for the next established connection on a port.
    pub(crate) fn poll_accept(
        &mut self,
        host: u16,
        port: u16,
        number: u64,
        waker: &Waker,
    ) -> Poll<io::Result<EndKey>> {
        let listening =
            self.machines.get_mut(usize::from(host)).and_then(|machine| machine.listening.get_mut(&port));
        let Some(listening) = listening.filter(|listening| listening.number == number) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        if let Some(key) = listening.ready.pop_front() {
            return Poll::Ready(Ok(EndKey { key, side: 1 }));
        }
        if !listening.wakers.iter().any(|known| known.will_wake(waker)) {
            listening.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// The addresses of an end and of its peer.
    pub(crate) fn addresses(&mut self, end: EndKey) -> Option<(SocketAddr, SocketAddr)> {
        let own = self.connections.end(end)?.address;
        Some((own, self.connections.end(end.other())?.address))
    }

    pub(crate) fn poll_read(
        &mut self,
        end: EndKey,
        waker: &Waker,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(reading) = self.connections.end(end).filter(|reading| reading.socket.attached) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let host = usize::from(reading.host);
        if let Some(machine) = self.machines.get_mut(host).filter(|machine| machine.stalled) {
            if !machine.stalled_readers.iter().any(|known| known.will_wake(waker)) {
                machine.stalled_readers.push(waker.clone());
            }
            return Poll::Pending;
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Bytes that arrived before a reset can still be read, as on Linux.
        if reading.socket.read(buffer) > 0 {
            self.list(end);
            return Poll::Ready(Ok(()));
        }
        if reading.socket.peer_finished() {
            return Poll::Ready(Ok(()));
        }
        match reading.gone() {
            None => {
                park(&mut reading.socket.reader, waker);
                Poll::Pending
            }
            Some(why) => Poll::Ready(Err(kind_of(why).into())),
        }
    }

    pub(crate) fn poll_write(&mut self, end: EndKey, waker: &Waker, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(writing) = self.connections.end(end).filter(|writing| writing.socket.attached) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        if let Some(why) = writing.gone() {
            return Poll::Ready(Err(kind_of(why).into()));
        }
        if writing.socket.is_finishing() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let taken = writing.socket.write(bytes);
        if taken == 0 && !bytes.is_empty() {
            park(&mut writing.socket.writer, waker);
            return Poll::Pending;
        }
        self.list(end);
        Poll::Ready(Ok(taken))
    }

    /// Closes this end's sending direction.
    pub(crate) fn shutdown(&mut self, end: EndKey) -> io::Result<()> {
        let Some(ending) = self.connections.end(end).filter(|ending| ending.socket.attached) else {
            return Err(ErrorKind::NotConnected.into());
        };
        match ending.gone() {
            Some(why @ (Gone::Reset | Gone::TimedOut)) => Err(kind_of(why).into()),
            Some(Gone::Closed) => Ok(()),
            None => {
                ending.socket.finish();
                self.list(end);
                Ok(())
            }
        }
    }

    /// A process aborts its connection with a reset to its peer.
    pub(crate) fn abort(&mut self, now: Duration, end: EndKey) {
        let Some(aborting) = self.connections.end(end).filter(|aborting| aborting.socket.attached) else {
            return;
        };
        let is_open = !aborting.is_gone();
        aborting.socket.detach();
        if is_open {
            self.answer_with_reset(now, end);
        }
        self.settle(end.key);
    }

    /// A process ends: its machine closes its sockets.
    pub(crate) fn close_all(&mut self, now: Duration, host: u16) {
        let ports: Vec<(u16, u64)> = match self.machines.get(usize::from(host)) {
            Some(machine) => machine.listening.iter().map(|(&port, l)| (port, l.number)).collect(),
            None => return,
        };
        for (port, number) in ports {
            self.stop_listening(now, host, port, number);
        }
        for key in self.connections.of_host(host) {
            for side in 0..2 {
                let end = EndKey { key, side };
                let Some(closing) = self.connections.end(end).filter(|closing| closing.host == host) else {
                    continue;
                };
                if side == 0 && !closing.established {
                    self.withdraw(now, end);
                } else {
                    self.close(now, end);
                }
            }
        }
    }
}

fn kind_of(why: Gone) -> ErrorKind {
    match why {
        Gone::Reset => ErrorKind::ConnectionReset,
        Gone::TimedOut => ErrorKind::TimedOut,
        Gone::Closed => ErrorKind::BrokenPipe,
    }
}

fn park(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(known) => known.clone_from(waker),
        None => *place = Some(waker.clone()),
    }
}
