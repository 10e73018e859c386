//! Batch calls to a gateway with nodes of its own: divided over them, and whole whatever becomes of one.

use crate::cluster::{Node, gateway, gateway_command, wait_for_nodes, while_called};
use crate::support::{BOUND, Request, Server, send, window};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const REQUESTS: usize = 16;

/// A batch call for windows that all differ.
fn call(server: &Server, model: &str) -> Value {
    let request = |number: usize| json!({"id": number.to_string(), "model": model, "series": window(64, number as f64), "deadline_ms": 20_000});
    let body = json!({"requests": (0..REQUESTS).map(request).collect::<Vec<_>>()}).to_string();
    let answer = send(server.http, &Request::post("/v1/predictions", body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The forecasts in the order of the requests; each must be there, once and in its place.
fn forecasts(answer: &Value) -> Vec<Value> {
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), REQUESTS, "{answer}");
    let one = |(number, result): (usize, &Value)| {
        assert_eq!((&result["id"], &result["status"]), (&json!(number.to_string()), &json!(200)), "{result}");
        result["forecast"].clone()
    };
    results.iter().enumerate().map(one).collect()
}

/// The nodes of a plan, which must be one for all requests.
fn planned(answer: &Value) -> BTreeSet<String> {
    let parts = answer["plan"]["parts"].as_array().unwrap();
    let requests: u64 = parts.iter().map(|part| part["requests"].as_u64().unwrap()).sum();
    assert_eq!(requests, REQUESTS as u64, "{answer}");
    parts.iter().map(|part| part["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_node_that_stands_still_and_is_killed_in_the_middle_of_batch_calls_costs_no_request() {
    let (mut one, two) = (Node::start("n1"), Node::start("n2"));
    let gateway = gateway(&[&one, &two]);
    wait_for_nodes(&gateway, 2);
    let first = call(&gateway, "wave");
    let wanted = forecasts(&first);
    assert_eq!(wanted.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), REQUESTS);
    assert_eq!(planned(&first), BTreeSet::from(["n1".to_owned(), "n2".to_owned()]));
    assert_eq!(first["plan"]["strategy_used"], "weighted_least_connections");
    let (mut calls, estimated) = (0, AtomicUsize::new(0));
    let each = |_| {
        let answer = call(&gateway, "wave");
        assert_eq!(forecasts(&answer), wanted);
        planned(&answer);
        let estimate = answer["plan"]["estimated_completion_time_ms"].as_f64();
        estimated.fetch_add(usize::from(estimate.is_some_and(|ms| ms > 0.0)), Ordering::SeqCst);
    };
    let retries = || gateway.metric("spinwell_cluster_retries_total", &[]);
    let killed_with_requests = || {
        let before = retries();
        one.freeze();
        // What it has is late by now, and some of it is asked of the other.
        let since = Instant::now();
        while retries() <= before {
            assert!(since.elapsed() < BOUND, "nothing is late at a node that stands still");
            std::thread::yield_now();
        }
        one.kill();
    };
    while_called(each, killed_with_requests, &mut calls);
    wait_for_nodes(&gateway, 1);
    let last = call(&gateway, "wave");
    assert_eq!((forecasts(&last), planned(&last)), (wanted, BTreeSet::from(["n2".to_owned()])));
    assert!(estimated.into_inner() > 0, "of {calls} plans none says how long it will take");
    let counted = |name: &str| gateway.metric(name, &[]) as usize;
    assert_eq!(counted("nv_inference_request_failure"), 0);
    assert_eq!(counted("nv_inference_request_success"), REQUESTS * (calls + 2));
}

#[test]
fn a_model_is_a_route_with_a_strategy_of_its_own() {
    let node = Node::start("n1");
    let mut command = gateway_command(&[&node]);
    command.env("SPINWELL_CLUSTER_ROUTES", "pair=latency_optimized,wave=round_robin");
    let gateway = Server::run(command, tempfile::tempdir().unwrap());
    wait_for_nodes(&gateway, 1);
    let strategy = || call(&gateway, "wave")["plan"]["strategy_used"].clone();
    assert_eq!(strategy(), "round_robin");
    let admin = |method: &str, path: &str| {
        send(gateway.ops, &Request::new(method, &format!("/v1/admin/cluster{path}"))).json()
    };
    let routes = json!({"pair": "latency_optimized", "wave": "round_robin"});
    assert_eq!(admin("GET", "")["routes"], routes);
    assert_eq!(admin("PUT", "/strategy/resource_aware?model=wave")["model"], "wave");
    assert_eq!(strategy(), "resource_aware");
    assert_eq!(admin("DELETE", "/strategy?model=wave"), json!({"model": "wave"}));
    assert_eq!(strategy(), "weighted_least_connections");
    assert_eq!(admin("DELETE", "/strategy")["code"], "SPW-REQUEST-INVALID");
}
