//! Gateways beside each other: what one of them says of itself, and what others wait for.

use crate::cluster::{Node, gateway, gateway_command, wait_for_nodes};
use crate::support::{BOUND, Request, Server, address_in, send, spinwell};
use serde_json::Value;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_gateway_that_has_lost_all_its_nodes_is_not_ready_until_one_is_back() {
    let mut one = Node::start("n1");
    let gateway = gateway(&[&one]);
    let agent = address_in(&gateway.said, "agent checks");
    let probes = || {
        let ready = send(gateway.ops, &Request::new("GET", "/readyz")).status;
        let mut said = String::new();
        TcpStream::connect(agent).unwrap().read_to_string(&mut said).unwrap();
        (gateway.get("/v2/health/ready").status, ready, said)
    };
    let until = |status: u16, said: &str| {
        let since = Instant::now();
        while probes() != (status, status, said.to_owned()) {
            assert!(since.elapsed() < BOUND, "{:?}, not {status} and {said:?}", probes());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(200, "up ready\n");
    one.kill();
    until(503, "down #no node can be reached\n");
    assert_eq!(gateway.get("/v2/health/ready").code(), "SPW-NODE-UNREACHABLE");
    assert_eq!(gateway.get("/v2/health/live").status, 200);
    one.restart();
    until(200, "up ready\n");
}

#[test]
fn a_restart_through_one_gateway_stops_no_node_whose_stead_another_gateway_has_not_found() {
    let (one, two) = (Node::start("n1"), Node::start("n2"));
    let first = gateway(&[&one, &two]);
    wait_for_nodes(&first, 2);
    let nodes = || {
        let region = send(first.ops, &Request::new("GET", "/v1/admin/cluster")).json();
        region["nodes"].as_array().unwrap().clone()
    };
    let found = |node: &Value| {
        node["gateways"].as_array().is_some_and(|all| all.iter().any(|own| own["name"] == "g2"))
    };
    // To this one only the first node is there.
    let mut command = gateway_command(&[&one]);
    command.args(["--id", "g2"]);
    let _second = Server::run(command, tempfile::tempdir().unwrap());
    let since = Instant::now();
    while !nodes().iter().any(found) {
        assert!(since.elapsed() < BOUND, "{:?}", nodes());
        std::thread::sleep(Duration::from_millis(10));
    }
    let lives = || {
        nodes().iter().map(|node| (node["state"].to_string(), node["life"].to_string())).collect::<Vec<_>>()
    };
    let before = lives();
    let url = format!("http://{}", first.ops);
    let output = spinwell().args(["cluster", "restart", "--timeout", "1", "--url", &url]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("gateway g2 has not found n2"), "{told}");
    assert_eq!(lives(), before, "nobody was told to stop");
}
