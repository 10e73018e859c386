//! A real witness beside a real server: it vouches for what has only grown, and for nothing else.

use crate::audit::{body, copy};
use crate::support::{
    Answer, BOUND, Request, Server, address_in, end_of, json, launch, models, run, send, signal, spinwell,
    text,
};
use serde_json::Value;
use spinwell_ledger::witness::Request as Asking;
use spinwell_ledger::{Checkpoint, LogKey, Tree, consistency};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::time::Instant;

const NAME: &str = "example.com/w";

/// A witness, killed when the test ends.
struct Witness {
    child: Child,
    address: SocketAddr,
    key: String,
}

impl Witness {
    fn start(data: &Path, logs: &Path) -> Self {
        let mut command = spinwell();
        command.args(["audit", "witness", "--data", text(data), "--log", text(logs), "--name", NAME]);
        command.args(["--listen", "127.0.0.1:0"]);
        let (child, said) = launch(command);
        let key = said.iter().find_map(|line| line.strip_prefix("key     ")).unwrap().to_owned();
        Self { child, address: address_in(&said, "add-checkpoint"), key }
    }

    fn ask(&self, request: &Asking) -> Answer {
        send(self.address, &Request::post("/add-checkpoint", request.to_bytes()))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another log of the same name and key, with so many entries.
fn forged(key: &LogKey, size: u64) -> (BTreeMap<String, Vec<u8>>, Vec<u8>) {
    let mut tree = Tree::default();
    for index in 0..size {
        tree.append(format!("another entry {index}").as_bytes()).unwrap();
    }
    let files = tree.take_files().into_iter().map(|file| (file.path, file.bytes)).collect();
    let checkpoint = Checkpoint { origin: key.public().name().into(), size, root: tree.root() };
    (files, checkpoint.sign(&[key]).unwrap())
}

fn serve(data: &Path, config: Option<&Path>, requests: usize, last: impl FnOnce(&Server)) {
    let mut options = vec!["--data", text(data)];
    options.extend(config.iter().flat_map(|config| ["--config", text(config)]));
    let server = Server::start(models(), &options);
    for number in 0..requests {
        assert_eq!(server.infer("wave", &body(&format!("r{number}"))).status, 200);
    }
    last(&server);
    server.terminate();
    assert!(server.wait().success());
}

fn verify(folder: &Path, keys: &Path, witness: &str) -> Value {
    let arguments =
        ["audit", "verify", "--offline", text(folder), "--key", text(keys), "--witness", witness, "--json"];
    let output = run(&arguments);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), document["holds"] == true);
    document["logs"][0].clone()
}

#[test]
fn a_witness_vouches_for_a_log_and_is_missed_by_nobody_and_deceived_by_nobody() {
    let (data, seen) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    serve(data.path(), None, 1, |_| ());
    let (ledger, early) = (data.path().join("ledger"), seen.path().join("early"));
    let keys = ledger.join("log.vkey");
    copy(&ledger, &early);
    let mut witness = Witness::start(seen.path(), &keys);
    let config = data.path().join("spinwell.toml");
    let line = format!("[ledger]\nwitnesses = [\"http://{} {}\"]\n", witness.address, witness.key);
    std::fs::write(&config, line).unwrap();
    let without = verify(&ledger, &keys, &witness.key);
    assert!(without["error"].as_str().unwrap().contains("does not vouch"), "{without}");

    serve(data.path(), Some(&config), 3, |server| {
        let since = Instant::now();
        while server.metric("spinwell_ledger_witnessed_entries", &[NAME]) == 0.0 {
            assert!(since.elapsed() < BOUND);
            std::thread::yield_now();
        }
    });
    let holds = verify(&ledger, &keys, &witness.key);
    let entries = holds["witnessed"][0]["entries"].as_u64().unwrap();
    assert_eq!((&holds["holds"], &holds["witnessed"][0]["name"]), (&true.into(), &NAME.into()));
    assert!(entries <= holds["entries"].as_u64().unwrap());

    // The end cut off, with everything that the machine itself has.
    let cosigned = "gateway/checkpoint.witnessed";
    copy(&ledger.join(cosigned), &early.join(cosigned));
    let cut = verify(&early, &keys, &witness.key);
    let said = cut["error"].as_str().unwrap();
    assert!(said.contains(&format!("over {entries} entries was seen by the witness {NAME}")), "{said}");
    // What the witness itself has kept shows it as well.
    let kept = seen.path().join("witness/seen/spinwell%2Fgateway");
    std::fs::remove_dir_all(early.join(cosigned)).unwrap();
    let arguments =
        ["audit", "verify", "--offline", text(&early), "--key", text(&keys), "--seen", text(&kept)];
    assert!(String::from_utf8_lossy(&run(&arguments).stderr).contains("was cut off"));

    // Nobody waits for one that is gone, and it knows what it has seen when it is back.
    signal(&witness.child, "-KILL");
    end_of(&mut witness.child);
    serve(data.path(), Some(&config), 2, |_| ());
    assert_eq!(verify(&ledger, &keys, &witness.key)["witnessed"][0]["entries"], entries);
    let witness = Witness::start(seen.path(), &keys);
    let key = LogKey::of_text(std::fs::read_to_string(ledger.join("gateway.key")).unwrap().trim()).unwrap();
    let (files, note) = forged(&key, entries + 9);
    let ask = |old: u64, note: &[u8]| {
        let proof = consistency(&files, old, entries + 9).unwrap();
        witness.ask(&Asking { old, proof, note: note.to_vec() })
    };
    let behind = ask(0, &note);
    assert_eq!((behind.status, behind.text()), (409, format!("{entries}\n")));
    assert!(behind.head.contains("content-type: text/x.tlog.size"), "{}", behind.head);
    assert_eq!(ask(entries, &note).status, 422, "another log of the same name and key");
    assert_eq!(
        witness.ask(&Asking { old: entries, proof: vec![], note: forged(&key, entries).1 }).status,
        409
    );
    assert_eq!(ask(entries + 10, &note).status, 400);
    let stranger = LogKey::of_seed("example.com/stranger", &[1; 32]).unwrap();
    assert_eq!(ask(0, &forged(&stranger, 3).1).status, 404);
    let namesake = LogKey::of_seed("spinwell/gateway", &[1; 32]).unwrap();
    assert_eq!(ask(0, &forged(&namesake, 3).1).status, 403);
    let long = vec![b'x'; 1 << 20];
    assert_eq!(send(witness.address, &Request::post("/add-checkpoint", long)).status, 413);
    assert_eq!(send(witness.address, &Request::post("/add-checkpoint", "old 0")).status, 400);
    assert_eq!(send(witness.address, &Request::new("GET", "/add-checkpoint")).status, 405);
    assert_eq!(json(&["audit", "verify", "--data", text(data.path()), "--json"])["holds"], true);
}

#[test]
fn controls_ledger_vouches_for_the_other_logs() {
    let (data, control, early) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = data.path().join("ledger");
    serve(data.path(), None, 1, |_| ());
    copy(&ledger, early.path());
    serve(data.path(), None, 3, |server| {
        let answer = send(server.ops, &Request::new("GET", "/v1/ledger/checkpoint"));
        assert_eq!((answer.status, answer.text().lines().next()), (200, Some("spinwell/gateway")));
        // One reads the folder that its own log is in as well, the other asks the gateway.
        let beside = [("SPINWELL_LEDGER_DIR", text(&ledger).to_owned())];
        let elsewhere = [("SPINWELL_CONTROL_GATEWAYS", server.ops.to_string())];
        for (id, variables) in [("beside", beside), ("elsewhere", elsewhere)] {
            let mut command = spinwell();
            command.args(["control", "--id", id, "--ops", "127.0.0.1:0", "--data", text(control.path())]);
            command.envs(variables);
            let (mut child, _) = launch(command);
            let dir = if id == "beside" { ledger.clone() } else { control.path().join("ledger") };
            let since = Instant::now();
            while !entries_of(&dir.join(id)).contains("\"kind\":\"checkpoint\"") {
                assert!(since.elapsed() < BOUND, "{id}");
                std::thread::yield_now();
            }
            signal(&child, "-TERM");
            assert!(end_of(&mut child).success());
        }
    });
    let elsewhere = control.path().join("ledger/elsewhere");
    copy(&elsewhere, &ledger.join("elsewhere"));
    // Its key as well, which the auditor has from there.
    let keys = control.path().join("all.vkey");
    let all = [&ledger, &control.path().join("ledger")]
        .map(|dir| std::fs::read_to_string(dir.join("log.vkey")).unwrap());
    std::fs::write(&keys, all.concat()).unwrap();
    let verify = |ledger: &Path| {
        let output = run(&["audit", "verify", "--offline", text(ledger), "--key", text(&keys), "--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let logs = document["logs"].as_array().unwrap().clone();
        let log = |name: &str| {
            let ends = |log: &&Value| log["log"].as_str().unwrap().ends_with(name);
            logs.iter().find(ends).unwrap().clone()
        };
        (document["holds"].clone(), ["gateway", "beside", "elsewhere"].map(log))
    };
    let (holds, [gateway, beside, elsewhere]) = verify(&ledger);
    assert_eq!(holds, true);
    assert!(gateway["recorded_by_others_up_to"].as_u64() <= gateway["entries"].as_u64());
    for log in [&beside, &elsewhere] {
        assert!(log["recorded_of_others"].as_u64() > Some(0), "{log}");
        assert_eq!(log["recorded_of_unknown_logs"], 0);
    }
    // The gateway's log as it was before: whole, signed, and shorter than others have recorded.
    for name in ["beside", "elsewhere"] {
        copy(&ledger.join(name), &early.path().join(name));
    }
    let (holds, [gateway, ..]) = verify(early.path());
    assert_eq!(holds, false);
    let said = gateway["error"].as_str().unwrap();
    assert!(said.contains("was cut off") && said.contains("of spinwell/beside"), "{said}");
    std::fs::remove_dir_all(early.path().join("beside")).unwrap();
    let left = run(&["audit", "verify", "--offline", text(early.path()), "--key", text(&keys)]);
    assert!(String::from_utf8_lossy(&left.stderr).contains("of spinwell/elsewhere"));
}

/// All entries of a log that is being written.
fn entries_of(log: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![log.join("tile/entries")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match std::fs::read(&path) {
                Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                // A folder, or gone in this moment.
                Err(_) => folders.push(path),
            }
        }
    }
    text
}
