//! The choices that the standard leaves to a Server and that it does not announce to its Clients.

use mqttspec_core::Latitude;

use crate::options::Options;

impl Options {
    /// Options of which every value is conformant and changes what a Client sees. What CONNACK
    /// announces is left out: a Client adapts to it.
    pub const LATITUDE: &[Latitude] = &[
        Latitude { option: "granted_qos_maximum", values: &["2", "1", "0"], section: "3.9.3" },
        Latitude { option: "send_maximum", values: &["65535", "2", "1"], section: "4.9" },
        Latitude {
            option: "overlapping_subscriptions",
            values: &["one_copy", "copy_each"],
            section: "3.3.4",
        },
        Latitude {
            option: "report_no_matching_subscribers",
            values: &["0", "1"],
            section: "3.4.2.1, 3.5.2.1",
        },
        Latitude { option: "reason_strings", values: &["1", "0"], section: "3.2.2.3.9" },
        Latitude { option: "send_disconnect", values: &["1", "0"], section: "4.13" },
        Latitude { option: "topic_alias_use_maximum", values: &["16", "0", "1"], section: "3.3.2.3.4" },
        Latitude { option: "session_expiry_maximum", values: &["4294967295", "86400"], section: "3.2.2.3.2" },
        Latitude { option: "queue_qos_0", values: &["0", "1"], section: "4.1" },
        Latitude {
            option: "shared_choice",
            values: &["round_robin", "random", "least_loaded"],
            section: "4.8.2",
        },
        Latitude { option: "dollar_topics", values: &["refuse", "accept"], section: "4.7.2" },
        Latitude { option: "unauthorized_publish", values: &["refuse", "disconnect"], section: "3.3.4" },
        Latitude { option: "check_payload_format", values: &["0", "1"], section: "3.3.2.3.2" },
        Latitude { option: "parts", values: &["usual", "small"], section: "4.6" },
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
