//! `spinwell predict`: the rows that follow a CSV, its class, or whether its last row is an anomaly, from a model file here
//! or through a running server.

mod show;

use crate::classify::predict as class;
use crate::client::{Client, ModelRef, RemoteModel};
use crate::connection::Connection;
use crate::detect::predict as verdict;
use crate::models::{self, Found};
use crate::output::{self, remark, say};
use crate::plot::{Picture, Predicted};
use crate::task::{self, TaskArg};
use crate::training_args::read_data;
use crate::{failure, pictures};
use spinwell_core::{Code, Fault};
use spinwell_engine::backtest::cut;
use spinwell_engine::data::{Columns, Table};
use spinwell_engine::{AnyModel, Forecast, Model, Window};
use std::path::{Path, PathBuf};

/// Options of `spinwell predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The newest rows of the file are the window: as many as the model recommends, or all there are.

Examples:
  spinwell predict demand demand.csv --plot next.svg
  spinwell predict demand:2 demand.csv --url http://127.0.0.1:8000 --json
  spinwell predict ./spinwell-data/models/demand/1/model.spinwell demand.csv
  spinwell predict gestures wave.csv
  spinwell predict pump pump.csv

A classifier takes all rows of the file as one series, in their order: one row a time step, in the columns the model
was trained on. One that learned from a wide file (one row a series) calls its one column value.
A detector judges the last row of the file: its score is -ln p, where p says how likely so unusual a row is.")]
pub(crate) struct Args {
    /// Model: NAME, NAME:VERSION, or the path of a model file.
    model: String,
    /// CSV file with the columns the model was trained on.
    data: PathBuf,
    /// Folder of models.
    #[arg(long, value_name = "DIR", default_value = "./spinwell-data/models", conflicts_with = "url")]
    models: PathBuf,
    /// Ask a running server instead, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// Write a plot of the history and the forecast.
    #[arg(long, value_name = "F.svg")]
    plot: Option<PathBuf>,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// A forecast and what is needed to show it.
struct Answer {
    title: String,
    family: String,
    model_hash: String,
    targets: Vec<String>,
    coverage: f64,
    time_column: Option<String>,
    table: Table,
    window: usize,
    /// Direction and confidence are empty where a server does not have them.
    forecast: Forecast,
}

/// What a model of some task answers.
enum Answered {
    Forecast(Box<Answer>),
    Class(class::Answer),
    Verdict(verdict::Answer),
}

/// Asks the model and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    pictures::check_path(args.plot.as_deref())?;
    let answered = match &args.url {
        Some(url) => ask_server(args, url)?,
        None => ask_file(args)?,
    };
    match answered {
        Answered::Forecast(answer) => show_forecast(args, &answer),
        Answered::Class(answer) => {
            let print = if args.json { class::print_document } else { class::print_text };
            print(&answer);
            Ok(())
        }
        Answered::Verdict(answer) => {
            let print = if args.json { verdict::print_document } else { verdict::print_text };
            print(&answer);
            Ok(())
        }
    }
}

/// Refuses what only a forecast has.
fn check_no_forecast(args: &Args, task: TaskArg) -> anyhow::Result<()> {
    task::check(task, &[task::of_forecasts("--plot", args.plot.is_some())])
}

fn show_forecast(args: &Args, answer: &Answer) -> anyhow::Result<()> {
    answer.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    let times = times_ahead(answer);
    if args.json {
        output::document(&show::document(answer, &times));
    } else {
        say(&show::text(answer, &times));
    }
    if let Some(path) = &args.plot {
        pictures::write(&picture(answer, &args.data), path)?;
        if !args.json {
            say(&format!("plot  {}", path.display()));
        }
    }
    Ok(())
}

/// The forecast of the first target, behind its past.
fn picture(answer: &Answer, data: &Path) -> Picture {
    let title = format!("{} after {}", answer.targets[0], pictures::file_name(data));
    let note = format!("model {} ({})", answer.title, answer.family);
    let past = past(answer, data);
    let mut picture = pictures::forecast(&title, answer.coverage, &past, &steps(answer), note);
    for panel in &mut picture.panels {
        panel.observed.retain(|&(row, _)| !past.is_missing(0, row));
        if panel.observed.is_empty() {
            panel.origin = None;
        }
    }
    picture
}

/// The rows of the window with the first target in front. A model that hears its inputs alone was not given the
/// target: its past is taken from the file where that holds it, and every row is missing where it does not.
fn past(answer: &Answer, data: &Path) -> Table {
    let (table, target) = (&answer.table, &answer.targets[0]);
    if table.names.first() == Some(target) {
        return table.clone();
    }
    let wanted = [std::slice::from_ref(target), &table.names].concat();
    let read = read_data(data, &columns(&wanted, answer.time_column.as_deref())).map(|data| data.table);
    // A row more or less than the inputs have would shift the picture.
    read.ok().filter(|read| read.rows() == table.rows()).unwrap_or_else(|| Table {
        names: vec![target.clone()],
        columns: vec![vec![0.0; table.rows()]],
        times: table.times.clone(),
        missing: vec![vec![true; table.rows()]],
        notes: Vec::new(),
    })
}

fn columns(channels: &[String], time: Option<&str>) -> Columns {
    Columns { values: channels.to_vec(), time: time.map(str::to_owned) }
}

/// As many of the newest rows as are recommended, or all there are.
fn window_of(rows: usize, recommended: usize) -> usize {
    recommended.min(rows)
}

fn ask_file(args: &Args) -> anyhow::Result<Answered> {
    let Found { model, title } = models::find(&args.model, &args.models)?;
    match model {
        AnyModel::Forecaster(model) => forecast_here(args, &model, title),
        AnyModel::Classifier(classifier) => {
            check_no_forecast(args, TaskArg::Classify)?;
            class::from_file(&classifier, title, &args.data).map(Answered::Class)
        }
        AnyModel::Detector(detector) => {
            check_no_forecast(args, TaskArg::Anomaly)?;
            verdict::from_file(&detector, title, &args.data).map(Answered::Verdict)
        }
    }
}

fn forecast_here(args: &Args, model: &Model, title: String) -> anyhow::Result<Answered> {
    let table = read_data(&args.data, &columns(model.channels(), model.time_column()))?.table;
    let window = window_of(table.rows(), model.window_recommended());
    let series = cut(&table, &(0..table.width()), table.rows() - window, window);
    let [result] = <[_; 1]>::try_from(model.forecast_windows(&[Window { series: &series, index: 0 }]))
        .map_err(|_| Fault::new(Code::Internal, "one window gave more or less than one forecast"))?;
    Ok(Answered::Forecast(Box::new(Answer {
        title,
        family: model.family().to_string(),
        model_hash: model.hash().to_string(),
        targets: model.targets().to_vec(),
        coverage: model.coverage(),
        time_column: model.time_column().map(str::to_owned),
        table,
        window,
        forecast: result.map_err(|error| failure::fault(error.code(), error))?,
    })))
}

fn ask_server(args: &Args, url: &str) -> anyhow::Result<Answered> {
    let (name, version) = models::named(&args.model)?;
    let reference = ModelRef { name: name.as_str(), version: version.map(|version| version.0) };
    let client = Client::new(url, &args.connection)?;
    let remote = client.metadata(&reference).map_err(failure::of_server)?;
    match remote.properties.get("task").map(String::as_str) {
        None | Some("forecast") => forecast_there(args, &client, &reference, &remote),
        Some("classify") => {
            check_no_forecast(args, TaskArg::Classify)?;
            class::through_server(&client, &reference, &remote, &args.data).map(Answered::Class)
        }
        Some("anomaly") => {
            check_no_forecast(args, TaskArg::Anomaly)?;
            verdict::through_server(&client, &reference, &remote, &args.data).map(Answered::Verdict)
        }
        Some(task) => {
            let text = format!(
                "model {name} is of the task {task}; `spinwell predict` shows forecasts, labels and anomalies"
            );
            Err(Fault::new(Code::TaskMismatch, text).into())
        }
    }
}

fn forecast_there(
    args: &Args,
    client: &Client,
    reference: &ModelRef<'_>,
    remote: &RemoteModel,
) -> anyhow::Result<Answered> {
    let time = remote.properties.get("time_column").filter(|name| !name.is_empty());
    let table = read_data(&args.data, &columns(&remote.names("channels"), time.map(String::as_str)))?.table;
    let window = window_of(table.rows(), remote.number("window_recommended")?);
    let series = cut(&table, &(0..table.width()), table.rows() - window, window);
    let answered = client.forecast(reference, &remote.outputs, &series)?;
    let coverage = remote.properties.get("coverage").and_then(|text| text.parse().ok()).unwrap_or(0.95);
    let targets = remote.names("targets");
    if targets.is_empty() || answered.shape != [1, answered.shape[1], targets.len()] {
        let text = "the server's answer does not fit its own description";
        return Err(Fault::new(Code::Unreachable, text).into());
    }
    Ok(Answered::Forecast(Box::new(Answer {
        title: format!("{}:{}", reference.name, answered.version),
        family: remote.platform.trim_start_matches("spinwell_").to_owned(),
        model_hash: answered.model_hash.unwrap_or_default(),
        targets,
        coverage,
        time_column: time.cloned(),
        table,
        window,
        forecast: answered.forecast,
    })))
}

fn steps_ahead(answer: &Answer) -> usize {
    answer.forecast.forecast.len() / answer.targets.len()
}

/// The time of each forecast row, where the file has times.
fn times_ahead(answer: &Answer) -> Vec<Option<String>> {
    let last = answer.table.times.as_ref().and_then(|times| times.last().copied());
    let spacing = answer.table.spacing();
    let time = |step: usize| last?.after(spacing?, step).map(|moment| moment.to_string());
    (1..=steps_ahead(answer)).map(time).collect()
}

fn steps(answer: &Answer) -> Vec<Predicted> {
    let (rows, count) = (answer.table.rows(), answer.targets.len());
    let at = |values: &[f32], step: usize| f64::from(values[step * count]);
    let forecast = &answer.forecast;
    (0..steps_ahead(answer))
        .map(|step| Predicted {
            row: rows + step,
            forecast: at(&forecast.forecast, step),
            lower: at(&forecast.lower, step),
            upper: at(&forecast.upper, step),
        })
        .collect()
}
