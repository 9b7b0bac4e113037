//! Options by name and text, as a core defines and a caller sets them.

use mqttspec_core::{OptionDescription, OptionError};

mqttspec_core::choices! {
    /// How it is done.
    Manner {
        /// At once.
        Now = "now",
        /// With the next one.
        WithNext = "with_next",
    }
}

mqttspec_core::options! {
    /// Options of a test.
    #[derive(Debug, PartialEq)]
    pub struct Options {
        /// A number
        /// in two lines.
        receive_maximum: std::num::NonZeroU16 = std::num::NonZeroU16::MAX;
        /// A choice.
        manner: Manner = Manner::Now;
        /// A switch.
        lazy: bool = false;
    }
}

#[test]
fn options_are_set_and_read_by_name() {
    let mut options = Options::default();
    assert_eq!(Options::NAMES, ["receive_maximum", "manner", "lazy"]);
    options.set("receive_maximum", "7").unwrap();
    options.set("manner", "with_next").unwrap();
    options.set("lazy", "on").unwrap();
    let [number, manner, lazy] = ["receive_maximum", "manner", "lazy"].map(|name| options.get(name).unwrap());
    assert_eq!((number.as_str(), manner.as_str(), lazy.as_str()), ("7", "with_next", "true"));
    assert_eq!(options.get("none such"), None);
}

#[test]
fn misspelt_names_and_wrong_values_change_nothing() {
    let mut options = Options::default();
    let message = |error: OptionError| error.to_string();
    assert_eq!(
        options.set("recieve_maximum", "1").map_err(message),
        Err("there is no option `recieve_maximum`; did you mean `receive_maximum`?".to_owned())
    );
    assert_eq!(options.set("flux", "0").map_err(message), Err("there is no option `flux`".to_owned()));
    assert_eq!(
        options.set("receive_maximum", "0").map_err(message),
        Err("invalid value `0` for `receive_maximum`: expected a number from 1 to 65535".to_owned())
    );
    assert_eq!(
        options.set("manner", "later").map_err(message),
        Err("invalid value `later` for `manner`: expected `now` or `with_next`".to_owned())
    );
    assert_eq!(options, Options::default());
}

#[test]
fn descriptions_have_the_documentation_in_one_line() {
    let descriptions = Options::descriptions();
    assert_eq!(
        descriptions[0],
        OptionDescription {
            name: "receive_maximum",
            default: "65535".to_owned(),
            values: "a number from 1 to 65535".to_owned(),
            description: "A number in two lines.".to_owned(),
        }
    );
    assert_eq!(descriptions[1].values, "`now` or `with_next`");
}
