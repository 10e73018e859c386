//! Kubernetes' horizontal pod autoscaler, `autoscaling/v2`.
//!
//! Every 15 s: replicas × utilisation ÷ target, rounded up; nothing within the tolerance. Pods that are not ready count as idle where there
//! would be more, and as fully busy where there would be fewer; if that turns the direction round, nothing is done. Up by the larger of 100 % and four pods
//! every 15 s, down to the highest recommendation of the stabilisation window.

use super::super::region::{Orders, Sight};
use super::window::Window;
use super::{Replicas, Rule, nodes};
use spinwell_core::Rng;
use std::fmt;

/// How often it looks, in seconds, and over how long it measures.
const SYNC: usize = 15;

/// Its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hpa {
    /// Utilisation that it keeps pods at.
    pub target: f64,
    /// Deviations from the target up to that part of it change nothing.
    pub tolerance: f64,
    /// How long a recommendation to keep more counts against fewer, in seconds.
    pub down_window: usize,
    /// How long a recommendation to keep fewer counts against more, in seconds.
    pub up_window: usize,
}

impl Default for Hpa {
    fn default() -> Self {
        Self { target: 0.66, tolerance: 0.1, down_window: 300, up_window: 0 }
    }
}

impl Hpa {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        Self {
            target: rng.uniform_in(0.3, 0.9),
            tolerance: rng.uniform_in(0.02, 0.25),
            down_window: 15 * rng.below(61) as usize,
            up_window: if rng.uniform() < 0.7 { 0 } else { 15 * (1 + rng.below(4) as usize) },
        }
    }
}

impl fmt::Display for Hpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, tolerance, down_window, up_window } = self;
        write!(
            f,
            "target {target:.2}, tolerance {tolerance:.2}, stabilisation {down_window} s down, {up_window} s up"
        )
    }
}

pub(super) struct Scaling {
    settings: Hpa,
    replicas: Replicas,
    busy: Window,
    recommended: Window,
    recommended_up: Window,
}

impl Scaling {
    pub(super) fn new(settings: Hpa) -> Self {
        let looks = |seconds: usize| seconds / SYNC + 1;
        Self {
            settings,
            replicas: Replicas::default(),
            busy: Window::new(SYNC),
            recommended: Window::new(looks(settings.down_window)),
            recommended_up: Window::new(looks(settings.up_window)),
        }
    }

    /// What it would recommend by what it measures.
    fn recommend(&self, wanted: usize, ready: usize, coming: usize) -> usize {
        let Hpa { target, tolerance, .. } = self.settings;
        let (ready, coming) = (ready as f64, coming as f64);
        let busy = self.busy.mean();
        let ratio = busy / target;
        if ready == 0.0 || (ratio - 1.0).abs() <= tolerance {
            return wanted;
        }
        if coming == 0.0 {
            return nodes(ratio * ready);
        }
        let counted_as = if ratio > 1.0 { 0.0 } else { 1.0 };
        let all = (busy * ready + counted_as * coming) / (ready + coming) / target;
        if (all - 1.0).abs() <= tolerance || (all > 1.0) != (ratio > 1.0) {
            return wanted;
        }
        let recommended = nodes(all * (ready + coming));
        let turns = if ratio > 1.0 { recommended < wanted } else { recommended > wanted };
        if turns { wanted } else { recommended }
    }
}

impl Rule for Scaling {
    fn look(&mut self, sight: &Sight<'_>) -> Orders {
        self.busy.push(sight.utilization);
        let wanted = self.replicas.wanted(sight);
        if sight.second % SYNC == SYNC - 1 {
            let recommended = self.recommend(wanted, sight.serving(), sight.coming());
            self.recommended.push(recommended as f64);
            self.recommended_up.push(recommended as f64);
            let lowest = self.recommended_up.least() as usize;
            let highest = self.recommended.most() as usize;
            let most = (2 * wanted).max(wanted + 4);
            // Between what the windows say nothing changes.
            self.replicas.want(wanted.max(lowest.min(most)).min(highest.max(lowest)));
        }
        self.replicas.orders(sight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_recommends_as_documented() {
        let of = |busy: f64, wanted, ready, coming| {
            let mut scaling = Scaling::new(Hpa::default());
            scaling.busy.push(busy);
            scaling.recommend(wanted, ready, coming)
        };
        // The sizes that the exported policy reaches from its thresholds.
        assert_eq!(
            [of(0.8, 3, 3, 0), of(0.4, 6, 6, 0), of(0.4, 10, 10, 0), of(0.4, 20, 20, 0)],
            [4, 4, 7, 13]
        );
        assert_eq!(of(0.70, 10, 10, 0), 10, "within the tolerance");
        assert_eq!(of(0.99, 8, 4, 4), 8, "pods that come are idle, which turns the direction");
        assert_eq!(of(0.99, 5, 4, 1), 6);
        assert_eq!(of(0.3, 6, 5, 1), 4, "pods that come are busy");
    }
}
