//! What is remembered under one key: what each version forecast, and as much of the truth as is known.

use super::figures::{Matured, ModelFigures};
use super::{Key, Matched, Refusal};
use spinwell_core::{Millis, ModelVersion};

/// What an entry takes beside its numbers: itself, its key in two maps, and what maps keep free.
const ENTRY_BYTES: usize = 512;
/// What a forecast takes beside its numbers, and what a list keeps free.
const FORECAST_BYTES: usize = 256;

/// Steps ahead and targets of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Steps ahead.
    pub horizon: usize,
    /// Values of each step.
    pub targets: usize,
}

impl Shape {
    fn values(self) -> Option<usize> {
        self.horizon.checked_mul(self.targets).filter(|&values| values > 0)
    }
}

/// The interval of a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Its lower ends, `[horizon, targets]`.
    pub lower: Box<[f32]>,
    /// Its upper ends, `[horizon, targets]`.
    pub upper: Box<[f32]>,
    /// The share of truths that it should hold, below 1.
    pub coverage: f64,
}

/// The rows that a step of a sequence brought, of the targets alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Fed {
    /// How many there were.
    pub rows: u64,
    targets: usize,
    /// The first of them, as many as any forecast awaits.
    values: Box<[f32]>,
}

impl Fed {
    /// `rows` rows that begin with these `values`, `targets` in each; `None` where they are no whole rows.
    #[must_use]
    pub fn new(rows: u64, targets: usize, values: Vec<f32>) -> Option<Self> {
        let is_whole = targets > 0 && values.len().is_multiple_of(targets);
        is_whole.then(|| Self { rows, targets, values: values.into() })
    }

    pub(super) fn targets(&self) -> usize {
        self.targets
    }

    /// The rows whose values are known.
    pub(super) fn known(&self) -> usize {
        self.values.len() / self.targets
    }

    pub(super) fn first(&self, rows: usize) -> &[f32] {
        &self.values[..rows * self.targets]
    }
}

/// What a version forecast from one window or step.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    shape: Shape,
    values: Box<[f32]>,
    interval: Option<Interval>,
    last: Option<Box<[f32]>>,
    fed: Option<Fed>,
}

impl Forecast {
    /// These values, `[horizon, targets]`; `None` where there are none, or as many as the shape does not have.
    #[must_use]
    pub fn new(shape: Shape, values: Vec<f32>) -> Option<Self> {
        let fits = shape.values() == Some(values.len());
        fits.then(|| Self { shape, values: values.into(), interval: None, last: None, fed: None })
    }

    /// The same with its interval, where that has the same shape.
    #[must_use]
    pub fn within(mut self, interval: Interval) -> Self {
        let fits = [&interval.lower, &interval.upper].iter().all(|ends| ends.len() == self.values.len());
        self.interval = fits.then_some(interval);
        self
    }

    /// The same with the last row that it was made from, `[targets]`, which is what the naive forecast says.
    #[must_use]
    pub fn after(mut self, last: Vec<f32>) -> Self {
        self.last = (last.len() == self.shape.targets).then(|| last.into());
        self
    }

    /// The same with what its step fed to its sequence.
    #[must_use]
    pub fn fed_with(mut self, fed: Fed) -> Self {
        self.fed = Some(fed);
        self
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn fed(&self) -> Option<&Fed> {
        self.fed.as_ref()
    }

    fn bytes(&self) -> usize {
        let interval = if self.interval.is_some() { 2 * self.values.len() } else { 0 };
        let values = self.values.len() + interval + self.last.as_ref().map_or(0, |last| last.len());
        FORECAST_BYTES + size_of::<f32>() * values
    }

    /// How it did against the truth of a step ahead, from 0, for each target.
    fn judge<'a>(&'a self, step: usize, truth: &'a [f32]) -> impl Iterator<Item = Matured> + 'a {
        truth.iter().enumerate().map(move |(target, &truth)| {
            let at = step * self.shape.targets + target;
            let truth = f64::from(truth);
            let interval = self.interval.as_ref().map(|interval| {
                let (lower, upper) = (f64::from(interval.lower[at]), f64::from(interval.upper[at]));
                (lower, upper, interval.coverage)
            });
            let naive = self.last.as_ref().map(|last| f64::from(last[target]) - truth);
            Matured::new(f64::from(self.values[at]) - truth, truth, interval, naive)
        })
    }

    /// The mean of the absolute errors of a step ahead, from 0.
    fn absolute_error(&self, step: usize, truth: &[f32]) -> f64 {
        let values = &self.values[step * self.shape.targets..][..truth.len()];
        let errors = values.iter().zip(truth).map(|(value, truth)| f64::from(*value) - f64::from(*truth));
        errors.map(f64::abs).sum::<f64>() / truth.len() as f64
    }
}

/// A forecast, and how much of its truth is missing.
#[derive(Debug)]
struct Remembered {
    version: ModelVersion,
    forecast: Forecast,
    missing: usize,
}

/// What a forecast is to what is remembered under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is there already.
    Same,
    /// Another version forecast from the same row.
    Joins,
    /// It has nothing to do with it: the key was used again.
    Replaces,
    /// The versions do not forecast the same targets.
    OtherTargets,
}

/// What is remembered under one key.
#[derive(Debug)]
pub(super) struct Entry {
    key: Key,
    ordinal: u64,
    born: Millis,
    /// Rows of the sequence up to the one that was forecast from.
    rows_end: u64,
    /// The sequence was begun anew since, or its state replaced: its rows do not follow from here.
    is_of_earlier_run: bool,
    targets: usize,
    /// `[horizon, targets]`; NaN where it is not known, which no truth can be.
    truths: Vec<f32>,
    forecasts: Vec<Remembered>,
}

impl Entry {
    pub(super) fn new(key: Key, ordinal: u64, shape: Shape, rows_end: u64, born: Millis) -> Self {
        let (targets, forecasts) = (shape.targets, Vec::with_capacity(1));
        let (is_of_earlier_run, truths) = (false, Vec::new());
        Self { key, ordinal, born, rows_end, is_of_earlier_run, targets, truths, forecasts }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn born(&self) -> Millis {
        self.born
    }

    pub(super) fn rows_end(&self) -> u64 {
        self.rows_end
    }

    pub(super) fn is_of_earlier_run(&self) -> bool {
        self.is_of_earlier_run
    }

    pub(super) fn leave_run(&mut self) {
        self.is_of_earlier_run = true;
    }

    /// The run that is under way has made the same forecast, `rows_end` rows after its first.
    pub(super) fn join_run(&mut self, rows_end: u64) {
        (self.is_of_earlier_run, self.rows_end) = (false, rows_end);
    }

    pub(super) fn targets(&self) -> usize {
        self.targets
    }

    /// Steps ahead of the forecast that looks the furthest.
    pub(super) fn horizon(&self) -> usize {
        self.truths.len() / self.targets
    }

    pub(super) fn bytes(&self) -> usize {
        let forecasts: usize = self.forecasts.iter().map(|one| one.forecast.bytes()).sum();
        ENTRY_BYTES + self.key.bytes() + size_of::<f32>() * self.truths.capacity() + forecasts
    }

    pub(super) fn relation(&self, version: ModelVersion, forecast: &Forecast) -> Relation {
        if forecast.shape.targets != self.targets {
            return Relation::OtherTargets;
        }
        if self.forecasts.iter().any(|one| one.forecast.last != forecast.last) {
            return Relation::Replaces;
        }
        match self.forecasts.iter().find(|one| one.version == version) {
            None => Relation::Joins,
            // What a step fed is forgotten once it is matched.
            Some(one)
                if one.forecast.values == forecast.values && one.forecast.interval == forecast.interval =>
            {
                Relation::Same
            }
            Some(_) => Relation::Replaces,
        }
    }

    /// Adds what a version forecast; what is known of the truth counts for it at once.
    pub(super) fn join(&mut self, version: ModelVersion, mut forecast: Forecast, figures: &mut ModelFigures) {
        let horizon = forecast.shape.horizon;
        forecast.fed = None;
        if horizon > self.horizon() {
            self.truths.reserve_exact(horizon * self.targets - self.truths.len());
            self.truths.resize(horizon * self.targets, f32::NAN);
        }
        figures.begin_awaiting(version);
        self.forecasts.push(Remembered { version, forecast, missing: horizon });
        for step in 0..horizon {
            if self.is_known(step) {
                self.mature(step, self.forecasts.len() - 1, figures);
            }
        }
    }

    /// Takes the truth for the steps ahead behind the first `passed`: rows of the entry's targets.
    pub(super) fn observe(
        &mut self,
        passed: usize,
        values: &[f32],
        figures: &mut ModelFigures,
    ) -> Result<Matched, Refusal> {
        let rows = values.len() / self.targets;
        let horizon = self.horizon();
        if rows == 0 || passed.checked_add(rows).is_none_or(|end| end > horizon) {
            return Err(Refusal::Horizon { horizon });
        }
        let contradicted = values
            .chunks_exact(self.targets)
            .zip(passed..)
            .find(|(row, step)| self.is_known(*step) && self.truth(*step) != *row);
        if let Some((_, step)) = contradicted {
            return Err(Refusal::Contradicts { step: step + 1 });
        }
        let mut result = Matched::default();
        for (row, step) in values.chunks_exact(self.targets).zip(passed..) {
            if self.is_known(step) {
                result.repeated += 1;
                continue;
            }
            self.truths[step * self.targets..][..self.targets].copy_from_slice(row);
            for index in 0..self.forecasts.len() {
                self.mature(step, index, figures);
            }
            result.matched += 1;
        }
        Ok(result)
    }

    /// Counts a step of one forecast, and its difference from those that were counted before it.
    fn mature(&mut self, step: usize, index: usize, figures: &mut ModelFigures) {
        let truth = &self.truths[step * self.targets..][..self.targets];
        let (earlier, rest) = self.forecasts.split_at_mut(index);
        let Some(one) = rest.first_mut().filter(|one| step < one.forecast.shape.horizon) else { return };
        one.missing -= 1;
        figures.count(one.version, one.forecast.judge(step, truth), one.missing == 0);
        let error = one.forecast.absolute_error(step, truth);
        for other in earlier.iter().filter(|other| step < other.forecast.shape.horizon) {
            let others = (other.version, other.forecast.absolute_error(step, truth));
            figures.pair((one.version, error), others, self.ordinal, step);
        }
    }

    pub(super) fn count_forgotten(&self, figures: &mut ModelFigures) {
        for one in self.forecasts.iter().filter(|one| one.missing > 0) {
            figures.end_awaiting(one.version);
            figures.count_forgotten(one.version);
        }
    }

    /// Forecasts of which some truth is missing.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.forecasts.iter().filter(|one| one.missing > 0).count()
    }

    fn truth(&self, step: usize) -> &[f32] {
        &self.truths[step * self.targets..][..self.targets]
    }

    fn is_known(&self, step: usize) -> bool {
        !self.truths[step * self.targets].is_nan()
    }
}
