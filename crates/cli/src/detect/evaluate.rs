//! `spinwell evaluate` with a detector: how many rows of a file it calls anomalies, and against labels, which.

use super::{Judged, check_judged, show};
use crate::output::{self, remark, say};
use crate::pictures;
use crate::training_args::{read_data, read_marked_data};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_engine::data::Columns;
use spinwell_engine::detect::Detector;
use std::path::Path;

/// What to judge by what.
pub(crate) struct Request<'r> {
    /// The model.
    pub(crate) detector: &'r Detector,
    /// How to call it in messages.
    pub(crate) title: &'r str,
    /// The file of the series.
    pub(crate) data: &'r Path,
    /// Its column that marks rows inside known anomalies.
    pub(crate) label: Option<&'r str>,
    /// The first row that counts.
    pub(crate) first: usize,
    /// Whether the card beside the model names a file of this hash as the one it learned from.
    pub(crate) is_training_file: &'r dyn Fn(&str) -> Option<bool>,
    /// Where to draw.
    pub(crate) plot: Option<&'r Path>,
    /// Whether to print JSON.
    pub(crate) json: bool,
}

/// Judges the rows of a file and prints.
pub(crate) fn run(request: &Request<'_>) -> anyhow::Result<()> {
    let Request { detector, title, data: path, first, .. } = *request;
    let model = detector.forecaster();
    let columns = Columns { values: model.channels().to_vec(), time: model.time_column().map(str::to_owned) };
    let (data, labels) = match request.label {
        Some(label) => read_marked_data(path, &columns, label).map(|(data, labels)| (data, Some(labels)))?,
        None => (read_data(path, &columns)?, None),
    };
    data.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    if first >= data.table.rows() {
        let text = format!("--test-start {first} < {} rows does not hold", data.table.rows());
        return Err(Fault::new(Code::OptionInvalid, text).into());
    }
    let judged = Judged::by(detector, &data.table, labels, first);
    check_judged(&judged, detector, &path.display().to_string())?;
    let is_training_file = (request.is_training_file)(&data.hash);
    if is_training_file == Some(true) {
        remark("note: the model was trained on this very file, so it takes for usual what it has seen there");
    }
    if let Some(to) = request.plot {
        show::draw(&judged, detector, path, to)?;
    }
    if request.json {
        let mut document = show::figures_json(&judged, detector);
        let more = [
            ("model", json!(title)),
            ("model_hash", json!(detector.hash().to_string())),
            ("task", json!("anomaly")),
            ("family", json!(model.family().as_str())),
            ("data_sha256", json!(data.hash)),
            ("data_seen_in_training", json!(is_training_file)),
        ];
        document.extend(more.map(|(key, value)| (key.to_owned(), value)));
        output::document(&Value::Object(document));
        return Ok(());
    }
    say(&format!("{title} ({}) on {}, row by row", model.family(), pictures::file_name(path)));
    say(&format!("  {}", show::called(judged.count(), detector.alpha())));
    show::worth(&judged).iter().for_each(|line| say(&format!("  {line}")));
    say("");
    say(&show::alarms(&judged, detector));
    if let Some(to) = request.plot {
        say(&format!("plot  {}", to.display()));
    }
    Ok(())
}
