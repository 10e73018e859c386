//! Classifiers from the CSV to the label, through every command and over every wire.

use crate::serving::described_and_inferred;
use crate::support::{Request, Server, json, models, run, said, send, text};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The labels of the made-up series. The second needs quotes in CSV and in a list of names.
const LABELS: [&str; 2] = ["slow", "schnell, früh"];
/// A search of a moment.
const QUICK: [&str; 4] = ["--trials", "3", "--set", "features=400,units=10"];

/// A wave of the speed of its class, in two channels: rows of `x` and `y`.
fn series(case: usize) -> Vec<[f64; 2]> {
    let speed = [0.7, 1.5][case % 2];
    let grain = |t: usize| ((case * 31 + t) * 7919 % 101) as f64 / 500.0;
    let at = |t: usize| (t as f64 * speed + case as f64).sin();
    (0..16 + case % 5).map(|t| [at(t) + grain(t), 3.0 - at(t) * 0.5 + grain(t + 7)]).collect()
}

/// Sixty series, half of them for testing, one row a time step.
fn long() -> String {
    let mut csv = String::from("case,split,kind,t,x,y\n");
    for case in 0..60 {
        let (split, label) = (["train", "test"][case / 2 % 2], LABELS[case % 2]);
        for (t, [x, y]) in series(case).iter().enumerate() {
            writeln!(csv, "{case},{split},\"{label}\",{t},{x},{y}").unwrap();
        }
    }
    csv
}

/// The first channel of the same series, one row a series, all of them for training unless `split` says otherwise.
fn wide(has_split: bool) -> String {
    let names: Vec<String> = (0..16).map(|t| format!("t{t}")).collect();
    let mut csv = format!("{}label,{}\n", if has_split { "split," } else { "" }, names.join(","));
    for case in 0..60 {
        let split = ["train,", "test,"][case / 2 % 2];
        let values: Vec<String> = series(case).iter().take(16).map(|row| row[0].to_string()).collect();
        let label = LABELS[case % 2];
        writeln!(csv, "{}\"{label}\",{}", if has_split { split } else { "" }, values.join(",")).unwrap();
    }
    csv
}

/// A file with one series as `predict` takes it.
fn window_file(folder: &Path, case: usize) -> PathBuf {
    let path = folder.join(format!("case-{case}.csv"));
    let rows: String = series(case).iter().map(|[x, y]| format!("{y},{x}\n")).collect();
    std::fs::write(&path, format!("y,x\n{rows}")).unwrap();
    path
}

/// A folder with the classifier `speed` of two channels, its data, and what training said.
fn trained() -> &'static (tempfile::TempDir, Value) {
    static TRAINED: OnceLock<(tempfile::TempDir, Value)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("speed.csv");
        std::fs::write(&data, long()).unwrap();
        let fixed = ["train", text(&data), "--task", "classify", "--label", "kind", "--json", "--models"];
        let summary = json(&[&fixed[..], &[text(folder.path())], &QUICK].concat());
        (folder, summary)
    })
}

#[test]
fn training_saves_a_classifier_with_its_card_and_the_same_bytes_for_the_same_seed() {
    let (folder, summary) = trained();
    assert_eq!((&summary["name"], &summary["version"]), (&json!("speed"), &json!(1)));
    assert_eq!((&summary["task"], &summary["labels"]), (&json!("classify"), &json!([LABELS[1], LABELS[0]])));
    assert!(summary["accuracy"].as_f64().unwrap() > 0.9, "{summary}");
    for key in [
        "model_hash",
        "path",
        "family",
        "window_min",
        "window_recommended",
        "cost",
        "trials",
        "seed",
        "candidates",
    ] {
        assert!(!summary[key].is_null(), "{key} is missing");
    }
    let path = Path::new(summary["path"].as_str().unwrap());
    let card: Value =
        serde_json::from_slice(&std::fs::read(path.with_file_name("card.json")).unwrap()).unwrap();
    assert_eq!((&card["model_hash"], &card["accuracy"]), (&summary["model_hash"], &summary["accuracy"]));
    assert_eq!(
        (&card["cases_train"], &card["cases_test"], &card["test"]["n"]),
        (&json!(30), &json!(30), &json!(30))
    );
    assert_eq!(card["channels"], json!(["x", "y"]));

    let again = tempfile::tempdir().unwrap();
    let data = folder.path().join("speed.csv");
    let fixed =
        ["train", text(&data), "--task", "classify", "--label", "kind", "--models", text(again.path())];
    let shown = said(&[&fixed[..], &QUICK].concat());
    assert!(shown.contains("* ") && shown.contains("test cases:") && shown.contains("recall"), "{shown}");
    let saved = again.path().join("speed/1/model.spinwell");
    assert_eq!(std::fs::read(saved).unwrap(), std::fs::read(path).unwrap());
}

#[test]
fn a_wide_file_without_a_split_is_all_for_training() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("wide.csv");
    std::fs::write(&data, wide(false)).unwrap();
    let fixed = ["train", text(&data), "--task", "classify", "--json", "--models", text(folder.path())];
    let summary = json(&[&fixed[..], &QUICK].concat());
    assert_eq!((&summary["accuracy"], &summary["cases_train"]), (&Value::Null, &json!(60)));
    assert!(summary["accuracy_validation"].as_f64().unwrap() > 0.9);
    let one = folder.path().join("one.csv");
    let rows: String = series(4).iter().map(|[x, _]| format!("{x}\n")).collect();
    std::fs::write(&one, format!("value\n{rows}")).unwrap();
    let models = text(folder.path());
    assert_eq!(json(&["predict", "wide", text(&one), "--models", models, "--json"])["label"], LABELS[0]);
    // Without a split every case is scored, and the user is told that the model has seen them.
    let output = run(&["evaluate", "wide", text(&data), "--models", models, "--json"]);
    let evaluated: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&evaluated["n"], &evaluated["data_seen_in_training"]), (&json!(60), &json!(true)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("trained on this very file"));
    // And a backtest has nothing to score.
    let output = run(&["backtest", text(&data), "--task", "classify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error[SPW-SERIES-TOO-SHORT]"));
}

#[test]
fn a_backtest_scores_the_test_cases_and_evaluate_finds_the_same() {
    let (folder, summary) = trained();
    let data = folder.path().join("speed.csv");
    let fixed = ["backtest", text(&data), "--task", "classify", "--label", "kind"];
    let result = json(&[&fixed[..], &QUICK, &["--json"]].concat());
    assert_eq!(result["accuracy"], summary["accuracy"]);
    let classes = result["per_class"].as_array().unwrap();
    assert_eq!((&classes[0]["label"], &classes[0]["n"], classes.len()), (&json!(LABELS[1]), &json!(15), 2));
    assert!(classes.iter().all(|class| class["recall"].as_f64().unwrap() > 0.8));
    assert!(result["train_seconds"].is_number() && result["candidates"].is_array());
    let shown = said(&[&fixed[..], &QUICK].concat());
    assert!(shown.contains("on 30 test cases, learned from 30: accuracy"), "{shown}");
    assert!(shown.contains("precision") && shown.contains("schnell, früh"), "{shown}");

    let models = text(folder.path());
    let fixed = ["evaluate", "speed", text(&data), "--models", models, "--label", "kind"];
    let evaluated = json(&[&fixed[..], &["--json"]].concat());
    for key in ["accuracy", "per_class", "confusion", "log_loss"] {
        assert_eq!(evaluated[key], result[key], "{key}");
    }
    assert_eq!(evaluated["split"], "test");
    assert!(said(&fixed).contains("speed:1 ("));
}

#[test]
fn a_label_is_the_same_from_the_file_and_over_every_wire() {
    let (folder, summary) = trained();
    let models = folder.path();
    let server = Server::start(models, &[]);
    let metadata = server.get("/v2/models/speed").json();
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, -1, 2]));
    assert_eq!(
        metadata["outputs"],
        json!([
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ])
    );
    let properties = &metadata["properties"];
    assert_eq!((&properties["task"], &properties["channels"]), (&json!("classify"), &json!("x,y")));
    assert_eq!(
        (&properties["labels"], &properties["model_hash"]),
        (&json!("\"schnell, früh\",slow"), &summary["model_hash"])
    );

    let file = window_file(models, 7);
    let here = json(&["predict", "speed", text(&file), "--models", text(models), "--json"]);
    assert_eq!((&here["label"], &here["window"]), (&json!(LABELS[1]), &json!(18)));
    let url = format!("http://{}", server.http);
    let there = json(&["predict", "speed:1", text(&file), "--url", &url, "--json"]);
    assert_eq!(here, there);
    assert!(said(&["predict", "speed", text(&file), "--url", &url]).contains("* schnell, früh"));

    let rows = series(7);
    let data: Vec<f64> = rows.iter().chain(&rows).flatten().copied().collect();
    let shape = json!([2, rows.len(), 2]);
    let request = json!({"inputs": [{"name": "series", "shape": shape, "datatype": "FP64", "data": data}]});
    let answer = server.infer("speed", &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["outputs"][0]["data"], json!([LABELS[1], LABELS[1]]));
    let probabilities = answer.numbers("probabilities");
    let of_file = LABELS.map(|label| here["probabilities"][label].as_f64().unwrap() as f32);
    assert_eq!(probabilities, [of_file[1], of_file[0], of_file[1], of_file[0]]);

    let tensor: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = json!({"parameters": {"binary_data_output": true}, "inputs": [{"name": "series", "shape": shape,
        "datatype": "FP64", "parameters": {"binary_data_size": tensor.len()}}]});
    let answer = send(server.http, &Request::post_binary("/v2/models/speed/infer", &head, &tensor));
    let label = [&(LABELS[1].len() as u32).to_le_bytes()[..], LABELS[1].as_bytes()].concat();
    let floats: Vec<u8> = probabilities.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(answer.body[answer.json_bytes()..], [&label[..], &label, &floats].concat());

    let (described, inferred) =
        described_and_inferred(&server, "speed", ("FP64", [2, rows.len() as i64, 2], tensor), &[]);
    let outputs: Vec<_> =
        described.outputs.iter().map(|o| (&o.name[..], &o.datatype[..], &o.shape[..])).collect();
    assert_eq!(outputs, [("label", "BYTES", &[-1][..]), ("probabilities", "FP32", &[-1, 2])]);
    assert_eq!(described.properties["task"], "classify");
    assert_eq!(inferred.outputs[0].shape, [2]);
    assert_eq!(inferred.raw_output_contents, [[&label[..], &label].concat(), floats]);
}

#[test]
fn a_server_refuses_windows_that_a_classifier_cannot_take() {
    let server = Server::start(trained().0.path(), &[]);
    let check = |rows: usize, channels: usize, status: u16, code: &str| {
        let data = vec![1.0; rows * channels];
        let request = json!({"inputs": [
            {"name": "series", "shape": [1, rows, channels], "datatype": "FP32", "data": data}]});
        let answer = server.infer("speed", &request);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    };
    check(3, 2, 422, "SPW-WINDOW-TOO-SHORT");
    check(16, 1, 400, "SPW-TENSOR-SHAPE");
    check(16, 2, 200, "");
    let request = json!({"inputs": [{"name": "series", "shape": [1, 16, 2], "datatype": "FP32", "data": vec![1.0; 32]}],
        "outputs": [{"name": "forecast"}]});
    assert_eq!(server.infer("speed", &request).code(), "SPW-OUTPUT-UNKNOWN");
}

#[test]
fn options_of_another_task_are_refused() {
    let (folder, _) = trained();
    let data = folder.path().join("speed.csv");
    let (data, classifiers) = (text(&data), text(folder.path()));
    let wave = models().join("wave.csv");
    let check = |arguments: &[&str], message: &str| {
        let output = run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(
            error.contains("error[SPW-OPTION-INVALID]") && error.contains(message),
            "{arguments:?}: {error}"
        );
    };
    let both = "forecast or anomaly";
    for (option, value, tasks) in [
        ("--target", "x", both),
        ("--horizon", "1", both),
        ("--season", "auto", both),
        ("--coverage", "0.9", "forecast"),
        ("--precision", "f32", both),
        ("--plot", "x.svg", "forecast"),
        ("--holdout", "0.1", both),
        ("--alpha", "0.1", "anomaly"),
    ] {
        let message = format!("{option} is for the task {tasks}, and the task here is classify");
        check(&["train", data, "--task", "classify", option, value], &message);
    }
    check(
        &["backtest", data, "--task", "classify", "--train-end", "9"],
        "--train-end is for the task forecast",
    );
    check(&["backtest", data, "--task", "classify", "--mode", "stream"], "--mode is for the task forecast");
    check(&["train", data, "--label", "kind", "--target", "x"], "--label is for the task classify");
    check(&["train", data], "a forecast needs --target COL");
    check(&["backtest", data, "--target", "x"], "needs --train-end N and --test-end M");
    check(
        &["train", data, "--target", "x", "--family", "shape"],
        "--family shape is not of the task forecast",
    );
    check(&["train", data, "--task", "classify", "--family", "ngrc"], "use auto, shape, echo or hybrid");
    check(
        &["train", data, "--task", "classify", "--label", "kind", "--set", "lags=3"],
        "no hyper-parameter \"lags\"",
    );
    check(&["train", data, "--task", "classify", "--label", "kind", "--set", "units=0"], "units must be");
    check(
        &["evaluate", "speed", data, "--models", classifiers, "--test-start", "3"],
        "--test-start is for the task",
    );
    check(
        &["predict", "speed", data, "--models", classifiers, "--plot", "x.svg"],
        "--plot is for the task forecast",
    );
    let forecaster = ["evaluate", "wave", text(&wave), "--models", text(models()), "--label", "kind"];
    check(&forecaster, "--label is for the task classify");
}

#[test]
fn files_of_cases_that_cannot_be_read_are_told_with_their_place() {
    let (folder, _) = trained();
    let own = tempfile::tempdir().unwrap();
    let models = own.path().join("models");
    let check = |csv: &str, extra: &[&str], code: &str, message: &str| {
        let path = own.path().join("bad.csv");
        std::fs::write(&path, csv).unwrap();
        let output =
            run(&[&["train", text(&path), "--task", "classify", "--models", text(&models)], extra].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&format!("error[{code}]")) && error.contains(message), "{error}");
    };
    check(&long(), &[], "SPW-CSV-COLUMN", "there is no column \"label\"");
    check(&long(), &["--label", "kind", "--time", "tt"], "SPW-CSV-COLUMN", "has \"case\" but not \"tt\"");
    check(&wide(true).replacen("0.", "0,", 1), &[], "SPW-CSV-MALFORMED", "line 2");
    check("label,t0,t1,t2\na,1,2,3\na,2,3,1\n", &[], "SPW-SERIES-CONSTANT", "every training case has label");
    assert!(!models.exists(), "a failed training left something in the model folder");
    let several =
        run(&["predict", "speed", text(&folder.path().join("speed.csv")), "--models", text(folder.path())]);
    let error = String::from_utf8(several.stderr).unwrap();
    assert!(
        error.contains("error[SPW-CSV-CELL]") && error.contains("case \"0\" ends and \"1\" begins"),
        "{error}"
    );
    let other = own.path().join("other.csv");
    std::fs::write(&other, long().replacen("x,y", "y,x", 1)).unwrap();
    let fixed = ["evaluate", "speed", text(&other), "--label", "kind", "--models", text(folder.path())];
    let error = String::from_utf8(run(&fixed).stderr).unwrap();
    assert!(error.contains("takes the channels x, y, in this order; the file has y, x"), "{error}");
}
