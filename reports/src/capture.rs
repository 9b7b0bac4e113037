//! A run as a capture file (pcapng): the packets of its [`Trace`] inside Ethernet, IPv4 and TCP, so
//! that Wireshark shows and dissects them.
//!
//! The packets and times are those of the run; the frames around them are synthetic. The server is
//! 10.0.0.1:1883, the clients are 10.0.0.2 and so on in the order of the trace, and a client's nth
//! Network Connection uses port 40000 + n. Each connection has a TCP handshake, correct sequence
//! numbers and checksums, and the ending of the trace. Faults are comments on the frame that
//! follows them. Simulated times have no date, so they count from 1970.

use std::collections::BTreeMap;
use std::time::Duration;

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};
use mqttspec_judge::history::Ending;
use mqttspec_judge::trace::{Trace, TraceEvent, TraceKind};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::name_resolution::{Ipv4Record, NameResolutionBlock, Record};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};
use thiserror::Error;

use crate::diagram::Observer;

/// Why a run cannot be written as a capture file.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The library refused a block.
    #[error("cannot write the capture: {0}")]
    File(#[from] pcap_file::PcapError),
    /// The library refused a frame.
    #[error("cannot build a frame: {0}")]
    Frame(#[from] etherparse::err::packet::BuildWriteError),
    /// The trace has bytes that are not hex pairs.
    #[error("the event at {at_ns} ns has bytes that are not hex pairs: {hex}")]
    NotHex {
        /// When it happened.
        at_ns: u64,
        /// The text of the bytes.
        hex: String,
    },
    /// There are more hosts than the synthetic network has addresses.
    #[error("{hosts} hosts are more than the 250 for which a capture has addresses")]
    TooManyHosts {
        /// The number of hosts.
        hosts: usize,
    },
}

/// The largest TCP payload of an Ethernet frame of the usual size.
const SEGMENT: usize = 1460;
const MQTT: u16 = 1883;
const FIRST_PORT: u16 = 40_000;
const WINDOW: u16 = u16::MAX;

/// The capture file. `title` is its comment.
///
/// # Errors
/// [`CaptureError`] says which part of the trace cannot be written.
pub fn pcapng(trace: &Trace, observer: Observer, title: &str) -> Result<Vec<u8>, CaptureError> {
    if trace.hosts.len() > 250 {
        return Err(CaptureError::TooManyHosts { hosts: trace.hosts.len() });
    }
    let mut wire =
        Wire { trace, observer, streams: BTreeMap::new(), frames: Vec::new(), comments: Vec::new() };
    for event in &trace.events {
        wire.event(event)?;
    }
    wire.finish(title)
}

/// The sender of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

/// The TCP flag of a segment, besides ACK.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Syn,
    Push,
    Fin,
    Reset,
    None,
}

struct Frame {
    at_ns: u64,
    bytes: Vec<u8>,
    comments: Vec<String>,
}

/// The next sequence numbers of one Network Connection.
#[derive(Clone, Copy)]
struct Stream {
    client: u32,
    server: u32,
    /// The end that sent FIN.
    ended: Option<From>,
}

struct Wire<'a> {
    trace: &'a Trace,
    observer: Observer,
    streams: BTreeMap<(u8, u32), Stream>,
    frames: Vec<Frame>,
    /// Comments for the next frame.
    comments: Vec<String>,
}

impl Wire<'_> {
    fn event(&mut self, event: &TraceEvent) -> Result<(), CaptureError> {
        let key = (self.address(&event.host), event.connection);
        match event.kind {
            TraceKind::Opened => self.open(key, event.at_ns),
            TraceKind::ToServer => self.data(key, From::Client, event),
            TraceKind::ToClient => self.data(key, From::Server, event),
            TraceKind::Closed => self.close(key, event),
            TraceKind::FaultBegun
            | TraceKind::FaultEnded
            | TraceKind::Crashed
            | TraceKind::Started
            | TraceKind::Asked
            | TraceKind::Told
            | TraceKind::Note => {
                self.comments.push(format!("{}  {}", crate::seconds(event.at_ns, 6), event.line_text()));
                Ok(())
            }
        }
    }

    /// The last byte of a host's address: 1 for the server, which is first in a trace.
    fn address(&self, host: &str) -> u8 {
        let place = self.trace.hosts.iter().position(|name| name == host).unwrap_or(0);
        u8::try_from(place + 1).unwrap_or(u8::MAX)
    }

    fn open(&mut self, key: (u8, u32), at_ns: u64) -> Result<(), CaptureError> {
        self.streams.insert(key, Stream { client: 0, server: 0, ended: None });
        self.segment(key, From::Client, Flag::Syn, &[], at_ns)?;
        self.segment(key, From::Server, Flag::Syn, &[], at_ns)?;
        self.segment(key, From::Client, Flag::None, &[], at_ns)
    }

    fn data(&mut self, key: (u8, u32), from: From, event: &TraceEvent) -> Result<(), CaptureError> {
        let bytes = unhex(&event.hex)
            .ok_or_else(|| CaptureError::NotHex { at_ns: event.at_ns, hex: event.hex.clone() })?;
        // A long trace lacks its beginning, and so the events that opened its connections.
        if !self.streams.contains_key(&key) {
            self.open(key, event.at_ns)?;
        }
        for part in bytes.chunks(SEGMENT) {
            self.segment(key, from, Flag::Push, part, event.at_ns)?;
        }
        Ok(())
    }

    fn close(&mut self, key: (u8, u32), event: &TraceEvent) -> Result<(), CaptureError> {
        let (observer, peer) = match self.observer {
            Observer::Client => (From::Client, From::Server),
            Observer::Server => (From::Server, From::Client),
        };
        let Some(stream) = self.streams.get(&key).copied() else {
            if event.ending != Some(Ending::Refused) {
                return Ok(());
            }
            self.streams.insert(key, Stream { client: 0, server: 0, ended: None });
            self.segment(key, From::Client, Flag::Syn, &[], event.at_ns)?;
            return self.segment(key, From::Server, Flag::Reset, &[], event.at_ns);
        };
        let at_ns = event.at_ns;
        match event.ending {
            Some(ending @ (Ending::ByPeer | Ending::ByObserver)) => {
                let first = if ending == Ending::ByPeer { peer } else { observer };
                let second = if first == From::Client { From::Server } else { From::Client };
                if stream.ended != Some(first) {
                    self.segment(key, first, Flag::Fin, &[], at_ns)?;
                }
                self.segment(key, second, Flag::Fin, &[], at_ns)?;
                self.segment(key, first, Flag::None, &[], at_ns)?;
            }
            Some(Ending::Reset) => self.segment(key, peer, Flag::Reset, &[], at_ns)?,
            // An end that times out or crashes sends nothing.
            Some(Ending::TimedOut | Ending::Refused | Ending::Crashed) | None => {
                self.comments.push(format!("{}  {} {}", crate::seconds(at_ns, 6), event.host, event.text));
            }
        }
        Ok(())
    }

    fn segment(
        &mut self,
        key: (u8, u32),
        from: From,
        flag: Flag,
        payload: &[u8],
        at_ns: u64,
    ) -> Result<(), CaptureError> {
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(()) };
        let port = FIRST_PORT.wrapping_add(u16::try_from(key.1 % 25_000).unwrap_or(0));
        let (source, target) = if from == From::Client { (key.0, 1) } else { (1, key.0) };
        let (ports, numbers) = match from {
            From::Client => ((port, MQTT), (stream.client, stream.server)),
            From::Server => ((MQTT, port), (stream.server, stream.client)),
        };
        let step = PacketBuilder::ethernet2(hardware(source), hardware(target))
            .ipv4([10, 0, 0, source], [10, 0, 0, target], 64)
            .tcp(ports.0, ports.1, numbers.0, WINDOW);
        // The first SYN of a connection has nothing to acknowledge.
        let step = if flag == Flag::Syn && from == From::Client { step } else { step.ack(numbers.1) };
        let step = flagged(step, flag);
        let mut bytes = Vec::with_capacity(step.size(payload.len()));
        step.write(&mut bytes, payload)?;
        let taken =
            u32::try_from(payload.len()).unwrap_or(0) + u32::from(matches!(flag, Flag::Syn | Flag::Fin));
        let next = if from == From::Client { &mut stream.client } else { &mut stream.server };
        *next = next.wrapping_add(taken);
        if flag == Flag::Fin {
            stream.ended = Some(from);
        }
        self.frames.push(Frame { at_ns, bytes, comments: std::mem::take(&mut self.comments) });
        Ok(())
    }

    fn finish(mut self, title: &str) -> Result<Vec<u8>, CaptureError> {
        if let Some(last) = self.frames.last_mut() {
            last.comments.append(&mut self.comments);
        }
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![
                SectionHeaderOption::Comment(title.to_owned().into()),
                SectionHeaderOption::UserApplication("mqttspec".into()),
            ],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section)?;
        let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
        // Times in units of 10⁻⁹ s.
        interface.options.push(InterfaceDescriptionOption::IfTsResol(9));
        writer.write_pcapng_block(interface)?;
        let records = self.trace.hosts.iter().map(|host| {
            let address = vec![10, 0, 0, self.address(host)];
            Record::Ipv4(Ipv4Record { ip_addr: address.into(), names: vec![host.clone().into()] })
        });
        writer.write_pcapng_block(NameResolutionBlock { records: records.collect(), options: Vec::new() })?;
        for frame in self.frames {
            let comments = frame.comments.into_iter();
            writer.write_pcapng_block(EnhancedPacketBlock {
                interface_id: 0,
                timestamp: Duration::from_nanos(frame.at_ns),
                original_len: u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX),
                data: frame.bytes.into(),
                options: comments.map(|comment| EnhancedPacketOption::Comment(comment.into())).collect(),
            })?;
        }
        Ok(writer.into_inner())
    }
}

fn flagged(step: PacketBuilderStep<TcpHeader>, flag: Flag) -> PacketBuilderStep<TcpHeader> {
    match flag {
        Flag::Syn => step.syn(),
        Flag::Push => step.psh(),
        Flag::Fin => step.fin(),
        Flag::Reset => step.rst(),
        Flag::None => step,
    }
}

/// A locally administered hardware address.
const fn hardware(host: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, host]
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    digits.chunks(2).map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()).collect()
}

#[cfg(test)]
mod tests;
