//! Hyper-parameters fixed by hand: the `KEY=VALUE` pairs of `--set`.

use crate::artefact::UNITS_MAX;
use crate::cost;
use crate::products::ORDER_MAX;
use crate::quantum::{self, DISSIPATIVE_QUBITS_MAX, QUBITS_MAX, RESERVOIRS_MAX, SUBSTEPS_MAX};
use crate::spec::{LagForm, Topology, Transform};
use crate::spiking::{DELAY_MAX, SpikeEncoding, SpikingSettings, SpikingWiring};

/// Beyond this many units nobody asks what they would cost.
const UNITS_ASKED_MAX: usize = 1_000_000;

/// The arithmetic that models compute in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, and 64 where validation shows that 32 are not enough.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

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
    /// Whether a backtest scores in standard deviations of the training rows.
    pub normalise: bool,
    /// How echo units are wired.
    pub topology: Option<Topology>,
    /// Whether reservoirs hear changes instead of values.
    pub differenced: Option<bool>,
    /// Past values that are multiplied.
    pub taps: Option<usize>,
    /// Rows between them.
    pub stride: Option<usize>,
    /// Most factors of a product.
    pub order: Option<usize>,
    /// Neurons of a liquid.
    pub neurons: Option<usize>,
    /// How values reach spiking neurons.
    pub encoding: Option<SpikeEncoding>,
    /// How spiking neurons are wired; `column` is the classic liquid state machine.
    pub wiring: Option<SpikingWiring>,
    /// Longest axonal delay in rows.
    pub delay_max: Option<usize>,
    /// Qubits of each quantum reservoir.
    pub qubits: Option<usize>,
    /// Quantum reservoirs of a bank.
    pub reservoirs: Option<usize>,
    /// Parts of an evolution after each of which qubits are read.
    pub substeps: Option<usize>,
    /// Rate of local loss, where qubits forget by dissipation instead of erasure.
    pub dissipation: Option<f64>,
    /// Shots that read-outs are averages of.
    pub shots: Option<u64>,
    /// Transverse field of the qubits.
    pub field: Option<f64>,
    /// Whether forecasts of parts are mixed.
    pub mixing: Option<bool>,
    /// Whether spiking neurons drive the qubits of a hybrid.
    pub coupled: Option<bool>,
    /// Number of recent lags.
    pub lags: Option<usize>,
    /// How lags enter.
    pub form: Option<LagForm>,
    /// Transform of every channel.
    pub transform: Option<Transform>,
    /// One ridge penalty for all blocks, relative to a feature's mean power.
    pub penalty: Option<f64>,
    /// Memory in GiB that the sums of training may take, above 0 and at most 65536; `None` for
    /// [`crate::train::BYTES_MAX`].
    pub memory_gib: Option<f64>,
}

/// A pair that cannot be taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not of the form KEY=VALUE.
    #[error("{0:?} is not KEY=VALUE")]
    NotAPair(String),
    /// No such key.
    #[error("there is no hyper-parameter {0:?}; known are {KEYS}")]
    UnknownKey(String),
    /// No such key of a classifier.
    #[error("a classifier has no hyper-parameter {0:?}; known are {keys}", keys = crate::classify::SETTINGS_KEYS)]
    UnknownClassifierKey(String),
    /// More qubits than are simulated.
    #[error(
        "qubits={qubits}: at most 8 are simulated exactly; one network of {qubits} would take {bytes:.1e} bytes and about {time} a row of one core; use more networks instead (reservoirs=N)"
    )]
    Qubits {
        /// Qubits asked for.
        qubits: usize,
        /// Bytes of its matrices and state.
        bytes: u64,
        /// What a row would take, with its unit.
        time: String,
    },
    /// More echo units or neurons than a model holds.
    #[error(
        "{key}={asked}: {key} must be a whole number from 1 to {UNITS_MAX}; {asked} of density {density} would take about {time} a row of one core"
    )]
    Large {
        /// `units` or `neurons`.
        key: &'static str,
        /// How many were asked for.
        asked: usize,
        /// The share of their weights that is not zero: the one asked for, or the one that they have by themselves.
        density: f64,
        /// What a row would take, with its unit.
        time: String,
    },
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
pub const KEYS: &str = "units, topology, density, spectral_radius, leak, input_scale, bias_scale, seasonal_inputs, \
    differenced, skip, lags, form, transform, penalty, taps, stride, order, neurons, encoding, wiring, delay_max, qubits, reservoirs, \
    substeps, dissipation, shots, field, mixing, coupled, normalise, \
    memory_gib";

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
        settings.check_sizes()?;
        match (settings.dissipation, settings.qubits) {
            (Some(_), Some(qubits)) if qubits > DISSIPATIVE_QUBITS_MAX => Err(Error::Value {
                key: "qubits".to_owned(),
                value: qubits.to_string(),
                wanted: "2 to 4 with dissipation",
            }),
            _ => Ok(settings),
        }
    }

    /// Refuses what is larger than a model holds, with what it would cost; only now, for the density may come last.
    fn check_sizes(&self) -> Result<(), Error> {
        let refused =
            |key, asked, density, us| Err(Error::Large { key, asked, density, time: cost::in_words(us) });
        if let Some(units) = self.units.filter(|&units| units > UNITS_MAX) {
            let density = self.density.unwrap_or(1.0);
            return refused("units", units, density, cost::echo_us(units, density));
        }
        if let Some(neurons) = self.neurons.filter(|&neurons| neurons > UNITS_MAX) {
            let spiking = SpikingSettings { neurons, ..SpikingSettings::default() };
            return refused("neurons", neurons, spiking.density, cost::liquid_us(&spiking));
        }
        Ok(())
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
            "units" => {
                self.units = whole(UNITS_ASKED_MAX, "a whole number from 1 to 4096")?;
            }
            "lags" => self.lags = whole(10_000, "a whole number from 1 to 10000")?,
            "density" => self.density = number(0.0, 1.0, "above 0 and at most 1")?,
            "spectral_radius" => self.spectral_radius = number(0.0, 10.0, "above 0 and at most 10")?,
            "leak" => self.leak = number(0.0, 1.0, "above 0 and at most 1")?,
            "input_scale" => self.input_scale = number(0.0, 1000.0, "above 0 and at most 1000")?,
            "bias_scale" => self.bias_scale = number(-1e-300, 1000.0, "from 0 to 1000")?,
            "penalty" => self.penalty = number(0.0, 1e6, "above 0 and at most 1e6")?,
            "memory_gib" => self.memory_gib = number(0.0, 65_536.0, "above 0 and at most 65536")?,
            "skip" => self.skip = switch()?,
            "seasonal_inputs" => self.seasonal_inputs = switch()?,
            "normalise" => {
                self.normalise = match value {
                    "train" => true,
                    "off" => false,
                    _ => return Err(wrong("train or off")),
                }
            }
            "differenced" => self.differenced = switch()?,
            "mixing" => self.mixing = switch()?,
            "coupled" => self.coupled = switch()?,
            "taps" => self.taps = whole(1000, "a whole number from 1 to 1000")?,
            "stride" => self.stride = whole(10_000, "a whole number from 1 to 10000")?,
            "order" => {
                self.order = whole(ORDER_MAX, "2, 3 or 4")?
                    .filter(|&order| order > 1)
                    .map(Some)
                    .ok_or_else(|| wrong("2, 3 or 4"))?;
            }
            "neurons" => self.neurons = whole(UNITS_ASKED_MAX, "a whole number from 1 to 4096")?,
            "encoding" => {
                self.encoding = SpikeEncoding::ALL.into_iter().find(|encoding| encoding.as_str() == value);
                self.encoding.ok_or_else(|| wrong("current, rate, latency, population, phase or delta"))?;
            }
            "wiring" => {
                self.wiring = SpikingWiring::ALL.into_iter().find(|wiring| wiring.as_str() == value);
                self.wiring.ok_or_else(|| wrong("random or column"))?;
            }
            "delay_max" => self.delay_max = whole(DELAY_MAX, "a whole number from 1 to 8192")?,
            "qubits" => {
                let qubits = whole(64, "a whole number from 2 to 8")?;
                if let Some(qubits) = qubits.filter(|&qubits| qubits > QUBITS_MAX) {
                    let cost = quantum::cost(qubits, 1, 5);
                    let time = cost::in_words(cost::network_us(cost));
                    return Err(Error::Qubits { qubits, bytes: cost.bytes, time });
                }
                self.qubits = qubits.filter(|&qubits| qubits > 1);
                self.qubits.ok_or_else(|| wrong("a whole number from 2 to 8"))?;
            }
            "dissipation" => self.dissipation = number(0.0, 100.0, "above 0 and at most 100")?,
            "field" => self.field = number(-1e-300, 100.0, "from 0 to 100")?,
            "shots" => self.shots = whole(usize::MAX, "a whole number from 1")?.map(|shots| shots as u64),
            "reservoirs" => self.reservoirs = whole(RESERVOIRS_MAX, "a whole number from 1 to 512")?,
            "substeps" => self.substeps = whole(SUBSTEPS_MAX, "a whole number from 1 to 64")?,
            "topology" => {
                self.topology = Topology::ALL.into_iter().find(|topology| topology.as_str() == value);
                self.topology.ok_or_else(|| wrong("random, orthogonal or cycle"))?;
            }
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
            ("delay_max=8193", "delay_max must be a whole number from 1 to 8192"),
            ("reservoirs=513", "reservoirs must be a whole number from 1 to 512"),
            ("substeps=65", "substeps must be a whole number from 1 to 64"),
            ("qubits=1", "qubits must be a whole number from 2 to 8"),
            ("qubits=9", "one network of 9 would take 2.9e7 bytes and about 14 ms a row of one core"),
            ("units=5000", "from 1 to 4096; 5000 of density 1 would take about 2.4 ms a row of one core"),
            ("units=5000 density=0.1", "5000 of density 0.1 would take about"),
            ("density=0.1 units=5000", "5000 of density 0.1 would take about"),
            (
                "neurons=100000",
                "neurons must be a whole number from 1 to 4096; 100000 of density 0.1 would take about",
            ),
            ("memory_gib=0", "memory_gib must be above 0 and at most 65536"),
            ("units=1000001", "units=1000001: units must be a whole number from 1 to 4096"),
        ] {
            let error = Settings::parse(pair.split(' ')).unwrap_err().to_string();
            assert!(error.contains(message), "{pair}: {error}");
        }
        let both = Settings::parse(["qubits=5", "dissipation=0.1"]).unwrap_err().to_string();
        assert_eq!(both, "qubits=5: qubits must be 2 to 4 with dissipation");
    }
}
