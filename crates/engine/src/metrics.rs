//! How good forecasts were. Definitions as in the forecasting literature: e = y − ŷ; NRMSE = RMSE ÷ population
//! standard deviation of the scored truths; MASE = MAE ÷ in-sample MAE of the seasonal naive forecast (Hyndman &
//! Koehler 2006); interval score as in Gneiting & Raftery 2007, eq. 43.

mod diagnostics;

pub use diagnostics::{
    Hits, Reliability, ReliabilityBin, autocorrelation, autocorrelation_bound, effective_sample_size,
    plausible, reliability, rolling_share,
};

/// The population variance of values that arrive one by one. Sums are taken about the first value, so that a large
/// level cancels nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Spread {
    n: f64,
    first: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    /// Adds one value.
    pub(crate) fn add(&mut self, value: f64) {
        if self.n == 0.0 {
            self.first = value;
        }
        self.n += 1.0;
        self.sum += value - self.first;
        self.squares += (value - self.first).powi(2);
    }

    /// The variance so far, 0 for none.
    pub(crate) fn variance(&self) -> f64 {
        let n = self.n.max(1.0);
        (self.squares / n - (self.sum / n).powi(2)).max(0.0)
    }
}

/// Sums over scored (truth, forecast, interval) triples of one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    n: f64,
    truths: Spread,
    squared: f64,
    absolute: f64,
    symmetric: f64,
    persistence_squared: f64,
    seasonal_squared: f64,
    inside: f64,
    width: f64,
    penalty: f64,
    /// Whether each scored triple of the last horizon lay inside, in order of origin.
    hits: Vec<bool>,
}

/// One forecast and what came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// What came.
    pub truth: f64,
    /// The point forecast.
    pub forecast: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// The last value known at the origin.
    pub last: f64,
    /// The seasonal naive forecast.
    pub seasonal: f64,
}

/// The figures of one target (or the mean of several).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// RMSE ÷ standard deviation of the truths.
    pub nrmse: f64,
    /// Root mean squared error, in the data's units.
    pub rmse: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// MAE ÷ in-sample MAE of the seasonal naive forecast.
    pub mase: f64,
    /// Symmetric mean absolute percentage error, 0 to 2.
    pub smape: f64,
    /// 1 − squared error ÷ squared deviation from the mean truth.
    pub r2: f64,
    /// 1 − RMSE ÷ RMSE of persistence.
    pub skill_persistence: f64,
    /// 1 − RMSE ÷ RMSE of the seasonal naive forecast.
    pub skill_seasonal: f64,
    /// Share of truths inside the interval.
    pub coverage: f64,
    /// The smallest coverage of 200 consecutive origins at the last horizon; of all where there are fewer.
    pub coverage_worst_200: f64,
    /// Mean width of the interval, in the data's units.
    pub width_mean: f64,
    /// Mean interval score, in standard deviations of the truths; smaller is better.
    pub interval_score: f64,
}

impl Tally {
    /// Adds one scored forecast. `coverage` is the nominal one. `counts_as_hit` marks the horizon whose hits are
    /// followed over time.
    pub fn add(&mut self, scored: &Scored, coverage: f64, horizon: ScoredHorizon) {
        let Scored { truth, forecast, lower, upper, last, seasonal } = *scored;
        let error = truth - forecast;
        self.n += 1.0;
        self.truths.add(truth);
        self.squared += error * error;
        self.absolute += error.abs();
        let size = truth.abs() + forecast.abs();
        self.symmetric += if size > 0.0 { 2.0 * error.abs() / size } else { 0.0 };
        self.persistence_squared += (truth - last).powi(2);
        self.seasonal_squared += (truth - seasonal).powi(2);
        let inside = (lower..=upper).contains(&truth);
        self.inside += f64::from(u8::from(inside));
        self.width += upper - lower;
        let miss = (lower - truth).max(truth - upper).max(0.0);
        self.penalty += upper - lower + 2.0 / (1.0 - coverage) * miss;
        if horizon == ScoredHorizon::Last {
            self.hits.push(inside);
        }
    }

    /// How many forecasts were scored.
    #[must_use]
    pub fn count(&self) -> usize {
        self.n as usize
    }

    /// The figures; `naive_in_sample` is the in-sample MAE of the seasonal naive forecast.
    #[must_use]
    pub fn figures(&self, naive_in_sample: f64) -> Figures {
        let n = self.n.max(1.0);
        let deviation_squared = self.truths.variance();
        let deviation = deviation_squared.sqrt();
        let rmse = (self.squared / n).sqrt();
        let skill = |naive_squared: f64| 1.0 - ratio(rmse, (naive_squared / n).sqrt());
        Figures {
            nrmse: ratio(rmse, deviation),
            rmse,
            mse: self.squared / n,
            mae: self.absolute / n,
            mase: ratio(self.absolute / n, naive_in_sample),
            smape: self.symmetric / n,
            r2: 1.0 - ratio(self.squared / n, deviation_squared),
            skill_persistence: skill(self.persistence_squared),
            skill_seasonal: skill(self.seasonal_squared),
            coverage: self.inside / n,
            coverage_worst_200: worst_rolling(&self.hits, 200),
            width_mean: self.width / n,
            interval_score: ratio(self.penalty / n, deviation),
        }
    }
}

/// Whether a scored forecast is of the model's last horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoredHorizon {
    /// The last one: its hits are followed over time.
    Last,
    /// An earlier one.
    Earlier,
}

/// a ÷ b, 0 where both are 0. Where only b is 0 the ratio has no finite value; the largest number stands in so
/// that figures stay comparable and serialisable.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 {
        a / b
    } else if a > 0.0 {
        f64::MAX
    } else {
        0.0
    }
}

fn worst_rolling(hits: &[bool], length: usize) -> f64 {
    let length = length.min(hits.len());
    if length == 0 {
        return 0.0;
    }
    let mut inside = hits[..length].iter().filter(|&&hit| hit).count();
    let mut worst = inside;
    for at in length..hits.len() {
        inside = inside + usize::from(hits[at]) - usize::from(hits[at - length]);
        worst = worst.min(inside);
    }
    worst as f64 / length as f64
}

/// The mean of several targets' figures.
#[must_use]
pub fn mean(figures: &[Figures]) -> Figures {
    let n = figures.len().max(1) as f64;
    let average = |get: fn(&Figures) -> f64| figures.iter().map(get).sum::<f64>() / n;
    Figures {
        nrmse: average(|f| f.nrmse),
        rmse: average(|f| f.rmse),
        mse: average(|f| f.mse),
        mae: average(|f| f.mae),
        mase: average(|f| f.mase),
        smape: average(|f| f.smape),
        r2: average(|f| f.r2),
        skill_persistence: average(|f| f.skill_persistence),
        skill_seasonal: average(|f| f.skill_seasonal),
        coverage: average(|f| f.coverage),
        coverage_worst_200: average(|f| f.coverage_worst_200),
        width_mean: average(|f| f.width_mean),
        interval_score: average(|f| f.interval_score),
    }
}

/// In-sample mean absolute error of the naive forecast with the given season (1 is persistence).
#[must_use]
pub fn naive_in_sample(values: &[f64], season: usize) -> f64 {
    let errors = values.len().saturating_sub(season);
    let sum: f64 = values.iter().skip(season).zip(values).map(|(now, then)| (now - then).abs()).sum();
    sum / errors.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_example_computed_by_hand() {
        let mut tally = Tally::default();
        // truth 1, 3; forecast 2, 3; interval [1.5, 2.5] misses by 0.5, [2, 4] holds.
        let first = Scored { truth: 1.0, forecast: 2.0, lower: 1.5, upper: 2.5, last: 3.0, seasonal: 1.0 };
        let second = Scored { truth: 3.0, forecast: 3.0, lower: 2.0, upper: 4.0, last: 1.0, seasonal: 1.0 };
        tally.add(&first, 0.9, ScoredHorizon::Last);
        tally.add(&second, 0.9, ScoredHorizon::Last);
        let figures = tally.figures(0.25);
        assert_eq!(tally.count(), 2);
        for (name, got, wanted) in [
            ("mse", figures.mse, 0.5),
            ("nrmse", figures.nrmse, 0.5f64.sqrt()),
            ("mae", figures.mae, 0.5),
            ("mase", figures.mase, 2.0),
            ("smape", figures.smape, 1.0 / 3.0),
            ("r2", figures.r2, 0.5),
            ("skill_persistence", figures.skill_persistence, 1.0 - (0.5f64 / 4.0).sqrt()),
            ("skill_seasonal", figures.skill_seasonal, 1.0 - (0.5f64 / 2.0).sqrt()),
            ("coverage", figures.coverage, 0.5),
            ("coverage_worst_200", figures.coverage_worst_200, 0.5),
            ("width_mean", figures.width_mean, 1.5),
            ("interval_score", figures.interval_score, (1.0 + 20.0 * 0.5 + 2.0) / 2.0),
        ] {
            assert!((got - wanted).abs() < 1e-9, "{name}: {got} is not {wanted}");
        }
    }

    #[test]
    fn the_worst_stretch_is_found_and_constants_divide_nothing_by_zero() {
        let mut hits = vec![true; 500];
        hits[250..260].fill(false);
        assert_eq!(worst_rolling(&hits, 200), 0.95);
        let figures = Tally::default().figures(0.0);
        assert!(figures.nrmse == 0.0 && figures.interval_score == 0.0 && figures.mase == 0.0);
    }

    #[test]
    fn a_level_of_a_billion_changes_no_figure() {
        let figures = |level: f64| {
            let mut tally = Tally::default();
            for t in 0..200 {
                let truth = level + f64::from(t % 7);
                let forecast = truth + 0.5;
                let scored = Scored {
                    truth,
                    forecast,
                    lower: truth - 1.0,
                    upper: truth + 1.0,
                    last: level,
                    seasonal: level,
                };
                tally.add(&scored, 0.9, ScoredHorizon::Last);
            }
            tally.figures(1.0)
        };
        let (low, high) = (figures(0.0), figures(1e9));
        assert!((low.nrmse - high.nrmse).abs() < 1e-9 && (low.r2 - high.r2).abs() < 1e-9, "{low:?} {high:?}");
        assert_eq!(naive_in_sample(&[1.0, 2.0, 4.0], 1), 1.5);
    }
}
