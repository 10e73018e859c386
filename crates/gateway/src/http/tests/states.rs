//! What callers may do with the states of sequences.

use super::{request, send};
use crate::example::{self, Mood};
use crate::http_router;
use spinwell_core::Millis;

#[tokio::test]
async fn states_have_a_deadline_as_predictions_do() {
    let (gateway, _) = example::gateway_with(Mood::NeverAnswers, |limits| limits.deadline = Millis(20));
    let router = http_router(gateway);
    let state = "/v1/models/taxi/sequences/a/state";
    let fork = ("POST", "/v1/models/taxi/sequences/a/fork", r#"{"to":"b"}"#);
    for (method, path, body) in [("GET", state, ""), ("PUT", state, "state"), ("DELETE", state, ""), fork] {
        let answer = send(&router, request(method, path, body)).await;
        assert_eq!((answer.status, answer.code().as_str()), (504, "SPW-DEADLINE-EXCEEDED"), "{method}");
    }
}
