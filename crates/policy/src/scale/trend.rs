//! Where arrivals are going, learned as they come.
//!
//! Where nothing rises or falls, half way from what arrives now to the mean of the last minute. Otherwise what arrives now, and weighted
//! slopes of the last ten seconds and the last minute. The weights are learned by recursive least squares with forgetting (Haykin, "Adaptive
//! Filter Theory", 4th ed., ch. 9) from what became of earlier slopes, where too little was expected more than where too much was (asymmetric
//! least squares: Newey and Powell, Econometrica 55, 1987); they begin with the whole of the short slope and a part of the long one. Two things
//! keep noise from looking like a rise. Slopes are *shrunk*: what is no steeper than usual is nothing (soft thresholding: Donoho, IEEE Trans.
//! Inf. Theory 41, 1995). And they are *damped*: a slope goes on, but less and less, as in Gardner and McKenzie's exponential smoothing
//! (Management Science 31, 1985).

use super::forecast::Forecaster;
use super::scaler::later;
use crate::capacity::PerSecond;
use spinwell_core::UnixMillis;
use std::collections::VecDeque;
use std::time::Duration;

/// Over how long slopes are taken, in seconds.
const SPANS: [f64; 2] = [10.0, 60.0];
/// How long a slope goes on in all, in seconds.
const GOES_ON: f64 = 120.0;
/// Slopes of so many times the usual size are nothing: three standard deviations, where they are normal.
const SHRINKS: f64 = 3.75;
/// The share of the newest slope in the usual size.
const USUAL_NEWEST: f64 = 0.01;
/// A slope counts as so many times the usual one at most, so that a jump does not become usual.
const SLOPE_MOST: f64 = 4.0;
/// What is left of an older lesson's part, per newer one.
const FORGETS: f64 = 0.999;
/// A lesson counts so many times where too little was expected: too few nodes are worse than as many too many.
const TOO_LOW: f64 = 4.0;
/// The first weights.
const FIRST: [f64; 2] = [1.0, 0.3];
/// How sure of the first weights it is: so many times the square of the size that lessons have.
const UNCERTAIN: f64 = 0.1;
/// Lessons that await their truth, at most.
const AWAITED_MOST: usize = 720;

/// Goes on as arrivals have.
#[derive(Debug, Clone)]
pub struct Trend {
    /// What arrived within the longest span, oldest first.
    recent: VecDeque<(UnixMillis, f64)>,
    /// The usual size of slopes, over each span.
    usual: [Option<f64>; 2],
    weights: [f64; 2],
    inverse: [[f64; 2]; 2],
    lessons: VecDeque<Lesson>,
    /// How far ahead it learns: as far as was asked last.
    learns_ahead: f64,
}

/// A forecast that awaits its truth.
#[derive(Debug, Clone, Copy)]
struct Lesson {
    until: UnixMillis,
    began_at: f64,
    slopes: [f64; 2],
}

impl Default for Trend {
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl Trend {
    /// One that learns from what comes so long after.
    #[must_use]
    pub fn new(ahead: Duration) -> Self {
        Self {
            recent: VecDeque::new(),
            usual: [None; 2],
            weights: FIRST,
            inverse: [[UNCERTAIN, 0.0], [0.0, UNCERTAIN]],
            lessons: VecDeque::new(),
            learns_ahead: ahead.as_secs_f64(),
        }
    }

    /// What the shrunk slopes would add after so many seconds, each.
    fn rises(&self, seconds: f64) -> [f64; 2] {
        let goes_on = GOES_ON * (1.0 - (-seconds / GOES_ON).exp());
        std::array::from_fn(|at| {
            let (Some(slope), Some(usual)) = (self.slope(SPANS[at]), self.usual[at]) else { return 0.0 };
            goes_on * (slope.abs() - SHRINKS * usual).max(0.0).copysign(slope)
        })
    }

    /// The slope over the last so many seconds; nothing while less than half of them were seen.
    fn slope(&self, span: f64) -> Option<f64> {
        let (now, newest) = *self.recent.back()?;
        let ago = |moment: UnixMillis| (now.0 - moment.0) as f64 / 1e3;
        let (then, oldest) = *self.recent.iter().find(|(moment, _)| ago(*moment) <= span)?;
        let took = ago(then);
        (took >= 0.5 * span).then(|| (newest - oldest) / took)
    }

    fn learn_usual(&mut self) {
        for (at, span) in SPANS.into_iter().enumerate() {
            let Some(slope) = self.slope(span) else { continue };
            let usual = self.usual[at].get_or_insert(slope.abs());
            *usual += USUAL_NEWEST * (slope.abs().min(SLOPE_MOST * usual.max(0.1)) - *usual);
        }
    }

    fn learn(&mut self, at: UnixMillis, arrivals: f64) {
        while let Some(Lesson { began_at, slopes, .. }) =
            self.lessons.pop_front_if(|lesson| lesson.until <= at)
        {
            // In parts of what arrived, so that large loads do not count more than small ones.
            let scale = began_at.max(arrivals).max(1.0);
            if slopes != [0.0; 2] {
                self.learn_from(slopes.map(|slope| slope / scale), (arrivals - began_at) / scale);
            }
        }
    }

    /// One step of recursive least squares.
    fn learn_from(&mut self, features: [f64; 2], wanted: f64) {
        let Self { weights, inverse, .. } = self;
        let dot = |a: [f64; 2], b: [f64; 2]| a[0] * b[0] + a[1] * b[1];
        let error = wanted - dot(*weights, features);
        let counts = if error > 0.0 { TOO_LOW } else { 1.0 };
        let gain = inverse.map(|row| dot(row, features));
        let scale = FORGETS / counts + dot(gain, features);
        for at in 0..2 {
            weights[at] += gain[at] / scale * error;
            for other in 0..2 {
                let next = (inverse[at][other] - gain[at] * gain[other] / scale) / FORGETS;
                inverse[at][other] = next.clamp(-UNCERTAIN, UNCERTAIN);
            }
        }
    }
}

impl Forecaster for Trend {
    fn observe(&mut self, at: UnixMillis, arrivals: PerSecond) {
        let arrivals = arrivals.get();
        let at = self.recent.back().map_or(at, |(last, _)| at.max(*last));
        self.learn(at, arrivals);
        self.recent.push_back((at, arrivals));
        let longest = SPANS[SPANS.len() - 1];
        while self.recent.pop_front_if(|(moment, _)| (at.0 - moment.0) as f64 / 1e3 > longest).is_some() {}
        let slopes = self.rises(self.learns_ahead);
        self.learn_usual();
        if self.lessons.len() < AWAITED_MOST {
            let until = later(at, Duration::from_secs_f64(self.learns_ahead));
            self.lessons.push_back(Lesson { until, began_at: arrivals, slopes });
        }
    }

    fn ahead(&self, by: Duration) -> Option<PerSecond> {
        let (_, now) = *self.recent.back()?;
        let rises = self.rises(by.as_secs_f64());
        if rises == [0.0; 2] {
            // What has strayed from the mean comes back to it, half of the way within a minute or so.
            let sum: f64 = self.recent.iter().map(|(_, arrivals)| arrivals).sum();
            return PerSecond::new(f64::midpoint(now, sum / self.recent.len() as f64));
        }
        let rise: f64 =
            rises.iter().zip(self.weights).map(|(rise, weight)| rise * weight.clamp(0.0, 1.5)).sum();
        PerSecond::new((now + rise).max(0.0))
    }
}
