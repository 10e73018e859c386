//! From the errors that training left out of its fits to what a model keeps of them.
//!
//! The weights of the scale minimise Σ ln(scale) + |error| ÷ scale, the likelihood of errors that are Laplace
//! distributed about the forecast and, up to constants, the Itakura-Saito divergence of the errors from the scale. It
//! is lowered by multiplicative updates that keep weights positive (Févotte & Idier 2011, for β = 0):
//! w ← w·√(Σ term·|error|/scale² ÷ Σ term/scale). A season earns its phases only by a better likelihood, since every
//! stream pays for them in memory.
//!
//! The window holds evenly spaced order statistics of **all** left-out scores rather than the newest: it is frozen
//! anyway, and at long horizons neighbouring scores repeat each other, so that the newest 500 say little.

use super::confidence::{Confidence, Said};
use super::dtaci::Dtaci;
use super::score::{FLOOR, MEANS, Origin, Phases, SLOW, Scale, TERMS};
use super::{Track, TrackState, WINDOW};

/// Scores dropped while the running means settle.
const SETTLE: usize = 30;
/// Fewer outcomes than this on either side say nothing about coverage.
const SPLIT_MIN: usize = 60;
/// Rounds of updates of the weights; three times as many change no figure by more than 0.4 %.
const ROUNDS: usize = 200;
/// Outcomes that decide the weights: longer calibrations are thinned.
const FIT_MAX: usize = 4000;
/// What a season must gain in mean log-likelihood to be worth a number per phase and stream.
const PHASES_GAIN: f64 = 0.01;
/// Share of the scale that at least follows the slowest mean: the rest may stay put when noise changes for good.
const SLOW_MIN: f64 = 0.05;
/// A track starts with at least this share of the nominal miss rate, however few its independent scores.
const LEVEL_MIN: f64 = 0.2;
/// Scores beyond this are kept as this: they must fit 32 bits with room for arithmetic.
const SCORE_MAX: f64 = 1e30;
/// Days of a week: a season that is a multiple of it may be one of weeks, and its seventh the better one.
const WEEK: usize = 7;

/// What became of a forecast that was made without knowledge of its truth; standardised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// The newest row known when it was made; the truth is the value of row + horizon.
    pub(crate) row: usize,
    /// The value of that row.
    pub(crate) last: f64,
    /// The forecast.
    pub(crate) forecast: f64,
    /// What came.
    pub(crate) truth: f64,
}

/// What is calibrated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setup {
    /// Rows ahead.
    pub(crate) horizon: usize,
    /// Rows of a season, 1 for none.
    pub(crate) season: usize,
    /// Nominal coverage, in (0, 1).
    pub(crate) coverage: f64,
}

/// A calibration and how it would have done on the outcomes it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    /// What a model keeps.
    pub(crate) track: Track,
    /// Share of the later half of the outcomes inside the interval that the earlier half alone gives, to a stream as
    /// it is served; `None` where there are too few.
    pub(crate) coverage_split: Option<f64>,
}

/// Calibrates one target at one horizon by `outcomes`, ascending by row (gaps between folds and where values are
/// missing do no harm).
pub(crate) fn calibrate(outcomes: &[Outcome], setup: Setup) -> Calibration {
    Calibration { track: draw(outcomes, setup), coverage_split: coverage_split(outcomes, setup) }
}

impl Outcome {
    fn error(&self) -> f64 {
        (self.truth - self.forecast).abs()
    }

    fn origin(&self) -> Origin {
        Origin { row: self.row, moved: (self.forecast - self.last).abs() }
    }

    fn direction_is_right(&self) -> bool {
        let sign = |x: f64| x.partial_cmp(&0.0);
        sign(self.truth - self.last) == sign(self.forecast - self.last)
    }
}

/// An outcome and the terms of its scale.
#[derive(Debug, Clone, Copy)]
struct Seen {
    terms: [f64; TERMS],
    error: f64,
}

fn draw(outcomes: &[Outcome], setup: Setup) -> Track {
    let typical = outcomes.iter().map(Outcome::error).sum::<f64>() / outcomes.len().max(1) as f64;
    if typical <= FLOOR {
        return exact(outcomes.len(), setup);
    }
    let (mut scale, mut best) = fitted(outcomes, setup.horizon, Phases::default(), typical);
    for period in [setup.season, setup.season / WEEK] {
        if period < setup.season && !setup.season.is_multiple_of(WEEK) {
            continue;
        }
        let phases = Phases::of(period);
        if phases.count == 0 || 2 * period > outcomes.len() {
            continue;
        }
        let (other, likelihood) = fitted(outcomes, setup.horizon, phases, typical);
        if likelihood > best + PHASES_GAIN {
            (scale, best) = (other, likelihood);
        }
    }
    let seen = walk(&scale, outcomes);
    let seen = &seen[settle(&scale, outcomes.len())..];
    scale.start = start(seen, &scale);
    let mut scores: Vec<f32> =
        seen.iter().map(|seen| (seen.error / scale.weigh(&seen.terms)).min(SCORE_MAX) as f32).collect();
    scores.sort_by(f32::total_cmp);
    let repeated = (setup.horizon as f64 / 2.0).max(1.0);
    let level = first_level(scores.len() as f64 / repeated, setup.coverage);
    let mut track = Track { scale, scores: thinned(&scores), level, confidence: Confidence::default() };
    let said = outcomes[outcomes.len() - seen.len()..].iter().zip(seen).map(|(outcome, seen)| Said {
        raw: track.agreement(outcome.origin().moved, track.scale.weigh(&seen.terms)),
        right: outcome.direction_is_right(),
    });
    track.confidence = Confidence::fit(said.collect(), repeated);
    track
}

/// The track of forecasts that were all exact. Scores of nothing but 0 could never cover an error: those of Laplace
/// noise stand in.
fn exact(outcomes: usize, setup: Setup) -> Track {
    let scores = outcomes.min(WINDOW);
    Track {
        scale: Scale::unfitted(setup.horizon, Phases::default(), FLOOR),
        scores: (1..=scores).map(|rank| -(1.0 - rank as f64 / (scores + 1) as f64).ln() as f32).collect(),
        level: 1.0 - setup.coverage,
        confidence: Confidence::default(),
    }
}

/// Outcomes that only settle the means.
fn settle(scale: &Scale, outcomes: usize) -> usize {
    SETTLE.max(scale.phases.period).min(outcomes / 4)
}

/// The terms of every outcome's scale, from the errors that were known at its origin.
fn walk(scale: &Scale, outcomes: &[Outcome]) -> Vec<Seen> {
    let mut sizes = scale.fresh();
    let mut known = 0;
    let mut scales = Vec::with_capacity(outcomes.len());
    let step = |outcome: &Outcome| {
        while outcomes[known].row + scale.horizon <= outcome.row {
            let old = &outcomes[known];
            scale.observe(&mut sizes, old.row + scale.horizon, old.error(), scales[known]);
            known += 1;
        }
        let terms = scale.terms(&sizes, outcome.origin());
        scales.push(scale.weigh(&terms));
        Seen { terms, error: outcome.error() }
    };
    outcomes.iter().map(step).collect()
}

/// A scale with fitted weights and its mean log-likelihood.
fn fitted(outcomes: &[Outcome], horizon: usize, phases: Phases, typical: f64) -> (Scale, f64) {
    let mut scale = Scale::unfitted(horizon, phases, typical);
    let seen = walk(&scale, outcomes);
    let seen = &seen[settle(&scale, seen.len())..];
    let thin: Vec<Seen> = seen.iter().copied().step_by(seen.len().div_ceil(FIT_MAX).max(1)).collect();
    let slow = SLOW_MIN * scale.weights.iter().sum::<f64>();
    for _ in 0..ROUNDS {
        let (mut wanted, mut held) = ([0.0; TERMS], [0.0; TERMS]);
        for Seen { terms, error } in &thin {
            let inverse = 1.0 / scale.weigh(terms);
            for (term, (wanted, held)) in terms.iter().zip(wanted.iter_mut().zip(&mut held)) {
                *wanted += term * inverse * (error * inverse);
                *held += term * inverse;
            }
        }
        for (weight, (wanted, held)) in scale.weights.iter_mut().zip(wanted.iter().zip(held)) {
            if held > 0.0 {
                *weight *= (wanted / held).sqrt();
            }
        }
        scale.weights[SLOW] = scale.weights[SLOW].max(slow);
    }
    let loss = |seen: &Seen| {
        let scale = scale.weigh(&seen.terms);
        scale.ln() + seen.error / scale
    };
    let likelihood = -seen.iter().map(loss).sum::<f64>() / seen.len().max(1) as f64;
    (scale, likelihood)
}

/// The median of each running mean over the newest outcomes.
fn start(seen: &[Seen], scale: &Scale) -> [f64; MEANS + 1] {
    let newest = &seen[seen.len().saturating_sub(WINDOW)..];
    std::array::from_fn(|index| {
        // The phases' term stands after that of the move.
        let term = if index < MEANS { index } else { TERMS - 1 };
        let mut values: Vec<f64> = newest.iter().map(|seen| seen.terms[term]).collect();
        values.sort_by(f64::total_cmp);
        let typical = scale.start[index];
        values.get(values.len() / 2).map_or(typical, |&median| median.max(FLOOR))
    })
}

/// At most [`WINDOW`] of the ascending scores, evenly spaced by rank, the smallest and the largest among them.
fn thinned(ascending: &[f32]) -> Vec<f32> {
    if ascending.len() <= WINDOW {
        return ascending.to_vec();
    }
    let last = ascending.len() - 1;
    (0..WINDOW).map(|i| ascending[(2 * i * last + WINDOW - 1) / (2 * (WINDOW - 1))]).collect()
}

/// The miss rate to start from: the nominal one as a conformal quantile of `independent` scores would have it.
fn first_level(independent: f64, coverage: f64) -> f64 {
    let exact = 1.0 - coverage * (independent + 1.0) / independent.max(1.0);
    exact.max(LEVEL_MIN * (1.0 - coverage))
}

/// Serves the second half with a track drawn from what of the first is known when the second begins.
fn coverage_split(outcomes: &[Outcome], setup: Setup) -> Option<f64> {
    let later = &outcomes[outcomes.len() / 2..];
    let start = later.first()?.row;
    let known = outcomes.partition_point(|outcome| outcome.row + setup.horizon <= start);
    if known.min(later.len()) < SPLIT_MIN {
        return None;
    }
    let track = draw(&outcomes[..known], setup);
    let inside = serve(&track, later, setup.coverage).into_iter().filter(|&inside| inside).count();
    Some(inside as f64 / later.len() as f64)
}

/// Whether each outcome lies inside the interval that a fresh stream gives which is fed these outcomes.
fn serve(track: &Track, outcomes: &[Outcome], coverage: f64) -> Vec<bool> {
    let rule = Dtaci::new(coverage, track.scale.horizon);
    let mut state = TrackState::fresh(track);
    let mut inside = Vec::with_capacity(outcomes.len());
    let (mut arriving, mut leaving) = (outcomes.iter().peekable(), outcomes.iter().peekable());
    let rows = outcomes[0].row..=outcomes[outcomes.len() - 1].row;
    for row in rows {
        let known = arriving.next_if(|outcome| outcome.row + track.scale.horizon == row);
        state.observe(track, &rule, row, known.map_or(f64::NAN, |outcome| outcome.truth));
        if let Some(outcome) = leaving.next_if(|outcome| outcome.row == row) {
            state.set_last(outcome.last);
            let scale = track.scale.at(&state.sizes, outcome.origin());
            inside.push(outcome.error() <= track.quantile(state.experts.level()) * scale);
            state.note(track, row, outcome.forecast);
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    /// Outcomes of forecasts of 0 whose errors are `size(row, moved)` times unit noise.
    fn outcomes(seed: u64, rows: usize, size: impl Fn(usize, f64) -> f64) -> Vec<Outcome> {
        let mut rng = Rng::seeded(seed);
        let one = |row: usize| {
            let last = rng.normal();
            Outcome { row, last, forecast: 0.0, truth: size(row, last.abs()) * rng.normal() }
        };
        (0..rows).map(one).collect()
    }

    const SETUP: Setup = Setup { horizon: 1, season: 1, coverage: 0.9 };

    fn loss(scale: &Scale, seen: &[Seen]) -> f64 {
        let one = |seen: &Seen| {
            let scale = scale.weigh(&seen.terms);
            scale.ln() + seen.error / scale
        };
        seen.iter().map(one).sum::<f64>() / seen.len() as f64
    }

    #[test]
    fn no_other_weights_near_the_fitted_ones_are_better() {
        let outcomes = outcomes(1, 3000, |row, moved| 0.3 + 0.5 * moved + (row as f64 / 60.0).sin().max(0.0));
        let (scale, likelihood) = fitted(&outcomes, 1, Phases::default(), 1.0);
        let seen = walk(&Scale::unfitted(1, Phases::default(), 1.0), &outcomes);
        let seen = &seen[SETTLE..];
        assert!((loss(&scale, seen) + likelihood).abs() < 1e-12);
        for term in 0..TERMS - 1 {
            for change in [-0.05, 0.05] {
                let mut other = scale.clone();
                other.weights[term] = (other.weights[term] + change).max(0.0);
                assert!(loss(&other, seen) > -likelihood - 2e-3, "{term} {change} {:?}", scale.weights);
            }
        }
        // The move matters half as much as it did when the errors were drawn, times mean |normal| = 0.8.
        assert!((scale.weights[MEANS] - 0.4).abs() < 0.12, "{:?}", scale.weights);
    }

    #[test]
    fn a_season_is_kept_where_errors_follow_it_and_only_there() {
        let season = Setup { season: 168, ..SETUP };
        let daily = outcomes(2, 2000, |row, _| if row % 24 < 6 { 4.0 } else { 1.0 });
        assert_eq!(calibrate(&daily, season).track.scale.phases, Phases { period: 24, count: 24 });
        let weekly = outcomes(3, 2000, |row, _| if row % 168 < 48 { 4.0 } else { 1.0 });
        assert_eq!(calibrate(&weekly, season).track.scale.phases, Phases { period: 168, count: 48 });
        let steady = outcomes(4, 2000, |_, _| 1.0);
        assert_eq!(calibrate(&steady, season).track.scale.phases.count, 0);
    }

    #[test]
    fn no_scale_knows_an_error_before_its_truth_has_come() {
        let (horizon, changed) = (5, 200);
        let mut one = outcomes(5, 400, |_, _| 1.0);
        // A gap, as between folds.
        one.iter_mut().skip(150).for_each(|outcome| outcome.row += 4);
        let mut other = one.clone();
        other.iter_mut().skip(changed).for_each(|outcome| outcome.truth += 10.0);
        let scale = Scale::unfitted(horizon, Phases::of(7), 1.0);
        let (one, other) = (walk(&scale, &one), walk(&scale, &other));
        for (index, (one, other)) in one.iter().zip(&other).enumerate() {
            assert_eq!(one.terms == other.terms, index < changed + horizon, "{index}");
        }
    }

    #[test]
    fn long_windows_are_thinned_by_rank() {
        let ascending: Vec<f32> = (0..1997).map(|i| i as f32).collect();
        let thin = thinned(&ascending);
        // 1,996 is four times 499: every fourth score.
        assert_eq!(thin, (0..500).map(|i| (4 * i) as f32).collect::<Vec<_>>());
        assert_eq!(thinned(&ascending[..500]), &ascending[..500]);
        let thin = thinned(&ascending[..777]);
        assert!(thin.len() == 500 && thin.last() == Some(&776.0) && thin.windows(2).all(|p| p[0] < p[1]));
    }

    #[test]
    fn the_first_level_is_conformal_and_not_absurd() {
        assert!((first_level(99.0, 0.95) - (1.0 - 0.95 * 100.0 / 99.0)).abs() < 1e-12);
        assert!((first_level(3.0, 0.95) - 0.01).abs() < 1e-12);
        assert!((first_level(1e9, 0.95) - 0.05).abs() < 1e-8);
    }

    #[test]
    fn the_split_tells_the_coverage_that_serving_would_have_had() {
        let changing = outcomes(6, 6000, |row, _| 1.5 + (row as f64 / 300.0).sin());
        for (horizon, coverage) in [(1, 0.9), (4, 0.9), (1, 0.95)] {
            let split = calibrate(&changing, Setup { horizon, coverage, season: 1 }).coverage_split.unwrap();
            assert!((split - coverage).abs() < 0.012, "{horizon} {coverage} {split}");
        }
        assert_eq!(calibrate(&changing[..119], SETUP).coverage_split, None);
        assert!(calibrate(&changing[..121], SETUP).coverage_split.is_some());
    }

    #[test]
    fn little_or_exact_outcomes_give_a_usable_track() {
        let exact: Vec<Outcome> =
            (0..300).map(|row| Outcome { row, last: 1.0, forecast: 1.0, truth: 1.0 }).collect();
        for some in [&exact[..], &exact[..1], &[]] {
            let track = calibrate(some, SETUP).track;
            assert!(track.scores.iter().all(|score| score.is_finite()));
            assert!(track.scale.start.iter().all(|&start| start > 0.0 && start.is_finite()), "{track:?}");
            assert!(track.scale.weights.iter().all(|weight| weight.is_finite()) && track.level > 0.0);
        }
    }
}
