//! Limits of the driver: for peers without an accepted CONNECT, and for peers that do not read.
//! They are not options of the core, because the core has no buffers of bytes and no sockets.

use std::time::Duration;

use mqttspec_core::options;

options! {
    /// Limits for peers without an accepted CONNECT, and for peers that do not read. The time until
    /// CONNECT and the number of Clients are options of the core.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Limits {
        /// The largest number of Network Connections without an accepted CONNECT. When there are
        /// more, the oldest is closed.
        strangers: usize = 10_000;
        /// How long a packet may take from its first byte to its last, besides one second for each
        /// 16 KiB of it. A Client that takes longer is disconnected with Quota exceeded (0x97). 0
        /// means no limit.
        packet_timeout: Duration = Duration::from_secs(60);
        /// The largest number of bytes that are held for all peers: packets that are not complete
        /// or wait for the core, and packets to send. Above it, the Clients that hold most are
        /// disconnected with Quota exceeded (0x97). `memory_maximum` is for messages and Sessions.
        buffers_maximum: usize = 128 << 20;
        /// The largest number of Network Connections, including those in a handshake and those that
        /// are being closed. More are closed without a packet. Above `maximum_connections`, Clients
        /// get a CONNACK; this limit protects the machine, and should be larger.
        connections: usize = 1_000_000;
        /// The largest size of the first packet of a Client, in bytes. A larger one is refused with
        /// Packet too large (0x95). A CONNECT with all fields at their largest size has about
        /// 600 KiB.
        first_packet_bytes: u32 = 1 << 20;
        /// If more bytes than this wait to be sent to a Client, nothing more is read from it, QoS 0
        /// messages to it are dropped, and the others wait in its queue.
        outflow_high_bytes: usize = 1 << 20;
        /// If more bytes than this wait to be sent to a Client, its Network Connection is closed.
        outflow_max_bytes: usize = 128 << 20;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_limit() {
        for limit in Limits::descriptions() {
            let mut limits = Limits::default();
            limits.set(limit.name, &limit.default).unwrap();
            assert_eq!(limits, Limits::default(), "{}", limit.name);
        }
        let fault = Limits::default().set("connections", "many").unwrap_err();
        assert_eq!(fault.to_string(), "invalid value `many` for `connections`: expected a number from 0 on");
    }
}
