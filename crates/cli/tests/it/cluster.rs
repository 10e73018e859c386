//! Gateways and nodes as processes of their own: what one of them suffers, no caller notices.

use crate::support::{
    Answer, BOUND, Server, address_in, end_of, launch, launch_with, models, said, signal, spinwell, text,
    window,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

pub(crate) const ROWS: usize = 64;

/// A processing node, killed when the test ends.
pub(crate) struct Node {
    id: &'static str,
    address: SocketAddr,
    data: tempfile::TempDir,
    /// What its environment says beside the usual.
    variables: Vec<(String, String)>,
    child: Child,
}

impl Node {
    /// Starts a node on a free port.
    pub(crate) fn start(id: &'static str) -> Self {
        Self::start_with(id, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(id: &'static str, variables: &[(&str, &str)]) -> Self {
        let (address, data) = (free_address(), tempfile::tempdir().unwrap());
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let child = Self::launch(id, address, data.path(), &variables);
        Self { id, address, data, variables, child }
    }

    /// The same with the certificates in that folder, and with its log in a file.
    fn start_certified(id: &'static str, certificates: &Path, log: &Path) -> Self {
        let (address, data) = (free_address(), tempfile::tempdir().unwrap());
        let mut command = Self::command(id, address, data.path());
        command.env("SPINWELL_TLS_DIR", certificates).stderr(File::create(log).unwrap());
        let child = launch_with(command).0;
        Self { id, address, data, variables: Vec::new(), child }
    }

    fn launch(id: &str, address: SocketAddr, data: &Path, variables: &[(String, String)]) -> Child {
        let mut command = Self::command(id, address, data);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let (child, said) = launch(command);
        assert_eq!(address_in(&said, "gateways"), address);
        child
    }

    fn command(id: &str, address: SocketAddr, data: &Path) -> Command {
        let mut command = spinwell();
        command.args(["node", "--id", id, "--ops", "127.0.0.1:0", "--address", &address.to_string()]);
        command.args(["--data", text(data)]).env("SPINWELL_MODELS_DIR", models());
        command.env("SPINWELL_DRAIN_NOTICE_MS", "500");
        command
    }

    /// Has it stand still: it answers nothing, and closes nothing.
    pub(crate) fn freeze(&self) {
        signal(&self.child, "-STOP");
    }

    /// Kills it where it stands.
    pub(crate) fn kill(&mut self) {
        signal(&self.child, "-KILL");
        end_of(&mut self.child);
    }

    /// Starts it again where it was, with what it had on its disk.
    pub(crate) fn restart(&mut self) {
        self.child = Self::launch(self.id, self.address, self.data.path(), &self.variables);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that is free just now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A gateway for these nodes, which is ready when one of them is.
pub(crate) fn gateway(nodes: &[&Node]) -> Server {
    Server::run(gateway_command(nodes), tempfile::tempdir().unwrap())
}

pub(crate) fn gateway_command(nodes: &[&Node]) -> Command {
    command_for(&nodes.iter().map(|node| (node.id, node.address)).collect::<Vec<_>>())
}

/// The same for nodes of these names and addresses.
pub(crate) fn nodes_gateway(nodes: &[(&str, SocketAddr)]) -> Server {
    Server::run(command_for(nodes), tempfile::tempdir().unwrap())
}

fn command_for(nodes: &[(&str, SocketAddr)]) -> Command {
    let nodes: Vec<_> = nodes.iter().map(|(id, address)| format!("{id}={address}")).collect();
    let mut command = spinwell();
    command.arg("gateway").args(nodes.iter().flat_map(|node| ["--node", node.as_str()]));
    for plane in ["--http", "--grpc", "--ops", "--agent"] {
        command.args([plane, "127.0.0.1:0"]);
    }
    command.env("SPINWELL_DRAIN_NOTICE_MS", "0").env("SPINWELL_LIMITS_DEADLINE_MS", "20000");
    // On a machine that runs many tests at a time a node may be silent for longer than is usual.
    command.env("SPINWELL_CLUSTER_SILENCE_MS", "3000");
    command
}

/// Waits until a gateway's metrics say that so many nodes can be asked.
pub(crate) fn wait_for_nodes(gateway: &Server, wanted: usize) {
    let since = Instant::now();
    while gateway.metric("spinwell_cluster_nodes", &["state=\"connected\""]) as usize != wanted {
        assert!(since.elapsed() < BOUND, "{wanted} nodes were to be connected");
        std::thread::yield_now();
    }
}

pub(crate) fn ask(server: &Server, rows: &[f32], parameters: &Value) -> Answer {
    let body = json!({"parameters": parameters, "inputs": [
        {"name": "series", "shape": [1, rows.len(), 1], "datatype": "FP32", "data": rows}]});
    server.infer("wave", &body)
}

pub(crate) fn bits(answer: &Answer) -> Vec<u32> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let numbers = ["forecast", "lower", "upper"].iter().flat_map(|name| answer.numbers(name));
    numbers.map(f32::to_bits).collect()
}

/// The node that answered.
pub(crate) fn answered_by(answer: &Answer) -> String {
    answer.json()["parameters"]["node"].as_str().unwrap_or_default().to_owned()
}

/// Asks without a break from several callers while `event` happens, and says how many were answered; all must be.
pub(crate) fn under_load(gateway: &Server, event: impl FnOnce()) -> usize {
    let mut answered = 0;
    under_load_counting(gateway, event, &mut answered);
    answered
}

/// The same, and gives what the event gives.
fn under_load_giving<T>(gateway: &Server, event: impl FnOnce() -> T) -> T {
    under_load_counting(gateway, event, &mut 0)
}

fn under_load_counting<T>(gateway: &Server, event: impl FnOnce() -> T, count: &mut usize) -> T {
    let ask = |caller: u32| {
        let answer = ask(gateway, &window(ROWS, f64::from(caller)), &json!({}));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    while_called(ask, event, count)
}

/// Calls without a break from several threads while something happens, with the number of each, and some more before and after it.
pub(crate) fn while_called<T>(call: impl Fn(u32) + Sync, event: impl FnOnce() -> T, count: &mut usize) -> T {
    let mut given = None;
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let (is_over, answered, call) = (&is_over, &answered, &call);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        call(caller);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let more = |than: usize| {
            let since = Instant::now();
            while answered.load(Ordering::SeqCst) < than + 50
                && !callers.iter().any(ScopedJoinHandle::is_finished)
            {
                assert!(since.elapsed() < BOUND, "requests are not answered");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        more(0);
        given = Some(event());
        more(answered.load(Ordering::SeqCst));
        is_over.store(true, Ordering::SeqCst);
    });
    *count = answered.into_inner();
    given.unwrap()
}

#[test]
fn a_gateway_answers_with_its_nodes_as_one_process_would() {
    let alone = Server::start(models(), &[]);
    let (one, two) = (Node::start("n1"), Node::start("n2"));
    let gateway = gateway(&[&one, &two]);
    wait_for_nodes(&gateway, 2);
    let rows = window(ROWS, 0.7);
    let mut nodes = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let answer = ask(&gateway, &rows, &json!({}));
        assert_eq!(bits(&answer), bits(&ask(&alone, &rows, &json!({}))));
        nodes.insert(answered_by(&answer));
    }
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["n1", "n2"]);
    for path in ["/v2/models/wave", "/v2/models/wave/config", "/v2/models/pair/ready"] {
        let (own, other) = (gateway.get(path), alone.get(path));
        assert_eq!((own.status, own.text()), (other.status, other.text()), "{path}");
    }
    let missing = gateway.get("/v2/models/nobody");
    assert_eq!((missing.status, missing.code().as_str()), (404, "SPW-MODEL-NOT-FOUND"));
    let post = |path: &str| {
        let request = crate::support::Request::post(path, "{}");
        crate::support::send(gateway.http, &request)
    };
    let index = post("/v2/repository/index").json();
    assert_eq!(index.as_array().map(Vec::len), Some(2), "{index}");
    assert_eq!(post("/v2/repository/models/wave/unload").status, 200);
    assert_eq!(ask(&gateway, &rows, &json!({})).status, 404);
    assert_eq!(post("/v2/repository/models/wave/load").status, 200);
    bits(&ask(&gateway, &rows, &json!({})));
    assert!(gateway.metric("spinwell_cluster_attempts_total", &[]) as usize >= 51);
}

#[test]
fn nobody_notices_that_a_node_is_killed_stands_still_or_is_stopped() {
    let (mut one, two) = (Node::start("n1"), Node::start("n2"));
    let gateway = gateway(&[&one, &two]);
    wait_for_nodes(&gateway, 2);
    under_load(&gateway, || one.kill());
    wait_for_nodes(&gateway, 1);
    under_load(&gateway, || one.restart());
    wait_for_nodes(&gateway, 2);
    // A node that stands still closes no connection: its silence has to be noticed.
    under_load(&gateway, || {
        two.freeze();
        wait_for_nodes(&gateway, 1);
    });
    signal(&two.child, "-CONT");
    wait_for_nodes(&gateway, 2);
    let mut status = None;
    under_load(&gateway, || {
        signal(&one.child, "-TERM");
        status = Some(end_of(&mut one.child));
    });
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    let failed = gateway.metric("nv_inference_request_failure", &[]);
    assert_eq!(failed, 0.0, "every request was answered");
}

#[test]
fn without_nodes_requests_are_refused_for_now_and_nothing_is_forgotten() {
    let mut one = Node::start("n1");
    let gateway = gateway(&[&one]);
    one.kill();
    let refused = ask(&gateway, &window(ROWS, 0.0), &json!({}));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "SPW-NODE-UNREACHABLE"),
        "{}",
        refused.text()
    );
    assert_eq!(refused.json()["retryable"], true);
    one.restart();
    wait_for_nodes(&gateway, 1);
    bits(&ask(&gateway, &window(ROWS, 0.0), &json!({})));
}

#[test]
fn each_sequence_has_its_node_and_waits_for_it() {
    const COUNT: usize = 24;
    let (mut one, two) = (Node::start("n1"), Node::start("n2"));
    let gateway = gateway(&[&one, &two]);
    wait_for_nodes(&gateway, 2);
    let rows = |number: usize| window(ROWS + 2, number as f64);
    let step = |number: usize, rows: &[f32], step: u64| {
        let id = format!("s{number}");
        ask(&gateway, rows, &json!({"sequence_id": id, "sequence_start": step == 1, "sequence_step": step}))
    };
    let homes: Vec<String> = (0..COUNT)
        .map(|number| {
            let answer = step(number, &rows(number)[..ROWS], 1);
            bits(&answer);
            answered_by(&answer)
        })
        .collect();
    assert!(["n1", "n2"].iter().all(|id| homes.iter().any(|home| home == id)), "{homes:?}");
    one.kill();
    for (number, home) in homes.iter().enumerate() {
        let answer = step(number, &rows(number)[ROWS..=ROWS], 2);
        if home == "n1" {
            assert_eq!((answer.status, answer.code().as_str()), (503, "SPW-NODE-UNREACHABLE"));
        } else {
            assert_eq!(answered_by(&answer), "n2");
        }
    }
    one.restart();
    wait_for_nodes(&gateway, 2);
    for (number, home) in homes.iter().enumerate() {
        // Those of the node that stayed were taken: the answer is the same one again.
        let again = step(number, &rows(number)[ROWS..=ROWS], 2);
        assert_eq!((bits(&again).is_empty(), &answered_by(&again)), (false, home));
        let last = step(number, &rows(number)[ROWS + 1..], 3);
        assert_eq!(
            bits(&last),
            bits(&ask(&gateway, &rows(number), &json!({}))),
            "as if nothing had happened"
        );
    }
    // A fork goes where its own id belongs.
    let fork = |to: &str| {
        let body = json!({"to": to}).to_string();
        let request = crate::support::Request::post("/v1/models/wave/sequences/s0/fork", body);
        crate::support::send(gateway.http, &request)
    };
    for number in 0..6 {
        let forked = fork(&format!("f{number}"));
        assert_eq!(forked.status, 200, "{}", forked.text());
    }
    assert_eq!(fork("f0").code(), "SPW-SEQUENCE-EXISTS");
}

#[test]
fn a_server_with_nodes_starts_them_again_keeps_their_sequences_and_takes_them_along() {
    let data = tempfile::tempdir().unwrap();
    let options = ["--nodes", "2", "--data", text(data.path())];
    let server = Server::start(models(), &options);
    assert_eq!(server.said.iter().filter(|line| line.starts_with("node ")).count(), 2, "{:?}", server.said);
    let pid = |line: &String| line.split("process ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let pids: Vec<String> = server.said.iter().filter(|line| line.starts_with("node ")).map(pid).collect();
    let rows = window(ROWS + 1, 0.4);
    let step = |number: usize, rows: &[f32], step: u64| {
        let id = format!("s{number}");
        ask(&server, rows, &json!({"sequence_id": id, "sequence_start": step == 1, "sequence_step": step}))
    };
    (0..8).for_each(|number| drop(bits(&step(number, &rows[..ROWS], 1))));
    let kill = |pid: &str| Command::new("kill").args(["-KILL", pid]).status().unwrap();
    under_load(&server, || assert!(kill(&pids[0]).success()));
    wait_for_nodes(&server, 2);
    for number in 0..8 {
        assert_eq!(bits(&step(number, &rows[ROWS..], 2)), bits(&ask(&server, &rows, &json!({}))));
    }
    // However the server ends, its nodes do as well.
    server.kill();
    let since = Instant::now();
    let lives = |pid: &String| Path::new("/proc").join(pid).join("exe").exists();
    while lives(&pids[1]) {
        assert!(since.elapsed() < BOUND, "a node outlives its server");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn only_who_shows_a_certificate_of_the_region_is_answered_by_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let pki = |arguments: &[&str], dir: &str| {
        let dir = folder.path().join(dir);
        drop(said(&[&["pki"], arguments, &["--dir", text(&dir)]].concat()));
        dir
    };
    pki(&["init"], "ours");
    let issued = |role: &str, id: &str, dir: &str| {
        let out = folder.path().join(format!("{dir}-{role}-{id}"));
        pki(&["issue", role, id, "--out", text(&out)], dir);
        out
    };
    let (of_node, of_gateway) = (issued("node", "n1", "ours"), issued("gateway", "g1", "ours"));
    let log = folder.path().join("node.log");
    let node = Node::start_certified("n1", &of_node, &log);
    let with = |certificates: Option<&Path>, id: &str, is_ready: bool| {
        let mut command = gateway_command(&[&node]);
        command.args(["--id", id]).env("SPINWELL_CLUSTER_START_TIMEOUT_MS", "1000");
        command.env("SPINWELL_CLUSTER_MIN_NODES", if is_ready { "1" } else { "2" });
        if let Some(certificates) = certificates {
            command.env("SPINWELL_TLS_DIR", certificates);
        }
        command
    };
    let gateway = Server::run(with(Some(&of_gateway), "g1", true), tempfile::tempdir().unwrap());
    bits(&ask(&gateway, &window(ROWS, 0.0), &json!({})));
    // With nodes that do not answer them, gateways that want two do not begin.
    let refused = |command: Command, reason: &str| {
        let mut command = command;
        let output = command.env("SPINWELL_DATA_DIR", folder.path().join("refused")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("SPW-INSUFFICIENT-NODES"), "{told}");
        let since = Instant::now();
        while !std::fs::read_to_string(&log).unwrap().contains(reason) {
            assert!(
                since.elapsed() < BOUND,
                "{reason:?} is not in {}",
                std::fs::read_to_string(&log).unwrap()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    refused(with(None, "g2", false), "spoke no TLS 1.3");
    pki(&["init"], "theirs");
    let foreign = issued("gateway", "g1", "theirs");
    refused(with(Some(&foreign), "g1", false), "another authority");
    let wrong = with(Some(&of_node), "n1", false).output().unwrap();
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("SPW-CERTIFICATE-INVALID"),
        "a node's is no gateway's"
    );
    // What was accepted goes on.
    bits(&ask(&gateway, &window(ROWS, 0.0), &json!({})));
}

/// Nodes that share their sequences in a database of their own, and a gateway for them.
fn sharing(ids: &[&'static str], server: &spinwell_store::testing::Server) -> (Vec<Node>, Server) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(server.database());
    let nodes: Vec<_> = ids.iter().map(|id| Node::start_with(id, &[("SPINWELL_STORE_URL", &url)])).collect();
    let gateway = gateway(&nodes.iter().collect::<Vec<_>>());
    wait_for_nodes(&gateway, ids.len());
    (nodes, gateway)
}

/// Steps of several sequences, one after the other, while something happens: each is answered, and with the bits that one undisturbed
/// server answers with. Gives where the states came from that another node had.
pub(crate) fn steps_go_on(
    gateway: &Server,
    sequences: usize,
    mut event: impl FnMut(u64),
) -> BTreeMap<String, usize> {
    const STEPS: u64 = 12;
    let alone = Server::start(models(), &[]);
    let mut sources = BTreeMap::new();
    for step in 1..=STEPS {
        event(step);
        for number in 0..sequences {
            let rows = window(ROWS + STEPS as usize, number as f64);
            let rows = match step {
                1 => &rows[..ROWS],
                step => &rows[ROWS + step as usize - 2..=ROWS + step as usize - 2],
            };
            let parameters = json!({"sequence_id": format!("s{number}"), "sequence_start": step == 1, "sequence_step": step});
            let (got, wanted) = (ask(gateway, rows, &parameters), ask(&alone, rows, &parameters));
            assert_eq!(bits(&got), bits(&wanted), "sequence {number}, step {step}");
            let parameters = &got.json()["parameters"];
            assert_eq!((&parameters["sequence_step"], &parameters["durable"]), (&json!(step), &json!(true)));
            *sources.entry(parameters["state_source"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    sources
}

#[test]
fn sequences_survive_their_node_where_nodes_share_a_log() {
    let (mut nodes, gateway) = sharing(&["n1", "n2", "n3"], spinwell_store::testing::Server::shared());
    let sources = steps_go_on(&gateway, 16, |step| match step {
        // One is killed where it stands, and comes back later; the others have read along, or read what it left.
        4 => nodes[0].kill(),
        7 => {
            nodes[0].restart();
            wait_for_nodes(&gateway, 3);
        }
        // One stops in good order.
        10 => {
            signal(&nodes[1].child, "-TERM");
            assert!(end_of(&mut nodes[1].child).success());
        }
        _ => {}
    });
    assert!(sources["live"] > 0 && sources["cold"] == 16, "{sources:?}");
    let moved: usize =
        sources.iter().filter(|(source, _)| *source != "live" && *source != "cold").map(|(_, n)| n).sum();
    assert!(moved > 0, "sequences have changed their nodes: {sources:?}");
    assert_eq!(gateway.metric("nv_inference_request_failure", &[]), 0.0);
}

#[test]
fn a_node_that_stood_still_and_comes_back_undoes_nothing() {
    let (nodes, gateway) = sharing(&["n1", "n2"], spinwell_store::testing::Server::shared());
    steps_go_on(&gateway, 8, |step| match step {
        4 => {
            nodes[0].freeze();
            wait_for_nodes(&gateway, 1);
        }
        8 => {
            signal(&nodes[0].child, "-CONT");
            wait_for_nodes(&gateway, 2);
        }
        _ => {}
    });
    assert_eq!(gateway.metric("nv_inference_request_failure", &[]), 0.0);
}

#[test]
fn steps_wait_for_the_store_and_other_requests_do_not() {
    let server = spinwell_store::testing::Server::start();
    let (_nodes, gateway) = sharing(&["n1", "n2"], &server);
    let step = |number: u64| {
        let rows = window(ROWS + 2, 0.0);
        let rows = if number == 1 { &rows[..ROWS] } else { &rows[ROWS..=ROWS] };
        ask(
            &gateway,
            rows,
            &json!({"sequence_id": "s", "sequence_start": number == 1, "sequence_step": number}),
        )
    };
    bits(&step(1));
    server.kill();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| bits(&step(2)));
        under_load(&gateway, || ());
        assert!(!waits.is_finished(), "nothing is promised that is not in the log");
        server.begin();
        assert_eq!(waits.join().unwrap(), bits(&step(2)), "taken once");
    });
}

#[test]
fn nodes_are_shown_drained_and_started_anew_one_after_the_other_and_no_request_fails() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(models(), &["--nodes", "2", "--data", text(data.path())]);
    let url = format!("http://{}", server.ops);
    let cluster = |arguments: &[&str]| {
        let mut command = spinwell();
        let output = command.arg("cluster").args(arguments).args(["--url", &url, "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let lives = || {
        let nodes = cluster(&["status"])["nodes"].as_array().unwrap().clone();
        nodes
            .iter()
            .map(|node| (node["id"].to_string(), node["life"].to_string()))
            .collect::<BTreeMap<_, _>>()
    };
    let before = lives();
    assert_eq!(before.len(), 2);
    let restarted = under_load_giving(&server, || cluster(&["restart", "--timeout", "60"]));
    assert_eq!(restarted["restarted"].as_array().map(Vec::len), Some(2), "{restarted}");
    let after = lives();
    assert!(
        before.iter().all(|(id, life)| after.get(id).is_some_and(|now| now != life)),
        "{before:?} {after:?}"
    );
    assert_eq!(server.metric("nv_inference_request_failure", &[]), 0.0);
    assert_eq!(cluster(&["drain", "node-1"]), json!({"draining": "node-1"}));
    let unknown = spinwell().args(["cluster", "drain", "n7", "--url", &url]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(told.contains("SPW-NODE-UNKNOWN") && told.contains("node-2"), "{told}");
    let plane = format!("http://{}", server.http);
    let wrong = spinwell().args(["cluster", "status", "--url", &plane]).output().unwrap();
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(told.contains("ask a gateway's operations plane"), "{told}");
    let choose = |strategy: &str| {
        let request = crate::support::Request::new("PUT", &format!("/v1/admin/cluster/strategy/{strategy}"));
        crate::support::send(server.ops, &request)
    };
    assert_eq!(choose("fastest").code(), "SPW-REQUEST-INVALID");
    assert_eq!(choose("predictive").status, 200);
    assert_eq!(choose("round_robin?model=wave").status, 200);
    assert_eq!(choose("round_robin?model=nobody").code(), "SPW-MODEL-NOT-FOUND");
    assert_eq!(choose("round_robin?wave").code(), "SPW-REQUEST-INVALID");
    let status = cluster(&["status"]);
    assert_eq!(
        (&status["strategy"], &status["routes"]),
        (&json!("predictive"), &json!({"wave": "round_robin"}))
    );
    assert!(said(&["cluster", "status", "--url", &url]).contains("for wave: by round_robin"));
    let free = |model: &str| {
        let request =
            crate::support::Request::new("DELETE", &format!("/v1/admin/cluster/strategy?model={model}"));
        crate::support::send(server.ops, &request)
    };
    assert_eq!((free("wave").status, free("wave").code()), (200, "SPW-REQUEST-INVALID".to_owned()));
    assert_eq!(cluster(&["status"])["routes"], json!({}));
}
