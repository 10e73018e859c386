//! What `spinwell evaluate` prints: tables for people, one JSON document for scripts.

use crate::output::{self, aligned, figures_table, number, percent, without_zeros};
use crate::report::{self, Case, Diagnosis, Seen, Step, grouped};
use serde_json::{Map, Value, json};
use spinwell_engine::backtest::Mode;
use spinwell_engine::metrics::ReliabilityBin;

/// The answer as one JSON document, under the names of the contract.
pub(super) fn document(case: &Case, diagnosis: &Diagnosis) -> Map<String, Value> {
    let model = &case.model;
    let mut document = output::figures_json(&case.evaluation.overall);
    let bin = |bin: &ReliabilityBin| {
        json!({
            "low": bin.low, "high": bin.high, "n": bin.count, "predicted": bin.predicted, "observed": bin.observed,
        })
    };
    let (first, last) = report::scored_rows(case);
    let mode = match case.plan.mode {
        Mode::Stream => "stream".to_owned(),
        Mode::Window(rows) => format!("window={rows}"),
    };
    let seen = match case.seen {
        Seen::InTraining => Value::Bool(true),
        Seen::NotThisFile => Value::Bool(false),
        Seen::Unknown => Value::Null,
    };
    let naive = &diagnosis.naive;
    let more = [
        ("model", json!(case.title)),
        ("model_hash", json!(model.hash().to_string())),
        ("family", json!(model.family().as_str())),
        ("horizon", json!(model.horizon())),
        ("season", json!(model.season())),
        ("mode", json!(mode)),
        ("first_row", json!(first)),
        ("last_row", json!(last)),
        ("n_origins", json!(case.evaluation.origins.len())),
        ("data_sha256", json!(case.data_sha256)),
        ("data_seen_in_training", seen),
        ("coverage_nominal", json!(model.coverage())),
        ("coverage_effective_n", number(diagnosis.coverage_effective_n)),
        ("nrmse_persistence", number(naive.persistence.nrmse)),
        ("nrmse_seasonal", number(naive.seasonal.nrmse)),
        ("by_horizon", diagnosis.by_horizon.iter().map(step_json).collect()),
        ("reliability", diagnosis.reliability.bins.iter().map(bin).collect()),
        ("expected_calibration_error", json!(diagnosis.reliability.expected_calibration_error)),
    ];
    document.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    if case.evaluation.targets.len() > 1 {
        document.insert("targets".to_owned(), targets_json(case, diagnosis));
    }
    document
}

fn step_json(step: &Step) -> Value {
    json!({
        "step": step.step,
        "nrmse": number(step.ours.nrmse),
        "mae": number(step.ours.mae),
        "coverage": number(step.ours.coverage),
        "nrmse_persistence": number(step.naive.persistence.nrmse),
        "nrmse_seasonal": number(step.naive.seasonal.nrmse),
    })
}

fn targets_json(case: &Case, diagnosis: &Diagnosis) -> Value {
    let each = case.model.targets().iter().zip(&case.evaluation.targets).zip(&diagnosis.targets);
    each.map(|((name, figures), target)| {
        let mut document = output::figures_json(figures);
        document.insert("target".to_owned(), json!(name));
        document.insert("coverage_effective_n".to_owned(), number(target.coverage_effective_n));
        document.insert("nrmse_persistence".to_owned(), number(target.naive.persistence.nrmse));
        document.insert("nrmse_seasonal".to_owned(), number(target.naive.seasonal.nrmse));
        Value::Object(document)
    })
    .collect()
}

/// The answer as tables for people.
pub(super) fn text(case: &Case, diagnosis: &Diagnosis) -> String {
    let model = &case.model;
    let (first, last) = report::scored_rows(case);
    let mode = match case.plan.mode {
        Mode::Stream => "row by row".to_owned(),
        Mode::Window(rows) => format!("as windows of {rows} rows"),
    };
    [
        format!(
            "{} ({}) on rows {first} to {last} of {}, fed {mode}: {} origins, horizon {}, season {}",
            case.title,
            model.family(),
            case.file,
            case.evaluation.origins.len(),
            model.horizon(),
            model.season()
        ),
        aligned(&figures_table(&case.model, &case.evaluation)),
        String::new(),
        "error (NRMSE) beside the naive forecasts".to_owned(),
        aligned(&report::by_horizon(case, diagnosis)),
        String::new(),
        coverage(case, diagnosis),
        String::new(),
        reliability(diagnosis),
    ]
    .join("\n")
}

fn coverage(case: &Case, diagnosis: &Diagnosis) -> String {
    let figures = &case.evaluation.overall;
    let (low, high) = report::coverage_range(case, diagnosis);
    format!(
        "coverage {} of {} % promised; worst 200 in a row {}\n  effective sample size {}: {} to {} is what chance allows",
        percent(figures.coverage),
        without_zeros(case.model.coverage() * 100.0),
        percent(figures.coverage_worst_200),
        grouped(diagnosis.coverage_effective_n.round() as usize),
        percent(low),
        percent(high)
    )
}

fn reliability(diagnosis: &Diagnosis) -> String {
    let found = &diagnosis.reliability;
    format!(
        "directions: {} right; confidence off by {} (expected calibration error)\n{}",
        percent(found.observed()),
        percent(found.expected_calibration_error),
        aligned(&report::reliability_table(found))
    )
}
