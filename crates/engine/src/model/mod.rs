//! A trained model: immutable, named by the hash of its bytes.
//!
//! **A window gives, bit for bit, what a fresh stream gives that is fed the same rows**, because a window is
//! answered by feeding it to a fresh stream. **Windows that are answered together do not touch each other**: a
//! pass shares only the reading of the weights.

mod forecaster;
mod mixer;
#[cfg(feature = "gpu")]
mod offload;
mod readout;
mod stream;
mod windows;
mod young;

pub(crate) use forecaster::Surprise;
pub(crate) use mixer::{MixState, Mixer};
#[cfg(feature = "gpu")]
pub(crate) use offload::{Elsewhere, Leg};
pub use readout::Contraction;
pub(crate) use readout::{FORGETS_WITHIN, Parts, Readout};
pub use stream::{StateError, Stream};

use crate::artefact;
use crate::block::Block;
use crate::spec::{Family, Spec};
use crate::spiking::Activity;
use forecaster::{Buffers, Plain, WithTruth};
pub(crate) use forecaster::{Profile, SETTLED_ROWS_MIN};
use spinwell_core::{Code, ModelHash, NumericProfile, Series};
use stream::Kind;

/// The contents of a model in its arithmetic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Core {
    /// 32 bits.
    F32(Parts<f32>),
    /// 64 bits.
    F64(Parts<f64>),
}

/// A trained model, ready to serve.
#[derive(Debug, Clone)]
pub struct Model {
    core: Core,
    hash: ModelHash,
    channel_names: Vec<String>,
    target_names: Vec<String>,
}

/// One window of a series.
#[derive(Debug, Clone, Copy)]
pub struct Window<'s> {
    /// The series that holds it.
    pub series: &'s Series,
    /// Which of its windows.
    pub index: usize,
}

/// A forecast with its interval, each `[horizon, targets]`, row-major, in the data's own units.
/// `lower` ≤ `forecast` ≤ `upper` everywhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Point forecasts.
    pub forecast: Vec<f32>,
    /// Lower ends of the intervals.
    pub lower: Vec<f32>,
    /// Upper ends of the intervals.
    pub upper: Vec<f32>,
    /// Where each forecast points from the last observed value: −1, 0 or 1.
    pub direction: Vec<i8>,
    /// Calibrated probability that the truth goes that way.
    pub confidence: Vec<f32>,
    /// What the first spiking population of the model has been doing up to the newest row, where it has one.
    pub activity: Option<Activity>,
}

/// Why a window has no forecast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Fewer rows than the model looks back.
    #[error("the window has {rows} rows; this model looks back {window_min} and needs at least that many")]
    TooShort {
        /// Rows sent.
        rows: usize,
        /// Rows needed.
        window_min: usize,
    },
    /// Another number of channels than the model was trained on.
    #[error("the window has {channels} channels; this model takes {wanted}: {names}")]
    Channels {
        /// Channels sent.
        channels: usize,
        /// Channels needed.
        wanted: usize,
        /// Their names, in order.
        names: String,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, channel {channel:?} is not a finite number")]
    NotFinite {
        /// Row of the window, from 0.
        row: usize,
        /// Name of the channel.
        channel: String,
    },
}

impl WindowError {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            WindowError::TooShort { .. } => Code::WindowTooShort,
            WindowError::Channels { .. } => Code::TensorShape,
            WindowError::NotFinite { .. } => Code::TensorNotFinite,
        }
    }
}

/// Buffers that a step needs; one may serve any number of streams, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    narrow: Buffers<f32>,
    wide: Buffers<f64>,
}

/// Runs the same expression on the contents, whatever their arithmetic.
macro_rules! with_parts {
    ($model:expr, $parts:ident => $result:expr) => {
        match &$model.core {
            Core::F32($parts) => $result,
            Core::F64($parts) => $result,
        }
    };
}

/// The same on a stream that is of the model's own arithmetic.
macro_rules! with_stream {
    ($model:expr, $kind:expr, $parts:ident, $stream:ident => $result:expr) => {
        match (&$model.core, $kind) {
            (Core::F32($parts), Kind::F32($stream)) => $result,
            (Core::F64($parts), Kind::F64($stream)) => $result,
            _ => panic!("a stream was given to another model than it is of"),
        }
    };
}

impl Model {
    /// Puts a model together and names it by its bytes.
    pub(crate) fn assemble(core: Core) -> Self {
        let hash = artefact::hash(&artefact::encode(&core));
        Self::with_hash(core, hash)
    }

    pub(crate) fn with_hash(core: Core, hash: ModelHash) -> Self {
        let mut model = Self { core, hash, channel_names: Vec::new(), target_names: Vec::new() };
        model.channel_names =
            with_parts!(model, parts => parts.encoder.channels.iter().map(|c| c.name.clone()).collect());
        model.target_names =
            with_parts!(model, parts => parts.outputs.iter().map(|c| c.name.clone()).collect());
        model
    }

    /// The contents.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// The model of contents that are part of another model's file.
    pub(crate) fn of_core(core: Core) -> Self {
        let hash = artefact::hash(&artefact::encode(&core));
        Self::with_hash(core, hash)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Where the bytes are not a model file, are damaged, or are of a newer format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, artefact::Error> {
        artefact::decode(bytes).map(|core| Self::with_hash(core, artefact::hash(bytes)))
    }

    /// The bytes of the model file. The same model always gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        artefact::encode(&self.core)
    }

    /// The SHA-256 of the model file.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        self.hash
    }

    /// The family it belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        self.spec().family
    }

    /// The choices it was trained with.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        with_parts!(self, parts => &parts.spec)
    }

    /// Rows ahead that a forecast reaches.
    #[must_use]
    pub fn horizon(&self) -> usize {
        with_parts!(self, parts => parts.horizon)
    }

    /// Rows of a season, 1 for none.
    #[must_use]
    pub fn season(&self) -> usize {
        with_parts!(self, parts => parts.season)
    }

    /// The channels of a row in order: targets first, then exogenous inputs; the inputs alone where the targets' own
    /// past is not fed.
    #[must_use]
    pub fn channels(&self) -> &[String] {
        &self.channel_names
    }

    /// The channels that are forecast.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        &self.target_names
    }

    /// Whether rows begin with the targets.
    #[must_use]
    pub fn hears_targets(&self) -> bool {
        with_parts!(self, parts => parts.hears_targets)
    }

    /// Nominal coverage of the intervals, in (0, 1).
    #[must_use]
    pub fn coverage(&self) -> f64 {
        with_parts!(self, parts => parts.intervals.coverage)
    }

    /// Whether training left enough scores for the nominal coverage.
    #[must_use]
    pub fn is_calibrated(&self) -> bool {
        with_parts!(self, parts => parts.intervals.are_calibrated())
    }

    /// The time column of the training file.
    #[must_use]
    pub fn time_column(&self) -> Option<&str> {
        with_parts!(self, parts => parts.time_column.as_deref())
    }

    /// The arithmetic its predictions are made with.
    #[must_use]
    pub fn profile(&self) -> NumericProfile {
        match self.core {
            Core::F32(_) => NumericProfile::CpuF32,
            Core::F64(_) => NumericProfile::CpuF64,
        }
    }

    /// Rows of the shortest window that has a forecast: as far as the lags look back.
    #[must_use]
    pub fn window_min(&self) -> usize {
        with_parts!(self, parts => parts.window_min())
    }

    /// Rows after which reservoir and interval scale have forgotten their start to 1e-3.
    #[must_use]
    pub fn window_recommended(&self) -> usize {
        with_parts!(self, parts => parts.window_recommended())
    }

    /// Rows after which a stream's forecasts are scored.
    pub(crate) fn scored_from(&self) -> usize {
        with_parts!(self, parts => parts.scored_from())
    }

    /// How many rows of the past fix the reservoirs' state.
    #[must_use]
    pub fn contraction(&self) -> Contraction {
        with_parts!(self, parts => parts.contraction)
    }

    /// A stream that has seen nothing.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream(match &self.core {
            Core::F32(parts) => Kind::F32(parts.stream()),
            Core::F64(parts) => Kind::F64(parts.stream()),
        })
    }

    /// Feeds one row (one finite value per channel) to a stream of this model.
    ///
    /// # Panics
    /// Where the row has fewer values than the model has channels, or the stream is of another model.
    pub fn step(&self, stream: &mut Stream, row: &[f64], scratch: &mut Scratch) {
        let hears_targets = self.hears_targets();
        let row = Plain { value: |channel: usize| row[channel], hears_targets };
        with_stream!(self, &mut stream.0, parts, stream => parts.step(stream, &row, scratch));
    }

    /// Feeds one row of inputs and the targets' values at the same time, from which a model that hears its inputs
    /// alone keeps its intervals right.
    ///
    /// # Panics
    /// As [`Model::step`], or where there are fewer truths than targets.
    pub fn step_with_truth(&self, stream: &mut Stream, row: &[f64], truth: &[f64], scratch: &mut Scratch) {
        let row = WithTruth { row, truth };
        with_stream!(self, &mut stream.0, parts, stream => parts.step(stream, &row, scratch));
    }

    /// What `truth`, the value of `target` in the row that comes next, says against the one-step forecast of it;
    /// nothing while the stream is too young. To be asked before the row is fed.
    ///
    /// # Panics
    /// Where the stream is of another model.
    pub(crate) fn surprise(&self, stream: &Stream, target: usize, truth: f64) -> Option<Surprise> {
        with_stream!(self, &stream.0, parts, stream => parts.surprise(stream, target, truth))
    }

    /// The forecast of a stream from its newest row.
    ///
    /// # Errors
    /// [`WindowError::TooShort`] before the stream has seen [`Model::window_min`] rows.
    ///
    /// # Panics
    /// Where the stream is of another model.
    pub fn forecast(&self, stream: &Stream, scratch: &mut Scratch) -> Result<Forecast, WindowError> {
        with_stream!(self, &stream.0, parts, stream => parts.forecast(stream, scratch))
    }

    /// The forecast of a stream that may have seen fewer rows than the model looks back, and whether it has. Such a
    /// stream is forecast by its newest value, or by the training mean where the model does not hear its targets; the
    /// interval is as wide as the training rows make it, and shrinks when the model itself begins to forecast.
    ///
    /// # Panics
    /// Where the stream is of another model.
    pub fn forecast_at_any_age(&self, stream: &Stream, scratch: &mut Scratch) -> (Forecast, bool) {
        match self.forecast(stream, scratch) {
            Ok(forecast) => (forecast, false),
            Err(_) => {
                (with_stream!(self, &stream.0, parts, stream => parts.forecast_of_the_young(stream)), true)
            }
        }
    }

    /// What the first spiking population of the model has been doing in a stream; `None` where the model has none.
    ///
    /// # Panics
    /// Where the stream is of another model.
    #[must_use]
    pub fn activity(&self, stream: &Stream) -> Option<Activity> {
        with_stream!(self, &stream.0, parts, stream => parts.activity(&stream.memory))
    }

    /// Whether the model has spiking neurons, so that every forecast tells their activity.
    #[must_use]
    pub fn has_spiking_neurons(&self) -> bool {
        with_parts!(self, parts => parts.encoder.blocks.iter().any(Block::is_spiking))
    }

    /// Lets a copy of a stream feed on its own one-step forecasts: `[steps][targets]`, in the data's units. `None`
    /// where rows hold more than the targets, whose values would have to be invented.
    ///
    /// # Errors
    /// As [`Model::forecast`].
    ///
    /// # Panics
    /// Where the stream is of another model.
    pub fn run_free(
        &self,
        stream: &Stream,
        steps: usize,
        scratch: &mut Scratch,
    ) -> Option<Result<Vec<Vec<f64>>, WindowError>> {
        let closed = self.hears_targets() && self.channel_names.len() == self.target_names.len();
        closed.then(|| with_stream!(self, &stream.0, parts, stream => parts.run_free(stream, steps, scratch)))
    }

    /// A stream's state as bytes: versioned, named after this model, plain numbers.
    #[must_use]
    pub fn save_state(&self, stream: &Stream) -> Vec<u8> {
        stream.to_bytes(self.hash)
    }

    /// The stream whose state [`Model::save_state`] gave.
    ///
    /// # Errors
    /// Where the bytes are not a state of this very model.
    pub fn restore_state(&self, bytes: &[u8]) -> Result<Stream, StateError> {
        let mut stream = self.stream();
        with_parts!(self, parts => stream.overwrite(bytes, self.hash, &parts.intervals))?;
        Ok(stream)
    }

    /// Forecasts of several windows, in order, each with its own result. The bits of a result do not depend on
    /// the other windows.
    #[must_use]
    pub fn forecast_windows(&self, windows: &[Window<'_>]) -> Vec<Result<Forecast, WindowError>> {
        let mut results: Vec<_> = windows.iter().map(|window| self.check(window).map(|()| None)).collect();
        let wanted: Vec<usize> = (0..windows.len()).filter(|&index| results[index].is_ok()).collect();
        let mut scratch = Scratch::default();
        with_parts!(self, parts => parts.forecast_windows(windows, &wanted, &mut results, &mut scratch));
        let answered = |result: Result<Option<Forecast>, WindowError>| {
            result.map(|forecast| forecast.expect("every checked window was forecast"))
        };
        results.into_iter().map(answered).collect()
    }

    pub(crate) fn check(&self, window: &Window<'_>) -> Result<(), WindowError> {
        let series = window.series;
        if series.channels() != self.channel_names.len() {
            return Err(WindowError::Channels {
                channels: series.channels(),
                wanted: self.channel_names.len(),
                names: self.channel_names.join(", "),
            });
        }
        if series.rows() < self.window_min() {
            return Err(WindowError::TooShort { rows: series.rows(), window_min: self.window_min() });
        }
        let length = series.rows() * series.channels();
        let start = window.index * length;
        match (start..start + length).find(|&index| !series.samples().get(index).is_finite()) {
            None => Ok(()),
            Some(index) => Err(WindowError::NotFinite {
                row: (index - start) / series.channels(),
                channel: self.channel_names[index % series.channels()].clone(),
            }),
        }
    }
}
