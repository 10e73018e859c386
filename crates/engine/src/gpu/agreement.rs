//! How far a card is from the CPU, asked before it answers anybody.

use super::{Failure, Resident};
use crate::encoder::Channel;
use crate::{Forecast, Window};
use spinwell_core::{Rng, Samples, Series};

/// Largest difference that is let pass, in standard deviations of the target.
pub const AGREEMENT_MAX: f64 = 1e-4;
/// Rows of the longest window that is compared, unless the model needs more: beyond every length that is recommended for
/// lags of less than a month of minutes.
const ROWS_MAX: usize = 40_000;
/// Microseconds of the CPU that the longest window may take: a server that starts with a few of the dearest models should
/// not wait for minutes.
const LONGEST_US_MAX: f64 = 5_000_000.0;
/// Microseconds of the CPU that the others may take together, unless the shortest windows take more.
const OTHERS_US_MAX: f64 = 50_000.0;
/// Windows that are compared, each of another length.
const WINDOWS: usize = 5;

/// A card that computes something else than the CPU.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Disagreement {
    /// The answers lie too far apart.
    #[error("its answers are {0:.1e} standard deviations from the CPU's, more than {AGREEMENT_MAX:.0e}")]
    TooFar(f64),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Resident {
    /// Answers made-up windows on the card and on the CPU: the largest difference of a forecast or an end of its
    /// interval, in standard deviations of the target, what the last bit of a 32-bit answer hides not counted.
    ///
    /// # Errors
    /// Where it is larger than [`AGREEMENT_MAX`], or the card fails.
    pub fn self_test(&self) -> Result<f64, Disagreement> {
        let all = self.made_up();
        let windows: Vec<Window<'_>> = all.iter().map(|series| Window { series, index: 0 }).collect();
        let here = self.model().forecast_windows(&windows);
        let there = self.forecast_windows(&windows)?;
        let mut largest = 0.0f64;
        for (here, there) in here.iter().zip(&there) {
            largest = match (here, there) {
                (Ok(here), Ok(there)) => largest.max(self.difference(here, there)),
                _ => f64::INFINITY,
            };
        }
        if largest <= AGREEMENT_MAX { Ok(largest) } else { Err(Disagreement::TooFar(largest)) }
    }

    /// The largest difference of two forecasts, in standard deviations.
    #[must_use]
    pub fn difference(&self, one: &Forecast, other: &Forecast) -> f64 {
        let outputs = &self.parts().outputs;
        let mut largest = 0.0f64;
        let parts =
            [(&one.forecast, &other.forecast), (&one.lower, &other.lower), (&one.upper, &other.upper)];
        for (one, other) in parts {
            for ((index, &one), &other) in one.iter().enumerate().zip(other) {
                let apart = apart(&outputs[index % outputs.len()], one.into(), other.into());
                largest = if apart.is_nan() { f64::INFINITY } else { largest.max(apart) };
            }
        }
        largest
    }

    /// Windows that wander through the range of training, from the recommended length to the shortest the model takes.
    fn made_up(&self) -> Vec<Series> {
        let (parts, model) = (self.parts(), self.model());
        let channels = &parts.encoder.channels;
        let mut rng = Rng::seeded(1);
        let window = |rows: usize| {
            let mut z = vec![0.0; channels.len()];
            let mut values = Vec::with_capacity(rows * channels.len());
            for _ in 0..rows {
                for (z, channel) in z.iter_mut().zip(channels) {
                    *z = 0.8 * *z + 0.6 * rng.normal();
                    values.push(channel.restore(z.clamp(channel.range.0, channel.range.1)));
                }
            }
            Series::new(1, rows, channels.len(), Samples::F64(values)).expect("as many values as it says")
        };
        let lengths = lengths(model.window_min(), model.window_recommended(), model.cost().alone_us);
        lengths.into_iter().map(window).collect()
    }
}

/// How long the windows are: one as long as recommended, for what reservoirs have summed up by its end is what callers
/// get; the others as long as there is time for, down to the shortest. `row_us` is what a row costs here.
fn lengths(shortest: usize, recommended: usize, row_us: f64) -> [usize; WINDOWS] {
    let affordable = |us: f64| (us / row_us) as usize;
    let first = recommended.min(ROWS_MAX).min(affordable(LONGEST_US_MAX)).max(shortest);
    let others = WINDOWS - 1;
    let longest = first.min(affordable(OTHERS_US_MAX / others as f64)).max(shortest);
    std::array::from_fn(|place| match place {
        0 => first,
        place => longest - (longest - shortest) * place / others,
    })
}

/// The distance of two answers in standard deviations, beyond what their last two bits make.
fn apart(channel: &Channel, one: f64, other: f64) -> f64 {
    let standard = |value: f64| channel.standardise::<f64>(value);
    let rounding = (standard(one * (1.0 + 2.0 * f64::from(f32::EPSILON))) - standard(one)).abs();
    ((standard(one) - standard(other)).abs() - rounding).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_window_is_as_long_as_recommended_whatever_a_row_costs() {
        for (shortest, recommended, row_us, wanted) in [
            (4, 404, 1.0, [404, 304, 204, 104, 4]),
            // A dear model: the others are cut, the first is not.
            (4, 404, 1000.0, [404, 10, 8, 6, 4]),
            (4, 1400, 3000.0, [1400, 4, 4, 4, 4]),
            // Beyond the limit of time, and of rows.
            (4, 404, 50_000.0, [100, 4, 4, 4, 4]),
            (4, 100_000, 0.1, [40_000, 30_001, 20_002, 10_003, 4]),
            (200, 100, 1e9, [200; WINDOWS]),
        ] {
            assert_eq!(lengths(shortest, recommended, row_us), wanted, "{shortest} {recommended} {row_us}");
        }
    }
}
