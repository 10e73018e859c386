//! Controls as processes of their own: what they have begun goes on without them, and what they look after as well.

use crate::cluster::{free_address, nodes_gateway, under_load, wait_for_nodes};
use crate::support::{
    Answer, BOUND, Request, Server, address_in, end_of, launch, models, said, send, signal, spinwell, text,
};
use serde_json::{Value, json};
use spinwell_store::testing::{Held, Server as Database};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// A control with nodes of its own, all killed when the test ends.
struct Control {
    id: &'static str,
    data: tempfile::TempDir,
    variables: Vec<(String, String)>,
    child: Child,
    ops: SocketAddr,
}

impl Control {
    fn start(id: &'static str, variables: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (child, ops) = Self::launch(id, data.path(), &variables);
        Self { id, data, variables, child, ops }
    }

    fn launch(id: &str, data: &Path, variables: &[(String, String)]) -> (Child, SocketAddr) {
        let (child, said) = launch(Self::command(id, data, variables));
        let ops = address_in(&said, "administration");
        (child, ops)
    }

    fn command(id: &str, data: &Path, variables: &[(String, String)]) -> Command {
        let mut command = spinwell();
        command.args(["control", "--id", id, "--ops", "127.0.0.1:0", "--data", text(data)]);
        command.env("SPINWELL_MODELS_DIR", models()).env("SPINWELL_DRAIN_NOTICE_MS", "500");
        // On a machine that runs many tests at a time a node may be silent for longer than is usual.
        command.env("SPINWELL_CLUSTER_SILENCE_MS", "3000");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn kill(&mut self) {
        signal(&self.child, "-KILL");
        end_of(&mut self.child);
    }

    /// Starts it again with what it had on its disk, and with more in its environment.
    fn restart(&mut self, more: &[(&str, &str)]) {
        self.variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        (self.child, self.ops) = Self::launch(self.id, self.data.path(), &self.variables);
    }

    fn status(&self) -> Value {
        let answer = send(self.ops, &Request::new("GET", "/v1/admin/control"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    fn post(&self, path: &str) -> Answer {
        send(self.ops, &Request::new("POST", path))
    }

    /// The status, once it is so.
    fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let since = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            assert!(since.elapsed() < BOUND, "{what}: {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its nodes, once so many run: their numbers, and whether they were found running.
    fn nodes(&self, count: usize) -> Vec<(u64, bool)> {
        let all = |status: &Value| status["nodes"].as_array().map_or(0, Vec::len);
        let status = self.until("its nodes run", |status| all(status) == count);
        let node = |node: &Value| (node["pid"].as_u64().unwrap(), node["adopted"].as_bool().unwrap());
        status["nodes"].as_array().unwrap().iter().map(node).collect()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for folder in std::fs::read_dir(self.data.path().join("nodes")).into_iter().flatten().flatten() {
            if let Some(pid) = pid_in(&folder.path()).filter(|pid| is_spinwell(*pid)) {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
        }
    }
}

/// The number of the process that has left its record in a node's folder.
fn pid_in(folder: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join("process/process.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["pid"].as_u64()
}

/// Whether a process of that number is the binary under test.
fn is_spinwell(pid: u64) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe"));
    program.is_ok_and(|program| program == Path::new(env!("CARGO_BIN_EXE_spinwell")))
}

/// Addresses, and how the configuration lists the nodes of a control there.
fn listed<const COUNT: usize>(control: &str) -> ([SocketAddr; COUNT], String) {
    let addresses = std::array::from_fn(|_| free_address());
    let nodes = addresses.iter().enumerate();
    let nodes: Vec<_> =
        nodes.map(|(number, address)| format!("{control}-{}={address}", number + 1)).collect();
    (addresses, nodes.join(","))
}

fn gateway(control: &str, addresses: &[SocketAddr]) -> Server {
    let names: Vec<_> = (1..=addresses.len()).map(|number| format!("{control}-{number}")).collect();
    let nodes: Vec<_> = names.iter().map(String::as_str).zip(addresses.iter().copied()).collect();
    let gateway = nodes_gateway(&nodes);
    wait_for_nodes(&gateway, addresses.len());
    gateway
}

/// The lives of the processes of all nodes.
fn lives(gateway: &Server) -> Vec<Value> {
    let region = send(gateway.ops, &Request::new("GET", "/v1/admin/cluster")).json();
    region["nodes"].as_array().unwrap().iter().map(|node| node["life"].clone()).collect()
}

#[test]
fn another_control_finishes_what_one_has_begun_that_was_killed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(Database::shared().database());
    let (addresses, nodes) = listed::<2>("c2");
    let shared = [("SPINWELL_STORE_URL", url.as_str()), ("SPINWELL_REGISTRY_NODES", &nodes)];
    let mut first = Control::start("c1", &shared);
    first.until("c1 leads", |status| status["leads"] == true);
    let second = Control::start("c2", &[&shared[..], &[("SPINWELL_CONTROL_NODES", "2")]].concat());
    let gateway = gateway("c2", &addresses);
    assert_eq!(second.until("c2 sees who leads", |status| status["holder"] == "c1")["leads"], false);
    let before = lives(&gateway);
    under_load(&gateway, || {
        let asked = second.post("/v1/admin/control/restart?timeout_s=60");
        assert_eq!(asked.status, 200, "{}", asked.text());
        let is_begun = |status: &Value| status["plan"]["nodes"][0]["step"] != "waiting";
        second.until("c1 has begun", is_begun);
        first.kill();
        assert_eq!(second.status()["plan"]["is_over"], false, "in the middle of it");
        second.until("c2 leads", |status| status["leads"] == true);
        second.until("all is done", |status| status["plan"]["is_over"] == true);
    });
    let status = second.status();
    let plan = &status["plan"];
    assert_eq!((&status["generation"], &plan["generation"]), (&json!(2), &json!(2)), "{status}");
    assert_eq!(plan["stuck"], Value::Null, "{status}");
    assert!(plan["nodes"].as_array().unwrap().iter().all(|node| node["step"] == "back"), "{status}");
    assert!(lives(&gateway).iter().zip(&before).all(|(now, before)| now != before));
    assert_eq!(gateway.metric("nv_inference_request_failure", &[]), 0.0);
}

#[test]
fn nodes_survive_their_control_and_the_next_one_finds_them() {
    let (addresses, nodes) = listed::<2>("c");
    let mut control =
        Control::start("c", &[("SPINWELL_REGISTRY_NODES", &nodes), ("SPINWELL_CONTROL_NODES", "2")]);
    let gateway = gateway("c", &addresses);
    let begun = control.nodes(2);
    assert!(begun.iter().all(|(_, is_adopted)| !is_adopted));
    assert_eq!(control.until("it leads", |status| status["leads"] == true)["generation"], 1);
    let variables = control.variables.clone();
    let other = Control::command("c", control.data.path(), &variables).output().unwrap();
    assert!(String::from_utf8_lossy(&other.stderr).contains("SPW-DATA-IN-USE"), "one control a folder");
    under_load(&gateway, || {
        control.kill();
        control.restart(&[]);
        let pids = |nodes: &[(u64, bool)]| nodes.iter().map(|(pid, _)| *pid).collect::<Vec<_>>();
        let found = control.nodes(2);
        assert_eq!(pids(&found), pids(&begun));
        assert!(found.iter().all(|(_, is_adopted)| *is_adopted), "{found:?}");
    });
    assert_eq!(control.until("it leads", |status| status["leads"] == true)["generation"], 2);
    // One that was found is looked after.
    assert!(Command::new("kill").args(["-KILL", &begun[0].0.to_string()]).status().unwrap().success());
    control.until("it is started again", |status| status["nodes"][0]["adopted"] == false);
    wait_for_nodes(&gateway, 2);
    under_load(&gateway, || {
        let restarted = cluster_restart(&control);
        let said = String::from_utf8_lossy(&restarted.stderr).into_owned();
        assert!(restarted.status.success(), "{said}");
        let document: Value = serde_json::from_slice(&restarted.stdout).unwrap();
        assert_eq!(document["restarted"].as_array().map(Vec::len), Some(2), "{document}");
    });
    let metrics = send(control.ops, &Request::new("GET", "/metrics")).text();
    assert!(metrics.contains("spinwell_control_nodes 2\n"), "{metrics}");
    // Told to stop, it leaves them alone, unless it was told otherwise.
    let now = control.nodes(2);
    signal(&control.child, "-TERM");
    assert!(end_of(&mut control.child).success());
    assert!(now.iter().all(|(pid, _)| is_spinwell(*pid)));
    control.restart(&[("SPINWELL_CONTROL_STOP_NODES", "true")]);
    assert_eq!(control.nodes(2), now.iter().map(|(pid, _)| (*pid, true)).collect::<Vec<_>>());
    signal(&control.child, "-TERM");
    assert!(end_of(&mut control.child).success());
    assert!(!now.iter().any(|(pid, _)| is_spinwell(*pid)));
}

#[test]
fn a_node_beyond_what_is_wanted_stops_and_no_request_fails() {
    let (addresses, nodes) = listed::<3>("c");
    let mut control =
        Control::start("c", &[("SPINWELL_REGISTRY_NODES", &nodes), ("SPINWELL_CONTROL_NODES", "3")]);
    let gateway = gateway("c", &addresses);
    let begun = control.nodes(3);
    under_load(&gateway, || {
        control.kill();
        control.restart(&[("SPINWELL_CONTROL_NODES", "2")]);
        control.until("the third stops", |status| status["retirement"]["is_over"] == true);
        control.until("the third is gone", |status| status["left_over"] == json!([]));
    });
    let status = control.status();
    let plan = &status["retirement"];
    assert_eq!((&plan["stuck"], plan["nodes"].as_array().map(Vec::len)), (&Value::Null, Some(1)), "{status}");
    assert_eq!((&plan["nodes"][0]["id"], &plan["nodes"][0]["step"]), (&json!("c-3"), &json!("gone")));
    let pids = |nodes: &[(u64, bool)]| nodes.iter().map(|(pid, _)| *pid).collect::<Vec<_>>();
    assert_eq!(pids(&control.nodes(2)), pids(&begun[..2]));
    assert!(!is_spinwell(begun[2].0));
    assert_eq!(gateway.metric("nv_inference_request_failure", &[]), 0.0);
}

#[test]
fn nodes_come_and_go_while_control_runs_and_no_request_fails() {
    let (addresses, nodes) = listed::<3>("c");
    let listed = [("SPINWELL_REGISTRY_NODES", nodes.as_str()), ("SPINWELL_CONTROL_NODES", "1")];
    let mut control = Control::start("c", &listed);
    let names = ["c-1", "c-2", "c-3"];
    let all: Vec<_> = names.into_iter().zip(addresses).collect();
    let gateway = nodes_gateway(&all);
    wait_for_nodes(&gateway, 1);
    let first = control.nodes(1);
    let is_over = |status: &Value| status["size"]["is_over"] == true;
    under_load(&gateway, || {
        let begun = cluster_scale(&control, &["3", "--no-wait"]);
        assert!(begun.contains("control is to look after c-1, c-2, c-3"), "{begun}");
        assert_eq!(control.status()["size"]["is_over"], false, "in the middle of it");
        control.kill();
        control.restart(&[]);
        let size = control.until("three serve", is_over)["size"].clone();
        assert_eq!((&size["wanted"], &size["failed"]), (&json!(names), &json!([])));
        wait_for_nodes(&gateway, 3);
    });
    let three = control.nodes(3);
    assert_eq!(three[0].0, first[0].0);
    for name in &names[1..] {
        let log = std::fs::read_to_string(control.data.path().join("nodes").join(name).join("log")).unwrap();
        assert_eq!(log.matches("ready ").count(), 1, "{name} was started once: {log}");
    }
    under_load(&gateway, || {
        let done = cluster_scale(&control, &["1"]);
        assert!(done.contains("1 node serves after"), "{done}");
    });
    assert_eq!(control.nodes(1)[0].0, first[0].0);
    assert!(three[1..].iter().all(|(pid, _)| !is_spinwell(*pid)), "they have stopped");
    assert_eq!(gateway.metric("nv_inference_request_failure", &[]), 0.0);
    // Nobody would find a fourth one.
    let url = format!("http://{}", control.ops);
    let refused = spinwell().args(["cluster", "scale", "4", "--url", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("SPW-CONFIG-INVALID") && said.contains("c-4"),
        "{said}"
    );
}

/// What `spinwell cluster scale` says of a control.
fn cluster_scale(control: &Control, arguments: &[&str]) -> String {
    let url = format!("http://{}", control.ops);
    said(&[&["cluster", "scale", "--url", &url], arguments].concat())
}

#[test]
fn a_stop_is_followed_also_where_the_store_is_silent() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let url = runtime.block_on(Database::shared().database());
    let (_, nodes) = listed::<1>("c");
    let variables = [
        ("SPINWELL_STORE_URL", url.as_str()),
        ("SPINWELL_REGISTRY_NODES", &nodes),
        ("SPINWELL_CONTROL_NODES", "1"),
        ("SPINWELL_CONTROL_STOP_NODES", "true"),
    ];
    let mut control = Control::start("c", &variables);
    let begun = control.nodes(1);
    control.until("it leads", |status| status["leads"] == true);
    let _held = runtime.block_on(Held::leases_and_plans(&url));
    let since = Instant::now();
    signal(&control.child, "-TERM");
    assert!(end_of(&mut control.child).success());
    // Each time that it is asked the store would be waited for that long.
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(!is_spinwell(begun[0].0));
}

fn cluster_restart(control: &Control) -> Output {
    let url = format!("http://{}", control.ops);
    spinwell().args(["cluster", "restart", "--timeout", "60", "--json", "--url", &url]).output().unwrap()
}

#[test]
fn a_control_and_its_nodes_know_each_other_by_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let pki =
        |arguments: &[&str]| drop(said(&[&["pki"], arguments, &["--dir", text(folder.path())]].concat()));
    pki(&["init"]);
    for (role, id) in [("control", "c"), ("node", "c-1"), ("node", "c-2")] {
        pki(&["issue", role, id]);
    }
    let (_, nodes) = listed::<2>("c");
    let own = folder.path().join("control-c");
    let variables = [
        ("SPINWELL_REGISTRY_NODES", nodes.as_str()),
        ("SPINWELL_CONTROL_NODES", "2"),
        ("SPINWELL_CONTROL_NODES_TLS_DIR", text(folder.path())),
        ("SPINWELL_TLS_DIR", text(&own)),
    ];
    let control = Control::start("c", &variables);
    let restarted = cluster_restart(&control);
    assert!(restarted.status.success(), "{}", String::from_utf8_lossy(&restarted.stderr));
    assert!(control.nodes(2).iter().all(|(_, is_adopted)| !is_adopted));
    // Nobody is control by a node's certificate.
    let (data, node) = (tempfile::tempdir().unwrap(), folder.path().join("node-c-1"));
    let wrong = [("SPINWELL_TLS_DIR".to_owned(), text(&node).to_owned())];
    let output = Control::command("c", data.path(), &wrong).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("SPW-CERTIFICATE-INVALID"), "{told}");
}

#[test]
fn a_control_says_what_it_cannot_do() {
    let data = tempfile::tempdir().unwrap();
    let unlisted = [("SPINWELL_CONTROL_NODES".to_owned(), "1".to_owned())];
    let output = Control::command("c", data.path(), &unlisted).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("SPW-CONFIG-INVALID") && told.contains("c-1=IP:PORT"), "{told}");
    let control = Control::start("c", &[]);
    let output = cluster_restart(&control);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("SPW-INSUFFICIENT-NODES"), "{told}");
}
