//! What a real server leaves on the disk with a root key, and who can read it.

use crate::house::{House, Key, WAVE};
use crate::secrets::{content, files};
use crate::serving::json_request;
use crate::support::{Request, Server, json, run, said, send, text, wait_until, window};
use serde_json::Value;
use std::fs;
use std::path::Path;

const ROWS: usize = 64;
/// A value, as the step log would have it; a name; and a request's id. Nothing else has them.
const VALUE: f32 = 7_341.062_5;
const NAME: &str = "ada-lovelace";
const REQUEST: &str = "planted-request";

/// A step of a sequence.
fn step(number: usize) -> Request {
    let mut values = window(if number == 1 { ROWS } else { 1 }, 0.5);
    values[0] = VALUE;
    let mut body = json_request([1, values.len(), 1], &values);
    body["id"] = REQUEST.into();
    body["parameters"] =
        serde_json::json!({"sequence_id": "meter-7", "sequence_start": number == 1, "sequence_step": number});
    Request::post(WAVE, body.to_string())
}

fn take(server: &Server, key: &Key, number: usize) {
    let answer = send(server.http, &step(number).bearer(&key.text));
    assert_eq!(
        (answer.status, answer.json()["parameters"]["sequence_step"].as_u64()),
        (200, Some(number as u64))
    );
}

/// What of these is on the disk, and where.
fn found(data: &Path) -> Vec<String> {
    let secrets = [&VALUE.to_le_bytes()[..], NAME.as_bytes(), REQUEST.as_bytes(), b"PRIVATE+KEY"];
    let mut found = Vec::new();
    for path in files(data) {
        let content = content(&path);
        for (place, secret) in secrets.iter().enumerate() {
            if content.windows(secret.len()).any(|part| part == *secret) {
                found.push(format!("{place} in {}", path.display()));
            }
        }
    }
    found
}

fn stop(server: Server) {
    server.terminate();
    assert!(server.wait().success());
}

#[test]
fn nothing_that_a_server_keeps_is_readable_without_the_root_key_and_all_of_it_is_with_it() {
    let house = House::new();
    let (data, root, config) = (house.path("data"), house.path("root.key"), house.path("root.toml"));
    let key = house.key(&format!("acme/{NAME}"), "admin");
    house.write("tenants.toml", "[acme]\nmodels = [\"pair\"]\n");
    // In the open all of it can be found, or the search finds nothing.
    let server = house.serve("");
    take(&server, &key, 1);
    let mut open = found(&data);
    stop(server);
    open.extend(found(&data));
    assert!((0..4).all(|place| open.iter().any(|one| one.starts_with(&place.to_string()))), "{open:?}");
    fs::remove_dir_all(&data).unwrap();

    let made = json(&["keys", "create", text(&root), "--json"]);
    assert_eq!(made["is_first"], true);
    let encrypted = format!("[encryption]\nroot_key_file = {root:?}\n");
    let server = house.serve(&encrypted);
    for number in 1..=3 {
        take(&server, &key, number);
    }
    assert_eq!(found(&data), [""; 0], "while it runs");
    // An act, whose event names who has done it.
    let state = Request::new("GET", "/v1/models/wave/sequences/meter-7/state").bearer(&key.text);
    assert_eq!(send(server.http, &state).status, 200);
    let unload = Request::post("/v2/repository/models/pair/unload", "{}").bearer(&key.text);
    assert_eq!(send(server.http, &unload).status, 200);
    server.kill();
    assert_eq!(found(&data), [""; 0], "killed");
    let server = house.serve(&encrypted);
    take(&server, &key, 4);
    stop(server);
    assert_eq!(found(&data), [""; 0], "stopped in good order");

    // The ledger does not have the name of the sequence either, as step log and database do.
    let ledger = files(&data.join("ledger"));
    assert!(!ledger.iter().any(|path| content(path).windows(7).any(|part| part == b"meter-7")));

    // Everybody can verify it. Who may read it has the root key.
    assert_eq!(json(&["audit", "verify", "--data", text(&data), "--json"])["logs"][0]["holds"], true);
    let told = said(&["audit", "tail", "--data", text(&data)]);
    assert!(told.contains("for (encrypted)") && !told.contains(NAME), "{told}");
    let blind = run(&["audit", "search", "--principal", NAME, "--data", text(&data)]);
    let remark = String::from_utf8(blind.stderr).unwrap();
    assert!(remark.contains("lines name somebody or something in encrypted form"), "{remark}");
    let with_key = ["--data", text(&data), "--root-key-file", text(&root)];
    let told = said(&[&["audit", "tail"][..], &with_key].concat());
    assert!(told.contains(&format!("sequence meter-7 step 4  for acme/{NAME}")), "{told}");
    assert!(told.contains(&format!("acme/{NAME}: ModelUnload of Model pair, done")), "{told}");
    let search = |more: &[&str]| {
        let who = format!("acme/{NAME}");
        let all = [&["audit", "search", "--principal", &who, "--json"][..], &with_key, more].concat();
        json(&all)["lines"].as_array().unwrap().len()
    };
    // Four steps, a look at a state, a model that was unloaded (begun and done), and the key that was new.
    assert_eq!(
        (search(&[]), search(&["--sequence", "meter-7"]), search(&["--sequence", "meter-8"])),
        (8, 4, 0)
    );
    said(&["audit", "index", "--data", text(&data)]);
    assert_eq!((search(&[]), search(&["--request-id", REQUEST])), (8, 4));
    let export = |more: &[&str]| {
        let output = run(&[&["audit", "export"][..], more].concat());
        String::from_utf8(output.stderr).unwrap().contains("have encrypted names")
    };
    assert_eq!((export(&["--data", text(&data)]), export(&with_key)), (true, false));
    // The index is made of the log as it stands there.
    assert_eq!(found(&data), [""; 0]);

    fs::write(&config, "").unwrap();
    let refused = |options: &[&str]| {
        let output = Server::fails(crate::support::models(), &[&["--data", text(&data)], options].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, message) = refused(&[]);
    assert_eq!(status, Some(1));
    assert!(
        message.contains("SPW-ROOT-KEY-REFUSED") && message.contains("no root key is given"),
        "{message}"
    );
    fs::write(&config, format!("[encryption]\nroot_key_file = {:?}\n", house.path("other.key"))).unwrap();
    said(&["keys", "create", text(&house.path("other.key"))]);
    let (status, message) = refused(&["--config", text(&config)]);
    assert_eq!(status, Some(1));
    assert!(
        message.contains("SPW-ROOT-KEY-REFUSED") && message.contains("is needed, and this is"),
        "{message}"
    );
}

#[test]
fn a_root_key_is_exchanged_while_the_server_answers() {
    let house = House::new();
    let (data, root) = (house.path("data"), house.path("root.key"));
    let key = house.key("acme/meter", "predictor");
    said(&["keys", "create", text(&root)]);
    let encrypted = format!("[encryption]\nroot_key_file = {root:?}\n");
    let server = house.serve(&encrypted);
    take(&server, &key, 1);
    let shown = |more: &[&str]| json(&[&["keys", "show", "--data", text(&data), "--json"], more].concat());
    let by = |shown: &Value| -> Vec<String> {
        let keys = shown["keys"].as_array().unwrap().iter().filter(|key| key["level"] == "tenant");
        keys.map(|key| key["by"].as_str().unwrap().to_owned()).collect()
    };
    let first = by(&shown(&[]));
    assert_eq!(first.len(), 3, "the tenant's, the house's and the server's own: {first:?}");
    let named = shown(&["--tenant", "acme"]);
    assert_eq!(named["keys"].as_array().unwrap().iter().filter(|key| key["of"] == "acme").count(), 2);

    // The server that is to hear of the new root key starts anew; then all is put under it while it answers.
    let made = json(&["keys", "create", text(&root), "--json"]);
    let new = made["root_key"].as_str().unwrap();
    stop(server);
    let server = house.serve(&encrypted);
    take(&server, &key, 2);
    let with = ["--data", text(&data), "--root-key-file", text(&root)];
    let rotated = json(&[&["keys", "rotate", "--json"][..], &with].concat());
    assert_eq!((&rotated["under_new_root"], &rotated["data_keys"]), (&Value::from(3), &Value::from(3)));
    take(&server, &key, 3);
    assert!(by(&shown(&[])).iter().all(|by| by == new));
    // It takes the new keys within seconds: what it seals then is under the next version.
    let versions = || -> Vec<u64> {
        let log = files(&data.join("sequences/log")).into_iter().flat_map(|path| fs::read(path).unwrap());
        let log: Vec<u8> = log.collect();
        let headers = log.windows(28).filter(|bytes| bytes.starts_with(b"SPWE"));
        headers.map(|bytes| u64::from(u32::from_be_bytes(bytes[24..28].try_into().unwrap()))).collect()
    };
    let (mut number, before) = (4, versions().into_iter().max().unwrap());
    wait_until("a step under the new key", || {
        take(&server, &key, number);
        number += 1;
        versions().contains(&(before + 1))
    });
    stop(server);
    // The old root key is needed no more.
    let newest = fs::read_to_string(&root).unwrap().lines().next().unwrap().to_owned();
    fs::write(&root, newest).unwrap();
    let server = house.serve(&encrypted);
    take(&server, &key, number);
    stop(server);
    assert_eq!(json(&["audit", "verify", "--data", text(&data), "--json"])["logs"][0]["holds"], true);
}

#[test]
fn what_is_no_root_key_is_refused_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    for wrong in ["planted-secret", &"0g".repeat(32)] {
        fs::write(&path, wrong).unwrap();
        let data = text(folder.path());
        for command in [
            vec!["keys", "create", text(&path)],
            vec!["keys", "rotate", "--data", data, "--root-key-file", text(&path)],
        ] {
            let output = run(&command);
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command:?}: {message}");
            assert!(!message.contains(wrong), "{message}");
        }
    }
    let refused = run(&["keys", "rotate", "--data", text(folder.path())]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--root-key-file"));
    let none = said(&["keys", "show", "--data", text(folder.path()), "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap()["keys"], serde_json::json!([]));
}
