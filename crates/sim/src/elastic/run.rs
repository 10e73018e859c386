//! One day under one rule, and what is measured of it.

use super::day::{Day, Kind};
use super::region::Region;
use super::rules::Settings;
use std::ops::AddAssign;

/// More so soon after fewer is a flap, in seconds.
const FLAP_UP: usize = 30;
/// Fewer so soon after more is a flap, in seconds.
const FLAP_DOWN: usize = 120;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Minutes in which the promise was broken, counted in seconds.
    pub missed_minutes: f64,
    /// Hours that nodes were there for, from their order until they were gone.
    pub node_hours: f64,
    /// How often a rule wanted another number of nodes.
    pub actions: usize,
    /// How often it reversed itself within a cool-down.
    pub flaps: usize,
}

impl AddAssign for Measured {
    fn add_assign(&mut self, other: Self) {
        self.missed_minutes += other.missed_minutes;
        self.node_hours += other.node_hours;
        self.actions += other.actions;
        self.flaps += other.flaps;
    }
}

/// A day that is known by name.
#[derive(Debug, Clone)]
pub struct Named {
    /// What is special about it.
    pub kind: Kind,
    /// The day.
    pub day: Day,
}

/// Days of every kind and each of these seeds.
#[must_use]
pub fn days(seeds: &[u64]) -> Vec<Named> {
    let of = |&seed| Kind::ALL.map(|kind| Named { kind, day: kind.of_seed(seed) });
    seeds.iter().flat_map(of).collect()
}

/// Runs a day under a rule.
#[must_use]
pub fn run(day: &Day, settings: &Settings) -> Measured {
    let (mut region, mut rule) = (Region::new(day), settings.begin());
    let (mut measured, mut changes) = (Measured::default(), Changes::default());
    let (mut missed, mut paid) = (0u32, 0usize);
    for second in 0..day.arrivals.len() {
        let (came, target) = region.pass(second, |sight| rule.look(sight));
        missed += u32::from(came.is_missed);
        paid += came.nodes;
        changes.note(second, target, &mut measured);
    }
    measured.missed_minutes = f64::from(missed) / 60.0;
    measured.node_hours = paid as f64 / 3_600.0;
    measured
}

/// Changes of the number that a rule wants.
#[derive(Default)]
struct Changes {
    wanted: Option<usize>,
    up: Option<usize>,
    down: Option<usize>,
}

impl Changes {
    fn note(&mut self, second: usize, wanted: usize, measured: &mut Measured) {
        let before = self.wanted.replace(wanted).unwrap_or(wanted);
        if wanted == before {
            return;
        }
        measured.actions += 1;
        let is_soon = |last: Option<usize>, span| last.is_some_and(|last| second - last < span);
        let is_flap = if wanted > before {
            self.up = Some(second);
            is_soon(self.down, FLAP_UP)
        } else {
            self.down = Some(second);
            is_soon(self.up, FLAP_DOWN)
        };
        measured.flaps += usize::from(is_flap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversals_within_a_cool_down_are_flaps() {
        let check = |steps: &[(usize, usize)], actions, flaps| {
            let (mut measured, mut changes) = (Measured::default(), Changes::default());
            steps.iter().for_each(|(second, wanted)| changes.note(*second, *wanted, &mut measured));
            assert_eq!((measured.actions, measured.flaps), (actions, flaps), "{steps:?}");
        };
        check(&[(0, 3), (10, 3), (20, 5), (30, 6)], 2, 0);
        check(&[(0, 3), (20, 5), (139, 4)], 2, 1);
        check(&[(0, 3), (20, 5), (140, 4), (169, 5)], 3, 1);
        check(&[(0, 3), (20, 5), (140, 4), (170, 5)], 3, 0);
    }

    #[test]
    fn every_rule_serves_a_load_that_stays_and_grows_with_one_that_grows() {
        let plain = Day { arrivals: Vec::new(), losses: Vec::new(), leak: 0.0, leaks_for: 1.0, seed: 4 };
        let grows =
            |second: usize| if second < 3_600 { 1_400.0 } else { 1_400.0 + 0.2 * (second - 3_600) as f32 };
        for settings in Settings::defaults() {
            let steady = run(&Day { arrivals: vec![1_400.0; 3_600], ..plain.clone() }, &settings);
            let growing =
                run(&Day { arrivals: (0..14_400).map(grows).collect(), ..plain.clone() }, &settings);
            let name = settings.name();
            assert!(steady.missed_minutes < 1.0, "{name}: {steady:?}");
            assert!(growing.missed_minutes < 25.0, "{name}: {growing:?}");
            assert!((14.0..40.0).contains(&growing.node_hours), "{name}: {growing:?}");
            assert!(growing.actions >= 3, "{name}: {growing:?}");
        }
    }

    #[test]
    fn a_day_is_fixed_by_its_seed() {
        let day = Kind::NodeLosses.of_seed(3).first(20_000);
        for settings in Settings::defaults() {
            assert_eq!(run(&day, &settings), run(&day, &settings));
        }
    }

    #[test]
    fn ours_never_flaps() {
        for kind in Kind::ALL {
            for seed in 1..=2 {
                let day = kind.of_seed(seed).first(30_000);
                assert_eq!(run(&day, &Settings::defaults()[0]).flaps, 0, "{} {seed}", kind.as_str());
            }
        }
    }
}
