//! `spinwell predict`: the rows that follow a CSV, from a model file here or through a running server.

use crate::client::{Client, ModelRef};
use crate::models;
use crate::output::{self, aligned, figure, remark, say};
use crate::plot::Predicted;
use crate::training_args::read_data;
use crate::{failure, pictures};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_engine::backtest::cut;
use spinwell_engine::data::{Columns, Table};
use spinwell_engine::{Forecast, Window};
use std::path::PathBuf;

/// Options of `spinwell predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The newest rows of the file are the window: as many as the model recommends, or all there are.

Examples:
  spinwell predict demand demand.csv --plot next.svg
  spinwell predict demand:2 demand.csv --url http://127.0.0.1:8000 --json
  spinwell predict ./spinwell-data/models/demand/1/model.spinwell demand.csv")]
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
    table: Table,
    window: usize,
    forecast: Forecast,
}

/// Forecasts and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    pictures::check_path(args.plot.as_deref())?;
    let answer = match &args.url {
        Some(url) => ask_server(args, url)?,
        None => ask_file(args)?,
    };
    answer.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    let times = times_ahead(&answer);
    if args.json {
        output::document(&document(&answer, &times));
    } else {
        say(&text(&answer, &times));
    }
    if let Some(path) = &args.plot {
        let title = format!("{} after {}", answer.targets[0], pictures::file_name(&args.data));
        let note = format!("model {} ({})", answer.title, answer.family);
        let picture = pictures::forecast(&title, answer.coverage, &answer.table, &steps(&answer), note);
        pictures::write(&picture, path)?;
        if !args.json {
            say(&format!("plot  {}", path.display()));
        }
    }
    Ok(())
}

fn columns(channels: &[String], time: Option<&str>) -> Columns {
    Columns { values: channels.to_vec(), time: time.map(str::to_owned) }
}

/// As many of the newest rows as are recommended, or all there are.
fn window_of(rows: usize, recommended: usize) -> usize {
    recommended.min(rows)
}

fn ask_file(args: &Args) -> anyhow::Result<Answer> {
    let found = models::find(&args.model, &args.models)?;
    let model = found.model;
    let table = read_data(&args.data, &columns(model.channels(), model.time_column()))?.table;
    let window = window_of(table.rows(), model.window_recommended());
    let series = cut(&table, table.rows() - window, window);
    let [result] = <[_; 1]>::try_from(model.forecast_windows(&[Window { series: &series, index: 0 }]))
        .map_err(|_| Fault::new(Code::Internal, "one window gave more or less than one forecast"))?;
    Ok(Answer {
        title: found.title,
        family: model.family().to_string(),
        model_hash: model.hash().to_string(),
        targets: model.targets().to_vec(),
        coverage: model.coverage(),
        table,
        window,
        forecast: result.map_err(|error| failure::fault(error.code(), error))?,
    })
}

fn ask_server(args: &Args, url: &str) -> anyhow::Result<Answer> {
    let (name, version) = models::named(&args.model)?;
    let reference = ModelRef { name: name.as_str(), version: version.map(|version| version.0) };
    let client = Client::new(url)?;
    let remote = client.metadata(&reference)?;
    let time = remote.properties.get("time_column").map(String::as_str).filter(|name| !name.is_empty());
    let table = read_data(&args.data, &columns(&remote.names("channels"), time))?.table;
    let window = window_of(table.rows(), remote.number("window_recommended")?);
    let series = cut(&table, table.rows() - window, window);
    let answered = client.infer(&reference, &series)?;
    let coverage = remote.properties.get("coverage").and_then(|text| text.parse().ok()).unwrap_or(0.95);
    let outputs = answered.forecast.len();
    if answered.shape[2] != remote.names("targets").len() || answered.shape[1] * answered.shape[2] != outputs
    {
        return Err(
            Fault::new(Code::Unreachable, "the server's answer does not fit its own description").into()
        );
    }
    Ok(Answer {
        title: format!("{name}:{}", answered.version),
        family: remote.platform.trim_start_matches("spinwell_").to_owned(),
        model_hash: answered.model_hash.unwrap_or_default(),
        targets: remote.names("targets"),
        coverage,
        table,
        window,
        forecast: Forecast { forecast: answered.forecast, lower: answered.lower, upper: answered.upper },
    })
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

fn document(answer: &Answer, times: &[Option<String>]) -> Value {
    let count = answer.targets.len();
    let row = |(step, time): (usize, &Option<String>)| {
        let target = |(k, name): (usize, &String)| {
            let (at, forecast) = (step * count + k, &answer.forecast);
            let values = json!({
                "forecast": forecast.forecast[at], "lower": forecast.lower[at], "upper": forecast.upper[at],
            });
            (name.clone(), values)
        };
        let targets: serde_json::Map<String, Value> = answer.targets.iter().enumerate().map(target).collect();
        json!({"step": step + 1, "time": time, "targets": targets})
    };
    json!({
        "model": answer.title,
        "family": answer.family,
        "model_hash": answer.model_hash,
        "window": answer.window,
        "coverage": answer.coverage,
        "forecast": times.iter().enumerate().map(row).collect::<Vec<_>>(),
    })
}

fn text(answer: &Answer, times: &[Option<String>]) -> String {
    let count = answer.targets.len();
    let mut heads = vec!["time".to_owned()];
    for target in &answer.targets {
        heads.extend([target.clone(), "lower".to_owned(), "upper".to_owned()]);
    }
    let mut rows = vec![heads];
    for (step, time) in times.iter().enumerate() {
        let mut row = vec![time.clone().unwrap_or_else(|| format!("+{}", step + 1))];
        for target in 0..count {
            let (at, forecast) = (step * count + target, &answer.forecast);
            let values = [forecast.forecast[at], forecast.lower[at], forecast.upper[at]];
            row.extend(values.map(|value| figure(f64::from(value))));
        }
        rows.push(row);
    }
    format!(
        "model {} ({}), from the newest {} rows, {} % interval\n{}",
        answer.title,
        answer.family,
        answer.window,
        output::without_zeros(answer.coverage * 100.0),
        aligned(&rows)
    )
}
