//! `spinwell predict` with a detector: whether the last row of a CSV is an anomaly, from a file here or through a
//! running server.

use crate::client::{Client, ModelRef, RemoteModel};
use crate::failure;
use crate::output::{self, figure, remark, say};
use crate::training_args::read_data;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Series};
use spinwell_engine::Window;
use spinwell_engine::backtest::cut;
use spinwell_engine::data::Columns;
use spinwell_engine::detect::Detector;
use std::path::Path;

/// A verdict and what is needed to show it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The model as it was asked for.
    title: String,
    family: String,
    model_hash: String,
    last: Last,
    /// −ln p, in the precision of the wire, so that a file and a server say the same.
    score: f32,
    is_anomaly: bool,
    alpha: f64,
}

/// The row that is judged.
#[derive(Debug, Clone, PartialEq)]
struct Last {
    /// Its place in the file, from 0.
    row: usize,
    time: Option<String>,
    /// Rows of the window that ends with it.
    window: usize,
}

impl Answer {
    /// How likely a row is that is as unusual as this one.
    fn p_value(&self) -> f64 {
        (-f64::from(self.score)).exp()
    }
}

/// Which file to read, and what of it.
struct Wanted<'w> {
    data: &'w Path,
    channels: &'w [String],
    /// How many of the channels are watched; they stand in front.
    targets: usize,
    time: Option<&'w str>,
    window_recommended: usize,
}

/// Judges with a model that was read from a file.
pub(crate) fn from_file(detector: &Detector, title: String, data: &Path) -> anyhow::Result<Answer> {
    let model = detector.forecaster();
    let (series, last) = read_window(&Wanted {
        data,
        channels: model.channels(),
        targets: detector.targets().len(),
        time: model.time_column(),
        window_recommended: detector.window_recommended(),
    })?;
    let [result] = <[_; 1]>::try_from(detector.judge_windows(&[Window { series: &series, index: 0 }]))
        .map_err(|_| Fault::new(Code::Internal, "one window gave more or less than one verdict"))?;
    let verdict = result.map_err(|error| failure::fault(error.code(), error))?;
    Ok(Answer {
        title,
        family: model.family().to_string(),
        model_hash: detector.hash().to_string(),
        last,
        score: verdict.score as f32,
        is_anomaly: verdict.is_anomaly,
        alpha: detector.alpha(),
    })
}

/// Asks a server.
pub(crate) fn through_server(
    client: &Client,
    reference: &ModelRef<'_>,
    remote: &RemoteModel,
    data: &Path,
) -> anyhow::Result<Answer> {
    let property = |name: &str| remote.properties.get(name).map(String::as_str);
    let Some(alpha) = property("alpha").and_then(|text| text.parse().ok()) else {
        let text = format!("the server does not tell the alpha of model {}", remote.name);
        return Err(Fault::new(Code::Unreachable, text).into());
    };
    let (series, last) = read_window(&Wanted {
        data,
        channels: &remote.names("channels"),
        targets: remote.names("targets").len(),
        time: property("time_column").filter(|name| !name.is_empty()),
        window_recommended: remote.number("window_recommended")?,
    })?;
    let answered = client.judge(reference, &series)?;
    Ok(Answer {
        title: format!("{}:{}", reference.name, answered.version),
        family: remote.platform.trim_start_matches("spinwell_").to_owned(),
        model_hash: answered.model_hash.unwrap_or_default(),
        last,
        score: answered.score,
        is_anomaly: answered.is_anomaly,
        alpha,
    })
}

/// The newest rows of a file as one window.
fn read_window(wanted: &Wanted<'_>) -> anyhow::Result<(Series, Last)> {
    let columns = Columns { values: wanted.channels.to_vec(), time: wanted.time.map(str::to_owned) };
    let table = read_data(wanted.data, &columns)?.table;
    table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    let (rows, window) = (table.rows(), wanted.window_recommended.min(table.rows()));
    // What stands there instead is the value before it, which says nothing about this row.
    if let Some(target) = (0..wanted.targets).find(|&target| table.is_missing(target, rows - 1)) {
        let text = format!(
            "{}: row {rows}, column {:?} has no value: there is nothing to judge",
            wanted.data.display(),
            table.names[target]
        );
        return Err(Fault::new(Code::CsvMissing, text).into());
    }
    let time = table.times.as_ref().map(|times| times[rows - 1].to_string());
    let last = Last { row: rows - 1, time, window };
    Ok((cut(&table, &(0..table.width()), rows - window, window), last))
}

/// Prints for scripts.
pub(crate) fn print_document(answer: &Answer) {
    output::document(&document(answer));
}

/// Prints for people.
pub(crate) fn print_text(answer: &Answer) {
    say(&text(answer));
}

fn document(answer: &Answer) -> Value {
    json!({
        "model": answer.title,
        "task": "anomaly",
        "family": answer.family,
        "model_hash": answer.model_hash,
        "window": answer.last.window,
        "row": answer.last.row,
        "time": answer.last.time,
        "score": answer.score,
        "p_value": answer.p_value(),
        "anomaly": answer.is_anomaly,
        "alpha": answer.alpha,
    })
}

fn text(answer: &Answer) -> String {
    let Last { row, time, window } = &answer.last;
    let place = time.as_ref().map_or_else(|| format!("row {row}"), |time| format!("row {row} ({time})"));
    format!(
        "model {} ({}), from the newest {window} rows: {place} is {}\n  score {}, p {}; an anomaly has p {} or less",
        answer.title,
        answer.family,
        if answer.is_anomaly { "an anomaly" } else { "usual" },
        figure(f64::from(answer.score)),
        figure(answer.p_value()),
        answer.alpha
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_shown_with_its_row_and_p_value() {
        let last = Last { row: 99, time: Some("2020-01-01 00:00:00".to_owned()), window: 60 };
        let mut answer = Answer {
            title: "pump:1".to_owned(),
            family: "linear".to_owned(),
            model_hash: "ab".to_owned(),
            last,
            score: 8.0,
            is_anomaly: true,
            alpha: 5e-4,
        };
        assert_eq!(
            text(&answer),
            "model pump:1 (linear), from the newest 60 rows: row 99 (2020-01-01 00:00:00) is an anomaly\n  score 8.000, p \
             3.35e-4; an anomaly has p 0.0005 or less"
        );
        assert_eq!(document(&answer)["anomaly"], true);
        answer.last.time = None;
        answer.is_anomaly = false;
        assert!(text(&answer).contains(": row 99 is usual\n"));
        assert_eq!(document(&answer)["time"], Value::Null);
    }
}
