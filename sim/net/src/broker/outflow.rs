//! The bytes to send to one Client, and the number of bytes that are held for all Clients.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Buf as _, Bytes, BytesMut};

/// The buffer of an outflow that was larger than this is freed once everything is sent, so that an
/// idle connection holds no buffer.
const KEPT_BYTES: usize = 4 * 1024;

/// Bytes that the driver holds for all peers: packets that are not complete or wait for the core,
/// and what is to be sent. Clones share the sum.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    sum: Rc<Cell<usize>>,
    maximum: usize,
}

impl Memory {
    pub(super) fn new(maximum: usize) -> Memory {
        Memory { sum: Rc::default(), maximum }
    }

    /// Bytes above the maximum.
    pub(super) fn excess(&self) -> usize {
        self.sum.get().saturating_sub(self.maximum)
    }

    pub(super) fn charge(&self, bytes: usize) -> Charge {
        self.sum.set(self.sum.get() + bytes);
        Charge { memory: self.clone(), bytes: Cell::new(bytes) }
    }
}

/// A part of the sum, for as long as its owner lives.
#[derive(Debug)]
pub(super) struct Charge {
    memory: Memory,
    bytes: Cell<usize>,
}

impl Charge {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Whether the sum is above the maximum.
    pub(super) fn is_too_much(&self) -> bool {
        self.memory.excess() > 0
    }

    pub(super) fn set(&self, bytes: usize) {
        let sum = &self.memory.sum;
        sum.set(sum.get() - self.bytes.get() + bytes);
        self.bytes.set(bytes);
    }

    fn add(&self, bytes: usize) {
        let sum = &self.memory.sum;
        sum.set(sum.get() + bytes);
        self.bytes.set(self.bytes.get() + bytes);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.set(self.bytes.get().saturating_sub(bytes));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A payload that is sent to several Clients without a copy for each.
#[derive(Clone, Debug)]
pub(super) struct SharedPayload {
    pub(super) bytes: Bytes,
    _charge: Rc<Charge>,
}

impl SharedPayload {
    pub(super) fn new(bytes: Bytes, memory: &Memory) -> SharedPayload {
        let charge = Rc::new(memory.charge(bytes.len()));
        SharedPayload { bytes, _charge: charge }
    }

    /// Whether it is the same memory, so that it is counted once.
    pub(super) fn is(&self, bytes: &Bytes) -> bool {
        self.bytes.as_ptr() == bytes.as_ptr() && self.bytes.len() == bytes.len()
    }
}

/// Bytes to send, in order: first those in `before`, then the tail.
#[derive(Debug)]
pub(super) struct Outflow {
    before: VecDeque<Segment>,
    tail: BytesMut,
    bytes: usize,
    /// Of the bytes that are not in a shared payload.
    own: Charge,
}

#[derive(Debug)]
enum Segment {
    Own(Bytes),
    Shared(SharedPayload),
}

impl Segment {
    fn bytes(&mut self) -> &mut Bytes {
        match self {
            Segment::Own(bytes) => bytes,
            Segment::Shared(payload) => &mut payload.bytes,
        }
    }
}

impl Outflow {
    pub(super) fn new(memory: &Memory) -> Outflow {
        Outflow { before: VecDeque::new(), tail: BytesMut::new(), bytes: 0, own: memory.charge(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends what `encode` appends to a buffer. Returns its result and the bytes.
    pub(super) fn append<E>(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<&[u8], E> {
        let before = self.tail.len();
        let result = encode(&mut self.tail);
        let added = self.tail.len() - before;
        self.bytes += added;
        self.own.add(added);
        result.map(|()| &self.tail[before..])
    }

    pub(super) fn append_shared(&mut self, payload: SharedPayload) {
        if !self.tail.is_empty() {
            self.before.push_back(Segment::Own(self.tail.split().freeze()));
        }
        self.bytes += payload.bytes.len();
        self.before.push_back(Segment::Shared(payload));
    }

    /// The next bytes to send; empty if there are none.
    pub(super) fn next(&mut self) -> &[u8] {
        match self.before.front_mut() {
            Some(segment) => segment.bytes(),
            None => &self.tail,
        }
    }

    /// The first bytes were sent.
    pub(super) fn advance(&mut self, sent: usize) {
        self.bytes -= sent;
        let is_shared = matches!(self.before.front(), Some(Segment::Shared(_)));
        if !is_shared {
            self.own.sub(sent);
        }
        match self.before.front_mut() {
            Some(segment) => {
                segment.bytes().advance(sent);
                if segment.bytes().is_empty() {
                    self.before.pop_front();
                }
            }
            None => self.tail.advance(sent),
        }
    }

    /// Gives a large buffer back when all is sent.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.tail.capacity() > KEPT_BYTES {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_order_and_a_shared_payload_counts_once() {
        let memory = Memory::new(100);
        let payload = SharedPayload::new(Bytes::from(vec![7; 1000]), &memory);
        let mut outflows = [Outflow::new(&memory), Outflow::new(&memory)];
        for outflow in &mut outflows {
            let put = |text: &'static [u8]| {
                move |out: &mut BytesMut| -> Result<(), ()> {
                    out.extend_from_slice(text);
                    Ok(())
                }
            };
            assert_eq!(outflow.append(put(b"head")), Ok(&b"head"[..]));
            outflow.append_shared(payload.clone());
            assert_eq!(outflow.append(put(b"tail")), Ok(&b"tail"[..]));
            assert_eq!(outflow.len(), 1008);
        }
        drop(payload);
        assert_eq!(memory.excess(), 1000 + 2 * 8 - 100);
        for outflow in &mut outflows {
            let mut sent = Vec::new();
            while !outflow.is_empty() {
                let next = outflow.next();
                let some = &next[..next.len().min(300)];
                sent.extend_from_slice(some);
                let length = some.len();
                outflow.advance(length);
            }
            assert_eq!(sent, [b"head".to_vec(), vec![7; 1000], b"tail".to_vec()].concat());
        }
        assert_eq!(memory.sum.get(), 0);
    }
}
