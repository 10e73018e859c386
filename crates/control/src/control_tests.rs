//! Controls over a real store and a region that answers from memory.

use super::*;
use crate::{Plane, document};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use spinwell_core::{ModelName, SequenceKey};
use spinwell_policy::slo::defaults;
use spinwell_protocol::{
    Caller, Catalogue, IndexEntry, InferFuture, InferRequest, LinkFuture, NodeLoad, NodeStanding, NodeStatus,
    Order, RegionStatus, StateAnswer, StateCall,
};
use spinwell_runtime::access::Doors;
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::shutdown;
use spinwell_store::postgres::Postgres;
use spinwell_store::testing::{Held, Server};
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::ServiceExt;

const BOUND: Duration = Duration::from_secs(60);

/// Nodes that start anew at once when they are told to stop, but for those that are held.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) lives: Mutex<Vec<u64>>,
    /// One that stops and does not come back meanwhile.
    held: Mutex<Option<usize>>,
    /// The orders that were followed, with the node's number.
    orders: Mutex<Vec<(usize, Order)>>,
}

impl Region {
    pub(crate) fn of(count: usize) -> Arc<Self> {
        Arc::new(Self { lives: Mutex::new(vec![10; count]), ..Self::default() })
    }

    fn orders(&self) -> Vec<(usize, Order)> {
        self.orders.lock().unwrap().clone()
    }
}

fn nobody<T: Send + 'static>() -> LinkFuture<T> {
    Box::pin(async { Err(Fault::new(Code::NotOffered, "these nodes only start anew")) })
}

impl NodeLink for Region {
    fn models(&self) -> Arc<Catalogue> {
        Arc::default()
    }

    fn infer(&self, _: InferRequest) -> InferFuture {
        nobody()
    }

    fn sequence_state(&self, _: SequenceKey, _: StateCall) -> LinkFuture<StateAnswer> {
        nobody()
    }

    fn index(&self) -> LinkFuture<Vec<IndexEntry>> {
        nobody()
    }

    fn load_model(&self, _: ModelName) -> LinkFuture<Vec<IndexEntry>> {
        nobody()
    }

    fn unload_model(&self, _: ModelName) -> LinkFuture<()> {
        nobody()
    }

    fn load(&self) -> NodeLoad {
        NodeLoad::default()
    }

    fn region(&self) -> Option<RegionStatus> {
        let (lives, held) = (self.lives.lock().unwrap(), *self.held.lock().unwrap());
        let node = |(number, life): (usize, &u64)| NodeStatus {
            standing: NodeStanding {
                id: NodeId(format!("n{number}").into()),
                is_connected: *life == 10 || held != Some(number),
                is_leaving: false,
                is_trusted: true,
            },
            address: String::new(),
            weight: 1.0,
            cluster: String::new(),
            capacity_per_second: None,
            life: Some(*life),
            shares_sequences: false,
            load: None,
            unreachable: None,
            gateways: Some(vec![Caller { name: "g1".to_owned(), life: Some(1) }]),
        };
        Some(RegionStatus {
            strategy: String::new(),
            routes: BTreeMap::new(),
            nodes: lives.iter().enumerate().map(node).collect(),
        })
    }

    fn drain(&self, node: NodeId, order: Option<Order>) -> LinkFuture<()> {
        let (number, order) = (node.0[1..].parse::<usize>().unwrap(), order.unwrap());
        let mut lives = self.lives.lock().unwrap();
        if lives[number] == order.life {
            lives[number] += 1;
            self.orders.lock().unwrap().push((number, order));
        }
        Box::pin(async { Ok(()) })
    }
}

/// Says who was to be looked after, each time that it changed.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) said: Mutex<Vec<Vec<NodeId>>>,
}

impl Provisioner for Machine {
    fn names(&self, count: usize) -> Vec<NodeId> {
        (0..count).map(|number| NodeId(format!("n{number}").into())).collect()
    }

    fn can_have(&self, node: &NodeId) -> Result<(), Fault> {
        match &*node.0 {
            "n9" => Err(Fault::new(Code::ConfigInvalid, "n9 is not listed")),
            _ => Ok(()),
        }
    }

    fn look_after(&self, wanted: &[NodeId]) {
        let mut said = self.said.lock().unwrap();
        if said.last().map(Vec::as_slice) != Some(wanted) {
            said.push(wanted.to_owned());
        }
    }
}

pub(crate) async fn store(folder: &std::path::Path) -> ControlStore {
    ControlStore::alone(&folder.join("spinwell.db")).await.unwrap()
}

fn control(id: &str, store: &ControlStore, region: &Arc<Region>) -> Control {
    control_beside(id, store, region, LeftOver::default())
}

/// A control of a machine on which others have started nodes before.
fn control_beside(id: &str, store: &ControlStore, region: &Arc<Region>, left_over: LeftOver) -> Control {
    let (machine, wanted) = (Arc::default(), vec![NodeId("n0".into())]);
    let control = control_of(id, store, region, &machine, wanted);
    let Inner { parts, .. } = Arc::into_inner(control.inner).unwrap();
    Control::new(Parts { left_over, ..parts })
}

/// A control that has nodes run on this machine, these to begin with.
pub(crate) fn control_of(
    id: &str,
    store: &ControlStore,
    region: &Arc<Region>,
    machine: &Arc<Machine>,
    wanted: Vec<NodeId>,
) -> Control {
    let (_, nodes) = crate::running::Board::new();
    Control::new(Parts {
        id: NodeId(id.into()),
        life: 7,
        store: store.clone(),
        region: region.clone(),
        nodes,
        node_starts: Arc::default(),
        left_over: LeftOver::default(),
        provisioner: machine.clone(),
        configured: wanted.len(),
        wanted,
    })
}

/// Runs it; its trigger stops it in good order.
pub(crate) fn run(control: &Control) -> (shutdown::Trigger, JoinHandle<()>) {
    let (trigger, stop) = shutdown::channel();
    let control = control.clone();
    (trigger, tokio::spawn(async move { control.run(stop).await }))
}

pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let comes = timeout(BOUND, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(comes.await.is_ok(), "{what}: not so");
}

#[tokio::test]
async fn a_plan_is_asked_for_once_and_another_leader_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, region) = (store(folder.path()).await, Region::of(3));
    let (first, second) = (control("c1", &store, &region), control("c2", &store, &region));
    let (_first_stop, leading) = run(&first);
    until("c1 leads", async || first.inner.leads() == Some(1)).await;
    let (second_stop, waiting) = run(&second);
    *region.held.lock().unwrap() = Some(1);
    // Whoever is asked writes it down; the leader does it.
    let asked = second.restart(Millis(60_000)).await.unwrap();
    assert_eq!((asked["id"].as_u64(), asked["is_over"].as_bool()), (Some(1), Some(false)));
    assert_eq!(first.restart(Millis(1)).await.unwrap()["id"], 1, "it is under way already");
    until("n1 is told to stop", async || region.orders().len() == 2).await;
    let shown = async || second.status().await.unwrap();
    assert_eq!(shown().await["holder"], "c1");
    // The order goes out before the plan is written again.
    until("it waits for n1", async || shown().await["plan"]["waits_for"] == "n1 has not come back").await;
    // It is gone without a word.
    leading.abort();
    until("c2 leads", async || second.inner.leads() == Some(2)).await;
    *region.held.lock().unwrap() = None;
    until("all is done", async || second.status().await.unwrap()["plan"]["is_over"] == true).await;
    let orders: Vec<_> =
        region.orders().into_iter().map(|(node, order)| (node, order.generation, order.life)).collect();
    assert_eq!(orders, [(0, 1, 10), (1, 1, 10), (2, 2, 10)]);
    let shown = second.status().await.unwrap();
    assert_eq!((&shown["leads"], &shown["generation"]), (&json!(true), &json!(2)));
    assert_eq!((&shown["plan"]["stuck"], &shown["plan"]["generation"]), (&Value::Null, &json!(2)));
    // Who stops in good order is followed at once.
    second_stop.pull();
    waiting.await.unwrap();
    assert_eq!(second.inner.leads(), None);
    assert!(!store.lease(LEASE).await.unwrap().unwrap().is_valid);
}

fn keys(object: &Value) -> BTreeSet<&String> {
    object.as_object().unwrap().keys().collect()
}

/// A plane on which everybody is served.
fn plane(health: &Health) -> Plane {
    let levels = crate::ServiceLevels::new(defaults::objectives(), clock::unix()).unwrap();
    Plane { health: health.clone(), doors: Doors::open(), ledger: None, certificate: None, levels }
}

/// What a control says that can be asked of it.
async fn described(control: &Control) -> Value {
    let router = crate::router(control.clone(), plane(&Health::default()));
    let request = Request::builder().uri("/openapi.json").body(Body::empty()).unwrap();
    let body = router.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_plan_that_is_stuck_says_why_and_another_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (store, region) = (store(folder.path()).await, Region::of(2));
    let control = control("c1", &store, &region);
    let (stop, running) = run(&control);
    *region.held.lock().unwrap() = Some(0);
    control.restart(Millis(300)).await.unwrap();
    until("it is stuck", async || control.status().await.unwrap()["plan"]["is_over"] == true).await;
    assert_eq!(control.status().await.unwrap()["plan"]["stuck"], "n0 has not come back after 1 s");
    *region.held.lock().unwrap() = None;
    assert_eq!(control.restart(Millis(60_000)).await.unwrap()["id"], 2);
    let steps = async || control.status().await.unwrap()["plan"]["nodes"][1]["step"].clone();
    until("all is done", async || steps().await == "back").await;
    stop.pull();
    running.await.unwrap();
}

#[tokio::test]
async fn a_plan_that_cannot_be_carried_out_is_set_aside_and_another_one_begins() {
    let over = document::to_json(&Rolling::new(Then::Anew, Vec::new(), Millis(1), clock::unix())).to_string();
    let node = json!([{"id": "n0", "step": "left"}]);
    let done = json!({"begun_ms": 1, "since_ms": 1, "patience_ms": 1, "nodes": node}).to_string();
    for left in ["of another release", &over, &done] {
        let folder = tempfile::tempdir().unwrap();
        let (store, region) = (store(folder.path()).await, Region::of(2));
        assert!(store.begin_plan(RESTART, left).await.unwrap());
        let control = control("c1", &store, &region);
        assert_eq!(control.status().await.unwrap()["plan"]["id"], 1, "{left}");
        let (stop, running) = run(&control);
        until("it leads", async || control.inner.leads().is_some()).await;
        let is_over = async || control.status().await.unwrap()["plan"]["is_over"] == true;
        until("it is set aside", is_over).await;
        assert_eq!(store.plan(RESTART).await.unwrap().unwrap().id, 1, "{left}");
        assert_eq!(control.restart(Millis(60_000)).await.unwrap()["id"], 2, "{left}");
        until("all is done", is_over).await;
        assert_eq!(region.orders().len(), 2, "{left}");
        stop.pull();
        running.await.unwrap();
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn nodes_that_are_not_looked_after_go_one_after_the_other() {
    let (folder, homes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = |name: &str, life| {
        let mut command = tokio::process::Command::new("sleep");
        let child = command.arg("600").kill_on_drop(true).spawn().unwrap();
        let process = spinwell_runtime::process::Process::of(child.id().unwrap()).unwrap();
        let (address, ops) = ("127.0.0.1:5".parse().unwrap(), "127.0.0.1:6".parse().unwrap());
        let home = crate::Home { data: homes.path().join(name) };
        std::fs::create_dir_all(home.process()).unwrap();
        Record { process, address, ops, life }.write(&home.process()).unwrap();
        child
    };
    // The region knows n1 and n2 by these lives; the last one is of a name that another process has by now.
    let mut wanted = start("n0", 10);
    let mut left = [start("n1", 10), start("n2", 10), start("n3", 9)];
    let (store, region) = (store(folder.path()).await, Region::of(4));
    *region.held.lock().unwrap() = Some(0);
    region.lives.lock().unwrap()[0] = 1;
    let left_over = LeftOver::in_folder(homes.path().to_owned());
    let control = control_beside("c1", &store, &region, left_over);
    let (stop, running) = run(&control);
    until("it leads", async || control.inner.leads().is_some()).await;
    let status = control.status().await.unwrap();
    assert_eq!(status["left_over"], json!(["n1", "n2", "n3"]), "{status}");
    // Nobody would start them again.
    assert_eq!(control.inner.to_start_anew(), ["n0", "n3"].map(|name| NodeId(name.into())));
    let mut told = None;
    control.inner.send_away(&mut told).await.unwrap();
    assert_eq!((told, store.plan(RETIREMENT).await.unwrap()), (None, None), "n0 does not serve yet");
    *region.held.lock().unwrap() = None;
    for child in &mut left {
        assert!(!timeout(BOUND, child.wait()).await.unwrap().unwrap().success());
    }
    until("all are gone", async || control.status().await.unwrap()["left_over"] == json!([])).await;
    // By a plan those whom the region knew; these processes had to be told all the same.
    let orders: Vec<_> = region.orders().into_iter().map(|(node, order)| (node, order.life)).collect();
    assert_eq!(orders, [(1, 10), (2, 10)]);
    let shown = control.status().await.unwrap();
    let plan = &shown["retirement"];
    assert_eq!(
        (&plan["then"], &plan["is_over"], &plan["stuck"]),
        (&json!("gone"), &json!(true), &Value::Null)
    );
    assert_eq!(shown["plan"], Value::Null);
    let schemas = &described(&control).await["components"]["schemas"];
    assert_eq!(keys(&shown), keys(&schemas["Control"]["properties"]));
    assert_eq!(keys(plan), keys(&schemas["Plan"]["properties"]));
    assert_eq!(shown["size"], Value::Null);
    assert!(wanted.try_wait().unwrap().is_none(), "who is looked after stays");
    stop.pull();
    running.await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_no_store_that_is_silent() {
    let url = Server::shared().database().await;
    let store = ControlStore::Shared(Postgres::open(&url).await.unwrap());
    let control = control("c1", &store, &Region::of(2));
    let (stop, running) = run(&control);
    until("it leads", async || control.inner.leads() == Some(1)).await;
    let _held = Held::leases_and_plans(&url).await;
    let health = Health::default();
    health.advance(Phase::Ready);
    let asked = Request::builder().uri("/v1/admin/control").body(Body::empty()).unwrap();
    let asked = tokio::spawn(crate::router(control.clone(), plane(&health)).oneshot(asked));
    // The next ask for the lease stays without an answer as well.
    until("the lease has run out", async || control.inner.leads().is_none()).await;
    health.advance(Phase::Stopping);
    stop.pull();
    // The store itself would be waited for ten seconds, each time that it is asked.
    timeout(3 * LAST_WORD, running).await.unwrap().unwrap();
    assert_eq!(asked.await.unwrap().unwrap().status().as_u16(), 503);
}

#[tokio::test]
async fn the_operations_plane_answers_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let (store, region) = (store(folder.path()).await, Region::of(1));
    let (control, health) = (control("c1", &store, &region), Health::default());
    let router = crate::router(control.clone(), plane(&health));
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let check = async |method: &str, path: &str, status: u16, part: &str| {
        let (got, body) = ask(method, path).await;
        assert!(got == status && body.contains(part), "{method} {path}: {got} {body}");
    };
    check("GET", "/livez", 200, "true").await;
    check("GET", "/readyz", 503, "SPW-STARTING").await;
    health.advance(Phase::Ready);
    check("GET", "/readyz", 200, "true").await;
    check("GET", "/metrics", 200, "spinwell_control_leads 0").await;
    check("GET", "/v1/admin/control", 200, "\"plan\":null").await;
    check("GET", "/metrics", 200, "spinwell_slo_alert_firing{objective=\"availability\"").await;
    check("GET", "/v1/admin/slo", 200, "\"status\":\"not enough data\"").await;
    check("POST", "/v1/admin/control/restart", 503, "SPW-INSUFFICIENT-NODES").await;
    check("POST", "/v1/admin/control/restart?timeout_s=x", 400, "SPW-REQUEST-INVALID").await;
    check("GET", "/v1/admin/control/restart", 405, "SPW-METHOD-NOT-ALLOWED").await;
    let of_another_site = Request::post("/v1/admin/control/restart")
        .header("host", "control.example:8012")
        .header("origin", "https://evil.example")
        .body(Body::empty());
    let refused = router.clone().oneshot(of_another_site.unwrap()).await.unwrap();
    assert_eq!(refused.status().as_u16(), 403);
    check("GET", "/v1/elsewhere", 404, "SPW-PATH-NOT-FOUND").await;
    let document = described(&control).await;
    let shown: Value = serde_json::from_str(&ask("GET", "/v1/admin/slo").await.1).unwrap();
    let schema = &document["components"]["schemas"]["ServiceLevels"]["properties"];
    assert_eq!(keys(&shown), keys(schema));
    let objective = &schema["objectives"]["items"]["properties"];
    assert_eq!(keys(&shown["objectives"][0]), keys(objective));
    assert_eq!(keys(&shown["objectives"][0]["budget"]), keys(&objective["budget"]["properties"]));
    assert_eq!(keys(&shown["health"]), keys(&schema["health"]["properties"]));
    assert_eq!(keys(&shown["looks"]), keys(&schema["looks"]["properties"]));
    for (method, path, statuses) in [
        ("get", "/livez", &["200"][..]),
        ("get", "/readyz", &["200", "503"]),
        ("get", "/metrics", &["200", "401", "403", "500"]),
        ("get", "/openapi.json", &["200"]),
        ("get", "/v1/admin/control", &["200", "401", "403", "503"]),
        ("get", "/v1/admin/slo", &["200", "401", "403"]),
        ("post", "/v1/admin/control/restart", &["200", "400", "401", "403", "503"]),
        ("post", "/v1/admin/control/nodes", &["200", "400", "401", "403", "500", "503"]),
    ] {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        assert_eq!(responses.keys().collect::<Vec<_>>(), statuses, "{path}");
    }
    health.advance(Phase::Stopping);
    check("GET", "/readyz", 503, "SPW-STOPPING").await;
}
