//! Training, backtesting and predicting, as a data scientist types them.

use crate::support::{Server, models, spinwell};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

/// The taxi data of the repository.
fn taxi() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/nab_nyc_taxi.csv")
}

fn run(arguments: &[&str]) -> Output {
    spinwell().args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Training options that are quick and still search a little.
fn train_taxi(models: &Path, extra: &[&str]) -> Value {
    let data = taxi();
    let fixed =
        ["train", text(&data), "--target", "value", "--time", "timestamp", "--horizon", "4", "--json"];
    let rest =
        ["--season", "48", "--family", "linear", "--trials", "2", "--name", "taxi", "--models", text(models)];
    json(&[&fixed[..], &rest, extra].concat())
}

#[test]
fn training_saves_a_model_with_its_card_under_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("held-out.svg");
    let first = train_taxi(folder.path(), &["--plot", text(&plot)]);
    for (key, wanted) in
        [("name", "taxi"), ("family", "linear"), ("version", "1"), ("horizon", "4"), ("season", "48")]
    {
        assert_eq!(first[key].to_string().trim_matches('"'), wanted, "{key}");
    }
    for key in ["model_hash", "path", "window_min", "window_recommended", "trials", "seed", "candidates"] {
        assert!(!first[key].is_null(), "{key} is missing");
    }
    let families: Vec<&str> =
        first["candidates"].as_array().unwrap().iter().map(|c| c["family"].as_str().unwrap()).collect();
    assert_eq!(families, ["persistence", "seasonal-naive", "linear", "linear"]);
    let path = Path::new(first["path"].as_str().unwrap());
    let card: Value =
        serde_json::from_slice(&std::fs::read(path.with_file_name("card.json")).unwrap()).unwrap();
    assert_eq!((&card["model_hash"], &card["cost"]), (&first["model_hash"], &first["cost"]));
    let cost = |key: &str| card["cost"][key].as_f64().unwrap();
    assert!(cost("step_together_microseconds") <= cost("step_microseconds"), "{}", card["cost"]);
    assert!(cost("window_microseconds") > 100.0 * cost("step_microseconds"), "{}", card["cost"]);
    assert!(card["holdout"]["stream"]["nrmse"].as_f64().unwrap() < 0.4, "{card}");
    assert!(card["holdout"]["window"]["coverage"].as_f64().unwrap() > 0.8, "{card}");
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg"));

    let again = train_taxi(folder.path(), &[]);
    assert_eq!((again["version"].as_u64(), &again["model_hash"]), (Some(2), &first["model_hash"]));
    assert_eq!(again["cost"], first["cost"]);
    assert_eq!(std::fs::read(again["path"].as_str().unwrap()).unwrap(), std::fs::read(path).unwrap());
}

#[test]
fn a_prediction_is_the_same_from_the_file_and_through_the_server() {
    let server = Server::start(models(), &[]);
    let url = format!("http://{}", server.http);
    let folder = text(models());
    let data = models().join("wave.csv");
    let plot = tempfile::tempdir().unwrap();
    let plot = plot.path().join("next.svg");
    let here = json(&["predict", "wave", text(&data), "--models", folder, "--json"]);
    let there = json(&["predict", "wave:1", text(&data), "--url", &url, "--json", "--plot", text(&plot)]);
    assert_eq!(here["forecast"], there["forecast"]);
    assert_eq!((&here["model_hash"], &here["family"]), (&there["model_hash"], &there["family"]));
    assert_eq!(here["forecast"].as_array().unwrap().len(), 3);
    assert!(std::fs::read_to_string(&plot).unwrap().contains("observed"));
    let by_path = models().join("wave/1/model.spinwell");
    let file = json(&["predict", text(&by_path), text(&data), "--json"]);
    assert_eq!(file["forecast"], here["forecast"]);
}

#[test]
fn times_continue_after_the_file_also_through_the_server() {
    let folder = tempfile::tempdir().unwrap();
    train_taxi(folder.path(), &["--holdout", "0"]);
    let server = Server::start(folder.path(), &[]);
    let url = format!("http://{}", server.http);
    let data = taxi();
    let there = json(&["predict", "taxi", text(&data), "--url", &url, "--json"]);
    assert_eq!(there["forecast"][0]["time"], "2015-02-01 00:00:00");
    assert_eq!(there["forecast"][3]["time"], "2015-02-01 01:30:00");
}

#[test]
fn a_backtest_reports_the_figures_of_the_contract_and_they_are_good() {
    let data = taxi();
    let fixed = ["backtest", text(&data), "--target", "value", "--time", "timestamp", "--family", "linear"];
    let split = ["--train-end", "4800", "--test-end", "10320", "--season", "336", "--json"];
    let result = json(&[&fixed[..], &split].concat());
    for key in [
        "nrmse",
        "rmse",
        "mse",
        "mae",
        "mase",
        "smape",
        "r2",
        "skill_persistence",
        "skill_seasonal",
        "coverage",
        "coverage_worst_200",
        "width_mean",
        "interval_score",
        "train_seconds",
    ] {
        assert!(result[key].is_number(), "{key}: {result}");
    }
    assert_eq!(result["n_origins"], 10320 - 4800);
    // Ridge on lags with sqrt gave 0.1113 in an independent computation; public peers reach 0.111 to 0.144.
    assert!(result["nrmse"].as_f64().unwrap() < 0.114, "{result}");
    assert!((result["coverage"].as_f64().unwrap() - 0.95).abs() < 0.02, "{result}");
    let windows = json(&[&fixed[..], &split, &["--mode", "window=512", "--test-start", "6000"]].concat());
    assert_eq!(windows["n_origins"], 10320 - 6000);
    let seasonal =
        ["--target", "value,anomaly_window", "--score", "path", "--horizon", "2", "--season", "48"];
    let rows =
        ["--train-end", "9000", "--test-end", "10320", "--family", "linear", "--trials", "1", "--json"];
    let several = json(&[&["backtest", text(&data)], &seasonal[..], &rows].concat());
    assert_eq!(several["targets"].as_array().unwrap().len(), 2);
    assert_eq!(several["targets"][0]["target"], "value");
}

#[test]
fn a_table_for_people_names_the_winner_and_says_when_nothing_beats_naive() {
    let folder = tempfile::tempdir().unwrap();
    let walk = folder.path().join("walk.csv");
    let mut level = 50.0f64;
    let mut state = 1u32;
    let rows: String = (0..400)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            level += f64::from(state >> 8) / f64::from(1 << 24) - 0.5;
            format!("{level}\n")
        })
        .collect();
    std::fs::write(&walk, format!("price\n{rows}")).unwrap();
    let models = folder.path().join("models");
    let output =
        run(&["train", text(&walk), "--target", "price", "--trials", "4", "--models", text(&models)]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("* persistence") && said.contains("nothing beats the naive forecast"), "{said}");
    for head in ["family", "NRMSE", "MASE", "skill", "coverage", "seconds"] {
        assert!(said.lines().next().unwrap().contains(head), "{said}");
    }
}

#[test]
fn faults_of_data_and_options_have_a_code_a_place_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    let rows = |change: &dyn Fn(usize) -> Option<String>| -> String {
        (0..200).map(|t| change(t).unwrap_or_else(|| format!("{t},{}", (t % 7) * (t % 5))) + "\n").collect()
    };
    let at = |row: usize, line: &'static str| move |t: usize| (t == row).then(|| line.to_owned());
    let good = || rows(&|_| None);
    for (name, csv, extra, exit, code, message) in [
        ("text", rows(&at(4, "4,many")), &[][..], 1, "SPW-CSV-CELL", "row 5, column \"v\": \"many\""),
        ("short row", rows(&at(4, "4")), &[], 1, "SPW-CSV-MALFORMED", "line 6: the row has 1 cells"),
        (
            "column",
            good(),
            &["--inputs", "w"],
            1,
            "SPW-CSV-COLUMN",
            "no column \"w\"; the file has \"t\", \"v\"",
        ),
        ("time", rows(&at(9, "noon,1")), &["--time", "t"], 1, "SPW-CSV-TIME", "row 10, column \"t\""),
        ("twice", rows(&at(9, "3,1")), &["--time", "t"], 1, "SPW-CSV-TIME", "rows 4 and 10"),
        (
            "constant",
            rows(&|t| Some(format!("{t},5"))),
            &[],
            1,
            "SPW-SERIES-CONSTANT",
            "column \"v\" is constant (5)",
        ),
        (
            "gap",
            rows(&|t| (50..90).contains(&t).then(|| format!("{t},"))),
            &[],
            1,
            "SPW-CSV-MISSING",
            "rows 51 to 90",
        ),
        ("short", rows(&at(4, "4,1")), &["--horizon", "90"], 1, "SPW-SERIES-TOO-SHORT", "at least"),
        ("set", good(), &["--set", "unit=3"], 2, "SPW-OPTION-INVALID", "no hyper-parameter \"unit\""),
        (
            "density",
            good(),
            &["--set", "units=9000,density=0.05"],
            2,
            "SPW-OPTION-INVALID",
            "9000 of density 0.05 would take about",
        ),
        (
            "memory",
            good(),
            &["--family", "quantum", "--set", "qubits=4,reservoirs=512,substeps=20,skip=off,penalty=1e-6"],
            2,
            "SPW-OPTION-INVALID",
            "family quantum would have 102400 features with these settings, and training takes about 1.6e12 bytes",
        ),
        (
            "bank",
            good(),
            &["--family", "quantum", "--set", "qubits=8,reservoirs=512,substeps=64"],
            2,
            "SPW-OPTION-INVALID",
            "a quantum bank's matrices would take more than 1 GiB: use fewer qubits",
        ),
        ("name", good(), &["--name", "../x"], 2, "SPW-OPTION-INVALID", "is not a model name"),
        ("plot", good(), &["--plot", "x.png"], 2, "SPW-OPTION-INVALID", "plots are SVG files"),
    ] {
        let path = folder.path().join(format!("{}.csv", name.replace(' ', "-")));
        std::fs::write(&path, format!("t,v\n{csv}")).unwrap();
        let fixed = [
            "train",
            text(&path),
            "--target",
            "v",
            "--season",
            "7",
            "--trials",
            "2",
            "--models",
            text(&models),
        ];
        let output = run(&[&fixed[..], extra].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{name}: {said}");
        assert!(said.contains(&format!("error[{code}]")) && said.contains(message), "{name}: {said}");
        assert!(output.stdout.is_empty(), "{name}");
    }
    assert!(!models.exists(), "a failed training left something in the model folder");
    for wrong in [&["train"][..], &["train", "x.csv", "--target", "v", "--horizon", "0"], &["forecast"], &[]]
    {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let missing = run(&["predict", "nobody", text(&taxi()), "--models", text(&models)]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("error[SPW-MODEL-NOT-FOUND]"));
}

#[test]
fn what_a_model_of_these_settings_will_cost_is_said_before_it_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.csv");
    let rows: String = (0..300).map(|t| format!("{}\n", (f64::from(t) * 0.3).sin())).collect();
    std::fs::write(&path, format!("v\n{rows}")).unwrap();
    let models = folder.path().join("models");
    let said = |set: &str, json: &[&str]| {
        let fixed = ["train", text(&path), "--target", "v", "--season", "1", "--trials", "1", "--set", set];
        let output = run(&[&fixed[..], &["--models", text(&models)], json].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let small = said("units=30,density=1,penalty=0.001,skip=off", &[]);
    assert!(small.contains("a model of family echo with these settings costs about"), "{small}");
    assert!(small.contains("of one core a window of 401 rows") && !small.contains("warning:"), "{small}");
    assert_eq!(said("penalty=0.001", &[]).matches("with these settings costs").count(), 0);
    // A remark would disturb nobody who asked for JSON; a warning must reach them.
    assert!(!said("units=30,skip=off", &["--json"]).contains("with these settings costs"));
    let warning = "warning: a model of family quantum with these settings costs about";
    for json in [&[][..], &["--json"]] {
        let large = said("qubits=7,reservoirs=1,substeps=64,penalty=0.001,skip=off", json);
        assert!(large.contains(warning) && large.contains("more than 100 ms"), "{large}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_not() {
    let by_path = models().join("wave/1/model.spinwell");
    let data = models().join("wave.csv");
    let predict = |stdout: std::process::Stdio| {
        let arguments = ["predict", text(&by_path), text(&data), "--json"];
        spinwell().args(arguments).stdout(stdout).stderr(std::process::Stdio::piped()).output().unwrap()
    };
    let full = predict(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8(full.stderr).unwrap().contains("error[SPW-IO]"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(predict(writer.into()).status.code(), Some(0));
}

#[test]
fn a_model_follows_a_changed_series_as_its_next_version_or_stays() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    // A wave whose height doubles: the readout of lags must learn that its level has moved.
    let wave = |row: usize, level: f64| {
        format!("{}\n", level + (row as f64 * 0.5).sin() + 0.05 * (row as f64 * 7.3).sin())
    };
    let file = |name: &str, rows: std::ops::Range<usize>, level: f64| {
        let path = folder.path().join(name);
        let csv: String = rows.map(|row| wave(row, level)).collect();
        std::fs::write(&path, format!("y\n{csv}")).unwrap();
        path
    };
    let (old, newer) = (file("old.csv", 0..400, 0.0), file("newer.csv", 400..1200, 3.0));
    let options = ["--target", "y", "--season", "1", "--family", "linear", "--set", "form=raw,lags=3"];
    let home = ["--trials", "1", "--name", "wave", "--models", text(&models), "--json"];
    json(&[&["train", text(&old)][..], &options, &home].concat());
    let bytes = std::fs::read(models.join("wave/1/model.spinwell")).unwrap();

    let shared = ["--models", text(&models), "--inertia", "20", "--json"];
    let followed = json(&[&["adapt", "wave", text(&newer)][..], &shared].concat());
    assert_eq!((&followed["published"], &followed["version"]), (&true.into(), &2.into()), "{followed}");
    let error = |name: &str| followed[name].as_f64().unwrap();
    assert!(error("nrmse_after") < 0.9 * error("nrmse_before"), "{followed}");
    let card: Value =
        serde_json::from_slice(&std::fs::read(models.join("wave/2/card.json")).unwrap()).unwrap();
    assert_eq!(card["model_hash"], followed["model_hash"]);
    assert_eq!(std::fs::read(models.join("wave/1/model.spinwell")).unwrap(), bytes, "the old one stays");

    // What it has learned from is not learned again.
    let output = run(&["adapt", "wave", text(&newer), "--models", text(&models)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("SPW-OPTION-INVALID"), "{stderr}");

    // Too few rows are an error, and nothing is written for it.
    let short = file("short.csv", 0..4, 0.0);
    let output = run(&["adapt", "wave", text(&short), "--models", text(&models)]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && stderr.contains("SPW-SERIES-TOO-SHORT"), "{stderr}");
    assert!(!models.join("wave/3").exists());
}
