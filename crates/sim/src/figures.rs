//! What a run says about a strategy.

use crate::history::{History, Outcome};
use std::time::Duration;

/// What a run, or several, say about a strategy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Requests that came.
    pub requests: usize,
    /// Latency of answers, from the request's arrival at the gateway: the median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// How busy executors of the busiest node were, divided by the mean over all nodes.
    pub imbalance: f64,
    /// Attempts beyond the first of each request.
    pub retries: u64,
    /// Requests without an answer, whatever the reason.
    pub failed: usize,
    /// Share of picks by another strategy than the one that was asked for.
    pub fell_back: f64,
}

impl Figures {
    /// Of all runs together. The imbalance is the mean of theirs.
    #[must_use]
    pub fn of(histories: &[History]) -> Self {
        let outcomes = || histories.iter().flat_map(|history| history.outcomes.iter().flatten());
        let mut answered: Vec<Duration> = outcomes()
            .filter_map(|outcome| match outcome {
                Outcome::Answered(took) => Some(*took),
                Outcome::Failed | Outcome::Refused | Outcome::Late => None,
            })
            .collect();
        answered.sort_unstable();
        let quantile = |share: f64| {
            let place = (share * answered.len() as f64).ceil() as usize;
            answered.get(place.max(1) - 1).copied().unwrap_or_default()
        };
        let requests: usize = histories.iter().map(|history| history.outcomes.len()).sum();
        let sent: usize = histories.iter().map(|history| history.sent.len()).sum();
        let fell_back: u64 = histories.iter().map(|history| history.fell_back).sum();
        Self {
            requests,
            p50: quantile(0.5),
            p99: quantile(0.99),
            imbalance: histories.iter().map(imbalance).sum::<f64>() / histories.len().max(1) as f64,
            retries: histories.iter().map(|history| history.retries).sum(),
            failed: requests - answered.len(),
            fell_back: fell_back as f64 / sent.max(1) as f64,
        }
    }
}

fn imbalance(history: &History) -> f64 {
    let busy = || history.busy.iter().map(Duration::as_secs_f64);
    let mean = busy().sum::<f64>() / history.busy.len().max(1) as f64;
    if mean > 0.0 { busy().fold(0.0, f64::max) / mean } else { 1.0 }
}
