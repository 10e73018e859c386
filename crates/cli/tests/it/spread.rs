//! Models reach every node: what one node has in its folder, all of them serve.

use crate::cluster::{Node, ROWS, answered_by, ask, bits, gateway, wait_for_nodes};
use crate::support::{Answer, BOUND, Request, Server, models, said, send, text, train_small_model, window};
use serde_json::{Value, json};
use spinwell_protocol::PART_BYTES_MAX;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A node with a models folder of its own.
fn node(id: &'static str, models: &Path) -> Node {
    Node::start_with(id, &[("SPINWELL_MODELS_DIR", text(models))])
}

/// A copy of the models that all tests share, which a test may change.
fn own_models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&models().join("wave"), &folder.path().join("wave"));
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn file(folder: &Path, version: u32) -> PathBuf {
    folder.join("wave").join(version.to_string()).join("model.spinwell")
}

fn bytes(folder: &Path, version: u32) -> Option<Vec<u8>> {
    std::fs::read(file(folder, version)).ok()
}

fn load(gateway: &Server) -> Answer {
    send(gateway.http, &Request::post("/v2/repository/models/wave/load", "{}"))
}

/// Asks until each of these nodes has answered, with that version; no other node may.
fn assert_served(gateway: &Server, version: &str, nodes: &[&str]) {
    let (since, mut seen) = (Instant::now(), BTreeSet::new());
    while seen.len() < nodes.len() {
        assert!(since.elapsed() < BOUND, "of {nodes:?} only {seen:?} answered");
        let answer = ask(gateway, &window(ROWS, 0.3), &json!({}));
        bits(&answer);
        assert_eq!(answer.json()["model_version"], version);
        let node = answered_by(&answer);
        assert!(nodes.contains(&node.as_str()), "{node} answered");
        seen.insert(node);
    }
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

#[test]
fn a_model_that_one_node_has_is_served_by_all() {
    let (full, empty) = (own_models(), tempfile::tempdir().unwrap());
    let (one, two) = (node("n1", full.path()), node("n2", empty.path()));
    let gateway = gateway(&[&one, &two]);
    wait_for_nodes(&gateway, 2);
    // A node that joins is brought what it lacks, without anybody asking for it.
    assert_served(&gateway, "1", &["n1", "n2"]);
    assert_eq!(bytes(empty.path(), 1), bytes(full.path(), 1));
    let card = |folder: &Path| std::fs::read(file(folder, 1).with_file_name("card.json")).unwrap();
    assert_eq!(card(empty.path()), card(full.path()));
    // Another version, pushed into the folder of one node: the load call comes back when all serve it. It takes several parts.
    let other = tempfile::tempdir().unwrap();
    train_small_model(other.path(), "small", &["--target", "value"]);
    let (csv, set) = (other.path().join("small.csv"), "units=400,density=1");
    let large = ["--family", "echo", "--season", "12", "--horizon", "3", "--trials", "1", "--set", set];
    let train = ["train", text(&csv), "--target", "value", "--name", "wave", "--models", text(other.path())];
    drop(said(&[&train[..], &large].concat()));
    let trained = file(other.path(), 1);
    assert!(std::fs::metadata(&trained).unwrap().len() > 2 * PART_BYTES_MAX as u64, "it is one part");
    let url = format!("http://{}", gateway.http);
    let pushed =
        ["model", "push", text(&trained), "--name", "wave", "--models", text(full.path()), "--url", &url];
    let told = said(&pushed);
    assert!(told.contains("serves wave:2"), "{told}");
    assert_eq!(bytes(empty.path(), 2), bytes(full.path(), 2));
    assert_served(&gateway, "2", &["n1", "n2"]);
}

#[test]
fn nodes_that_share_a_folder_do_not_write_over_each_other() {
    let (shared, full) = (tempfile::tempdir().unwrap(), own_models());
    let nodes = [node("n1", shared.path()), node("n2", shared.path()), node("n3", full.path())];
    let gateway = gateway(&nodes.iter().collect::<Vec<_>>());
    wait_for_nodes(&gateway, 3);
    let loaded = load(&gateway);
    assert_eq!(loaded.json()["not_loaded"], json!([]), "{}", loaded.text());
    assert_served(&gateway, "1", &["n1", "n2", "n3"]);
    let found = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    assert_eq!(found(shared.path().join("wave")), names(&["1"]), "nothing unfinished is left");
    assert_eq!(found(shared.path().join("wave/1")), names(&["card.json", "model.spinwell"]));
    assert_eq!(bytes(shared.path(), 1), bytes(full.path(), 1));
}

#[test]
fn a_damaged_copy_is_brought_to_nobody_and_made_good_where_another_has_it() {
    let (full, other) = (own_models(), own_models());
    let good = bytes(full.path(), 1).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    // The only file of its version is damaged: nobody else gets it.
    std::fs::create_dir_all(file(full.path(), 3).parent().unwrap()).unwrap();
    std::fs::write(file(full.path(), 3), &damaged).unwrap();
    let (one, two) = (node("n1", full.path()), node("n2", other.path()));
    let gateway = gateway(&[&one, &two]);
    wait_for_nodes(&gateway, 2);
    // While they run, what lies on the second node's disk is damaged as well.
    std::fs::write(file(other.path(), 1), &damaged).unwrap();
    // As long as it may be that somebody is writing it, it is left alone. The node has no other version to load, and the fault says why.
    let refused = load(&gateway);
    let told = refused.text();
    assert_eq!(refused.status, 500, "{told}");
    assert!(
        told.contains("SPW-FILE-CORRUPT") && told.contains("SPW-FILE-UNSETTLED") && told.contains("n2"),
        "{told}"
    );
    assert_eq!(bytes(other.path(), 1), Some(damaged.clone()));
    // By and by it is made good, and the node that serves it from its memory notices nothing.
    let since = Instant::now();
    while bytes(other.path(), 1) != Some(good.clone()) {
        assert!(since.elapsed() < BOUND, "it was not made good");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let loaded = load(&gateway);
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    let left_out = loaded.json()["not_loaded"].clone();
    let of_version =
        |entry: &Value| (entry["version"].as_str() == Some("3")).then(|| entry["reason"].to_string());
    let reason =
        left_out.as_array().unwrap().iter().find_map(of_version).unwrap_or_else(|| panic!("{left_out}"));
    assert!(reason.contains("SPW-FILE-CORRUPT") && reason.contains("n1"), "{reason}");
    assert_eq!(bytes(other.path(), 3), None);
    let aside = file(other.path(), 1).with_file_name("replaced.unreadable.spinwell");
    assert_eq!(std::fs::read(aside).unwrap(), damaged);
    assert_served(&gateway, "1", &["n1", "n2"]);
}

#[test]
fn a_node_that_holds_newer_bytes_keeps_them_and_the_load_says_so() {
    let folders = [own_models(), own_models(), own_models()];
    let ids = ["n1", "n2", "n3"];
    let nodes: Vec<Node> = ids.iter().zip(&folders).map(|(id, folder)| node(id, folder.path())).collect();
    let gateway = gateway(&nodes.iter().collect::<Vec<_>>());
    wait_for_nodes(&gateway, 3);
    let other = tempfile::tempdir().unwrap();
    let trained = train_small_model(other.path(), "wave", &["--target", "value", "--set", "lags=3"]);
    std::fs::copy(&trained, file(folders[2].path(), 1)).unwrap();
    let loaded = load(&gateway);
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    let told = loaded.json()["not_loaded"].to_string();
    assert!(told.contains("SPW-VERSION-EXISTS") && told.contains("n3"), "{told}");
    assert_eq!(bytes(folders[2].path(), 1), std::fs::read(&trained).ok(), "nothing was written over it");
    // The region serves what most nodes hold.
    assert_served(&gateway, "1", &["n1", "n2"]);
}

#[test]
fn files_stay_where_they_are_where_that_is_said() {
    let (full, empty) = (own_models(), tempfile::tempdir().unwrap());
    let (one, two) = (node("n1", full.path()), node("n2", empty.path()));
    let mut command = crate::cluster::gateway_command(&[&one, &two]);
    command.env("SPINWELL_CLUSTER_SPREAD_MODELS", "false");
    let gateway = Server::run(command, tempfile::tempdir().unwrap());
    wait_for_nodes(&gateway, 2);
    assert_eq!(load(&gateway).status, 200);
    for _ in 0..20 {
        assert_served(&gateway, "1", &["n1"]);
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}
