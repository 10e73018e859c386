//! `spinwell train`: from a CSV to a model in the model folder, with its card.

use crate::models::{self, Saved};
use crate::output::{self, figure, percent, remark, say};
use crate::progress::Progress;
use crate::task::{TaskArg, of_forecasts, of_streams};
use crate::training_args::{Data, TrainingArgs, read_data};
use crate::{classify, detect, failure, pictures};
use serde_json::{Value, json};
use spinwell_core::{Code, ModelName};
use spinwell_engine::backtest::{Evaluation, Mode, Plan, Units, evaluate};
use spinwell_engine::cost::in_words;
use spinwell_engine::data::Table;
use spinwell_engine::train::{
    self, Choice, ExpectedCost, Folds, Options, Score, Trained, Verdict, WINDOW_US_WARN,
};
use spinwell_engine::{Family, Model};
use spinwell_node::Cards;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Origins at which cold windows are scored for the card: enough for two digits of NRMSE, cheap for any reservoir.
const WINDOW_ORIGINS: usize = 300;

/// Options of `spinwell train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spinwell train demand.csv --target mw --time time --horizon 48
  spinwell train demand.csv --target mw --horizon 48 --season 336 --plot demand.svg
  spinwell train sensor.csv --target temperature --family echo --set units=300,leak=0.5 --json
  spinwell train gestures.csv --task classify --label gesture
  spinwell train pump.csv --task anomaly --target pressure --alpha 0.001

Files of labelled series, for --task classify, are wide (split,label,t0,t1,..: one row a series) or long
(case,split,label,t,c0,c1,..: one row a time step). The column split, which may be missing, says train or test:
training reads the train cases alone, and the test cases say how good the model is.

With --task anomaly the detector learns from all rows but those of --holdout what is usual; it needs no labels and
reads none.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) training: TrainingArgs,
    /// Share of the newest rows kept back to measure the chosen model; a forecaster is then fitted again on all rows, a
    /// detector is not [default: 0.2, for a detector 0].
    #[arg(long, value_name = "P", value_parser = parse_holdout)]
    pub(crate) holdout: Option<f64>,
    /// Name of the model [default: the file's name without its ending].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    pub(crate) models: PathBuf,
}

fn parse_holdout(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..=0.5).contains(share));
    share.ok_or_else(|| "use a number from 0 (nothing kept back) to 0.5".to_owned())
}

/// How the chosen model did on the rows kept back, in both ways it is served.
struct Held {
    rows: usize,
    stream: Evaluation,
    window: Option<Evaluation>,
    /// Rows of each cold window.
    window_rows: usize,
}

/// Trains for the task, measures, and saves.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    args.training.check_task(&[
        of_streams("--holdout", args.holdout.is_some()),
        of_forecasts("--plot", args.training.plot.is_some()),
        of_forecasts("--device", args.training.device.is_some()),
    ])?;
    match args.training.task {
        TaskArg::Forecast => forecaster(args),
        TaskArg::Classify => classify::train::run(args),
        TaskArg::Anomaly => detect::train::run(args),
    }
}

/// Trains, measures, fits again on all rows, and saves.
fn forecaster(args: &Args) -> anyhow::Result<()> {
    let training = &args.training;
    pictures::check_path(training.plot.as_deref())?;
    let name = model_name(args)?;
    let cards = Cards::open(training.device.unwrap_or_default()).map_err(|error| error.fault())?;
    let options = training.options(Score::Path)?;
    let data = read_data(&training.data, &training.columns()?)?;
    if !training.json {
        introduce(training, &data);
    }
    let rows = data.table.rows();
    let seen = rows_before(rows, args.holdout.unwrap_or(0.2));
    announce_costs(training, &data.table, &Folds::inside(seen), &options);
    let progress = Progress::new(training.budget);
    let found = train::train(&data.table, &Folds::inside(seen), &options, &progress);
    progress.finish();
    let trained = found.map_err(|error| failure::fault(error.code(), error))?;
    let options = Options { season: Some(trained.model.season()), ..options };
    if trained.stopped_early {
        remark("the search was cut short; the best of the candidates that finished is kept");
    }
    let held = measure(&trained.model, &data, seen)?;
    let spec = trained.model.spec().clone();
    let model = if seen == rows {
        trained.model.clone()
    } else {
        train::refit(&data.table, &Folds::inside(rows), &options, &spec)
            .map_err(|error| failure::fault(error.code(), error))?
    };
    let seconds = |index: usize| progress.seconds(index);
    let card = |version, path: &Path| {
        let summary = summary(&name, version, path, &model, &trained, &options, &seconds);
        card(summary, &model, held.as_ref(), &data, &spec, progress.elapsed())
    };
    let saved = models::save(&args.models, &name, &model.to_bytes(), |version, path| {
        serde_json::to_string_pretty(&card(version.0, path)).expect("a JSON value is serialisable")
    })?;
    // Only now: a driver that hangs must not cost the model.
    let devices = [cards.notes(), &cards.try_out(&model)].concat();
    if let (Some(path), Some(held)) = (&training.plot, &held) {
        let title = format!("{} of {}", training.target[0], pictures::file_name(&training.data));
        let note = format!("{} on {} rows kept back from training", model.family(), held.rows);
        pictures::write(
            &pictures::evaluation(&title, &trained.model, &data.table, &held.stream, note),
            path,
        )?;
    }
    if training.json {
        let mut document = card(saved.version.0, &saved.path);
        document["devices"] = json!(devices);
        output::document(&document);
    } else {
        say(&output::comparison(&trained, &seconds));
        conclude(args, &name, &saved, &model, &trained, held.as_ref());
        devices.iter().for_each(|line| say(line));
    }
    Ok(())
}

/// The model's name, given or taken from the file.
pub(crate) fn model_name(args: &Args) -> anyhow::Result<ModelName> {
    let stem = || args.training.data.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(stem).unwrap_or_default();
    name.parse().map_err(|error| failure::fault(Code::OptionInvalid, format!("--name: {error}")))
}

/// How many rows are left where a share of the newest is kept back.
pub(crate) fn rows_before(rows: usize, holdout: f64) -> usize {
    rows - (rows as f64 * holdout).round() as usize
}

pub(crate) fn introduce(training: &TrainingArgs, data: &Data) {
    let columns = data.table.names.join(", ");
    remark(&format!("{}: {} rows of {columns}", training.data.display(), data.table.rows()));
    data.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
}

/// Says what models of sizes fixed by hand will cost to serve, before time is spent on training them.
pub(crate) fn announce_costs(training: &TrainingArgs, table: &Table, folds: &Folds, options: &Options) {
    for expected in train::expected_costs(table, folds, options) {
        let ExpectedCost { family, window_us, window_rows } = expected;
        let time = in_words(window_us);
        let what = match options.choice {
            Choice::Only(Family::Hybrid) => format!("the {family} part of a hybrid"),
            _ => format!("a model of family {family}"),
        };
        if expected.is_high() {
            remark(&format!(
                "warning: {what} with these settings costs about {time} of one core a window of {window_rows} rows, \
                 more than {}: make it smaller, or expect deadlines to be missed",
                in_words(WINDOW_US_WARN)
            ));
        } else if !training.json {
            remark(&format!(
                "{what} with these settings costs about {time} of one core a window of {window_rows} rows"
            ));
        }
    }
}

/// Scores the model that saw the first `seen` rows on the others. `None` where too few were kept back.
fn measure(model: &Model, data: &Data, seen: usize) -> anyhow::Result<Option<Held>> {
    let rows = data.table.rows();
    if rows - seen <= model.horizon() {
        return Ok(None);
    }
    let origins = rows - seen - model.horizon() + 1;
    let plan = Plan {
        train_end: seen,
        test_start: seen,
        test_end: rows,
        score: Score::Path,
        mode: Mode::Stream,
        stride: 1,
        units: Units::Data,
    };
    let scored = |plan: &Plan| {
        evaluate(model, &data.table, plan).map_err(|error| failure::fault(Code::SeriesTooShort, error))
    };
    let stream = scored(&plan)?;
    let window = model.window_recommended();
    let cold = Plan { mode: Mode::Window(window), stride: origins.div_ceil(WINDOW_ORIGINS), ..plan };
    let cold = if window <= seen { Some(scored(&cold)?) } else { None };
    Ok(Some(Held { rows: rows - seen, stream, window: cold, window_rows: window }))
}

fn summary(
    name: &ModelName,
    version: u32,
    path: &Path,
    model: &Model,
    trained: &Trained,
    options: &Options,
    seconds: &dyn Fn(usize) -> f64,
) -> Value {
    let learned = trained.candidates.iter().filter(|candidate| !candidate.spec.family.is_naive()).count();
    json!({
        "name": name.as_str(),
        "version": version,
        "model_hash": model.hash().to_string(),
        "path": path.display().to_string(),
        "task": "forecast",
        "family": model.family().as_str(),
        "horizon": model.horizon(),
        "season": model.season(),
        "window_min": model.window_min(),
        "window_recommended": model.window_recommended(),
        "cost": output::cost_json(model.cost()),
        "trials": learned,
        "seed": options.seed,
        "candidates": output::candidates_json(trained, seconds),
        "beats_naive": matches!(trained.verdict, Verdict::BeatsNaive { .. }),
        "stopped_early": trained.stopped_early,
    })
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: the card says when it was written; the model file does not"
)]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn card(
    mut summary: Value,
    model: &Model,
    held: Option<&Held>,
    data: &Data,
    spec: &spinwell_engine::Spec,
    elapsed: f64,
) -> Value {
    let evaluation = |evaluation: &Evaluation| {
        let mut figures = output::figures_json(&evaluation.overall);
        figures.insert("n_origins".to_owned(), json!(evaluation.origins.len()));
        Value::Object(figures)
    };
    let more = json!({
        "channels": model.channels(),
        "targets": model.targets(),
        "time_column": model.time_column(),
        "profile": model.profile().as_str(),
        "coverage_nominal": model.coverage(),
        "calibrated": model.is_calibrated(),
        "contraction": {
            "rows_to_1e-3": model.contraction().to_1e3,
            "rows_to_1e-6": model.contraction().to_1e6,
        },
        "params": spec.parameters().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "data_sha256": data.hash,
        "data_rows": data.table.rows(),
        "notes": data.table.notes,
        "holdout": held.map(|held| json!({
            "rows": held.rows,
            "stream": evaluation(&held.stream),
            "window": held.window.as_ref().map(evaluation),
            "window_rows": held.window_rows,
        })),
        "train_seconds": elapsed,
        "created_unix_seconds": unix_seconds(),
    });
    if let (Some(all), Some(more)) = (summary.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    summary
}

fn conclude(
    args: &Args,
    name: &ModelName,
    saved: &Saved,
    model: &Model,
    trained: &Trained,
    held: Option<&Held>,
) {
    say("");
    match trained.verdict {
        Verdict::BeatsNaive { skill } => {
            say(&format!(
                "{} is kept: {} less error than the best naive forecast",
                model.family(),
                percent(skill)
            ));
        }
        Verdict::NothingBeatsNaive { naive } => say(&format!(
            "nothing beats the naive forecast ({naive}) on these rows by a margin worth having; {} is kept",
            model.family()
        )),
    }
    if !model.family().is_naive() {
        say(&format!("  {}", output::parameters(model.spec())));
    }
    if let Some(held) = held {
        let line = |mode: &str, evaluation: &Evaluation| {
            let figures = &evaluation.overall;
            let (nrmse, mase) = (figure(figures.nrmse), figure(figures.mase));
            format!("  {mode:<23} NRMSE {nrmse}  MASE {mase}  coverage {}", percent(figures.coverage))
        };
        say(&format!(
            "on the newest {} rows, kept back until now ({} ahead, all steps):",
            held.rows,
            model.horizon()
        ));
        say(&line("as a stream", &held.stream));
        if let Some(window) = &held.window {
            say(&line(&format!("as windows of {} rows", held.window_rows), window));
        }
    }
    if !model.is_calibrated() {
        say("  there were too few rows to calibrate the intervals at this level: take them as a rough guide");
    }
    say(&output::cost_line(model.cost()));
    say(&format!("saved {name}:{} as {}", saved.version, saved.path.display()));
    if let Some(plot) = &args.training.plot {
        say(&format!("plot  {}", plot.display()));
    }
}
