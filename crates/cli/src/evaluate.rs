//! `spinwell evaluate`: score a model file on a CSV, in the way it is served, and say how far to trust it.
//!
//! Training's own figures are of rows that were kept back then; this command answers the question that comes later, with
//! newer rows: is the model still good, are its intervals still honest, does it still beat the naive forecasts? A model
//! that is scored on the file it was trained on does better than it should, so the card beside the model is asked for
//! its file's hash, and the answer is said aloud.

mod answer;

use crate::models::{self, Found};
use crate::output::{self, remark, say};
use crate::report::{self, Case, Diagnosis, Seen};
use crate::scoring_args::{ScoreArg, parse_mode};
use crate::task::{self, Limited, TaskArg, of_classifiers, of_forecasts, of_labels, of_streams};
use crate::training_args::read_data;
use crate::{classify, detect, failure, pictures};
use serde_json::Value;
use spinwell_core::{Code, Fault, ModelHash};
use spinwell_engine::backtest::{self, Mode, Plan, Units, evaluate};
use spinwell_engine::data::Columns;
use spinwell_engine::train::Score;
use spinwell_engine::{AnyModel, Model};
use std::path::{Path, PathBuf};

/// Options of `spinwell evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rows are counted from 0. Without --test-start, forecasts are scored from the first row at which the model has seen as
many rows as it recommends, or needs at least where the file is short. Errors of the naive forecast for MASE come from the
rows before. interval_score is in standard deviations of the scored truths; rmse, mae and width_mean are in the data's
units.

Examples:
  spinwell evaluate demand newer.csv --report report.html
  spinwell evaluate demand:2 newer.csv --mode window=512 --test-start 2000 --json
  spinwell evaluate ./spinwell-data/models/demand/1/model.spinwell newer.csv --plot newer.svg
  spinwell evaluate gestures newer-gestures.csv --label gesture
  spinwell evaluate pump newer-pump.csv --label broken --plot alarms.svg

A classifier is scored on the cases whose column split says test, or on all where there is no such column.
A detector judges all rows, or those from --test-start on, and says how many it calls anomalies. In the column --label,
every row inside a known anomaly has a number other than 0, or true; it then also says which of these it detected.")]
pub(crate) struct Args {
    /// Model: NAME, NAME:VERSION, or the path of a model file.
    model: String,
    /// CSV file with the columns the model was trained on.
    data: PathBuf,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models")]
    models: PathBuf,
    /// Column of labels: of classes, for a classifier [default: label]; of rows inside known anomalies, for a detector.
    #[arg(long, value_name = "COL")]
    label: Option<String>,
    /// Column of times, for a classifier [default: t]. Other models know their own.
    #[arg(long, value_name = "COL")]
    time: Option<String>,
    /// Feed rows one by one, or a cold window of W rows at each origin [default: stream].
    #[arg(long, value_name = "stream|window=W", value_parser = parse_mode)]
    mode: Option<Mode>,
    /// The first row whose forecast is scored, or that is judged [default: the first with enough rows before it].
    #[arg(long, value_name = "S")]
    test_start: Option<usize>,
    /// Score no forecast of this row or a later one [default: all rows].
    #[arg(long, value_name = "M")]
    test_end: Option<usize>,
    /// Score the last horizon only, or every row up to it [default: path].
    #[arg(long, value_enum)]
    score: Option<ScoreArg>,
    /// Write a plot of forecasts and what came, or of alarms.
    #[arg(long, value_name = "F.svg")]
    plot: Option<PathBuf>,
    /// Write a report with charts: one HTML file that needs nothing else.
    #[arg(long, value_name = "F.html")]
    report: Option<PathBuf>,
    /// Print one JSON document instead of tables.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn fed(&self) -> Mode {
        self.mode.unwrap_or(Mode::Stream)
    }

    /// The options that not every task takes.
    fn limited(&self) -> [Limited; 8] {
        [
            of_labels("--label", self.label.is_some()),
            of_classifiers("--time", self.time.is_some()),
            of_forecasts("--mode", self.mode.is_some()),
            of_streams("--test-start", self.test_start.is_some()),
            of_forecasts("--test-end", self.test_end.is_some()),
            of_forecasts("--score", self.score.is_some()),
            of_streams("--plot", self.plot.is_some()),
            of_forecasts("--report", self.report.is_some()),
        ]
    }
}

/// Scores as the model's task wants it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    pictures::check_path(args.plot.as_deref())?;
    pictures::check_report_path(args.report.as_deref())?;
    let Found { model, title } = models::find(&args.model, &args.models)?;
    match model {
        AnyModel::Forecaster(model) => {
            task::check(TaskArg::Forecast, &args.limited())?;
            forecaster(args, model, title)
        }
        AnyModel::Classifier(classifier) => {
            task::check(TaskArg::Classify, &args.limited())?;
            let hash = classifier.hash();
            classify::evaluate::run(&classify::evaluate::Request {
                classifier: &classifier,
                title: &title,
                data: &args.data,
                label: args.label.as_ref(),
                time: args.time.as_ref(),
                is_training_file: &|data_sha256| is_training_file(args, &title, hash, data_sha256),
                json: args.json,
            })
        }
        AnyModel::Detector(detector) => {
            task::check(TaskArg::Anomaly, &args.limited())?;
            let hash = detector.hash();
            detect::evaluate::run(&detect::evaluate::Request {
                detector: &detector,
                title: &title,
                data: &args.data,
                label: args.label.as_deref(),
                first: args.test_start.unwrap_or(0),
                is_training_file: &|data_sha256| is_training_file(args, &title, hash, data_sha256),
                plot: args.plot.as_deref(),
                json: args.json,
            })
        }
    }
}

/// What [`seen`] says, as JSON has it.
fn is_training_file(args: &Args, title: &str, hash: ModelHash, data_sha256: &str) -> Option<bool> {
    match seen((&args.model, &args.models), title, hash, data_sha256) {
        Seen::InTraining => Some(true),
        Seen::NotThisFile => Some(false),
        Seen::Unknown => None,
    }
}

/// Scores forecasts, draws, prints.
fn forecaster(args: &Args, model: Model, title: String) -> anyhow::Result<()> {
    let case = score(args, model, title)?;
    case.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    if case.seen == Seen::InTraining {
        remark(
            "note: the model was trained on this very file, so these are errors on rows it has seen; `spinwell backtest` \
             scores rows it has not",
        );
    }
    if !case.model.is_calibrated() {
        remark("note: there were too few rows to calibrate the intervals at this level");
    }
    let diagnosis = Diagnosis::of(&case);
    if let Some(path) = &args.plot {
        let title = format!("{} of {}", case.target(0), case.file);
        let note = format!("model {} ({})", case.title, case.model.family());
        pictures::write(
            &pictures::evaluation(&title, &case.model, &case.table, &case.evaluation, note),
            path,
        )?;
    }
    if let Some(path) = &args.report {
        report::write(&case, &diagnosis, path)?;
    }
    if args.json {
        output::document(&Value::Object(answer::document(&case, &diagnosis)));
        return Ok(());
    }
    say(&answer::text(&case, &diagnosis));
    for (what, path) in [("plot  ", &args.plot), ("report", &args.report)] {
        if let Some(path) = path {
            say(&format!("{what}  {}", path.display()));
        }
    }
    Ok(())
}

/// Reads the data, and scores.
fn score(args: &Args, model: Model, title: String) -> anyhow::Result<Case> {
    let data = read_data(&args.data, &columns(&model))?;
    let plan = plan(args, &model, data.table.rows())?;
    let evaluation = evaluate(&model, &data.table, &plan).map_err(|error| match error {
        backtest::Error::Window(error) => failure::fault(error.code(), error),
        other => failure::fault(Code::OptionInvalid, other),
    })?;
    let seen = seen((&args.model, &args.models), &title, model.hash(), &data.hash);
    Ok(Case {
        model,
        title,
        file: pictures::file_name(&args.data),
        data_sha256: data.hash,
        table: data.table,
        plan,
        evaluation,
        seen,
    })
}

/// The columns that scoring needs: targets first, then inputs, also where the model hears its inputs alone.
pub(crate) fn columns(model: &Model) -> Columns {
    let mut values = model.channels().to_vec();
    if !model.hears_targets() {
        values.splice(0..0, model.targets().iter().cloned());
    }
    Columns { values, time: model.time_column().map(str::to_owned) }
}

fn plan(args: &Args, model: &Model, rows: usize) -> anyhow::Result<Plan> {
    let needed = match args.fed() {
        Mode::Window(window) => window.max(model.window_min()),
        Mode::Stream => model.window_min(),
    }
    .max(1);
    let horizon = model.horizon();
    if rows < needed + horizon {
        let text = format!(
            "{} has {rows} rows; a first forecast needs {needed} and its truth {horizon} more",
            args.data.display()
        );
        return Err(Fault::new(Code::SeriesTooShort, text).into());
    }
    let recommended = match args.fed() {
        Mode::Stream if 2 * model.window_recommended() <= rows => model.window_recommended().max(1),
        _ => needed,
    };
    let test_start = args.test_start.unwrap_or(recommended);
    let test_end = args.test_end.unwrap_or(rows);
    let first_end = test_start.saturating_add(horizon);
    if test_start < needed || first_end > test_end || test_end > rows {
        let text = format!(
            "{needed} rows before the first forecast <= --test-start {test_start}, and --test-start + horizon {first_end} <= \
             --test-end {test_end} <= {rows} rows, does not hold"
        );
        return Err(Fault::new(Code::OptionInvalid, text).into());
    }
    Ok(Plan {
        train_end: test_start,
        test_start,
        test_end,
        score: args.score.map_or(Score::Path, ScoreArg::score),
        mode: args.fed(),
        stride: 1,
        units: Units::Data,
    })
}

/// Whether the card beside the model names this very file. A card of another model is no card.
pub(crate) fn seen(asked: (&str, &Path), title: &str, hash: ModelHash, data_sha256: &str) -> Seen {
    let (reference, models) = asked;
    let path = Path::new(reference);
    let folder = match (path.is_file(), path.is_dir(), title.split_once(':')) {
        (true, ..) => path.parent().map(Path::to_path_buf),
        (_, _, Some((name, version))) => Some(models.join(name).join(version)),
        (_, true, _) => Some(path.to_path_buf()),
        _ => None,
    };
    let card = folder.and_then(|folder| std::fs::read(folder.join("card.json")).ok());
    let card: Value = card.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    match (card["model_hash"] == hash.to_string(), card["data_sha256"].as_str()) {
        (true, Some(hash)) if hash == data_sha256 => Seen::InTraining,
        (true, Some(_)) => Seen::NotThisFile,
        _ => Seen::Unknown,
    }
}
