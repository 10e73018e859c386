//! Two versions of a model under one name: who answers, who listens, and what `serving.toml` allows.

use crate::support::{
    Answer, BOUND, Request, Server, models, send, spinwell, text, train_small_model, window,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const ROWS: usize = 64;

/// A folder with versions 1 and 2 of `wave`, and `pair`.
fn two_versions() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    train_small_model(folder.path(), "wave", &["--target", "value"]);
    // Another rhythm, so that the versions forecast different values.
    let rows = (0..300)
        .map(|row| format!("{}\n", 10.0 + 3.0 * (f64::from(row) * 0.9).sin() + f64::from(row % 5) / 20.0));
    let csv = folder.path().join("other.csv");
    std::fs::write(&csv, format!("value\n{}", rows.collect::<String>())).unwrap();
    let trained = spinwell()
        .args(["train", text(&csv), "--target", "value", "--family", "linear", "--season", "1"])
        .args(["--horizon", "3", "--trials", "2", "--name", "wave", "--models", text(folder.path())])
        .output()
        .unwrap();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let pair = folder.path().join("pair/1");
    std::fs::create_dir_all(&pair).unwrap();
    std::fs::copy(models().join("pair/1/model.spinwell"), pair.join("model.spinwell")).unwrap();
    folder
}

fn serving(models: &Path, name: &str, text: &str) {
    std::fs::write(models.join(name).join("serving.toml"), text).unwrap();
}

fn request(id: &str, parameters: &Value) -> Value {
    let series =
        json!({"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window(ROWS, 0.3)});
    json!({"id": id, "parameters": parameters, "inputs": [series]})
}

fn load(server: &Server, name: &str) -> Answer {
    send(server.http, &Request::post(&format!("/v2/repository/models/{name}/load"), "{}"))
}

/// The version that answers.
fn version(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["model_version"].as_str().unwrap().to_owned()
}

fn versions(server: &Server, ids: impl Iterator<Item = String>) -> Vec<String> {
    ids.map(|id| version(&server.infer("wave", &request(&id, &json!({}))))).collect()
}

#[test]
fn traffic_is_split_by_name_and_follows_the_file_when_the_model_is_loaded_again() {
    let folder = two_versions();
    serving(folder.path(), "wave", "[traffic]\ndefault = 1\ncanary = {version = 2, share = 0.3}\n");
    let server = Server::start(folder.path(), &[]);
    let ids = || (0..300).map(|id| format!("r{id}"));
    let first = versions(&server, ids());
    let canaries = first.iter().filter(|version| *version == "2").count();
    // Six standard deviations; and as the draw is by the ids, it is the same in every run.
    assert!((43..=137).contains(&canaries), "{canaries} of 300");
    assert_eq!(versions(&server, ids()), first, "a retry meets the same version");
    assert_eq!(
        server.metric("spinwell_canary_total", &["model=\"wave\"", "version=\"2\""]) as usize,
        2 * canaries
    );
    // Who names a version gets it; a sequence stays where it began.
    let named = send(
        server.http,
        &Request::post("/v2/models/wave/versions/2/infer", request("r0", &json!({})).to_string()),
    );
    assert_eq!(version(&named), "2");
    for sequence in ["a", "b", "c", "d", "e", "f"] {
        let step = |start: bool| {
            let parameters = json!({"sequence_id": sequence, "sequence_start": start});
            version(&server.infer("wave", &request("", &parameters)))
        };
        let began = step(true);
        assert_eq!([step(false), step(false)], [began.clone(), began]);
    }
    // Another file holds from the load on.
    serving(folder.path(), "wave", "[traffic]\ndefault = 2\n");
    assert_eq!(versions(&server, ids().take(20)), first[..20]);
    assert_eq!(load(&server, "wave").status, 200);
    assert!(versions(&server, ids().take(20)).iter().all(|version| version == "2"));
    // A broken one is refused and changes nothing.
    for (wrong, said) in [
        ("[traffic]\ndefault = 9\n", "wave/serving.toml has traffic.default = 9"),
        (
            "[traffic]\ncanary = {version = 2, share = 0.1}\n",
            "traffic.canary.version = 2, which is the version",
        ),
        ("[limits]\nconcurrency = 1\n", "unknown key limits.concurrency"),
        ("[limits]\nmemory_bytes_max = 10\n", "limits.memory_bytes_max = 10"),
    ] {
        serving(folder.path(), "wave", wrong);
        let refused = load(&server, "wave");
        assert_eq!(refused.status, 500, "{}", refused.text());
        assert!(
            refused.text().contains("SPW-CONFIG-INVALID") && refused.text().contains(said),
            "{}",
            refused.text()
        );
        assert!(versions(&server, ids().take(5)).iter().all(|version| version == "2"));
    }
    // What the refusal asks for is enough.
    serving(folder.path(), "wave", "[limits]\nmemory_bytes_max = 10\n");
    let refused = load(&server, "wave").text().to_owned();
    let least = refused.split("allow at least ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    serving(folder.path(), "wave", &format!("[limits]\nmemory_bytes_max = {least}\n"));
    assert_eq!(load(&server, "wave").status, 200, "{refused}");
    std::fs::remove_file(folder.path().join("wave/serving.toml")).unwrap();
    assert_eq!(load(&server, "wave").status, 200);
}

#[test]
fn a_part_that_cannot_be_served_is_off_and_the_default_answers() {
    let folder = two_versions();
    let second = folder.path().join("wave/2/model.spinwell");
    let whole = std::fs::read(&second).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle] ^= 1;
    for (part, key) in [("canary", "traffic.canary"), ("shadow", "traffic.shadow")] {
        serving(
            folder.path(),
            "wave",
            &format!("[traffic]\ndefault = 1\n{part} = {{version = 2, share = 1.0}}\n"),
        );
        std::fs::write(&second, &torn).unwrap();
        let server = Server::start(folder.path(), &[]);
        let ids = || (0..5).map(|id| format!("r{id}"));
        assert_eq!(versions(&server, ids()), ["1"; 5]);
        let index = send(server.http, &Request::post("/v2/repository/index", "")).json();
        let entry = |version: &str| {
            let mut own = index.as_array().unwrap().iter();
            own.find(|entry| entry["name"] == "wave" && entry["version"] == version).unwrap().clone()
        };
        let reason = entry("1")["reason"].as_str().unwrap().to_owned();
        assert_eq!((&entry("1")["state"], &entry("2")["state"]), (&json!("READY"), &json!("UNAVAILABLE")));
        assert!(reason.contains(key) && reason.contains("SPW-FILE-CORRUPT"), "{reason}");
        assert!(entry("2")["reason"].as_str().unwrap().starts_with("SPW-FILE-CORRUPT"), "{index}");
        // Whoever has it loaded is told the same, and nothing changes.
        let refused = load(&server, "wave");
        assert_eq!((refused.status, refused.code().as_str()), (500, "SPW-CONFIG-INVALID"));
        assert!(refused.text().contains("SPW-FILE-CORRUPT"), "{}", refused.text());
        assert_eq!(versions(&server, ids()), ["1"; 5]);
        std::fs::write(&second, &whole).unwrap();
        assert_eq!(load(&server, "wave").status, 200);
        let answers = if part == "canary" { "2" } else { "1" };
        assert_eq!(versions(&server, ids()), [answers; 5]);
        drop(server);
    }
}

#[test]
fn a_shadow_hears_what_callers_are_answered_and_counts_for_itself() {
    let folder = two_versions();
    serving(folder.path(), "wave", "[traffic]\ndefault = 1\nshadow = {version = 2, share = 1.0}\n");
    let server = Server::start(folder.path(), &[]);
    let count = 40;
    for id in 0..count {
        assert_eq!(version(&server.infer("wave", &request(&format!("s{id}"), &json!({})))), "1");
    }
    let heard = |result: &str| {
        server.metric(
            "spinwell_shadow_total",
            &["model=\"wave\"", "version=\"2\"", &format!("result=\"{result}\"")],
        )
    };
    let began = Instant::now();
    while heard("answered") + heard("dropped") + heard("failed") < f64::from(count) {
        assert!(began.elapsed() < BOUND, "shadows are missing");
        std::thread::yield_now();
    }
    assert!(heard("answered") > 0.0 && heard("failed") == 0.0);
    let compared = server.metric("spinwell_shadow_compared_values_total", &["version=\"2\""]);
    assert_eq!(compared, 3.0 * heard("answered"));
    // Callers asked for this much and no more.
    assert_eq!(server.metric("spinwell_requests_total", &["model=\"wave\""]), f64::from(count));
    // The truth judges what callers got and what the shadow answered alike.
    let truths: Vec<Value> = (0..count)
        .map(|id| json!({"request_id": format!("s{id}"), "values": [[10.0], [10.0], [10.0]]}))
        .collect();
    let body = json!({"observations": truths}).to_string();
    let told = send(server.http, &Request::post("/v1/models/wave/observations", body));
    assert_eq!(told.status, 200, "{}", told.text());
    let judged = server.get("/v1/models/wave/accuracy").json();
    let values = |place: usize| judged["versions"][place]["values"].as_f64().unwrap();
    assert_eq!((values(0), values(1)), (3.0 * f64::from(count), 3.0 * heard("answered")), "{judged}");
    assert_ne!(judged["versions"][0]["mae"], judged["versions"][1]["mae"]);
    assert_eq!(judged["comparisons"][0]["requests"].as_f64(), Some(heard("answered")), "{judged}");
    let forecast = |version: u32| {
        let path = format!("/v2/models/wave/versions/{version}/infer");
        send(server.http, &Request::post(&path, request("", &json!({})).to_string())).numbers("forecast")
    };
    let apart: f64 =
        forecast(1).iter().zip(forecast(2)).map(|(a, b)| (f64::from(*a) - f64::from(b)).abs()).sum();
    let counted = server.metric("spinwell_shadow_absolute_difference_total", &["version=\"2\""]);
    assert!(apart > 0.01 && (counted / heard("answered") - apart).abs() < 1e-3 * apart, "{counted} {apart}");
}

#[test]
fn a_model_that_is_flooded_leaves_the_others_their_executor() {
    let folder = two_versions();
    serving(
        folder.path(),
        "wave",
        "[limits]\nconcurrency_max = 1\nqueue_len_max = 2\nmemory_bytes_max = 50_000_000\n",
    );
    let config = folder.path().join("server.toml");
    std::fs::write(&config, "[node]\nexecutors = 2\n[limits]\nqueue_target_ms = 10000\n").unwrap();
    let server = Server::start(folder.path(), &["--config", text(&config)]);
    let windows = 32;
    let data: Vec<f32> = (0..windows).flat_map(|phase| window(512, f64::from(phase))).collect();
    let series = json!({"name": "series", "shape": [windows, 512, 1], "datatype": "FP32", "data": data});
    let large = json!({"inputs": [series]});
    let two: Vec<f32> = window(ROWS, 0.1).into_iter().flat_map(|value| [value, value]).collect();
    let small =
        json!({"inputs": [{"name": "series", "shape": [1, ROWS, 2], "datatype": "FP32", "data": two}]});
    std::thread::scope(|scope| {
        let flood: Vec<_> = (0..16).map(|_| scope.spawn(|| server.infer("wave", &large))).collect();
        for _ in 0..20 {
            let answer = server.infer("pair", &small);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        for answer in flood {
            let answer = answer.join().unwrap();
            let is_refused = answer.status == 503 && answer.text().contains("SPW-QUEUE-FULL");
            assert!(answer.status == 200 || is_refused, "{}", answer.text());
        }
    });
}
