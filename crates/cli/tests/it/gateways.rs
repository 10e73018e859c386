//! Gateways beside each other: what one of them says of itself, and what others wait for.

use crate::cluster::{Node, gateway};
use crate::support::{BOUND, Request, Server, address_in, send};
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
