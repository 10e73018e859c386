//! Which candidate wins.
//!
//! Candidates are compared by the log-loss of left-out cases, case by case: with fifty cases an accuracy moves in steps
//! of 2 %, while every case moves the log-loss. The search is modest on purpose. What is tried first is what does well
//! on most sets, and something else has to be better by more than chance would make it: the luckiest of thirty random
//! reservoirs always looks better than the first, and on unseen cases mostly is not.

use super::options::ClassifierChoice;
use super::spec::{ClassifierFamily, ClassifierSpec};

/// By so many standard errors another kind of candidate must be better to displace the one before it.
const MARGIN: f64 = 1.5;
/// The same for one of many that were drawn at random: the best of thirty equals leads by two by chance alone.
const MARGIN_DRAWN: f64 = 2.5;
/// A standard error is at least this share of the log-loss: a smaller lead is not worth having, however certain.
const STANDARD_ERROR_MIN: f64 = 0.005;

/// A candidate that was tried to the end.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifierCandidate {
    /// Its place in the plan, as in [`super::ClassifyEvent`].
    pub index: usize,
    /// What it is.
    pub spec: ClassifierSpec,
    /// Share of left-out cases that got their label.
    pub accuracy_validation: f64,
    /// Mean cross-entropy of left-out cases: -ln of the probability of the label, which is softened as if one more case
    /// had been seen, of no class in particular.
    pub log_loss_validation: f64,
    /// The penalty that did best.
    pub penalty: f64,
    /// What turned left-out scores into the best probabilities.
    pub(crate) factor: f64,
    /// What each left-out case adds to the log-loss.
    pub(crate) losses: Vec<f64>,
}

/// The best of each kind so far.
#[derive(Debug)]
pub(crate) struct Leaders<'c> {
    /// The best convolutions.
    pub(crate) shape: Option<&'c ClassifierSpec>,
    /// The best reservoir.
    pub(crate) echo: Option<&'c ClassifierSpec>,
    /// Whether the reservoir is too far behind the convolutions to be worth a search.
    pub(crate) echo_is_hopeless: bool,
}

impl<'c> Leaders<'c> {
    /// The best among those tried so far.
    pub(crate) fn of(candidates: &'c [ClassifierCandidate]) -> Self {
        let [shape, echo] = [ClassifierFamily::Shape, ClassifierFamily::Echo]
            .map(|family| leader(candidates, family).map(|place| &candidates[place]));
        let echo_is_hopeless =
            shape.zip(echo).is_some_and(|(shape, echo)| shape.lead_over(echo) > MARGIN_DRAWN);
        Self { shape: shape.map(|best| &best.spec), echo: echo.map(|best| &best.spec), echo_is_hopeless }
    }
}

impl ClassifierCandidate {
    /// How much lower its log-loss is than another's, in standard errors of the mean difference over cases.
    fn lead_over(&self, other: &Self) -> f64 {
        let count = self.losses.len() as f64;
        let differences = || other.losses.iter().zip(&self.losses).map(|(other, own)| other - own);
        let mean = differences().sum::<f64>() / count;
        let variance = differences().map(|difference| (difference - mean).powi(2)).sum::<f64>() / count;
        mean / (variance / count).sqrt().max(STANDARD_ERROR_MIN * other.log_loss_validation)
    }
}

/// The best candidate of a family: the first, until another is better by the family's margin.
fn leader(candidates: &[ClassifierCandidate], family: ClassifierFamily) -> Option<usize> {
    let margin = if family == ClassifierFamily::Echo { MARGIN_DRAWN } else { MARGIN };
    (0..candidates.len()).filter(|&place| candidates[place].spec.family() == family).reduce(|best, place| {
        if candidates[place].lead_over(&candidates[best]) > margin { place } else { best }
    })
}

/// The winner: of convolutions and reservoirs the better, unless both together are better by a margin.
pub(crate) fn choose(candidates: &[ClassifierCandidate], choice: ClassifierChoice) -> Option<usize> {
    let leader = |family: ClassifierFamily| leader(candidates, family);
    match choice {
        ClassifierChoice::Only(family) => leader(family),
        ClassifierChoice::Auto => {
            let better_by = |margin: f64| {
                move |best: usize, place: usize| {
                    if candidates[place].lead_over(&candidates[best]) > margin { place } else { best }
                }
            };
            let single = [leader(ClassifierFamily::Shape), leader(ClassifierFamily::Echo)];
            let single = single.into_iter().flatten().reduce(better_by(0.0));
            [single, leader(ClassifierFamily::Hybrid)].into_iter().flatten().reduce(better_by(MARGIN))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::Normalise;
    use super::super::spec::{ShapeForm, ShapeSettings};
    use super::*;
    use crate::spec::{EchoSettings, Topology};

    fn candidate(family: ClassifierFamily, losses: &[f64]) -> ClassifierCandidate {
        let shape = ShapeSettings { form: ShapeForm::Values, features: 336, seed: 1 };
        let echo = EchoSettings {
            units: 10,
            topology: Topology::Random,
            density: 1.0,
            spectral_radius: 0.9,
            leak: 0.3,
            input_scale: 0.5,
            bias_scale: 0.2,
            seed: 1,
        };
        ClassifierCandidate {
            index: 0,
            spec: ClassifierSpec {
                normalise: Normalise::Off,
                shape: (family != ClassifierFamily::Echo).then_some(shape),
                echo: (family != ClassifierFamily::Shape).then_some(echo),
                echo_weight: 1.0,
            },
            accuracy_validation: 1.0,
            log_loss_validation: losses.iter().sum::<f64>() / losses.len() as f64,
            penalty: 1.0,
            factor: 1.0,
            losses: losses.to_vec(),
        }
    }

    #[test]
    fn the_first_of_a_kind_holds_until_another_is_better_by_more_than_chance() {
        use ClassifierFamily::{Echo, Hybrid, Shape};
        let first = [1.0, 2.0, 1.0, 2.0];
        // Better in every case by 0.5 on average, with a standard error of 0.25 or 0.
        let unsure = [1.0, 1.0, 1.0, 1.0];
        let sure = [0.5, 1.5, 0.5, 1.5];
        let hardly = [0.999, 1.999, 0.999, 1.999];
        for (families, losses, winner) in [
            ([Shape, Shape], [first, sure], 1),
            ([Shape, Shape], [first, unsure], 1),
            ([Shape, Shape], [first, hardly], 0),
            ([Echo, Echo], [first, sure], 1),
            ([Echo, Echo], [first, unsure], 0),
            ([Shape, Echo], [first, unsure], 1),
            ([Shape, Echo], [unsure, first], 0),
            ([Shape, Hybrid], [first, sure], 1),
            ([Shape, Hybrid], [first, hardly], 0),
        ] {
            let candidates = [candidate(families[0], &losses[0]), candidate(families[1], &losses[1])];
            let chosen = choose(&candidates, ClassifierChoice::Auto);
            assert_eq!(chosen, Some(winner), "{families:?} {losses:?}");
        }
        let candidates = [candidate(Shape, &sure), candidate(Echo, &first)];
        assert_eq!(choose(&candidates, ClassifierChoice::Only(Echo)), Some(1));
        assert_eq!(choose(&candidates, ClassifierChoice::Only(Hybrid)), None);
        assert!(Leaders::of(&candidates).echo_is_hopeless);
    }
}
