//! Knative's pod autoscaler.
//!
//! Every 2 s: concurrency ÷ (what a pod takes at once × target utilisation), rounded up, over a stable window of 60 s; and over a panic window of a
//! tenth of it. Where the panic window wants twice what is ready, it panics: it goes up to what that window wants and down no more, until that has not been
//! so for a stable window. Pods that are coming do not count as ready. Up a thousandfold, down by half at a time.

use super::super::region::{Orders, Sight, service};
use super::window::Window;
use super::{Replicas, Rule, nodes};
use spinwell_core::Rng;
use std::fmt;

/// How often it looks, in seconds.
const TICK: usize = 2;
const UP_MOST: f64 = 1_000.0;
const DOWN_MOST: f64 = 2.0;

/// Its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kpa {
    /// The part of what a pod takes at once that it is kept at.
    pub target: f64,
    /// The stable window, in seconds.
    pub stable: usize,
    /// The panic window, as a part of it.
    pub panic_part: f64,
    /// It panics where so many times what is ready is wanted.
    pub panic_at: f64,
    /// How long fewer must have been wanted, in seconds.
    pub down_delay: usize,
}

impl Default for Kpa {
    fn default() -> Self {
        Self { target: 0.7, stable: 60, panic_part: 0.1, panic_at: 2.0, down_delay: 0 }
    }
}

impl Kpa {
    pub(super) fn drawn(rng: &mut Rng) -> Self {
        Self {
            target: rng.uniform_in(0.3, 0.95),
            stable: rng.uniform_in(20.0, 300.0) as usize,
            panic_part: rng.uniform_in(0.05, 0.3),
            panic_at: rng.uniform_in(1.1, 4.0),
            down_delay: rng.below(901) as usize,
        }
    }
}

impl fmt::Display for Kpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, stable, panic_part, panic_at, down_delay } = self;
        let panic = 100.0 * panic_part;
        write!(
            f,
            "target {target:.2}, windows {stable} s and {panic:.0} % of it, panic at {panic_at:.1}, {down_delay} s before down"
        )
    }
}

pub(super) struct Scaling {
    settings: Kpa,
    replicas: Replicas,
    stable: Window,
    panic: Window,
    wanted: Window,
    /// When it last had reason to panic, and the most that it wanted since it began.
    panics: Option<(usize, usize)>,
}

impl Scaling {
    pub(super) fn new(settings: Kpa) -> Self {
        let panic = (settings.stable as f64 * settings.panic_part).round() as usize;
        Self {
            settings,
            replicas: Replicas::default(),
            stable: Window::new(settings.stable),
            panic: Window::new(panic),
            wanted: Window::new(settings.down_delay / TICK + 1),
            panics: None,
        }
    }

    fn desire(&mut self, second: usize, ready: usize) -> usize {
        let Kpa { target, stable, panic_at, .. } = self.settings;
        let ready = ready.max(1);
        let each = target * service().batch;
        let allowed = |count: usize| {
            count.clamp((ready as f64 / DOWN_MOST).floor() as usize, (ready as f64 * UP_MOST) as usize)
        };
        let [by_stable, by_panic] = [&self.stable, &self.panic].map(|window| nodes(window.mean() / each));
        let is_over = by_panic as f64 / ready as f64 >= panic_at;
        self.panics = match self.panics {
            _ if is_over => Some((second, self.panics.map_or(0, |(_, most)| most))),
            Some((last, _)) if last + stable < second => None,
            same => same,
        };
        let Some((_, most)) = &mut self.panics else { return allowed(by_stable) };
        *most = (*most).max(allowed(by_stable)).max(allowed(by_panic));
        *most
    }
}

impl Rule for Scaling {
    fn look(&mut self, sight: &Sight<'_>) -> Orders {
        self.stable.push(sight.ongoing);
        self.panic.push(sight.ongoing);
        self.replicas.wanted(sight);
        if sight.second % TICK == TICK - 1 {
            let desired = self.desire(sight.second, sight.serving());
            self.wanted.push(desired as f64);
            self.replicas.want(self.wanted.most() as usize);
        }
        self.replicas.orders(sight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_panics_and_calms_down() {
        let mut scaling = Scaling::new(Kpa::default());
        let each = 0.7 * service().batch;
        let mut desire = |second: usize, pods: f64, ready| {
            scaling.stable.push(pods * each);
            scaling.panic.push(pods * each);
            scaling.desire(second, ready)
        };
        (0..60).for_each(|second| assert_eq!(desire(second, 4.0, 4), 4));
        // A jump: the panic window sees it in six seconds, the stable one in sixty.
        let jump: Vec<usize> = (60..66).map(|second| desire(second, 12.0, 4)).collect();
        assert_eq!(jump, [5, 5, 8, 10, 11, 12]);
        // Now the load falls; in panic nothing goes down, and after a calm stable window it does, by half at most.
        let fall: Vec<usize> = (66..140).map(|second| desire(second, 1.0, 12)).collect();
        assert!(fall[..58].iter().all(|pods| *pods == 12), "{fall:?}");
        assert_eq!(fall[73], 6);
    }
}
