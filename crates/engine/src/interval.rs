//! Prediction intervals: how far the truth has strayed from forecasts like this one.
//!
//! A score is |error| ÷ scale, the scale being an exponentially weighted mean of the stream's own recent errors,
//! strictly before the forecast. The interval is forecast ± q·scale with q the conformal quantile of a window of
//! scores that training left out of its fits (split conformal prediction with a locally adaptive scale: Vovk et
//! al. 2005; Lei et al. 2018, §5.2). The score window is frozen in the model; only the scale lives with a stream.
//! Everything happens in standardised units, one track per target and scored horizon.

/// Weight of the past in the scale: σ ← 0.94·σ + 0.06·|e|.
const DECAY: f64 = 0.94;
/// Rows after which the scale has forgotten its start to 1e-3: ln 1e-3 ÷ ln 0.94.
pub(crate) const SCALE_MEMORY_ROWS: usize = 112;
/// Scores kept in a track; more change the quantile little, fewer make the 99 % level meaningless.
pub(crate) const WINDOW: usize = 500;
/// Horizons that are scored; between them half-widths are interpolated.
const SCORED_MAX: usize = 8;
/// Keeps scores finite where forecasts have been exact.
const SCALE_FLOOR: f64 = 1e-9;
/// Errors that set the first scale of a calibration, and scores dropped while it settles.
const SETTLE: usize = 30;
/// Fewer scores than this say nothing about coverage.
const SPLIT_MIN: usize = 60;
/// Where the window is too short for the level, the largest score times this stands in.
const CAP: f64 = 1.5;

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

/// The scale after an error of size `error` (standardised, absolute).
#[inline(always)]
pub(crate) fn updated_scale(scale: f64, error: f64) -> f64 {
    (DECAY * scale + (1.0 - DECAY) * error).max(SCALE_FLOOR)
}

/// The calibration of one target at one horizon.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    /// Scale of a stream that has seen no error of its own yet.
    pub(crate) initial_scale: f64,
    /// Out-of-sample scores, ascending.
    pub(crate) scores: Vec<f32>,
}

/// A calibration and how it would have done on the errors it came from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    /// What a model keeps.
    pub(crate) track: Track,
    /// Share of the later half of the errors inside the interval that the earlier half alone gives; `None` where
    /// there are too few.
    pub(crate) coverage_split: Option<f64>,
}

/// Scores the out-of-sample errors of one target and horizon. `errors` are absolute and in order of origin; the
/// error of origin i is known from origin i + `horizon` on.
pub(crate) fn calibrate(errors: &[f64], horizon: usize, coverage: f64) -> Calibration {
    let head = &errors[..errors.len().min(SETTLE)];
    let mut scale = (head.iter().sum::<f64>() / head.len().max(1) as f64).max(SCALE_FLOOR);
    let (mut scales, mut scores) = (Vec::new(), Vec::new());
    for (origin, &error) in errors.iter().enumerate() {
        if let Some(known) = origin.checked_sub(horizon) {
            scale = updated_scale(scale, errors[known]);
        }
        scales.push(scale);
        scores.push((error / scale) as f32);
    }
    let settled = SETTLE.min(errors.len() / 4);
    let (scales, scores) = (&scales[settled..], &scores[settled..]);
    let recent = scores.len().saturating_sub(WINDOW);
    let mut window = scores[recent..].to_vec();
    window.sort_by(f32::total_cmp);
    let mut typical = scales[recent..].to_vec();
    typical.sort_by(f64::total_cmp);
    let initial_scale = typical.get(typical.len() / 2).copied().unwrap_or(1.0);
    Calibration {
        track: Track { initial_scale, scores: window },
        coverage_split: coverage_split(scores, horizon, coverage),
    }
}

/// Freezes the scores of the first half that are known when the second begins, and counts how much of the second
/// half they cover: as a served model is frozen and then meets what it has not seen.
fn coverage_split(scores: &[f32], horizon: usize, coverage: f64) -> Option<f64> {
    let half = scores.len() / 2;
    let known = (half + 1).saturating_sub(horizon);
    if known < SPLIT_MIN {
        return None;
    }
    let mut window = scores[known.saturating_sub(WINDOW)..known].to_vec();
    window.sort_by(f32::total_cmp);
    let limit = quantile(&window, coverage).0;
    let inside = scores[half..].iter().filter(|&&score| f64::from(score) <= limit).count();
    Some(inside as f64 / (scores.len() - half) as f64)
}

/// The ⌈(n+1)·coverage⌉-th smallest score, and whether the window held enough for it.
pub(crate) fn quantile(ascending: &[f32], coverage: f64) -> (f64, bool) {
    let rank = ((ascending.len() + 1) as f64 * coverage).ceil() as usize;
    match (ascending.get(rank.saturating_sub(1)), ascending.last()) {
        (Some(&score), _) => (f64::from(score), true),
        (None, Some(&largest)) => (CAP * f64::from(largest), false),
        (None, None) => (CAP, false),
    }
}

/// The intervals of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Intervals {
    /// Nominal coverage, in (0, 1).
    pub(crate) coverage: f64,
    /// Scored horizons, ascending, from 1 to the model's.
    pub(crate) scored: Vec<usize>,
    /// Target after target, for each its scored horizons.
    pub(crate) tracks: Vec<Track>,
    quantiles: Vec<f64>,
}

impl Intervals {
    /// Intervals of the given tracks: as many per target as there are scored horizons.
    pub(crate) fn new(coverage: f64, scored: Vec<usize>, tracks: Vec<Track>) -> Self {
        let quantiles = tracks.iter().map(|track| quantile(&track.scores, coverage).0).collect();
        Self { coverage, scored, tracks, quantiles }
    }

    /// Whether every track held enough scores for the nominal coverage.
    pub(crate) fn are_calibrated(&self) -> bool {
        self.tracks.iter().all(|track| quantile(&track.scores, self.coverage).1)
    }

    /// Half-width for `target` at `step` rows ahead, given a stream's scales: linear between scored horizons.
    pub(crate) fn half_width(&self, scales: &[f64], target: usize, step: usize) -> f64 {
        let first = target * self.scored.len();
        let width = |index: usize| self.quantiles[first + index] * scales[first + index];
        let right = self.scored.partition_point(|&scored| scored < step).min(self.scored.len() - 1);
        if self.scored[right] == step || right == 0 {
            return width(right);
        }
        let (a, b) = (self.scored[right - 1], self.scored[right]);
        let share = (step - a) as f64 / (b - a) as f64;
        width(right - 1) * (1.0 - share) + width(right) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    #[test]
    fn scored_horizons_reach_from_one_to_the_last_and_are_at_most_eight() {
        assert_eq!(scored_horizons(3), [1, 2, 3]);
        for horizon in [9, 48, 336] {
            let scored = scored_horizons(horizon);
            assert!(scored.len() <= 8 && scored[0] == 1 && scored.last() == Some(&horizon), "{scored:?}");
            assert!(scored.windows(2).all(|pair| pair[0] < pair[1]), "{scored:?}");
        }
    }

    #[test]
    fn the_quantile_is_the_conformal_rank_and_admits_when_it_cannot_be_had() {
        let scores: Vec<f32> = (1..=19).map(|i| i as f32).collect();
        assert_eq!(quantile(&scores, 0.95), (19.0, true));
        assert_eq!(quantile(&scores[..18], 0.95), (27.0, false));
        assert_eq!(quantile(&scores, 0.5), (10.0, true));
        assert_eq!(quantile(&[], 0.95), (1.5, false));
    }

    #[test]
    fn intervals_cover_what_they_promise_where_the_noise_changes_its_size() {
        let mut rng = Rng::seeded(9);
        let errors: Vec<f64> =
            (0..6000).map(|t| rng.normal().abs() * (1.5 + (f64::from(t) / 300.0).sin())).collect();
        let calibration = calibrate(&errors[..3000], 1, 0.9);
        let coverage = calibration.coverage_split.unwrap();
        // 500 frozen scores fix the level to about 1.3 %, 1,500 errors measure it to about 0.8 %.
        assert!((coverage - 0.9).abs() < 0.045, "{coverage}");
        let (q, enough) = quantile(&calibration.track.scores, 0.9);
        let mut scale = calibration.track.initial_scale;
        let inside = errors[3000..]
            .iter()
            .filter(|&&error| {
                let inside = error <= q * scale;
                scale = updated_scale(scale, error);
                inside
            })
            .count();
        let coverage = inside as f64 / 3000.0;
        assert!(enough && (coverage - 0.9).abs() < 0.025, "{coverage}");
    }

    #[test]
    fn half_widths_are_interpolated_between_scored_horizons() {
        let track = |scale: f64| Track { initial_scale: scale, scores: vec![1.0; 100] };
        let intervals = Intervals::new(0.9, vec![1, 3], vec![track(1.0), track(2.0)]);
        let scales = [1.0, 2.0];
        assert_eq!([1, 2, 3].map(|step| intervals.half_width(&scales, 0, step)), [1.0, 1.5, 2.0]);
        assert!(intervals.are_calibrated());
    }

    #[test]
    fn exact_forecasts_give_no_infinite_scores() {
        let calibration = calibrate(&[0.0; 300], 1, 0.95);
        assert!(calibration.track.scores.iter().all(|score| score.is_finite()));
        assert!(calibrate(&[], 1, 0.95).track.initial_scale > 0.0);
    }
}
