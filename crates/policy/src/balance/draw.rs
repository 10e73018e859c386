//! Drawing one of those that are nearly the best.

use spinwell_core::Rng;

/// Who has at least the best score divided by this is nearly the best. With 1, one node is drawn from hardly any scores but
/// equal ones; with 1.5, P50 and P99 grow on every trace (docs/results/balancing.md is made with this value).
pub(super) const NEARLY: f64 = 1.1;

/// A candidate: how good it is, higher being better, and its weight in the draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    pub(super) score: f64,
    pub(super) weight: f64,
}

/// Draws one by weight of those that are nearly the best: its place, and among how many it was. `None` of none. Scores that
/// are no numbers count as zero.
pub(super) fn draw(scored: &[Scored], rng: &mut Rng) -> Option<(usize, usize)> {
    let number = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
    let best = scored.iter().map(|one| number(one.score)).fold(0.0, f64::max);
    let is_best = |one: &Scored| number(one.score) * NEARLY >= best;
    let weight = |one: &Scored| number(one.weight).max(f64::MIN_POSITIVE);
    let bests = scored.iter().enumerate().filter(|(_, one)| is_best(one));
    let (count, total) =
        bests.clone().fold((0, 0.0), |(count, total), (_, one)| (count + 1, total + weight(one)));
    let mut left = rng.uniform() * total;
    let last = bests.clone().next_back()?.0;
    let mut drawn = bests;
    let found = drawn.find(|(_, one)| {
        left -= weight(one);
        left < 0.0
    });
    Some((found.map_or(last, |(place, _)| place), count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spinwell_core::Rng;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn only_who_is_nearly_the_best_is_drawn_and_by_weight(
            all in prop::collection::vec((0.0f64..10.0, 0.1f64..5.0), 1..8), seed in any::<u64>(),
        ) {
            let scored: Vec<Scored> =
                all.iter().map(|&(score, weight)| Scored { score, weight }).collect();
            let best = all.iter().map(|one| one.0).fold(0.0, f64::max);
            let is_best = |place: usize| all[place].0 * NEARLY >= best;
            let total: f64 = (0..all.len()).filter(|&place| is_best(place)).map(|place| all[place].1).sum();
            let (mut rng, mut counts) = (Rng::seeded(seed), vec![0; all.len()]);
            for _ in 0..4_000 {
                counts[draw(&scored, &mut rng).unwrap().0] += 1;
            }
            for (place, &count) in counts.iter().enumerate() {
                let share = if is_best(place) { all[place].1 / total } else { 0.0 };
                let deviation = (4_000.0 * share * (1.0 - share)).sqrt();
                prop_assert!((f64::from(count) - 4_000.0 * share).abs() <= 6.0 * deviation + 1.0);
            }
        }
    }

    #[test]
    fn what_is_no_number_is_not_drawn_and_nobody_of_nobody() {
        let one = |score: f64| Scored { score, weight: 1.0 };
        let mut rng = Rng::seeded(1);
        assert_eq!(draw(&[], &mut rng), None);
        for _ in 0..100 {
            assert_eq!(draw(&[one(f64::NAN), one(0.1), one(f64::NEG_INFINITY)], &mut rng), Some((1, 1)));
        }
        assert!(draw(&[one(0.0), one(0.0)], &mut rng).is_some());
    }
}
