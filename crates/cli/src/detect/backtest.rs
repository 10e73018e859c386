//! `spinwell backtest --task anomaly`: learn from the first rows what is usual, and judge all rows after them.

use super::{Judged, alpha, check_judged, search, show};
use crate::output::{self, remark, say};
use crate::pictures;
use crate::progress::Progress;
use crate::training_args::{TrainingArgs, read_marked_data};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_engine::detect::TrainedDetector;
use spinwell_engine::train::Score;
use std::collections::BTreeMap;

/// The share of a file that is for learning alone, in percent: what benchmarks of detectors grant.
const TRAINING_PERCENT: usize = 15;

/// Trains, judges, prints.
pub(crate) fn run(training: &TrainingArgs, train_end: Option<usize>) -> anyhow::Result<()> {
    pictures::check_path(training.plot.as_deref())?;
    let options = training.options(Score::Path)?;
    let Some(label) = &training.label else {
        let text =
            "a backtest of a detector needs --label COL, the column that marks rows inside known anomalies";
        return Err(Fault::new(Code::OptionInvalid, text).into());
    };
    let (data, labels) = read_marked_data(&training.data, &training.columns()?, label)?;
    data.table.notes.iter().for_each(|note| remark(&format!("note: {note}")));
    let rows = data.table.rows();
    let first = train_end.unwrap_or(rows * TRAINING_PERCENT / 100);
    if first == 0 || first >= rows {
        let text = format!("0 < --train-end {first} < {rows} rows does not hold");
        return Err(Fault::new(Code::OptionInvalid, text).into());
    }
    let progress = Progress::new(training.budget);
    let trained = search(&data.table, first, training, &options, &progress)?;
    let train_seconds = progress.elapsed();
    let detector = &trained.detector;
    let judged = Judged::by(detector, &data.table, Some(labels), first);
    check_judged(&judged, detector, &training.data.display().to_string())?;
    if let Some(path) = &training.plot {
        show::draw(&judged, detector, &training.data, path)?;
    }
    let seconds = |index: usize| progress.seconds(index);
    if training.json {
        let mut document = show::figures_json(&judged, detector);
        document.extend(more(training, &trained, train_seconds, &seconds));
        output::document(&Value::Object(document));
        return Ok(());
    }
    say(&output::comparison(&trained.search, &seconds));
    say("");
    say(&format!(
        "{}, trained on rows 0 to {} of {}",
        detector.forecaster().family(),
        first - 1,
        pictures::file_name(&training.data)
    ));
    say(&format!("  {}", show::called(judged.count(), alpha(training))));
    show::worth(&judged).iter().for_each(|line| say(&format!("  {line}")));
    say("");
    say(&show::alarms(&judged, detector));
    if let Some(path) = &training.plot {
        say(&format!("plot  {}", path.display()));
    }
    Ok(())
}

/// What the document says of the training.
fn more(
    training: &TrainingArgs,
    trained: &TrainedDetector,
    train_seconds: f64,
    seconds: &dyn Fn(usize) -> f64,
) -> impl Iterator<Item = (String, Value)> {
    let model = trained.detector.forecaster();
    let pairs = [
        ("task", json!(training.task.as_str())),
        ("family", json!(model.family().as_str())),
        ("season", json!(model.season())),
        ("params", json!(model.spec().parameters().into_iter().collect::<BTreeMap<_, _>>())),
        ("seed", json!(training.seed)),
        ("stopped_early", json!(trained.search.stopped_early)),
        ("train_seconds", json!(train_seconds)),
        ("candidates", output::candidates_json(&trained.search, seconds)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value))
}
