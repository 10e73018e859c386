//! Prediction intervals: how far the truth has strayed from forecasts like this one.
//!
//! The interval is forecast ± q·scale. `score` foresees the size of the error (the scale), `dtaci` chooses the
//! miss rate to play, and q is the quantile at that rate of a window of scores (|error| ÷ scale) that training left
//! out of its fits; `calibrate` draws all of that from those errors, `confidence` the probability that the direction
//! of a forecast is right. The window of scores, the weights of the scale and the starting rate are frozen in the
//! model. What adapts lives with a stream: running sizes of its own errors, the experts' rates and weights, and the
//! forecasts whose truth has not come ([`TrackState`], a few hundred numbers). A sliding window of a stream's own
//! scores was tried as well: it meets the same coverage, widens the intervals (interval score +2 to +3 % over 56 series
//! and horizons, up to +18 % at 48 rows ahead) and would be 500 more numbers a track.
//!
//! Everything happens in standardised units, one track per target and scored horizon; in between half-widths are
//! interpolated.

mod calibrate;
mod confidence;
mod dtaci;
mod score;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use calibrate::{Outcome, Setup, calibrate};
pub(crate) use confidence::{Confidence, Direction};
pub(crate) use score::{Phases, Scale};
pub(crate) use state::{SLOT, TrackState};

use dtaci::Dtaci;

/// Scores kept in a track: more change the quantile little, fewer make the 99 % level meaningless.
pub(crate) const WINDOW: usize = 500;
/// Rows after which all running means but the slowest have forgotten their start to 1e-2: ln 1e-2 ÷ ln 0.96.
const SETTLED_ROWS: usize = 113;
/// Seasons after which the phases tell more of the stream than of the start.
const SETTLED_SEASONS: usize = 3;
/// Horizons that are scored.
pub(crate) const SCORED_MAX: usize = 8;
/// Where the window is too short for the level, the largest score times up to this stands in.
const CAP: f64 = 1.5;
/// A coverage is claimed from this many expected misses in the window on.
const MISSES_MIN: f64 = 5.0;

/// The horizons whose errors are scored: all up to eight, else eight from 1 to `horizon` in equal ratios.
#[must_use]
pub(crate) fn scored_horizons(horizon: usize) -> Vec<usize> {
    if horizon <= SCORED_MAX {
        return (1..=horizon).collect();
    }
    let last = (SCORED_MAX - 1) as f64;
    let mut scored: Vec<usize> =
        (0..SCORED_MAX).map(|i| (horizon as f64).powf(i as f64 / last).round() as usize).collect();
    scored.dedup();
    scored
}

/// What a model keeps of one target at one horizon.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    /// The size of error to expect.
    pub(crate) scale: Scale,
    /// Out-of-sample scores, ascending, at most [`WINDOW`].
    pub(crate) scores: Vec<f32>,
    /// The miss rate a fresh stream plays: a little below the nominal one where the calibration errors were few.
    pub(crate) level: f64,
    /// How often the direction of such forecasts is right.
    pub(crate) confidence: Confidence,
}

impl Track {
    /// Half-width of the interval in scales that is missed at the rate `level`.
    #[inline]
    pub(crate) fn quantile(&self, level: f64) -> f64 {
        quantile(&self.scores, level)
    }

    /// Share of the window's scores that are at least `score`.
    #[inline]
    pub(crate) fn share_above(&self, score: f64) -> f64 {
        let below = self.scores.partition_point(|&own| f64::from(own) < score);
        (self.scores.len() - below) as f64 / self.scores.len().max(1) as f64
    }

    /// Whether every number is one that [`calibrate`] can give: for tracks that come from a file.
    pub(crate) fn is_sound(&self) -> bool {
        let Self { scale, scores, level, confidence } = self;
        let knots = &confidence.knots;
        let probability = |p: f32| (0.0..=1.0).contains(&p);
        let rising = |(a, b): (f32, f32)| a <= b;
        scale.is_sound()
            && scores.len() <= WINDOW
            && scores.iter().all(|&score| score.is_finite() && score >= 0.0)
            && scores.windows(2).all(|pair| rising((pair[0], pair[1])))
            && (0.0..=1.0).contains(level)
            && knots.len() <= confidence::KNOTS_MAX
            && knots.iter().all(|knot| probability(knot.0) && probability(knot.1))
            && knots.windows(2).all(|pair| pair[0].0 < pair[1].0 && rising((pair[0].1, pair[1].1)))
    }

    /// P(direction is right) before calibration: the truth lies beyond the last value unless the error is at least
    /// as large as the move and points back.
    #[inline]
    fn agreement(&self, moved: f64, scale: f64) -> f64 {
        1.0 - 0.5 * self.share_above(moved / scale)
    }
}

/// The score of rank (n + 1)·(1 − level) in an ascending window, interpolated between neighbours. Beyond the largest
/// score the result rises to [`CAP`] times it as the level falls to 0.
fn quantile(ascending: &[f32], level: f64) -> f64 {
    let [.., largest] = ascending else { return CAP };
    let (n, largest) = (ascending.len() as f64, f64::from(*largest));
    let rank = (n + 1.0) * (1.0 - level);
    if rank >= n {
        return largest * (1.0 + (CAP - 1.0) * (rank - n).min(1.0));
    }
    let place = (rank - 1.0).max(0.0);
    let low = place as usize;
    let left = f64::from(ascending[low]);
    // A single score has no neighbour.
    let right = ascending.get(low + 1).map_or(left, |&score| f64::from(score));
    left + (right - left) * (place - low as f64)
}

/// The intervals of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Intervals {
    /// Nominal coverage, in (0, 1).
    pub(crate) coverage: f64,
    /// Scored horizons, ascending, from 1 to the model's, at most [`SCORED_MAX`].
    pub(crate) scored: Vec<usize>,
    /// Target after target, for each its scored horizons.
    pub(crate) tracks: Vec<Track>,
    rules: Vec<Dtaci>,
}

/// What a stream expects of one target's forecasts from its newest row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlook<'i> {
    scored: &'i [usize],
    tracks: &'i [Track],
    /// Scales at the scored horizons.
    scales: [f64; SCORED_MAX],
    /// Half-widths at the scored horizons.
    half_widths: [f64; SCORED_MAX],
    /// The newest known value.
    last: f64,
}

impl Outlook<'_> {
    /// Half-width of the interval `step` rows ahead, not negative: linear between scored horizons.
    pub(crate) fn half_width(&self, step: usize) -> f64 {
        self.between(step, |index| self.half_widths[index])
    }

    /// Where the forecast `step` rows ahead points from the newest known value, and the probability that the truth
    /// goes the same way: linear between scored horizons.
    pub(crate) fn direction(&self, step: usize, forecast: f64) -> (Direction, f32) {
        let moved = (forecast - self.last).abs();
        let probability = self.between(step, |index| {
            let track = &self.tracks[index];
            f64::from(track.confidence.probability(track.agreement(moved, self.scales[index])))
        });
        (Direction::of(self.last, forecast), probability as f32)
    }

    fn between(&self, step: usize, value: impl Fn(usize) -> f64) -> f64 {
        let right = self.scored.partition_point(|&scored| scored < step).min(self.scored.len() - 1);
        if self.scored[right] <= step || right == 0 {
            return value(right);
        }
        let (a, b) = (self.scored[right - 1], self.scored[right]);
        let share = (step - a) as f64 / (b - a) as f64;
        value(right - 1) * (1.0 - share) + value(right) * share
    }
}

impl Intervals {
    /// Intervals of the given tracks: as many per target as there are scored horizons.
    pub(crate) fn new(coverage: f64, scored: Vec<usize>, tracks: Vec<Track>) -> Self {
        let rules = tracks.iter().map(|track| Dtaci::new(coverage, track.scale.horizon)).collect();
        Self { coverage, scored, tracks, rules }
    }

    /// Whether every track holds enough scores to claim the nominal coverage: five expected misses, or a full window
    /// and at least one.
    pub(crate) fn are_calibrated(&self) -> bool {
        let misses = 1.0 - self.coverage;
        self.tracks.iter().all(|track| {
            let scores = track.scores.len();
            let enough = scores as f64 * misses >= MISSES_MIN - 1e-9 || scores >= WINDOW;
            enough && (scores + 1) as f64 * misses >= 1.0
        })
    }

    /// Scored rows after which the intervals of a fresh stream are about as good as they get.
    pub(crate) fn settled_rows(&self) -> usize {
        let rows = |track: &Track| {
            let seasons =
                if track.scale.phases.count > 0 { SETTLED_SEASONS * track.scale.phases.period } else { 0 };
            seasons.max(SETTLED_ROWS) + track.scale.horizon
        };
        self.tracks.iter().map(rows).max().unwrap_or(0)
    }

    /// The states of a stream that has seen nothing, one per track.
    pub(crate) fn fresh(&self) -> Vec<TrackState> {
        self.tracks.iter().map(TrackState::fresh).collect()
    }

    /// How many numbers [`TrackState::write`] writes for all tracks of a stream.
    pub(crate) fn state_len(&self) -> usize {
        self.tracks.iter().map(TrackState::len).sum()
    }

    /// Takes in the value of row number `row`, which has just arrived: scores the forecast that was noted for it.
    /// To be called for every row before [`Intervals::note`]; a value that is not finite is skipped.
    #[inline]
    pub(crate) fn observe(&self, track: usize, state: &mut TrackState, row: usize, truth: f64) {
        state.observe(&self.tracks[track], &self.rules[track], row, truth);
    }

    /// Remembers the forecast made from row number `row`, the newest one, until its truth comes.
    #[inline]
    pub(crate) fn note(&self, track: usize, state: &mut TrackState, row: usize, forecast: f64) {
        state.note(&self.tracks[track], row, forecast);
    }

    /// What a stream expects of the forecasts of `target` from row number `row`, the newest one, given its states (of
    /// all tracks) and its forecasts at the scored horizons.
    pub(crate) fn outlook(
        &self,
        target: usize,
        states: &[TrackState],
        row: usize,
        forecast: impl Fn(usize) -> f64,
    ) -> Outlook<'_> {
        let horizons = self.scored.len();
        let tracks = &self.tracks[target * horizons..][..horizons];
        let states = &states[target * horizons..][..horizons];
        let (mut scales, mut half_widths) = ([0.0; SCORED_MAX], [0.0; SCORED_MAX]);
        for (index, (track, state)) in tracks.iter().zip(states).enumerate() {
            scales[index] = track.scale.at(&state.sizes, state.origin(row, forecast(self.scored[index])));
            half_widths[index] = track.quantile(state.experts.level()) * scales[index];
        }
        Outlook { scored: &self.scored, tracks, scales, half_widths, last: states[0].last }
    }
}
