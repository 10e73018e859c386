//! `spinwell evaluate` with a classifier: how many labels of a file it gets right.

use super::{columns, figures, read, show};
use crate::output::{self, figure, remark, say};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_engine::classify::{Classifier, Split};
use std::path::Path;

/// What to score on what.
pub(crate) struct Request<'r> {
    /// The model.
    pub(crate) classifier: &'r Classifier,
    /// How to call it in messages.
    pub(crate) title: &'r str,
    /// The file of labelled series.
    pub(crate) data: &'r Path,
    /// Its column of labels, where it has another name than usual.
    pub(crate) label: Option<&'r String>,
    /// Its column of times, likewise.
    pub(crate) time: Option<&'r String>,
    /// Whether the card beside the model names a file of this hash as the one it learned from.
    pub(crate) is_training_file: &'r dyn Fn(&str) -> Option<bool>,
    /// Whether to print JSON.
    pub(crate) json: bool,
}

/// Scores the test cases of a file, or all where none is marked, and prints.
pub(crate) fn run(request: &Request<'_>) -> anyhow::Result<()> {
    let Request { classifier, title, .. } = *request;
    let data = read(request.data, &columns(request.label, request.time))?;
    let (wanted, found) = (classifier.channels(), &data.cases.channels[..]);
    if wanted != found {
        let text = format!(
            "{}: model {title} takes the channels {}, in this order; the file has {}",
            request.data.display(),
            wanted.join(", "),
            found.join(", ")
        );
        return Err(Fault::new(Code::CsvColumn, text).into());
    }
    let split = if data.has(Split::Test) { Split::Test } else { Split::Train };
    let is_training_file = (request.is_training_file)(&data.hash);
    if split == Split::Train && is_training_file == Some(true) {
        remark(
            "note: the model was trained on this very file, so these are cases it has seen; `spinwell backtest` scores \
             cases it has not",
        );
    }
    let figures = figures(classifier, &data, split)?;
    if request.json {
        let mut document = show::figures_json(&figures);
        let more = [
            ("model", json!(title)),
            ("model_hash", json!(classifier.hash().to_string())),
            ("task", json!("classify")),
            ("family", json!(classifier.family().as_str())),
            ("labels", json!(classifier.labels())),
            ("split", if split == Split::Test { json!("test") } else { Value::Null }),
            ("data_sha256", json!(data.hash)),
            ("data_seen_in_training", json!(is_training_file)),
        ];
        document.extend(more.map(|(key, value)| (key.to_owned(), value)));
        output::document(&Value::Object(document));
        return Ok(());
    }
    say(&format!(
        "{title} ({}) on {} {}cases: accuracy {}, log loss {}",
        classifier.family(),
        figures.n,
        if split == Split::Test { "test " } else { "" },
        figure(figures.accuracy),
        figure(figures.log_loss)
    ));
    say(&show::per_class(&figures));
    Ok(())
}
