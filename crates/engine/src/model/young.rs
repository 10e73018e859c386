//! Streams that have seen fewer rows than the model looks back.
//!
//! A caller who begins a sequence wants an answer to its first step, and a readout of lags that have not happened yet
//! would be nonsense that looks like a forecast. So the newest value stands in. The error of that is bounded by what
//! training saw: where values h rows apart are not negatively correlated, it has a variance of at most twice theirs.

use super::Forecast;
use super::forecaster::Profile;
use super::readout::Parts;
use super::stream::StreamOf;

impl<R: Profile> Parts<R> {
    /// The newest value, or the mean, with a wide interval.
    pub(crate) fn forecast_of_the_young(&self, stream: &StreamOf<R>) -> Forecast {
        let (targets, outputs) = (self.targets(), self.targets() * self.horizon);
        let mut result = Forecast {
            forecast: vec![0.0; outputs],
            lower: vec![0.0; outputs],
            upper: vec![0.0; outputs],
            direction: vec![0; outputs],
            // Nothing speaks for one direction or the other.
            confidence: vec![0.5; outputs],
            activity: self.activity(&stream.memory),
        };
        let quantile = normal_quantile((1.0 + self.intervals.coverage) / 2.0);
        for (target, channel) in self.outputs.iter().enumerate() {
            let (z, half) = match self.hears_targets {
                true => {
                    let newest = self.encoder.past(&stream.memory, 0, target).widen();
                    (newest, quantile * std::f64::consts::SQRT_2)
                }
                false => (0.0, quantile),
            };
            for place in (target..outputs).step_by(targets) {
                result.forecast[place] = channel.restore(z) as f32;
                result.lower[place] = channel.restore(z - half) as f32;
                result.upper[place] = channel.restore(z + half) as f32;
            }
        }
        result
    }
}

/// The standard normal quantile of a probability from 0.5, to 4.5e-4 (Abramowitz & Stegun 1964, 26.2.23).
fn normal_quantile(probability: f64) -> f64 {
    let t = (-2.0 * (1.0 - probability).max(f64::MIN_POSITIVE).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, wanted) in
            [(0.5, 0.0), (0.9, 1.2816), (0.975, 1.9600), (0.995, 2.5758), (0.9995, 3.2905)]
        {
            assert!((normal_quantile(probability) - wanted).abs() < 5e-4, "{probability}");
        }
        assert!(normal_quantile(1.0).is_finite());
    }
}
