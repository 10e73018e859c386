//! `spinwell model`, with real files and a real server.

use crate::support::{Server, json, models, run, said, text, train_small_model, window};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// What a command that must fail says, with its exit code.
fn fails(arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = run(arguments);
    (status.code().unwrap(), String::from_utf8_lossy(&stderr).into_owned())
}

/// A command that must fail with this exit code and this error code.
fn check_fails(arguments: &[&str], exit: i32, code: &str) {
    let (status, said) = fails(arguments);
    assert_eq!(status, exit, "{arguments:?}: {said}");
    assert!(said.contains(&format!("error[{code}]")), "{arguments:?}: {said}");
}

/// Two versions of `wave` that differ, in a folder of their own.
fn two_versions() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    train_small_model(&models, "wave", &["--target", "value"]);
    train_small_model(&models, "wave", &["--target", "value", "--coverage", "0.8"]);
    fs::remove_file(models.join("wave.csv")).unwrap();
    (folder, models)
}

/// Everything below a folder, by path and length.
fn tree(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        let length = if path.is_dir() { 0 } else { fs::metadata(&path).unwrap().len() };
        all.push((path, length));
    }
    all.sort();
    all
}

/// The states of a model's versions on a server.
fn states(server: &Server, name: &str) -> Vec<(String, String)> {
    let listed = json(&["model", "list", "--url", &format!("http://{}", server.http), "--json"]);
    let all = listed["models"].as_array().unwrap().clone();
    let own = all.iter().filter(|entry| entry["name"] == name);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    own.map(|entry| (text(&entry["version"]), text(&entry["state"]))).collect()
}

#[test]
fn a_folder_is_listed_with_what_cannot_be_loaded() {
    let (_folder, models) = two_versions();
    let broken = models.join("bad/3");
    fs::create_dir_all(&broken).unwrap();
    let mut bytes = fs::read(models.join("wave/1/model.spinwell")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(broken.join("model.spinwell"), bytes).unwrap();
    fs::create_dir_all(models.join("hollow/1")).unwrap();
    fs::create_dir_all(models.join("wave/.9.partial")).unwrap();

    let listed = json(&["model", "list", "--models", text(&models), "--json"]);
    let all = listed["models"].as_array().unwrap();
    let names: Vec<_> =
        all.iter().map(|m| (m["name"].as_str().unwrap(), m["version"].as_u64().unwrap())).collect();
    assert_eq!(names, [("bad", 3), ("hollow", 1), ("wave", 1), ("wave", 2)]);
    assert_eq!(
        (&all[0]["loadable"], &all[0]["trouble"]["code"]),
        (&json!(false), &json!("SPW-FILE-CORRUPT"))
    );
    assert_eq!(all[1]["trouble"]["code"], "SPW-IO");
    let card: Value = serde_json::from_slice(&fs::read(models.join("wave/2/card.json")).unwrap()).unwrap();
    assert_eq!(all[3]["model_hash"], card["model_hash"]);
    assert_eq!(all[3]["held_out"]["value"], card["holdout"]["stream"]["nrmse"]);
    assert_eq!(
        (&all[3]["task"], &all[3]["family"], &all[3]["horizon"]),
        (&json!("forecast"), &json!("linear"), &json!(3))
    );

    let table = said(&["model", "list", "--models", text(&models)]);
    assert!(
        table.contains("wave:2") && table.contains("SPW-FILE-CORRUPT") && table.contains("NRMSE"),
        "{table}"
    );
    check_fails(&["model", "list", "--models", text(&models.join("none"))], 1, "SPW-IO");
}

#[test]
fn a_model_is_shown_whole_and_a_damaged_one_as_far_as_its_card_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.spinwell");
    fs::copy(models().join("pair/1/model.spinwell"), &path).unwrap();
    let shown = json(&["model", "show", "pair", "--models", text(models()), "--json"]);
    assert_eq!(
        (&shown["name"], &shown["version"], &shown["loadable"]),
        (&json!("pair"), &json!(1), &json!(true))
    );
    assert_eq!((&shown["channels"], &shown["horizon"]), (&json!(["value", "other"]), &json!(3)));
    assert_eq!(shown["card_is_of_this_model"], true);
    assert_eq!(shown["card"]["model_hash"], shown["model_hash"]);
    assert!(shown["cost"]["window_microseconds"].as_f64().unwrap() > 0.0, "{shown}");
    let read = said(&["model", "show", "pair:1", "--models", text(models())]);
    for wanted in ["its checksum holds", "value, other", "as a stream", "recommended", "of one core"] {
        assert!(read.contains(wanted), "{wanted} in {read}");
    }
    let alone = json(&["model", "show", text(&path), "--json"]);
    assert_eq!(
        (&alone["name"], &alone["card"], &alone["model_hash"]),
        (&Value::Null, &Value::Null, &shown["model_hash"])
    );

    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, &bytes).unwrap();
    fs::copy(models().join("pair/1/card.json"), folder.path().join("card.json")).unwrap();
    let output = run(&["model", "show", text(&path), "--json"]);
    let damaged: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&damaged["loadable"], &damaged["trouble"]["code"]),
        (&json!(false), &json!("SPW-FILE-TRUNCATED"))
    );
    assert_eq!(damaged["card"]["family"], "linear");
    check_fails(&["model", "show", text(&path)], 1, "SPW-FILE-TRUNCATED");
    check_fails(&["model", "show", "nobody", "--models", text(models())], 1, "SPW-MODEL-NOT-FOUND");
    check_fails(&["model", "show", "pair:9", "--models", text(models())], 1, "SPW-VERSION-NOT-FOUND");
    assert_eq!(fails(&["model", "show"]).0, 2);
}

#[test]
fn a_push_is_whole_or_nothing_and_never_changes_a_version() {
    let (_folder, models) = two_versions();
    let target = tempfile::tempdir().unwrap();
    let folder = target.path().join("served");
    let into = ["--models", text(&folder), "--json"];
    let push = |more: &[&str]| json(&[&["model", "push"], more, &into].concat());
    let (one, two) = (models.join("wave/1/model.spinwell"), models.join("wave/2/model.spinwell"));

    let first = push(&[text(&one)]);
    assert_eq!(
        (&first["name"], &first["version"], &first["already_there"]),
        (&json!("wave"), &json!(1), &json!(false))
    );
    assert_eq!(fs::read(folder.join("wave/1/model.spinwell")).unwrap(), fs::read(&one).unwrap());
    let before = tree(&folder);
    assert_eq!(push(&[text(&one)])["already_there"], true);
    assert_eq!(push(&[text(&one), "--version", "1"])["already_there"], true);
    let wrong = [&["model", "push", text(&two), "--version", "1"][..], &into].concat();
    check_fails(&wrong, 1, "SPW-VERSION-EXISTS");
    assert_eq!(tree(&folder), before);

    // By name from another folder, under another name and number; the card follows its model.
    let other = push(&["wave:2", "--from", text(&models), "--name", "tide", "--version", "7"]);
    assert_eq!(
        (&other["name"], &other["version"], &other["card"]),
        (&json!("tide"), &json!(7), &json!(true))
    );
    let card: Value = serde_json::from_slice(&fs::read(folder.join("tide/7/card.json")).unwrap()).unwrap();
    assert_eq!(
        (&card["name"], &card["version"], &card["model_hash"]),
        (&json!("tide"), &json!(7), &other["model_hash"])
    );
    assert_eq!(push(&["wave:1", "--from", text(&models), "--name", "tide"])["version"], 8);

    // What an older version holds is there already, unless another number is asked for.
    assert_eq!(push(&[text(&two)])["version"], 2);
    let before = tree(&folder);
    let again = push(&[text(&one)]);
    assert_eq!((&again["version"], &again["already_there"]), (&json!(1), &json!(true)));
    assert_eq!(tree(&folder), before);
    let back = push(&[text(&one), "--version", "3"]);
    assert_eq!((&back["version"], &back["already_there"]), (&json!(3), &json!(false)));
    assert_eq!(push(&[text(&one)])["version"], 3, "the newest that holds it");

    // A card of another model is left behind.
    let loose = target.path().join("loose.spinwell");
    fs::copy(&one, &loose).unwrap();
    fs::copy(models.join("wave/2/card.json"), target.path().join("card.json")).unwrap();
    let pushed = push(&[text(&loose)]);
    assert_eq!((&pushed["name"], &pushed["card"]), (&json!("loose"), &json!(false)));
    assert!(!folder.join("loose/1/card.json").exists());
}

#[test]
fn what_cannot_be_pushed_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let source = models().join("wave/1/model.spinwell");
    let damaged = folder.path().join("damaged.spinwell");
    let mut bytes = fs::read(&source).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x40;
    fs::write(&damaged, bytes).unwrap();
    let text_file = folder.path().join("text.spinwell");
    fs::write(&text_file, "a text that is no model at all, and longer than the header of one would be")
        .unwrap();
    let odd = folder.path().join("-odd name.spinwell");
    fs::copy(&source, &odd).unwrap();
    let target = folder.path().join("served");
    let check = |file: &str, exit: i32, code: &str| {
        check_fails(&["model", "push", file, "--models", text(&target)], exit, code);
        assert!(!target.exists(), "{file}");
    };
    check(text(&damaged), 1, "SPW-FILE-CORRUPT");
    check(text(&text_file), 1, "SPW-FILE-FOREIGN");
    check(text(&odd), 2, "SPW-OPTION-INVALID");
    check("nobody", 1, "SPW-MODEL-NOT-FOUND");
    let zero = ["model", "push", text(&source), "--version", "0", "--models", text(&target)];
    assert_eq!(fails(&zero).0, 2);
    // Where a folder should be, a file is.
    fs::write(&target, "").unwrap();
    check_fails(&["model", "push", text(&source), "--models", text(&target)], 1, "SPW-IO");
}

#[test]
fn a_removal_is_said_confirmed_and_complete() {
    let (_folder, models) = two_versions();
    let place = text(&models);
    let before = tree(&models);
    // Nobody sits at a test's standard input.
    check_fails(&["model", "rm", "wave:1", "--models", place], 2, "SPW-OPTION-INVALID");
    check_fails(&["model", "rm", "wave", "--yes", "--models", place], 2, "SPW-OPTION-INVALID");
    check_fails(&["model", "rm", "wave:1", "--all", "--yes", "--models", place], 2, "SPW-OPTION-INVALID");
    check_fails(&["model", "rm", "wave:5", "--yes", "--models", place], 1, "SPW-VERSION-NOT-FOUND");
    check_fails(&["model", "rm", "nobody", "--yes", "--models", place], 1, "SPW-MODEL-NOT-FOUND");
    check_fails(&["model", "rm", "../models", "--yes", "--models", place], 2, "SPW-OPTION-INVALID");
    check_fails(&["model", "rm", "wave", "--yes", "--models", text(&models.join("none"))], 1, "SPW-IO");
    assert_eq!(tree(&models), before);

    // Damaged ones can be removed too, by path as well.
    fs::write(models.join("wave/1/model.spinwell"), "damaged").unwrap();
    let output = run(&["model", "rm", "wave:1", "--yes", "--json", "--models", place]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("removes wave:1") && said.contains("sequences/models"), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["removed"], json!({"name": "wave", "versions": [1], "url": null}));
    assert_eq!(fs::read_dir(models.join("wave")).unwrap().count(), 1);
    let path = models.join("wave/2");
    assert!(run(&["model", "rm", text(&path), "--yes"]).status.success());
    assert!(tree(&models).is_empty(), "{:?}", tree(&models));
}

#[test]
fn a_server_loads_what_is_pushed_and_lets_go_of_what_is_removed() {
    let (_folder, models) = two_versions();
    let served = tempfile::tempdir().unwrap();
    let folder = served.path();
    let server = Server::start(folder, &[]);
    let url = format!("http://{}", server.http);
    let into = ["--models", text(folder), "--url", &url, "--json"];
    let push = |version: u32| {
        let path = models.join(format!("wave/{version}/model.spinwell"));
        json(&[&["model", "push", text(&path)][..], &into].concat())
    };
    for version in [1, 2] {
        let pushed = push(version);
        assert_eq!(
            (&pushed["version"], &pushed["server"]["loaded"]),
            (&json!(version), &json!(true)),
            "{pushed}"
        );
    }
    let ready = |numbers: &[u32]| -> Vec<(String, String)> {
        numbers.iter().map(|number| (number.to_string(), "READY".to_owned())).collect()
    };
    assert_eq!(states(&server, "wave"), ready(&[1, 2]));
    let body = json!({"inputs": [
        {"name": "series", "shape": [1, 64, 1], "datatype": "FP32", "data": window(64, 0.5)}]});
    assert_eq!(server.infer("wave", &body).status, 200);
    assert_eq!(server.infer("wave", &json!({})).status, 400);
    let listed = json(&["model", "list", "--url", &url, "--json"]);
    let newest = &listed["models"][1];
    assert_eq!(
        (&newest["requests_answered"], &newest["requests_failed"]),
        (&json!(1), &json!(1)),
        "{newest}"
    );
    let shown = json(&["model", "show", "wave:1", "--url", &url, "--json"]);
    assert_eq!(shown["properties"]["channels"], "value");

    check_hint(&["model", "show", "wave:7", "--url", &url]);
    let step_of = |model: &str, number: usize| {
        let parameters = json!({"sequence_id": "s", "sequence_start": number == 1, "sequence_step": number});
        let mut body = body.clone();
        body["parameters"] = parameters;
        server.infer(model, &body)
    };
    let step = |number: usize| step_of("wave", number);
    assert_eq!(step(1).status, 200);
    let other = step_of("wave/versions/1", 2);
    assert_eq!(other.status, 409, "it was begun with version 2");
    assert_eq!(other.code(), "SPW-SEQUENCE-MODEL");
    let rm = |what: &[&str]| run(&[&["model", "rm"], what, &["--yes"], &into[..]].concat());
    let one = rm(&["wave:2"]);
    let note = String::from_utf8_lossy(&one.stderr);
    assert!(one.status.success() && note.contains("go on, with the file under"), "{note}");
    assert_eq!(step(2).status, 200, "with the file that is removed");
    assert_eq!(states(&server, "wave"), ready(&[1]));
    assert_eq!(server.infer("wave/versions/2", &body).code(), "SPW-VERSION-NOT-FOUND");
    assert_eq!(server.infer("wave", &body).status, 200);
    let all = rm(&["wave", "--all"]);
    let note = String::from_utf8_lossy(&all.stderr);
    assert!(all.status.success() && note.contains("404 until a version of wave is served again"), "{note}");
    assert_eq!(states(&server, "wave"), []);
    assert_eq!(step(3).status, 404);
    assert_eq!(server.infer("wave", &body).code(), "SPW-MODEL-NOT-FOUND");
    assert!(tree(folder).is_empty(), "{:?}", tree(folder));
    let file = models.join("wave/1/model.spinwell");
    let again = [&["model", "push", text(&file), "--name", "wave"], &into[..]];
    said(&again.concat());
    assert_eq!(step(3).status, 200, "it goes on where it stood");
}

/// Runs what a server has no model for, and checks that the hint is about the server.
fn check_hint(arguments: &[&str]) {
    let output = run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("SPW-VERSION-NOT-FOUND"), "{told}");
    assert!(
        told.contains("hint: `spinwell model list --url URL`") && !told.contains("spinwell train"),
        "{told}"
    );
}

/// Writes how `wave` is served.
fn serving(models: &Path, text: &str) {
    fs::write(models.join("wave/serving.toml"), text).unwrap();
}

#[test]
fn a_version_that_is_named_is_not_removed_and_all_of_them_go_with_the_file() {
    let (_folder, models) = two_versions();
    let place = text(&models);
    let rm = |what: &'static str| {
        let mut all = vec!["model", "rm", "--yes", "--models", place];
        all.extend(what.split(' '));
        all
    };
    let refused = |what: &'static str, wanted: &str| {
        let before = tree(&models);
        let (exit, said) = fails(&rm(what));
        assert!(exit == 2 && said.contains("SPW-OPTION-INVALID") && said.contains(wanted), "{said}");
        assert_eq!(tree(&models), before);
    };
    serving(&models, "[traffic]\ndefault = 1\n");
    refused("wave:1", "names wave:1 as traffic.default");
    serving(&models, "[traffic]\ndefault = 1\ncanary = {version = 2, share = 0.1}\n");
    refused("wave:2", "names wave:2 as traffic.canary");
    serving(&models, "[traffic]\nshadow = {version = 1, share = 0.1}\n");
    refused("wave:1", "names wave:1 as traffic.shadow");
    refused("wave:2", "wave:1 would be the highest version");
    serving(&models, "[traffic");
    let before = tree(&models);
    check_fails(&rm("wave:1"), 1, "SPW-CONFIG-INVALID");
    assert_eq!(tree(&models), before);
    // A file that nobody can read names nothing that stays.
    assert!(run(&rm("wave --all")).status.success());
    assert!(tree(&models).is_empty(), "{:?}", tree(&models));
}

#[test]
fn a_broken_file_keeps_no_server_from_letting_go_of_all_versions() {
    let (_folder, models) = two_versions();
    let body = json!({"inputs": [
        {"name": "series", "shape": [1, 64, 1], "datatype": "FP32", "data": window(64, 0.5)}]});
    for at_start in ["", "[traffic"] {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path();
        let source = models.join("wave/1/model.spinwell");
        assert!(run(&["model", "push", text(&source), "--models", text(served)]).status.success());
        serving(served, at_start);
        let server = Server::start(served, &[]);
        let url = format!("http://{}", server.http);
        serving(served, "[traffic");
        let all = ["model", "rm", "wave", "--all", "--yes", "--models", text(served), "--url", url.as_str()];
        // A failure brings the file back as well.
        let before = tree(served);
        let away = [&all[..8], &["http://127.0.0.1:1"]].concat();
        check_fails(&away, 1, "SPW-UNREACHABLE");
        assert_eq!(tree(served), before);
        said(&all);
        assert!(tree(served).is_empty(), "{:?}", tree(served));
        assert_eq!(
            (states(&server, "wave"), server.infer("wave", &body).code()),
            (vec![], "SPW-MODEL-NOT-FOUND".into())
        );
    }
}

#[test]
fn lists_and_pushes_say_what_becomes_of_traffic() {
    let (_folder, models) = two_versions();
    let place = text(&models);
    fs::write(models.join("wave/7"), "no version").unwrap();
    let serving_of = || {
        let listed = json(&["model", "list", "--models", place, "--json"]);
        let all = listed["models"].as_array().unwrap().clone();
        all.iter().map(|row| row["serving"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(serving_of(), [json!([]), json!([{"role": "default"}])]);
    serving(&models, "[traffic]\ndefault = 1\ncanary = {version = 2, share = 0.25}\n");
    assert_eq!(serving_of(), [json!([{"role": "default"}]), json!([{"role": "canary", "share": 0.25}])]);
    let table = said(&["model", "list", "--models", place]);
    assert!(table.contains("serving") && table.contains("canary 0.25"), "{table}");

    let source = models.join("wave/1/model.spinwell");
    let push = |extra: &'static str| {
        let mut all = vec!["model", "push", text(&source), "--models", place];
        all.extend(extra.split_whitespace());
        all
    };
    let pushed = said(&push("--version 2 --name other"));
    assert!(pushed.contains("other:2 answers requests that name no version"), "{pushed}");
    let pushed = said(&push("--version 3"));
    assert!(pushed.contains("wave:3 answers only requests that name it"), "{pushed}");
    assert!(pushed.contains("wave:1, the default of wave/serving.toml"), "{pushed}");
    serving(&models, "[traffic]\ndefault = 1\nshadow = {version = 9, share = 1.0}\n");
    let listed = run(&["model", "list", "--models", place]);
    let remarks = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(remarks.contains("names wave:9 as traffic.shadow, which cannot be served"), "{remarks}");
    let pushed = json(&push("--version 9 --json"));
    assert_eq!(pushed["serving"], json!([{"role": "shadow", "share": 1.0}]));
    serving(&models, "[traffic");
    let listed = json(&["model", "list", "--models", place, "--json"]);
    assert_eq!(listed["models"][1]["serving"], Value::Null);
    assert_eq!(listed["models"][1]["serving_trouble"]["code"], "SPW-CONFIG-INVALID");
    let pushed = run(&push("--version 10"));
    let remarks = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(
        pushed.status.success() && remarks.contains("no server loads the model as it stands"),
        "{remarks}"
    );
}

#[test]
fn a_server_that_cannot_let_go_costs_nothing() {
    let (_folder, here) = two_versions();
    // A server with the same names in another folder.
    let server = Server::start(models(), &[]);
    let url = format!("http://{}", server.http);
    let before = tree(&here);
    let away = "http://127.0.0.1:1";
    check_fails(
        &["model", "rm", "wave:1", "--yes", "--models", text(&here), "--url", away],
        1,
        "SPW-UNREACHABLE",
    );
    let (exit, said) =
        fails(&["model", "rm", "wave", "--all", "--yes", "--models", text(&here), "--url", &url]);
    assert!(exit != 0 && said.contains("its models folder is another one"), "{said}");
    assert_eq!(tree(&here), before);
    assert_eq!(states(&server, "wave"), [("1".to_owned(), "READY".to_owned())]);

    let source = here.join("wave/2/model.spinwell");
    let push = ["model", "push", text(&source), "--name", "fresh", "--models", text(&here), "--url"];
    let (exit, said) = fails(&[&push[..], &[&url]].concat());
    assert!(exit == 1 && said.contains("is in the folder and not served"), "{said}");
    // The same number under the same name, and yet another model.
    let same = ["model", "push", text(&source), "--name", "wave", "--version", "2", "--models", text(&here)];
    let output = run(&[&same[..], &["--url", &url, "--json"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["already_there"], &document["server"]["loaded"]), (&json!(true), &json!(false)));
    assert_eq!(output.status.code(), Some(1));
    check_fails(&["model", "list", "--url", away], 1, "SPW-UNREACHABLE");
}
