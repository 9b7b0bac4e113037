//! Options: one list defines field, name, default and documentation.

mod value;

pub use value::{OptionValue, either};

/// Why an option could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No option has this name.
    #[error("there is no option `{name}`{}", suggestion(*nearest))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The option with the most similar name.
        nearest: Option<&'static str>,
    },
    /// The option does not take this value.
    #[error("invalid value `{value}` for `{name}`: expected {expected}")]
    Value {
        /// The option.
        name: &'static str,
        /// The value that was given.
        value: String,
        /// The values that the option takes, in words.
        expected: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// One option, for `--help` and for reference pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDescription {
    /// The name that `set` takes.
    pub name: &'static str,
    /// The default, in the form that `set` takes.
    pub default: String,
    /// The values that the option takes, in words.
    pub values: String,
    /// What the option does, with its unit and its section of the standard.
    pub description: String,
}

/// Defines a struct of options.
///
/// Each field is an option: its name, its type (an [`OptionValue`]), its default and its
/// documentation. The struct gets `Default`, `NAMES`, `set`, `get` and `descriptions`.
///
/// ```
/// mqttspec_core::options! {
///     /// The options of a pump.
///     #[derive(Debug)]
///     pub struct Options {
///         /// Strokes a minute.
///         strokes: u16 = 60;
///         /// How long the pump may run; none: without limit.
///         limit: Option<std::time::Duration> = None;
///     }
/// }
///
/// let mut options = Options::default();
/// options.set("limit", "5m")?;
/// assert_eq!(options.get("limit").as_deref(), Some("300s"));
/// assert_eq!(
///     options.set("stroke", "3").unwrap_err().to_string(),
///     "there is no option `stroke`; did you mean `strokes`?"
/// );
/// # Ok::<(), mqttspec_core::OptionError>(())
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$attribute:meta])*
        pub struct $options:ident {
            $($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+
        }
    ) => {
        $(#[$attribute])*
        pub struct $options { $($(#[doc = $doc])+ pub $name: $type,)+ }

        impl Default for $options {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl $options {
            /// The names that [`set`](Self::set) accepts.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Sets an option from its text form, as scenario files and the command line write it.
            ///
            /// # Errors
            /// If there is no such option, or it does not take the value; nothing is changed then.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), $crate::OptionError> {
                match name {
                    $(stringify!($name) => $crate::macros::assign(&mut self.$name, stringify!($name), value),)+
                    _ => Err($crate::macros::unknown(name, Self::NAMES)),
                }
            }

            /// The value of an option in the form that [`set`](Self::set) takes; `None` if there is
            /// no such option.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<String> {
                match name {
                    $(stringify!($name) => Some($crate::OptionValue::print(&self.$name)),)+
                    _ => None,
                }
            }

            /// Every option, in the order of the fields.
            #[must_use]
            pub fn descriptions() -> Vec<$crate::OptionDescription> {
                let defaults = Self::default();
                vec![$($crate::macros::describe(
                    stringify!($name),
                    &defaults.$name,
                    &[$($doc),+],
                ),)+]
            }
        }
    };
}

#[doc(hidden)]
pub fn assign<T: OptionValue>(option: &mut T, name: &'static str, text: &str) -> Result<(), OptionError> {
    let error = || OptionError::Value { name, value: text.to_owned(), expected: T::expected() };
    let value = T::parse(text).ok_or_else(error)?;
    option.assign(value);
    Ok(())
}

#[doc(hidden)]
#[must_use]
pub fn unknown(name: &str, names: &[&'static str]) -> OptionError {
    let scored = names.iter().map(|candidate| (strsim::osa_distance(name, candidate), *candidate));
    let nearest = scored.min().filter(|(score, _)| *score <= name.len().div_ceil(3));
    OptionError::Unknown { name: name.to_owned(), nearest: nearest.map(|(_, candidate)| candidate) }
}

#[doc(hidden)]
#[must_use]
pub fn describe<T: OptionValue>(name: &'static str, default: &T, lines: &[&str]) -> OptionDescription {
    let lines: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    OptionDescription { name, default: default.print(), values: T::expected(), description: lines.join(" ") }
}
