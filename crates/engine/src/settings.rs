//! Hyper-parameters fixed by hand: the `KEY=VALUE` pairs of `--set`.

use crate::artefact::UNITS_MAX;
use crate::spec::{LagForm, Transform};

/// What was fixed; `None` is left to the search.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Units of the reservoir.
    pub units: Option<usize>,
    /// Share of recurrent weights that are not zero.
    pub density: Option<f64>,
    /// Largest absolute eigenvalue of the recurrent weights.
    pub spectral_radius: Option<f64>,
    /// How much of the state a step renews.
    pub leak: Option<f64>,
    /// Range of the input weights.
    pub input_scale: Option<f64>,
    /// Range of the biases.
    pub bias_scale: Option<f64>,
    /// Whether the reservoir also hears the values one season before the targets.
    pub seasonal_inputs: Option<bool>,
    /// Whether the readout sees lags directly.
    pub skip: Option<bool>,
    /// Number of recent lags.
    pub lags: Option<usize>,
    /// How lags enter.
    pub form: Option<LagForm>,
    /// Transform of every channel.
    pub transform: Option<Transform>,
    /// One ridge penalty for all blocks, relative to a feature's mean power.
    pub penalty: Option<f64>,
}

/// A pair that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not of the form KEY=VALUE.
    #[error("{0:?} is not KEY=VALUE")]
    NotAPair(String),
    /// No such key.
    #[error("there is no hyper-parameter {0:?}; known are {KEYS}")]
    UnknownKey(String),
    /// The value is out of range.
    #[error("{key}={value}: {key} must be {wanted}")]
    Value {
        /// The key.
        key: String,
        /// The text given.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
}

/// The known keys, for messages and help.
pub const KEYS: &str = "units, density, spectral_radius, leak, input_scale, bias_scale, seasonal_inputs, skip, lags, form, transform, penalty";

impl Settings {
    /// Reads pairs such as `units=300` or `skip=off`; a later pair overrides an earlier one.
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
        let wrong = |wanted| Error::Value { key: key.to_owned(), value: value.to_owned(), wanted };
        let number = |low: f64, high: f64, wanted| {
            value.parse().ok().filter(|v: &f64| *v > low && *v <= high).map(Some).ok_or_else(|| wrong(wanted))
        };
        let whole = |high: usize, wanted| {
            value
                .parse()
                .ok()
                .filter(|v: &usize| (1..=high).contains(v))
                .map(Some)
                .ok_or_else(|| wrong(wanted))
        };
        let switch = || match value {
            "on" => Ok(Some(true)),
            "off" => Ok(Some(false)),
            _ => Err(wrong("on or off")),
        };
        match key {
            "units" => self.units = whole(UNITS_MAX, "a whole number from 1 to 4096")?,
            "lags" => self.lags = whole(10_000, "a whole number from 1 to 10000")?,
            "density" => self.density = number(0.0, 1.0, "above 0 and at most 1")?,
            "spectral_radius" => self.spectral_radius = number(0.0, 10.0, "above 0 and at most 10")?,
            "leak" => self.leak = number(0.0, 1.0, "above 0 and at most 1")?,
            "input_scale" => self.input_scale = number(0.0, 1000.0, "above 0 and at most 1000")?,
            "bias_scale" => self.bias_scale = number(-1e-300, 1000.0, "from 0 to 1000")?,
            "penalty" => self.penalty = number(0.0, 1e6, "above 0 and at most 1e6")?,
            "skip" => self.skip = switch()?,
            "seasonal_inputs" => self.seasonal_inputs = switch()?,
            "form" => {
                let forms = [LagForm::Relative, LagForm::Raw];
                self.form = forms.into_iter().find(|form| form.as_str() == value);
                self.form.ok_or_else(|| wrong("relative or raw"))?;
            }
            "transform" => {
                let transforms = [Transform::Identity, Transform::SquareRoot];
                self.transform = transforms.into_iter().find(|transform| transform.as_str() == value);
                self.transform.ok_or_else(|| wrong("none or sqrt"))?;
            }
            _ => return Err(Error::UnknownKey(key.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_the_last_one_wins() {
        let settings =
            Settings::parse(["units=300", "density=1", "skip=off", "units=200", "form=raw"]).unwrap();
        assert_eq!((settings.units, settings.density, settings.skip), (Some(200), Some(1.0), Some(false)));
        assert_eq!(settings.form, Some(LagForm::Raw));
    }

    #[test]
    fn what_cannot_be_taken_says_what_would_be_right() {
        for (pair, message) in [
            ("units", "\"units\" is not KEY=VALUE"),
            ("unit=3", "there is no hyper-parameter \"unit\"; known are units,"),
            ("units=0", "units=0: units must be a whole number from 1 to 4096"),
            ("leak=2", "leak=2: leak must be above 0 and at most 1"),
            ("density=NaN", "density must be"),
            ("skip=no", "skip must be on or off"),
            ("form=x", "form must be relative or raw"),
        ] {
            let error = Settings::parse([pair]).unwrap_err().to_string();
            assert!(error.contains(message), "{pair}: {error}");
        }
    }
}
