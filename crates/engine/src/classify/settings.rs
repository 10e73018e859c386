//! A classifier's hyper-parameters fixed by hand: the `KEY=VALUE` pairs of `--set`.
//!
//! Only the form of a value is judged here. Whether a number is in range is judged where training begins, for every
//! caller alike.

use super::options::ClassifySettings;
use super::spec::ShapeForm;
use crate::settings::Error;
use std::str::FromStr;

/// The known keys, for messages and help.
pub const SETTINGS_KEYS: &str =
    "normalise, form, features, units, density, spectral_radius, leak, input_scale, bias_scale, penalty";

impl ClassifySettings {
    /// Reads pairs such as `units=300` or `normalise=on`; a later pair overrides an earlier one.
    ///
    /// # Errors
    /// The first pair that cannot be taken.
    pub fn parse<'p>(pairs: impl IntoIterator<Item = &'p str>) -> Result<Self, Error> {
        let mut settings = Self::default();
        for pair in pairs {
            let (key, value) = pair.split_once('=').ok_or_else(|| Error::NotAPair(pair.to_owned()))?;
            settings.set(key.trim(), value.trim())?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let pair = Pair { key, value };
        match key {
            "normalise" => {
                self.normalise = Some(match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(pair.wrong("on or off")),
                });
            }
            "form" => {
                self.form = ShapeForm::ALL.into_iter().find(|form| form.as_str() == value);
                self.form.ok_or_else(|| pair.wrong("values, differences or both"))?;
            }
            "features" => self.features = pair.number("a whole number")?,
            "units" => self.units = pair.number("a whole number")?,
            "density" => self.density = pair.number("a number")?,
            "spectral_radius" => self.spectral_radius = pair.number("a number")?,
            "leak" => self.leak = pair.number("a number")?,
            "input_scale" => self.input_scale = pair.number("a number")?,
            "bias_scale" => self.bias_scale = pair.number("a number")?,
            "penalty" => self.penalty = pair.number("a number")?,
            _ => return Err(Error::UnknownClassifierKey(key.to_owned())),
        }
        Ok(())
    }
}

/// A key with the text that was given for it.
#[derive(Clone, Copy)]
struct Pair<'p> {
    key: &'p str,
    value: &'p str,
}

impl Pair<'_> {
    fn wrong(self, wanted: &'static str) -> Error {
        Error::Value { key: self.key.to_owned(), value: self.value.to_owned(), wanted }
    }

    fn number<N: FromStr>(self, wanted: &'static str) -> Result<Option<N>, Error> {
        self.value.parse().map(Some).map_err(|_| self.wrong(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_the_last_one_wins() {
        let pairs = ["units=300", "normalise=on", "form=both", "units = 200", "leak=0.5"];
        let wanted = ClassifySettings {
            units: Some(200),
            normalise: Some(true),
            form: Some(ShapeForm::Both),
            leak: Some(0.5),
            ..ClassifySettings::default()
        };
        assert_eq!(ClassifySettings::parse(pairs), Ok(wanted));
    }

    #[test]
    fn every_key_is_known_and_what_cannot_be_taken_says_what_would_be_right() {
        for key in SETTINGS_KEYS.split(", ") {
            let error = ClassifySettings::parse([format!("{key}=x").as_str()]).unwrap_err().to_string();
            assert!(error.contains(&format!("{key} must be ")), "{error}");
        }
        for (pair, message) in [
            ("units", "\"units\" is not KEY=VALUE"),
            ("lags=3", "a classifier has no hyper-parameter \"lags\"; known are normalise, form,"),
            ("units=1.5", "units=1.5: units must be a whole number"),
            ("form=raw", "form must be values, differences or both"),
        ] {
            let error = ClassifySettings::parse([pair]).unwrap_err().to_string();
            assert!(error.contains(message), "{pair}: {error}");
        }
    }
}
