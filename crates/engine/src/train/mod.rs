//! Training: from a table to the model that forecast best on rows it had not seen.
//!
//! Everything that is chosen (family, lags, transform, reservoir, penalties) is chosen by forward validation:
//! fit on the first part of the rows, score on the rows that follow, three times over. Baselines are scored on
//! the same rows, and where nothing beats them the verdict says so and the baseline itself is served. The
//! interval's scores come from the same left-out rows. No row at or after `fit_end` is read by a fit.

mod candidates;
mod draws;
mod error;
mod fit;
mod folds;
mod judge;
mod learn;
mod outlook;
mod penalty;
mod room;

pub use error::Error;
pub use fit::Validation;
pub use folds::Folds;
pub use outlook::{ExpectedCost, WINDOW_US_WARN, expected_costs};
pub use room::BYTES_MAX;

use crate::data::Table;
use crate::hands::Hands;
use crate::model::Model;
use crate::season;
use crate::settings::{Precision, Settings};
use crate::spec::{Family, Spec, Transform};
use candidates::{Plan, Proposal};
use error::Unfit;
use fit::Fitted;
use penalty::Hints;
use rayon::prelude::*;

/// A more complex family is taken only if its validation error is below this share of the simpler one's: smaller
/// differences are within the noise of three folds, and simpler models fail in simpler ways.
const WORTH_IT: f64 = 0.99;

/// Values beyond this, or spreads below its inverse, leave no room for intervals in 32-bit floats.
const LARGEST: f64 = 1e32;

/// A spread below this share of the level leaves a 32-bit float fewer than about 100 steps for it.
const FINEST: f64 = 1e-5;

/// Which families may win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Any, naive ones included.
    Auto,
    /// This one.
    Only(Family),
}

/// Which errors decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Those of the last horizon.
    Last,
    /// Those of every row up to the horizon.
    Path,
}

/// What rows a model is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feeds {
    /// The targets' own past and the inputs.
    Everything,
    /// The inputs alone: the targets' past is only learned from, never fed.
    InputsAlone,
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How many of the table's first columns are forecast; the others are inputs known up to the origin.
    pub targets: usize,
    /// Which columns a model is fed.
    pub feeds: Feeds,
    /// Rows ahead, at least 1.
    pub horizon: usize,
    /// Rows of a season; `None` looks for one in the first target.
    pub season: Option<usize>,
    /// Which families may win.
    pub choice: Choice,
    /// Hyper-parameters fixed by hand.
    pub settings: Settings,
    /// The arithmetic of models.
    pub precision: Precision,
    /// Most trials of learned families.
    pub trials: usize,
    /// Nominal coverage of the intervals, in (0, 1).
    pub coverage: f64,
    /// Fixes every random weight.
    pub seed: u64,
    /// Which errors decide.
    pub score: Score,
    /// The table's time column, noted in the model.
    pub time_column: Option<String>,
}

/// Told what happens, asked whether to go on. Called from several threads.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
    /// Whether to start no further trial.
    fn stop_requested(&self) -> bool;
}

/// What happens during training.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'e> {
    /// So many candidates will be tried, baselines included, unless stopped.
    Planned {
        /// How many.
        candidates: usize,
    },
    /// A candidate begins.
    Started {
        /// Its place in the list of candidates.
        index: usize,
        /// What it is.
        spec: &'e Spec,
    },
    /// A candidate is done.
    Finished {
        /// Its place in the list of candidates.
        index: usize,
        /// What it is.
        spec: &'e Spec,
        /// How it did; `None` where it could not be fitted.
        validation: Option<&'e Validation>,
    },
}

/// What was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its place in the plan, as in [`Event`].
    pub index: usize,
    /// What it is.
    pub spec: Spec,
    /// How it did on left-out rows.
    pub validation: Validation,
}

/// What the comparison says about learning anything at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The served model beats the best naive forecast by this share of its error.
    BeatsNaive {
        /// 1 − NRMSE ÷ NRMSE of the best naive forecast.
        skill: f64,
    },
    /// Nothing learned beats the best naive forecast by a margin worth having.
    NothingBeatsNaive {
        /// That naive forecast.
        naive: Family,
    },
}

/// The result of training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The winner, fitted on all rows it may see.
    pub model: Model,
    /// All that were tried to the end, in the order of the plan.
    pub candidates: Vec<Candidate>,
    /// The winner's place in `candidates`.
    pub chosen: usize,
    /// What the comparison says.
    pub verdict: Verdict,
    /// Whether the search was cut short.
    pub stopped_early: bool,
    /// Where the winner's penalties were found.
    hints: Hints,
}

/// One training job: a table, the rows it may use, and options that have been checked against both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'t> {
    pub(crate) table: &'t Table,
    pub(crate) options: &'t Options,
    pub(crate) folds: &'t Folds,
    pub(crate) season: usize,
    /// Who works on each candidate.
    pub(crate) hands: Hands,
}

/// Trains on the first rows of `table`, as `folds` says.
///
/// # Errors
/// Where the rows do not suffice, the options contradict each other, or the observer stops the search before any
/// candidate is ready.
pub fn train(
    table: &Table,
    folds: &Folds,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Trained, Error> {
    let season = season_of(table, folds, options);
    let task = Task { table, options, folds, season, hands: Hands::One };
    task.check()?;
    room::check_settings(&task)?;
    let mut plan = Plan::new(&task);
    let (mut candidates, mut fitted): (Vec<Candidate>, Vec<Fitted>) = (Vec::new(), Vec::new());
    let mut unfit = None;
    let mut planned = 0;
    let mut stage = Some(plan.baselines());
    while let Some(proposals) = stage {
        observer.event(&Event::Planned { candidates: planned + proposals.len() + plan.left() });
        for tried in try_all(&task, &proposals, planned, observer) {
            match tried {
                Ok((candidate, one)) => {
                    candidates.push(candidate);
                    fitted.push(one);
                }
                // What was asked for is missed more than what should have stood beside it.
                Err((family, why)) if options.choice == Choice::Only(family) => unfit = unfit.or(Some(why)),
                Err(_) => {}
            }
        }
        planned += proposals.len();
        stage = plan.next(&fitted);
    }
    let stopped_early = candidates.len() < planned && observer.stop_requested();
    let chosen = choose(&candidates, options.choice)
        .ok_or_else(|| if stopped_early { Error::Interrupted } else { no_model(&task, unfit) })?;
    let verdict = verdict(&candidates, chosen);
    let winner = fitted.swap_remove(chosen);
    let hints = winner.hints.clone();
    Ok(Trained { model: winner.into_model(), candidates, chosen, verdict, stopped_early, hints })
}

/// The winner's choices with other random weights, fitted anew: `by` counts the draws from 1. Its penalties are looked for
/// from where the winner's were found.
///
/// # Errors
/// As [`train`].
pub fn redraw(
    table: &Table,
    folds: &Folds,
    options: &Options,
    trained: &Trained,
    by: u64,
) -> Result<Model, Error> {
    let options = Options { season: Some(trained.model.season()), ..options.clone() };
    fit_alone(table, folds, &options, &reseeded(trained.model.spec(), by), &trained.hints)
}

/// Fits `spec` alone, without a search, as the last step after its choice on fewer rows.
///
/// # Errors
/// As [`train`].
pub fn refit(table: &Table, folds: &Folds, options: &Options, spec: &Spec) -> Result<Model, Error> {
    fit_alone(table, folds, options, spec, &Hints::default())
}

fn fit_alone(
    table: &Table,
    folds: &Folds,
    options: &Options,
    spec: &Spec,
    hints: &Hints,
) -> Result<Model, Error> {
    let season = season_of(table, folds, options);
    let task = Task { table, options, folds, season, hands: Hands::of_each(1) };
    task.check()?;
    let mut spec = spec.clone();
    // Rows that the search did not see may be the first negative ones.
    if spec.transform == Transform::SquareRoot && !task.is_never_negative() {
        spec.transform = Transform::Identity;
    }
    let fitted = fit::fit(&task, &spec, hints).map_err(|why| no_model(&task, Some(why)))?;
    Ok(fitted.into_model())
}

/// The same choices with other random weights: `by` counts the draws, 0 being the one it has.
fn reseeded(spec: &Spec, by: u64) -> Spec {
    let mut spec = spec.clone();
    spec.blocks.iter_mut().for_each(|block| draws::reseed(block, by));
    spec
}

fn season_of(table: &Table, folds: &Folds, options: &Options) -> usize {
    let seen = &table.columns[0][..folds.fit_end().min(table.rows())];
    options.season.unwrap_or_else(|| season::detect(seen))
}

/// Why nothing that may win could be fitted to rows that passed the checks; `unfit` is why the first of it could not.
fn no_model(task: &Task<'_>, unfit: Option<Unfit>) -> Error {
    let (options, rows) = (task.options, task.folds.fit_end());
    if let Some(error) = unfit.and_then(Unfit::into_error) {
        return error;
    }
    let Choice::Only(family) = options.choice else { return too_short(task) };
    if rows < folds::rows_needed(options.horizon, task.season) {
        return too_short(task);
    }
    Error::Option(format!(
        "nothing of family {family} came of {} trials on {rows} rows: allow more trials, or look less far back (lags, \
         taps, stride, delay_max), or leave out a transform under which a column no longer changes",
        options.trials
    ))
}

fn too_short(task: &Task<'_>) -> Error {
    let (horizon, season) = (task.options.horizon, task.season);
    Error::TooShort {
        rows: task.folds.fit_end(),
        horizon,
        season,
        needed: folds::rows_needed(horizon, season),
    }
}

/// What came of each proposal, in order: what was fitted, or why it was not. Nothing of those that were not begun.
type Tried = Result<(Candidate, Fitted), (Family, Unfit)>;

/// Tries the proposals, as many at a time as there are threads and as their sums have room for together.
fn try_all(task: &Task<'_>, proposals: &[Proposal], first: usize, observer: &dyn Observer) -> Vec<Tried> {
    let together = room::together(task, proposals.iter().map(|proposal| &proposal.spec));
    let mut tried = Vec::new();
    for (turn, proposals) in proposals.chunks(together).enumerate() {
        tried.extend(try_together(task, proposals, first + turn * together, observer));
    }
    tried
}

fn try_together(
    task: &Task<'_>,
    proposals: &[Proposal],
    first: usize,
    observer: &dyn Observer,
) -> Vec<Tried> {
    let task = &Task { hands: Hands::of_each(proposals.len()), ..*task };
    proposals
        .par_iter()
        .with_max_len(1)
        .enumerate()
        .filter_map(|(place, Proposal { spec, hints })| {
            let index = first + place;
            if observer.stop_requested() && !spec.family.is_naive() {
                return None;
            }
            observer.event(&Event::Started { index, spec });
            let fitted = fit::fit(task, spec, hints);
            let validation = fitted.as_ref().ok().map(|fitted| &fitted.validation);
            observer.event(&Event::Finished { index, spec, validation });
            Some(match fitted {
                Ok(f) => Ok((Candidate { index, spec: f.spec.clone(), validation: f.validation.clone() }, f)),
                Err(why) => Err((spec.family, why)),
            })
        })
        .collect()
}

/// The simplest family whose best candidate is nearly as good as the best of all, and its best candidate.
fn choose(candidates: &[Candidate], choice: Choice) -> Option<usize> {
    let eligible = |family: Family| match choice {
        Choice::Auto => true,
        Choice::Only(only) => family == only,
    };
    let mut chosen: Option<usize> = None;
    for family in Family::ALL.into_iter().filter(|&family| eligible(family)) {
        let of_family = (0..candidates.len()).filter(|&i| candidates[i].spec.family == family);
        let error = |i: &usize| candidates[*i].validation.nrmse;
        let Some(best) = of_family.min_by(|a, b| error(a).total_cmp(&error(b))) else { continue };
        if chosen.is_none_or(|simpler| is_worth_it(&candidates[best], &candidates[simpler])) {
            chosen = Some(best);
        }
    }
    chosen
}

/// Whether a more complex model's validation justifies it: by a margin, and between learned models by more than the
/// standard error of its advantage over the folds (the one-standard-error rule on paired folds, Hastie et al., "The
/// Elements of Statistical Learning", §7.10). Naive forecasts get no such benefit of the doubt: they fail by whole folds
/// where a series drifts, which the standard error would count in their favour.
fn is_worth_it(complex: &Candidate, simple: &Candidate) -> bool {
    let (ours, theirs) = (&complex.validation, &simple.validation);
    let ratios: Vec<f64> = ours.folds.iter().zip(&theirs.folds).map(|(a, b)| a / b).collect();
    let n = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / n;
    let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let surely = simple.spec.family.is_naive() || mean + (variance / n).sqrt() < 1.0;
    ours.nrmse < WORTH_IT * theirs.nrmse && surely
}

fn verdict(candidates: &[Candidate], chosen: usize) -> Verdict {
    let naive = candidates.iter().filter(|c| c.spec.family.is_naive());
    let best = naive.min_by(|a, b| a.validation.nrmse.total_cmp(&b.validation.nrmse));
    let chosen = &candidates[chosen];
    match best {
        Some(naive) if chosen.spec.family.is_naive() || chosen.validation.nrmse >= naive.validation.nrmse => {
            Verdict::NothingBeatsNaive { naive: naive.spec.family }
        }
        Some(naive) => Verdict::BeatsNaive { skill: 1.0 - chosen.validation.nrmse / naive.validation.nrmse },
        None => Verdict::BeatsNaive { skill: 0.0 },
    }
}

impl Task<'_> {
    /// Whether no value that a fit may see is negative, so that a square root suits them.
    pub(crate) fn is_never_negative(&self) -> bool {
        let seen = self.folds.fit_end();
        self.table.columns.iter().all(|column| column[..seen].iter().all(|&value| value >= 0.0))
    }

    /// The columns that rows are made of.
    pub(crate) fn heard(&self) -> std::ops::Range<usize> {
        match self.options.feeds {
            Feeds::Everything => 0..self.table.width(),
            Feeds::InputsAlone => self.options.targets..self.table.width(),
        }
    }

    /// Values of one forecast.
    pub(crate) fn outputs(&self) -> usize {
        self.options.targets * self.options.horizon
    }

    /// Values that one vector of features gives.
    pub(crate) fn outputs_per_vector(&self, shared: bool) -> usize {
        if shared { self.options.horizon } else { self.outputs() }
    }

    fn check(&self) -> Result<(), Error> {
        let options = self.options;
        let fault = |text: String| Err(Error::Option(text));
        if !(1..=self.table.width()).contains(&options.targets) {
            return fault(format!(
                "{} targets were asked for of {} columns",
                options.targets,
                self.table.width()
            ));
        }
        if options.horizon == 0 || self.season == 0 || options.trials == 0 {
            return fault("horizon, season and trials must be at least 1".to_owned());
        }
        if !(options.coverage > 0.0 && options.coverage < 1.0) {
            return fault(format!("coverage {} is not between 0 and 1, such as 0.95", options.coverage));
        }
        if options.choice == Choice::Only(Family::SeasonalNaive) && self.season == 1 {
            return fault("family seasonal-naive needs a season above 1".to_owned());
        }
        if options.choice == Choice::Only(Family::Linear) && options.settings.skip == Some(false) {
            return fault("skip=off leaves family linear without any input".to_owned());
        }
        if options.feeds == Feeds::InputsAlone && options.targets == self.table.width() {
            return fault("with the inputs alone there must be inputs: name them".to_owned());
        }
        if options.feeds == Feeds::InputsAlone
            && matches!(options.choice, Choice::Only(Family::Persistence | Family::SeasonalNaive))
        {
            return fault("a naive forecast needs the target's own past".to_owned());
        }
        if !self.folds.suit(self.table.rows(), options.horizon) {
            return Err(too_short(self));
        }
        if self.season > 1 && self.season >= self.folds.fit_end() {
            return fault(format!(
                "a season of {} rows needs more than {} rows",
                self.season,
                self.folds.fit_end()
            ));
        }
        let rows = self.folds.fit_end();
        for (name, column) in self.table.names.iter().zip(&self.table.columns) {
            let seen = &column[..rows];
            if seen.iter().all(|value| *value == seen[0]) {
                return Err(Error::Constant { column: name.clone(), value: seen[0], rows });
            }
            let (low, high) =
                seen.iter().fold((seen[0], seen[0]), |(low, high), v| (v.min(low), v.max(high)));
            let (largest, spread) = (high.abs().max(low.abs()), high - low);
            if largest > LARGEST || spread < 1.0 / LARGEST || spread < FINEST * largest {
                return Err(Error::Scale { column: name.clone(), largest, spread });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
