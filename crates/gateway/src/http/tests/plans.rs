//! How a batch call was divided over nodes, as its caller and the records learn of it.

use super::{Mood, PREDICTIONS, batch_call, request, send, server};
use serde_json::json;

#[tokio::test]
async fn a_batch_call_that_is_divided_over_nodes_says_how_in_the_answer_and_in_the_records() {
    let (router, outcomes) = server(Mood::Divides);
    let document = send(&router, request("POST", PREDICTIONS, batch_call().to_string())).await.json();
    // Only what could be asked was divided.
    let wanted = json!({"strategy_used": "predictive", "estimated_completion_time_ms": 1.5,
        "parts": [{"node": "here", "requests": 2}]});
    assert_eq!(document["plan"], wanted);
    assert_eq!(document["results"].as_array().unwrap().len(), 5);
    let calls = outcomes.batch_calls();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.plan.as_ref().unwrap().strategy_used == "predictive"));
}
