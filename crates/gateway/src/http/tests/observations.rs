//! Truths for earlier forecasts.

use super::{INFER, good, request, send};
use crate::Metrics;
use crate::example::{self, Mood, catalogue};
use crate::http_router;
use axum::Router;
use serde_json::{Value, json};
use spinwell_protocol::NodeLoad;

const OBSERVATIONS: &str = "/v1/models/taxi/observations";
const ACCURACY: &str = "/v1/models/taxi/accuracy";

async fn observe(router: &Router, observations: Value) -> Value {
    let body = json!({"observations": observations}).to_string();
    let answer = send(router, request("POST", OBSERVATIONS, body)).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["results"].clone()
}

async fn version(router: &Router) -> Value {
    let answer = send(router, request("GET", ACCURACY, "")).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["versions"][0].clone()
}

fn close(found: &Value, wanted: f64) {
    assert!(found.as_f64().is_some_and(|found| (found - wanted).abs() < 1e-5), "{found} is not {wanted}");
}

#[tokio::test]
async fn forecasts_are_judged_by_the_truth_that_arrives() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let router = http_router(gateway.clone());
    assert_eq!(send(&router, request("POST", INFER, good().to_string())).await.status, 200);
    let batch = json!({"requests": [
        {"id": "b", "model": "taxi", "series": [4, 5]},
        {"id": "c", "model": "taxi", "series": [6, 7], "outputs": ["forecast"]},
        {"id": "d", "model": "taxi", "series": [6, 7], "outputs": ["lower"]},
        {"model": "taxi", "series": [6, 7]},
        {"id": "e", "model": "gait", "series": [6, 7]}]});
    assert_eq!(send(&router, request("POST", "/v1/predictions", batch.to_string())).await.status, 200);
    assert_eq!(version(&router).await["awaiting"], 3);

    // The forecasts are 3, 4, 5 and 6, 7, 8 and 8, 9, 10, each half a unit up and down.
    let results = observe(
        &router,
        json!([
            {"request_id": "a", "values": [[3.25], [5]]},
            {"request_id": "b", "from_step": 3, "values": [7.5]},
            {"request_id": "a", "from_step": 2, "values": [5]},
            {"request_id": "a", "values": [3.25, 6]},
            {"request_id": "nobody", "values": [1]},
            {"request_id": "d", "values": [8]},
            {"request_id": "a", "values": [[1, 2]]},
            {"request_id": "a", "values": [1, 2, 3, 4]},
            {"request_id": "c", "values": [9]},
            {}]),
    )
    .await;
    let told: Vec<(u64, &str)> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["status"].as_u64().unwrap(), one["code"].as_str().unwrap_or("")))
        .collect();
    let wanted = [
        (200, ""),
        (200, ""),
        (200, ""),
        (409, "SPW-OBSERVATION-CONTRADICTS"),
        (404, "SPW-FORECAST-UNKNOWN"),
        (404, "SPW-FORECAST-UNKNOWN"),
        (400, "SPW-TENSOR-SHAPE"),
        (400, "SPW-TENSOR-SHAPE"),
        (200, ""),
        (400, "SPW-REQUEST-INVALID"),
    ];
    assert_eq!(told, wanted);
    assert_eq!((&results[0]["matched"], &results[0]["repeated"]), (&json!(2), &json!(0)));
    assert_eq!((&results[2]["matched"], &results[2]["repeated"]), (&json!(0), &json!(1)));

    // Errors 0.25, 1, 0.5 with intervals, 1 without; the last values were 2, 2, 5 and 7.
    let found = version(&router).await;
    assert_eq!(
        (&found["version"], &found["values"], &found["intervals"]),
        (&json!("1"), &json!(4), &json!(3))
    );
    assert_eq!((&found["awaiting"], &found["forgotten_total"]), (&json!(3), &json!(0)));
    close(&found["mae"], 2.75 / 4.0);
    close(&found["coverage"], 2.0 / 3.0);
    close(&found["coverage_wanted"], 0.95);
    close(&found["interval_score"], (1.0 + 1.0 + 40.0 * 0.5 + 1.0) / 3.0);
    close(&found["skill"], 1.0 - 2.75 / (1.25 + 3.0 + 2.5 + 2.0));

    let metrics = Metrics::new(&catalogue());
    for _ in 0..2 {
        let page = metrics.encode(&NodeLoad::default(), &catalogue(), &gateway.live_figures(), None).unwrap();
        for line in [
            "spinwell_live_absolute_error{model=\"taxi\",version=\"1\"} 0.6875",
            "spinwell_live_coverage_ratio{model=\"taxi\",version=\"1\"} 0.6666666666666666",
            "spinwell_live_matured_values_total{model=\"taxi\",version=\"1\"} 4",
            "spinwell_live_forecasts_awaiting{model=\"taxi\",version=\"1\"} 3.0",
            "spinwell_live_forecasts_forgotten_total{model=\"taxi\",version=\"1\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }
}

#[tokio::test]
async fn the_rows_of_a_step_are_the_truth_for_the_step_before_it() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let router = http_router(gateway);
    // The forecasts are 11, 12, 13 and 13.5, 14.5, 15.5.
    for (step, rows) in [(1, json!([[9], [10]])), (2, json!([[11.5], [12.5]])), (2, json!([[11.5], [12.5]]))]
    {
        let call = json!({"requests": [
            {"model": "taxi", "series": rows, "sequence_id": 7, "sequence_start": step == 1, "sequence_step": step}]});
        let answer = send(&router, request("POST", "/v1/predictions", call.to_string())).await;
        assert_eq!(answer.json()["results"][0]["status"], 200, "{}", answer.json());
    }
    let found = version(&router).await;
    assert_eq!((&found["values"], &found["awaiting"]), (&json!(2), &json!(2)));
    close(&found["mae"], 0.5);
    let results = observe(
        &router,
        json!([
            {"sequence_id": "7", "sequence_step": 1, "from_step": 2, "values": [12.5, 13.5]},
            {"sequence_id": 7, "sequence_step": 2, "values": [13.5]},
            {"sequence_id": 7, "sequence_step": 3, "values": [13.5]},
            {"request_id": "7", "values": [13.5]}]),
    )
    .await;
    let told: Vec<(&Value, &Value)> =
        results.as_array().unwrap().iter().map(|one| (&one["matched"], &one["status"])).collect();
    let (one, unknown) = (json!(1), json!(404));
    assert_eq!(told[..2], [(&one, &json!(200)), (&one, &json!(200))]);
    assert_eq!([told[2].1, told[3].1], [&unknown, &unknown]);
    assert_eq!(version(&router).await["values"], 4);
}

#[tokio::test]
async fn what_is_no_call_of_observations_is_refused() {
    let (gateway, _) = example::gateway_with(Mood::Answers, |limits| limits.batch_call_requests_max = 2);
    let router = http_router(gateway);
    let check = async |path: &str, body: &str, wanted: (u16, &str)| {
        let answer = send(&router, request("POST", path, body.to_owned())).await;
        assert_eq!((answer.status, answer.code().as_str()), wanted, "{path} {body}");
    };
    check(OBSERVATIONS, "", (400, "SPW-JSON-MALFORMED")).await;
    check(OBSERVATIONS, "{}", (400, "SPW-REQUEST-INVALID")).await;
    check(OBSERVATIONS, r#"{"observations": []}"#, (400, "SPW-REQUEST-INVALID")).await;
    check(OBSERVATIONS, r#"{"observations": [1, 2, 3]}"#, (400, "SPW-REQUEST-INVALID")).await;
    check(OBSERVATIONS, &" ".repeat(5000), (413, "SPW-BODY-TOO-LARGE")).await;
    check("/v1/models/nobody/observations", "{}", (404, "SPW-MODEL-NOT-FOUND")).await;
    check(ACCURACY, "{}", (405, "SPW-METHOD-NOT-ALLOWED")).await;
    let answer = send(&router, request("GET", "/v1/models/gait/accuracy", "")).await;
    assert_eq!(answer.json(), json!({"model": "gait", "versions": [], "comparisons": []}));
}
