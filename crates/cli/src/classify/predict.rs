//! `spinwell predict` with a classifier: the label of the series in a CSV, from a file here or through a server.
//!
//! The rows of the file, all of them, are the one series that is asked for: a class is of a whole, not of its end.

use crate::client::{Client, ModelRef, RemoteModel};
use crate::failure;
use crate::output::{self, aligned, figure, remark, say};
use crate::training_args::read_data;
use serde_json::{Map, Value, json};
use spinwell_core::{Code, Fault, Series};
use spinwell_engine::Window;
use spinwell_engine::backtest::cut;
use spinwell_engine::classify::{CaseColumns, Classifier, check_one_case};
use spinwell_engine::data::Columns;
use std::path::Path;

/// A label and what is needed to show it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The model as it was asked for.
    title: String,
    family: String,
    model_hash: String,
    /// Rows of the series.
    rows: usize,
    label: String,
    /// Each label with its probability, in the model's order.
    probabilities: Vec<(String, f32)>,
}

/// Classifies with a model that was read from a file.
pub(crate) fn from_file(classifier: &Classifier, title: String, data: &Path) -> anyhow::Result<Answer> {
    let series = read_series(data, classifier.channels())?;
    let [result] = <[_; 1]>::try_from(classifier.classify_windows(&[Window { series: &series, index: 0 }]))
        .map_err(|_| Fault::new(Code::Internal, "one window gave more or less than one label"))?;
    let found = result.map_err(|error| failure::fault(error.code(), error))?;
    let labels = classifier.labels();
    Ok(Answer {
        title,
        family: classifier.family().to_string(),
        model_hash: classifier.hash().to_string(),
        rows: series.rows(),
        label: labels[found.label].clone(),
        probabilities: labels.iter().cloned().zip(found.probabilities).collect(),
    })
}

/// Asks a server.
pub(crate) fn through_server(
    client: &Client,
    reference: &ModelRef<'_>,
    remote: &RemoteModel,
    data: &Path,
) -> anyhow::Result<Answer> {
    let series = read_series(data, &remote.names("channels"))?;
    let answered = client.classify(reference, &series)?;
    let labels = remote.names("labels");
    if labels.len() != answered.probabilities.len() || !labels.contains(&answered.label) {
        let text = "the server's answer does not fit its own description";
        return Err(Fault::new(Code::Unreachable, text).into());
    }
    Ok(Answer {
        title: format!("{}:{}", reference.name, answered.version),
        family: remote.platform.trim_start_matches("spinwell_").to_owned(),
        model_hash: answered.model_hash.unwrap_or_default(),
        rows: series.rows(),
        label: answered.label,
        probabilities: labels.into_iter().zip(answered.probabilities).collect(),
    })
}

/// All rows of a file as one window.
fn read_series(data: &Path, channels: &[String]) -> anyhow::Result<Series> {
    let file = std::fs::read(data).map_err(|error| failure::io(data, "reading", &error))?;
    check_one_case(&file, &CaseColumns::default().case)
        .map_err(|error| failure::fault(error.code(), format!("{}: {error}", data.display())))?;
    let table = read_data(data, &Columns { values: channels.to_vec(), time: None })?.table;
    table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    Ok(cut(&table, &(0..table.width()), 0, table.rows()))
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
    let pairs = answer.probabilities.iter().map(|(label, probability)| (label.clone(), json!(probability)));
    json!({
        "model": answer.title,
        "task": "classify",
        "family": answer.family,
        "model_hash": answer.model_hash,
        "window": answer.rows,
        "label": answer.label,
        "probabilities": Value::Object(pairs.collect::<Map<_, _>>()),
    })
}

/// The label, and all labels from the most probable to the least.
fn text(answer: &Answer) -> String {
    let mut sorted: Vec<&(String, f32)> = answer.probabilities.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut rows = vec![vec!["label".to_owned(), "probability".to_owned()]];
    rows.extend(sorted.into_iter().map(|(label, probability)| {
        let mark = if *label == answer.label { "* " } else { "  " };
        vec![format!("{mark}{label}"), figure(f64::from(*probability))]
    }));
    format!(
        "model {} ({}), from {} rows: {}\n{}",
        answer.title,
        answer.family,
        answer.rows,
        answer.label,
        aligned(&rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            title: "gun:1".to_owned(),
            family: "shape".to_owned(),
            model_hash: "ab".to_owned(),
            rows: 150,
            label: "point".to_owned(),
            probabilities: vec![("gun".to_owned(), 0.25), ("point".to_owned(), 0.75)],
        }
    }

    #[test]
    fn the_most_probable_label_stands_first() {
        let lines: Vec<String> = text(&answer()).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "model gun:1 (shape), from 150 rows: point",
                "  label    probability",
                "  * point       0.7500",
                "    gun         0.2500",
            ]
        );
    }

    #[test]
    fn the_document_holds_every_probability_under_its_label() {
        let document = document(&answer());
        assert_eq!((&document["label"], &document["task"]), (&json!("point"), &json!("classify")));
        assert_eq!(document["probabilities"], json!({"gun": 0.25, "point": 0.75}));
    }
}
