//! Scoring a model file on a CSV, with its report.

use crate::support::{models, spinwell, train_small_model};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    spinwell().args(arguments).output().unwrap()
}

fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&said(arguments)).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The waves that the models of [`models`] learned, `rows` of them from a later phase on.
fn newer(rows: u32) -> (Vec<f64>, String) {
    let mut csv = String::from("other,value\n");
    let mut values = Vec::new();
    for row in 1000..1000 + rows {
        let wave = (f64::from(row) * std::f64::consts::TAU / 12.0).sin();
        let grain = f64::from(row * 7919 % 101) / 101.0;
        values.push(10.0 + 3.0 * wave + 0.3 * grain);
        writeln!(csv, "{},{}", 5.0 - wave + 0.1 * grain, values[values.len() - 1]).unwrap();
    }
    (values, csv)
}

/// Checks that every element is closed, in order.
fn check_is_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    // What is between <style> and </style> is no markup, and holds no angle brackets but in its selectors.
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    for part in [head, rest].iter().flat_map(|part| part.split('<').skip(1)) {
        let (tag, after) = part.split_once('>').expect("a tag ends");
        assert!(!after.contains('>'), "{after:?} is not escaped");
        let name = tag.split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes another element");
        } else if !tag.ends_with('/') && !tag.starts_with('!') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}

#[test]
fn a_report_is_one_file_whose_figures_are_those_of_the_json() {
    let folder = tempfile::tempdir().unwrap();
    let (data, report, plot) =
        (folder.path().join("newer.csv"), folder.path().join("report.html"), folder.path().join("newer.svg"));
    let (values, csv) = newer(400);
    std::fs::write(&data, csv).unwrap();
    let fixed = ["evaluate", "wave", text(&data), "--models", text(models()), "--json"];
    let result = json(&[&fixed[..], &["--report", text(&report), "--plot", text(&plot)]].concat());
    let first = result["first_row"].as_u64().unwrap() as usize;
    assert_eq!(result["n_origins"], 400 - first - 3 + 1);
    assert_eq!(
        (&result["last_row"], &result["mode"], &result["model"]),
        (&399.into(), &"stream".into(), &"wave:1".into())
    );
    assert_eq!(result["data_seen_in_training"], false);

    // The naive forecasts, computed here from the file alone.
    let steps = result["by_horizon"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    for (at, step) in steps.iter().enumerate() {
        let truths = &values[first + at..400 - 2 + at];
        let mean = truths.iter().sum::<f64>() / truths.len() as f64;
        let spread = truths.iter().map(|truth| (truth - mean).powi(2)).sum::<f64>();
        let nrmse = |back: usize| {
            let errors = (first + at..400 - 2 + at).map(|row| values[row] - values[row - back]);
            (errors.map(|error| error * error).sum::<f64>() / spread).sqrt()
        };
        assert_eq!(step["step"], at + 1);
        for (name, wanted) in [("nrmse_persistence", nrmse(at + 1)), ("nrmse_seasonal", nrmse(12))] {
            assert!((step[name].as_f64().unwrap() - wanted).abs() < 1e-9, "{name} {step}");
        }
        assert!(step["nrmse"].as_f64().unwrap() < 0.1 && step["coverage"].as_f64().unwrap() > 0.8, "{step}");
    }
    let bins = result["reliability"].as_array().unwrap();
    let counted: u64 = bins.iter().map(|bin| bin["n"].as_u64().unwrap()).sum();
    assert_eq!(counted, 3 * result["n_origins"].as_u64().unwrap());
    let number = |name: &str| result[name].as_f64().unwrap();
    let distance = |bin: &Value| {
        bin["n"].as_f64().unwrap()
            * (bin["predicted"].as_f64().unwrap() - bin["observed"].as_f64().unwrap()).abs()
    };
    let calibration = bins.iter().map(distance).sum::<f64>() / counted as f64;
    assert!((number("expected_calibration_error") - calibration).abs() < 1e-12);
    let effective = number("coverage_effective_n");
    assert!(effective >= 1.0 && effective <= counted as f64);

    let page = std::fs::read_to_string(&report).unwrap();
    check_is_well_formed(&page);
    for never in ["http://", "https://", "<script", "@import", "url(", " src=", "NaN", "inf\""] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(page.len() < 600_000, "{} bytes", page.len());
    let figures = [
        format!("{:.4}", number("nrmse")),
        format!("{:+.1} %", 100.0 * number("skill_persistence")),
        format!("{:+.1} %", 100.0 * number("skill_seasonal")),
        format!("{:.1} %", 100.0 * number("coverage")),
        format!("{:.1} %", 100.0 * number("coverage_worst_200")),
        // Four significant digits: the naive forecast's error is above 1 here.
        format!("{:.3}", number("nrmse_persistence")),
    ];
    for part in figures.iter().map(String::as_str).chain([
        result["model_hash"].as_str().unwrap(),
        "wave:1 on newer.csv",
        "Error by rows ahead",
        "Coverage over time",
        "Confidence of directions",
        "Autocorrelation of errors",
        "A typical one",
        "cpu-f32",
    ]) {
        assert!(page.contains(part), "{part}");
    }
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left behind");

    let again = json(&[&fixed[..], &["--report", text(&report)]].concat());
    assert_eq!((again, std::fs::read_to_string(&report).unwrap()), (result, page), "the same bytes again");
}

#[test]
fn tables_for_people_hold_the_horizons_and_say_when_the_rows_were_seen() {
    let data = models().join("pair.csv");
    let output = run(&["evaluate", "pair", text(&data), "--models", text(models())]);
    let (tables, remarks) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(remarks.contains("trained on this very file"), "{remarks}");
    for part in
        ["pair:1 (linear)", "NRMSE", "rows ahead", "last season", "effective sample size", "confidence"]
    {
        assert!(tables.contains(part), "{part}: {tables}");
    }
    for name in ["value", "other", "mean", "1", "2", "3", "all"] {
        assert!(tables.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {tables}");
    }
    let by_path = models().join("pair/1/model.spinwell");
    let several = json(&["evaluate", text(&by_path), text(&data), "--json"]);
    assert_eq!(several["data_seen_in_training"], true);
    let targets = several["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!((&targets[0]["target"], &targets[1]["target"]), (&"value".into(), &"other".into()));
    let mean = f64::midpoint(targets[0]["nrmse"].as_f64().unwrap(), targets[1]["nrmse"].as_f64().unwrap());
    assert!((several["nrmse"].as_f64().unwrap() - mean).abs() < 1e-12);
}

#[test]
fn windows_rows_and_the_last_horizon_are_scored_as_asked() {
    let data = models().join("wave.csv");
    let fixed = ["evaluate", "wave", text(&data), "--models", text(models()), "--json"];
    let scored = |extra: &[&str]| json(&[&fixed[..], extra].concat());
    let window = scored(&["--mode", "window=100", "--test-start", "200", "--test-end", "280"]);
    assert_eq!((&window["n_origins"], &window["mode"]), (&78.into(), &"window=100".into()));
    assert_eq!((&window["first_row"], &window["last_row"]), (&200.into(), &279.into()));
    assert!(window["nrmse"].as_f64().unwrap() < 0.1, "{window}");
    let last = scored(&["--score", "last", "--test-start", "200"]);
    assert_eq!((&last["first_row"], &last["n_origins"]), (&202.into(), &98.into()));
    assert_eq!(last["by_horizon"][2]["nrmse"], last["nrmse"]);
    let path = scored(&["--test-start", "200"]);
    assert_eq!(path["by_horizon"], last["by_horizon"]);
    assert_ne!(path["nrmse"], last["nrmse"]);
}

#[test]
fn a_model_that_hears_its_inputs_alone_is_scored_on_its_targets() {
    let folder = tempfile::tempdir().unwrap();
    train_small_model(
        folder.path(),
        "alone",
        &["--target", "value", "--inputs", "other", "--inputs-only", "--holdout", "0"],
    );
    let data = folder.path().join("newer.csv");
    std::fs::write(&data, newer(400).1).unwrap();
    let result = json(&["evaluate", "alone", text(&data), "--models", text(folder.path()), "--json"]);
    // The input is the same wave upside down, so it says where the target goes.
    assert!(result["nrmse"].as_f64().unwrap() < 0.2, "{result}");
}

#[test]
fn what_cannot_be_scored_has_a_code_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, short) = (folder.path().join("newer.csv"), folder.path().join("short.csv"));
    std::fs::write(&data, newer(100).1).unwrap();
    std::fs::write(&short, newer(4).1).unwrap();
    let report = folder.path().join("report.html");
    for (file, extra, exit, code, message) in [
        (&data, &["--report", "report.txt"][..], 2, "SPW-OPTION-INVALID", "reports are HTML files"),
        (&data, &["--report", "nowhere/report.html"], 2, "SPW-OPTION-INVALID", "no such folder"),
        (&short, &[], 1, "SPW-SERIES-TOO-SHORT", "has 4 rows"),
        (&data, &["--test-start", "1"], 2, "SPW-OPTION-INVALID", "--test-start 1"),
        (&data, &["--test-start", "98"], 2, "SPW-OPTION-INVALID", "--test-start 98"),
        (&data, &["--test-end", "101"], 2, "SPW-OPTION-INVALID", "<= 100 rows"),
        (&data, &["--mode", "window=1"], 1, "SPW-WINDOW-TOO-SHORT", "needs at least"),
    ] {
        let fixed = ["evaluate", "wave", text(file), "--models", text(models())];
        let output = run(&[
            &fixed[..],
            &["--report", text(&report)][..usize::from(!extra.contains(&"--report")) * 2],
            extra,
        ]
        .concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{extra:?}: {said}");
        assert!(said.contains(&format!("error[{code}]")) && said.contains(message), "{extra:?}: {said}");
        assert!(output.stdout.is_empty() && !report.exists(), "{extra:?}");
    }
    assert_eq!(run(&["evaluate", "wave", text(&data), "--mode", "sideways"]).status.code(), Some(2));
    let help = said(&["evaluate", "--help"]);
    assert!(help.contains("Examples:") && help.contains("--report report.html"), "{help}");
}
