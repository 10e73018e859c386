//! Why there is no model, and why a candidate is not among those that were compared.

use crate::settings;
use crate::spec::Family;
use spinwell_core::Code;

/// Why there is no model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Too few rows for what was asked.
    #[error(
        "{rows} rows are too few for horizon {horizon}, season {season} and three forward folds: at least {needed} are needed"
    )]
    TooShort {
        /// Rows that may be used.
        rows: usize,
        /// Horizon asked for.
        horizon: usize,
        /// Season used.
        season: usize,
        /// Rows that would do.
        needed: usize,
    },
    /// A column does not change in the rows used for fitting.
    #[error(
        "column {column:?} is constant ({value}) in rows 1 to {rows}: there is nothing to learn from it; leave it out or use more rows"
    )]
    Constant {
        /// The column.
        column: String,
        /// Its only value.
        value: f64,
        /// Rows looked at.
        rows: usize,
    },
    /// A column's values or their spread do not fit the 32-bit floats that forecasts are.
    #[error(
        "column {column:?} has values up to {largest:e} that spread over {spread:e}; forecasts are 32-bit floats, so rescale it to lie between 1e-30 and 1e30"
    )]
    Scale {
        /// The column.
        column: String,
        /// Its largest absolute value.
        largest: f64,
        /// Its largest value minus its smallest.
        spread: f64,
    },
    /// An option contradicts another or the data.
    #[error("{0}")]
    Option(String),
    /// The smallest model of a family would take more memory in training than it may.
    #[error(
        "family {family} would have {features} features with these settings, and training takes about {bytes:.1e} bytes for so many, more than the {bytes_max:.1e} that it may: at most {features_max} features fit; make it smaller (units, neurons, qubits, reservoirs, substeps, taps, order, lags) or allow more (memory_gib)"
    )]
    Memory {
        /// The family.
        family: Family,
        /// Features of its readout.
        features: usize,
        /// Bytes of the sums that training holds at once, and of their factorisations.
        bytes: u64,
        /// Bytes that they may take, [`super::BYTES_MAX`] unless set by hand.
        bytes_max: u64,
        /// The most features that fit into them.
        features_max: usize,
    },
    /// A reservoir cannot be had with its settings.
    #[error("family {family} cannot be had with these settings: {reason}")]
    Reservoir {
        /// The family.
        family: Family,
        /// What is wrong.
        reason: &'static str,
    },
    /// A hyper-parameter cannot be taken.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// Stopped before any candidate that may win was done.
    #[error("training was stopped before a model was ready")]
    Interrupted,
}

impl Error {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Error::TooShort { .. } => Code::SeriesTooShort,
            Error::Constant { .. } => Code::SeriesConstant,
            Error::Scale { .. } => Code::SeriesScale,
            Error::Option(_) | Error::Memory { .. } | Error::Reservoir { .. } | Error::Settings(_) => {
                Code::OptionInvalid
            }
            Error::Interrupted => Code::Interrupted,
        }
    }
}

/// Why a candidate was not fitted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unfit {
    /// It cannot be, whatever the rows.
    Refused(Error),
    /// The rows do not suffice for its lags, a channel does not change, or its equations cannot be solved.
    Rows,
}

impl Unfit {
    /// The error where this is all there is to say.
    pub(super) fn into_error(self) -> Option<Error> {
        match self {
            Unfit::Refused(error) => Some(error),
            Unfit::Rows => None,
        }
    }
}
