//! How the value of an option is written: one spelling a type, read and printed.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use mqttspec_codec::{BinaryData, QoS, TopicName, Utf8String, Version};

use super::{Acknowledgement, Authentication, QueuePolicy, SessionLostPolicy};

/// A type that an option may have.
pub trait OptionValue {
    /// Takes the value that `text` spells.
    ///
    /// # Errors
    /// What it takes instead, as the end of a sentence.
    fn assign(&mut self, text: &str) -> Result<(), &'static str>;

    /// The spelling that [`assign`](Self::assign) takes.
    fn spell(&self) -> String;
}

macro_rules! number {
    ($($type:ty, $expected:literal;)+) => {$(
        impl OptionValue for $type {
            fn assign(&mut self, text: &str) -> Result<(), &'static str> {
                *self = text.parse().map_err(|_| $expected)?;
                Ok(())
            }

            fn spell(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

number! {
    u16, "a number from 0 to 65535";
    u32, "a number from 0 to 4294967295";
    usize, "a number";
    NonZeroU16, "a number from 1 to 65535";
    NonZeroU32, "a number from 1 to 4294967295";
}

macro_rules! choice {
    ($($type:ty: $($spelling:literal => $value:path),+; $expected:literal)+) => {$(
        impl OptionValue for $type {
            fn assign(&mut self, text: &str) -> Result<(), &'static str> {
                *self = match text {
                    $($spelling => $value,)+
                    _ => return Err($expected),
                };
                Ok(())
            }

            fn spell(&self) -> String {
                match self {
                    $($value => $spelling.to_owned(),)+
                }
            }
        }
    )+};
}

choice! {
    QoS: "0" => Self::AtMostOnce, "1" => Self::AtLeastOnce, "2" => Self::ExactlyOnce; "0, 1 or 2"
    QueuePolicy: "drop-oldest" => Self::DropOldest, "drop-newest" => Self::DropNewest, "refuse" => Self::Refuse;
        "drop-oldest, drop-newest or refuse"
    SessionLostPolicy: "republish-at-least-once" => Self::RepublishAtLeastOnce, "republish" => Self::Republish,
        "fail" => Self::Fail; "republish-at-least-once, republish or fail"
    Acknowledgement: "automatic" => Self::Automatic, "manual" => Self::Manual; "automatic or manual"
    Authentication: "none" => Self::None, "scram-sha-256" => Self::ScramSha256; "none or scram-sha-256"
}

impl OptionValue for Version {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        *self = match text {
            "3.1" => Self::V3_1,
            "3.1.1" => Self::V3_1_1,
            "5" | "5.0" => Self::V5,
            _ => return Err("3.1, 3.1.1 or 5.0"),
        };
        Ok(())
    }

    fn spell(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for bool {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        *self = match text {
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return Err("1, 0, true or false"),
        };
        Ok(())
    }

    fn spell(&self) -> String {
        u8::from(*self).to_string()
    }
}

/// A share of a whole.
impl OptionValue for f64 {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        const EXPECTED: &str = "a number above 0 and up to 1";
        let ratio: Self = text.parse().map_err(|_| EXPECTED)?;
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err(EXPECTED);
        }
        *self = ratio;
        Ok(())
    }

    fn spell(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for Duration {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        const EXPECTED: &str = "a duration such as 500ms, 30s, 5m or 1h";
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| EXPECTED)?;
        let seconds = |factor: u64| number.checked_mul(factor).map(Self::from_secs).ok_or(EXPECTED);
        *self = match &text[digits.len()..] {
            "ms" => Self::from_millis(number),
            "" | "s" => seconds(1)?,
            "m" => seconds(60)?,
            "h" => seconds(3600)?,
            _ => return Err(EXPECTED),
        };
        Ok(())
    }

    fn spell(&self) -> String {
        if self.subsec_nanos() == 0 {
            format!("{}s", self.as_secs())
        } else {
            format!("{}ms", self.as_millis())
        }
    }
}

impl OptionValue for String {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        text.clone_into(self);
        Ok(())
    }

    fn spell(&self) -> String {
        self.clone()
    }
}

impl OptionValue for Utf8String {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        *self = Self::try_from(text).map_err(|_| "at most 65535 bytes without U+0000")?;
        Ok(())
    }

    fn spell(&self) -> String {
        self.as_str().to_owned()
    }
}

impl OptionValue for BinaryData {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        *self = Self::try_from(text).map_err(|_| "at most 65535 bytes")?;
        Ok(())
    }

    fn spell(&self) -> String {
        String::from_utf8_lossy(self).into_owned()
    }
}

impl OptionValue for TopicName {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        *self = Self::try_from(text).map_err(|_| "a Topic Name")?;
        Ok(())
    }

    fn spell(&self) -> String {
        self.as_str().to_owned()
    }
}

/// Values that have something to start from when `none` was set before.
trait Blank: OptionValue {
    fn blank() -> Self;
}

macro_rules! blank {
    ($($type:ty = $value:expr;)+) => {$(
        impl Blank for $type {
            fn blank() -> Self {
                $value
            }
        }
    )+};
}

blank! {
    u16 = 0;
    u32 = 0;
    NonZeroU32 = Self::MIN;
    Duration = Self::ZERO;
    String = Self::new();
    Utf8String = Self::new();
    BinaryData = Self::new();
    TopicName = Self::from_static("a");
}

impl<T: Blank> OptionValue for Option<T> {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        *self = if text == "none" {
            None
        } else {
            let mut value = T::blank();
            value.assign(text)?;
            Some(value)
        };
        Ok(())
    }

    fn spell(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), OptionValue::spell)
    }
}

/// User Properties: each assignment adds one, an empty one takes all away.
impl OptionValue for Vec<(Utf8String, Utf8String)> {
    fn assign(&mut self, text: &str) -> Result<(), &'static str> {
        const EXPECTED: &str = "name=value";
        if text.is_empty() {
            self.clear();
            return Ok(());
        }
        let (name, value) = text.split_once('=').ok_or(EXPECTED)?;
        let pair = (Utf8String::try_from(name), Utf8String::try_from(value));
        let (Ok(name), Ok(value)) = pair else { return Err(EXPECTED) };
        self.push((name, value));
        Ok(())
    }

    fn spell(&self) -> String {
        self.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
    }
}
