//! Detectors from the CSV to the verdict, through every command and over every wire.

use crate::serving::described_and_inferred;
use crate::support::{Request, Server, json, models, run, said, send, text};
use serde_json::{Value, json};
use spinwell_core::Rng;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A search of a moment.
const QUICK: [&str; 6] = ["--family", "linear", "--trials", "2", "--season", "1"];
/// Rows with a spike: the first inside a labelled window, the second outside.
const SPIKES: [usize; 2] = [610, 800];

/// A noisy wave with its spikes.
fn value(row: usize) -> f64 {
    let wave = (row as f64 * 0.3).sin() + 0.2 * Rng::seeded(row as u64).normal();
    if SPIKES.contains(&row) { wave + 4.0 } else { wave }
}

/// Rows with two labelled windows, newest first: the time column puts them in order.
fn csv(rows: usize, marks: [&str; 2]) -> String {
    let mut csv = String::from("time,pressure,broken\n");
    for row in (0..rows).rev() {
        let inside = (600..640).contains(&row) || (900..910).contains(&row);
        writeln!(csv, "{},{},{}", row * 5, value(row), marks[usize::from(inside)]).unwrap();
    }
    csv
}

fn write(folder: &Path, name: &str, csv: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, csv).unwrap();
    path
}

/// A folder with the detector `pump`, its data, and what training said.
fn trained() -> &'static (tempfile::TempDir, Value) {
    static TRAINED: OnceLock<(tempfile::TempDir, Value)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let data = write(folder.path(), "pump.csv", &csv(1000, ["0", "1"]));
        let summary =
            json(&[&train(&data, folder.path())[..], &QUICK, &["--holdout", "0.45", "--json"]].concat());
        (folder, summary)
    })
}

fn train<'p>(data: &'p Path, models: &'p Path) -> [&'p str; 10] {
    [
        "train",
        text(data),
        "--task",
        "anomaly",
        "--target",
        "pressure",
        "--time",
        "time",
        "--models",
        text(models),
    ]
}

#[test]
fn training_saves_a_detector_with_its_card_and_the_same_bytes_for_the_same_seed() {
    let (folder, summary) = trained();
    assert_eq!((&summary["name"], &summary["version"]), (&json!("pump"), &json!(1)));
    assert_eq!((&summary["task"], &summary["alpha"]), (&json!("anomaly"), &json!(5e-4)));
    assert_eq!((&summary["horizon"], &summary["family"]), (&json!(1), &json!("linear")));
    for key in ["model_hash", "path", "window_min", "window_recommended", "cost", "seed", "candidates"] {
        assert!(!summary[key].is_null(), "{key} is missing");
    }
    let path = Path::new(summary["path"].as_str().unwrap());
    let card: Value =
        serde_json::from_slice(&std::fs::read(path.with_file_name("card.json")).unwrap()).unwrap();
    assert_eq!((&card["model_hash"], &card["channels"]), (&summary["model_hash"], &json!(["pressure"])));
    // The spikes lie in the newest rows, which were kept back: no row before them is unusual.
    assert_eq!((&card["training"]["rows"], &card["training"]["anomalies"]), (&json!(550), &json!(0)));
    assert_eq!(card["holdout"]["rows"], 450);
    assert!(card["holdout"]["anomalies"].as_u64().unwrap() >= 2, "{}", card["holdout"]);

    let again = tempfile::tempdir().unwrap();
    let data = folder.path().join("pump.csv");
    // Labels change nothing, and the user is told so.
    let labelled = ["--holdout", "0.45", "--label", "broken"];
    let output = run(&[&train(&data, again.path())[..], &QUICK, &labelled].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--label has no effect"));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("linear watches pressure") && shown.contains("kept back:"), "{shown}");
    assert!(shown.contains("one window of this model costs about"), "{shown}");
    let saved = again.path().join("pump/1/model.spinwell");
    assert_eq!(std::fs::read(&saved).unwrap(), std::fs::read(path).unwrap());
    // Without --holdout every row is learned from.
    let more = ["--alpha", "0.01", "--json", "--name", "all"];
    let all = json(&[&train(&data, again.path())[..], &QUICK, &more].concat());
    assert_eq!((&all["training"]["rows"], &all["holdout"]), (&json!(1000), &Value::Null));
    assert_eq!(all["alpha"], 0.01);
}

#[test]
fn a_backtest_counts_windows_and_false_events_after_the_first_rows() {
    let folder = tempfile::tempdir().unwrap();
    let data = write(folder.path(), "pump.csv", &csv(1000, ["false", "true"]));
    let plot = folder.path().join("alarms.svg");
    let fixed = ["backtest", text(&data), "--task", "anomaly", "--target", "pressure", "--label", "broken"];
    let timed = [&fixed[..], &QUICK, &["--time", "time"]].concat();
    let result = json(&[&timed[..], &["--json"]].concat());
    assert_eq!(
        (&result["windows_detected"], &result["windows_total"], &result["false_events"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!((&result["first_row"], &result["rows_scored"]), (&json!(150), &json!(850)));
    assert_eq!((&result["family"], &result["alpha"]), (&json!("linear"), &json!(5e-4)));
    assert!(result["train_seconds"].is_number() && result["candidates"].is_array());
    let alarms = result["alarms"].as_array().unwrap();
    assert_eq!(result["alarms_total"], alarms.len());
    let of_row = |row: usize| alarms.iter().find(|alarm| alarm["row"] == row).unwrap();
    let (inside, outside) = (of_row(SPIKES[0]), of_row(SPIKES[1]));
    assert_eq!((&inside["in_window"], &outside["in_window"]), (&json!(true), &json!(false)));
    assert_eq!(inside["time"], (SPIKES[0] * 5).to_string());
    assert!(inside["score"].as_f64().unwrap() > 7.6);

    let later = json(&[&timed[..], &["--train-end", "650", "--json"]].concat());
    assert_eq!((&later["windows_detected"], &later["windows_total"]), (&json!(0), &json!(2)));
    assert_eq!(later["first_row"], 650);

    let shown = said(&[&timed[..], &["--plot", text(&plot)]].concat());
    assert!(shown.contains("linear, trained on rows 0 to 149 of pump.csv"), "{shown}");
    assert!(shown.contains("1 of 2 labelled windows detected, 1 false event\n"), "{shown}");
    assert!(shown.contains("in a window") && shown.contains("yes") && shown.contains(" 610 "), "{shown}");
    let svg = std::fs::read_to_string(plot).unwrap();
    assert!(svg.contains("labelled window") && svg.contains("judged from here"), "{svg}");
}

#[test]
fn an_evaluation_says_how_many_rows_are_called_and_with_labels_which_windows() {
    let (folder, _) = trained();
    let data = folder.path().join("pump.csv");
    let fixed = ["evaluate", "pump", text(&data), "--models", text(folder.path())];
    let bare = json(&[&fixed[..], &["--json"]].concat());
    assert_eq!((&bare["data_seen_in_training"], &bare["task"]), (&json!(true), &json!("anomaly")));
    assert!(bare["windows_total"].is_null() && bare["alarms"][0]["in_window"].is_null(), "{bare}");
    let share = bare["anomalies"].as_f64().unwrap() / bare["rows_scored"].as_f64().unwrap();
    assert_eq!(bare["anomaly_share"], share);
    let counted = ["--label", "broken", "--test-start", "700", "--json"];
    let counted = json(&[&fixed[..], &counted].concat());
    assert_eq!(
        (&counted["windows_detected"], &counted["windows_total"], &counted["false_events"]),
        (&json!(0), &json!(2), &json!(1))
    );
    assert_eq!(counted["rows_scored"], 300);
    let plot = folder.path().join("seen.svg");
    let output = run(&[&fixed[..], &["--plot", text(&plot)]].concat());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("rows called anomalies") && shown.contains("0.05 % of usual rows"), "{shown}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("trained on this very file"));
    assert!(!std::fs::read_to_string(plot).unwrap().contains("labelled window"));
}

#[test]
fn a_verdict_is_the_same_from_the_file_and_over_every_wire() {
    let (folder, summary) = trained();
    let models = folder.path();
    let server = Server::start(models, &[]);
    let metadata = server.get("/v2/models/pump").json();
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, -1, 1]));
    assert_eq!(
        metadata["outputs"],
        json!([
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "anomaly", "datatype": "BOOL", "shape": [-1]},
        ])
    );
    let properties = &metadata["properties"];
    assert_eq!((&properties["task"], &properties["targets"]), (&json!("anomaly"), &json!("pressure")));
    assert_eq!((&properties["alpha"], &properties["model_hash"]), (&json!("0.0005"), &summary["model_hash"]));

    let url = format!("http://{}", server.http);
    // The last row is a spike in one file and usual in the other.
    let documents = [SPIKES[0] + 1, 500].map(|rows| {
        let file = write(models, "window.csv", &csv(rows, ["", ""]));
        let here = json(&["predict", "pump", text(&file), "--models", text(models), "--json"]);
        assert_eq!(here, json(&["predict", "pump:1", text(&file), "--url", &url, "--json"]));
        assert_eq!((&here["row"], &here["alpha"]), (&json!(rows - 1), &json!(5e-4)));
        assert_eq!(here["time"], ((rows - 1) * 5).to_string());
        let shown = said(&["predict", "pump", text(&file), "--url", &url]);
        assert_eq!(shown.contains("is an anomaly"), here["anomaly"] == true, "{shown}");
        here
    });
    assert_eq!(documents.each_ref().map(|document| document["anomaly"] == true), [true, false]);
    let p = documents[0]["p_value"].as_f64().unwrap();
    assert!(p <= 5e-4 && (-p.ln() - documents[0]["score"].as_f64().unwrap()).abs() < 1e-6);

    // Both windows in one request, of the rows that `predict` takes.
    let rows = documents[0]["window"].as_u64().unwrap() as usize;
    let window = |end: usize| (end - rows..end).map(value).collect::<Vec<f64>>();
    let data = [window(SPIKES[0] + 1), window(500)].concat();
    let shape = json!([2, rows, 1]);
    let request = json!({"inputs": [{"name": "series", "shape": shape, "datatype": "FP64", "data": data}]});
    let answer = server.infer("pump", &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let scores = documents.each_ref().map(|document| document["score"].as_f64().unwrap() as f32);
    assert_eq!(answer.numbers("score"), scores);
    let anomaly = &answer.json()["outputs"][1];
    assert_eq!((&anomaly["data"], &anomaly["shape"]), (&json!([true, false]), &json!([2])));

    let tensor: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let head = json!({"parameters": {"binary_data_output": true}, "inputs": [{"name": "series", "shape": shape,
        "datatype": "FP64", "parameters": {"binary_data_size": tensor.len()}}]});
    let answer = send(server.http, &Request::post_binary("/v2/models/pump/infer", &head, &tensor));
    let floats: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    assert_eq!(answer.body[answer.json_bytes()..], [&floats[..], &[1, 0]].concat());

    let (described, inferred) =
        described_and_inferred(&server, "pump", ("FP64", [2, rows as i64, 1], tensor), &[]);
    let outputs: Vec<_> =
        described.outputs.iter().map(|o| (&o.name[..], &o.datatype[..], &o.shape[..])).collect();
    assert_eq!(outputs, [("score", "FP32", &[-1][..]), ("anomaly", "BOOL", &[-1])]);
    assert_eq!(described.properties["task"], "anomaly");
    assert_eq!(inferred.raw_output_contents, [floats, vec![1, 0]]);
}

#[test]
fn a_server_refuses_windows_that_a_detector_cannot_take() {
    let (folder, summary) = trained();
    let server = Server::start(folder.path(), &[]);
    let window_min = summary["window_min"].as_u64().unwrap() as usize;
    let check = |rows: usize, channels: usize, output: &str, status: u16, code: &str| {
        let data: Vec<f64> = (0..rows * channels).map(value).collect();
        let request = json!({"outputs": [{"name": output}], "inputs": [
            {"name": "series", "shape": [1, rows, channels], "datatype": "FP32", "data": data}]});
        let answer = server.infer("pump", &request);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    };
    check(window_min, 1, "score", 200, "");
    check(window_min - 1, 1, "score", 422, "SPW-WINDOW-TOO-SHORT");
    check(window_min, 2, "score", 400, "SPW-TENSOR-SHAPE");
    check(window_min, 1, "forecast", 400, "SPW-OUTPUT-UNKNOWN");
    // A value beyond all measure is an anomaly like any other, and does not make the next row one that cannot be told.
    for (place, anomaly) in [(199, true), (20, false)] {
        let mut data: Vec<f64> = (0..200).map(value).collect();
        data[place] = 1e300;
        let request =
            json!({"inputs": [{"name": "series", "shape": [1, 200, 1], "datatype": "FP64", "data": data}]});
        let answer = server.infer("pump", &request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["outputs"][1]["data"], json!([anomaly]), "{}", answer.text());
    }
}

/// Runs the binary, which must fail like this.
fn check_refused(arguments: &[&str], exit: i32, code: &str, message: &str) {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {error}");
    assert!(error.contains(&format!("error[{code}]")) && error.contains(message), "{arguments:?}: {error}");
}

#[test]
fn options_that_mean_nothing_for_a_detector_are_refused() {
    let (folder, _) = trained();
    let (data, detectors) = (folder.path().join("pump.csv"), text(folder.path()));
    let data = text(&data);
    let check =
        |arguments: &[&str], message: &str| check_refused(arguments, 2, "SPW-OPTION-INVALID", message);
    let detector = ["train", data, "--task", "anomaly", "--target", "pressure"];
    let train = |more: &[&str], message: &str| check(&[&detector[..], more].concat(), message);
    train(&["--horizon", "2"], "--horizon must be 1");
    train(&["--coverage", "0.9"], "--coverage is for the task forecast, and the task here is anomaly");
    train(&["--inputs", "broken", "--inputs-only"], "--inputs-only is for the task forecast");
    train(&["--plot", "x.svg"], "--plot is for the task forecast");
    train(&["--family", "shape"], "use auto, linear, ngrc");
    train(&["--inputs", "pressure"], "is named twice");
    check(&detector[..4], "a detector needs --target COL");
    check(&["train", data, "--target", "pressure", "--alpha", "0.1"], "--alpha is for the task anomaly");
    assert_eq!(run(&[&detector[..], &["--alpha", "1"]].concat()).status.code(), Some(2));

    let backtest = ["backtest", data, "--task", "anomaly", "--target", "pressure"];
    check(&backtest, "needs --label COL");
    let labelled = [&backtest[..], &["--label", "broken"]].concat();
    for (option, value) in
        [("--test-end", "900"), ("--score", "path"), ("--mode", "stream"), ("--cold-windows", "2")]
    {
        check(&[&labelled[..], &[option, value]].concat(), &format!("{option} is for the task forecast"));
    }
    check(&[&labelled[..], &["--train-end", "1000"]].concat(), "--train-end 1000 < 1000 rows does not hold");
    check(&[&labelled[..], &["--plot", "x.png"]].concat(), "plots are SVG files");
    let evaluate = ["evaluate", "pump", data, "--models", detectors];
    check(&[&evaluate[..], &["--report", "x.html"]].concat(), "--report is for the task forecast");
    check(&[&evaluate[..], &["--test-start", "1000"]].concat(), "--test-start 1000 < 1000 rows");
    check(
        &["predict", "pump", data, "--models", detectors, "--plot", "x.svg"],
        "--plot is for the task forecast",
    );
    let wave = models().join("wave.csv");
    let forecaster = ["evaluate", "wave", text(&wave), "--models", text(models()), "--label", "other"];
    check(&forecaster, "--label is for the task classify or anomaly");
}

#[test]
fn files_that_cannot_be_judged_are_told_with_their_place() {
    let (folder, _) = trained();
    let detectors = text(folder.path());
    let own = tempfile::tempdir().unwrap();
    let bad = own.path().join("bad.csv");
    let evaluate = ["evaluate", "pump", text(&bad), "--models", detectors, "--label", "broken"];
    let backtest = ["backtest", text(&bad), "--task", "anomaly", "--target", "pressure", "--label", "broken"];
    let check = |csv: &str, arguments: &[&str], code: &str, message: &str| {
        write(own.path(), "bad.csv", csv);
        check_refused(arguments, 1, code, message);
    };
    let odd = csv(300, ["maybe", "1"]);
    check(&odd, &backtest, "SPW-CSV-CELL", "row 1, column \"broken\": \"maybe\" is no mark");
    check(&odd, &evaluate, "SPW-CSV-CELL", "is no mark");
    check(&odd.replacen("broken", "whole", 1), &backtest, "SPW-CSV-COLUMN", "there is no column \"broken\"");
    check(&csv(60, ["0", "1"]), &backtest, "SPW-SERIES-TOO-SHORT", "rows are too few");
    check(&csv(2, ["0", "1"]), &evaluate, "SPW-SERIES-TOO-SHORT", "could be judged");
    let predict = ["predict", "pump", text(&bad), "--models", detectors];
    check(&csv(2, ["0", "1"]), &predict, "SPW-WINDOW-TOO-SHORT", "the window has 2 rows");
    let gap = csv(300, ["0", "1"]) + "1500,,0\n";
    check(&gap, &predict, "SPW-CSV-MISSING", "row 301, column \"pressure\" has no value");
}
