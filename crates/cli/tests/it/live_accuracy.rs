//! Forecasts of a real series, judged by the truth that is sent afterwards.

use crate::support::{Request, Server, said, send, text};
use serde_json::{Value, json};
use std::path::Path;

const ROWS: usize = 700;
const HORIZON: usize = 3;
const REQUESTS: usize = 205;

fn series() -> Vec<f32> {
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/co2_weekly.csv");
    let text = std::fs::read_to_string(csv).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse().unwrap()).collect()
}

fn train(models: &Path, season: &str) {
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/co2_weekly.csv");
    said(&[
        "train",
        text(&csv),
        "--target",
        "co2",
        "--time",
        "week",
        "--family",
        "linear",
        "--season",
        season,
        "--horizon",
        "3",
        "--trials",
        "2",
        "--name",
        "co2",
        "--models",
        text(models),
    ]);
}

/// What a version forecast for a window, and the truth behind it.
struct Judged {
    forecast: Vec<f32>,
    lower: Vec<f32>,
    upper: Vec<f32>,
    truth: Vec<f32>,
    last: f32,
}

impl Judged {
    fn errors(&self) -> impl Iterator<Item = f64> + '_ {
        self.forecast.iter().zip(&self.truth).map(|(value, truth)| f64::from(*value) - f64::from(*truth))
    }

    fn absolute(&self) -> f64 {
        self.errors().map(f64::abs).sum::<f64>()
    }
}

fn infer(server: &Server, version: u32, id: &str, window: &[f32], truth: &[f32]) -> Judged {
    let body = json!({"id": id, "inputs": [
        {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window}]});
    let answer = server.infer(&format!("co2/versions/{version}"), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let [forecast, lower, upper] = ["forecast", "lower", "upper"].map(|name| answer.numbers(name));
    Judged { forecast, lower, upper, truth: truth.to_vec(), last: window[ROWS - 1] }
}

fn observe(server: &Server, observations: &[Value]) -> Value {
    let body = json!({"observations": observations}).to_string();
    let answer = send(server.http, &Request::post("/v1/models/co2/observations", body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"].clone()
}

fn close(found: &Value, wanted: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("no {what}"));
    assert!((found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0), "{what}: {found} is not {wanted}");
}

fn check(found: &Value, judged: &[Judged]) {
    let values = (judged.len() * HORIZON) as f64;
    assert_eq!((found["values"].as_f64(), found["awaiting"].as_u64()), (Some(values), Some(0)), "{found}");
    let absolute: f64 = judged.iter().map(Judged::absolute).sum();
    let squared: f64 = judged.iter().flat_map(Judged::errors).map(|error| error * error).sum();
    let naive: f64 = judged
        .iter()
        .flat_map(|one| one.truth.iter().map(|truth| (f64::from(one.last) - f64::from(*truth)).abs()))
        .sum();
    let inside = |one: &Judged| {
        (0..HORIZON).filter(|&step| (one.lower[step]..=one.upper[step]).contains(&one.truth[step])).count()
    };
    let inside: usize = judged.iter().map(inside).sum();
    close(&found["mae"], absolute / values, "mae");
    close(&found["rmse"], (squared / values).sqrt(), "rmse");
    close(&found["coverage"], inside as f64 / values, "coverage");
    close(&found["skill"], 1.0 - absolute / naive, "skill");
}

#[test]
fn forecasts_of_a_real_series_are_judged_and_versions_compared() {
    let models = tempfile::tempdir().unwrap();
    train(models.path(), "52");
    train(models.path(), "1");
    let server = Server::start(models.path(), &[]);
    let series = series();
    let mut judged = [Vec::new(), Vec::new()];
    let (mut later, mut first) = (Vec::new(), Vec::new());
    for request in 0..REQUESTS {
        let (window, truth) = series[1_300 + request..].split_at(ROWS);
        let (truth, id) = (&truth[..HORIZON], format!("r{request}"));
        for (version, judged) in (1..).zip(&mut judged) {
            judged.push(infer(&server, version, &id, window, truth));
        }
        later.push(json!({"request_id": id, "from_step": 2, "values": truth[1..]}));
        first.push(json!({"request_id": id, "values": [[truth[0]]]}));
    }
    // In pieces, the later ones first, and some of them twice.
    for (observations, matched) in [(&later, 2), (&first, 1)] {
        for result in observe(&server, observations).as_array().unwrap() {
            assert_eq!((&result["status"], &result["matched"]), (&json!(200), &json!(matched)), "{result}");
        }
        assert_eq!(observe(&server, &observations[..3])[2]["matched"], 0);
    }
    let other = observe(&server, &[json!({"request_id": "r0", "values": [1.0]})]);
    assert_eq!(
        (&other[0]["status"], &other[0]["code"]),
        (&json!(409), &json!("SPW-OBSERVATION-CONTRADICTS"))
    );

    let found = server.get("/v1/models/co2/accuracy").json();
    for (index, judged) in judged.iter().enumerate() {
        check(&found["versions"][index], judged);
    }
    let comparison = &found["comparisons"][0];
    assert_eq!((&comparison["version"], &comparison["against"]), (&json!("2"), &json!("1")));
    assert_eq!(comparison["requests"], REQUESTS);
    let [one, two] = judged.each_ref().map(|all| all.iter().map(Judged::absolute).sum::<f64>());
    close(&comparison["mean_difference"], (two - one) / (REQUESTS * HORIZON) as f64, "difference");
    let (lower, upper) =
        (comparison["interval"][0].as_f64().unwrap(), comparison["interval"][1].as_f64().unwrap());
    let verdict = match (lower, upper) {
        (_, upper) if upper < 0.0 => "better",
        (lower, _) if lower > 0.0 => "worse",
        _ => "no difference yet",
    };
    assert_eq!(comparison["verdict"], verdict, "{comparison}");

    let labels = ["model=\"co2\"", "version=\"1\""];
    let coverage = json!(server.metric("spinwell_live_coverage_ratio", &labels));
    close(&coverage, found["versions"][0]["coverage"].as_f64().unwrap(), "coverage as a metric");
    let matured = server.metric("spinwell_live_matured_values_total", &labels);
    assert_eq!(matured, (REQUESTS * HORIZON) as f64);

    // Five rows of a sequence after its first step: 3 + 3 + 3 + 2 + 1 values of the newest version mature by themselves.
    for step in 0..6 {
        let rows = if step == 0 { &series[..ROWS] } else { &series[ROWS + step - 1..ROWS + step] };
        let body = json!({"parameters": {"sequence_id": "s", "sequence_start": step == 0}, "inputs": [
            {"name": "series", "shape": [1, rows.len(), 1], "datatype": "FP32", "data": rows}]});
        let answer = server.infer("co2", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let newest = server.get("/v1/models/co2/accuracy").json()["versions"][1].clone();
    assert_eq!((&newest["values"], &newest["awaiting"]), (&json!(REQUESTS * HORIZON + 12), &json!(3)));
    let told =
        observe(&server, &[json!({"sequence_id": "s", "sequence_step": 6, "values": [series[ROWS + 5]]})]);
    assert_eq!(told[0]["matched"], 1, "{told}");
}

#[test]
fn what_does_not_fit_is_forgotten_and_nothing_is_remembered_where_that_is_switched_off() {
    let models = crate::support::models();
    let config = tempfile::NamedTempFile::new().unwrap();
    for (bytes, status) in [(0, 400), (4_000, 200)] {
        std::fs::write(config.path(), format!("[accuracy]\nmemory_bytes = {bytes}\n")).unwrap();
        let server = Server::start(models, &["--config", text(config.path())]);
        for id in 0..20 {
            let rows = crate::support::window(64, f64::from(id));
            let body = json!({"id": id.to_string(), "inputs": [
                {"name": "series", "shape": [1, 64, 1], "datatype": "FP32", "data": rows}]});
            assert_eq!(server.infer("wave", &body).status, 200);
        }
        let answer = server.get("/v1/models/wave/accuracy");
        assert_eq!(answer.status, status, "{}", answer.text());
        if status == 200 {
            let awaiting = server.metric("spinwell_live_forecasts_awaiting", &["model=\"wave\""]);
            let forgotten = server.metric("spinwell_live_forecasts_forgotten_total", &["model=\"wave\""]);
            assert!(
                awaiting >= 1.0 && forgotten >= 1.0 && awaiting + forgotten == 20.0,
                "{awaiting} {forgotten}"
            );
        } else {
            assert_eq!(answer.code(), "SPW-NOT-OFFERED");
        }
    }
}
