//! A control that reads what a gateway counts, and says to the request what is left of the error budgets.

use crate::cluster::{Node, ROWS, ask, gateway, wait_for_nodes};
use crate::support::{address_in, json, launch, said, spinwell, text, wait_until, window};
use serde_json::Value;
use std::process::Child;

/// Is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn objective<'v>(levels: &'v Value, name: &str) -> &'v Value {
    let objectives = levels["objectives"].as_array().unwrap();
    objectives.iter().find(|objective| objective["name"] == name).unwrap()
}

#[test]
fn a_control_counts_what_a_gateway_answers_and_fails_to_the_request() {
    let mut node = Node::start("n1");
    let gateway = gateway(&[&node]);
    wait_for_nodes(&gateway, 1);
    let data = tempfile::tempdir().unwrap();
    let mut command = spinwell();
    command.args(["control", "--id", "c1", "--ops", "127.0.0.1:0", "--data", text(data.path())]);
    command.env("SPINWELL_CONTROL_GATEWAYS", gateway.ops.to_string());
    let (child, lines) = launch(command);
    let _control = Killed(child);
    let url = format!("http://{}", address_in(&lines, "administration"));
    let levels = || json(&["slo", "status", "--url", &url, "--json"]);
    // What was counted before somebody looked is of unknown times.
    let is_read = || levels()["looks"]["read"].as_array().is_some_and(|read| read.len() == 1);
    wait_until("control reads the gateway", is_read);
    for _ in 0..7 {
        assert_eq!(ask(&gateway, &window(ROWS, 0.3), &serde_json::json!({})).status, 200);
    }
    let unknown = gateway.infer("nobody", &serde_json::json!({"inputs": []}));
    assert!((400..500).contains(&unknown.status), "{}", unknown.text());
    node.kill();
    for _ in 0..2 {
        assert_eq!(ask(&gateway, &window(ROWS, 0.3), &serde_json::json!({})).status, 503);
    }
    let mut shown = levels();
    let has_all = |shown: &Value| objective(shown, "availability")["budget"]["events"].as_u64() >= Some(9);
    wait_until("control looks again", || {
        shown = levels();
        has_all(&shown)
    });
    let availability = objective(&shown, "availability");
    assert_eq!(availability["budget"]["events"], 9, "{availability}");
    assert_eq!(availability["budget"]["consumed"], 2, "{availability}");
    assert_eq!(availability["budget"]["left"], -2, "{availability}");
    assert_eq!(availability["status"], "missed", "{availability}");
    assert_eq!(objective(&shown, "latency-p99-9")["budget"]["events"], 7);
    assert_eq!(objective(&shown, "integrity")["status"], "not enough data");
    let table = said(&["slo", "status", "--url", &url]);
    for part in ["objective", "budget left", "availability", ">= 99.95 %", "missed", "health score: "] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
}
