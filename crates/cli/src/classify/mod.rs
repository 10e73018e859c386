//! Classifiers on the command line: the parts that `train`, `backtest`, `evaluate` and `predict` share.
//!
//! The commands are the forecasts' own; each hands over here once it knows the task, from `--task` or from the model.

pub(crate) mod backtest;
pub(crate) mod evaluate;
pub(crate) mod predict;
mod show;
pub(crate) mod train;

use crate::failure;
use crate::output::remark;
use crate::progress::Progress;
use crate::training_args::TrainingArgs;
use spinwell_core::{Code, Fault};
use spinwell_engine::classify::{CaseColumns, Cases, Classifier, ClassifyFigures, ClassifyObserver, Split};
use spinwell_engine::classify::{ClassifyOptions, TrainedClassifier, read_cases, score, train_classifier};
use spinwell_engine::train::Observer as _;
use std::path::Path;

/// Labelled series that were read, with their file's hash.
#[derive(Debug)]
struct Data {
    cases: Cases,
    hash: String,
}

impl Data {
    fn count(&self, split: Split) -> usize {
        self.cases.of(split).count()
    }

    fn has(&self, split: Split) -> bool {
        self.cases.of(split).next().is_some()
    }
}

/// The columns of a file of labelled series; what is not named has its usual name.
fn columns(label: Option<&String>, time: Option<&String>) -> CaseColumns {
    let usual = CaseColumns::default();
    CaseColumns {
        label: label.cloned().unwrap_or(usual.label),
        time: time.cloned().unwrap_or(usual.time),
        ..usual
    }
}

/// Reads labelled series, with the file's path in every fault.
fn read(path: &Path, columns: &CaseColumns) -> anyhow::Result<Data> {
    let bytes = std::fs::read(path).map_err(|error| failure::io(path, "reading", &error))?;
    let cases = read_cases(&bytes[..], columns)
        .map_err(|error| failure::fault(error.code(), format!("{}: {error}", path.display())))?;
    Ok(Data { cases, hash: spinwell_engine::artefact::digest(&bytes) })
}

/// Reads what `train` and `backtest` are given.
fn read_for(training: &TrainingArgs) -> anyhow::Result<Data> {
    read(&training.data, &columns(training.label.as_ref(), training.time.as_ref()))
}

/// Trains on the train cases.
fn search(
    cases: &Cases,
    options: &ClassifyOptions,
    progress: &Progress,
) -> anyhow::Result<TrainedClassifier> {
    let observer = ClassifyObserver {
        progress: &|event| progress.classify_event(event),
        stop: &|| progress.stop_requested(),
    };
    let found = train_classifier(cases, options, observer);
    progress.finish();
    let trained = found.map_err(|error| failure::fault(error.code(), error))?;
    if trained.stopped_early {
        remark("the search was cut short; the best of the candidates that finished is kept");
    }
    Ok(trained)
}

/// Scores a classifier on the cases of a split.
fn figures(classifier: &Classifier, data: &Data, split: Split) -> anyhow::Result<ClassifyFigures> {
    score(classifier, &data.cases, split).map_err(|error| failure::fault(error.code(), error))
}

/// A split without a case.
fn no_cases(path: &Path, split: &str) -> anyhow::Error {
    let text = format!(
        "{}: no case is for scoring: a column named split must say {split:?} in the rows of some cases",
        path.display()
    );
    Fault::new(Code::SeriesTooShort, text).into()
}
