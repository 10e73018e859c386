//! Which version of a model answers a request, and whether another one is asked beside it.
//!
//! Requests that name themselves (by an id, or by the sequence that they are steps of) are drawn by their names: a retry, and
//! every step of a sequence, meets the version that the first one met, on whatever gateway it arrives and without anybody
//! remembering it. Those that do not are drawn by a number that the caller counts. The name is mixed with the model's, so
//! that a caller who is early in one model's canary is not early in all, and the two draws of a request are independent, so
//! that the shadow hears the same mixture as everybody.

use spinwell_core::{Fnv, Ratio, Rng};
use std::hash::Hasher;

/// How the requests of a model are split that name no version.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Split {
    /// The share that the canary answers.
    pub canary: Option<Ratio>,
    /// The share that the shadow hears.
    pub shadow: Option<Ratio>,
}

/// What a request is drawn by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw<'a> {
    /// The sequence that it is a step of.
    Sequence(&'a str),
    /// Its own id.
    Request(&'a str),
    /// Its number, where it has no name.
    Number(u64),
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Whether the canary answers it.
    pub is_canary: bool,
    /// Whether the shadow hears it.
    pub is_shadowed: bool,
}

/// Where a request to `model` goes.
///
/// ```
/// use spinwell_core::Ratio;
/// use spinwell_policy::traffic::{Draw, Split, route};
///
/// let split = Split { canary: Ratio::new(0.1), shadow: None };
/// assert_eq!(route(split, "taxi", Draw::Request("r1")), route(split, "taxi", Draw::Request("r1")));
/// ```
#[must_use]
pub fn route(split: Split, model: &str, draw: Draw<'_>) -> Route {
    let mut rng = Rng::seeded(seed(model, draw));
    let mut is_within = |share: Option<Ratio>| {
        let drawn = rng.uniform();
        share.is_some_and(|share| drawn < share.get())
    };
    Route { is_canary: is_within(split.canary), is_shadowed: is_within(split.shadow) }
}

/// A number for a request, the same for ever: a hash over its name and its model's, which the seeding of the generator then
/// mixes.
fn seed(model: &str, draw: Draw<'_>) -> u64 {
    let number;
    let (kind, name) = match draw {
        Draw::Sequence(id) => (1, id.as_bytes()),
        Draw::Request(id) => (2, id.as_bytes()),
        Draw::Number(count) => {
            number = count.to_le_bytes();
            (3, number.as_slice())
        }
    };
    let mut hasher = Fnv::default();
    [model.as_bytes(), &[0, kind], name].iter().for_each(|bytes| hasher.write(bytes));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(canary: f64, shadow: f64) -> Split {
        Split { canary: Ratio::new(canary), shadow: Ratio::new(shadow) }
    }

    #[test]
    fn nothing_is_split_where_nothing_is_said() {
        let nowhere = Route { is_canary: false, is_shadowed: false };
        let everywhere = Route { is_canary: true, is_shadowed: true };
        for count in 0..1000 {
            let draw = Draw::Number(count);
            assert_eq!(route(Split::default(), "m", draw), nowhere);
            assert_eq!(route(split(0.0, 0.0), "m", draw), nowhere);
            assert_eq!(route(split(1.0, 1.0), "m", draw), everywhere);
        }
    }

    #[test]
    fn a_request_goes_where_it_went_before_for_ever() {
        // Numbers that must never change: another draw would move sequences that have begun to another version.
        let canaries = |model: &str, draws: &[Draw<'_>]| -> Vec<bool> {
            draws.iter().map(|&draw| route(split(0.5, 0.0), model, draw).is_canary).collect()
        };
        let draws = [
            Draw::Request("a"),
            Draw::Request("b"),
            Draw::Request("c"),
            Draw::Sequence("a"),
            Draw::Sequence("b"),
            Draw::Number(1),
            Draw::Number(2),
            Draw::Number(3),
        ];
        assert_eq!(canaries("taxi", &draws), [true, true, false, false, true, true, false, true]);
    }

    /// Whether `count` of `of` is within six standard deviations of a share: less than once in 10⁸ draws it is not.
    fn is_share(count: usize, of: usize, share: f64) -> bool {
        let wanted = of as f64 * share;
        let deviation = (of as f64 * share * (1.0 - share)).sqrt();
        (count as f64 - wanted).abs() <= 6.0 * deviation + 1.0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shares_come_out_right_and_independent(
            canary in 0.0f64..=1.0, shadow in 0.0f64..=1.0, kind in 0usize..3, salt in any::<u32>(),
        ) {
            let (split, model) = (split(canary, shadow), format!("m{salt}"));
            let routes: Vec<Route> = (0..4000_u64)
                .map(|count| {
                    let name = format!("{salt}-{count}");
                    let draw = match kind {
                        0 => Draw::Sequence(&name),
                        1 => Draw::Request(&name),
                        _ => Draw::Number(u64::from(salt) + count),
                    };
                    route(split, &model, draw)
                })
                .collect();
            let count = |wanted: fn(&Route) -> bool| routes.iter().filter(|route| wanted(route)).count();
            prop_assert!(is_share(count(|route| route.is_canary), 4000, canary));
            prop_assert!(is_share(count(|route| route.is_shadowed), 4000, shadow));
            let both = count(|route| route.is_canary && route.is_shadowed);
            prop_assert!(is_share(both, 4000, canary * shadow));
        }

        #[test]
        fn a_larger_share_keeps_whom_the_smaller_had(
            small in 0.0f64..=1.0, large in 0.0f64..=1.0, name in "[a-z0-9]{1,12}",
        ) {
            let (small, large) = (small.min(large), small.max(large));
            let with = |share| route(split(share, 0.0), "m", Draw::Sequence(&name)).is_canary;
            prop_assert!(with(large) || !with(small));
        }
    }
}
