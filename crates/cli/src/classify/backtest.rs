//! `spinwell backtest --task classify`: train on the train cases, score the labels of the test cases.

use super::{figures, no_cases, read_for, search, show};
use crate::output::{self, figure, say};
use crate::progress::Progress;
use crate::training_args::TrainingArgs;
use serde_json::{Value, json};
use spinwell_engine::classify::Split;

/// Trains, scores, prints.
pub(crate) fn run(training: &TrainingArgs) -> anyhow::Result<()> {
    let options = training.classify_options()?;
    let data = read_for(training)?;
    if !data.has(Split::Test) {
        return Err(no_cases(&training.data, "test"));
    }
    let progress = Progress::new(training.budget);
    let trained = search(&data.cases, &options, &progress)?;
    let train_seconds = progress.elapsed();
    let figures = figures(&trained.classifier, &data, Split::Test)?;
    let seconds = |index: usize| progress.seconds(index);
    let classifier = &trained.classifier;
    if training.json {
        let mut document = show::figures_json(&figures);
        let more = [
            ("task", json!(training.task.as_str())),
            ("family", json!(classifier.family().as_str())),
            ("params", show::params_json(classifier.parameters().iter().cloned())),
            ("labels", json!(classifier.labels())),
            ("channels", json!(classifier.channels())),
            ("n_train", json!(data.count(Split::Train))),
            ("seed", json!(options.seed)),
            ("trials", json!(trained.candidates.len())),
            ("stopped_early", json!(trained.stopped_early)),
            ("train_seconds", json!(train_seconds)),
            ("candidates", show::candidates_json(&trained, &seconds)),
        ];
        document.extend(more.map(|(key, value)| (key.to_owned(), value)));
        output::document(&Value::Object(document));
        return Ok(());
    }
    say(&show::comparison(&trained, &seconds));
    say("");
    say(&format!(
        "{} on {} test cases, learned from {}: accuracy {}, log loss {}",
        classifier.family(),
        figures.n,
        data.count(Split::Train),
        figure(figures.accuracy),
        figure(figures.log_loss)
    ));
    say(&show::per_class(&figures));
    Ok(())
}
