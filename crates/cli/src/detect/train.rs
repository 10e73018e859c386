//! `spinwell train --task anomaly`: from a series to a detector in the model folder, with its card.

use super::{Count, search, show};
use crate::models::{self, Saved};
use crate::output::{self, remark, say};
use crate::progress::Progress;
use crate::train::{Args, announce_costs, introduce, model_name, rows_before, unix_seconds};
use crate::training_args::{Data, read_data};
use serde_json::{Map, Value, json};
use spinwell_core::ModelName;
use spinwell_engine::AnyModel;
use spinwell_engine::detect::{TrainedDetector, scored_rows};
use spinwell_engine::train::{Folds, Score};
use std::collections::BTreeMap;
use std::path::Path;

/// What a trained detector says of its own file.
struct Measured {
    /// The rows it learned from.
    rows: usize,
    /// Of these.
    training: Count,
    /// Of the rows kept back, where there are any.
    holdout: Option<Count>,
}

/// Trains on all rows but those kept back, judges both, and saves.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let training = &args.training;
    let name = model_name(args)?;
    let options = training.options(Score::Path)?;
    let data = read_data(&training.data, &training.columns()?)?;
    if training.label.is_some() {
        remark(
            "note: a detector learns without labels: --label has no effect here; `spinwell backtest` counts with it",
        );
    }
    if !training.json {
        introduce(training, &data);
    }
    let rows = rows_before(data.table.rows(), args.holdout.unwrap_or(0.0));
    announce_costs(training, &data.table, &Folds::inside(rows), &options);
    let progress = Progress::new(training.budget);
    let trained = search(&data.table, rows, training, &options, &progress)?;
    let (seconds, train_seconds) = (|index: usize| progress.seconds(index), progress.elapsed());
    let verdicts = scored_rows(&trained.detector, &data.table);
    let (seen, kept_back) = verdicts.split_at(rows);
    let holdout = (!kept_back.is_empty()).then(|| Count::of(kept_back));
    let measured = Measured { rows, training: Count::of(seen), holdout };
    let card = |version: u32, path: &Path| {
        let mut card = summary(&trained, &seconds);
        card.extend(more(&trained, &measured, &data));
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
    let saved = models::save(&args.models, &name, &trained.detector.to_bytes(), |version, path| {
        serde_json::to_string_pretty(&card(version.0, path)).expect("a JSON value is serialisable")
    })?;
    if training.json {
        output::document(&card(saved.version.0, &saved.path));
    } else {
        say(&output::comparison(&trained.search, &seconds));
        conclude(&name, &saved, &trained, &measured);
    }
    Ok(())
}

fn summary(trained: &TrainedDetector, seconds: &dyn Fn(usize) -> f64) -> Map<String, Value> {
    let model = AnyModel::Detector(trained.detector.clone());
    let candidates = &trained.search.candidates;
    let learned = candidates.iter().filter(|candidate| !candidate.spec.family.is_naive()).count();
    let pairs = [
        ("model_hash", json!(model.hash().to_string())),
        ("task", json!(model.task())),
        ("family", json!(model.family())),
        ("horizon", json!(1)),
        ("season", json!(trained.detector.forecaster().season())),
        ("alpha", json!(trained.detector.alpha())),
        ("window_min", json!(model.window_min())),
        ("window_recommended", json!(model.window_recommended())),
        ("cost", output::cost_json(trained.detector.cost())),
        ("profile", json!(model.profile().as_str())),
        ("trials", json!(learned)),
        ("candidates", output::candidates_json(&trained.search, seconds)),
        ("stopped_early", json!(trained.search.stopped_early)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What the card says of the detector and its data.
fn more(trained: &TrainedDetector, measured: &Measured, data: &Data) -> Map<String, Value> {
    let (detector, rows) = (&trained.detector, data.table.rows());
    let model = detector.forecaster();
    let holdout = measured.holdout.map(|count| show::count_json(count, rows - measured.rows));
    let pairs = [
        ("channels", json!(model.channels())),
        ("targets", json!(detector.targets())),
        ("time_column", json!(model.time_column())),
        ("params", json!(model.spec().parameters().into_iter().collect::<BTreeMap<_, _>>())),
        ("data_sha256", json!(data.hash)),
        ("data_rows", json!(rows)),
        ("notes", json!(data.table.notes)),
        ("training", show::count_json(measured.training, measured.rows)),
        ("holdout", json!(holdout)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn conclude(name: &ModelName, saved: &Saved, trained: &TrainedDetector, measured: &Measured) {
    let (detector, model) = (&trained.detector, trained.detector.forecaster());
    say("");
    say(&format!("{} watches {}", model.family(), detector.targets().join(", ")));
    if !model.family().is_naive() {
        say(&format!("  {}", output::parameters(model.spec())));
    }
    say(&format!("  in training:  {}", show::called(measured.training, detector.alpha())));
    if let Some(holdout) = measured.holdout {
        say(&format!("  kept back:    {}", show::called(holdout, detector.alpha())));
    }
    say(&output::cost_line(detector.cost()));
    say(&format!("saved {name}:{} as {}", saved.version, saved.path.display()));
}
