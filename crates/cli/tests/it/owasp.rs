//! The OWASP API Security Top 10 of 2023 against the real server: for each risk, what an attacker would try, and that it comes to nothing.

use crate::house::{House, Key, WAVE, ask, metric, prediction, told};
use crate::issuer::{Issuer, Signer};
use crate::serving::{grpc_client, grpc_request, json_request};
use crate::support::{Answer, BOUND, Request, Server, connect, models, read_answer, send, window};
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::time::Instant;

const ROWS: usize = 64;
const MIB: u64 = 1 << 20;

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The first step of a sequence.
fn first_step(sequence: &str) -> Request {
    let mut body = json_request([1, ROWS, 1], &window(ROWS, 0.5));
    body["parameters"] = json!({"sequence_id": sequence, "sequence_start": true});
    Request::post(WAVE, body.to_string())
}

fn observation(key: &Key, server: &Server) -> Value {
    let body = json!({"observations": [{"request_id": "mine", "values": [[1.0], [2.0], [3.0]]}]});
    let request = Request::post("/v1/models/wave/observations", body.to_string());
    send(server.http, &request.bearer(&key.text)).json()["results"][0].clone()
}

#[test]
fn api1_broken_object_level_authorization() {
    let house = House::new();
    let (owner, stranger) = (house.key("acme/meter", "predictor"), house.key("other/chief", "admin"));
    let server = house.serve("");
    assert_eq!(ask(&server, first_step("s"), &owner.text).0, 200);
    let predicted = send(server.http, &prediction("mine").bearer(&owner.text));
    let receipt = predicted.json()["parameters"]["receipt"].as_str().unwrap().to_owned();

    let unknown = refused(404, "SPW-SEQUENCE-UNKNOWN");
    let state = "/v1/models/wave/sequences/s/state";
    assert_eq!(ask(&server, Request::new("GET", state), &stranger.text), unknown);
    assert_eq!(ask(&server, Request::new("DELETE", state), &stranger.text), unknown);
    let fork = Request::post("/v1/models/wave/sequences/s/fork", r#"{"to": "t"}"#);
    assert_eq!(ask(&server, fork, &stranger.text), unknown);
    let mut next = json_request([1, 1, 1], &[1.0]);
    next["parameters"] = json!({"sequence_id": "s", "sequence_step": 2});
    assert_eq!(ask(&server, Request::post(WAVE, next.to_string()), &stranger.text), unknown);
    // A sequence of the same name is another one.
    assert_eq!(ask(&server, first_step("s"), &stranger.text).0, 200);
    assert_eq!(ask(&server, Request::new("DELETE", state), &stranger.text).0, 200);

    let path = format!("/v1/receipts/{receipt}");
    let theirs = || ask(&server, Request::new("GET", &path), &stranger.text);
    crate::support::wait_until("the receipt", || {
        ask(&server, Request::new("GET", &path), &owner.text).0 == 200
    });
    assert_eq!(theirs(), refused(404, "SPW-RECEIPT-UNKNOWN"));
    let of_stranger = observation(&stranger, &server);
    assert_eq!((&of_stranger["status"], &of_stranger["code"]), (&json!(404), &json!("SPW-FORECAST-UNKNOWN")));

    assert_eq!(observation(&owner, &server)["matched"], 3, "its owner's truth is the first");
    let kept = send(server.http, &Request::new("GET", state).bearer(&owner.text));
    assert!(kept.status == 200 && kept.head.contains("spinwell-sequence-step: 1"), "{}", kept.head);
}

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

#[test]
fn api2_broken_authentication() {
    let house = House::new();
    let key = house.key("acme/meter", "predictor");
    let server = house.serve("");
    let (bearer, missing, bad) =
        (format!("Bearer {}", key.text), "SPW-CREDENTIALS-MISSING", "SPW-CREDENTIALS-REFUSED");
    let (begin, last) = key.text.split_at(key.text.len() - 1);
    let turned = format!("Bearer {begin}{}", if last == "0" { "1" } else { "0" });
    let longer = format!("{bearer}0");
    let (basic, bare, comma) =
        (format!("Basic {}", key.text), key.text.clone(), format!("{bearer}, {bearer}"));
    let cookie = format!("token={}", key.text);
    let rows: [(&str, Headers<'_>, &str); 12] = [
        ("nothing", &[], missing),
        ("in a header of its own", &[("X-Api-Key", &key.text)], missing),
        ("in a cookie", &[("Cookie", &cookie)], missing),
        ("for a proxy", &[("Proxy-Authorization", &bearer)], missing),
        ("twice", &[("Authorization", &bearer), ("Authorization", &bearer)], bad),
        ("a bad one behind a good one", &[("Authorization", &bearer), ("Authorization", "Bearer x")], bad),
        ("two in one", &[("Authorization", &comma)], bad),
        ("another scheme", &[("Authorization", &basic)], bad),
        ("no scheme", &[("Authorization", &bare)], bad),
        ("empty", &[("Authorization", "Bearer ")], bad),
        ("another last character", &[("Authorization", &turned)], bad),
        ("one character more", &[("Authorization", &longer)], bad),
    ];
    for (what, headers, code) in rows {
        let request =
            headers.iter().fold(prediction("a"), |request, (name, value)| request.header(name, value));
        let answer = send(server.http, &request);
        assert_eq!(told(&answer), refused(401, code), "{what}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{what}: {}", answer.head);
    }
    let in_path = Request::post(&format!("{WAVE}?access_token={}", key.text), prediction("a").body);
    assert_eq!(told(&send(server.http, &in_path)), refused(401, missing), "in the address, which is logged");
    assert_eq!(ask(&server, prediction("a"), &key.text).0, 200);
}

#[test]
fn api3_broken_object_property_level_authorization() {
    let house = House::new();
    let (meter, viewer) = (house.key("acme/meter", "predictor"), house.key("acme/eve", "viewer"));
    let server = house.serve("");
    let names = ["tenant", "principal", "role", "roles", "policy", "is_admin"];
    let mut body: Value = serde_json::from_slice(&prediction("written").body).unwrap();
    names.iter().for_each(|name| body[*name] = json!("admin"));
    let with_headers = |body: &Value| {
        let claims = ["X-Tenant", "X-Tenant-Id", "X-User", "X-Forwarded-User", "X-Role", "X-Remote-User"];
        let request = Request::post(WAVE, body.to_string());
        claims.iter().fold(request, |request, name| request.header(name, "default"))
    };
    assert_eq!(ask(&server, with_headers(&body), &viewer.text), refused(403, "SPW-NOT-PERMITTED"));
    assert_eq!(ask(&server, with_headers(&body), &meter.text).0, 200);
    let is_written = |event: &Value| event["api"]["request"]["uid"] == "written";
    let event = &house.events("the prediction", 1, is_written)[0];
    let user = json!({"name": "acme/meter", "credential_uid": meter.id, "org": {"name": "acme"}});
    assert_eq!(event["actor"]["user"], user);
    assert_eq!(event["unmapped"]["policy"], "predictors-predict");
    let mut body: Value = serde_json::from_slice(&prediction("parameters").body).unwrap();
    body["parameters"] = names.iter().map(|name| ((*name).to_owned(), json!("default"))).collect();
    let (status, _) = ask(&server, with_headers(&body), &meter.text);
    assert!(status == 200 || status == 400);
    let of_others =
        |event: &&Value| event["actor"]["user"]["org"]["name"] == "default" && event["ai_model"].is_object();
    assert_eq!(house.exported().iter().find(of_others), None);
    let listed = send(server.http, &Request::new("GET", "/v2/models/wave").bearer(&viewer.text)).text();
    assert!(!listed.contains("tenant") && !listed.contains("/model.spinwell"), "{listed}");
}

/// A body that unpacks to more than any limit.
fn gzip_bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blank = vec![b' '; MIB as usize];
    for _ in 0..256 {
        packed.write_all(&blank).unwrap();
    }
    packed.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn api4_unrestricted_resource_consumption() {
    let house = House::new();
    house.write("tenants.toml", "[small]\nrequests_per_second = 1\nburst = 2\n");
    let (meter, small) = (house.key("acme/meter", "predictor"), house.key("small/meter", "predictor"));
    let server = house.serve("[threats]\nrespond = false\n");
    assert_eq!(ask(&server, prediction("warm"), &meter.text).0, 200);
    let before = server.memory_peak();
    for shape in [[1_u64, 1 << 40, 1], [1 << 40, ROWS as u64, 1], [1 << 31, 1 << 31, 1]] {
        let head = json!({"inputs": [{"name": "series", "shape": shape, "datatype": "FP32",
            "parameters": {"binary_data_size": 16}}]});
        let json = json!({"inputs": [{"name": "series", "shape": shape, "datatype": "FP32", "data": [1.0]}]});
        for request in [Request::post_binary(WAVE, &head, &[0; 16]), Request::post(WAVE, json.to_string())] {
            assert_eq!(ask(&server, request, &meter.text), refused(400, "SPW-TENSOR-SHAPE"), "{shape:?}");
        }
        let shape = shape.map(|extent| extent as usize);
        let mut request = tonic::Request::new(grpc_request(shape));
        request.metadata_mut().insert("authorization", format!("Bearer {}", meter.text).parse().unwrap());
        let status = grpc_client(&server).await.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    }
    let deep = Request::post(WAVE, "[".repeat(1_000_000));
    assert_eq!(ask(&server, deep, &meter.text).0, 400);
    let inside = format!("{{\"inputs\": {}", "{\"a\":[".repeat(100_000));
    assert_eq!(ask(&server, Request::post(WAVE, inside), &meter.text).0, 400);
    let bomb = Request::post(WAVE, gzip_bomb()).header("Content-Encoding", "gzip");
    assert_eq!(ask(&server, bomb, &meter.text), refused(413, "SPW-BODY-TOO-LARGE"));
    let declared = Request::new("POST", WAVE).header("Content-Length", &(1_u64 << 40).to_string());
    assert_eq!(ask(&server, declared, &meter.text), refused(413, "SPW-BODY-TOO-LARGE"));
    let many = json!({"requests": vec![json!({"model": "wave", "series": [1]}); 1_025]}).to_string();
    let many = Request::post("/v1/predictions", many);
    assert_eq!(ask(&server, many, &meter.text), refused(400, "SPW-REQUEST-INVALID"));
    // The largest body that is read has 16 MiB.
    let more = server.memory_peak() - before;
    assert!(more < 128 * MIB, "{} MiB", more / MIB);

    assert_eq!(ask(&server, prediction("one"), &small.text).0, 200);
    // All at once, so that nothing is earned back between them.
    let one = json!({"model": "wave", "series": window(ROWS, 0.5)});
    let call = Request::post("/v1/predictions", json!({"requests": vec![one; 50]}).to_string());
    let answers = send(server.http, &call.bearer(&small.text)).json();
    let answers = answers["results"].as_array().unwrap();
    let refusals: Vec<&Value> = answers.iter().filter(|answer| answer["status"] == 429).collect();
    assert!(refusals.len() >= 40, "{answers:?}");
    assert!(refusals.iter().all(|answer| answer["code"] == "SPW-QUOTA-EXCEEDED"));
    let asked = || send(server.http, &prediction("again").bearer(&small.text));
    let mut last = asked();
    crate::support::wait_until("a refusal", || {
        let is_refused = last.status == 429;
        if !is_refused {
            last = asked();
        }
        is_refused
    });
    assert_eq!(last.code(), "SPW-QUOTA-EXCEEDED");
    assert!(last.head.contains("retry-after: "), "{}", last.head);
    assert_eq!(ask(&server, prediction("other"), &meter.text).0, 200, "it is the tenant's own");
}

#[test]
fn api5_broken_function_level_authorization() {
    let house = House::new();
    let (meter, chief) = (house.key("acme/meter", "predictor"), house.key("acme/chief", "admin"));
    let server = house.serve("[threats]\nrespond = false\n");
    let acts = [
        (server.http, "POST", "/v2/repository/models/wave/load"),
        (server.http, "POST", "/v2/repository/models/wave/unload"),
        (server.ops, "GET", "/metrics"),
        (server.ops, "GET", "/v1/admin/cluster"),
        (server.ops, "POST", "/v1/admin/cluster/nodes/n1/drain"),
        (server.ops, "POST", "/v1/admin/cluster/nodes/n1/drain?force=true"),
        (server.ops, "PUT", "/v1/admin/cluster/strategy/round_robin"),
        (server.ops, "DELETE", "/v1/admin/cluster/strategy"),
    ];
    for (address, method, path) in acts {
        // Whoever predicts, and whoever has everything to say in a tenant and nothing in the region.
        for key in [&meter, &chief] {
            let request =
                Request { body: Vec::new(), ..Request::new(method, path).header("Content-Length", "0") };
            let answer = send(address, &request.bearer(&key.text));
            assert_eq!(told(&answer), refused(403, "SPW-NOT-PERMITTED"), "{method} {path}");
        }
        // Nor by a verb that some servers take for another one.
        let tunnelled = Request::new("GET", path).header("X-HTTP-Method-Override", method);
        assert_ne!(send(address, &tunnelled.bearer(&meter.text)).status, 200, "{method} {path}");
    }
    assert_eq!(ask(&server, prediction("on"), &meter.text).0, 200, "the model is served as before");
}

fn findings(server: &Server, admin: &Key, detector: &str) -> f64 {
    ["log", "slow", "block"]
        .iter()
        .map(|response| {
            let series =
                format!("spinwell_threat_findings_total{{detector=\"{detector}\",response=\"{response}\"}}");
            metric(server, admin, &series)
        })
        .sum()
}

#[test]
fn api6_unrestricted_access_to_sensitive_business_flows() {
    let house = House::new();
    house.write("tenants.toml", "[thief]\nrequests_per_second = 1\nburst = 5000\n");
    let (sweeper, thief) = (house.key("acme/sweeper", "viewer"), house.key("thief/thief", "predictor"));
    let (honest, admin) = (house.key("acme/meter", "predictor"), house.key("default/boss", "admin"));
    let server = house.serve("[limits]\nbatch_call_requests_max = 4096\ndeadline_ms = 60000\n");
    // Whoever tries names of models.
    let held = (0..60).position(|number| {
        let request = Request::new("GET", &format!("/v2/models/guess-{number}"));
        ask(&server, request, &sweeper.text) == refused(429, "SPW-CALLER-HELD-BACK")
    });
    assert!(held.is_some_and(|tried| tried >= 20), "{held:?}");
    assert!(findings(&server, &admin, "object_enumeration") >= 1.0);
    // Whoever asks for so many fresh windows that the model could be copied, with a quota that has no use for them.
    let mut state = 7_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / 1_000.0
    };
    let one = |series: Vec<f32>| json!({"model": "wave", "series": series});
    let requests: Vec<Value> = (0..2_100).map(|_| one((0..ROWS).map(|_| noise()).collect())).collect();
    let call = Request::post("/v1/predictions", json!({ "requests": requests }).to_string());
    assert_eq!(ask(&server, call, &thief.text).0, 200);
    assert!(findings(&server, &admin, "extraction") >= 1.0);
    let again = || ask(&server, prediction("again"), &thief.text);
    let since = Instant::now();
    while again() != refused(429, "SPW-CALLER-HELD-BACK") {
        assert!(since.elapsed() < BOUND, "nothing followed");
    }
    let of = |title: &str, name: &str| {
        let is_one = |event: &Value| event["class_uid"] == 2004 && event["finding_info"]["title"] == title;
        assert_eq!(house.events(title, 1, is_one)[0]["actor"]["user"]["name"], name);
    };
    of("object_enumeration", "acme/sweeper");
    of("extraction", "thief/thief");
    assert_eq!(ask(&server, prediction("honest"), &honest.text).0, 200, "nobody else is held back");
}

/// A place that nobody is to call.
fn bait() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    (listener, url)
}

fn assert_nobody_called(bait: &TcpListener) {
    let called = bait.accept().map(|(_, address)| address);
    assert!(called.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "{called:?}");
}

#[test]
fn api7_server_side_request_forgery() {
    let (house, signer) = (House::new(), Signer::new("k1"));
    let issuer = Issuer::start(&[&signer]);
    house.write("issuers.toml", &issuer.written(""));
    let admin = house.key("default/boss", "admin");
    let server = house.serve("[threats]\nrespond = false\n");
    let (bait, url) = bait();
    let attacker = Signer::new("k9");
    for member in ["jku", "x5u", "kid"] {
        let mut header = attacker.header();
        header[member] = json!(url);
        let token = attacker.token_with(&header, &issuer.claims());
        assert_eq!(
            ask(&server, prediction("a"), &token),
            refused(401, "SPW-CREDENTIALS-REFUSED"),
            "{member}"
        );
    }
    let mut claims = issuer.claims();
    claims["iss"] = json!(url);
    assert_eq!(
        ask(&server, prediction("a"), &attacker.token(&claims)).0,
        401,
        "an issuer that nobody has named"
    );
    for parameters in [json!({"config": url}), json!({"file:model.spinwell": url}), json!({"source": url})] {
        let body = json!({ "parameters": parameters }).to_string();
        let (status, _) = ask(&server, Request::post("/v2/repository/models/wave/load", body), &admin.text);
        assert!(status == 400 || status == 200, "{parameters}: {status}");
    }
    let named = url.replace('/', "%2F");
    let load = Request::post(&format!("/v2/repository/models/{named}/load"), "");
    assert!((400..500).contains(&ask(&server, load, &admin.text).0));
    let mut body: Value = serde_json::from_slice(&prediction("a").body).unwrap();
    body["inputs"][0]["parameters"] = json!({"shared_memory_region": url, "url": url});
    ask(&server, Request::post(WAVE, body.to_string()), &admin.text);
    for header in ["X-Forwarded-Host", "Forwarded", "Referer", "X-Original-Url", "X-Callback"] {
        ask(&server, Request::new("GET", "/v2").header(header, &url), &admin.text);
    }
    assert_nobody_called(&bait);
}

/// What no answer says of the machine behind it.
fn assert_discreet(answer: &Answer, what: &str) {
    for header in ["server:", "x-powered-by:", "access-control-allow-origin:", "via:"] {
        assert!(!answer.head.contains(&format!("\r\n{header}")), "{what}: {}", answer.head);
    }
    let body = answer.text();
    for trace in ["panicked", "backtrace", ".rs:", "/home/", "/tmp/", "rustc"] {
        assert!(!body.contains(trace), "{what}: {body}");
    }
}

#[test]
fn api8_security_misconfiguration() {
    let house = House::new();
    let (meter, admin) = (house.key("acme/meter", "predictor"), house.key("default/boss", "admin"));
    let server = house.serve("[threats]\nrespond = false\n");
    for address in [server.http, server.ops] {
        for path in ["/v2", WAVE, "/openapi.json", "/nowhere", "/metrics", "/v1/receipts/gateway-999"] {
            for method in ["GET", "POST", "OPTIONS", "TRACE"] {
                let preflight = Request::new(method, path)
                    .header("Origin", "https://evil.example")
                    .header("Access-Control-Request-Method", "POST")
                    .header("Access-Control-Request-Headers", "authorization")
                    .header("Content-Length", "0");
                for request in [preflight.clone(), preflight.bearer(&admin.text)] {
                    let answer = send(address, &request);
                    assert_discreet(&answer, &format!("{method} {path}"));
                    // What is asked comes back in no answer, as it would to a TRACE.
                    assert!(!answer.text().contains(&admin.text), "{method} {path}");
                }
            }
        }
    }
    for body in ["{", "[]", "\u{0}", "{\"inputs\": 7}"] {
        assert_discreet(&send(server.http, &Request::post(WAVE, body).bearer(&meter.text)), body);
    }
    let mut stream = connect(server.http);
    stream.write_all(b"NONSENSE\r\n\r\n").unwrap();
    assert_discreet(&read_answer(stream), "no HTTP");
    let exposed = Server::fails(models(), &["--http", "0.0.0.0:0"]);
    let told = String::from_utf8_lossy(&exposed.stderr);
    assert!(exposed.status.code() == Some(1) && told.contains("SPW-LISTEN-REFUSED"), "{told}");
}

#[test]
fn api9_improper_inventory_management() {
    let house = House::new();
    let admin = house.key("default/boss", "admin");
    let server = house.serve("[threats]\nrespond = false\n");
    let served = |request: Request| {
        let answer = send(server.http, &request.clone().bearer(&admin.text));
        if answer.code() == "SPW-PATH-NOT-FOUND" {
            send(server.ops, &request.bearer(&admin.text))
        } else {
            answer
        }
    };
    let mut paths = 0;
    for address in [server.http, server.ops] {
        let document = send(address, &Request::new("GET", "/openapi.json")).json();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let asked =
                [("{model}", "wave"), ("{version}", "1"), ("{sequence}", "s"), ("{receipt}", "gateway-0")];
            let asked = asked.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
            let asked = asked.replace("{node}", "local").replace("{strategy}", "round_robin");
            for method in ["get", "put", "post", "delete", "patch", "head"] {
                let request = Request::new(&method.to_uppercase(), &asked).header("Content-Length", "0");
                let code = served(request).code();
                // What is in the document is served, and at its paths nothing else is.
                let is_documented = operations.get(method).is_some();
                let is_absent = code == "SPW-METHOD-NOT-ALLOWED" || code == "SPW-PATH-NOT-FOUND";
                assert!(method == "head" || is_documented != is_absent, "{method} {path}: {code}");
            }
            paths += 1;
        }
    }
    assert!(paths > 25, "{paths}");
    for path in [
        "/",
        "/v1",
        "/v3",
        "/v0/models/wave",
        "/v2/models",
        "/v2/models/wave/debug",
        "/admin",
        "/debug/pprof/",
        "/env",
        "/actuator/health",
        "/.git/config",
        "/.env",
        "/swagger.json",
        "/graphql",
        "/keys.json",
        "/v1/admin",
        "/console",
        "/v2/../metrics",
        "/v2//health/live",
        "/V2/health/live",
        "/v2/repository/models",
        "/access/keys.json",
    ] {
        for method in ["GET", "POST"] {
            let answer = served(Request::new(method, path).header("Content-Length", "0"));
            assert_eq!(told(&answer), refused(404, "SPW-PATH-NOT-FOUND"), "{method} {path}");
        }
    }
    // What operators ask is not served where callers ask.
    for path in ["/metrics", "/v1/admin/cluster", "/docs", "/livez"] {
        let answer = send(server.http, &Request::new("GET", path).bearer(&admin.text));
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[test]
fn api10_unsafe_consumption_of_apis() {
    let (bait, url) = bait();
    let secret = crate::issuer::encode(&[7; 32]);
    let shared = json!({"keys": [{"kty": "oct", "kid": "k9", "alg": "HS256", "k": secret}]}).to_string();
    let huge = format!("{{\"keys\": [{}]}}", vec![shared.as_str(); 10_000].join(","));
    let many = json!({"keys": vec![json!({"kty": "OKP"}); 65]}).to_string();
    let moved = format!("302 Found\r\nlocation: {url}");
    let rows: [(&str, &str, &str); 7] = [
        ("huge", "200 OK", &huge),
        ("a redirect", &moved, ""),
        ("not JSON", "200 OK", "<html>keys</html>"),
        ("no key set", "200 OK", "{\"keys\": 7}"),
        ("too many keys", "200 OK", &many),
        ("an error", "500 Oops", &shared),
        ("deep", "200 OK", &"[".repeat(100_000)),
    ];
    for (what, status, body) in rows {
        let (house, signer, attacker) = (House::new(), Signer::new("k1"), Signer::new("k9"));
        let issuer = Issuer::start(&[&signer]);
        house.write("issuers.toml", &issuer.written(""));
        let server = house.serve("");
        crate::support::wait_until("the issuer is asked", || issuer.asked() == 1);
        let good = |subject: &str| {
            let mut claims = issuer.claims();
            claims["sub"] = json!(subject);
            ask(&server, prediction("a"), &signer.token(&claims)).0
        };
        assert_eq!(good("before"), 200, "{what}");
        issuer.answer(status, body.as_bytes());
        let forged = attacker.token(&issuer.claims());
        assert_eq!(ask(&server, prediction("a"), &forged), refused(401, "SPW-CREDENTIALS-REFUSED"), "{what}");
        assert_eq!(issuer.asked(), 2, "{what}: it was asked again");
        assert_eq!(good("after"), 200, "{what}: the keys that were good are");
        let log = house.log();
        assert!(log.contains("keys cannot be fetched") && !log.contains(&secret), "{what}: {log}");
    }
    assert_nobody_called(&bait);
}
