//! Who says how many nodes there should be.
//!
//! Each rival follows the published algorithm of its system, also in what that does with nodes that are not ready. What they do not say
//! for themselves is the same for all: a controller keeps as many nodes as the rule wants, replaces lost ones when they are
//! noticed, and removes those first that do not serve yet, and then the newest.

mod hpa;
mod kpa;
mod ours;
mod ray;
mod score;
mod window;

pub use hpa::Hpa;
pub use kpa::Kpa;
pub use ours::Ours;
pub use ray::Ray;
pub use score::Score;

use super::region::{BOUNDS, Orders, Sight};
use spinwell_core::Rng;
use std::fmt;

/// A rule at work.
pub trait Rule {
    /// Looks at a second, and says what is to be done.
    fn look(&mut self, sight: &Sight<'_>) -> Orders;
}

/// A rule with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Settings {
    /// The scaler of `spinwell-policy`.
    Ours(Box<Ours>),
    /// The weighted score alone, as the brief has it.
    Score(Score),
    /// Kubernetes' horizontal pod autoscaler.
    Hpa(Hpa),
    /// Knative's pod autoscaler.
    Kpa(Kpa),
    /// Ray Serve's autoscaling policy.
    Ray(Ray),
}

impl Settings {
    /// All rules, as they come.
    #[must_use]
    pub fn defaults() -> [Self; 5] {
        [
            Settings::Ours(Box::default()),
            Settings::Score(Score::default()),
            Settings::Hpa(Hpa::default()),
            Settings::Kpa(Kpa::default()),
            Settings::Ray(Ray::default()),
        ]
    }

    /// The same rule with other settings, drawn from all that make sense.
    #[must_use]
    pub fn drawn(&self, rng: &mut Rng) -> Self {
        match self {
            Settings::Ours(_) => Settings::Ours(Box::new(Ours::drawn(rng))),
            Settings::Score(_) => Settings::Score(Score::drawn(rng)),
            Settings::Hpa(_) => Settings::Hpa(Hpa::drawn(rng)),
            Settings::Kpa(_) => Settings::Kpa(Kpa::drawn(rng)),
            Settings::Ray(_) => Settings::Ray(Ray::drawn(rng)),
        }
    }

    /// Its name in tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Settings::Ours(_) => "ours",
            Settings::Score(_) => "score alone",
            Settings::Hpa(_) => "HPA",
            Settings::Kpa(_) => "Knative KPA",
            Settings::Ray(_) => "Ray Serve",
        }
    }

    /// The rule, at the beginning of a day.
    #[must_use]
    pub fn begin(&self) -> Box<dyn Rule> {
        match self {
            Settings::Ours(own) => Box::new(ours::Scaling::new(own)),
            Settings::Score(own) => Box::new(score::Scoring::new(*own)),
            Settings::Hpa(own) => Box::new(hpa::Scaling::new(*own)),
            Settings::Kpa(own) => Box::new(kpa::Scaling::new(*own)),
            Settings::Ray(own) => Box::new(ray::Scaling::new(*own)),
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Settings::Ours(own) => own.fmt(f),
            Settings::Score(own) => own.fmt(f),
            Settings::Hpa(own) => own.fmt(f),
            Settings::Kpa(own) => own.fmt(f),
            Settings::Ray(own) => own.fmt(f),
        }
    }
}

/// Keeps as many nodes as a rule wants.
#[derive(Debug, Clone, Copy, Default)]
struct Replicas {
    wanted: usize,
}

impl Replicas {
    /// How many are wanted: before anything was said, as many as there are.
    fn wanted(&mut self, sight: &Sight<'_>) -> usize {
        if self.wanted == 0 {
            self.wanted = sight.serving() + sight.coming();
        }
        self.wanted
    }

    fn want(&mut self, count: usize) {
        self.wanted = count.clamp(BOUNDS[0], BOUNDS[1]);
    }

    fn orders(&self, sight: &Sight<'_>) -> Orders {
        let second = sight.second;
        let counted = sight.serving() + sight.coming();
        let mut leave: Vec<_> = sight.nodes.iter().filter(|node| node.gone.is_none()).collect();
        leave.sort_by_key(|node| (node.seems_to_serve(second), std::cmp::Reverse(node.id)));
        let remove = leave.iter().take(counted.saturating_sub(self.wanted)).map(|node| node.id).collect();
        Orders { target: self.wanted, add: self.wanted.saturating_sub(counted), remove }
    }
}

/// A number as a count of nodes.
fn nodes(value: f64) -> usize {
    // A hair less: rounding is no node.
    (value - 1e-9).clamp(0.0, 1e6).ceil() as usize
}
