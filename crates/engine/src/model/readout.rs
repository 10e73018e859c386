//! The linear readout and everything a model file holds.

use crate::encoder::{Channel, Encoder};
use crate::intervals::Intervals;
use crate::kernel::{Real, dot};
use crate::model::mixer::Mixer;
use crate::spec::Spec;

/// A reservoir that has not forgotten its start after this many rows is taken never to.
pub(crate) const FORGETS_WITHIN: usize = 1000;

/// One row of weights per output, outputs ordered by step, then target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readout<R> {
    /// Outputs × padded features.
    pub(crate) weights: Vec<R>,
    /// One per output, added in 64 bits.
    pub(crate) intercepts: Vec<f64>,
}

impl<R: Real> Readout<R> {
    /// A readout that corrects nothing.
    pub(crate) fn silent(outputs: usize) -> Self {
        Self { weights: Vec::new(), intercepts: vec![0.0; outputs] }
    }

    /// The standardised correction of one output.
    #[inline(always)]
    pub(crate) fn output(&self, index: usize, features: &[R]) -> f64 {
        let weights = &self.weights[index * features.len()..][..features.len()];
        self.intercepts[index] + dot(weights, features).widen()
    }
}

/// How many rows of the past fix a reservoir's state, measured on the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contraction {
    /// Rows after which the start no longer shows to 1e-3; `None` where it still does after 1000.
    pub to_1e3: Option<usize>,
    /// The same to 1e-6.
    pub to_1e6: Option<usize>,
}

/// Everything a model file holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts<R> {
    /// The choices it was trained with.
    pub(crate) spec: Spec,
    /// Rows to features.
    pub(crate) encoder: Encoder<R>,
    /// What is forecast: names and how they are standardised.
    pub(crate) outputs: Vec<Channel>,
    /// Whether rows begin with what is forecast; otherwise they hold the inputs alone.
    pub(crate) hears_targets: bool,
    /// Rows ahead.
    pub(crate) horizon: usize,
    /// Rows of a season, 1 for none.
    pub(crate) season: usize,
    /// Features to corrections of the base; the first one uses them all. With a shared readout one row of weights per
    /// step serves every target.
    pub(crate) members: Vec<Readout<R>>,
    /// How the members become one forecast, where there are several.
    pub(crate) mixer: Option<Mixer>,
    /// How far the truth strays.
    pub(crate) intervals: Intervals,
    /// How fast the reservoirs forget.
    pub(crate) contraction: Contraction,
    /// The time column of the training file, so that later files are ordered alike.
    pub(crate) time_column: Option<String>,
}
