//! The types that an option may have, each with its text form.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use mqttspec_codec::{BinaryData, QoS, TopicName, Utf8String, Version};

/// A type that an option may have.
pub trait OptionValue: Sized {
    /// Parses the text; `None` if it is not a value of this type.
    fn parse(text: &str) -> Option<Self>;

    /// The value as text, for display. Most texts can be parsed again; not so several User
    /// Properties, binary data that is not UTF-8, and fractions of a millisecond.
    fn print(&self) -> String;

    /// The usual texts of a value, for an error message.
    fn expected() -> String;

    /// Takes a value that was given. It replaces the present one, unless values of this type add
    /// up.
    fn assign(&mut self, given: Self) {
        *self = given;
    }
}

macro_rules! numbers {
    ($($type:ty: $expected:literal),+ $(,)?) => {
        $(impl OptionValue for $type {
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn print(&self) -> String {
                self.to_string()
            }

            fn expected() -> String {
                $expected.to_owned()
            }
        })+
    };
}

numbers! {
    u16: "a number from 0 to 65535",
    NonZeroU16: "a number from 1 to 65535",
    u32: "a number from 0 to 4294967295",
    NonZeroU32: "a number from 1 to 4294967295",
    u64: "a number from 0 on",
    usize: "a number from 0 on",
}

/// Every `f64` option is a fraction above 0 and up to 1.
impl OptionValue for f64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0)
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "a number above 0 and up to 1".to_owned()
    }
}

impl OptionValue for bool {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "true or false (1 or 0)".to_owned()
    }
}

impl OptionValue for Duration {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        match unit {
            "ms" => Some(Self::from_millis(number)),
            "" | "s" => Some(Self::from_secs(number)),
            "m" | "min" => number.checked_mul(60).map(Self::from_secs),
            "h" => number.checked_mul(3600).map(Self::from_secs),
            _ => None,
        }
    }

    fn print(&self) -> String {
        if self.subsec_millis() == 0 {
            format!("{}s", self.as_secs())
        } else {
            format!("{}ms", self.as_millis())
        }
    }

    fn expected() -> String {
        "a duration such as 500ms, 10s, 5m or 1h (in seconds if it has no unit)".to_owned()
    }
}

/// `none`, or a value.
impl<T: OptionValue> OptionValue for Option<T> {
    fn parse(text: &str) -> Option<Self> {
        if text == "none" { Some(None) } else { T::parse(text).map(Some) }
    }

    fn print(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::print)
    }

    fn expected() -> String {
        format!("{}, or none", T::expected())
    }
}

impl OptionValue for String {
    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }

    fn expected() -> String {
        "text".to_owned()
    }
}

impl OptionValue for Utf8String {
    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text).ok()
    }

    fn print(&self) -> String {
        self.as_str().to_owned()
    }

    fn expected() -> String {
        "text of at most 65535 bytes".to_owned()
    }
}

/// Only data that is text can be written as an option.
impl OptionValue for BinaryData {
    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text).ok()
    }

    fn print(&self) -> String {
        String::from_utf8_lossy(self).into_owned()
    }

    fn expected() -> String {
        "text of at most 65535 bytes".to_owned()
    }
}

impl OptionValue for TopicName {
    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text).ok()
    }

    fn print(&self) -> String {
        self.as_str().to_owned()
    }

    fn expected() -> String {
        "a Topic Name".to_owned()
    }
}

impl OptionValue for QoS {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().and_then(|level: u8| Self::try_from(level).ok())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "0, 1 or 2".to_owned()
    }
}

impl OptionValue for Version {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "3.1" | "3" => Some(Self::V3_1),
            "3.1.1" | "4" => Some(Self::V3_1_1),
            "5.0" | "5" => Some(Self::V5),
            _ => None,
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "3.1, 3.1.1 or 5.0".to_owned()
    }
}

/// User Properties, each as `name=value`. Each one that is given is added; an empty text removes
/// all.
impl OptionValue for Vec<(Utf8String, Utf8String)> {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::new());
        }
        let (name, value) = text.split_once('=')?;
        Some(vec![(Utf8String::try_from(name).ok()?, Utf8String::try_from(value).ok()?)])
    }

    fn print(&self) -> String {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    }

    fn expected() -> String {
        "name=value".to_owned()
    }

    fn assign(&mut self, given: Self) {
        if given.is_empty() {
            self.clear();
        }
        self.extend(given);
    }
}

/// Defines enums that can be the value of an option, with one word for each variant.
#[macro_export]
macro_rules! choices {
    ($(
        $(#[doc = $doc:literal])+
        $type:ident { $($(#[doc = $choice_doc:literal])+ $variant:ident = $word:literal),+ $(,)? }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[doc = $choice_doc])+ $variant),+ }

        impl $crate::OptionValue for $type {
            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn print(&self) -> String {
                match self {
                    $(Self::$variant => $word.to_owned(),)+
                }
            }

            fn expected() -> String {
                $crate::macros::either(&[$($word),+])
            }
        }
    )+};
}

#[doc(hidden)]
#[must_use]
pub fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: OptionValue>(text: &str) -> Option<String> {
        T::parse(text).map(|value| value.print())
    }

    #[test]
    fn durations_have_units() {
        for (text, printed) in [
            ("250ms", "250ms"),
            ("30", "30s"),
            ("30s", "30s"),
            ("5m", "300s"),
            ("2min", "120s"),
            ("1h", "3600s"),
        ] {
            assert_eq!(reads::<Duration>(text).as_deref(), Some(printed));
        }
        for text in ["", "ms", "5d", "-1s", "1.5s", "18446744073709551615h"] {
            assert_eq!(reads::<Duration>(text), None, "{text}");
        }
    }

    #[test]
    fn none_is_a_value_of_what_may_be_absent() {
        assert_eq!(reads::<Option<u16>>("none").as_deref(), Some("none"));
        assert_eq!(reads::<Option<u16>>("5").as_deref(), Some("5"));
        assert_eq!(reads::<u16>("none"), None);
        assert_eq!(Option::<u16>::expected(), "a number from 0 to 65535, or none");
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        assert_eq!(reads::<NonZeroU16>("0"), None);
        assert_eq!(reads::<u16>("65536"), None);
        assert_eq!(reads::<f64>("0"), None);
        assert_eq!(reads::<f64>("1.01"), None);
        assert_eq!(reads::<f64>("0.5").as_deref(), Some("0.5"));
        assert_eq!(reads::<QoS>("3"), None);
        assert_eq!(reads::<TopicName>("a/#"), None);
        assert_eq!(reads::<Version>("4").as_deref(), Some("3.1.1"));
        assert_eq!(reads::<Version>("6"), None);
    }

    #[test]
    fn user_properties_add_up_until_they_are_cleared() {
        let mut pairs = Vec::new();
        for text in ["site=north", "room=2=b"] {
            pairs.assign(OptionValue::parse(text).unwrap());
        }
        assert_eq!(pairs.print(), "site=north,room=2=b");
        pairs.assign(OptionValue::parse("").unwrap());
        assert_eq!(pairs, []);
        assert_eq!(reads::<Vec<(Utf8String, Utf8String)>>("no equals sign"), None);
    }

    #[test]
    fn words_are_listed_as_a_sentence_has_them() {
        assert_eq!(either(&["a"]), "`a`");
        assert_eq!(either(&["a", "b"]), "`a` or `b`");
        assert_eq!(either(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
