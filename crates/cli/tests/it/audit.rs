//! The ledger of a real server: what its callers saw is in it, whatever becomes of the server, and nobody changes it unseen.

use crate::support::{Request, Server, json, models, run, said, send, window};
use serde_json::{Value, json};
use spinwell_ledger::LogKey;
use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ROWS: usize = 40;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn body(id: &str) -> Value {
    json!({"id": id, "inputs": [
        {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window(ROWS, 0.3)}]})
}

/// Calls until the server is gone. Gives the receipts of the answers that came, by the requests' ids.
fn call_until_gone(server: &Server, thread: &str, gone: &AtomicBool) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for number in 0.. {
        if gone.load(Ordering::SeqCst) {
            break;
        }
        let id = format!("{thread}-{number}");
        let request = Request::post("/v2/models/wave/infer", body(&id).to_string());
        let Ok(mut stream) = TcpStream::connect(server.http) else { break };
        let sent = write!(stream, "{}\r\n\r\n", request.head).and_then(|()| stream.write_all(&request.body));
        if sent.is_err() {
            break;
        }
        let answer = crate::support::read_answer(stream);
        if answer.status != 200 {
            break;
        }
        let document: Value = match serde_json::from_slice(&answer.body) {
            Ok(document) => document,
            // Cut off in the middle of the body.
            Err(_) => break,
        };
        seen.push((id, document["parameters"]["receipt"].as_str().unwrap().to_owned()));
    }
    seen
}

/// All predictions of a ledger as OCSF events, by their receipts.
fn exported(data: &Path) -> HashMap<String, Value> {
    let lines = said(&["audit", "export", "--data", text(data)]);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| (event["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), event)).collect()
}

#[test]
fn what_callers_saw_is_in_the_ledger_of_a_server_that_was_killed_ten_times() {
    let data = tempfile::tempdir().unwrap();
    let options = ["--data", text(data.path())];
    let mut seen = Vec::new();
    for round in 0..10u64 {
        let server = Server::start(models(), &options);
        let gone = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..3)
                .map(|thread| {
                    let (server, gone) = (&server, &gone);
                    scope.spawn(move || call_until_gone(server, &format!("{round}-{thread}"), gone))
                })
                .collect();
            // Anywhere between seals, signatures and answers.
            std::thread::sleep(Duration::from_millis(60 + 131 * round));
            server.kill();
            gone.store(true, Ordering::SeqCst);
            for caller in callers {
                seen.extend(caller.join().unwrap());
            }
        });
    }
    assert!(seen.len() > 100, "{} answers", seen.len());
    let server = Server::start(models(), &options);
    server.terminate();
    assert!(server.wait().success());
    let report = json(&["audit", "verify", "--data", text(data.path()), "--json"]);
    let log = &report["logs"][0];
    assert_eq!(
        (&report["holds"], &log["gaps"], &log["origin"]),
        (&json!(true), &json!([]), &json!("spinwell/gateway"))
    );
    let ledger = exported(data.path());
    assert_eq!(log["records"], ledger.len(), "every record is one prediction");
    for (id, receipt) in &seen {
        let event = ledger.get(receipt).unwrap_or_else(|| panic!("{receipt} of {id} is not in the ledger"));
        assert_eq!(event["api"]["request"]["uid"], id.as_str());
        assert_eq!((&event["status"], &event["ai_model"]["name"]), (&json!("Success"), &json!("wave")));
        assert_eq!(event["unmapped"]["input"].as_str().map(str::len), Some(43));
    }
    let receipts: HashSet<_> = seen.iter().map(|(_, receipt)| receipt).collect();
    assert_eq!(receipts.len(), seen.len(), "no two answers have the same receipt");
}

#[test]
fn a_receipt_proves_itself_and_requests_that_failed_are_there_as_well() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(models(), &["--data", text(data.path())]);
    let answer = server.infer("wave", &body("mine"));
    let receipt = answer.json()["parameters"]["receipt"].as_str().unwrap().to_owned();
    assert_eq!(server.infer("nowhere", &body("lost")).status, 404);
    let one = |model: &str| json!({"id": model, "model": model, "series": window(ROWS, 0.0)});
    let call = json!({"requests": [one("wave"), one("nowhere")]}).to_string();
    let batch = send(server.http, &Request::post("/v1/predictions", call)).json();
    let batch_id = batch["batch_id"].as_str().unwrap();
    let of_batch = batch["results"][0]["parameters"]["receipt"].as_str().unwrap();

    let keys = data.path().join("ledger/log.vkey");
    let (url, file) = (format!("http://{}", server.http), data.path().join("receipt.json"));
    let got = json(&[
        "audit",
        "receipt",
        &receipt,
        "--url",
        &url,
        "--key",
        text(&keys),
        "--out",
        text(&file),
        "--json",
    ]);
    assert_eq!((&got["holds"], &got["record"]["request_id"]), (&json!(true), &json!("mine")));
    let checked = json(&["audit", "receipt", text(&file), "--key", text(&keys), "--json"]);
    assert_eq!(checked["record"], got["record"]);
    let told = said(&["audit", "receipt", text(&file), "--key", text(&keys)]);
    let verdict = told.lines().last().unwrap();
    assert!(verdict.starts_with("holds ") && verdict.ends_with("of spinwell/gateway"), "{told}");
    assert_eq!(
        json(&["audit", "receipt", of_batch, "--data", text(data.path()), "--json"])["record"]["batch_call"],
        batch_id
    );
    let refused = |arguments: &[&str], code: &str| {
        let output = run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(code), "{arguments:?}: {told}");
    };
    let forged = std::fs::read_to_string(&file).unwrap().replace("mine", "mind");
    let forgery = data.path().join("forged.json");
    std::fs::write(&forgery, forged).unwrap();
    refused(&["audit", "receipt", text(&forgery), "--key", text(&keys)], "SPW-LEDGER-WRONG");
    refused(&["audit", "receipt", "gateway-0-77", "--data", text(data.path())], "SPW-RECEIPT-UNKNOWN");
    refused(
        &["audit", "receipt", "gateway-0-77", "--url", &url, "--key", text(&keys)],
        "SPW-RECEIPT-UNKNOWN",
    );
    assert_eq!(server.get("/v1/receipts/elsewhere-0-0").status, 404);
    // Of another life, in which that number was given to what is lost.
    assert_eq!(server.get("/v1/receipts/gateway-1-0").json()["code"], "SPW-RECEIPT-UNKNOWN");
    refused(&["audit", "receipt", "gateway-1-0", "--data", text(data.path())], "SPW-RECEIPT-UNKNOWN");

    server.terminate();
    assert!(server.wait().success());
    let search = |arguments: &[&str]| {
        let all = [&["audit", "search", "--data", text(data.path()), "--json"], arguments].concat();
        json(&all)["lines"].as_array().unwrap().len()
    };
    assert_eq!(search(&["--result", "SPW-MODEL-NOT-FOUND"]), 2);
    assert_eq!(search(&["--result", "failed", "--model", "nowhere"]), 2);
    assert_eq!(search(&["--model", "wave", "--result", "answered"]), 2);
    assert_eq!(search(&["--batch-call", batch_id]), 4, "two requests, its begin and its end");
    assert_eq!(search(&["--until", "2020-01-01T00:00:00Z"]), 0);
    let tail = said(&["audit", "tail", "-n", "2", "--data", text(data.path())]);
    assert!(tail.trim_end().ends_with("closed in good order"), "{tail}");
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The entries of a bundle, each of which stands behind its length.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bytes = rest;
    }
    entries
}

#[test]
fn a_ledger_that_was_changed_cut_off_or_replaced_is_found_by_whoever_has_the_key() {
    let data = tempfile::tempdir().unwrap();
    let serve = |count: usize| {
        let server = Server::start(models(), &["--data", text(data.path())]);
        for number in 0..count {
            assert_eq!(server.infer("wave", &body(&format!("r{number}"))).status, 200);
        }
        server.terminate();
        assert!(server.wait().success());
    };
    serve(3);
    let (ledger, early) = (data.path().join("ledger"), data.path().join("early"));
    copy(&ledger, &early);
    serve(3);
    let key = std::fs::read_to_string(ledger.join("log.vkey")).unwrap();
    let verify = |folder: &Path, seen: &[&Path]| {
        let mut arguments = vec!["audit", "verify", "--offline", text(folder), "--key", key.trim(), "--json"];
        seen.iter().for_each(|path| arguments.extend(["--seen", text(path)]));
        let output = run(&arguments);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), document["holds"] == true);
        document["logs"][0].clone()
    };
    let (then, now) = (early.join("gateway/checkpoint"), ledger.join("gateway/checkpoint"));
    let whole = verify(&ledger, &[&then]);
    assert_eq!((&whole["holds"], &whole["records"]), (&json!(true), &json!(6)));
    assert!(whole["seen_up_to"].as_u64() < whole["entries"].as_u64());
    assert!(verify(&ledger, &[])["cannot_be_excluded"].as_str().unwrap().contains("no checkpoint was given"));
    // The older log is whole, and shorter than somebody has seen.
    assert_eq!(verify(&early, &[])["holds"], true);
    assert!(verify(&early, &[&now])["error"].as_str().unwrap().contains("was cut off"));
    // Entries of a real log: one dropped, two swapped, one cut off the end, one doubled.
    let bundle = |folder: &Path| {
        let size = whole["entries"].as_u64().unwrap();
        folder.join(format!("gateway/tile/entries/000.p/{size}"))
    };
    type Tamper = fn(&mut Vec<Vec<u8>>);
    let tampers: [(Tamper, u64); 4] = [
        (|entries| drop(entries.remove(1)), 1),
        (|entries| entries.swap(1, 2), 1),
        (|entries| entries.truncate(3), 3),
        (|entries| entries.insert(2, entries[2].clone()), 3),
    ];
    for (case, (tamper, first_bad)) in tampers.into_iter().enumerate() {
        let folder = data.path().join(format!("tampered-{case}"));
        copy(&ledger, &folder);
        let mut entries = split(&std::fs::read(bundle(&folder)).unwrap());
        tamper(&mut entries);
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat())
            .collect();
        std::fs::write(bundle(&folder), bytes).unwrap();
        let broken = verify(&folder, &[]);
        assert_eq!(broken["first_bad_entry"], first_bad, "{case}: {broken}");
    }
    // One bit of a record's file.
    let batches = ledger.join("gateway/batches");
    let file = std::fs::read_dir(&batches).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 4;
    std::fs::write(&file, &bytes).unwrap();
    let broken = verify(&ledger, &[]);
    let entry: u64 = file.file_name().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!(broken["first_bad_entry"], entry, "{broken}");
    // Another server's key.
    let other = tempfile::tempdir().unwrap();
    let server = Server::start(models(), &["--data", text(other.path())]);
    server.terminate();
    assert!(server.wait().success());
    let foreign = text(&other.path().join("ledger/log.vkey")).to_owned();
    assert!(!run(&["audit", "verify", "--offline", text(&early), "--key", &foreign]).status.success());
}

#[test]
fn a_log_that_is_there_twice_is_missing_or_has_no_key_is_told_by_its_name() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(models(), &["--data", text(data.path())]);
    assert_eq!(server.infer("wave", &body("one")).status, 200);
    server.terminate();
    assert!(server.wait().success());
    let (ledger, keys) = (data.path().join("ledger"), data.path().join("all.vkey"));
    let lost = LogKey::of_seed("spinwell/lost", &[3; 32]).unwrap().public().to_string();
    let own = std::fs::read_to_string(ledger.join("log.vkey")).unwrap();
    std::fs::write(&keys, format!("{own}{lost}\n")).unwrap();
    let verify = |key: &str| {
        let output = run(&["audit", "verify", "--offline", text(&ledger), "--key", key, "--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), document["holds"] == true);
        (document, String::from_utf8(output.stderr).unwrap())
    };
    let (document, error) = verify(text(&keys));
    assert_eq!((&document["holds"], &document["missing"]), (&json!(true), &json!(["spinwell/lost"])));
    assert!(error.contains("keys of spinwell/lost, and no log"), "{error}");
    assert_eq!(verify(own.trim()).0["missing"], json!([]));
    let (_, error) = verify(&lost);
    assert!(error.contains("no key was given for spinwell/gateway"), "{error}");
    let fork = ledger.join("fork");
    copy(&ledger.join("gateway"), &fork);
    let (document, error) = verify(own.trim());
    assert!(document["logs"].as_array().unwrap().iter().all(|log| log["holds"] == false), "{document}");
    assert!(error.contains("SPW-LEDGER-WRONG") && error.contains("a fork"), "{error}");
    assert!(error.contains(text(&fork)) && error.contains(text(&ledger.join("gateway"))), "{error}");
}

#[test]
fn a_search_for_what_cannot_be_is_refused() {
    let rows: [(&[&str], &str); 5] = [
        (&["--kind", "predictions"], "prediction, batch_call, event"),
        (&["--result", "ok"], "answered, cancelled, failed, begun, done"),
        (&["--result", "SPW_NOTHING"], "error codes"),
        (&["--since", "2026-11-29", "--until", "2026-11-28T23:00:00Z"], "--since is after --until"),
        (&["--since", "2026-13-01"], "no date such as"),
    ];
    for (filter, why) in rows {
        for command in ["search", "export"] {
            let output = run(&[&["audit", command], filter].concat());
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{filter:?}: {told}");
            assert!(told.contains(why), "{told}");
        }
    }
}

#[test]
fn a_recorded_prediction_is_computed_again_bit_for_bit() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(models(), &["--data", text(data.path())]);
    let receipt = |request: &Value, model: &str| {
        let answer = server.infer(model, request);
        answer.json()["parameters"]["receipt"].as_str().unwrap_or_default().to_owned()
    };
    let (mut pair, mut step) = (body("pair"), body("step"));
    pair["inputs"] =
        json!([{"name": "series", "shape": [2, ROWS, 2], "datatype": "FP32", "data": window(4 * ROWS, 0.7)}]);
    pair["outputs"] = json!([{"name": "direction"}, {"name": "forecast"}]);
    step["parameters"] = json!({"sequence_id": "s-1", "sequence_start": true});
    let cases = [(body("one"), "wave"), (pair, "pair"), (step, "wave"), (body("lost"), "nowhere")];
    let mut ids: Vec<String> = cases.iter().map(|(request, model)| receipt(request, model)).collect();
    server.terminate();
    assert!(server.wait().success());
    // What was refused has no receipt in its answer, and a record all the same.
    ids[3] = "gateway-0-3".into();
    let files: Vec<_> = (0..cases.len()).map(|case| data.path().join(format!("{case}.json"))).collect();
    for ((request, _), file) in cases.iter().zip(&files) {
        std::fs::write(file, request.to_string()).unwrap();
    }
    let replay = |id: &str, input: &Path, models: &Path| {
        let output = run(&[
            "audit",
            "replay",
            id,
            "--input",
            text(input),
            "--models",
            text(models),
            "--data",
            text(data.path()),
            "--json",
        ]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(output.status.success(), document["agrees"] == true);
        (document, String::from_utf8(output.stderr).unwrap())
    };
    for case in [0, 1] {
        let (document, error) = replay(&ids[case], &files[case], models());
        assert_eq!(
            (&document["agrees"], &document["record"]["model"]),
            (&json!(true), &json!(cases[case].1)),
            "{error}"
        );
    }
    // The same values as a CSV.
    let csv = data.path().join("window.csv");
    let rows: Vec<String> = window(ROWS, 0.3).iter().map(f32::to_string).collect();
    std::fs::write(&csv, format!("value\n{}\n", rows.join("\n"))).unwrap();
    assert_eq!(replay(&ids[0], &csv, models()).0["agrees"], true);
    // One value more in its last place.
    let mut changed = body("one");
    changed["inputs"][0]["data"][7] = json!(window(ROWS, 0.3)[7].next_up());
    let other = data.path().join("other.json");
    std::fs::write(&other, changed.to_string()).unwrap();
    let (document, error) = replay(&ids[0], &other, models());
    assert_eq!((&document["agrees"], &document["input_is_the_one"]), (&json!(false), &json!(false)));
    assert!(error.contains("SPW-LEDGER-WRONG"), "{error}");
    assert!(error.contains("is not what was asked in gateway-0-0"), "{error}");
    // The right input, and other outputs than were asked for.
    let mut fewer = body("one");
    fewer["outputs"] = json!([{"name": "forecast"}]);
    std::fs::write(&other, fewer.to_string()).unwrap();
    let (document, _) = replay(&ids[0], &other, models());
    assert_eq!((&document["agrees"], &document["input_is_the_one"]), (&json!(false), &json!(true)));
    // Another model under that name; the right one under another name.
    let moved = tempfile::tempdir().unwrap();
    copy(&models().join("pair"), &moved.path().join("wave"));
    let (_, error) = replay(&ids[0], &files[0], moved.path());
    assert!(error.contains("SPW-MODEL-NOT-FOUND") && error.contains("is another model"), "{error}");
    copy(&models().join("wave"), &moved.path().join("elsewhere"));
    assert_eq!(replay(&ids[0], &files[0], moved.path()).0["agrees"], true);
    for (case, why) in [(2, "it is a step of a sequence"), (3, "it was not answered (SPW-MODEL-NOT-FOUND)")] {
        let (_, error) = replay(&ids[case], &files[case], models());
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_search_finds_the_same_lines_with_an_index_and_without() {
    let data = tempfile::tempdir().unwrap();
    let serve = |round: usize| {
        let server = Server::start(models(), &["--data", text(data.path())]);
        for number in 0..3 {
            server.infer("wave", &body(&format!("w{round}-{number}")));
            server.infer("nowhere", &body(&format!("n{round}-{number}")));
        }
        let mut step = body("step");
        step["parameters"] = json!({"sequence_id": format!("s-{round}"), "sequence_start": true});
        server.infer("wave", &step);
        let one = json!({"model": "wave", "series": window(ROWS, 0.0)});
        send(server.http, &Request::post("/v1/predictions", json!({"requests": [one]}).to_string()));
        server.terminate();
        assert!(server.wait().success());
    };
    let filters: [&[&str]; 13] = [
        &[],
        &["--model", "wave"],
        &["--model", "wave", "--result", "answered"],
        &["--result", "failed"],
        &["--result", "SPW-MODEL-NOT-FOUND"],
        &["--kind", "prediction"],
        &["--kind", "batch_call"],
        &["--kind", "opened"],
        &["--tenant", "default", "--sequence", "s-1"],
        &["--request-id", "w0-2"],
        &["--principal", "nobody"],
        &["--until", "2020-01-01T00:00:00Z"],
        &["--since", "2020-01-01", "--result", "failed"],
    ];
    let search = |folder: &Path| -> Vec<Value> {
        let lines = |filter: &&[&str]| {
            let all =
                [&["audit", "search", "--offline", text(folder), "--json", "--limit", "5"], *filter].concat();
            json(&all)["lines"].clone()
        };
        filters.iter().map(lines).collect()
    };
    let ledger = data.path().join("ledger");
    serve(0);
    let walked = search(&ledger);
    assert!(!ledger.join("gateway/index.db").exists(), "nobody makes one unasked");
    let made = json(&["audit", "index", "--data", text(data.path()), "--json"]);
    assert_eq!(made["logs"][0]["entries"], made["logs"][0]["new_entries"]);
    assert_eq!(search(&ledger), walked);
    assert_eq!(
        walked.iter().map(|lines| lines.as_array().unwrap().len()).collect::<Vec<_>>()[..4],
        [5, 5, 5, 3]
    );
    // A log that has grown since, whose index the first search extends.
    serve(1);
    let found = search(&ledger);
    let without = data.path().join("without");
    copy(&ledger, &without);
    std::fs::remove_file(without.join("gateway/index.db")).unwrap();
    assert_eq!(found, search(&without));
    assert_ne!(found, walked);
    // One that hides lines cannot make any up, and one that is none is in nobody's way.
    std::fs::write(ledger.join("gateway/index.db"), "a letter to a friend. ".repeat(90)).unwrap();
    assert_eq!(search(&ledger), found);
}

#[test]
fn a_server_without_a_ledger_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("spinwell.toml");
    std::fs::write(&config, "[ledger]\nenabled = false\n").unwrap();
    let server = Server::start(models(), &["--config", text(&config)]);
    let answer = server.infer("wave", &body("a")).json();
    assert_eq!(answer["parameters"].get("receipt"), None);
    assert_eq!(server.get("/v1/receipts/gateway-0-0").json()["code"], "SPW-NOT-OFFERED");
}
