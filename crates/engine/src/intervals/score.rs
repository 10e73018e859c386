//! How large an error to expect: the scale that makes errors comparable.
//!
//! A score is |error| ÷ scale. The better the scale foresees the size of the coming error, the narrower the intervals
//! of the same coverage. One running mean cannot fit all: laser bursts want a short memory, steady noise a long one,
//! a demand curve errs most at the hours at which it moves. So the scale is a sum with weights that training fits:
//!
//! scale = Σᵢ wᵢ·meanᵢ(|error|) + w·|forecast − last value| + w·mean(|error| at this phase of the season),  w ≥ 0
//!
//! where meanᵢ are exponentially weighted means of the stream's own errors with four memories. A frozen constant is
//! not among them: a stream whose noise changes for good must be able to follow. The slowest memory grows with the
//! horizon, because errors of neighbouring origins repeat each other `horizon` times.

/// Weights of the past in the fast means; shorter or longer ones than these gained nothing on the reference sets.
const DECAYS: [f64; 3] = [0.5, 0.8, 0.96];
/// Rows that the slowest mean remembers, and how many times the horizon it remembers at least.
const SLOW_ROWS: usize = 200;
const SLOW_HORIZONS: usize = 30;
/// Running means of a track.
pub(crate) const MEANS: usize = DECAYS.len() + 1;
/// Terms of the scale: running means, size of the move, phase of the season.
pub(crate) const TERMS: usize = MEANS + 2;
/// The term of the slowest running mean.
pub(crate) const SLOW: usize = MEANS - 1;
/// Weight of the newest season in the mean of a phase, once enough seasons have been seen; before, all weigh alike.
const SEASON_SHARE: f64 = 0.1;
/// Phases that are told apart in a season: they are numbers of every stream.
pub(crate) const PHASES_MAX: usize = 48;
/// Keeps scores finite where forecasts have been exact.
pub(crate) const FLOOR: f64 = 1e-9;
/// An error enters the means with at most this many scales, so that one faulty reading does not widen the intervals
/// for weeks; errors that stay large raise the scale by a factor a row all the same.
const ERROR_LIMIT: f64 = 20.0;

/// How a season is cut into phases; none where `count` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Phases {
    /// Rows of the season.
    pub(crate) period: usize,
    /// Phases, at most [`PHASES_MAX`] and at most `period`.
    pub(crate) count: usize,
}

impl Phases {
    /// A season of `period` rows, cut as finely as allowed; none below four rows.
    pub(crate) fn of(period: usize) -> Self {
        if period < 4 { Self::default() } else { Self { period, count: period.min(PHASES_MAX) } }
    }

    fn at(self, row: usize) -> usize {
        row % self.period * self.count / self.period
    }

    /// Weight of a new error in the mean of its phase after `seen` errors. What a stream starts from counts like one
    /// season. A phase of several rows is met several times a season, each with its part of the weight.
    fn share(self, seen: f64) -> f64 {
        let period = self.period as f64;
        (1.0 / (2.0 + seen / period)).max(SEASON_SHARE) * self.count as f64 / period
    }
}

/// The scale of one track as a model keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    /// Rows ahead.
    pub(crate) horizon: usize,
    /// Weights of the terms, none negative.
    pub(crate) weights: [f64; TERMS],
    /// Running means of a stream that has seen no error of its own; the last one is that of every phase.
    pub(crate) start: [f64; MEANS + 1],
    /// Phases of the season.
    pub(crate) phases: Phases,
}

/// Where a forecast stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Origin {
    /// The newest known row.
    pub(crate) row: usize,
    /// |forecast − last known value|.
    pub(crate) moved: f64,
}

/// The sizes of a stream's recent errors on one track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sizes {
    /// Running means, the shortest memory first.
    pub(crate) means: [f64; MEANS],
    /// Running mean of each phase of the season.
    pub(crate) phases: Vec<f64>,
    /// Errors seen, counted where there are phases.
    pub(crate) seen: f64,
}

impl Scale {
    /// A scale that is not fitted yet: weights for the running means alike, all sizes `typical`.
    pub(crate) fn unfitted(horizon: usize, phases: Phases, typical: f64) -> Self {
        let mut weights = [1.0 / TERMS as f64; TERMS];
        if phases.count == 0 {
            weights[TERMS - 1] = 0.0;
        }
        Self { horizon, weights, start: [typical.max(FLOOR); MEANS + 1], phases }
    }

    /// Whether every number is one that a fit can give.
    pub(crate) fn is_sound(&self) -> bool {
        let weights = self.weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        let start = self.start.iter().all(|start| start.is_finite() && *start >= FLOOR);
        let phases = self.phases == Phases::default() || self.phases == Phases::of(self.phases.period);
        weights && start && phases && self.horizon > 0
    }

    /// The sizes of a stream that has seen no error.
    pub(crate) fn fresh(&self) -> Sizes {
        let mut means = [0.0; MEANS];
        means.copy_from_slice(&self.start[..MEANS]);
        Sizes { means, phases: vec![self.start[MEANS]; self.phases.count], seen: 0.0 }
    }

    /// The terms of the scale at an origin.
    #[inline]
    pub(crate) fn terms(&self, sizes: &Sizes, origin: Origin) -> [f64; TERMS] {
        let mut terms = [0.0; TERMS];
        terms[..MEANS].copy_from_slice(&sizes.means);
        terms[MEANS] = origin.moved;
        let count = self.phases.count;
        if count > 0 {
            let phase = self.phases.at(origin.row + self.horizon);
            let beside = [(phase + count - 1) % count, phase, (phase + 1) % count];
            terms[MEANS + 1] =
                (sizes.phases[beside[0]] + sizes.phases[beside[1]] + sizes.phases[beside[2]]) / 3.0;
        }
        terms
    }

    /// The size of error to expect of a forecast made at `origin`; positive.
    #[inline]
    pub(crate) fn at(&self, sizes: &Sizes, origin: Origin) -> f64 {
        self.weigh(&self.terms(sizes, origin))
    }

    /// The weighted sum of the terms; positive.
    #[inline]
    pub(crate) fn weigh(&self, terms: &[f64; TERMS]) -> f64 {
        let mut sum = 0.0;
        for (weight, term) in self.weights.iter().zip(terms) {
            sum += weight * term;
        }
        sum.max(FLOOR)
    }

    /// Takes in |error| of the forecast for `row`, which was made with `scale`.
    #[inline]
    pub(crate) fn observe(&self, sizes: &mut Sizes, row: usize, error: f64, scale: f64) {
        let error = error.min(ERROR_LIMIT * scale);
        for (mean, decay) in sizes.means.iter_mut().zip(DECAYS) {
            *mean = (decay * *mean + (1.0 - decay) * error).max(FLOOR);
        }
        let share = 1.0 / SLOW_ROWS.max(SLOW_HORIZONS * self.horizon) as f64;
        let slow = &mut sizes.means[SLOW];
        *slow = (*slow + share * (error - *slow)).max(FLOOR);
        if self.phases.count > 0 {
            let mean = &mut sizes.phases[self.phases.at(row)];
            *mean = (*mean + self.phases.share(sizes.seen) * (error - *mean)).max(FLOOR);
            sizes.seen += 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(phases: Phases) -> Scale {
        Scale { weights: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], ..Scale::unfitted(1, phases, 2.0) }
    }

    #[test]
    fn the_scale_is_the_weighted_sum_of_means_move_and_phase() {
        let scale = scale(Phases::of(4));
        let mut sizes = scale.fresh();
        let origin = |row| Origin { row, moved: 3.0 };
        // All sizes are 2: 2·(0.1 + 0.2 + 0.3 + 0.4 + 0.6) + 0.5·3.
        assert!((scale.at(&sizes, origin(0)) - 4.7).abs() < 1e-12);
        scale.observe(&mut sizes, 6, 10.0, 1.0);
        let means =
            [0.5 * 2.0 + 0.5 * 10.0, 0.8 * 2.0 + 0.2 * 10.0, 0.96 * 2.0 + 0.04 * 10.0, 2.0 + 8.0 / 200.0];
        let terms = scale.terms(&sizes, origin(6));
        for (term, mean) in terms.iter().zip(means) {
            assert!((term - mean).abs() < 1e-12, "{terms:?}");
        }
        // Row 6 is phase 2; the forecast from row 6 is for phase 3, whose neighbours are phases 2 and 0.
        assert!((terms[5] - ((2.0 + 10.0) / 2.0 + 2.0 + 2.0) / 3.0).abs() < 1e-12, "{terms:?}");
        // The forecast from row 7 is for phase 0, whose neighbours are phases 3 and 1.
        assert!((scale.terms(&sizes, origin(7))[5] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_long_season_is_cut_into_few_phases_that_remember_as_long() {
        let phases = Phases::of(1440);
        assert_eq!(
            (phases.count, phases.at(0), phases.at(29), phases.at(30), phases.at(1439)),
            (48, 0, 0, 1, 47)
        );
        assert_eq!(phases.at(1440 * 3 + 60), 2);
        // Thirty visits weaken the past about as much as one visit of a phase of one row.
        assert!(((1.0 - phases.share(1e6)).powi(30) - 0.9f64).abs() < 0.005);
        assert_eq!(Phases::of(3).count, 0);
    }

    #[test]
    fn the_first_seasons_weigh_alike() {
        let scale = scale(Phases::of(4));
        let mut sizes = scale.fresh();
        for (season, error) in [5.0, 1.0, 4.0].into_iter().enumerate() {
            for row in 0..4 {
                scale.observe(&mut sizes, 4 * season + row, error, 1.0);
            }
        }
        // 2, which it starts from, then 5, 1, 4; within a season the weight falls a little from row to row.
        assert!(sizes.phases.iter().all(|&mean| (mean - 3.0).abs() < 0.35), "{sizes:?}");
        assert!((sizes.phases[0] - 3.0).abs() < 1e-12, "{sizes:?}");
    }

    #[test]
    fn sizes_stay_positive_and_a_faulty_reading_is_limited() {
        let scale = scale(Phases::default());
        let mut sizes = scale.fresh();
        for row in 0..2000 {
            scale.observe(&mut sizes, row, 0.0, 1.0);
        }
        assert!(sizes.means.iter().all(|&mean| mean >= FLOOR));
        scale.observe(&mut sizes, 0, 1e12, 1.0);
        assert!(sizes.means.iter().all(|&mean| mean <= 10.1), "{sizes:?}");
    }
}
