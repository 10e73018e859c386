//! `spinwell backtest`: train on the first rows, score every forecast of the rows after them.

use crate::output::{self, figure, percent, remark, say};
use crate::progress::Progress;
use crate::scoring_args::{ScoreArg, parse_mode};
use crate::task::{TaskArg, of_forecasts, of_streams};
use crate::train::announce_costs;
use crate::training_args::{TrainingArgs, read_data};
use crate::{classify, detect, failure, output::aligned, pictures};
use serde_json::{Map, Value, json};
use spinwell_core::{Code, Fault};
use spinwell_engine::backtest::{self, Evaluation, Mode, Plan, Units, evaluate};
use spinwell_engine::data::Table;
use spinwell_engine::metrics::{Figures, Hits, Scored, effective_sample_size};
use spinwell_engine::train::{self, Folds, Options, Score, Trained};
use spinwell_engine::{Model, free_run, yardstick};

/// Options of `spinwell backtest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rows are counted from 0. The model is fitted on rows [0, N), chosen on [N, S) or, without --test-start, by folds
inside [0, N), and scored at every origin t from S-1 to M-H-1 for row t+H (last) or all rows t+1..t+H (path).
interval_score is in standard deviations of the scored truths; rmse, mae and width_mean are in the data's units.

Examples:
  spinwell backtest taxi.csv --target value --horizon 48 --season 336 --train-end 4800 --test-end 10320
  spinwell backtest taxi.csv --target value --train-end 4800 --test-end 10320 --mode window=512 --json
  spinwell backtest gestures.csv --task classify --label gesture
  spinwell backtest pump.csv --task anomaly --target pressure --label broken

With --task classify the column split says which cases are fitted (train) and which are scored (test).
With --task anomaly a detector learns from rows [0, N), by default the first 15 %, and judges all rows after them. In the
column --label, every row inside a known anomaly has a number other than 0, or true; neighbouring ones are one window.
A window is detected where any of its rows is called an anomaly; calls outside all windows that are at most 24 rows
apart are one false event.")]
pub(crate) struct Args {
    #[command(flatten)]
    training: TrainingArgs,
    /// Fit on the rows before this one; needed to forecast [default for anomalies: 15 % of the rows].
    #[arg(long, value_name = "N")]
    train_end: Option<usize>,
    /// The first row whose forecast is scored; rows between choose the model [default: --train-end].
    #[arg(long, value_name = "S")]
    test_start: Option<usize>,
    /// Score no forecast of this row or a later one; needed to forecast.
    #[arg(long, value_name = "M")]
    test_end: Option<usize>,
    /// Score the last horizon only, or every row up to it [default: last].
    #[arg(long, value_enum)]
    score: Option<ScoreArg>,
    /// Also let the model feed on its own forecasts for K rows, COUNT times, STRIDE rows apart, from row S on; these may
    /// reach beyond --test-end.
    #[arg(long, value_name = "K[:COUNT:STRIDE]", value_parser = parse_free_run)]
    free_run: Option<FreeRunArg>,
    /// Also fit the chosen model so many times with other random weights, and report the spread of NRMSE.
    #[arg(long, value_name = "N", default_value_t = 0)]
    refits: u32,
    /// Also score forecasts from N cold windows of the recommended length, spread evenly over the origins.
    #[arg(long, value_name = "N", default_value_t = 0)]
    cold_windows: usize,
    /// Feed rows one by one, or a cold window of W rows at each origin [default: stream].
    #[arg(long, value_name = "stream|window=W", value_parser = parse_mode)]
    mode: Option<Mode>,
    /// Taken so that train's command line can be reused; a backtest saves nothing.
    #[arg(long, hide = true)]
    name: Option<String>,
    /// As --name.
    #[arg(long, hide = true)]
    models: Option<std::path::PathBuf>,
    /// As --name; the rows are split by --train-end.
    #[arg(long, hide = true)]
    holdout: Option<f64>,
}

/// A closed loop's steps, and perhaps how many and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FreeRunArg {
    steps: usize,
    repeat: Option<(usize, usize)>,
}

fn parse_free_run(text: &str) -> Result<FreeRunArg, String> {
    let wrong = || "use K, or K:COUNT:STRIDE, such as 84:60:48".to_owned();
    let numbers: Option<Vec<usize>> =
        text.split(':').map(|part| part.parse().ok().filter(|&n| n > 0)).collect();
    match numbers.as_deref() {
        Some(&[steps]) => Ok(FreeRunArg { steps, repeat: None }),
        Some(&[steps, count, stride]) => Ok(FreeRunArg { steps, repeat: Some((count, stride)) }),
        _ => Err(wrong()),
    }
}

/// Trains for the task, scores, prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    args.training.check_task(&[
        of_streams("--train-end", args.train_end.is_some()),
        of_streams("--plot", args.training.plot.is_some()),
        of_forecasts("--test-start", args.test_start.is_some()),
        of_forecasts("--test-end", args.test_end.is_some()),
        of_forecasts("--score", args.score.is_some()),
        of_forecasts("--free-run", args.free_run.is_some()),
        of_forecasts("--refits", args.refits > 0),
        of_forecasts("--cold-windows", args.cold_windows > 0),
        of_forecasts("--mode", args.mode.is_some()),
        of_forecasts("--device", args.training.device.is_some()),
        of_streams("--holdout", args.holdout.is_some()),
    ])?;
    if args.training.device.is_some() {
        remark(
            "note: a backtest runs on the CPU, whose figures a card's are compared with: --device has no effect",
        );
    }
    if args.name.is_some() || args.models.is_some() || args.holdout.is_some() {
        remark("note: a backtest saves no model: --name, --models and --holdout have no effect");
    }
    match args.training.task {
        TaskArg::Forecast => forecaster(args),
        TaskArg::Classify => classify::backtest::run(&args.training),
        TaskArg::Anomaly => detect::backtest::run(&args.training, args.train_end),
    }
}

/// Which rows are for what.
#[derive(Debug, Clone, Copy)]
struct Rows {
    train_end: usize,
    test_start: usize,
    test_end: usize,
}

impl Rows {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let (Some(train_end), Some(test_end)) = (args.train_end, args.test_end) else {
            let text =
                "a backtest of forecasts needs --train-end N and --test-end M, the rows to fit and to score";
            return Err(Fault::new(Code::OptionInvalid, text).into());
        };
        Ok(Self { train_end, test_start: args.test_start.unwrap_or(train_end), test_end })
    }

    fn check(self, rows: usize) -> anyhow::Result<()> {
        let Self { train_end, test_start, test_end } = self;
        if 0 < train_end && train_end <= test_start && test_start < test_end && test_end <= rows {
            return Ok(());
        }
        let text = format!(
            "--train-end {train_end} <= --test-start {test_start} < --test-end {test_end} <= {rows} rows does not hold"
        );
        Err(Fault::new(Code::OptionInvalid, text).into())
    }

    fn folds(self) -> Folds {
        match self.test_start > self.train_end {
            true => Folds::once(self.train_end, self.test_start),
            false => Folds::inside(self.train_end),
        }
    }
}

/// Trains on the first rows and scores forecasts of the rows after them.
fn forecaster(args: &Args) -> anyhow::Result<()> {
    let training = &args.training;
    pictures::check_path(training.plot.as_deref())?;
    let rows = Rows::of(args)?;
    let score = args.score.map_or(Score::Last, ScoreArg::score);
    let options = training.options(score)?;
    let data = read_data(&training.data, &training.columns()?)?;
    data.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    rows.check(data.table.rows())?;
    let folds = rows.folds();
    announce_costs(training, &data.table, &folds, &options);
    let progress = Progress::new(training.budget);
    let found = train::train(&data.table, &folds, &options, &progress);
    progress.finish();
    let trained = found.map_err(|error| failure::fault(error.code(), error))?;
    let train_seconds = progress.elapsed();
    let plan = Plan {
        train_end: rows.train_end,
        test_start: rows.test_start,
        test_end: rows.test_end,
        score,
        mode: args.mode.unwrap_or(Mode::Stream),
        stride: 1,
        units: if options.settings.normalise { Units::TrainingDeviations } else { Units::Data },
    };
    let invalid = |error| failure::fault(Code::OptionInvalid, error);
    let evaluation = evaluate(&trained.model, &data.table, &plan).map_err(invalid)?;
    let free = args.free_run.map(|asked| closed_loops(asked, &trained.model, &data.table, &plan));
    let free = free.transpose().map_err(invalid)?;
    let cold =
        (args.cold_windows > 0).then(|| cold_windows(args.cold_windows, &trained.model, &data.table, &plan));
    let more = More { free, cold: cold.transpose().map_err(invalid)?, refits: Vec::new() };
    let refits = refits(args.refits, &trained, &data.table, &Split { folds, options, plan })?;
    let more = More { refits, ..more };
    if let Some(path) = &training.plot {
        let title = format!("{} of {}", training.target[0], pictures::file_name(&training.data));
        let note = format!("{} fitted on rows before {}", trained.model.family(), rows.train_end);
        pictures::write(&pictures::evaluation(&title, &trained.model, &data.table, &evaluation, note), path)?;
    }
    if !trained.model.is_calibrated() {
        remark("note: there were too few rows to calibrate the intervals at this level");
    }
    let seconds = |index: usize| progress.seconds(index);
    if training.json {
        let mut document = document(&trained, &evaluation, train_seconds, &seconds);
        document.extend(more.figures());
        document.extend(guards(&trained.model, &data.table, &evaluation, &plan));
        output::document(&Value::Object(document));
    } else {
        say(&output::comparison(&trained, &seconds));
        say("");
        say(&results(&trained, &evaluation));
        more.lines().iter().for_each(|line| say(line));
        if let Some(path) = &training.plot {
            say(&format!("plot  {}", path.display()));
        }
    }
    Ok(())
}

fn document(
    trained: &Trained,
    evaluation: &Evaluation,
    train_seconds: f64,
    seconds: &dyn Fn(usize) -> f64,
) -> Map<String, Value> {
    let model = &trained.model;
    let mut document = output::figures_json(&evaluation.overall);
    let more = [
        ("family", json!(model.family().as_str())),
        ("horizon", json!(model.horizon())),
        ("season", json!(model.season())),
        ("train_seconds", json!(train_seconds)),
        ("n_origins", json!(evaluation.origins.len())),
        ("candidates", output::candidates_json(trained, seconds)),
    ];
    document.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    if evaluation.targets.len() > 1 {
        let one = |(name, figures): (&String, &Figures)| {
            let mut target = output::figures_json(figures);
            target.insert("target".to_owned(), json!(name));
            Value::Object(target)
        };
        let targets: Value = model.targets().iter().zip(&evaluation.targets).map(one).collect();
        document.insert("targets".to_owned(), targets);
    }
    document
}

/// Runs the closed loops asked for; without a number of them, as many as the scored rows hold end to end.
fn closed_loops(
    asked: FreeRunArg,
    model: &Model,
    table: &Table,
    plan: &Plan,
) -> Result<free_run::Figures, backtest::Error> {
    let steps = asked.steps;
    let room = plan.test_end.saturating_sub(plan.test_start) / steps;
    let (count, stride) = asked.repeat.unwrap_or((room.clamp(1, 100), steps));
    free_run::free_run(model, table, &free_run::Plan { steps, start: plan.test_start, stride, count })
}

/// How a model was trained and is scored.
struct Split {
    folds: Folds,
    options: Options,
    plan: Plan,
}

/// NRMSE of the same choices with other random weights.
fn refits(count: u32, trained: &Trained, table: &Table, split: &Split) -> anyhow::Result<Vec<f64>> {
    let one = |draw: u64| -> anyhow::Result<f64> {
        let model = train::redraw(table, &split.folds, &split.options, trained, draw)
            .map_err(|error| failure::fault(error.code(), error))?;
        let evaluation = evaluate(&model, table, &split.plan)
            .map_err(|error| failure::fault(Code::OptionInvalid, error))?;
        Ok(evaluation.overall.nrmse)
    };
    (1..=u64::from(count)).map(one).collect()
}

/// Forecasts from cold windows.
struct Cold {
    rows: usize,
    evaluation: Evaluation,
}

/// Scores about `count` windows of the recommended length, which the rows before the first origin must hold.
fn cold_windows(count: usize, model: &Model, table: &Table, plan: &Plan) -> Result<Cold, backtest::Error> {
    let rows = model.window_recommended().max(model.window_min()).max(1).min(plan.test_start);
    let origins = (plan.test_end + 1).saturating_sub(plan.test_start + model.horizon());
    let plan = Plan { mode: Mode::Window(rows), stride: (origins / count).max(1), ..*plan };
    evaluate(model, table, &plan).map(|evaluation| Cold { rows, evaluation })
}

/// What was asked for beside the figures of every backtest.
struct More {
    free: Option<free_run::Figures>,
    cold: Option<Cold>,
    refits: Vec<f64>,
}

impl More {
    fn figures(&self) -> Map<String, Value> {
        let mut more = Map::new();
        if let Some(free) = &self.free {
            let nrmse = if free.nrmse.is_finite() { json!(free.nrmse) } else { Value::Null };
            more.insert("nrmse_free_run".to_owned(), nrmse);
            for (name, share) in [("", 0.5), ("_p10", 0.1), ("_p90", 0.9)] {
                more.insert(format!("valid_prediction_steps{name}"), json!(free.valid_steps_at(share)));
            }
        }
        if let Some(Cold { rows, evaluation }) = &self.cold {
            let mut figures = output::figures_json(&evaluation.overall);
            figures.insert("rows".to_owned(), json!(rows));
            figures.insert("n_origins".to_owned(), json!(evaluation.origins.len()));
            more.insert("cold_windows".to_owned(), Value::Object(figures));
        }
        if !self.refits.is_empty() {
            more.insert("nrmse_refits".to_owned(), json!(self.refits));
        }
        more
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(free) = &self.free {
            lines.push(format!(
                "feeding on its own forecasts: NRMSE {} at the last step; valid for {} steps (median of {}; 10 % to 90 %: {} to {})",
                figure(free.nrmse),
                free.valid_steps_at(0.5),
                free.valid_steps.len(),
                free.valid_steps_at(0.1),
                free.valid_steps_at(0.9)
            ));
        }
        if let Some(Cold { rows, evaluation }) = &self.cold {
            lines.push(format!(
                "from {} cold windows of {rows} rows: NRMSE {}, coverage {}",
                evaluation.origins.len(),
                figure(evaluation.overall.nrmse),
                percent(evaluation.overall.coverage)
            ));
        }
        if !self.refits.is_empty() {
            let mut sorted = self.refits.clone();
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
            lines.push(format!(
                "fitted {} times with other random weights: NRMSE {} to {}, median {}",
                sorted.len(),
                figure(low),
                figure(high),
                figure(sorted[sorted.len() / 2])
            ));
        }
        lines
    }
}

/// Figures that guard against tricks: intervals against the plainest ones, and forecasts that run away.
fn guards(model: &Model, table: &Table, evaluation: &Evaluation, plan: &Plan) -> Map<String, Value> {
    let mut guards = Map::new();
    if plan.stride == 1 {
        let ratio = yardstick::interval_score_ratio(&evaluation.points, model.horizon(), model.coverage());
        guards.insert("interval_score_ratio_window500".to_owned(), json!(ratio));
        let inside = |scored: &Scored| (scored.lower..=scored.upper).contains(&scored.truth);
        let hits = evaluation
            .points
            .iter()
            .map(|point| Hits { inside: usize::from(inside(&point.scored)), count: 1 });
        let worth = effective_sample_size(&hits.collect::<Vec<_>>());
        guards.insert("coverage_effective_n".to_owned(), json!(worth));
    }
    let seen = &table.columns[0][..plan.train_end];
    let (low, high) = seen.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (v.min(low), v.max(high)));
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    let forecasts = evaluation.points.iter().map(|point| (point.scored.forecast - mean).abs());
    let furthest = forecasts.fold(0.0, f64::max);
    if high > low {
        guards.insert("forecast_extent".to_owned(), json!(furthest / (high - low)));
    }
    guards
}

fn results(trained: &Trained, evaluation: &Evaluation) -> String {
    let model = &trained.model;
    format!(
        "{} on unseen rows: {} origins, horizon {}, season {}\n{}",
        model.family(),
        evaluation.origins.len(),
        model.horizon(),
        model.season(),
        aligned(&output::figures_table(model, evaluation))
    )
}
