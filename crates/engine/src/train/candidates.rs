//! What is tried, and in which order.
//!
//! First the baselines and the linear models, which cost little; then reservoirs, which inherit the lags and the
//! transform of the best linear model, because a reservoir that must not lose to lags has to be given them. The
//! list depends on the options and the data's size alone, so that a seed and a number of trials fix it.

use super::{Candidate, Choice, Task};
use crate::spec::{Base, EchoSettings, Family, LagForm, Lags, Spec, Transform};
use spinwell_core::Rng;

/// Features that lags may make at most: beyond it the factorisations take minutes and the rows rarely suffice.
const LAG_FEATURES_MAX: usize = 1400;
/// Reservoirs tried when the search may choose freely, however many trials are allowed: more draws of similar
/// reservoirs mostly fit the noise of the folds.
const ECHO_TRIALS: usize = 8;

/// Recent lags, margin around the target phases, further rows back from the first one's phase.
const SMALL: (usize, usize, usize) = (24, 3, 4);
const LARGE: (usize, usize, usize) = (144, 48, 97);
/// Without a season the recent lags must carry more.
const SMALL_WITHOUT_SEASON: (usize, usize, usize) = (36, 0, 0);

/// Spectral radius, leak, input scale, seasonal inputs: reservoirs that did well on demand, sensor and climate
/// series. Further trials draw around them.
const KNOWN_GOOD: [(f64, f64, f64, bool); 3] =
    [(0.9, 0.3, 0.3, true), (0.9, 0.6, 0.3, true), (0.9, 1.0, 0.3, false)];

/// The candidates of a task.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    task: Task<'t>,
    first: Vec<Spec>,
    echo_trials: usize,
    /// The lags of reservoirs where no linear model was tried or could be fitted.
    plain: Option<Spec>,
}

impl<'t> Plan<'t> {
    pub(super) fn new(task: &Task<'t>) -> Self {
        let (options, horizon) = (task.options, task.options.horizon);
        let mut first = baselines(task);
        let mut linear = if options.settings.skip == Some(false) { Vec::new() } else { linear(task) };
        let settings = &options.settings;
        let fixed =
            settings.spectral_radius.is_some() && settings.leak.is_some() && settings.input_scale.is_some();
        let echo_max = match options.choice {
            Choice::Auto => ECHO_TRIALS,
            Choice::Only(Family::Echo) => options.trials,
            Choice::Only(_) => 0,
        };
        let echo_max = if fixed { echo_max.min(1) } else { echo_max };
        // At least one reservoir where one was asked for by name; its lags then come without a search.
        let reserved =
            if options.choice == Choice::Only(Family::Echo) { 1 } else { echo_max.min(options.trials / 2) };
        let plain = linear.first().cloned();
        linear.truncate(options.trials - reserved);
        let echo_trials = (options.trials - linear.len()).min(echo_max);
        first.extend(linear);
        first.retain(|spec| {
            spec.lags.depth() + horizon + 2 < task.folds.fit_end() / 2 || spec.lags.depth() == 1
        });
        Self { task: *task, first, echo_trials, plain }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.echo_trials
    }

    /// Baselines and linear models.
    pub(super) fn first_stage(&self) -> Vec<Spec> {
        self.first.clone()
    }

    /// Reservoirs beside the lags of the best linear model of the first stage.
    pub(super) fn second_stage(&self, tried: &[&Candidate]) -> Vec<Spec> {
        let settings = &self.task.options.settings;
        let linear = tried.iter().filter(|candidate| candidate.spec.family == Family::Linear);
        let best = linear.min_by(|a, b| a.validation.nrmse.total_cmp(&b.validation.nrmse));
        let plain = transforms(&self.task)[0];
        let alone =
            Spec { family: Family::Echo, transform: plain, base: Base::Mean, lags: Lags::none(), echo: None };
        let skip = settings.skip.unwrap_or(true);
        let lags = best.map(|best| &best.spec).or(self.plain.as_ref()).filter(|_| skip);
        let beside = lags.map_or(alone, |spec| Spec { family: Family::Echo, ..spec.clone() });
        let mut rng = Rng::seeded(self.task.options.seed);
        (0..self.echo_trials)
            .map(|index| Spec { echo: Some(self.echo(index, skip, &mut rng)), ..beside.clone() })
            .collect()
    }

    fn echo(&self, index: usize, skip: bool, rng: &mut Rng) -> EchoSettings {
        let (settings, horizon, season) =
            (&self.task.options.settings, self.task.options.horizon, self.task.season);
        let drawn = (
            rng.uniform_in(0.7, 1.0),
            rng.uniform_in(0.2, 1.0),
            0.1 * (10.0f64).powf(rng.uniform()),
            rng.uniform() < 0.5,
        );
        let (spectral_radius, leak, input_scale, seasonal) = KNOWN_GOOD.get(index).copied().unwrap_or(drawn);
        let seasonal = settings.seasonal_inputs.unwrap_or(seasonal && skip) && season > horizon;
        let mut seasonal_inputs = if seasonal { vec![season - 1, season - horizon] } else { Vec::new() };
        seasonal_inputs.dedup();
        EchoSettings {
            units: settings.units.unwrap_or_else(|| (self.task.folds.fit_end() / 8).clamp(10, 500)),
            density: settings.density.unwrap_or(0.1),
            spectral_radius: settings.spectral_radius.unwrap_or(spectral_radius),
            leak: settings.leak.unwrap_or(leak),
            input_scale: settings.input_scale.unwrap_or(input_scale),
            bias_scale: settings.bias_scale.unwrap_or(0.2),
            seasonal_inputs,
            seed: rng.next_u64(),
        }
    }
}

fn baselines(task: &Task<'_>) -> Vec<Spec> {
    let naive =
        |family, base| Spec { family, transform: Transform::Identity, base, lags: Lags::none(), echo: None };
    let mut specs = vec![naive(Family::Persistence, Base::Last)];
    if task.season > 1 {
        specs.push(naive(Family::SeasonalNaive, Base::Season));
    }
    specs
}

/// The transforms that suit the data: a square root only where nothing was ever negative.
fn transforms(task: &Task<'_>) -> Vec<Transform> {
    if let Some(transform) = task.options.settings.transform {
        return vec![transform];
    }
    let seen = task.folds.fit_end();
    let never_negative =
        task.table.columns.iter().all(|column| column[..seen].iter().all(|&value| value >= 0.0));
    if never_negative { vec![Transform::Identity, Transform::SquareRoot] } else { vec![Transform::Identity] }
}

fn linear(task: &Task<'_>) -> Vec<Spec> {
    let (options, season) = (task.options, task.season);
    let rows = task.folds.fit_end();
    let small = if season > 1 { SMALL } else { SMALL_WITHOUT_SEASON };
    let forms =
        options.settings.form.map_or_else(|| vec![LagForm::Relative, LagForm::Raw], |form| vec![form]);
    let mut lags: Vec<Lags> = Vec::new();
    for (recent, margin, back) in [small, LARGE] {
        let recent = options.settings.lags.unwrap_or_else(|| recent.min(rows / 10).max(1));
        for &form in &forms {
            let candidate =
                Lags::around_season(recent, season, options.horizon, margin, back.min(rows / 10), form);
            let features = candidate.per_channel() * task.table.width();
            if !lags.contains(&candidate) && (lags.is_empty() || features <= LAG_FEATURES_MAX) {
                lags.push(candidate);
            }
        }
    }
    let spec = |lags: &Lags, transform| Spec {
        family: Family::Linear,
        transform,
        base: Base::Last,
        lags: lags.clone(),
        echo: None,
    };
    let transforms = transforms(task);
    lags.iter().flat_map(|lags| transforms.iter().map(move |&transform| spec(lags, transform))).collect()
}
