//! `spinwell train --task classify`: from labelled series to a classifier in the model folder, with its card.

use super::{Data, figures, read_for, search, show};
use crate::models::{self, Saved};
use crate::output::{self, figure, remark, say};
use crate::progress::Progress;
use crate::train::{Args, model_name, unix_seconds};
use crate::training_args::TrainingArgs;
use serde_json::{Map, Value, json};
use spinwell_core::ModelName;
use spinwell_engine::AnyModel;
use spinwell_engine::classify::{Classifier, ClassifyFigures, Split, TrainedClassifier};
use std::path::Path;

/// Trains on the train cases, scores the test cases where there are any, and saves.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let training = &args.training;
    let name = model_name(args)?;
    let options = training.classify_options()?;
    let data = read_for(training)?;
    if !training.json {
        introduce(training, &data);
    }
    let progress = Progress::new(training.budget);
    let trained = search(&data.cases, &options, &progress)?;
    let test = match data.has(Split::Test) {
        true => Some(figures(&trained.classifier, &data, Split::Test)?),
        false => None,
    };
    let seconds = |index: usize| progress.seconds(index);
    let train_seconds = progress.elapsed();
    let card = |version: u32, path: &Path| {
        let mut card = summary(&trained, test.as_ref(), &seconds);
        card.extend(more(&trained.classifier, test.as_ref(), &data));
        let own = [
            ("name", json!(name.as_str())),
            ("version", json!(version)),
            ("path", json!(path.display().to_string())),
            ("seed", json!(options.seed)),
            ("train_seconds", json!(train_seconds)),
            ("created_unix_seconds", json!(unix_seconds())),
        ];
        card.extend(own.map(|(key, value)| (key.to_owned(), value)));
        Value::Object(card)
    };
    let saved = models::save(&args.models, &name, &trained.classifier.to_bytes(), |version, path| {
        serde_json::to_string_pretty(&card(version.0, path)).expect("a JSON value is serialisable")
    })?;
    if training.json {
        output::document(&card(saved.version.0, &saved.path));
    } else {
        say(&show::comparison(&trained, &seconds));
        conclude(&name, &saved, &trained, test.as_ref());
    }
    Ok(())
}

fn introduce(training: &TrainingArgs, data: &Data) {
    let cases = &data.cases;
    let counts = [Split::Train, Split::Test].map(|split| data.count(split));
    let channels = match cases.channels.len() {
        1 => "1 channel".to_owned(),
        several => format!("{several} channels"),
    };
    remark(&format!(
        "{}: {} train and {} test cases of {channels}, {} classes",
        training.data.display(),
        counts[0],
        counts[1],
        cases.labels.len()
    ));
}

fn summary(
    trained: &TrainedClassifier,
    test: Option<&ClassifyFigures>,
    seconds: &dyn Fn(usize) -> f64,
) -> Map<String, Value> {
    let model = AnyModel::Classifier(trained.classifier.clone());
    let chosen = &trained.candidates[trained.chosen];
    let pairs = [
        ("model_hash", json!(model.hash().to_string())),
        ("task", json!(model.task())),
        ("family", json!(model.family())),
        ("window_min", json!(model.window_min())),
        ("window_recommended", json!(model.window_recommended())),
        ("cost", output::cost_json(model.cost())),
        ("profile", json!(model.profile().as_str())),
        ("labels", json!(trained.classifier.labels())),
        ("accuracy", json!(test.map(|figures| figures.accuracy))),
        ("accuracy_validation", json!(chosen.accuracy_validation)),
        ("log_loss_validation", json!(chosen.log_loss_validation)),
        ("trials", json!(trained.candidates.len())),
        ("candidates", show::candidates_json(trained, seconds)),
        ("stopped_early", json!(trained.stopped_early)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What the card says of the classifier and its data.
fn more(classifier: &Classifier, test: Option<&ClassifyFigures>, data: &Data) -> Map<String, Value> {
    let pairs = [
        ("channels", json!(classifier.channels())),
        ("features", json!(classifier.features())),
        ("params", show::params_json(classifier.parameters().iter().cloned())),
        ("data_sha256", json!(data.hash)),
        ("label_column", json!(data.cases.label_column)),
        ("cases_train", json!(data.count(Split::Train))),
        ("cases_test", json!(data.count(Split::Test))),
        ("test", json!(test.map(show::figures_json))),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn conclude(name: &ModelName, saved: &Saved, trained: &TrainedClassifier, test: Option<&ClassifyFigures>) {
    let classifier = &trained.classifier;
    let chosen = &trained.candidates[trained.chosen];
    let pairs = classifier.parameters().iter().map(|(key, value)| format!("{key}={value}"));
    say("");
    say(&format!(
        "{} is kept: accuracy {} on train cases that were left out in turn",
        classifier.family(),
        figure(chosen.accuracy_validation)
    ));
    say(&format!("  {}", pairs.collect::<Vec<_>>().join(" ")));
    match test {
        Some(figures) => {
            say(&format!("accuracy {} on {} test cases:", figure(figures.accuracy), figures.n));
            say(&show::per_class(figures));
        }
        None => say("no case is marked test, so only the train cases have been scored"),
    }
    say(&output::cost_line(classifier.cost()));
    say(&format!("saved {name}:{} as {}", saved.version, saved.path.display()));
}
