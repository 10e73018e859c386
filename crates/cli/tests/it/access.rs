//! Who comes in and what he may do, as a user meets it: keys, policies, tenants, and what the ledger says of them.

use crate::house::{House, Key, ask, ask_until, metric, prediction, told};
use crate::serving::{grpc_client, grpc_request, little_endian};
use crate::support::{BOUND, Request, Server, json, models, run, said, send, text, wait_until, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::{ModelInferRequest, ModelMetadataRequest};
use spinwell_protocol::status::GRPC_CODE_KEY;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// What a command says that must fail.
fn fails(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

fn refused(code: &str) -> (u16, String) {
    let status = if code == "SPW-NOT-PERMITTED" { 403 } else { 401 };
    (status, code.to_owned())
}

#[test]
fn from_nothing_to_predictions_that_stand_in_the_ledger_with_who_asked() {
    let house = House::new();
    let (meter, viewer) = (house.key("acme/meter", "predictor"), house.key("acme/eve", "viewer"));
    let second = house.key("acme/meter", "predictor");
    let admin = house.key("default/boss", "admin");
    let server = house.serve("");
    let (url, csv) = (format!("http://{}", server.http), models().join("wave.csv"));
    let predict = ["predict", "wave", text(&csv), "--url", &url];
    said(&[&predict[..], &["--token", &meter.text]].concat());
    let without = fails(&predict);
    assert!(without.contains("SPW-CREDENTIALS-MISSING"), "{without}");
    let forbidden = fails(&[&predict[..], &["--token", &viewer.text]].concat());
    assert!(forbidden.contains("SPW-NOT-PERMITTED") && forbidden.contains("acme/eve"), "{forbidden}");

    assert_eq!(ask(&server, prediction("by-meter"), &meter.text).0, 200);
    assert_eq!(ask(&server, prediction("by-eve"), &viewer.text), refused("SPW-NOT-PERMITTED"));
    assert_eq!(told(&send(server.http, &prediction("by-nobody"))), refused("SPW-CREDENTIALS-MISSING"));
    let event = &house.events("the prediction", 1, |event| event["api"]["request"]["uid"] == "by-meter")[0];
    let user = json!({"name": "acme/meter", "credential_uid": meter.id, "org": {"name": "acme"}});
    assert_eq!(event["actor"]["user"], user);
    assert_eq!(event["unmapped"]["policy"], "predictors-predict");
    // That of the command and that of this test.
    let of_eve = |event: &Value| event["actor"]["user"]["name"] == "acme/eve";
    for event in house.events("what was refused", 2, of_eve) {
        assert_eq!(
            (&event["status"], &event["status_code"]),
            (&json!("Failure"), &json!("SPW-NOT-PERMITTED"))
        );
        assert_eq!(event["actor"]["user"]["org"]["name"], "acme");
    }
    let data = house.path("data");
    // Two keys of one caller are told apart, in the log and in an index.
    let by_key = |key: &Key| {
        let search = ["audit", "search", "--api-key", &key.id, "--data", text(&data), "--json"];
        let lines = json(&search)["lines"].as_array().unwrap().clone();
        let is_about = |line: &&Value| line["line"]["event"]["entity"]["uid"] == key.id.as_str();
        (lines.len(), lines.iter().filter(is_about).count())
    };
    assert_eq!(ask(&server, prediction("by-second"), &second.text).0, 200);
    house.events("the second", 1, |event| event["api"]["request"]["uid"] == "by-second");
    let found = [&meter, &second].map(by_key);
    // That a key was added is a line about it.
    assert_eq!(found, [(3, 1), (2, 1)]);
    said(&["audit", "index", "--data", text(&data)]);
    assert_eq!([&meter, &second].map(by_key), found);
    let search = [
        "audit",
        "search",
        "--principal",
        "acme/eve",
        "--kind",
        "prediction",
        "--data",
        text(&data),
        "--json",
    ];
    let lines = json(&search)["lines"].clone();
    assert_eq!(
        (&lines[0]["line"]["tenant"], &lines[0]["line"]["result"]),
        (&json!("acme"), &json!("SPW-NOT-PERMITTED")),
        "{lines}"
    );
    for (code, least) in [("SPW-NOT-PERMITTED", 2.0), ("SPW-CREDENTIALS-MISSING", 2.0)] {
        let series = format!("spinwell_access_refused_total{{code=\"{code}\"}}");
        assert!(metric(&server, &admin, &series) >= least, "{code}");
    }
    assert_eq!(told(&send(server.ops, &Request::new("GET", "/metrics"))), refused("SPW-CREDENTIALS-MISSING"));
}

#[test]
fn commands_say_what_is_mistyped_before_it_matters() {
    let house = House::new();
    let (policies, typo) = (house.path("access/policies"), house.path("access/polices"));
    said(&["policy", "init", "--policies", text(&policies)]);
    let twice = fails(&["policy", "init", "--policies", text(&policies)]);
    assert!(twice.contains("SPW-FILE-EXISTS") && !twice.contains("--force"), "{twice}");
    let none = fails(&["policy", "test", "--policies", text(&typo)]);
    assert!(none.contains("polices is no folder of policies"), "{none}");
    let help = said(&["policy", "test", "--help"]);
    assert!(help.contains("PredictionCreate") && help.contains("LedgerExport"), "{help}");
    let made = |name: &str, role: &str| {
        let dir = house.path("access");
        let output = run(&["token", "create", name, "--role", role, "--dir", text(&dir)]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let first = made("ci", "predictor");
    assert!(!first.contains("no policy names") && !first.contains("other keys"), "{first}");
    let second = made("ci", "predicter");
    assert!(second.contains("no policy names the role \"predicter\""), "{second}");
    assert!(second.contains("default/ci has 1 other keys"), "{second}");
}

#[test]
fn acts_of_administration_stand_in_the_ledger_before_and_after() {
    let house = House::new();
    let (boss, theirs) = (house.key("default/boss", "admin"), house.key("acme/chief", "admin"));
    let server = house.serve("");
    let change = |model: &str, what: &str, key: &str| {
        ask(&server, Request::post(&format!("/v2/repository/models/{model}/{what}"), ""), key)
    };
    assert_eq!(change("pair", "unload", &theirs.text), refused("SPW-NOT-PERMITTED"), "it is shared");
    assert_eq!(change("pair", "unload", &boss.text).0, 200);
    assert_eq!(change("pair", "load", &boss.text).0, 200);
    assert_eq!(change("absent", "load", &boss.text), (404, "SPW-MODEL-NOT-FOUND".into()));
    let of_boss =
        |event: &Value| event["class_uid"] == 6003 && event["actor"]["user"]["name"] == "default/boss";
    let events = house.events("each act", 6, of_boss);
    let rows: Vec<[&str; 4]> = events
        .iter()
        .map(|event| {
            assert_eq!(event["unmapped"]["policy"], "admins-do-everything", "{event}");
            assert_eq!(event["src_endpoint"]["ip"], "127.0.0.1");
            let model = event["resources"][0]["name"].as_str();
            let [operation, phase, status] = ["/api/operation", "/unmapped/phase", "/status"]
                .map(|pointer| event.pointer(pointer).and_then(Value::as_str).unwrap());
            [operation, model.unwrap(), phase, status]
        })
        .collect();
    assert_eq!(
        rows,
        [
            ["ModelUnload", "pair", "begun", "Unknown"],
            ["ModelUnload", "pair", "ended", "Success"],
            ["ModelLoad", "pair", "begun", "Unknown"],
            ["ModelLoad", "pair", "ended", "Success"],
            ["ModelLoad", "absent", "begun", "Unknown"],
            ["ModelLoad", "absent", "ended", "Failure"],
        ]
    );
    assert_eq!(events[5]["status_code"], "SPW-MODEL-NOT-FOUND");
    assert!(events[5]["metadata"]["uid"].as_str().unwrap().starts_with("gateway/entry/"));
    // They are found as records are, also with an index.
    let data = house.path("data");
    let filters: [(&[&str], usize); 6] = [
        // Six acts, and the key that was new when the server started.
        (&["--principal", "default/boss"], 7),
        (&["--tenant", "default", "--model", "pair"], 4),
        (&["--result", "begun"], 3),
        (&["--result", "done", "--model", "pair"], 2),
        // One was refused.
        (&["--result", "failed"], 2),
        (&["--result", "SPW-MODEL-NOT-FOUND", "--model", "absent"], 1),
    ];
    for place in ["without an index", "with one"] {
        for (filter, count) in filters {
            let all = ["audit", "search", "--kind", "event", "--data", text(&data), "--json"];
            let lines = json(&[&all, filter].concat())["lines"].clone();
            assert_eq!(lines.as_array().unwrap().len(), count, "{place} {filter:?}: {lines:#}");
        }
        said(&["audit", "index", "--data", text(&data)]);
    }
}

#[test]
fn a_key_is_taken_and_refused_without_a_restart_and_both_stand_in_the_ledger() {
    let house = House::new();
    let server = house.serve("");
    let key = house.key("acme/meter", "predictor");
    ask_until("a new key", &server, &key.text, 200, "");
    house.revoke(&key);
    ask_until("a revoked key", &server, &key.text, 401, "SPW-CREDENTIALS-REFUSED");
    let of_key = |event: &Value| event["class_uid"] == 3004 && event["entity"]["uid"] == key.id.as_str();
    let events = house.events("the key", 2, of_key);
    let names: Vec<&Value> = events.iter().map(|event| &event["activity_name"]).collect();
    assert_eq!(names, ["Create", "Deactivate"]);
    let data = house.path("data");
    for sought in ["acme/meter", "meter"] {
        let search =
            ["audit", "search", "--kind", "event", "--principal", sought, "--data", text(&data), "--json"];
        assert_eq!(json(&search)["lines"].as_array().unwrap().len(), 2, "{sought}");
    }
    for event in &events {
        assert_eq!(event["entity"]["data"]["principal"], "acme/meter");
        assert!(!event.to_string().contains(key.text.rsplit('_').next().unwrap()));
    }
}

#[test]
fn a_wrong_policy_leaves_the_old_ones_and_a_right_one_is_named_where_it_refuses() {
    let house = House::new();
    let key = house.key("acme/meter", "predictor");
    let server = house.serve("");
    house.write("policies/mine.cedar", "permit (principal, action, resource) when { principal.shoe == 43 };");
    wait_until("the log says what is wrong", || house.log().contains("mine.cedar:1"));
    assert_eq!(ask(&server, prediction("old"), &key.text).0, 200, "the old ones hold");
    house.write(
        "policies/mine.cedar",
        "@id(\"all\") permit (principal, action, resource);\n@id(\"not-wave\") forbid (principal, action == \
         Spinwell::Action::\"PredictionCreate\", resource == Spinwell::Model::\"wave\");",
    );
    ask_until("the new policies", &server, &key.text, 403, "SPW-NOT-PERMITTED");
    let is_refused = |event: &Value| event["status_code"] == "SPW-NOT-PERMITTED";
    let event = &house.events("what was refused", 1, is_refused)[0];
    assert_eq!(event["unmapped"]["policy"], "not-wave", "{event}");
    let changed = |event: &Value| event["class_uid"] == 3004 && event["entity"]["type"] == "Policies";
    assert_eq!(house.events("the policies", 1, changed)[0]["activity_name"], "Update");
}

#[test]
fn an_address_for_others_is_opened_with_a_certificate_and_identities() {
    let house = House::new();
    let key = house.key("acme/meter", "predictor");
    let pki = house.path("pki");
    said(&["pki", "init", "--dir", text(&pki)]);
    said(&["pki", "issue", "edge", "public", "--dir", text(&pki)]);
    let file = |name: &str| pki.join("edge-public").join(name);
    let edge = format!("[edge]\ncertificate = {:?}\nkey = {:?}\n", file("certificate.pem"), file("key.pem"));
    let server =
        house.serve_with(&edge, &["--http", "0.0.0.0:0", "--grpc", "0.0.0.0:0", "--ops", "0.0.0.0:0"]);
    assert!(server.said.iter().any(|line| line.starts_with("serving https://0.0.0.0:")), "{:?}", server.said);
    let (url, ca) = (format!("https://127.0.0.1:{}", server.http.port()), pki.join("authority.pem"));
    let csv = models().join("wave.csv");
    let predict = ["predict", "wave", text(&csv), "--url", &url, "--ca", text(&ca)];
    let answered = json(&[&predict[..], &["--token", &key.text, "--json"]].concat());
    assert!(answered["model_hash"].is_string(), "{answered}");
    let without = fails(&predict);
    assert!(without.contains("SPW-CREDENTIALS-MISSING"), "{without}");
    let log = house.log();
    assert!(!log.contains("insecure"), "{log}");
}

/// A message with a credential as its metadata.
fn with<T>(message: T, credential: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse().unwrap());
    request
}

fn code_of(status: &Status) -> (Code, &str) {
    (status.code(), status.metadata().get(GRPC_CODE_KEY).unwrap().to_str().unwrap())
}

fn message() -> ModelInferRequest {
    let raw = little_endian(&window(64, 0.5)).into();
    ModelInferRequest { raw_input_contents: vec![raw], ..grpc_request([1, 64, 1]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_over_grpc() {
    let house = House::new();
    let (meter, viewer) = (house.key("acme/meter", "predictor"), house.key("acme/eve", "viewer"));
    let server = house.serve("");
    let mut client = grpc_client(&server).await;
    let missing = client.model_infer(message()).await.unwrap_err();
    assert_eq!(code_of(&missing), (Code::Unauthenticated, "SPW-CREDENTIALS-MISSING"));
    let named = ModelMetadataRequest { name: "wave".into(), version: String::new() };
    let missing = client.model_metadata(named.clone()).await.unwrap_err();
    assert_eq!(code_of(&missing), (Code::Unauthenticated, "SPW-CREDENTIALS-MISSING"));
    client.model_metadata(with(named, &viewer.text)).await.unwrap();
    let denied = client.model_infer(with(message(), &viewer.text)).await.unwrap_err();
    assert_eq!(code_of(&denied), (Code::PermissionDenied, "SPW-NOT-PERMITTED"));
    client.model_infer(with(message(), &meter.text)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_until_its_key_is_revoked() {
    let house = House::new();
    let key = house.key("acme/meter", "predictor");
    let server = house.serve("");
    let (sender, messages) = mpsc::channel(1);
    sender.send(message()).await.unwrap();
    let mut client = grpc_client(&server).await;
    let answers = client.model_stream_infer(with(ReceiverStream::new(messages), &key.text)).await;
    let mut answers = answers.unwrap().into_inner();
    let first = answers.next().await.unwrap().unwrap();
    assert_eq!(first.error_message, "");
    house.revoke(&key);
    let since = Instant::now();
    loop {
        sender.send(message()).await.unwrap();
        let next = answers.next().await.unwrap().unwrap().error_message;
        if next.starts_with("SPW-CREDENTIALS-REFUSED") {
            break;
        }
        assert!(next.is_empty() && since.elapsed() < BOUND, "{next}");
    }
}

#[test]
fn a_receipt_is_shown_to_its_tenant_and_to_no_other() {
    let house = House::new();
    let (meter, viewer) = (house.key("acme/meter", "predictor"), house.key("acme/eve", "viewer"));
    let other = house.key("other/chief", "admin");
    let server = house.serve("");
    let answer = send(server.http, &prediction("mine").bearer(&meter.text));
    let receipt = answer.json()["parameters"]["receipt"].as_str().unwrap().to_owned();
    let get = |server: &Server, key: &str| {
        ask(server, Request::new("GET", &format!("/v1/receipts/{receipt}")), key)
    };
    wait_until("the receipt", || get(&server, &viewer.text).0 == 200);
    assert_eq!(get(&server, &other.text), (404, "SPW-RECEIPT-UNKNOWN".into()));
    let url = format!("http://{}", server.http);
    let keys = house.path("data/ledger/log.vkey");
    let checked = ["audit", "receipt", &receipt, "--url", &url, "--key", text(&keys), "--json", "--token"];
    assert_eq!(json(&[&checked[..], &[&viewer.text]].concat())["record"]["principal"], "acme/meter");
}

#[test]
fn what_was_changed_while_no_server_ran_is_in_the_ledger() {
    let house = House::new();
    let first = house.key("acme/first", "viewer");
    let about = |event: &Value, name: &str| event["class_uid"] == 3004 && event["entity"]["name"] == name;
    let server = house.serve("");
    // Keys that were made before the first start.
    house.events("the first key", 1, |event| about(event, "first"));
    server.kill();
    house.key("acme/ghost", "admin");
    house.revoke(&first);
    house.write("policies/own.cedar", "@id(\"own\") permit (principal, action, resource);");
    let server = house.serve("");
    house.events("the ghost", 1, |event| about(event, "ghost"));
    let revoked = |event: &Value| about(event, "first") && event["activity_name"] == "Deactivate";
    house.events("its revocation", 1, revoked);
    house.events("the policies", 1, |event| event["entity"]["type"] == "Policies");
    // Said once.
    server.terminate();
    assert!(server.wait().success());
    let server = house.serve("");
    house.key("acme/last", "viewer");
    house.events("the last key", 1, |event| about(event, "last"));
    let all = house.exported();
    assert_eq!(all.iter().filter(|event| about(event, "ghost")).count(), 1, "{all:#?}");
    assert_eq!(all.iter().filter(|event| about(event, "first")).count(), 2);
    drop(server);
}

#[test]
fn whoever_wants_to_do_what_he_may_not_is_in_the_ledger() {
    let house = House::new();
    let (viewer, admin) = (house.key("default/see", "viewer"), house.key("default/root", "admin"));
    let server = house.serve("");
    let unload = || Request::post("/v2/repository/models/pair/unload", "{}");
    assert_eq!(ask(&server, unload(), &viewer.text), (403, "SPW-NOT-PERMITTED".to_owned()));
    let refused = house.events("the refusal", 1, |event| event["status_code"] == "SPW-NOT-PERMITTED");
    let [event] = &refused[..] else { panic!("{refused:#?}") };
    assert_eq!(
        (&event["actor"]["user"]["name"], &event["api"]["operation"]),
        (&"default/see".into(), &"ModelUnload".into())
    );
    // Who tries it without end gets no line for each time, and each time is counted.
    (0..80).for_each(|_| drop(ask(&server, unload(), &viewer.text)));
    thread::sleep(Duration::from_millis(1_100));
    drop(ask(&server, unload(), &viewer.text));
    let count = |event: &Value| event["count"].as_u64().unwrap_or(1);
    let is_many = |event: &Value| event["status_code"] == "SPW-NOT-PERMITTED" && count(event) > 1;
    house.events("a line for many", 1, is_many);
    let lines = house.events("all of them", 1, |event| event["status_code"] == "SPW-NOT-PERMITTED");
    assert!((20..60).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(lines.iter().map(count).sum::<u64>(), 82);
    let left_out = metric(&server, &admin, "spinwell_ledger_refused_acts_left_out_total");
    assert_eq!(left_out, 82.0 - lines.len() as f64);
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew() {
    let house = House::new();
    let server = house.serve("");
    server.terminate();
    assert!(server.wait().success());
    let ledger = house.path("data/ledger");
    for part in ["gateway", "gateway.commitments"] {
        fs::rename(ledger.join(part), house.path("away")).unwrap();
        let output = Server::fails(models(), &["--data", text(&house.path("data"))]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("SPW-LEDGER-WRONG") && message.contains("is gone, and"), "{message}");
        fs::rename(house.path("away"), ledger.join(part)).unwrap();
    }
    drop(house.serve(""));
}
