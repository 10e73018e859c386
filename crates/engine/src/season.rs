//! Finding the season of a series.
//!
//! A season is the shortest lag at which the detrended series clearly repeats itself, in its first half as in
//! its second. "Clearly" is a correlation of at least 0.6 at a local peak; of several such lags the strongest
//! counts, unless a shorter one is nearly as strong, so that a week wins over a fortnight but also over a day
//! where week-ends differ. Autocorrelation is used instead of a periodogram because a weekly shape with daily
//! structure has most of its power at a day.

/// A peak below this correlation is not a season.
const CLEAR: f64 = 0.6;
/// Changes that correlate less say nothing about where exactly the season ends.
const CLEAR_CHANGES: f64 = 0.1;
/// A shorter lag is preferred if its correlation is at least this share of the strongest.
const NEARLY: f64 = 0.97;
/// Longer series are judged by their newest rows: seasons longer than a third of this are not looked for.
const ROWS_MAX: usize = 12_000;
/// A season must be seen this often.
const CYCLES_MIN: usize = 3;

/// The season of `values` in rows, 1 where there is none.
#[must_use]
pub fn detect(values: &[f64]) -> usize {
    let values = &values[values.len().saturating_sub(ROWS_MAX)..];
    if values.len() < 2 * CYCLES_MIN {
        return 1;
    }
    let smooth = detrended(values);
    let (first, second) = smooth.split_at(smooth.len() / 2);
    let lag_max = values.len() / CYCLES_MIN;
    let whole = autocorrelation(&smooth, (lag_max + lag_max / 6 + 1).min(values.len() - 1));
    let peaks: Vec<usize> = (2..=lag_max)
        .filter(|&lag| whole[lag] >= CLEAR && is_peak(&whole, lag))
        .filter(|&lag| {
            [first, second].iter().all(|half| lag >= half.len() || correlation_at(half, lag) >= 0.5 * CLEAR)
        })
        .collect();
    let strongest = peaks.iter().map(|&lag| whole[lag]).fold(0.0, f64::max);
    peaks.into_iter().find(|&lag| whole[lag] >= NEARLY * strongest).map_or(1, |lag| sharpened(values, lag))
}

/// The lag near `lag` at which the changes over a quarter of it repeat best. Where slow movements dominate the
/// values, they tilt the broad peak of the autocorrelation towards shorter lags. Such changes hardly have them, and
/// unlike changes from row to row they are not mostly noise.
fn sharpened(values: &[f64], lag: usize) -> usize {
    let span = (lag / 4).max(1);
    let changes: Vec<f64> = values.iter().skip(span).zip(values).map(|(now, then)| now - then).collect();
    let at = |lag: usize| correlation_at(&changes, lag);
    let best = near(lag, values.len()).filter(|&lag| lag > 1).max_by(|&a, &b| at(a).total_cmp(&at(b)));
    best.filter(|&best| at(best) >= CLEAR_CHANGES).unwrap_or(lag)
}

/// The lags within a sixth of `lag`.
fn near(lag: usize, end: usize) -> std::ops::Range<usize> {
    let reach = (lag / 6).max(1);
    lag.saturating_sub(reach).max(1)..(lag + reach + 1).min(end)
}

/// Whether no lag within a sixth of `lag` correlates more: noise puts small peaks beside a broad one.
fn is_peak(correlation: &[f64], lag: usize) -> bool {
    let beside = correlation[near(lag, correlation.len())].iter();
    beside.clone().all(|&c| c <= correlation[lag])
        && beside.copied().fold(f64::INFINITY, f64::min) < correlation[lag]
}

/// The series without its least-squares line.
fn detrended(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n;
    let (mut product, mut power) = (0.0, 0.0);
    for (t, value) in values.iter().enumerate() {
        let t = t as f64 - middle;
        product += t * (value - mean);
        power += t * t;
    }
    let slope = if power > 0.0 { product / power } else { 0.0 };
    values.iter().enumerate().map(|(t, value)| value - mean - slope * (t as f64 - middle)).collect()
}

fn autocorrelation(values: &[f64], lag_max: usize) -> Vec<f64> {
    (0..=lag_max).map(|lag| correlation_at(values, lag)).collect()
}

/// Correlation of the series with itself `lag` rows later, over the rows where both exist.
fn correlation_at(values: &[f64], lag: usize) -> f64 {
    if lag >= values.len() {
        return 0.0;
    }
    let (late, early) = (&values[lag..], &values[..values.len() - lag]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let scale = (dot(late, late) * dot(early, early)).sqrt();
    if scale > 0.0 { dot(late, early) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;
    use std::f64::consts::TAU;

    fn series(rows: usize, mut f: impl FnMut(f64, f64) -> f64) -> Vec<f64> {
        let mut rng = Rng::seeded(4);
        (0..rows).map(|t| f(t as f64, rng.normal())).collect()
    }

    #[test]
    fn a_week_with_different_week_ends_is_a_week() {
        let values = series(24 * 7 * 8, |t, noise| {
            let day = (t / 24.0).floor() as usize % 7;
            let level = if day >= 5 { 0.4 } else { 1.0 };
            level * (2.0 + (TAU * t / 24.0).sin()) + 0.05 * noise
        });
        assert_eq!(detect(&values), 168);
    }

    #[test]
    fn a_trend_does_not_hide_a_season_and_is_none_itself() {
        assert_eq!(detect(&series(600, |t, noise| 0.1 * t + 3.0 * (TAU * t / 12.0).sin() + 0.2 * noise)), 12);
        assert_eq!(detect(&series(600, |t, noise| 0.1 * t + noise)), 1);
    }

    #[test]
    fn a_day_is_not_mistaken_for_a_bump_beside_it_where_slow_noise_dominates() {
        let mut slow = 0.0;
        let values = series(24 * 300, |t, noise| {
            slow = 0.995 * slow + 0.12 * noise;
            slow + 0.6 * (TAU * t / 24.0).sin()
        });
        assert_eq!(detect(&values), 24);
    }

    #[test]
    fn noise_constants_and_short_series_have_no_season() {
        assert_eq!(detect(&series(500, |_, noise| noise)), 1);
        assert_eq!(detect(&[1.0; 50]), 1);
        assert_eq!(detect(&[1.0, 2.0]), 1);
        assert_eq!(detect(&[]), 1);
    }
}
