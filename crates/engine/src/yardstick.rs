//! What intervals would be without any of our machinery, on the same forecasts: the yardstick for interval scores.
//!
//! A sliding window of the last 500 absolute errors whose truth is known, and their conformal quantile (split
//! conformal prediction over a window; the streaming core of EnbPI, Xu & Xie 2021).

use crate::backtest::Point;

/// Errors in the window.
const WINDOW: usize = 500;
/// Errors before the first interval.
const WARM_UP: usize = 100;
/// Fewer scored forecasts than this give no ratio worth having.
const SCORED_MIN: usize = 50;

/// Mean interval score (Gneiting & Raftery 2007, eq. 43) of `points` (consecutive origins, `horizon` rows ahead) ÷ that
/// of the plain window on the same forecasts, leaving out the first origins while its window fills. `None` for too few.
#[must_use]
pub fn interval_score_ratio(points: &[Point], horizon: usize, coverage: f64) -> Option<f64> {
    let errors: Vec<f64> = points.iter().map(|p| (p.scored.truth - p.scored.forecast).abs()).collect();
    let (mut ours, mut plain, mut n) = (0.0, 0.0, 0usize);
    let mut window: Vec<f64> = Vec::with_capacity(WINDOW + 1);
    for (index, point) in points.iter().enumerate() {
        if let Some(known) = index.checked_sub(horizon) {
            let place = window.partition_point(|&error| error < errors[known]);
            window.insert(place, errors[known]);
            if let Some(old) = known.checked_sub(WINDOW) {
                window.remove(window.partition_point(|&error| error < errors[old]));
            }
        }
        if window.len() < WARM_UP {
            continue;
        }
        let rank = ((window.len() + 1) as f64 * coverage).ceil() as usize;
        let half = window[rank.min(window.len()) - 1];
        let scored = &point.scored;
        let score = |lower: f64, upper: f64| {
            let miss = (lower - scored.truth).max(scored.truth - upper).max(0.0);
            upper - lower + 2.0 / (1.0 - coverage) * miss
        };
        ours += score(scored.lower, scored.upper);
        plain += score(scored.forecast - half, scored.forecast + half);
        n += 1;
    }
    (n >= SCORED_MIN && plain > 0.0).then_some(ours / plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Scored;
    use spinwell_core::Rng;

    #[test]
    fn an_interval_that_is_the_plain_window_itself_scores_one() {
        let (mut rng, coverage) = (Rng::seeded(8), 0.9);
        let truths: Vec<f64> = (0..900).map(|_| rng.normal()).collect();
        let point = |row: usize, half: f64| Point {
            row,
            scored: Scored {
                truth: truths[row],
                forecast: 0.0,
                lower: -half,
                upper: half,
                last: 0.0,
                seasonal: 0.0,
            },
        };
        let half = |row: usize| {
            let mut known: Vec<f64> =
                truths[row.saturating_sub(500)..row].iter().map(|truth| truth.abs()).collect();
            known.sort_by(f64::total_cmp);
            let rank = ((known.len() + 1) as f64 * coverage).ceil() as usize;
            known.get(rank.min(known.len()).saturating_sub(1)).copied().unwrap_or(1.0)
        };
        let same: Vec<Point> = (0..900).map(|row| point(row, half(row))).collect();
        assert!((interval_score_ratio(&same, 1, coverage).unwrap() - 1.0).abs() < 1e-12);
        let wide: Vec<Point> = (0..900).map(|row| point(row, 3.0 * half(row))).collect();
        assert!(interval_score_ratio(&wide, 1, coverage).unwrap() > 1.5);
        assert_eq!(interval_score_ratio(&same[..120], 1, coverage), None);
    }
}
