//! Which quantile of the scores to play: dynamically tuned adaptive conformal inference (DtACI).
//!
//! Eight experts each hold a miss rate α that they believe gives the nominal one, and correct it by what they see,
//! in steps of different size; experts that placed recent scores badly lose weight (DtACI of Gibbs & Candès 2022,
//! with the pinball loss; I = 500, σ = 1/(2I) and η as they suggest). The rate that is played is the weighted mean.
//!
//! `beta` is the share of the calibration scores that are at least as large as the new one: the score would have been
//! missed by every rate above it.
//!
//! **Horizons beyond 1.** A forecast `h` rows ahead is judged `h` rows late and neighbouring ones share their fate,
//! so correcting as fast as at one row ahead chases single episodes (coverage 0.82 to 0.84 at h = 48). Steps and
//! learning rate are divided by `h`, and a score is compared with the rates that stood **when its forecast was made**,
//! so that the long-run miss rate of what was really played is what the experts correct. Keeping eight rates for
//! every forecast still open would be most of a stream's memory; instead the stream keeps a second copy of the rates
//! that runs `h` rows behind the first and repeats its corrections, for which one bit an expert and row is enough.
//!
//! **Miss rates below 5 %.** The steps shrink with the nominal rate: with the paper's own, one miss at 1 % nominal
//! sends the fastest expert below zero for a dozen rows, and the intervals are 10 % worse.

/// Experts; at 5 % nominal and above their steps are 0.001·2ᵏ, k = 0..8.
pub(crate) const EXPERTS: usize = 8;
const FIRST_STEP: f64 = 0.001;
/// Nominal miss rate below which the steps are proportional to it.
const FULL_STEP_RATE: f64 = 0.05;
/// Rows over which the experts' weights should be near the best: I in the paper.
const SPAN: f64 = 500.0;
/// ln(experts · span).
const LN_EXPERTS_SPAN: f64 = 8.294_049_640_102_028;

/// The rule for one horizon.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dtaci {
    miss_rate: f64,
    steps: [f64; EXPERTS],
    learning_rate: f64,
}

/// What a stream knows about its rates on one track.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Experts {
    /// The miss rate each expert would play now.
    pub(crate) levels: [f64; EXPERTS],
    /// How much each is trusted; they sum to 1.
    pub(crate) weights: [f64; EXPERTS],
    /// The rates as they stood when the forecast was made whose truth comes next.
    pub(crate) origin_levels: [f64; EXPERTS],
}

impl Experts {
    /// Experts that all start from the rate `level`.
    pub(crate) fn fresh(level: f64) -> Self {
        let levels = [level; EXPERTS];
        Self { levels, weights: [1.0 / EXPERTS as f64; EXPERTS], origin_levels: levels }
    }

    /// The miss rate to play, in [0, 1].
    #[inline]
    pub(crate) fn level(&self) -> f64 {
        let mut level = 0.0;
        for (weight, expert) in self.weights.iter().zip(&self.levels) {
            level += weight * expert;
        }
        level.clamp(0.0, 1.0)
    }
}

impl Dtaci {
    /// The rule for intervals of the nominal `coverage`, in (0, 1), `horizon` rows ahead.
    pub(crate) fn new(coverage: f64, horizon: usize) -> Self {
        let (a, b, h) = (1.0 - coverage, coverage, horizon as f64);
        let spread = b * b * a * a * a + a * a * b * b * b;
        let mut steps = [FIRST_STEP * (a / FULL_STEP_RATE).min(1.0) / h; EXPERTS];
        for k in 1..EXPERTS {
            steps[k] = 2.0 * steps[k - 1];
        }
        let learning_rate = (3.0 / SPAN * (LN_EXPERTS_SPAN + 2.0) / spread).sqrt() / h;
        Self { miss_rate: a, steps, learning_rate }
    }

    /// Judges the experts by a score. Returns which of them missed it, a bit each.
    #[inline]
    pub(crate) fn observe(&self, experts: &mut Experts, beta: f64) -> u8 {
        let a = self.miss_rate;
        let mut missed = 0;
        let mut losses = [0.0; EXPERTS];
        for (k, (&level, loss)) in experts.origin_levels.iter().zip(&mut losses).enumerate() {
            let beyond = beta - level;
            // The pinball loss: a·beyond, or (a − 1)·beyond where that is negative.
            *loss = self.learning_rate * (a * beyond).max((a - 1.0) * beyond);
            missed |= u8::from(beyond < 0.0) << k;
        }
        let factors = exp_of_negative(losses);
        let mut sum = 0.0;
        for (weight, factor) in experts.weights.iter_mut().zip(factors) {
            *weight *= factor;
            sum += *weight;
        }
        let mixed = 1.0 / (2.0 * SPAN);
        let kept = (1.0 - mixed) / sum;
        for weight in &mut experts.weights {
            *weight = kept * *weight + mixed / EXPERTS as f64;
        }
        self.correct(&mut experts.levels, missed);
        missed
    }

    /// Brings the rates of the origin one row further by the correction that was made at that row.
    #[inline]
    pub(crate) fn follow(&self, experts: &mut Experts, missed: u8) {
        self.correct(&mut experts.origin_levels, missed);
    }

    #[inline]
    fn correct(&self, levels: &mut [f64; EXPERTS], missed: u8) {
        for (k, (level, step)) in levels.iter_mut().zip(&self.steps).enumerate() {
            *level += step * (self.miss_rate - f64::from(missed >> k & 1));
        }
    }
}

/// e^−x for each x ≥ 0 to about 3e-7, with multiplications and additions only, so that every platform gives the same
/// bits: the Taylor polynomial of e^(−x/256), squared eight times. Zero weights cannot arise: x is limited to 40.
#[inline]
fn exp_of_negative(x: [f64; EXPERTS]) -> [f64; EXPERTS] {
    let y = x.map(|x| x.min(40.0) * (-1.0 / 256.0));
    let mut powers = [1.0 / 720.0; EXPERTS];
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        for (power, y) in powers.iter_mut().zip(y) {
            *power = *power * y + coefficient;
        }
    }
    for _ in 0..8 {
        for power in &mut powers {
            *power *= *power;
        }
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Rng;
    use std::collections::VecDeque;

    #[test]
    fn the_exponential_is_near_the_true_one() {
        for i in 0..4000 {
            let x = f64::from(i) * 0.01;
            let mut all = [1e300; EXPERTS];
            all[i as usize % EXPERTS] = x;
            let found = exp_of_negative(all)[i as usize % EXPERTS];
            assert!((found / (-x).exp() - 1.0).abs() < 3e-7, "{x}");
        }
        assert!(exp_of_negative([1e300; EXPERTS])[0] > 0.0);
    }

    #[test]
    fn the_learning_rate_is_that_of_the_paper() {
        let a: f64 = 0.05;
        let eta = (3.0f64 / 500.0).sqrt()
            * (((8.0f64 * 500.0).ln() + 2.0) / ((1.0 - a).powi(2) * a.powi(3) + a * a * (1.0 - a).powi(3)))
                .sqrt();
        assert!((Dtaci::new(0.95, 1).learning_rate - eta).abs() < 1e-12);
        assert!((Dtaci::new(0.95, 12).learning_rate - eta / 12.0).abs() < 1e-12);
    }

    /// The algorithm as it stands in the paper, written down again with a full history of the rates.
    struct Slow {
        horizon: usize,
        history: VecDeque<[f64; EXPERTS]>,
        levels: [f64; EXPERTS],
        weights: [f64; EXPERTS],
    }

    impl Slow {
        fn observe(&mut self, beta: f64) {
            let (a, h) = (0.1f64, self.horizon as f64);
            let eta = (3.0f64 / 500.0).sqrt()
                * ((4000f64.ln() + 2.0) / ((1.0 - a).powi(2) * a.powi(3) + a * a * (1.0 - a).powi(3))).sqrt();
            let origin = self.history.pop_front().unwrap();
            let losses = origin.map(|alpha| {
                let pinball = a * (beta - alpha) - (beta - alpha).min(0.0);
                (-eta / h * pinball).exp()
            });
            let unnormalised: Vec<f64> = self.weights.iter().zip(losses).map(|(w, l)| w * l).collect();
            let total: f64 = unnormalised.iter().sum();
            for k in 0..EXPERTS {
                self.weights[k] = unnormalised[k] / total * (1.0 - 1.0 / 1000.0) + 1.0 / 8000.0;
                let gamma = 0.001 * 2f64.powi(k as i32) / h;
                self.levels[k] += gamma * (a - if beta < origin[k] { 1.0 } else { 0.0 });
            }
        }
    }

    #[test]
    fn rates_and_weights_are_those_of_the_paper_at_every_horizon() {
        for horizon in [1, 2, 7] {
            let rule = Dtaci::new(0.9, horizon);
            let mut experts = Experts::fresh(0.1);
            let mut slow = Slow {
                horizon,
                history: VecDeque::from(vec![[0.1; EXPERTS]; horizon]),
                levels: [0.1; EXPERTS],
                weights: [0.125; EXPERTS],
            };
            let mut corrections: VecDeque<Option<u8>> = VecDeque::from(vec![None; horizon - 1]);
            let mut rng = Rng::seeded(3);
            for row in 0..3000 {
                // Scores grow half way, so that rates move far.
                let beta = if row < 1500 { rng.uniform() } else { rng.uniform().powi(3) };
                assert_eq!(experts.origin_levels, slow.history[0], "{horizon} {row}");
                corrections.push_back(Some(rule.observe(&mut experts, beta)));
                if let Some(missed) = corrections.pop_front().flatten() {
                    rule.follow(&mut experts, missed);
                }
                slow.observe(beta);
                slow.history.push_back(experts.levels);
                for k in 0..EXPERTS {
                    assert!((experts.levels[k] - slow.levels[k]).abs() < 1e-9, "{horizon} {row} {k}");
                    assert!((experts.weights[k] - slow.weights[k]).abs() < 1e-6, "{horizon} {row} {k}");
                }
            }
            assert!(experts.level() < 0.1 && (experts.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
