//! The same random search for every rule.
//!
//! As many trials for each, drawn from its seed, on the same days; the rule as it comes is the first of them. What is looked for is the
//! least cost: node-hours, and [`MISSED_MINUTE`] of them for every minute missed.

use super::rules::Settings;
use super::run::{Measured, Named, run};
use spinwell_core::Rng;
use std::num::NonZero;
use std::thread;

/// What a missed minute costs, in node-hours. With it a month's budget of 99.95 %, which is 21.6 minutes, is worth some 65 node-hours: five hours of
/// the smallest cluster for each day on which it is used up.
pub const MISSED_MINUTE: f64 = 3.0;

/// What a rule costs.
#[must_use]
pub fn cost(measured: &Measured) -> f64 {
    measured.node_hours + MISSED_MINUTE * measured.missed_minutes
}

/// What a rule does on each of these days.
#[must_use]
pub fn on_days(days: &[Named], settings: &Settings) -> Vec<Measured> {
    days.iter().map(|named| run(&named.day, settings)).collect()
}

/// All of it.
#[must_use]
pub fn total<'a>(measured: impl IntoIterator<Item = &'a Measured>) -> Measured {
    let mut total = Measured::default();
    measured.into_iter().for_each(|one| total += *one);
    total
}

/// The best of so many settings on these days, and what it costs there.
#[must_use]
pub fn tuned(usual: &Settings, days: &[Named], trials: usize, seed: u64) -> (Settings, f64) {
    let mut rng = Rng::seeded(seed);
    let drawn = (1..trials.max(1)).map(|_| usual.drawn(&mut rng));
    let settings: Vec<Settings> = std::iter::once(usual.clone()).chain(drawn).collect();
    let costs = in_parallel(&settings, |settings| cost(&total(&on_days(days, settings))));
    let best = costs.into_iter().zip(settings).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or_else(|| (usual.clone(), f64::INFINITY), |(cost, settings)| (settings, cost))
}

/// Does the same with each of these, in order, on as many threads as there are processors.
pub fn in_parallel<T: Sync, R: Send>(of: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let work = &work;
    thread::scope(|scope| {
        let part = |at: usize| of.iter().skip(at).step_by(threads);
        let started: Vec<_> =
            (0..threads).map(|at| scope.spawn(move || part(at).map(work).collect::<Vec<R>>())).collect();
        let mut parts: Vec<_> =
            started.into_iter().map(|thread| thread.join().unwrap_or_default().into_iter()).collect();
        (0..of.len()).filter_map(|index| parts[index % threads].next()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::day::Kind;
    use super::*;

    #[test]
    fn what_is_found_is_no_worse_than_what_comes_and_the_same_again() {
        let day = |seed| Named { kind: Kind::FlashCrowd, day: Kind::FlashCrowd.of_seed(seed).first(15_000) };
        let days = [day(1), day(2)];
        for usual in Settings::defaults() {
            let (found, costs) = tuned(&usual, &days, 4, 7);
            assert!(costs <= cost(&total(&on_days(&days, &usual))), "{}", usual.name());
            assert_eq!((found, costs), tuned(&usual, &days, 4, 7));
        }
    }

    #[test]
    fn work_is_done_in_order() {
        let all: Vec<u32> = (0..17).collect();
        assert_eq!(in_parallel(&all, |value| 2 * value), (0..17).map(|value| 2 * value).collect::<Vec<_>>());
        assert_eq!(in_parallel(&[] as &[u32; 0], |value| *value), []);
    }
}
