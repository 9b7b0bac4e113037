//! The choices that the standard leaves to a Client and that it does not announce to the Server.

use mqttspec_core::Latitude;

use crate::options::Options;

impl Options {
    /// Options of which every value is conformant and changes what a Server sees. What CONNECT
    /// announces is left out: a Server adapts to it.
    pub const LATITUDE: &[Latitude] = &[
        Latitude { option: "heartbeat_ratio", values: &["0.5", "0.25", "0.9"], section: "3.1.2.10" },
        Latitude { option: "send_maximum", values: &["65535", "2", "1"], section: "4.9" },
        Latitude { option: "topic_aliases", values: &["0", "1"], section: "3.3.2.3.4" },
        Latitude { option: "queue_qos0", values: &["1", "0"], section: "4.1" },
        Latitude {
            option: "session_lost",
            values: &["republish-at-least-once", "republish"],
            section: "3.2.2.1.1",
        },
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_one_of_its_option_and_the_first_is_the_default() {
        for latitude in Options::LATITUDE {
            for value in latitude.values {
                let mut options = Options::default();
                options.set(latitude.option, value).unwrap_or_else(|fault| panic!("{fault}"));
                let is_default = options == Options::default();
                assert_eq!(is_default, *value == latitude.values[0], "{}={value}", latitude.option);
            }
        }
    }
}
