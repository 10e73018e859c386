//! Reports of the load with answers.

use super::{Answer, INFER, good, request, send};
use crate::example::{self, Mood};
use crate::http_router;
use axum::Router;
use axum::http::HeaderValue;
use serde_json::{Value, json};

async fn ask(router: &Router, path: &str, body: String, format: Option<&'static str>) -> Answer {
    let mut request = request("POST", path, body);
    let header = format.map(HeaderValue::from_static);
    header
        .into_iter()
        .for_each(|value| drop(request.headers_mut().insert("endpoint-load-metrics-format", value)));
    send(router, request).await
}

fn report(answer: &Answer) -> Option<&str> {
    answer.headers.get("endpoint-load-metrics").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn who_asks_gets_a_report_with_every_answer_and_nobody_else() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let router = http_router(gateway);
    let calls = json!({"requests": [{"model": "taxi", "series": [1, 2]}]}).to_string();
    for (path, body, status) in [
        (INFER, good().to_string(), 200),
        ("/v2/models/taxi/versions/1/infer", good().to_string(), 200),
        ("/v1/predictions", calls, 200),
        (INFER, "no JSON".to_owned(), 400),
        ("/v2/models/nobody/infer", good().to_string(), 404),
        ("/v1/predictions", "{}".to_owned(), 400),
    ] {
        let without = ask(&router, path, body.clone(), None).await;
        assert_eq!((without.status, report(&without)), (status, None), "{path}");
        let with = ask(&router, path, body.clone(), Some("text")).await;
        let told = report(&with).unwrap_or_else(|| panic!("no report: {path} {status}"));
        assert!(told.starts_with("TEXT ") && told.contains("rps_fractional="), "{told}");
        assert!(told.contains("named_metrics.queue_len=0"), "{told}");
        assert_eq!((with.status, with.bytes.len() > 2), (status, true));
        assert_eq!(
            report(&ask(&router, path, body, Some("xml")).await),
            None,
            "a form that there is none of"
        );
    }
    assert_eq!(report(&send(&router, request("GET", "/v2", "")).await), None);
}

#[tokio::test]
async fn a_report_counts_what_ended_and_what_failed() {
    let (gateway, _) = example::gateway(Mood::IsFull);
    let router = http_router(gateway);
    let answer = ask(&router, INFER, good().to_string(), Some("JSON")).await;
    assert_eq!(answer.status, 503);
    let told: Value = serde_json::from_str(report(&answer).unwrap().strip_prefix("JSON ").unwrap()).unwrap();
    let (ended, failed) = (told["rps_fractional"].as_f64().unwrap(), told["eps"].as_f64().unwrap());
    assert!(ended > 0.0 && ended == failed, "{told}");
}
