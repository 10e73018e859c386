//! The weighted score alone, with the steps and thresholds that the brief gives it.
//!
//! Every 5 s, which is its check interval: above 0.8 half as many again, above 0.6 one more, below 0.3 one fewer. Its loop awaits what it
//! began, warm-ups and drains, before it looks again; here nodes warm up at the same time, which its sketch has them do one after the other.
//! Trend is the same forecast as ours; cost and business are what the region says.

use super::super::region::{CAPACITY, Orders, Sight, WARM_UP_P95};
use super::ours::{BUSINESS, COST, now};
use super::window::Window;
use super::{Replicas, Rule};
use spinwell_core::{Ratio, Rng};
use spinwell_policy::capacity::PerSecond;
use spinwell_policy::scale::{self, Judged, Trend};
use std::fmt;

/// How often it looks, in seconds.
const EVERY: usize = 5;

/// Its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Above it there are half as many again.
    pub half: f64,
    /// Above it there is one more.
    pub one: f64,
    /// Below it there is one fewer.
    pub fewer: f64,
}

impl Default for Score {
    fn default() -> Self {
        Self { half: 0.8, one: 0.6, fewer: 0.3 }
    }
}

impl Score {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        let one = rng.uniform_in(0.35, 0.8);
        Self { half: one + rng.uniform_in(0.0, 0.25), one, fewer: rng.uniform_in(0.2, one) }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { half, one, fewer } = self;
        write!(f, "half more above {half:.2}, one more above {one:.2}, one fewer below {fewer:.2}")
    }
}

pub(super) struct Scoring {
    settings: Score,
    replicas: Replicas,
    offered: Window,
    busy: Window,
    forecast: Judged<Trend>,
}

impl Scoring {
    pub(super) fn new(settings: Score) -> Self {
        Self {
            settings,
            replicas: Replicas::default(),
            offered: Window::new(EVERY),
            busy: Window::new(EVERY),
            forecast: Judged::new(Trend::new(WARM_UP_P95)),
        }
    }

    fn score(&mut self, sight: &Sight<'_>) -> f64 {
        let offered = PerSecond::new(self.offered.mean()).unwrap_or(PerSecond::ZERO);
        let forecast = self.forecast.observe(now(sight.second), offered, WARM_UP_P95);
        let ahead =
            forecast.filter(scale::Forecast::is_trusted).map_or(offered, |forecast| forecast.arrivals);
        let carried = CAPACITY * (sight.serving() + sight.coming()) as f64;
        let trend = (ahead.get() / carried).min(1.0);
        let factors = [self.busy.mean(), trend, 1.0 - COST, BUSINESS];
        scale::Score::new(factors.map(Ratio::new)).total.map_or(0.0, Ratio::get)
    }
}

impl Rule for Scoring {
    fn look(&mut self, sight: &Sight<'_>) -> Orders {
        self.offered.push(sight.offered);
        self.busy.push(sight.utilization);
        let wanted = self.replicas.wanted(sight);
        if sight.second % EVERY == EVERY - 1 {
            let score = self.score(sight);
            let is_leaving = sight.nodes.iter().any(|node| node.gone.is_some() && !node.is_lost);
            if sight.coming() == 0 && !is_leaving {
                let Score { half, one, fewer } = self.settings;
                self.replicas.want(match score {
                    score if score > half => (wanted as f64 * 1.5) as usize,
                    score if score > one => wanted + 1,
                    score if score < fewer => wanted - 1,
                    _ => wanted,
                });
            }
        }
        self.replicas.orders(sight)
    }
}
