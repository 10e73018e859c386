//! What a request's latency will be, learned from those that ended.
//!
//! A line in three features (1, rows of the request, rows in flight before it) by recursive least squares with forgetting
//! (Haykin, "Adaptive Filter Theory", §9): latency at a queue grows with what is before a request, and how steeply is
//! what differs from node to node. A line is wrong where a queue is nearly full, which its error shows: it is measured on
//! each request before that is learned from.

/// What is left of an older request's part, per newer one: some two hundred count.
const FORGETS: f64 = 0.995;
/// How little is known at first; large, so that the first requests count fully.
const UNCERTAIN: f64 = 1e3;
/// Rows are counted in hundreds, to keep the features alike in size.
const ROWS: f64 = 0.01;
/// Requests below which nothing is predicted.
const LEARNED_MIN: u32 = 30;
/// Share of the newest request in the error.
const ERROR_NEWEST: f64 = 0.02;
/// A relative error above which predictions are not trusted, and the one below which they are again.
const ERROR_HIGH: f64 = 0.5;
const ERROR_LOW: f64 = 0.4;
/// No prediction lies below this part of the mean latency.
const LEAST: f64 = 0.1;

/// Learns a node's latency, in seconds.
#[derive(Debug, Clone)]
pub(super) struct Regressor {
    weights: [f64; 3],
    /// The inverse of the features' correlation.
    inverse: [[f64; 3]; 3],
    learned: u32,
    /// Means of the absolute error and of the latency.
    error: f64,
    latency: f64,
    is_trusted: bool,
}

impl Default for Regressor {
    fn default() -> Self {
        let mut inverse = [[0.0; 3]; 3];
        (0..3).for_each(|place| inverse[place][place] = UNCERTAIN);
        Self { weights: [0.0; 3], inverse, learned: 0, error: 0.0, latency: 0.0, is_trusted: false }
    }
}

impl Regressor {
    /// Learns from a request that took so many seconds.
    pub(super) fn learn(&mut self, rows: f64, load: f64, took: f64) {
        let features = features(rows, load);
        let predicted = dot(self.weights, features);
        self.judge((predicted - took).abs(), took);
        let gain: [f64; 3] = std::array::from_fn(|row| dot(self.inverse[row], features));
        let scale = FORGETS + dot(gain, features);
        for (weight, gain) in self.weights.iter_mut().zip(gain) {
            *weight += gain / scale * (took - predicted);
        }
        for row in 0..3 {
            for column in 0..3 {
                let next = (self.inverse[row][column] - gain[row] * gain[column] / scale) / FORGETS;
                // Where a feature does not vary, forgetting would let its uncertainty grow without end.
                self.inverse[row][column] = next.clamp(-UNCERTAIN, UNCERTAIN);
            }
        }
    }

    fn judge(&mut self, error: f64, took: f64) {
        self.learned = self.learned.saturating_add(1);
        // The first errors are of weights that knew nothing.
        let newest = if self.learned <= LEARNED_MIN / 2 { 1.0 } else { ERROR_NEWEST };
        self.error += newest * (error - self.error);
        self.latency += newest * (took - self.latency);
        let most = if self.is_trusted { ERROR_HIGH } else { ERROR_LOW };
        self.is_trusted = self.learned >= LEARNED_MIN && self.error <= most * self.latency;
    }

    /// Seconds that a request will take; `None` while the error is high. More rows, of its own or before it, never take
    /// less.
    pub(super) fn predict(&self, rows: f64, load: f64) -> Option<f64> {
        let [begin, row, before] = self.weights;
        let [_, rows, load] = features(rows, load);
        let seconds = begin + row.max(0.0) * rows + before.max(0.0) * load;
        self.is_trusted.then_some(seconds.max(LEAST * self.latency))
    }
}

fn features(rows: f64, load: f64) -> [f64; 3] {
    [1.0, ROWS * rows, ROWS * load]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;

    fn learned(seed: u64, count: usize, took: impl Fn(f64, f64, &mut Rng) -> f64) -> Regressor {
        let (mut rng, mut regressor) = (Rng::seeded(seed), Regressor::default());
        for _ in 0..count {
            let (rows, load) = (rng.uniform_in(10.0, 600.0), rng.uniform_in(0.0, 2_000.0));
            let took = took(rows, load, &mut rng);
            regressor.learn(rows, load, took);
        }
        regressor
    }

    #[test]
    fn a_line_is_learned_through_noise() {
        let regressor = learned(1, 500, |rows, load, rng| {
            (0.004 + 5e-5 * rows + 1e-5 * load) * (1.0 + 0.2 * rng.normal()).max(0.1)
        });
        let got = regressor.predict(64.0, 1_000.0).unwrap();
        assert!((got - 0.0172).abs() < 0.003, "{got}");
    }

    #[test]
    fn what_cannot_be_predicted_is_not_and_is_again_when_it_can() {
        assert_eq!(Regressor::default().predict(64.0, 0.0), None);
        let wild = |_: f64, _: f64, rng: &mut Rng| if rng.uniform() < 0.1 { 1.0 } else { 0.001 };
        let mut regressor = learned(2, 400, wild);
        assert!(regressor.predict(64.0, 0.0).is_none());
        (0..600).for_each(|step| regressor.learn(64.0, f64::from(step % 7), 0.01));
        let got = regressor.predict(64.0, 3.0).unwrap();
        assert!((got - 0.01).abs() < 0.001, "{got}");
    }

    #[test]
    fn more_never_takes_less_and_nothing_grows_without_end() {
        let mut regressor = learned(3, 300, |_, load, _| (0.05 - 1e-5 * load).max(0.01));
        assert!(regressor.predict(64.0, 2_000.0).unwrap() >= regressor.predict(64.0, 0.0).unwrap());
        (0..100_000).for_each(|_| regressor.learn(64.0, 0.0, 0.01));
        assert!(regressor.weights.iter().all(|weight| weight.is_finite()));
        assert!((regressor.predict(64.0, 0.0).unwrap() - 0.01).abs() < 1e-3);
    }
}
