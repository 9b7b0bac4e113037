//! What the driver grants to peers before the core knows them, and to those that do not read. Apart
//! from the core's options, because the core knows packets and no bytes, connections and no
//! machine.

use std::time::Duration;

use mqttspec_core::options;

options! {
    /// What the driver grants to peers before the core knows them, and to those that do not read.
    /// The time that a peer may take to CONNECT and the number of Clients are the core's options.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Limits {
        /// Network Connections without an accepted CONNECT. When there are more, the one that has
        /// been there longest is closed, so that others get their turn.
        strangers: usize = 10_000;
        /// How long a packet may take from its first byte to its last, besides one second for each
        /// 16 KiB of it. A Client that takes longer is disconnected with Quota exceeded (0x97). 0
        /// means no limit.
        packet_timeout: Duration = Duration::from_secs(60);
        /// Bytes that are held for all peers: packets that are not complete or wait for the core,
        /// and what is to be sent. Above it, those that hold most are disconnected with Quota
        /// exceeded (0x97) until it is enough. `memory_maximum` is for messages and Sessions.
        buffers_maximum: usize = 128 << 20;
        /// Network Connections at once, those in a handshake and those being closed among them;
        /// more are closed without a word. `maximum_connections` tells Clients why; this one
        /// protects the machine, and should be the larger.
        connections: usize = 1_000_000;
        /// Bytes of the first packet, before anything is known of the Client; a larger one is
        /// answered Packet too large (0x95). A CONNECT with everything in it at its longest has
        /// about 600 KiB.
        first_packet_bytes: u32 = 1 << 20;
        /// Bytes to be sent to one Client above which it is not read any more, its QoS 0 messages
        /// are dropped and the others wait in its queue.
        outflow_high_bytes: usize = 1 << 20;
        /// Bytes to be sent to one Client above which it is given up.
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
