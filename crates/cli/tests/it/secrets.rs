//! What nobody may find in a log, a ledger or any other file: credentials, good and bad, and what is predicted from.

use crate::house::{House, WAVE, ask, prediction};
use crate::issuer::{Issuer, Signer};
use crate::serving::{grpc_client, grpc_request, json_request, little_endian};
use crate::support::{Request, Server, send, text, wait_until, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::ModelInferRequest;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const ROWS: usize = 64;
/// A value of a window as JSON writes it; nothing else here is so.
const VALUE: &str = "7341.0625";
/// What the requests are called: this may be found, or the search finds nothing.
const MARKER: &str = "planted-marker";

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What a file says; unpacked, where it is packed.
pub(crate) fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let mut unpacked = Vec::new();
    match flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked) {
        Ok(_) => unpacked,
        Err(_) => bytes,
    }
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Credentials as strangers and owners send them, none of which may be found.
fn credentials(good: &str, signer: &Signer, issuer: &Issuer) -> Vec<String> {
    let (known, secret) = good.rsplit_once('_').unwrap();
    let turned: String = secret.chars().rev().collect();
    let stranger = Signer::new("k1");
    let mut old = issuer.claims();
    old["exp"] = json!(1_000_000);
    vec![
        good.to_owned(),
        format!("{known}_{turned}"),
        "spw_planted-malformed-key".to_owned(),
        format!("spw_{}_{}", "5".repeat(16), "7".repeat(secret.len())),
        signer.token(&issuer.claims()),
        signer.token(&old),
        stranger.token(&issuer.claims()),
        format!("{}.planted.token", crate::issuer::encode(b"{\"alg\":\"none\"}")),
    ]
}

fn send_everything(server: &Server, credentials: &[String]) {
    let mut values = window(ROWS, 0.5);
    values[20] = VALUE.parse().unwrap();
    let mut body = json_request([1, ROWS, 1], &values);
    body["id"] = MARKER.into();
    let body = body.to_string();
    assert!(body.contains(VALUE));
    for credential in credentials {
        let lists = Request::post(
            "/v1/predictions",
            json!({"requests": [
            {"id": MARKER, "model": "wave", "series": values}]})
            .to_string(),
        );
        let broken = Request::post(WAVE, body.replace(VALUE, &format!("{VALUE},planted-broken-json")));
        let [odd, shape] = [json!("planted-odd-value"), json!([1, ROWS, 1, 7_341_062])].map(|odd| {
            let mut body: Value = serde_json::from_str(&body).unwrap();
            let name = if odd.is_string() { "data" } else { "shape" };
            body["inputs"][0][name] = odd;
            Request::post(WAVE, body.to_string())
        });
        for request in [Request::post(WAVE, body.clone()), lists, broken, odd, shape] {
            ask(server, request.header("Cookie", "session=planted-cookie"), credential);
        }
        for path in ["/v2/models/wave", "/v1/models/wave/accuracy", "/v1/receipts/gateway-1"] {
            ask(server, Request::new("GET", path), credential);
        }
        send(server.ops, &Request::new("GET", "/metrics").bearer(credential));
        // Not in the way that it should be sent.
        send(server.http, &prediction(MARKER).header("Authorization", &format!("Basic {credential}")));
        send(server.http, &prediction(MARKER).header("Authorization", credential));
    }
}

async fn send_over_grpc(server: &Server, credentials: &[String]) {
    let mut values = window(ROWS, 0.5);
    values[20] = VALUE.parse().unwrap();
    for credential in credentials {
        let raw = little_endian(&values).into();
        let mut request = tonic::Request::new(ModelInferRequest {
            id: MARKER.into(),
            raw_input_contents: vec![raw],
            ..grpc_request([1, ROWS, 1])
        });
        request.metadata_mut().insert("authorization", format!("Bearer {credential}").parse().unwrap());
        // Whether it is answered is nothing to this test.
        let _ = grpc_client(server).await.model_infer(request).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_and_no_value_is_in_any_log_or_file() {
    let (house, signer) = (House::new(), Signer::new("k1"));
    let issuer = Issuer::start(&[&signer]);
    house.write("issuers.toml", &issuer.written(""));
    let key = house.key("acme/meter", "predictor");
    let access_log = house.path("access.log");
    let server = house.serve(&format!(
        "[log]\nlevel = \"trace\"\nformat = \"json\"\n[access_log]\npath = {access_log:?}\n[threats]\nrespond = false\n"
    ));
    let credentials = credentials(&key.text, &signer, &issuer);
    send_everything(&server, &credentials);
    send_over_grpc(&server, &credentials).await;
    house.events("the last request", 2, |event| event["api"]["request"]["uid"] == MARKER);
    wait_until("the access log", || fs::read_to_string(&access_log).unwrap().contains(MARKER));
    server.terminate();
    assert!(server.wait().success());

    let parts = credentials.iter().flat_map(|credential| {
        // The part that is secret: behind the key's id, or the token's claims and signature.
        let end = credential.rfind(['_', '.']).unwrap();
        [credential.as_str(), &credential[end + 1..]]
    });
    let planted = ["planted-broken", "planted-odd", "planted-cookie", VALUE, "7341062"];
    let secrets: Vec<&str> = parts.chain(planted).filter(|secret| *secret != "token").collect();
    let is_secret_file =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "key" || end == "commitments");
    let mut searched = files(&house.path("data"));
    searched.retain(|path| !is_secret_file(path));
    searched.extend([house.path("log"), access_log.clone(), house.path("access/keys.json")]);
    let mut marked = Vec::new();
    for path in &searched {
        let content = content(path);
        for secret in &secrets {
            let place = content.windows(secret.len()).position(|part| part == secret.as_bytes());
            if let Some(place) = place {
                let around = &content[place.saturating_sub(300)..(place + 100).min(content.len())];
                panic!("{secret} is in {}: {}", text(path), String::from_utf8_lossy(around));
            }
        }
        if holds(&content, MARKER) {
            marked.push(path.clone());
        }
    }
    // What may be found is found: in the access log and, unpacked, in the ledger.
    assert!(marked.contains(&access_log), "{marked:?}");
    let ledger = house.path("data/ledger");
    assert!(marked.iter().any(|path| path.starts_with(&ledger)), "{marked:?} of {searched:?}");
    assert!(house.log().contains("\"TRACE\""), "the log says everything that it ever says");
}
