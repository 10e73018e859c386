//! How a classifier is trained, what is reported on the way, and why there may be none.

use super::cases;
use super::spec::{ClassifierFamily, ClassifierSpec, ShapeForm};
use crate::kernel::ROWS_MAX;
use spinwell_core::Code;

/// Features of convolutions at most.
const FEATURES_MAX: usize = 100_000;

/// Which families may win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassifierChoice {
    /// Any.
    Auto,
    /// This one.
    Only(ClassifierFamily),
}

/// Hyper-parameters fixed by hand; `None` is left to the search.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClassifySettings {
    /// Whether every series is standardised by its own mean and deviation.
    pub normalise: Option<bool>,
    /// What convolutions see.
    pub form: Option<ShapeForm>,
    /// About how many features of convolutions, 336 to 100,000.
    pub features: Option<usize>,
    /// Units of the reservoir, 1 to 4096.
    pub units: Option<usize>,
    /// Share of recurrent weights that are not zero, in (0, 1].
    pub density: Option<f64>,
    /// Largest absolute eigenvalue of the recurrent weights, in (0, 10].
    pub spectral_radius: Option<f64>,
    /// How much of the state a step renews, in (0, 1].
    pub leak: Option<f64>,
    /// Range of the input weights, above 0.
    pub input_scale: Option<f64>,
    /// Range of the biases, from 0.
    pub bias_scale: Option<f64>,
    /// Ridge penalty, relative to the power of all features of a block together, above 0.
    pub penalty: Option<f64>,
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifyOptions {
    /// Which families may win.
    pub family: ClassifierChoice,
    /// Most candidates, at least 1.
    pub trials: usize,
    /// Fixes every random choice.
    pub seed: u64,
    /// Hyper-parameters fixed by hand.
    pub settings: ClassifySettings,
}

impl Default for ClassifyOptions {
    fn default() -> Self {
        Self { family: ClassifierChoice::Auto, trials: 40, seed: 42, settings: ClassifySettings::default() }
    }
}

impl ClassifyOptions {
    /// Whether every option is in range.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let settings = &self.settings;
        let within = |value: Option<f64>, low: f64, high: f64| value.is_none_or(|v| v > low && v <= high);
        let whole =
            |value: Option<usize>, low: usize, high: usize| value.is_none_or(|v| (low..=high).contains(&v));
        for (holds, wanted) in [
            (self.trials >= 1, "trials must be at least 1"),
            (
                whole(settings.features, 336, FEATURES_MAX),
                "features must be a whole number from 336 to 100000",
            ),
            (whole(settings.units, 1, ROWS_MAX), "units must be a whole number from 1 to 4096"),
            (within(settings.density, 0.0, 1.0), "density must be above 0 and at most 1"),
            (within(settings.spectral_radius, 0.0, 10.0), "spectral_radius must be above 0 and at most 10"),
            (within(settings.leak, 0.0, 1.0), "leak must be above 0 and at most 1"),
            (within(settings.input_scale, 0.0, 1000.0), "input_scale must be above 0 and at most 1000"),
            (within(settings.bias_scale, -1e-300, 1000.0), "bias_scale must be from 0 to 1000"),
            (within(settings.penalty, 0.0, 1e6), "penalty must be above 0 and at most 1e6"),
        ] {
            if !holds {
                return Err(TrainError::Option(wanted));
            }
        }
        Ok(())
    }
}

/// What happens during training. Sent from several threads.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassifyEvent<'e> {
    /// So many candidates will be tried unless stopped. Sent again where fewer turn out to be worth it.
    Planned {
        /// How many.
        candidates: usize,
    },
    /// A candidate begins.
    Started {
        /// Its place in the plan.
        index: usize,
        /// What it is.
        spec: &'e ClassifierSpec,
    },
    /// A candidate is done.
    Finished {
        /// Its place in the plan.
        index: usize,
        /// What it is.
        spec: &'e ClassifierSpec,
        /// Share of left-out cases that got their label; `None` where it could not be fitted.
        accuracy: Option<f64>,
    },
}

/// Told what happens, asked whether to go on.
#[derive(Clone, Copy)]
pub struct ClassifyObserver<'o> {
    /// Told what happens.
    pub progress: &'o (dyn Fn(&ClassifyEvent<'_>) + Sync),
    /// Whether to start no further candidate.
    pub stop: &'o (dyn Fn() -> bool + Sync),
}

impl ClassifyObserver<'_> {
    /// Hears nothing and never stops.
    pub const SILENT: ClassifyObserver<'static> = ClassifyObserver { progress: &|_| {}, stop: &|| false };
}

/// Why there is no classifier.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The cases are not enough to learn from.
    #[error(transparent)]
    Cases(#[from] cases::Error),
    /// A channel does not change in any training case.
    #[error(
        "column {column:?} is constant ({value}) in all training cases: there is nothing to learn from it; leave it out"
    )]
    Constant {
        /// The channel.
        column: String,
        /// Its only value.
        value: f64,
    },
    /// A channel's values or their spread leave no room for arithmetic.
    #[error(
        "column {column:?} has values up to {largest:e} that spread over {spread:e}; rescale it to lie between 1e-100 and 1e100"
    )]
    Scale {
        /// The channel.
        column: String,
        /// Its largest absolute value.
        largest: f64,
        /// Its largest value minus its smallest.
        spread: f64,
    },
    /// More cases than the readout can be solved for.
    #[error("{cases} training cases are too many; at most {limit} are taken")]
    TooMany {
        /// Training cases.
        cases: usize,
        /// How many are taken.
        limit: usize,
    },
    /// An option is out of range.
    #[error("{0}")]
    Option(&'static str),
    /// Stopped before any candidate that may win was done.
    #[error("training was stopped before a classifier was ready")]
    Interrupted,
}

impl TrainError {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            TrainError::Cases(error) => error.code(),
            TrainError::Constant { .. } => Code::SeriesConstant,
            TrainError::Scale { .. } => Code::SeriesScale,
            TrainError::TooMany { .. } | TrainError::Option(_) => Code::OptionInvalid,
            TrainError::Interrupted => Code::Interrupted,
        }
    }
}
