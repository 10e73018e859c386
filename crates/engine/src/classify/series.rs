//! What every block of features reads: one series, standardised, in 32 bits, channel after channel.

/// Standardised values are limited to this many deviations: far beyond anything that carries information, and far
/// below what would overflow in a sum.
const LIMIT: f64 = 1e4;

/// A series varies if its deviation exceeds this share of the training deviation.
const FLAT: f64 = 1e-6;

/// Mean and deviation of every channel over the rows of all training cases.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaler {
    /// One per channel.
    pub(crate) means: Vec<f64>,
    /// One per channel, above 0.
    pub(crate) deviations: Vec<f64>,
}

impl Scaler {
    /// Learns from series of row-major values. A channel that never changes has deviation 0.
    pub(crate) fn learn(series: &[&[f64]], channels: usize) -> Self {
        let column = |channel: usize| {
            series.iter().flat_map(move |values| values.iter().skip(channel).step_by(channels).copied())
        };
        let rows = column(0).count() as f64;
        let mut scaler = Self { means: Vec::new(), deviations: Vec::new() };
        for channel in 0..channels {
            let mean = column(channel).map(|value| value / rows).sum::<f64>();
            let first = column(channel).next();
            let constant = column(channel).all(|value| Some(value) == first);
            let variance = column(channel).map(|value| (value - mean).powi(2) / rows).sum::<f64>();
            scaler.means.push(mean);
            scaler.deviations.push(if constant { 0.0 } else { variance.sqrt() });
        }
        scaler
    }

    /// The standardised series; with `per_series`, every channel of it again by its own mean and deviation (a
    /// channel that does not vary becomes zeros).
    pub(crate) fn standardise(&self, values: &[f64], normalise: Normalise) -> Series {
        let channels = self.means.len();
        let rows = values.len() / channels;
        let mut standardised = Vec::with_capacity(values.len());
        for (channel, (mean, deviation)) in self.means.iter().zip(&self.deviations).enumerate() {
            let scaled = |&value: &f64| ((value - mean) / deviation).clamp(-LIMIT, LIMIT);
            let column = values.iter().skip(channel).step_by(channels).map(scaled);
            match normalise {
                Normalise::Off => standardised.extend(column.map(|value| value as f32)),
                Normalise::On => {
                    let own = column.clone().sum::<f64>() / rows as f64;
                    let spread =
                        (column.clone().map(|v| (v - own) * (v - own)).sum::<f64>() / rows as f64).sqrt();
                    let by = if spread > FLAT { 1.0 / spread } else { 0.0 };
                    standardised.extend(column.map(|value| ((value - own) * by) as f32));
                }
            }
        }
        Series { rows, values: standardised }
    }
}

/// Whether every series is standardised by its own mean and deviation, so that only its shape counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normalise {
    /// No: its level and size count.
    Off,
    /// Yes.
    On,
}

/// One standardised series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Rows.
    pub(crate) rows: usize,
    /// Channel after channel, each with one value per row.
    pub(crate) values: Vec<f32>,
}

impl Series {
    /// The values of one channel.
    pub(crate) fn channel(&self, channel: usize) -> &[f32] {
        &self.values[channel * self.rows..][..self.rows]
    }

    /// The changes from row to row: a series of one row less.
    pub(crate) fn differences(&self, channels: usize) -> Series {
        let changes = |channel: usize| self.channel(channel).windows(2).map(|pair| pair[1] - pair[0]);
        Series { rows: self.rows - 1, values: (0..channels).flat_map(changes).collect() }
    }
}
