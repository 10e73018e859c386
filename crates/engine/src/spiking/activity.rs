//! What the population is doing as a whole: how fast, how much together, in bursts or not, in which rhythm.
//!
//! * **Rate**: spikes per neuron and dt.
//! * **Synchrony**: variance of the mean potential over the mean of the potentials' variances (Golomb & Rinzel 1994, eq. 7,
//!   squared): 1 for neurons that are all alike, 1/N for independent ones.
//! * **Bursts**: the rate of a row rises two standard deviations and a quarter above its mean, and falls below the mean
//!   before it may rise again.
//! * **Rhythm**: of 32 leaky resonators in equal ratios, each remembering one and a half of its periods, the one that rings
//!   loudest to the rate from row to row, refined by its neighbours. No transform over a window is needed, so a stream
//!   remembers 64 numbers. What happens within a row is the neurons' own firing and no rhythm of the series.
//!
//! All of it is of the population, not of the series: neurons that hear the series at many delays and with both signs
//! blur a short pulse over all of their delays, and may follow a wave at a multiple of its frequency.
//!
//! Means run over all rows of a stream until 64 are there and forget exponentially from then on. Nothing here feeds
//! back into the neurons.

use super::weights::LiquidWeights;
use crate::kernel::LANES;

/// Resonators.
pub(super) const FREQUENCIES: usize = 2 * LANES;
/// The slowest resonator's period in rows.
const PERIOD_MAX: f64 = 128.0;
/// The fastest resonator's period in rows: no series has a faster one.
const PERIOD_MIN: f64 = 2.0;
/// Periods that a resonator remembers: its half width is then a tenth of its frequency, the resonators' distance.
const PERIODS: f64 = 1.5;
/// Rows that means run over.
const MEMORY: f32 = 64.0;
/// Weight of one dt in the smoothed rate: a memory of five.
const SMOOTHING: f32 = 0.2;
/// A burst is so many standard deviations of the rate above its mean, and so many times the mean: what is steady may not
/// burst by its last digits.
const BURST_DEVIATIONS: f32 = 2.0;
const BURST: f32 = 1.25;
/// Rate that counts as full in [`Tally::level`]: a spike of each neuron every ten dt.
const FULL_RATE: f32 = 0.1;

/// The population's activity over the last 64 rows or so.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Activity {
    /// Spikes per neuron and dt.
    pub rate: f32,
    /// How much the neurons do the same, in [0, 1].
    pub synchrony: f32,
    /// Bursts of the population per row.
    pub burst_rate: f32,
    /// The strongest rhythm of the population's rate, in cycles per row, at most about half; 0 if it has been silent.
    pub dominant_frequency: f32,
}

impl Activity {
    /// Its numbers by name, in the order of the fields.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f32); 4] {
        let Activity { rate, synchrony, burst_rate, dominant_frequency } = *self;
        [
            ("rate", rate),
            ("synchrony", synchrony),
            ("burst_rate", burst_rate),
            ("dominant_frequency", dominant_frequency),
        ]
    }
}

/// Resonators from one period in 128 rows to one in 2.
pub(super) fn draw_rhythms(weights: &mut LiquidWeights) {
    let (slow, fast) = (1.0 / PERIOD_MAX, 1.0 / PERIOD_MIN);
    for index in 0..FREQUENCIES {
        let frequency = slow * (fast / slow).powf(index as f64 / (FREQUENCIES - 1) as f64);
        let decay = (-frequency / PERIODS).exp();
        let angle = std::f64::consts::TAU * frequency;
        weights.rhythm_frequencies.push(frequency as f32);
        weights.rhythm_decays.push(decay as f32);
        weights.rhythm_cosines.push((decay * angle.cos()) as f32);
        weights.rhythm_sines.push((decay * angle.sin()) as f32);
    }
}

/// Numbers of a stream that are one for the whole population, in the order they stand in its state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tally {
    /// Mean rate.
    pub(super) rate: f32,
    /// Its variance from row to row.
    pub(super) rate_variance: f32,
    /// Rate smoothed over the last dt.
    pub(super) smoothed: f32,
    /// 1 within a burst, else 0.
    pub(super) bursting: f32,
    /// Mean number of bursts per row.
    pub(super) burst_rate: f32,
    /// Mean of the population's mean potential.
    pub(super) mean: f32,
    /// Its variance.
    pub(super) variance: f32,
}

/// Length of a [`Tally`].
pub(super) const TALLY: usize = 7;

impl Tally {
    /// Reads it.
    #[inline(always)]
    pub(super) fn of(values: &[f32; TALLY]) -> Self {
        let [rate, rate_variance, smoothed, bursting, burst_rate, mean, variance] = *values;
        Self { rate, rate_variance, smoothed, bursting, burst_rate, mean, variance }
    }

    /// Its values.
    #[inline(always)]
    pub(super) fn values(self) -> [f32; TALLY] {
        [
            self.rate,
            self.rate_variance,
            self.smoothed,
            self.bursting,
            self.burst_rate,
            self.mean,
            self.variance,
        ]
    }

    /// Hears the share of neurons that fired in one dt.
    #[inline(always)]
    pub(super) fn hear(&mut self, share: f32) {
        self.smoothed = SMOOTHING.mul_add(share - self.smoothed, self.smoothed);
    }

    /// Hears the rate of a whole row, which counts for `weight` in the means. Gives its distance from the mean so far.
    #[inline(always)]
    pub(super) fn count(&mut self, rate: f32, weight: f32) -> f32 {
        let distance = rate - self.rate;
        // Before the first whole row there is no mean to be above of.
        let high = distance > BURST_DEVIATIONS * self.rate_variance.sqrt() && rate > BURST * self.rate;
        let begins = self.bursting == 0.0 && self.rate > 0.0 && high;
        self.bursting = if begins {
            1.0
        } else if distance < 0.0 {
            0.0
        } else {
            self.bursting
        };
        let burst: f32 = if begins { 1.0 } else { 0.0 };
        self.burst_rate = weight.mul_add(burst - self.burst_rate, self.burst_rate);
        observe(&mut self.rate, &mut self.rate_variance, rate, weight);
        distance
    }

    /// The smoothed rate as a share of what counts as full.
    #[inline(always)]
    pub(super) fn level(&self) -> f32 {
        (self.smoothed * (1.0 / FULL_RATE)).min(1.0)
    }
}

/// Weight of a new row in the means of a stream that has had `rows` rows before.
#[inline(always)]
pub(super) fn weight_of_row(rows: u64) -> f32 {
    1.0 / MEMORY.min(rows as f32 + 1.0)
}

/// Moves a mean and a variance towards a new value (West 1979, with a fixed weight).
#[inline(always)]
pub(super) fn observe(mean: &mut f32, variance: &mut f32, value: f32, weight: f32) {
    let away = value - *mean;
    *mean = weight.mul_add(away, *mean);
    *variance = (1.0 - weight) * weight.mul_add(away * away, *variance);
}

/// Rings the resonators with the rate's distance from its mean. `memory` holds their real, then their imaginary parts.
#[inline(always)]
pub(super) fn ring(weights: &LiquidWeights, memory: &mut [f32], distance: f32) {
    let (real, imaginary) = memory.split_at_mut(FREQUENCIES);
    let turns = weights.rhythm_cosines.iter().zip(&weights.rhythm_sines);
    for ((x, y), (cosine, sine)) in real.iter_mut().zip(imaginary).zip(turns) {
        let turned = cosine.mul_add(*x, (-sine).mul_add(*y, distance));
        *y = cosine.mul_add(*y, sine * *x);
        *x = turned;
    }
}

/// The activity that a stream's numbers say.
pub(super) fn read(weights: &LiquidWeights, tally: Tally, variances: &[f32], rhythm: &[f32]) -> Activity {
    let mean_variance = variances.iter().sum::<f32>() / variances.len() as f32;
    let synchrony = if mean_variance > 1e-12 { (tally.variance / mean_variance).min(1.0) } else { 0.0 };
    Activity {
        rate: tally.rate,
        synchrony,
        burst_rate: tally.burst_rate,
        dominant_frequency: dominant(weights, rhythm),
    }
}

/// The frequency that rings loudest: the mean of it and its two neighbours, by their power. A resonator's power is
/// scaled by (1 − decay)², which makes it the same for the same swing at every frequency.
fn dominant(weights: &LiquidWeights, memory: &[f32]) -> f32 {
    let (real, imaginary) = memory.split_at(FREQUENCIES);
    let power = |index: usize| {
        let narrow = 1.0 - weights.rhythm_decays[index];
        (real[index] * real[index] + imaginary[index] * imaginary[index]) * narrow * narrow
    };
    let mut loudest = 0;
    for index in 1..FREQUENCIES {
        if power(index) > power(loudest) {
            loudest = index;
        }
    }
    let around = loudest.saturating_sub(1)..(loudest + 2).min(FREQUENCIES);
    let total: f32 = around.clone().map(power).sum();
    if total < 1e-20 {
        return 0.0;
    }
    around.map(|index| power(index) * weights.rhythm_frequencies[index]).sum::<f32>() / total
}
