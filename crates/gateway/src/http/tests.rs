//! The router called as a function.

use crate::api::tests::assert_documented;
use crate::example::{self, Mood, Outcomes};
use crate::http_router;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use spinwell_core::{BatchCallPhase, Code, Protocol, ResultClass};
use spinwell_runtime::health::Phase;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

mod coding;
mod load_reports;
mod observations;
mod plans;
mod readiness;
mod states;

const INFER: &str = "/v2/models/taxi/infer";

fn good() -> Value {
    json!({"id": "a", "inputs": [{"name": "series", "shape": [1, 2, 1], "datatype": "FP32", "data": [1, 2]}]})
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let (path, method) = (request.uri().to_string(), request.method().to_string());
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_documented(&path, &method, head.status.as_u16(), &head.headers, &bytes);
    Answer { status: head.status.as_u16(), headers: head.headers, bytes }
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

fn server(mood: Mood) -> (Router, Arc<Outcomes>) {
    let (gateway, outcomes) = example::gateway_with(mood, |limits| limits.batch_call_requests_max = 8);
    (http_router(gateway), outcomes)
}

#[tokio::test]
async fn a_prediction_is_answered_and_recorded() {
    let (router, outcomes) = server(Mood::Answers);
    let answer = send(&router, request("POST", INFER, good().to_string())).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("a")));
    assert_eq!(answer.json()["outputs"][0]["data"], json!([3.0, 4.0, 5.0]));
    assert_eq!(answer.json()["parameters"]["node"], "here");
    let [outcome] = outcomes.take().try_into().unwrap();
    assert_eq!((outcome.result, outcome.windows), (ResultClass::Answered, 1));
    assert_eq!(outcome.protocol, Protocol::HttpJson);
    assert_eq!((outcome.timings.queue.0, outcome.timings.compute.0), (5, 7));
}

#[tokio::test]
async fn a_server_that_starts_says_so_whatever_it_is_asked() {
    let (gateway, outcomes) = example::starting_gateway(Mood::Answers, |_| {});
    let router = http_router(gateway.clone());
    let asked = async |phase: &str, wanted: u16| {
        for (method, path, body) in [
            ("GET", "/v2/health/ready", String::new()),
            ("GET", "/v2/models/taxi", String::new()),
            ("GET", "/v2/models/taxi/versions/1/ready", String::new()),
            ("GET", "/v2/models/nowhere/ready", String::new()),
            ("GET", "/v2/models/taxi/config", String::new()),
            ("GET", "/v2/models/stats", String::new()),
            ("POST", INFER, good().to_string()),
            (
                "POST",
                "/v1/predictions",
                json!({"requests": [{"model": "taxi", "series": [1, 2]}]}).to_string(),
            ),
            (
                "POST",
                "/v1/models/taxi/observations",
                json!({"observations": [{"request_id": "a", "values": [[1]]}]}).to_string(),
            ),
            ("GET", "/v1/models/taxi/accuracy", String::new()),
            ("POST", "/v2/repository/index", String::new()),
            ("POST", "/v2/repository/models/taxi/load", String::new()),
            ("POST", "/v2/repository/models/taxi/unload", String::new()),
            ("GET", "/v1/models/taxi/sequences/a/state", String::new()),
        ] {
            let answer = send(&router, request(method, path, body)).await;
            let is_elsewhere = wanted == 200 && path.contains("nowhere");
            assert_eq!(answer.status, if is_elsewhere { 404 } else { wanted }, "{phase} {method} {path}");
            if phase == "starting" {
                assert_eq!(
                    (answer.code().as_str(), answer.json()["retryable"].as_bool()),
                    ("SPW-STARTING", Some(true))
                );
                assert_eq!(answer.json()["retry_after_ms"], 1000, "{path}");
                assert_eq!(answer.headers["retry-after"], "1");
            }
        }
        for path in ["/v2", "/v2/health/live", "/openapi.json"] {
            assert_eq!(send(&router, request("GET", path, "")).await.status, 200, "{phase} {path}");
        }
    };
    asked("starting", 503).await;
    let starting = ResultClass::Failed(Code::Starting);
    assert_eq!(outcomes.results(), [starting, starting], "who wanted a prediction is counted");
    gateway.health().advance(Phase::Ready);
    asked("ready", 200).await;
    gateway.health().advance(Phase::Leaving);
    let answer = send(&router, request("POST", INFER, good().to_string())).await;
    assert_eq!(answer.status, 200, "who was ready answers to its end");
    let (gateway, _) = example::starting_gateway(Mood::Answers, |_| {});
    gateway.health().advance(Phase::Leaving);
    let answer = send(&http_router(gateway), request("POST", INFER, good().to_string())).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "SPW-STOPPING"), "who never was has no models");
}

#[tokio::test]
async fn a_step_of_a_sequence_is_recorded_as_one() {
    let step = async |mood: Mood, parameters: Value| {
        let (router, outcomes) = server(mood);
        let mut body = good();
        body["parameters"] = parameters;
        send(&router, request("POST", INFER, body.to_string())).await;
        let [outcome] = outcomes.take().try_into().unwrap();
        outcome.step.map(|step| (step.id.to_string(), step.number))
    };
    let (named, unnamed) = (json!({"sequence_id": 7, "sequence_step": 3}), json!({"sequence_id": "s"}));
    assert_eq!(step(Mood::Answers, json!({})).await, None);
    assert_eq!(step(Mood::Answers, named.clone()).await, Some(("7".to_owned(), Some(3))));
    assert_eq!(step(Mood::Answers, unnamed.clone()).await, Some(("s".to_owned(), Some(1))));
    // What was refused has the number that its caller gave it.
    assert_eq!(step(Mood::IsFull, named).await, Some(("7".to_owned(), Some(3))));
    assert_eq!(step(Mood::IsFull, unnamed).await, Some(("s".to_owned(), None)));
}

#[tokio::test]
async fn a_model_that_its_own_file_keeps_from_answering_says_so_everywhere() {
    let (router, outcomes) = server(Mood::Answers);
    let calls = [
        ("POST", "/v2/models/misled/infer", good()),
        ("POST", "/v2/models/misled/versions/1/infer", good()),
        ("GET", "/v2/models/misled", Value::Null),
        ("GET", "/v2/models/misled/config", Value::Null),
        ("GET", "/v2/models/misled/stats", Value::Null),
        ("GET", "/v1/models/misled/accuracy", Value::Null),
        ("POST", "/v1/models/misled/observations", json!({"observations": [{}]})),
    ];
    for (method, path, body) in calls {
        // `send` holds each answer against the document, which is made of the same table of errors.
        let answer = send(&router, request(method, path, body.to_string())).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "SPW-CONFIG-INVALID"), "{path}");
        let message = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains("serving.toml"), "{message}");
    }
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::ConfigInvalid); 2]);
}

#[tokio::test]
async fn binary_in_gives_binary_out() {
    let (router, outcomes) = server(Mood::Answers);
    let head = json!({"inputs": [{"name": "series", "shape": [2, 2, 1], "datatype": "FP32",
        "parameters": {"binary_data_size": 16}}], "parameters": {"binary_data_output": true}});
    let head = head.to_string();
    let tensor: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut request = request("POST", INFER, [head.as_bytes(), &tensor].concat());
    request.headers_mut().insert("inference-header-content-length", head.len().into());
    let answer = send(&router, request).await;
    assert_eq!(answer.status, 200);
    let json_bytes =
        answer.headers["inference-header-content-length"].to_str().unwrap().parse::<usize>().unwrap();
    assert_eq!(answer.bytes.len() - json_bytes, 3 * 2 * 3 * 4);
    assert_eq!(answer.bytes[json_bytes..json_bytes + 4], 3.0_f32.to_le_bytes());
    assert_eq!(outcomes.take()[0].protocol, Protocol::HttpBinary);
}

#[tokio::test]
async fn a_load_names_the_versions_that_it_left_out() {
    let (router, _) = server(Mood::Answers);
    let load = async |model: &str| {
        let path = format!("/v2/repository/models/{model}/load");
        let answer = send(&router, request("POST", &path, "")).await;
        (answer.status, answer.json()["not_loaded"].clone())
    };
    assert_eq!(load("taxi").await, (200, json!([])));
    let reason = "SPW-FILE-CORRUPT: the model file is damaged";
    let left_out = json!([{"name": "pump", "version": "2", "state": "UNAVAILABLE", "reason": reason}]);
    assert_eq!(load("pump").await, (200, left_out));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_in_time_may_be_sent_again() {
    use futures::StreamExt;
    let (router, outcomes) = server(Mood::Answers);
    let begun = r#"{"inputs":"#;
    for path in [INFER, PREDICTIONS, "/v2/repository/models/taxi/load", "/v1/models/taxi/observations"] {
        let sent = futures::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(begun))]);
        let body = Body::from_stream(sent.chain(futures::stream::pending()));
        let refused = send(&router, request("POST", path, body)).await;
        assert_eq!((refused.status, refused.code()), (408, "SPW-BODY-TIMEOUT".to_owned()), "{path}");
        assert_eq!(refused.json()["retryable"], true);
        assert_eq!(refused.headers["connection"], "close", "{path}");
    }
    assert_eq!(outcomes.results()[0], ResultClass::Failed(Code::BodyTimeout));
}

const PREDICTIONS: &str = "/v1/predictions";

fn batch_call() -> Value {
    json!({"priority": "high", "requests": [
        {"id": "a", "model": "taxi", "series": [[1], [2]]},
        {"id": "b", "model": "nowhere", "series": [[1], [2]]},
        {"id": "c", "model": "gait", "version": 1, "series": [1, 2]},
        {"id": "d", "model": "taxi", "series": "none"},
        7
    ]})
}

#[tokio::test]
async fn a_batch_call_answers_each_request_in_its_place() {
    use BatchCallPhase::{Completed, Started};
    let (router, outcomes) = server(Mood::Answers);
    let answer = send(&router, request("POST", PREDICTIONS, batch_call().to_string())).await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    let results = document["results"].as_array().unwrap();
    let field = |name: &str| results.iter().map(|result| result[name].clone()).collect::<Vec<_>>();
    assert_eq!(field("id"), ["a", "b", "c", "d", ""]);
    assert_eq!(field("status"), [200, 404, 200, 400, 400]);
    assert_eq!(results[0]["forecast"], json!([[3.0], [4.0], [5.0]]));
    assert_eq!(results[1]["code"], "SPW-MODEL-NOT-FOUND");
    assert_eq!(results[2]["label"], "walk");
    let id = document["batch_id"].as_str().unwrap();
    let all = outcomes.take();
    assert_eq!(all.len(), 5, "each request leaves one outcome, the call none");
    for (outcome, answered) in all.iter().zip([true, false, true, false, false]) {
        assert_eq!(outcome.result == ResultClass::Answered, answered);
        assert_eq!(outcome.protocol, Protocol::HttpBatch);
        assert_eq!(&*outcome.batch_call.as_ref().unwrap().0, id);
    }
    assert_eq!(all[3].request_id, "d");
    let calls = outcomes.batch_calls();
    assert!(calls.iter().all(|call| &*call.id.0 == id && call.requests == 5));
    let phases: Vec<_> = calls.iter().map(|call| call.phase).collect();
    assert_eq!(phases, [Started, Completed { answered: 2, failed: 3, cancelled: 0 }]);
    assert!(document.get("plan").is_none() && calls.iter().all(|call| call.plan.is_none()), "{document}");
    let again = send(&router, request("POST", PREDICTIONS, batch_call().to_string())).await.json();
    assert_ne!(again["batch_id"], document["batch_id"]);
}

#[tokio::test]
async fn a_field_that_nobody_reads_costs_its_own_request_and_no_other() {
    let (router, outcomes) = server(Mood::Answers);
    let body = json!({"requests": [
        {"id": "a", "model": "taxi", "series": [1, 2], "parameters": {"sequence_id": 7}},
        {"id": "b", "model": "taxi", "series": [1, 2], "priority": "high"},
        {"id": "c", "model": "taxi", "series": [1, 2]}]});
    let results =
        send(&router, request("POST", PREDICTIONS, body.to_string())).await.json()["results"].clone();
    let field = |name: &str| (0..3).map(|at| results[at][name].clone()).collect::<Vec<_>>();
    assert_eq!(
        (field("id"), field("status")),
        (vec!["a".into(), "b".into(), "c".into()], vec![json!(400), json!(400), json!(200)])
    );
    assert_eq!(
        (&results[0]["code"], &results[1]["code"]),
        (&json!("SPW-REQUEST-INVALID"), &json!("SPW-REQUEST-INVALID"))
    );
    assert!(results[1]["error"].as_str().unwrap().contains("beside requests"), "{results}");
    assert_eq!(outcomes.take().len(), 3);
}

#[tokio::test]
async fn a_batch_call_that_is_none_is_refused_whole_and_leaves_one_outcome() {
    let (router, outcomes) = server(Mood::Answers);
    let many = json!({"requests": vec![json!({"model": "taxi", "series": [1, 2]}); 9]}).to_string();
    let mut encoded = request("POST", PREDICTIONS, batch_call().to_string());
    encoded.headers_mut().insert("content-encoding", HeaderValue::from_static("br"));
    for (name, request, status, code) in [
        ("not JSON", request("POST", PREDICTIONS, "{"), 400, Code::JsonMalformed),
        ("no requests", request("POST", PREDICTIONS, "{\"requests\": []}"), 400, Code::RequestInvalid),
        (
            "priority",
            request("POST", PREDICTIONS, r#"{"requests":[1],"priority":1}"#),
            400,
            Code::RequestInvalid,
        ),
        (
            "other field",
            request("POST", PREDICTIONS, r#"{"requests":[1],"model":"m"}"#),
            400,
            Code::RequestInvalid,
        ),
        ("too many", request("POST", PREDICTIONS, many), 400, Code::RequestInvalid),
        ("too long", request("POST", PREDICTIONS, vec![b' '; 4097]), 413, Code::BodyTooLarge),
        ("coding", encoded, 415, Code::NotOffered),
    ] {
        let answer = send(&router, request).await;
        assert_eq!((answer.status, answer.code()), (status, code.as_str().to_owned()), "{name}");
        assert_eq!(outcomes.results(), [ResultClass::Failed(code)], "{name}");
        assert_eq!(outcomes.batch_calls(), [], "{name}");
    }
}

#[tokio::test]
async fn the_requests_of_a_batch_call_have_deadlines_of_their_own() {
    let (router, outcomes) = server(Mood::NeverAnswers);
    let body = json!({"requests": [{"model": "taxi", "series": [1, 2], "deadline_ms": 5}]});
    let answer = send(&router, request("POST", PREDICTIONS, body.to_string())).await;
    assert_eq!((answer.status, &answer.json()["results"][0]["status"]), (200, &json!(504)));
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::DeadlineExceeded)]);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_all_requests_of_his_call_cancelled() {
    let (router, outcomes) = server(Mood::NeverAnswers);
    let call = send(&router, request("POST", PREDICTIONS, batch_call().to_string()));
    assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    assert_eq!(outcomes.results(), [ResultClass::Cancelled; 5]);
    let phases: Vec<_> = outcomes.batch_calls().into_iter().map(|call| call.phase).collect();
    let cancelled = BatchCallPhase::Completed { answered: 0, failed: 0, cancelled: 5 };
    assert_eq!(phases, [BatchCallPhase::Started, cancelled]);
}

#[tokio::test]
async fn a_raw_body_is_one_window_and_its_answer_is_binary() {
    let (router, _) = server(Mood::Answers);
    let tensor = [1.0_f32, 2.0].map(f32::to_le_bytes).concat();
    let mut raw = request("POST", INFER, tensor);
    raw.headers_mut().insert("inference-header-content-length", HeaderValue::from_static("0"));
    let answer = send(&router, raw).await;
    assert_eq!(answer.status, 200);
    let json_bytes =
        answer.headers["inference-header-content-length"].to_str().unwrap().parse::<usize>().unwrap();
    assert_eq!(answer.bytes[json_bytes..json_bytes + 4], 3.0_f32.to_le_bytes());
    assert_eq!(answer.bytes.len() - json_bytes, 3 * 3 * 4);
}

#[tokio::test]
async fn what_is_on_request_is_answered_where_it_is_named() {
    let (router, _) = server(Mood::Answers);
    let mut body = good();
    body["outputs"] = json!([{"name": "direction"}, {"name": "confidence"}]);
    let answer = send(&router, request("POST", INFER, body.to_string())).await;
    let wanted = json!([
        {"name": "direction", "datatype": "INT8", "shape": [1, 3, 1], "data": [-1, 0, 1]},
        {"name": "confidence", "datatype": "FP32", "shape": [1, 3, 1], "data": [0.75, 0.5, 1.0]},
    ]);
    assert_eq!(answer.json()["outputs"], wanted);
    let usual = send(&router, request("POST", INFER, good().to_string())).await.json();
    let names = usual["outputs"].as_array().unwrap().iter().map(|output| output["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["forecast", "lower", "upper"]);
}

#[tokio::test]
async fn models_of_every_task_answer_in_either_packing() {
    let (router, _) = server(Mood::Answers);
    let body = |packing: bool| {
        json!({"parameters": {"binary_data_output": packing}, "inputs": [
            {"name": "series", "shape": [2, 2, 1], "datatype": "FP32", "data": [1, -2, 3, 4]}]})
    };
    let gait = [(json!(["rest", "walk"]), b"\x04\0\0\0rest\x04\0\0\0walk".to_vec()), {
        let probabilities = [0.25_f32, 0.75, 0.25, 0.75];
        (json!(probabilities), probabilities.map(f32::to_le_bytes).concat())
    }];
    let pump = [
        (json!([-2.0, 4.0]), [-2.0_f32, 4.0].map(f32::to_le_bytes).concat()),
        (json!([false, true]), vec![0, 1]),
    ];
    for (model, wanted) in [("gait", gait), ("pump", pump)] {
        let path = format!("/v2/models/{model}/infer");
        let answer = send(&router, request("POST", &path, body(false).to_string())).await.json();
        let data = |place: usize| answer["outputs"][place]["data"].clone();
        assert_eq!([data(0), data(1)], wanted.clone().map(|(json, _)| json), "{model}");
        let answer = send(&router, request("POST", &path, body(true).to_string())).await;
        let json_bytes = answer.headers["inference-header-content-length"].to_str().unwrap();
        let (head, bytes) = answer.bytes.split_at(json_bytes.parse().unwrap());
        let head: Value = serde_json::from_slice(head).unwrap();
        let size = |place: usize| head["outputs"][place]["parameters"]["binary_data_size"].clone();
        assert_eq!([size(0), size(1)], wanted.clone().map(|(_, bytes)| json!(bytes.len())), "{model}");
        assert_eq!(bytes, wanted.map(|(_, bytes)| bytes).concat(), "{model}");
    }
}

#[tokio::test]
async fn every_path_answers() {
    let (router, outcomes) = server(Mood::Answers);
    let rows = [
        ("GET", "/v2", 200, "spinwell"),
        ("GET", "/v2/health/live", 200, "live"),
        ("GET", "/v2/health/ready", 200, "ready"),
        ("GET", "/v2/models/taxi", 200, "spinwell_linear"),
        ("GET", "/v2/models/taxi", 200, "confidence"),
        ("GET", "/v2/models/gait", 200, "rest,walk"),
        ("GET", "/v2/models/pump", 200, "BOOL"),
        ("GET", "/v2/models/taxi/versions/1", 200, "spinwell_linear"),
        ("GET", "/v2/models/taxi/ready", 200, "true"),
        ("GET", "/v2/models/taxi/versions/1/ready", 200, "true"),
        ("GET", "/v2/models/taxi/config", 200, "max_batch_size"),
        ("GET", "/v2/models/taxi/versions/1/config", 200, "dynamic_batching"),
        ("GET", "/v2/models/none", 404, "SPW-MODEL-NOT-FOUND"),
        ("GET", "/v2/models/none/ready", 404, "SPW-MODEL-NOT-FOUND"),
        ("GET", "/v2/models/taxi/versions/9", 404, "SPW-VERSION-NOT-FOUND"),
        ("GET", "/v2/models/taxi/versions/new/config", 404, "SPW-VERSION-NOT-FOUND"),
        ("GET", "/v2/models/broken/ready", 500, "SPW-FILE-CORRUPT"),
        ("GET", "/v2/models/%ff%fe", 404, "SPW-PATH-NOT-FOUND"),
        ("GET", "/v2/nothing-here", 404, "SPW-PATH-NOT-FOUND"),
        ("GET", "/", 404, "SPW-PATH-NOT-FOUND"),
        ("GET", INFER, 405, "SPW-METHOD-NOT-ALLOWED"),
        ("POST", "/v2/models/taxi", 405, "SPW-METHOD-NOT-ALLOWED"),
        ("DELETE", "/v2", 405, "SPW-METHOD-NOT-ALLOWED"),
    ];
    for (method, path, status, word) in rows {
        let answer = send(&router, request(method, path, "")).await;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(answer.status == status && text.contains(word), "{method} {path}: {} {text}", answer.status);
        assert_eq!(answer.status != 200, answer.json().get("error").is_some(), "{method} {path}: {text}");
        assert_eq!(status == 405, answer.headers.contains_key("allow"), "{method} {path}");
    }
    assert_eq!(outcomes.take(), [], "only inference leaves outcomes");
}

#[tokio::test]
async fn bad_requests_are_refused_and_each_leaves_one_outcome() {
    let (router, outcomes) = server(Mood::Answers);
    let with_header = |name: &'static str, value: &'static str| {
        let mut request = request("POST", INFER, good().to_string());
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let length = good().to_string().len();
    let mut two_lengths = request("POST", INFER, good().to_string());
    for _ in 0..2 {
        two_lengths.headers_mut().append("inference-header-content-length", length.into());
    }
    let rows: Vec<(&str, Request<Body>, u16, Code)> = vec![
        ("not JSON", request("POST", INFER, "{"), 400, Code::JsonMalformed),
        ("empty", request("POST", INFER, ""), 400, Code::JsonMalformed),
        ("no model", request("POST", "/v2/models/x/infer", good().to_string()), 404, Code::ModelNotFound),
        ("bad name", request("POST", "/v2/models/a%20b/infer", good().to_string()), 404, Code::ModelNotFound),
        (
            "no version",
            request("POST", "/v2/models/taxi/versions/2/infer", good().to_string()),
            404,
            Code::VersionNotFound,
        ),
        ("broken", request("POST", "/v2/models/broken/infer", good().to_string()), 500, Code::FileCorrupt),
        ("declared too long", request("POST", INFER, vec![b' '; 4097]), 413, Code::BodyTooLarge),
        (
            "window",
            request("POST", INFER, good().to_string().replace("[1,2,1]", "[2,1,1]")),
            422,
            Code::WindowTooShort,
        ),
        (
            "shape",
            request("POST", INFER, good().to_string().replace("[1,2,1]", "[2]")),
            400,
            Code::TensorShape,
        ),
        (
            "output of another task",
            request(
                "POST",
                INFER,
                good().to_string().replace("\"id\"", "\"outputs\":[{\"name\":\"label\"}],\"id\""),
            ),
            400,
            Code::OutputUnknown,
        ),
        ("brotli", with_header("content-encoding", "br"), 415, Code::NotOffered),
        ("not gzip", with_header("content-encoding", "gzip"), 400, Code::FramingInvalid),
        ("header", with_header("inference-header-content-length", "x"), 400, Code::FramingInvalid),
        ("two headers", two_lengths, 400, Code::FramingInvalid),
    ];
    for (name, request, status, code) in rows {
        let answer = send(&router, request).await;
        assert_eq!((answer.status, answer.code()), (status, code.as_str().to_owned()), "{name}");
        assert_eq!(outcomes.results(), [ResultClass::Failed(code)], "{name}");
    }
    assert_eq!(send(&router, request("POST", INFER, good().to_string())).await.status, 200);
}

/// A body that never ends and does not say how long it is.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(b"[1,1,1,1,1,1,1,1,")))))
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_limit() {
    let (router, outcomes) = server(Mood::Answers);
    let answer = send(&router, request("POST", INFER, Body::new(Endless))).await;
    assert_eq!((answer.status, answer.code()), (413, "SPW-BODY-TOO-LARGE".to_owned()));
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::BodyTooLarge)]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_answers_meets_the_deadline() {
    let (router, outcomes) = server(Mood::NeverAnswers);
    let answer = send(&router, request("POST", INFER, good().to_string())).await;
    assert_eq!((answer.status, answer.code()), (504, "SPW-DEADLINE-EXCEEDED".to_owned()));
    assert!(answer.json()["error"].as_str().unwrap().contains("1000 ms"));
    let short = good().to_string().replace("\"id\"", "\"parameters\":{\"timeout\":20000},\"id\"");
    let answer = send(&router, request("POST", INFER, short)).await;
    assert!(answer.json()["error"].as_str().unwrap().contains(" 20 ms"), "{:?}", answer.json());
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::DeadlineExceeded); 2]);
}

#[tokio::test]
async fn a_caller_who_goes_away_is_recorded_as_cancelled() {
    let (router, outcomes) = server(Mood::NeverAnswers);
    let waiting = tokio::spawn(router.oneshot(request("POST", INFER, good().to_string())));
    while Arc::strong_count(&outcomes) < 3 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(outcomes.results(), [ResultClass::Cancelled]);
}

#[tokio::test]
async fn a_full_queue_says_when_to_try_again() {
    let (router, outcomes) = server(Mood::IsFull);
    let answer = send(&router, request("POST", INFER, good().to_string())).await;
    assert_eq!((answer.status, answer.code()), (503, "SPW-QUEUE-FULL".to_owned()));
    assert_eq!(
        (&answer.headers["retry-after"], &answer.json()["retry_after_ms"]),
        (&"1".parse().unwrap(), &json!(100))
    );
    assert_eq!(answer.json()["retryable"], true);
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::QueueFull)]);
}

#[tokio::test]
async fn bodies_share_one_budget_until_their_answers() {
    let length = good().to_string().len();
    let (gateway, outcomes) =
        example::gateway_with(Mood::NeverAnswers, |limits| limits.bodies_bytes_max = 2 * length - 1);
    let router = http_router(gateway);
    let mut first = Box::pin(send(&router, request("POST", INFER, good().to_string())));
    assert!(poll_once(&mut first).is_none(), "it waits for a node that never answers");
    let refused = send(&router, request("POST", INFER, good().to_string())).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "SPW-QUEUE-FULL"));
    assert_eq!(refused.headers["retry-after"], "1");
    drop(first);
    let mut next = Box::pin(send(&router, request("POST", INFER, good().to_string())));
    assert!(poll_once(&mut next).is_none(), "what the first held is free");
    drop(next);
    let queue_full = ResultClass::Failed(Code::QueueFull);
    assert_eq!(outcomes.results(), [queue_full, ResultClass::Cancelled, ResultClass::Cancelled]);
}

/// The output of a future that is ready at once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
