//! Ray Serve's autoscaling policy.
//!
//! Ongoing requests, reported every 10 s, as a mean over the look-back:
//! desired = running + f·(running × (ongoing ÷ (target × running)) − running), rounded up. A decision must have been the same at every look
//! for its delay; the opposite one begins anew. Replicas that are starting are not running.

use super::super::region::{Orders, Sight, service};
use super::window::Window;
use super::{Replicas, Rule, nodes};
use spinwell_core::Rng;
use std::fmt;

/// How often replicas report, in seconds.
const REPORTS: usize = 10;

/// Its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ray {
    /// Ongoing requests that a replica is kept at.
    pub target: f64,
    /// Reports of so long count, in seconds.
    pub look_back: usize,
    /// How long more must have been desired, in seconds.
    pub up_delay: usize,
    /// How long fewer must have been desired, in seconds.
    pub down_delay: usize,
    /// The part of the way up that is gone.
    pub up_factor: f64,
    /// The part of the way down that is gone.
    pub down_factor: f64,
}

impl Default for Ray {
    fn default() -> Self {
        // Its own target, two requests, is made for replicas that take one at a time; this is what nodes here are rated for.
        let target = super::super::region::RATED_AT * service().batch;
        Self { target, look_back: 30, up_delay: 30, down_delay: 600, up_factor: 1.0, down_factor: 1.0 }
    }
}

impl Ray {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        Self {
            target: rng.uniform_in(0.3, 1.0) * service().batch,
            look_back: 10 * (1 + rng.below(6) as usize),
            up_delay: rng.below(46) as usize,
            down_delay: rng.below(901) as usize,
            up_factor: rng.uniform_in(0.5, 2.0),
            down_factor: rng.uniform_in(0.2, 1.0),
        }
    }
}

impl fmt::Display for Ray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, look_back, up_delay, down_delay, up_factor, down_factor } = self;
        write!(
            f,
            "target {target:.1}, look-back {look_back} s, delays {up_delay} s up, {down_delay} s down, factors {up_factor:.2} and {down_factor:.2}"
        )
    }
}

pub(super) struct Scaling {
    settings: Ray,
    replicas: Replicas,
    reports: Window,
    /// Looks in a row at which more was desired; fewer, below zero.
    looks: i64,
}

impl Scaling {
    pub(super) fn new(settings: Ray) -> Self {
        let reports = Window::new(settings.look_back / REPORTS);
        Self { settings, replicas: Replicas::default(), reports, looks: 0 }
    }

    fn desire(&self, running: usize) -> usize {
        let Ray { target, up_factor, down_factor, .. } = self.settings;
        if running == 0 {
            return 1;
        }
        let now = running as f64;
        let wanted = self.reports.mean() / target;
        let factor = if wanted > now { up_factor } else { down_factor };
        let desired = nodes(now + factor * (wanted - now));
        // However small its factor, a step down is a step.
        if wanted < now && desired == running && nodes(wanted) < running { running - 1 } else { desired }
    }

    /// Whether a decision was the same for long enough.
    fn holds(&mut self, desired: usize, wanted: usize) -> bool {
        let Ray { up_delay, down_delay, .. } = self.settings;
        self.looks = match desired.cmp(&wanted) {
            std::cmp::Ordering::Greater => self.looks.max(0) + 1,
            std::cmp::Ordering::Less => self.looks.min(0) - 1,
            std::cmp::Ordering::Equal => 0,
        };
        let is_due = self.looks > up_delay as i64 || -self.looks > down_delay as i64;
        if is_due {
            self.looks = 0;
        }
        is_due
    }
}

impl Rule for Scaling {
    fn look(&mut self, sight: &Sight<'_>) -> Orders {
        let wanted = self.replicas.wanted(sight);
        if sight.second % REPORTS == REPORTS - 1 {
            self.reports.push(sight.ongoing);
        }
        if sight.second >= REPORTS {
            let [least, most] = super::BOUNDS;
            let desired = self.desire(sight.serving()).clamp(least, most);
            if self.holds(desired, wanted) {
                self.replicas.want(desired);
            }
        }
        self.replicas.orders(sight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_desires_as_documented_and_waits_as_long() {
        let mut scaling =
            Scaling::new(Ray { target: 2.0, up_factor: 0.5, down_factor: 0.1, ..Ray::default() });
        let mut desire = |ongoing: f64| {
            (0..3).for_each(|_| scaling.reports.push(ongoing));
            scaling.desire(4)
        };
        assert_eq!([desire(8.0), desire(16.0), desire(7.9), desire(4.0)], [4, 6, 4, 3]);
        let held: Vec<usize> = (0..100).filter(|_| scaling.holds(6, 4)).collect();
        assert_eq!(held, [30, 61, 92]);
        assert!(!scaling.holds(4, 4));
        (0..29).for_each(|_| assert!(!scaling.holds(6, 4)));
        assert!(!scaling.holds(3, 4), "the opposite begins anew");
        assert!((0..30).all(|_| !scaling.holds(6, 4)));
        assert!(scaling.holds(6, 4));
        assert!((0..600).all(|_| !scaling.holds(3, 4)));
        assert!(scaling.holds(3, 4));
    }
}
