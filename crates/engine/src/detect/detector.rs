//! The detector: a forecaster, and the tails of its errors.

use super::spans::{Averages, SPANS};
use super::tail::{Level, SIZES_MAX, Tail};
use crate::artefact::{self, Error, Kind, Reader, ensure};
use crate::model::{Model, Scratch, StateError, Stream, Window, WindowError};
use spinwell_core::ModelHash;

/// What is said of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// −ln p, at least 0: how unlikely the row is.
    pub score: f64,
    /// Whether p is at most the detector's alpha.
    pub is_anomaly: bool,
}

/// A trained detector, ready to serve. It watches the forecaster's targets.
#[derive(Debug, Clone)]
pub struct Detector {
    forecaster: Model,
    alpha: f64,
    /// Target after target, for each its spans.
    tails: Vec<Tail>,
    hash: ModelHash,
}

/// What a detector remembers of one stream.
#[derive(Debug, Clone)]
pub struct Watch {
    stream: Stream,
    averages: Vec<Averages>,
    levels: Vec<Level>,
    newest: Option<Verdict>,
}

impl Watch {
    /// What was said of the newest row; nothing where there was no forecast to judge it by.
    #[must_use]
    pub fn newest(&self) -> Option<Verdict> {
        self.newest
    }

    /// Everything beside the forecaster's stream, always in the same order; whatever `each` makes of it is kept.
    fn visit(&mut self, each: &mut dyn FnMut(&mut f64)) {
        for (mean, squares) in self.averages.iter_mut().flat_map(Averages::numbers) {
            each(mean);
            each(squares);
        }
        for level in &mut self.levels {
            [&mut level.level, &mut level.excess, &mut level.rows].into_iter().for_each(&mut *each);
        }
    }
}

impl Detector {
    pub(super) fn assemble(forecaster: Model, alpha: f64, tails: Vec<Tail>) -> Self {
        let mut detector = Self { forecaster, alpha, tails, hash: ModelHash([0; 32]) };
        detector.hash = artefact::hash(&detector.to_bytes());
        detector
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Where the bytes are not a model file, are damaged, are of a newer format or hold another kind of model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        artefact::open_as(bytes, Kind::Detector, Self::decode)
    }

    /// The bytes of the model file. The same detector always gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        artefact::seal(Kind::Detector, |w| {
            artefact::write_core(w, self.forecaster.core());
            w.f64(self.alpha);
            for Tail { sizes, start } in &self.tails {
                w.f32s(sizes);
                [start.level, start.excess, start.rows].into_iter().for_each(|value| w.f64(value));
            }
        })
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let forecaster = Model::of_core(artefact::read_core(r)?);
        ensure(forecaster.hears_targets(), "a detector must hear what it watches")?;
        let alpha = r.f64()?;
        ensure(alpha > 0.0 && alpha < 1.0, "alpha is not between 0 and 1")?;
        let mut tails = Vec::new();
        for _ in 0..forecaster.targets().len() * SPANS.len() {
            let sizes = r.f32s()?;
            let start = Level { level: r.f64()?, excess: r.f64()?, rows: r.f64()? };
            ensure(sizes.len() <= SIZES_MAX, "a tail keeps too many sizes")?;
            tails.push(Tail { sizes, start });
        }
        ensure(tails.iter().all(Tail::is_sound), "a tail's numbers contradict each other")?;
        Ok(Self::assemble(forecaster, alpha, tails))
    }

    /// The SHA-256 of the model file.
    #[must_use]
    pub fn hash(&self) -> ModelHash {
        self.hash
    }

    /// The forecaster whose errors are watched.
    #[must_use]
    pub fn forecaster(&self) -> &Model {
        &self.forecaster
    }

    /// The share of usual rows that are called anomalies all the same, in (0, 1).
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The channels that are watched.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        self.forecaster.targets()
    }

    /// Rows that a window needs: those after which forecasts are scored, because reservoirs have forgotten their start,
    /// and the one that is judged.
    #[must_use]
    pub fn window_min(&self) -> usize {
        self.forecaster.scored_from() + 1
    }

    /// Rows that a window should have: the forecaster's own, and the longest span of errors after its first forecast.
    #[must_use]
    pub fn window_recommended(&self) -> usize {
        self.forecaster.window_recommended().max(self.forecaster.scored_from() + SPANS[SPANS.len() - 1]) + 1
    }

    /// A watch that has seen nothing.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            stream: self.forecaster.stream(),
            averages: vec![Averages::default(); self.targets().len()],
            levels: self.tails.iter().map(|tail| tail.start).collect(),
            newest: None,
        }
    }

    /// Judges the next row, `[channels]` in the data's units, and learns from it. `None` before there is a forecast to
    /// judge it by. A target that is NaN is not judged; its place is to be filled for the forecaster by
    /// [`Detector::step_filled`].
    pub fn step(&self, watch: &mut Watch, row: &[f64], scratch: &mut Scratch) -> Option<Verdict> {
        self.step_filled(watch, row, row, scratch)
    }

    /// As [`Detector::step`], where the forecaster hears `heard` in place of a `row` that has NaN for what is missing.
    pub fn step_filled(
        &self,
        watch: &mut Watch,
        row: &[f64],
        heard: &[f64],
        scratch: &mut Scratch,
    ) -> Option<Verdict> {
        let mut most = None::<f64>;
        for (target, &truth) in row.iter().enumerate().take(self.targets().len()) {
            let surprise = self.forecaster.surprise(&watch.stream, target, truth);
            let Some(surprise) = surprise.filter(|surprise| surprise.truth.is_finite()) else { continue };
            let sizes = watch.averages[target].observe(surprise.error());
            for (span, size) in sizes.into_iter().enumerate() {
                let place = target * SPANS.len() + span;
                let unlikely = self.tails[place].minus_log_p(&watch.levels[place], size);
                watch.levels[place].observe(size);
                most = Some(most.map_or(unlikely, |most| most.max(unlikely)));
            }
        }
        self.forecaster.step_with_truth(&mut watch.stream, heard, &row[..self.targets().len()], scratch);
        watch.newest = most.map(|most| self.verdict((most - (self.tails.len() as f64).ln()).max(0.0)));
        watch.newest
    }

    fn verdict(&self, score: f64) -> Verdict {
        Verdict { score, is_anomaly: score >= -self.alpha.ln() }
    }

    /// A watch's state as bytes: those of its forecaster's stream behind their length, then plain numbers.
    #[must_use]
    pub fn save_state(&self, watch: &Watch) -> Vec<u8> {
        let stream = self.forecaster.save_state(&watch.stream);
        let mut bytes = (stream.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&stream);
        // No verdict is a score below zero.
        bytes.extend_from_slice(&watch.newest.map_or(-1.0, |newest| newest.score).to_le_bytes());
        watch.clone().visit(&mut |number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes
    }

    /// The watch whose state [`Detector::save_state`] gave.
    ///
    /// # Errors
    /// Where the bytes are not a state of this very detector.
    pub fn restore_state(&self, bytes: &[u8]) -> Result<Watch, StateError> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(StateError::Foreign)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| StateError::Foreign)?;
        let (stream, rest) = rest.split_at_checked(length).ok_or(StateError::Foreign)?;
        let mut watch = Watch { stream: self.forecaster.restore_state(stream)?, ..self.watch() };
        let (words, []) = rest.as_chunks::<8>() else { return Err(StateError::Damaged) };
        let mut numbers =
            words.iter().map(|word| f64::from_le_bytes(*word)).filter(|number| number.is_finite());
        let score = numbers.next().ok_or(StateError::Damaged)?;
        watch.newest = (score >= 0.0).then(|| self.verdict(score));
        let mut missing = false;
        watch.visit(&mut |own| match numbers.next() {
            Some(number) => *own = number,
            None => missing = true,
        });
        if missing || numbers.next().is_some() { Err(StateError::Damaged) } else { Ok(watch) }
    }

    /// Judges the last row of each window, whatever the others; a window is a watch that has seen nothing before it.
    #[must_use]
    pub fn judge_windows(&self, windows: &[Window<'_>]) -> Vec<Result<Verdict, WindowError>> {
        let mut scratch = Scratch::default();
        windows.iter().map(|window| self.judge(window, &mut scratch)).collect()
    }

    fn judge(&self, window: &Window<'_>, scratch: &mut Scratch) -> Result<Verdict, WindowError> {
        let (series, window_min) = (window.series, self.window_min());
        self.forecaster.check(window)?;
        let too_short = WindowError::TooShort { rows: series.rows(), window_min };
        let mut watch = self.watch();
        let mut verdict = None;
        for row in 0..series.rows() {
            let values: Vec<f64> =
                (0..series.channels()).map(|channel| series.value(window.index, row, channel)).collect();
            verdict = self.step(&mut watch, &values, scratch);
        }
        verdict.ok_or(too_short)
    }
}
