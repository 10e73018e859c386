//! A trained model: immutable, named by the hash of its bytes.
//!
//! **A window gives, bit for bit, what a fresh stream gives that is fed the same rows**, because a window is
//! answered by feeding it to a fresh stream. **Windows that are answered together do not touch each other**: a
//! pass shares only the reading of the weights.

use crate::artefact;
use crate::encoder::{Channel, Encoder, Memory};
use crate::interval::{Intervals, SCALE_MEMORY_ROWS, updated_scale};
use crate::kernel::{dispatch, dot};
use crate::spec::{Family, Spec};
use spinwell_core::{Code, ModelHash, NumericProfile, Series};

/// A reservoir that has not forgotten its start after this many rows is taken never to.
pub(crate) const FORGETS_WITHIN: usize = 1000;

/// The linear readout: one row of weights per output, outputs ordered by step, then target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readout {
    /// Outputs × padded features.
    pub(crate) weights: Vec<f32>,
    /// One per output, added in 64 bits.
    pub(crate) intercepts: Vec<f64>,
}

impl Readout {
    /// The standardised correction of one output.
    #[inline(always)]
    pub(crate) fn output(&self, index: usize, features: &[f32]) -> f64 {
        let weights = &self.weights[index * features.len()..][..features.len()];
        self.intercepts[index] + f64::from(dot(weights, features))
    }
}

/// Everything a model file holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    /// The choices it was trained with.
    pub(crate) spec: Spec,
    /// Rows to features.
    pub(crate) encoder: Encoder,
    /// How many channels are targets (the first ones).
    pub(crate) targets: usize,
    /// Rows ahead.
    pub(crate) horizon: usize,
    /// Rows of a season, 1 for none.
    pub(crate) season: usize,
    /// Features to corrections of the base.
    pub(crate) readout: Readout,
    /// How far the truth strays.
    pub(crate) intervals: Intervals,
    /// Rows after which the reservoir has forgotten its start to 1e-3; `None` where it does not.
    pub(crate) forget_rows: Option<usize>,
    /// The time column of the training file, so that later files are ordered alike.
    pub(crate) time_column: Option<String>,
}

/// A trained model, ready to serve.
#[derive(Debug, Clone)]
pub struct Model {
    parts: Parts,
    hash: ModelHash,
    channel_names: Vec<String>,
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

/// The state of one stream: a fold of the rows it was fed.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    memory: Memory,
    /// Interval scale of each track.
    scales: Vec<f64>,
    /// Forecasts whose truth has not come: for each track a ring as long as its horizon.
    pending: Vec<Vec<f32>>,
}

/// Buffers that a step needs; one may serve any number of streams, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    features: Vec<f32>,
    steps: [Vec<f32>; 4],
}

impl Model {
    /// Puts a model together and names it by its bytes.
    pub(crate) fn assemble(parts: Parts) -> Self {
        let hash = artefact::hash(&artefact::encode(&parts));
        Self::with_hash(parts, hash)
    }

    pub(crate) fn with_hash(parts: Parts, hash: ModelHash) -> Self {
        let channel_names = parts.encoder.channels.iter().map(|channel| channel.name.clone()).collect();
        Self { parts, hash, channel_names }
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Where the bytes are not a model file, are damaged, or are of a newer format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, artefact::Error> {
        artefact::decode(bytes).map(|parts| Self::with_hash(parts, artefact::hash(bytes)))
    }

    /// The bytes of the model file. The same model always gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        artefact::encode(&self.parts)
    }

    /// The SHA-256 of the model file.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        self.hash
    }

    /// The family it belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        self.parts.spec.family
    }

    /// The choices it was trained with.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.parts.spec
    }

    /// Rows ahead that a forecast reaches.
    #[must_use]
    pub fn horizon(&self) -> usize {
        self.parts.horizon
    }

    /// Rows of a season, 1 for none.
    #[must_use]
    pub fn season(&self) -> usize {
        self.parts.season
    }

    /// The channels of a row in order: targets first, then exogenous inputs.
    #[must_use]
    pub fn channels(&self) -> &[String] {
        &self.channel_names
    }

    /// The channels that are forecast.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        &self.channel_names[..self.parts.targets]
    }

    /// Nominal coverage of the intervals, in (0, 1).
    #[must_use]
    pub fn coverage(&self) -> f64 {
        self.parts.intervals.coverage
    }

    /// Whether training left enough scores for the nominal coverage.
    #[must_use]
    pub fn is_calibrated(&self) -> bool {
        self.parts.intervals.are_calibrated()
    }

    /// The time column of the training file.
    #[must_use]
    pub fn time_column(&self) -> Option<&str> {
        self.parts.time_column.as_deref()
    }

    /// The arithmetic its predictions are made with.
    #[must_use]
    pub fn profile(&self) -> NumericProfile {
        NumericProfile::CpuF32
    }

    /// Rows of the shortest window that has a forecast: as far as the lags look back.
    #[must_use]
    pub fn window_min(&self) -> usize {
        self.parts.encoder.rows_needed()
    }

    /// Rows after which reservoir and interval scale have forgotten their start to 1e-3.
    #[must_use]
    pub fn window_recommended(&self) -> usize {
        self.scored_from() + self.parts.intervals.scored.last().copied().unwrap_or(1) + SCALE_MEMORY_ROWS
    }

    /// Rows after which the reservoir alone has forgotten its start to 1e-3; `None` where it does not.
    #[must_use]
    pub fn forget_rows(&self) -> Option<usize> {
        self.parts.forget_rows
    }

    /// From this many rows on a stream's own errors enter its interval scale: earlier ones come from a state
    /// that still remembers where it started.
    fn scored_from(&self) -> usize {
        self.window_min().max(self.parts.forget_rows.unwrap_or(FORGETS_WITHIN))
    }

    /// A stream that has seen nothing.
    #[must_use]
    pub fn stream(&self) -> Stream {
        let intervals = &self.parts.intervals;
        let horizons = intervals.scored.iter().cycle();
        Stream {
            memory: self.parts.encoder.fresh(),
            scales: intervals.tracks.iter().map(|track| track.initial_scale).collect(),
            pending: intervals.tracks.iter().zip(horizons).map(|(_, &horizon)| vec![0.0; horizon]).collect(),
        }
    }

    /// Feeds one row (one finite value per channel) to a stream.
    ///
    /// # Panics
    /// Where the row has fewer values than the model has channels.
    pub fn step(&self, stream: &mut Stream, row: &[f64], scratch: &mut Scratch) {
        let Scratch { features, steps: [step, ..] } = scratch;
        let mut steps = [std::mem::take(step)];
        dispatch(
            #[inline(always)]
            || self.advance(&mut [stream], |_, channel| row[channel], features, &mut steps),
        );
        [*step] = steps;
    }

    /// The forecast of a stream from its newest row.
    ///
    /// # Errors
    /// [`WindowError::TooShort`] before the stream has seen [`Model::window_min`] rows.
    pub fn forecast(&self, stream: &Stream, scratch: &mut Scratch) -> Result<Forecast, WindowError> {
        let (rows, window_min) = (stream.memory.rows, self.window_min());
        if rows < window_min {
            return Err(WindowError::TooShort { rows, window_min });
        }
        Ok(dispatch(
            #[inline(always)]
            || self.read_out(stream, &mut scratch.features),
        ))
    }

    /// Forecasts of several windows, in order, each with its own result. The bits of a result do not depend on
    /// the other windows.
    #[must_use]
    pub fn forecast_windows(&self, windows: &[Window<'_>]) -> Vec<Result<Forecast, WindowError>> {
        let mut results: Vec<_> = windows.iter().map(|window| self.check(window).map(|()| None)).collect();
        let mut order: Vec<usize> = (0..windows.len()).filter(|&index| results[index].is_ok()).collect();
        order.sort_by_key(|&index| windows[index].series.rows());
        let mut scratch = Scratch::default();
        let mut rest = &order[..];
        while let Some(&first) = rest.first() {
            let alike = rest
                .iter()
                .take_while(|&&i| windows[i].series.rows() == windows[first].series.rows())
                .count();
            let taken = match alike {
                4.. => self.forecast_together::<4>(&rest[..4], windows, &mut results, &mut scratch),
                2.. => self.forecast_together::<2>(&rest[..2], windows, &mut results, &mut scratch),
                _ => self.forecast_together::<1>(&rest[..1], windows, &mut results, &mut scratch),
            };
            rest = &rest[taken..];
        }
        let answered = |result: Result<Option<Forecast>, WindowError>| {
            result.map(|forecast| forecast.expect("every checked window was forecast"))
        };
        results.into_iter().map(answered).collect()
    }

    fn check(&self, window: &Window<'_>) -> Result<(), WindowError> {
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

    /// Answers `STREAMS` windows of equal length in one pass and returns `STREAMS`.
    fn forecast_together<const STREAMS: usize>(
        &self,
        indices: &[usize],
        windows: &[Window<'_>],
        results: &mut [Result<Option<Forecast>, WindowError>],
        scratch: &mut Scratch,
    ) -> usize {
        let taken: [Window<'_>; STREAMS] = std::array::from_fn(|s| windows[indices[s]]);
        let rows = taken[0].series.rows();
        let mut streams: [Stream; STREAMS] = std::array::from_fn(|_| self.stream());
        let mut steps: [Vec<f32>; STREAMS] = std::array::from_fn(|s| std::mem::take(&mut scratch.steps[s]));
        let features = &mut scratch.features;
        dispatch(
            #[inline(always)]
            || {
                for row in 0..rows {
                    let value =
                        |s: usize, channel: usize| taken[s].series.value(taken[s].index, row, channel);
                    self.advance(&mut streams.each_mut(), value, features, &mut steps);
                }
                for (stream, &index) in streams.iter().zip(indices) {
                    results[index] = Ok(Some(self.read_out(stream, features)));
                }
            },
        );
        for (own, used) in scratch.steps.iter_mut().zip(steps) {
            *own = used;
        }
        STREAMS
    }

    /// One row of each of a few streams: score what it confirms, step, and note what is to be scored later.
    #[inline(always)]
    fn advance<const STREAMS: usize>(
        &self,
        streams: &mut [&mut Stream; STREAMS],
        row: impl Fn(usize, usize) -> f64,
        features: &mut Vec<f32>,
        steps: &mut [Vec<f32>; STREAMS],
    ) {
        let encoder = &self.parts.encoder;
        for (index, stream) in streams.iter_mut().enumerate() {
            self.score(stream, |target| encoder.channels[target].standardise(row(index, target)));
        }
        encoder.advance(&mut streams.each_mut().map(|stream| &mut stream.memory), &row, steps);
        for stream in streams.iter_mut() {
            if stream.memory.rows >= self.scored_from() {
                self.note_pending(stream, features);
            }
        }
    }

    /// Updates the scales by the errors of the forecasts that were made for the row now arriving.
    #[inline(always)]
    fn score(&self, stream: &mut Stream, truth: impl Fn(usize) -> f32) {
        let scored = &self.parts.intervals.scored;
        let rows = stream.memory.rows;
        for (track, (scale, pending)) in stream.scales.iter_mut().zip(&stream.pending).enumerate() {
            let horizon = scored[track % scored.len()];
            if rows >= self.scored_from() + horizon - 1 {
                let error = f64::from(truth(track / scored.len())) - f64::from(pending[rows % horizon]);
                *scale = updated_scale(*scale, error.abs());
            }
        }
    }

    /// Stores the forecasts of the scored horizons until their truth comes.
    #[inline(always)]
    fn note_pending(&self, stream: &mut Stream, features: &mut Vec<f32>) {
        let Parts { encoder, readout, intervals, targets, .. } = &self.parts;
        features.resize(encoder.padded_len(), 0.0);
        features[encoder.features_len()..].fill(0.0);
        encoder.features(&stream.memory, features);
        let scored = &intervals.scored;
        for (track, pending) in stream.pending.iter_mut().enumerate() {
            let (target, horizon) = (track / scored.len(), scored[track % scored.len()]);
            let base = encoder.base_of(&stream.memory, target, horizon);
            let correction = readout.output((horizon - 1) * targets + target, features);
            // The forecast made now, at row count r, is for row r + horizon − 1 (from 0).
            let slot = (stream.memory.rows + horizon - 1) % horizon;
            pending[slot] = (f64::from(base) + correction) as f32;
        }
    }

    #[inline(always)]
    fn read_out(&self, stream: &Stream, features: &mut Vec<f32>) -> Forecast {
        let Parts { encoder, readout, intervals, targets, horizon, .. } = &self.parts;
        features.resize(encoder.padded_len(), 0.0);
        features[encoder.features_len()..].fill(0.0);
        encoder.features(&stream.memory, features);
        let outputs = targets * horizon;
        let mut result = Forecast {
            forecast: Vec::with_capacity(outputs),
            lower: Vec::with_capacity(outputs),
            upper: Vec::with_capacity(outputs),
        };
        for step in 1..=*horizon {
            for target in 0..*targets {
                let base = f64::from(encoder.base_of(&stream.memory, target, step));
                let z = base + readout.output((step - 1) * targets + target, features);
                let half = intervals.half_width(&stream.scales, target, step);
                let channel: &Channel = &encoder.channels[target];
                result.forecast.push(channel.restore(z) as f32);
                result.lower.push(channel.restore(z - half) as f32);
                result.upper.push(channel.restore(z + half) as f32);
            }
        }
        result
    }
}
