//! Hot reload under load: a version's file takes turns with another one, and every answer is that of the file it names.

use crate::serving::{grpc_client, grpc_request, json_request, little_endian};
use crate::support::{Request, Server, send, train_small_model, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const ROWS: usize = 64;
/// Exchanges of the file.
const EXCHANGES: usize = 12;
/// Windows of a batch call.
const BATCH: usize = 8;
/// The outputs that are compared, in their order over gRPC.
const OUTPUTS: [&str; 3] = ["forecast", "lower", "upper"];

/// The hash that an answer names, and what it says.
type Answers = Vec<(String, Vec<f32>)>;

/// How a client asks.
#[derive(Debug, Clone, Copy)]
enum Way {
    Json,
    Batch,
    Grpc,
}

fn over_json(server: &Server, data: &[f32]) -> Answers {
    let answer = server.infer("wave", &json_request([1, ROWS, 1], data));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let values = OUTPUTS.iter().flat_map(|name| answer.numbers(name)).collect();
    vec![(answer.json()["parameters"]["model_hash"].as_str().unwrap().to_owned(), values)]
}

fn over_batch(server: &Server, data: &[f32]) -> Answers {
    let rows: Vec<Value> = data.iter().map(|value| json!([value])).collect();
    let one = json!({"model": "wave", "series": rows});
    let body = json!({"requests": vec![one; BATCH]}).to_string();
    let answer = send(server.http, &Request::post("/v1/predictions", body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    let results = document["results"].as_array().unwrap();
    let answers: Answers = results
        .iter()
        .map(|result| {
            assert_eq!(result["status"], 200, "{result}");
            let mut values = Vec::new();
            OUTPUTS.iter().for_each(|name| flatten(&result[*name], &mut values));
            (result["parameters"]["model_hash"].as_str().unwrap().to_owned(), values)
        })
        .collect();
    assert_eq!(answers.len(), BATCH);
    assert!(
        answers.iter().all(|(hash, _)| *hash == answers[0].0),
        "a call is answered by one file: {answers:?}"
    );
    answers
}

fn flatten(value: &Value, into: &mut Vec<f32>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| flatten(one, into)),
        one => into.push(one.as_f64().unwrap() as f32),
    }
}

fn over_grpc(server: &Server, data: &[f32]) -> Answers {
    let mut request = grpc_request([1, ROWS, 1]);
    request.raw_input_contents = vec![little_endian(data).into()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime
        .block_on(async { grpc_client(server).await.model_infer(request).await.unwrap().into_inner() });
    let Some(ParameterChoice::StringParam(hash)) = &answer.parameters["model_hash"].parameter_choice else {
        panic!("no hash in {answer:?}");
    };
    let values = answer.raw_output_contents.iter().flat_map(|raw| raw.as_chunks::<4>().0.iter());
    vec![(hash.clone(), values.map(|bytes| f32::from_le_bytes(*bytes)).collect())]
}

fn ask(way: Way, server: &Server, data: &[f32]) -> Answers {
    match way {
        Way::Json => over_json(server, data),
        Way::Batch => over_batch(server, data),
        Way::Grpc => over_grpc(server, data),
    }
}

/// Puts a file in the place of version 1 of `wave`, whole.
fn put(file: &Path, models: &Path) {
    let place = models.join("wave/1");
    fs::create_dir_all(&place).unwrap();
    fs::copy(file, place.join(".next")).unwrap();
    fs::rename(place.join(".next"), place.join("model.spinwell")).unwrap();
}

#[test]
fn no_answer_fails_or_is_mixed_while_a_file_is_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let trained = folder.path().join("trained");
    let files: [PathBuf; 2] = [("a", "value"), ("b", "other")]
        .map(|(name, target)| train_small_model(&trained, name, &["--target", target]));
    let data = window(ROWS, 0.5);
    let truths: HashMap<String, Vec<f32>> = files
        .iter()
        .enumerate()
        .map(|(place, file)| {
            let alone = folder.path().join(format!("alone-{place}"));
            put(file, &alone);
            over_json(&Server::start(&alone, &[]), &data).remove(0)
        })
        .collect();
    assert_eq!(truths.len(), 2);
    let hashes: Vec<&String> = truths.keys().collect();
    assert_ne!(truths[hashes[0]], truths[hashes[1]], "the files must differ for this to prove anything");

    let served = folder.path().join("served");
    put(&files[0], &served);
    let server = Server::start(&served, &[]);
    let is_over = AtomicBool::new(false);
    let ways = [Way::Json, Way::Batch, Way::Grpc];
    // What each client was answered by last: the files are exchanged again when all have met the newest.
    let newest = ways.map(|_| Mutex::new(String::new()));
    std::thread::scope(|scope| {
        let clients: Vec<_> = ways
            .iter()
            .zip(&newest)
            .map(|(&way, newest)| {
                let (server, is_over, truths, data) = (&server, &is_over, &truths, &data);
                scope.spawn(move || {
                    let mut answered = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        for (hash, values) in ask(way, server, data) {
                            assert_eq!(truths.get(&hash), Some(&values), "{way:?} in the name of {hash}");
                            *newest.lock().unwrap() = hash;
                            answered += 1;
                        }
                    }
                    answered
                })
            })
            .collect();
        let since = Instant::now();
        let mut before = String::new();
        'exchanges: for number in 1..=EXCHANGES {
            put(&files[number % 2], &served);
            let load = Request::post("/v2/repository/models/wave/load", "{}");
            assert_eq!(send(server.http, &load).status, 200);
            let now = over_json(&server, &data).remove(0).0;
            assert_ne!(now, before, "exchange {number} changed nothing");
            while newest.iter().any(|newest| *newest.lock().unwrap() != now) {
                // A client that failed sees nothing new: its own message tells why.
                if clients.iter().any(std::thread::ScopedJoinHandle::is_finished)
                    || since.elapsed() > crate::support::BOUND
                {
                    break 'exchanges;
                }
                std::thread::yield_now();
            }
            before = now;
        }
        let all_met = since.elapsed() <= crate::support::BOUND;
        is_over.store(true, Ordering::Relaxed);
        let answered: Vec<usize> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(all_met && answered.iter().all(|count| *count >= EXCHANGES), "{answered:?}");
    });
    assert_eq!(
        server.metric("spinwell_requests_total", &[]),
        server.metric("spinwell_requests_total", &["code=\"ok\""])
    );
}

#[test]
fn the_index_says_why_a_file_is_not_loaded_and_what_answers_instead() {
    let folder = tempfile::tempdir().unwrap();
    let file = train_small_model(folder.path(), "wave", &["--target", "value"]);
    let whole = fs::read(&file).unwrap();
    let server = Server::start(folder.path(), &[]);
    let load =
        |name: &str| send(server.http, &Request::post(&format!("/v2/repository/models/{name}/load"), "{}"));
    let entry = |name: &str| {
        let index = send(server.http, &Request::post("/v2/repository/index", "")).json();
        let found = index.as_array().unwrap().iter().find(|entry| entry["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name} is not in {index}"))
    };
    let check = |name: &str, state: &str, words: &[&str]| {
        let entry = entry(name);
        let reason = entry["reason"].as_str().unwrap_or_default();
        assert!(entry["state"] == state && words.iter().all(|word| reason.contains(word)), "{entry}");
        assert_eq!(reason.is_empty(), words.is_empty(), "{entry}");
    };
    let bad = folder.path().join("bad/1");
    fs::create_dir_all(&bad).unwrap();
    fs::write(bad.join("model.spinwell"), "this is no model").unwrap();
    check("bad", "UNAVAILABLE", &["it is not loaded"]);
    assert_eq!((load("bad").status, load("bad").code().as_str()), (500, "SPW-FILE-FOREIGN"));
    check("bad", "UNAVAILABLE", &["SPW-FILE-FOREIGN", "not a Spinwell model file"]);
    // A pipe that nobody writes to keeps nobody waiting.
    fs::remove_file(bad.join("model.spinwell")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(bad.join("model.spinwell")).status().unwrap();
    assert!(made.success());
    assert_eq!((load("bad").status, load("bad").code().as_str()), (500, "SPW-IO"));
    check("bad", "UNAVAILABLE", &["SPW-IO", "no regular file"]);
    check("wave", "READY", &[]);
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!((load("wave").status, load("wave").code().as_str()), (500, "SPW-FILE-TRUNCATED"));
    check("wave", "READY", &["what was before is served", "SPW-FILE-TRUNCATED"]);
    over_json(&server, &window(ROWS, 0.5));
    fs::write(&file, &whole).unwrap();
    fs::write(folder.path().join("wave/serving.toml"), "nonsense = 1\n").unwrap();
    assert_eq!(load("wave").status, 500);
    check("wave", "READY", &["what was before is served", "SPW-CONFIG-INVALID"]);
    fs::remove_file(folder.path().join("wave/serving.toml")).unwrap();
    let loaded = load("wave");
    assert_eq!((loaded.status, &loaded.json()["not_loaded"]), (200, &json!([])));
    check("wave", "READY", &[]);
    // A newer version that is broken, beside one that is good.
    fs::create_dir_all(folder.path().join("wave/2")).unwrap();
    fs::write(folder.path().join("wave/2/model.spinwell"), &whole[..whole.len() / 2]).unwrap();
    let loaded = load("wave");
    let left_out = loaded.json()["not_loaded"].clone();
    assert_eq!((loaded.status, &left_out[0]["version"]), (200, &json!("2")), "{left_out}");
    assert!(left_out[0]["reason"].as_str().unwrap().starts_with("SPW-FILE-TRUNCATED"), "{left_out}");
    over_json(&server, &window(ROWS, 0.5));
}
