//! What the driver grants to peers before the core knows them, and to those that do not read. Apart from the core's
//! options, because the core knows packets and no bytes, connections and no machine.

use mqttspec_broker::{OptionDescription, OptionError};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $values:literal;)+) => {
        /// What the driver grants to peers before the core knows them, and to those that do not read. The time that a
        /// peer may take to CONNECT and the number of Clients are the core's options.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits { $($(#[doc = $doc])+ pub $name: $type,)+ }

        impl Default for Limits {
            fn default() -> Limits {
                Limits { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// The names that [`Limits::set`] knows.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Sets one limit from its text form, as the core's options are set.
            ///
            /// # Errors
            /// [`OptionError::Unknown`] or [`OptionError::Value`]; nothing is changed then.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
                match name {
                    $(stringify!($name) => {
                        self.$name = value.parse().map_err(|_| OptionError::Value {
                            name: stringify!($name),
                            value: value.to_owned(),
                            expected: $values.to_owned(),
                        })?;
                    })+
                    _ => return Err(OptionError::Unknown { name: name.to_owned(), nearest: None }),
                }
                Ok(())
            }

            /// Every limit, in the order of this documentation.
            #[must_use]
            pub fn descriptions() -> Vec<OptionDescription> {
                let defaults = Limits::default();
                vec![$(OptionDescription {
                    name: stringify!($name),
                    default: defaults.$name.to_string(),
                    values: $values.to_owned(),
                    description: concat!($($doc, "\n"),+).lines().map(str::trim).collect::<Vec<_>>().join(" "),
                },)+]
            }
        }
    };
}

limits! {
    /// Network Connections at once, those in a handshake and those being closed among them; more are closed without a
    /// word. `maximum_connections` tells Clients why; this one protects the machine, and should be the larger.
    connections: usize = 1_000_000, "a number from 0 on";
    /// Bytes of the first packet, before anything is known of the Client; a larger one is answered Packet too large
    /// (0x95). A CONNECT with everything in it at its longest has about 600 KiB.
    first_packet_bytes: u32 = 1 << 20, "a number from 0 to 4294967295";
    /// Bytes to be sent to one Client above which it is not read any more, its QoS 0 messages are dropped and the
    /// others wait in its queue.
    outflow_high_bytes: usize = 1 << 20, "a number from 0 on";
    /// Bytes to be sent to one Client above which it is given up.
    outflow_max_bytes: usize = 128 << 20, "a number from 0 on";
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
        assert_eq!(fault.to_string(), "`many` is no value of `connections`: expected a number from 0 on");
    }
}
