//! Sequences over the wire: exactly once, in order, to the bit, and still there after the server was killed.

use crate::support::{Answer, Request, Server, models, read_answer, send, train_small_model, window};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

const ROWS: usize = 64;

fn step(server: &Server, model: &str, rows: &[f32], parameters: &Value) -> Answer {
    let body = json!({"parameters": parameters, "inputs": [
        {"name": "series", "shape": [1, rows.len(), 1], "datatype": "FP32", "data": rows}]});
    server.infer(model, &body)
}

/// The numbers of an answer and its parameters.
fn answered(answer: &Answer) -> (Vec<f32>, Value) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let numbers = ["forecast", "lower", "upper"].iter().flat_map(|name| answer.numbers(name)).collect();
    (numbers, answer.json()["parameters"].clone())
}

/// The bits of what a sequence or a window of those rows is answered.
fn bits(answer: &Answer) -> Vec<u32> {
    answered(answer).0.iter().map(|value| value.to_bits()).collect()
}

fn stateless(server: &Server, rows: &[f32]) -> Vec<u32> {
    bits(&step(server, "wave", rows, &json!({})))
}

fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    answer.json()
}

#[test]
fn a_step_is_applied_once_and_in_order_whatever_is_sent() {
    let server = Server::start(models(), &[]);
    let rows = window(ROWS + 3, 0.3);
    let call = |id: &str, rows: &[f32], step_number: u64| {
        let parameters =
            json!({"sequence_id": id, "sequence_start": step_number == 1, "sequence_step": step_number});
        step(&server, "wave", rows, &parameters)
    };
    refused(&call("a", &rows[..1], 2), 404, "SPW-SEQUENCE-UNKNOWN");
    let first = call("a", &rows[..ROWS], 1);
    let (_, said) = answered(&first);
    assert_eq!((&said["sequence_step"], &said["state_source"]), (&json!(1), &json!("cold")));
    assert_eq!((&said["durable"], &said["warming_up"]), (&json!(true), &json!(false)));
    assert_eq!(bits(&call("a", &rows[..ROWS], 1)), bits(&first), "the first step sent again");
    let gap = refused(&call("a", &rows[ROWS..=ROWS], 3), 409, "SPW-SEQUENCE-STEP");
    assert_eq!(gap["expected_step"], 2);
    let second = call("a", &rows[ROWS..=ROWS], 2);
    assert_eq!(answered(&second).1["state_source"], "live");
    assert_eq!(bits(&call("a", &rows[ROWS..=ROWS], 2)), bits(&second));
    let other = refused(&call("a", &rows[..1], 2), 409, "SPW-SEQUENCE-STEP");
    assert_eq!(other["expected_step"], 3);
    assert_eq!(bits(&call("a", &rows[ROWS + 1..], 3)), stateless(&server, &rows));
    let late = refused(&call("a", &rows[..ROWS], 1), 409, "SPW-SEQUENCE-STEP");
    assert_eq!(late["expected_step"], 4, "the first step, sent again late, begins nothing");
    refused(&call("a", &rows[..1], 0), 400, "SPW-REQUEST-INVALID");
    let one = json!({"model": "wave", "series": [1.0], "sequence_id": "a", "sequence_step": 0});
    let batch = Request::post("/v1/predictions", json!({"requests": [one]}).to_string());
    let result = send(server.http, &batch).json()["results"][0].clone();
    assert_eq!(
        (&result["status"], &result["code"]),
        (&json!(400), &json!("SPW-REQUEST-INVALID")),
        "{result}"
    );
    // Too few rows for the model: a naive answer, and said so.
    assert_eq!(answered(&call("young", &rows[..1], 1)).1["warming_up"], true);
    let ends = json!({"sequence_id": "a", "sequence_end": true});
    assert_eq!(answered(&step(&server, "wave", &rows[..1], &ends)).1["sequence_step"], 4);
    refused(&call("a", &rows[..1], 5), 404, "SPW-SEQUENCE-UNKNOWN");
    let of_nobody = json!({"sequence_start": true});
    refused(&step(&server, "wave", &rows[..1], &of_nobody), 400, "SPW-REQUEST-INVALID");
}

#[test]
fn a_damaged_step_log_is_restored_or_moved_away() {
    let data = tempfile::tempdir().unwrap();
    let options = ["--data", data.path().to_str().unwrap()];
    let server = Server::start(models(), &options);
    let rows = rows_of(0, 3);
    for number in 1..=3 {
        let parameters = json!({"sequence_id": "s", "sequence_start": number == 1, "sequence_step": number});
        assert_eq!(step(&server, "wave", &rows[..ROWS], &parameters).status, 200);
    }
    server.kill();
    drop(server);
    let log = data.path().join("sequences/log");
    let segment = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let refused = Server::fails(models(), &options);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("SPW-FILE-CORRUPT") && told.contains(segment.to_str().unwrap()), "{told}");
    assert!(told.contains("hint: restore the data folder") && !told.contains("trained"), "{told}");
    std::fs::rename(&segment, data.path().join("away")).unwrap();
    let server = Server::start(models(), &options);
    let of_nobody = json!({"sequence_id": "s", "sequence_step": 4});
    assert_eq!(step(&server, "wave", &rows[..1], &of_nobody).status, 404, "its steps are lost");
}

/// Steps sequences on some threads until the server is gone. Gives the acknowledged steps of each with their answers' bits.
fn step_until_gone(server: &Server, sequences: usize, gone: &AtomicBool) -> Vec<(usize, Vec<u32>)> {
    const THREADS: usize = 4;
    let work = |thread: usize| {
        let mut all: Vec<(usize, (usize, Vec<u32>))> =
            (thread..sequences).step_by(THREADS).map(|sequence| (sequence, (0, Vec::new()))).collect();
        while !gone.load(Ordering::SeqCst) {
            for (sequence, (steps, newest)) in &mut all {
                let rows = rows_of(*sequence, *steps + 1);
                let rows = if *steps == 0 { &rows[..] } else { &rows[rows.len() - 1..] };
                let parameters = json!({"sequence_id": format!("s{sequence}"), "sequence_start": *steps == 0,
                    "sequence_step": *steps + 1});
                let body = json!({"parameters": parameters, "inputs": [
                    {"name": "series", "shape": [1, rows.len(), 1], "datatype": "FP32", "data": rows}]});
                let request = Request::post("/v2/models/wave/infer", body.to_string());
                // A server that was killed takes no connection, or ends one without an answer.
                let Ok(mut stream) = std::net::TcpStream::connect(server.http) else { return all };
                let sent =
                    write!(stream, "{}\r\n\r\n", request.head).and_then(|()| stream.write_all(&request.body));
                if sent.is_err() {
                    return all;
                }
                let answer = read_answer(stream);
                if answer.status == 0 {
                    return all;
                }
                (*steps, *newest) = (*steps + 1, bits(&answer));
            }
        }
        all
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_by_key(|(sequence, _)| *sequence);
    all.into_iter().map(|(_, steps)| steps).collect()
}

/// All rows of a sequence after so many steps: the first brings a window, each other one row.
fn rows_of(sequence: usize, steps: usize) -> Vec<f32> {
    window(ROWS + steps - 1, sequence as f64 * 0.1)
}

#[test]
fn a_killed_server_has_lost_and_doubled_no_step_when_it_is_back() {
    const SEQUENCES: usize = 40;
    let data = tempfile::tempdir().unwrap();
    let own = data.path().to_str().unwrap();
    // Copies are made every half second, so that the kill meets the log, the database and what lies between.
    let config = data.path().join("spinwell.toml");
    std::fs::write(&config, "[sequences]\nsnapshot_interval_ms = 1\n").unwrap();
    let options = ["--data", own, "--config", config.to_str().unwrap()];
    let server = Server::start(models(), &options);
    let gone = AtomicBool::new(false);
    let steps = std::thread::scope(|scope| {
        let stepping = scope.spawn(|| step_until_gone(&server, SEQUENCES, &gone));
        std::thread::sleep(std::time::Duration::from_millis(1500));
        server.kill();
        gone.store(true, Ordering::SeqCst);
        stepping.join().unwrap()
    });
    assert!(steps.iter().all(|(steps, _)| *steps > 0), "too early: {steps:?}");
    drop(server);
    let server = Server::start(models(), &options);
    for (sequence, (steps, newest)) in steps.into_iter().enumerate() {
        let call = |step_number: usize| {
            let rows = rows_of(sequence, step_number);
            let rows = if step_number == 1 { &rows[..] } else { &rows[rows.len() - 1..] };
            let parameters = json!({"sequence_id": format!("s{sequence}"), "sequence_start": step_number == 1,
                "sequence_step": step_number});
            step(&server, "wave", rows, &parameters)
        };
        // What was acknowledged is there; one step more may be, whose answer was on its way.
        let again = call(steps);
        let reached = if again.status == 200 {
            assert_eq!(bits(&again), newest, "sequence {sequence}, step {steps}");
            steps
        } else {
            assert_eq!(refused(&again, 409, "SPW-SEQUENCE-STEP")["expected_step"], steps + 2);
            steps + 1
        };
        let next = call(reached + 1);
        assert_eq!(bits(&next), stateless(&server, &rows_of(sequence, reached + 1)), "sequence {sequence}");
    }
}

#[test]
fn states_are_taken_away_brought_back_forked_and_removed() {
    let server = Server::start(models(), &[]);
    let rows = window(ROWS + 2, 1.0);
    let path = |id: &str, what: &str| format!("/v1/models/wave/sequences/{id}/{what}");
    let go_on = |id: &str, number: usize| {
        let parameters = json!({"sequence_id": id, "sequence_step": number});
        step(&server, "wave", &rows[ROWS + number - 2..=ROWS + number - 2], &parameters)
    };
    refused(&server.get(&path("a", "state")), 404, "SPW-SEQUENCE-UNKNOWN");
    answered(&step(&server, "wave", &rows[..ROWS], &json!({"sequence_id": "a", "sequence_start": true})));
    let state = server.get(&path("a", "state"));
    assert_eq!(state.status, 200);
    assert!(state.head.contains("spinwell-sequence-step: 1"), "{}", state.head);
    let fork = send(server.http, &Request::post(&path("a", "fork"), r#"{"to": "b"}"#));
    assert_eq!((fork.status, &fork.json()["sequence_step"]), (200, &json!(1)), "{}", fork.text());
    refused(
        &send(server.http, &Request::post(&path("a", "fork"), r#"{"to": "b"}"#)),
        409,
        "SPW-SEQUENCE-EXISTS",
    );
    for (body, said) in
        [("{}", "missing field `to`"), ("[]", "it is no JSON object"), (r#"["b"]"#, "it is no JSON object")]
    {
        let answer = send(server.http, &Request::post(&path("a", "fork"), body));
        let why = refused(&answer, 400, "SPW-REQUEST-INVALID")["error"].to_string();
        assert!(why.contains(said), "{body}: {why}");
    }
    // The number 0 is no id, and the path knows no other 0.
    refused(&server.get(&path("0", "state")), 400, "SPW-REQUEST-INVALID");
    refused(
        &send(server.http, &Request::post(&path("a", "fork"), r#"{"to": "0"}"#)),
        400,
        "SPW-REQUEST-INVALID",
    );
    let second = bits(&go_on("a", 2));
    assert_eq!(bits(&go_on("b", 2)), second);
    let put = |id: &str, bytes: &[u8]| {
        let mut request = Request::post(&path(id, "state"), bytes);
        request.head = request.head.replacen("POST", "PUT", 1);
        send(server.http, &request)
    };
    assert_eq!(put("c", &state.body).status, 200);
    let back = go_on("c", 2);
    assert_eq!((bits(&back), &answered(&back).1["state_source"]), (second, &json!("snapshot")));
    refused(&put("d", b"no state"), 400, "SPW-REQUEST-INVALID");
    refused(&put("d", &state.body[..state.body.len() - 1]), 400, "SPW-REQUEST-INVALID");
    let mut of_nobody = Request::post("/v1/models/nobody/sequences/d/state", &state.body[..]);
    of_nobody.head = of_nobody.head.replacen("POST", "PUT", 1);
    refused(&send(server.http, &of_nobody), 404, "SPW-MODEL-NOT-FOUND");
    let removed = send(server.http, &Request::new("DELETE", &path("b", "state")));
    assert_eq!(removed.status, 200, "{}", removed.text());
    refused(&go_on("b", 3), 404, "SPW-SEQUENCE-UNKNOWN");
    refused(&send(server.http, &Request::new("DELETE", &path("b", "state"))), 404, "SPW-SEQUENCE-UNKNOWN");
}

#[test]
fn what_was_removed_stays_removed_and_what_was_begun_anew_stays_so_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let (own, config) = (data.path().to_str().unwrap(), data.path().join("spinwell.toml"));
    std::fs::write(&config, "[sequences]\nsnapshot_interval_ms = 1\n").unwrap();
    let options = ["--data", own, "--config", config.to_str().unwrap()];
    let rows = window(ROWS + 2, 0.7);
    let path = |id: &str| format!("/v1/models/wave/sequences/{id}/state");
    let start = |id: &str| json!({"sequence_id": id, "sequence_start": true});
    let server = Server::start(models(), &options);
    for id in ["gone", "new", "over"] {
        answered(&step(&server, "wave", &rows[..ROWS], &start(id)));
    }
    // The states are in the database and the steps before them are gone from the log.
    let since = std::time::Instant::now();
    while server.metric("spinwell_sequence_states_copied_total", &[]) < 3.0 {
        assert!(since.elapsed() < std::time::Duration::from_secs(20), "states are not copied");
        std::thread::yield_now();
    }
    for id in ["gone", "new", "over"] {
        answered(&step(&server, "wave", &rows[ROWS..=ROWS], &json!({"sequence_id": id})));
    }
    assert_eq!(send(server.http, &Request::new("DELETE", &path("gone"))).status, 200);
    assert_eq!(send(server.http, &Request::new("DELETE", &path("new"))).status, 200);
    answered(&step(&server, "wave", &rows[..ROWS], &start("new")));
    let end = json!({"sequence_id": "over", "sequence_end": true});
    let last = answered(&step(&server, "wave", &rows[ROWS + 1..], &end));
    server.kill();
    drop(server);
    let server = Server::start(models(), &options);
    for _ in 0..2 {
        refused(&server.get(&path("gone")), 404, "SPW-SEQUENCE-UNKNOWN");
        refused(&server.get(&path("over")), 404, "SPW-SEQUENCE-UNKNOWN");
    }
    let again = json!({"sequence_id": "over", "sequence_step": 3});
    assert_eq!(
        answered(&step(&server, "wave", &rows[ROWS + 1..], &again)).0,
        last.0,
        "its last step, sent again"
    );
    let next = step(&server, "wave", &rows[ROWS..=ROWS], &json!({"sequence_id": "new", "sequence_step": 2}));
    assert_eq!(bits(&next), stateless(&server, &rows[..=ROWS]));
}

#[test]
fn sequences_of_a_stopped_server_go_on_with_the_next_one() {
    let data = tempfile::tempdir().unwrap();
    let options = ["--data", data.path().to_str().unwrap()];
    let rows = window(ROWS + 1, 2.0);
    let server = Server::start(models(), &options);
    answered(&step(&server, "wave", &rows[..ROWS], &json!({"sequence_id": 7, "sequence_start": true})));
    let second = Server::fails(models(), &options);
    assert!(String::from_utf8_lossy(&second.stderr).contains("SPW-DATA-IN-USE"), "two servers in one folder");
    server.terminate();
    assert!(server.wait().success());
    let server = Server::start(models(), &options);
    let next = step(&server, "wave", &rows[ROWS..], &json!({"sequence_id": "7"}));
    assert_eq!(answered(&next).1["state_source"], "snapshot");
    assert_eq!(bits(&next), stateless(&server, &rows));
}

#[test]
fn a_model_that_changes_under_load_answers_as_one_of_the_two_and_never_fails() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["2", "4"].map(|lags| {
        let name = format!("lags-{lags}");
        train_small_model(folder.path(), &name, &["--target", "value", "--set", &format!("lags={lags}")])
    });
    let own = folder.path().join("served");
    let file = own.join("wave/1/model.spinwell");
    let put = |from: &std::path::Path| {
        std::fs::copy(from, own.join("next")).unwrap();
        std::fs::rename(own.join("next"), &file).unwrap();
    };
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    put(&files[0]);
    let server = Server::start(&own, &[]);
    let load = || {
        let loaded = send(server.http, &Request::post("/v2/repository/models/wave/load", ""));
        assert_eq!(loaded.status, 200, "{}", loaded.text());
    };
    let rows = window(ROWS, 0.0);
    let answer = || {
        let answer = step(&server, "wave", &rows, &json!({}));
        let (_, said) = answered(&answer);
        (said["model_hash"].as_str().unwrap().to_owned(), bits(&answer))
    };
    let first = answer();
    put(&files[1]);
    load();
    let second = answer();
    assert!(first.0 != second.0 && first.1 != second.1, "two models that differ");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut calls = [0, 0];
            while !over.load(Ordering::SeqCst) {
                let now = answer();
                assert!(now == first || now == second, "an answer of neither");
                calls[usize::from(now == second)] += 1;
            }
            calls
        });
        for round in 0..40 {
            put(&files[round % 2]);
            load();
        }
        over.store(true, Ordering::SeqCst);
        let calls = calling.join().unwrap();
        assert!(calls.iter().all(|&calls| calls > 0), "{calls:?}");
    });
    // A sequence goes on with the model that it was begun with, whatever is served by now; then nothing is.
    let begun = step(&server, "wave", &rows, &json!({"sequence_id": "s", "sequence_start": true}));
    let hash = answered(&begun).1["model_hash"].clone();
    put(&files[0]);
    load();
    let next = step(&server, "wave", &rows[..1], &json!({"sequence_id": "s"}));
    assert_eq!((&answered(&next).1["model_hash"], answer().0 == first.0), (&hash, true));
    assert_ne!(hash, json!(first.0));
    let unloaded = send(server.http, &Request::post("/v2/repository/models/wave/unload", "{}"));
    assert_eq!(unloaded.status, 200, "{}", unloaded.text());
    let listed = send(server.http, &Request::post("/v2/repository/index", r#"{"ready": true}"#)).json();
    assert_eq!(listed, json!([]));
    refused(&step(&server, "wave", &rows, &json!({})), 404, "SPW-MODEL-NOT-FOUND");
}
