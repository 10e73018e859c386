//! The numbers behind an evaluation: what the engine's figures sum up is taken apart by horizon, over time and by
//! confidence, and set beside what the naive forecasts do on the very same rows.
//!
//! Figures over everything stay the engine's; what is computed here agrees with them, and a test holds that down.

use super::Case;
use spinwell_engine::backtest::Plan;
use spinwell_engine::metrics::{
    self, Figures, Hits, Reliability, Scored, ScoredHorizon, Tally, effective_sample_size, reliability,
};
use spinwell_engine::train::Score;

/// Bins of a reliability table: confidences of directions lie mostly between one half and one.
const BINS: usize = 20;

/// What an evaluation shows in detail.
#[derive(Debug, Clone)]
pub(crate) struct Diagnosis {
    /// One entry a step ahead, all of them, the mean of the targets.
    pub(crate) by_horizon: Vec<Step>,
    /// The naive forecasts on the scored rows, the mean of the targets.
    pub(crate) naive: Naive,
    /// One entry a target.
    pub(crate) targets: Vec<Target>,
    /// How many independent forecasts would fix the coverage as well.
    pub(crate) coverage_effective_n: f64,
    /// Whether the confidence of directions comes true, over the scored rows of all targets.
    pub(crate) reliability: Reliability,
    /// How many independent forecasts would fix the share of each of its bins as well.
    pub(crate) reliability_effective_n: Vec<f64>,
}

/// Figures of forecasts one number of rows ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Rows ahead.
    pub(crate) step: usize,
    /// Of the model.
    pub(crate) ours: Figures,
    /// Of the naive forecasts.
    pub(crate) naive: Naive,
}

/// Figures of the naive forecasts. They have no intervals, so what speaks of intervals means nothing here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naive {
    /// The last value, repeated.
    pub(crate) persistence: Figures,
    /// The value one season before.
    pub(crate) seasonal: Figures,
}

/// What one target shows.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The naive forecasts on its scored rows.
    pub(crate) naive: Naive,
    /// How many independent forecasts would fix its coverage as well.
    pub(crate) coverage_effective_n: f64,
    /// Forecasts of the last horizon that have a truth, in order of time.
    pub(crate) followed: Vec<Followed>,
    /// Errors of forecasts one row ahead, in order of time; `None` where the truth is missing.
    pub(crate) residuals: Vec<Option<f64>>,
}

/// A forecast and what came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Followed {
    /// The row forecast.
    pub(crate) row: usize,
    /// What was said and what came.
    pub(crate) scored: Scored,
}

impl Followed {
    /// Whether the truth lay in the interval.
    pub(crate) fn is_inside(&self) -> bool {
        (self.scored.lower..=self.scored.upper).contains(&self.scored.truth)
    }
}

/// The sums of ours and of both naive forecasts.
#[derive(Debug, Clone, Default)]
struct Sums {
    ours: Tally,
    persistence: Tally,
    seasonal: Tally,
}

impl Sums {
    fn add(&mut self, scored: &Scored, coverage: f64) {
        let naive = |forecast: f64| Scored { forecast, lower: forecast, upper: forecast, ..*scored };
        self.ours.add(scored, coverage, ScoredHorizon::Earlier);
        self.persistence.add(&naive(scored.last), coverage, ScoredHorizon::Earlier);
        self.seasonal.add(&naive(scored.seasonal), coverage, ScoredHorizon::Earlier);
    }

    fn naive(&self, in_sample: f64) -> Naive {
        Naive { persistence: self.persistence.figures(in_sample), seasonal: self.seasonal.figures(in_sample) }
    }
}

/// Everything that is summed up for one target.
#[derive(Debug, Clone, Default)]
struct TargetSums {
    scored: Sums,
    steps: Vec<Sums>,
    hits: Vec<Hits>,
    followed: Vec<Followed>,
    residuals: Vec<Option<f64>>,
}

impl TargetSums {
    fn of(case: &Case, target: usize) -> Self {
        let horizon = case.model.horizon();
        let mut sums = Self { steps: vec![Sums::default(); horizon], ..Self::default() };
        for at in 0..case.evaluation.origins.len() {
            sums.origin(case, at, target);
        }
        sums
    }

    fn origin(&mut self, case: &Case, at: usize, target: usize) {
        let (horizon, coverage) = (case.model.horizon(), case.model.coverage());
        let mut hits = Hits::default();
        for step in 1..=horizon {
            let scored = case.scored(at, step, target);
            if step == 1 {
                self.residuals.push(scored.map(|scored| scored.truth - scored.forecast));
            }
            let Some(scored) = scored else { continue };
            let followed = Followed { row: case.evaluation.origins[at] + step, scored };
            self.steps[step - 1].add(&scored, coverage);
            if step == horizon {
                self.followed.push(followed);
            }
            if counts(&case.plan, step, horizon) {
                self.scored.add(&scored, coverage);
                hits.count += 1;
                hits.inside += usize::from(followed.is_inside());
            }
        }
        self.hits.push(hits);
    }
}

fn counts(plan: &Plan, step: usize, horizon: usize) -> bool {
    plan.score == Score::Path || step == horizon
}

impl Diagnosis {
    /// Takes an evaluation apart.
    pub(crate) fn of(case: &Case) -> Self {
        let sums: Vec<TargetSums> =
            (0..case.model.targets().len()).map(|target| TargetSums::of(case, target)).collect();
        let in_sample: Vec<f64> = (0..sums.len())
            .map(|target| {
                let seen = &case.table.columns[target][..case.plan.train_end];
                metrics::naive_in_sample(seen, case.model.season())
            })
            .collect();
        let pooled = |at: usize| {
            sums.iter().map(|sums| sums.hits[at]).fold(Hits::default(), |sum, hits| Hits {
                inside: sum.inside + hits.inside,
                count: sum.count + hits.count,
            })
        };
        let pooled: Vec<Hits> = (0..case.evaluation.origins.len()).map(pooled).collect();
        let by_horizon = (0..case.model.horizon()).map(|step| step_of(step, &sums, &in_sample)).collect();
        let targets: Vec<Target> =
            sums.into_iter().zip(in_sample).map(|(sums, in_sample)| target_of(sums, in_sample)).collect();
        let naive: Vec<Naive> = targets.iter().map(|target| target.naive).collect();
        Self {
            by_horizon,
            naive: mean(&naive),
            targets,
            coverage_effective_n: effective_sample_size(&pooled),
            reliability: reliability(directions(case).map(|(_, said, right)| (said, right)), BINS),
            reliability_effective_n: right_by_bin(case)
                .iter()
                .map(|hits| effective_sample_size(hits))
                .collect(),
        }
    }
}

fn step_of(step: usize, sums: &[TargetSums], in_sample: &[f64]) -> Step {
    let each = || sums.iter().map(|sums| &sums.steps[step]).zip(in_sample);
    let ours: Vec<Figures> = each().map(|(sums, &in_sample)| sums.ours.figures(in_sample)).collect();
    let naive: Vec<Naive> = each().map(|(sums, &in_sample)| sums.naive(in_sample)).collect();
    Step { step: step + 1, ours: metrics::mean(&ours), naive: mean(&naive) }
}

fn target_of(sums: TargetSums, in_sample: f64) -> Target {
    Target {
        naive: sums.scored.naive(in_sample),
        coverage_effective_n: effective_sample_size(&sums.hits),
        followed: sums.followed,
        residuals: sums.residuals,
    }
}

fn mean(naive: &[Naive]) -> Naive {
    let of = |get: fn(&Naive) -> Figures| metrics::mean(&naive.iter().map(get).collect::<Vec<_>>());
    Naive { persistence: of(|naive| naive.persistence), seasonal: of(|naive| naive.seasonal) }
}

/// The origin, the confidence and the fate of each scored direction: right where the truth lies on the side of the last
/// value that was named.
fn directions(case: &Case) -> impl Iterator<Item = (usize, f64, bool)> {
    let (horizon, count) = (case.model.horizon(), case.model.targets().len());
    let one = move |at: usize, step: usize, target: usize| {
        let forecast = &case.evaluation.forecasts[at];
        let output = (step - 1) * count + target;
        let scored = case.scored(at, step, target).filter(|_| counts(&case.plan, step, horizon))?;
        let went = scored.truth - scored.last;
        let went = i8::from(went > 0.0) - i8::from(went < 0.0);
        Some((at, f64::from(forecast.confidence[output]), forecast.direction[output] == went))
    };
    let origins = 0..case.evaluation.origins.len();
    let steps = origins.flat_map(move |at| (1..=horizon).map(move |step| (at, step)));
    steps
        .flat_map(move |(at, step)| (0..count).map(move |target| (at, step, target)))
        .filter_map(move |(at, step, target)| one(at, step, target))
}

/// The directions that were right, by origin, of each bin that holds any.
fn right_by_bin(case: &Case) -> Vec<Vec<Hits>> {
    let origins = case.evaluation.origins.len();
    let mut bins: Vec<Vec<Hits>> = vec![Vec::new(); BINS];
    for (at, said, right) in directions(case) {
        let bin = &mut bins[((said * BINS as f64) as usize).min(BINS - 1)];
        bin.resize(origins, Hits::default());
        bin[at].count += 1;
        bin[at].inside += usize::from(right);
    }
    bins.retain(|bin| !bin.is_empty());
    bins
}

/// At most `most` steps of a path, the first and the last among them, closer where the error grows fastest.
pub(crate) fn telling_steps(horizon: usize, most: usize) -> Vec<usize> {
    if horizon <= most {
        return (1..=horizon).collect();
    }
    let ratio = |at: usize| (horizon as f64).powf(at as f64 / (most - 1) as f64).round() as usize;
    let mut steps: Vec<usize> = (0..most).map(ratio).collect();
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use super::super::tests::{case, two_targets};
    use super::*;

    fn near(got: f64, wanted: f64) {
        assert!((got - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{got} is not {wanted}");
    }

    #[test]
    fn what_is_taken_apart_agrees_with_the_whole() {
        for case in [case(Score::Path), case(Score::Last), two_targets()] {
            let diagnosis = Diagnosis::of(&case);
            let overall = &case.evaluation.overall;
            let ours = |figures: &Figures, naive: &Figures| 1.0 - figures.rmse / naive.rmse;
            for (figures, target) in case.evaluation.targets.iter().zip(&diagnosis.targets) {
                near(ours(figures, &target.naive.persistence), figures.skill_persistence);
                near(ours(figures, &target.naive.seasonal), figures.skill_seasonal);
                let hits: Vec<bool> = target.followed.iter().map(Followed::is_inside).collect();
                let worst = metrics::rolling_share(&hits, 200).into_iter().fold(1.0, f64::min);
                near(worst, figures.coverage_worst_200);
            }
            let steps = &diagnosis.by_horizon;
            assert_eq!(steps.len(), case.model.horizon());
            match case.plan.score {
                Score::Last => near(steps[steps.len() - 1].ours.nrmse, overall.nrmse),
                // Every step has as many truths, so the mean over the steps is the mean over all.
                Score::Path => {
                    let mse = steps.iter().map(|step| step.ours.mse).sum::<f64>() / steps.len() as f64;
                    near(mse, overall.mse);
                    let inside =
                        steps.iter().map(|step| step.ours.coverage).sum::<f64>() / steps.len() as f64;
                    near(inside, overall.coverage);
                }
            }
            let scored = case.evaluation.scored * case.model.targets().len();
            assert_eq!(diagnosis.reliability.count(), scored);
            assert_eq!(diagnosis.reliability.bins.len(), diagnosis.reliability_effective_n.len());
            for (bin, &effective) in diagnosis.reliability.bins.iter().zip(&diagnosis.reliability_effective_n)
            {
                assert!((1.0..=bin.count as f64).contains(&effective), "{bin:?} {effective}");
            }
            assert!(diagnosis.coverage_effective_n > 1.0 && diagnosis.coverage_effective_n <= scored as f64);
        }
    }

    #[test]
    fn a_season_repeated_and_a_value_repeated_are_what_they_say() {
        let case = case(Score::Path);
        let diagnosis = Diagnosis::of(&case);
        let (column, season) = (&case.table.columns[0], case.model.season());
        for step in &diagnosis.by_horizon {
            let ahead = step.step;
            assert!(ahead <= season, "one season back is enough in this test");
            let squares = |back: usize| -> f64 {
                let errors =
                    case.evaluation.origins.iter().map(|at| column[at + ahead] - column[at + ahead - back]);
                errors.map(|error| error * error).sum::<f64>() / case.evaluation.origins.len() as f64
            };
            near(step.naive.persistence.mse, squares(ahead));
            near(step.naive.seasonal.mse, squares(season));
        }
    }

    #[test]
    fn steps_that_tell_are_few_and_hold_both_ends() {
        assert_eq!(telling_steps(3, 8), [1, 2, 3]);
        assert_eq!(telling_steps(48, 8), [1, 2, 3, 5, 9, 16, 28, 48]);
        let far = telling_steps(10_000, 8);
        assert!(far.len() <= 8 && far[0] == 1 && far.last() == Some(&10_000), "{far:?}");
    }
}
