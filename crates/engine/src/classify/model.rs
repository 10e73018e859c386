//! A trained classifier: from a window of rows to a label and probabilities.
//!
//! One window is one pass through one path, whoever asks: standardise in 64 bits, features in 32, scores in 64, a
//! softmax. Nothing depends on other windows of a batch, so neither do the bits.

use super::extract::Extractor;
use super::series::{Normalise, Scaler, Series};
use super::shape::Buffers;
use super::softmax::{best, softmax};
use super::spec::ClassifierFamily;
use crate::artefact::{self, Kind};
use crate::kernel::{LANES, dispatch, dot};
use crate::model::Window;
use spinwell_core::{Code, ModelHash};

/// What a classifier is, as plain as its file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    /// The family it belongs to.
    pub(crate) family: ClassifierFamily,
    /// Its choices as key and value, for people.
    pub(crate) parameters: Vec<(String, String)>,
    /// The labels, in the order of probabilities.
    pub(crate) labels: Vec<String>,
    /// Names of the channels.
    pub(crate) channels: Vec<String>,
    /// Rows that a window needs at least.
    pub(crate) window_min: usize,
    /// Mean and deviation of the channels.
    pub(crate) scaler: Scaler,
    /// Whether every series is standardised by itself.
    pub(crate) normalise: Normalise,
    /// Its blocks of features.
    pub(crate) blocks: Vec<Extractor>,
    /// Label after label, one weight per feature, padded with zeros to a multiple of 16.
    pub(crate) weights: Vec<f32>,
    /// One per label.
    pub(crate) intercepts: Vec<f64>,
    /// What scores are multiplied by before the softmax.
    pub(crate) factor: f64,
}

impl Parts {
    /// Number of features including padding.
    pub(crate) fn padded_len(&self) -> usize {
        self.blocks.iter().map(Extractor::len).sum::<usize>().next_multiple_of(LANES)
    }
}

/// A trained classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    parts: Parts,
    /// The readout's weights, widened once.
    weights: Vec<f64>,
    /// What it is called: the hash of its file.
    hash: ModelHash,
}

/// The answer for one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The most probable label's place in [`Classifier::labels`].
    pub label: usize,
    /// One probability per label, calibrated on training cases that were left out; they sum to 1 within rounding.
    pub probabilities: Vec<f32>,
}

/// Why a window has no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassifyError {
    /// Fewer rows than the classifier was made for.
    #[error("the window has {rows} rows; this classifier needs at least {window_min}")]
    TooShort {
        /// Rows sent.
        rows: usize,
        /// Rows needed.
        window_min: usize,
    },
    /// Another number of channels than the classifier was trained on.
    #[error("the window holds {values} values, which are not rows of the {wanted} channels {names}")]
    Channels {
        /// Values sent.
        values: usize,
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

impl ClassifyError {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            ClassifyError::TooShort { .. } => Code::WindowTooShort,
            ClassifyError::Channels { .. } => Code::TensorShape,
            ClassifyError::NotFinite { .. } => Code::TensorNotFinite,
        }
    }
}

impl Classifier {
    /// Puts a classifier together from parts that are known to fit.
    pub(crate) fn assemble(parts: Parts) -> Self {
        let weights = parts.weights.iter().map(|&weight| f64::from(weight)).collect();
        let mut classifier = Self { parts, weights, hash: ModelHash([0; 32]) };
        classifier.hash = artefact::hash(&classifier.to_bytes());
        classifier
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Where the bytes are not a model file, are damaged, are of a newer format or hold another kind of model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, artefact::Error> {
        artefact::open_as(bytes, Kind::Classifier, Self::decode)
    }

    /// The bytes of the model file. The same classifier always gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        artefact::seal(Kind::Classifier, |writer| self.encode(writer))
    }

    /// The SHA-256 of the model file.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        self.hash
    }

    /// What it is made of.
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The labels, in the order of probabilities.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.parts.labels
    }

    /// Names of the channels of a row, in order.
    #[must_use]
    pub fn channels(&self) -> &[String] {
        &self.parts.channels
    }

    /// The family it belongs to.
    #[must_use]
    pub fn family(&self) -> ClassifierFamily {
        self.parts.family
    }

    /// Its choices as key and value.
    #[must_use]
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parts.parameters
    }

    /// Rows that a window needs at least: half of the shortest training case's, and 3.
    #[must_use]
    pub fn window_min(&self) -> usize {
        self.parts.window_min
    }

    /// Number of features that the readout sees.
    #[must_use]
    pub fn features(&self) -> usize {
        self.parts.blocks.iter().map(Extractor::len).sum()
    }

    /// Classifies one window: row after row, each with one value per channel.
    ///
    /// # Errors
    /// Where the window is too short, is not made of whole rows, or holds a value that is not a finite number.
    pub fn classify(&self, window: &[f64]) -> Result<Classified, ClassifyError> {
        let channels = self.parts.channels.len();
        if !window.len().is_multiple_of(channels) {
            let names = self.parts.channels.join(", ");
            return Err(ClassifyError::Channels { values: window.len(), wanted: channels, names });
        }
        let (rows, window_min) = (window.len() / channels, self.parts.window_min);
        if rows < window_min {
            return Err(ClassifyError::TooShort { rows, window_min });
        }
        if let Some(at) = window.iter().position(|value| !value.is_finite()) {
            let channel = self.parts.channels[at % channels].clone();
            return Err(ClassifyError::NotFinite { row: at / channels, channel });
        }
        Ok(self.answer(window))
    }

    /// Classifies several windows, in order, each with its own result. The bits of a result do not depend on the
    /// other windows.
    #[must_use]
    pub fn classify_windows(&self, windows: &[Window<'_>]) -> Vec<Result<Classified, ClassifyError>> {
        let one = |window: &Window<'_>| {
            let (series, wanted) = (window.series, self.parts.channels.len());
            let (rows, channels) = (series.rows(), series.channels());
            if channels != wanted {
                let names = self.parts.channels.join(", ");
                return Err(ClassifyError::Channels { values: rows * channels, wanted, names });
            }
            let first = window.index * rows * channels;
            let values = (first..first + rows * channels).map(|at| series.samples().get(at));
            self.classify(&values.collect::<Vec<f64>>())
        };
        windows.iter().map(one).collect()
    }

    /// The answer for a window of at least three whole rows of finite numbers.
    pub(crate) fn answer(&self, window: &[f64]) -> Classified {
        let series = self.parts.scaler.standardise(window, self.parts.normalise);
        let mut scores = self.scores(&series);
        let label = best(scores.iter().copied());
        softmax(&mut scores, self.parts.factor);
        Classified { label, probabilities: scores.into_iter().map(|p| p as f32).collect() }
    }

    fn scores(&self, series: &Series) -> Vec<f64> {
        let width = self.parts.padded_len();
        let (mut buffers, mut features) = (Buffers::default(), Vec::with_capacity(width));
        for block in &self.parts.blocks {
            block.append(series, self.parts.channels.len(), &mut buffers, &mut features);
        }
        features.resize(width, 0.0);
        let features: Vec<f64> = features.into_iter().map(f64::from).collect();
        let labels = self.parts.intercepts.iter().enumerate();
        labels
            .map(|(label, intercept)| {
                let weights = &self.weights[label * width..][..width];
                intercept
                    + dispatch(
                        #[inline(always)]
                        || dot(weights, &features),
                    )
            })
            .collect()
    }
}
