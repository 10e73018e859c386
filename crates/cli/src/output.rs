//! Printing: tables for people, one JSON document for scripts.

use serde_json::{Map, Value, json};
use spinwell_engine::backtest::Evaluation;
use spinwell_engine::cost::{StepCost, in_words};
use spinwell_engine::metrics::Figures;
use spinwell_engine::train::{Candidate, Trained};
use spinwell_engine::{Family, Model, Spec};
use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Ratios whose denominator is zero come from the engine as the largest number.
const UNDEFINED: f64 = f64::MAX / 2.0;

/// Set when stdout could not be written for another reason than that its reader left.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line to stdout. A reader that has seen enough (`| head`) is no failure; a full disk is, see [`is_lost`].
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    if written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// Whether something that was said did not arrive: a script must not take the rest for the whole.
pub(crate) fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Prints a remark to stderr, where it does not disturb scripts.
#[expect(clippy::print_stderr, reason = "remarks beside the command line's output")]
pub(crate) fn remark(line: &str) {
    eprintln!("{line}");
}

/// Prints one JSON document.
pub(crate) fn document(value: &Value) {
    say(&serde_json::to_string_pretty(value).expect("a JSON value is serialisable"));
}

/// Rows as aligned text, the first column to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(c, cell)| match c {
            0 => format!("{cell:<w$}", w = widths[c]),
            _ => format!("{cell:>w$}", w = widths[c]),
        });
        format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Four significant digits, as plain as possible; a figure that nothing could be divided by is a dash.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= UNDEFINED => "-".to_owned(),
        0.0 => "0".to_owned(),
        v if !(1e-3..1e7).contains(&v) => format!("{value:.2e}"),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 10.0 => format!("{value:.2}"),
        v if v >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// A number with at most three decimals and no needless zeros.
pub(crate) fn without_zeros(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A share as a percentage with one digit.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The comparison, one row a family: its best candidate on the rows left out.
pub(crate) fn comparison(trained: &Trained, seconds: &dyn Fn(usize) -> f64) -> String {
    let naive = trained.candidates.iter().filter(|c| c.spec.family.is_naive()).map(|c| c.validation.nrmse);
    let naive = naive.fold(f64::INFINITY, f64::min);
    let heads = ["family", "tried", "NRMSE", "MASE", "skill", "coverage", "seconds"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for family in Family::ALL {
        let of_family: Vec<&Candidate> =
            trained.candidates.iter().filter(|c| c.spec.family == family).collect();
        let best = of_family.iter().min_by(|a, b| a.validation.nrmse.total_cmp(&b.validation.nrmse));
        let Some(best) = best else { continue };
        let chosen = trained.candidates[trained.chosen].spec.family == family;
        let total: f64 = of_family.iter().map(|candidate| seconds(candidate.index)).sum();
        rows.push(vec![
            format!("{}{family}", if chosen { "* " } else { "  " }),
            of_family.len().to_string(),
            figure(best.validation.nrmse),
            figure(best.validation.mase),
            format!("{:+.3}", 1.0 - best.validation.nrmse / naive),
            best.validation.coverage.map_or_else(|| "-".to_owned(), percent),
            format!("{total:.1}"),
        ]);
    }
    aligned(&rows)
}

/// Hyper-parameters as `key=value` text.
pub(crate) fn parameters(spec: &Spec) -> String {
    spec.parameters().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

fn parameters_json(spec: &Spec) -> Value {
    let pairs = spec.parameters().into_iter().map(|(key, value)| (key.to_owned(), Value::String(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// What a model costs to serve, for cards and summaries.
pub(crate) fn cost_json(cost: StepCost) -> Value {
    json!({
        "step_microseconds": three_digits(cost.alone_us),
        "step_together_microseconds": three_digits(cost.together_us),
        "window_microseconds": three_digits(cost.window_us),
    })
}

/// The same for people.
pub(crate) fn cost_line(cost: StepCost) -> String {
    format!("one window of this model costs about {} of one core", in_words(cost.window_us))
}

/// A positive number to three significant digits: a cost is an estimate, and should not look like more.
fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The candidates of a search.
pub(crate) fn candidates_json(trained: &Trained, seconds: &dyn Fn(usize) -> f64) -> Value {
    let one = |candidate: &Candidate| {
        json!({
            "family": candidate.spec.family.as_str(),
            "params": parameters_json(&candidate.spec),
            "nrmse_validation": candidate.validation.nrmse,
            "nrmse_folds": candidate.validation.folds,
            "mase_validation": candidate.validation.mase,
            "coverage_validation": candidate.validation.coverage,
            "seconds": seconds(candidate.index),
        })
    };
    trained.candidates.iter().map(one).collect()
}

/// Figures under the names of the contract.
pub(crate) fn figures_json(figures: &Figures) -> Map<String, Value> {
    let pairs = [
        ("nrmse", figures.nrmse),
        ("rmse", figures.rmse),
        ("mse", figures.mse),
        ("mae", figures.mae),
        ("mase", figures.mase),
        ("smape", figures.smape),
        ("r2", figures.r2),
        ("skill_persistence", figures.skill_persistence),
        ("skill_seasonal", figures.skill_seasonal),
        ("coverage", figures.coverage),
        ("coverage_worst_200", figures.coverage_worst_200),
        ("width_mean", figures.width_mean),
        ("interval_score", figures.interval_score),
    ];
    let value = |value: f64| if value.abs() < UNDEFINED { json!(value) } else { Value::Null };
    pairs.into_iter().map(|(name, figure)| (name.to_owned(), value(figure))).collect()
}

/// Figures of each target, and their mean where there are several, as the rows of a table.
pub(crate) fn figures_table(model: &Model, evaluation: &Evaluation) -> Vec<Vec<String>> {
    let heads =
        ["target", "NRMSE", "MASE", "R2", "skill (last)", "skill (season)", "coverage", "worst 200", "width"];
    let row = |name: &str, f: &Figures| {
        vec![
            name.to_owned(),
            figure(f.nrmse),
            figure(f.mase),
            figure(f.r2),
            signed(f.skill_persistence),
            signed(f.skill_seasonal),
            percent(f.coverage),
            percent(f.coverage_worst_200),
            figure(f.width_mean),
        ]
    };
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(model.targets().iter().zip(&evaluation.targets).map(|(name, figures)| row(name, figures)));
    if evaluation.targets.len() > 1 {
        rows.push(row("mean", &evaluation.overall));
    }
    rows
}

/// A skill with its sign, or a dash where the naive forecast was exact.
pub(crate) fn signed(share: f64) -> String {
    if is_defined(share) { format!("{share:+.3}") } else { "-".to_owned() }
}

/// Whether a figure has a finite value: nothing was divided by zero to get it.
pub(crate) fn is_defined(figure: f64) -> bool {
    figure.abs() < UNDEFINED
}

/// A figure as JSON, null where it has no finite value.
pub(crate) fn number(figure: f64) -> Value {
    if is_defined(figure) { json!(figure) } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits_and_tables_line_up() {
        for (value, wanted) in [
            (0.0, "0"),
            (0.11033, "0.1103"),
            (12_345.6, "12346"),
            (1e-5, "1.00e-5"),
            (f64::MAX, "-"),
            (3.21, "3.210"),
        ] {
            assert_eq!(figure(value), wanted);
        }
        assert_eq!([95.0, 99.9, 100.0].map(without_zeros), ["95", "99.9", "100"]);
        assert_eq!([0.123_456, 812.49, 15_349.0].map(three_digits), [0.123, 812.0, 15_300.0]);
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bbb".to_owned(), "22".to_owned()]];
        assert_eq!(aligned(&rows), "  a     1\n  bbb  22");
    }
}
