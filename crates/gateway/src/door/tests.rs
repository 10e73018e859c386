//! Every route and every method, as callers of every role meet them.

use super::need::methods;
use super::*;
use crate::api::Addresses;
use crate::example::{self, Mood};
use crate::{Metrics, http_router, ops_router};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use spinwell_core::UnixMicros;
use spinwell_policy::threat::Detector;
use spinwell_protocol::grpc::wire::ModelInferRequest;
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::grpc::wire::model_infer_request::InferInputTensor;
use spinwell_security::access::{Kind, PolicySet};
use spinwell_security::guard::keys_to_text;
use spinwell_security::key::{About, KeyRecord, KeyRing, create};
use spinwell_security::{Grants, Identity, Scopes};
use tower::ServiceExt as _;

const ROLES: [&str; 6] = ["viewer", "predictor", "trainer", "operator", "auditor", "admin"];

/// A folder of access files, and the text of a key in it for each role of each tenant.
struct House {
    door: Arc<Door>,
    keys: Vec<(String, String)>,
    _dir: tempfile::TempDir,
}

impl House {
    #[allow(clippy::disallowed_methods, reason = "a test writes files as operators do")]
    fn new(tenants: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut records, mut keys): (Vec<KeyRecord>, Vec<_>) = Default::default();
        for (number, tenant) in ["default", "acme", "other"].into_iter().enumerate() {
            for (place, role) in ROLES.into_iter().enumerate() {
                let about = About {
                    name: role.into(),
                    tenant: TenantId(tenant.into()),
                    principal: role.into(),
                    roles: [role.to_owned()].into(),
                    scopes: Scopes::all(),
                    created: UnixMicros(1),
                    expires: None,
                };
                let (text, record) = create(&[(10 * number + place) as u8; 8], &[7; 32], about);
                records.push(record);
                keys.push((format!("{tenant}/{role}"), text.expose().to_owned()));
            }
        }
        let ring = KeyRing::new(records).unwrap();
        std::fs::write(dir.path().join("keys.json"), keys_to_text(&ring)).unwrap();
        std::fs::write(dir.path().join("tenants.toml"), tenants).unwrap();
        let doors = Doors::guarded(dir.path(), &[1; 16]).unwrap();
        let watch = Watch::new(&[], false, 42, None);
        let door = Arc::new(Door::new(doors, Proxies::default(), Some(watch), None));
        Self { door, keys, _dir: dir }
    }

    fn header(&self, who: &str) -> String {
        let key = self.keys.iter().find(|(name, _)| name == who).map(|(_, key)| key);
        format!("Bearer {}", key.unwrap())
    }

    fn routers(&self) -> [Router; 2] {
        let gateway = example::guarded_gateway(Mood::Answers, self.door.clone());
        let metrics = Arc::new(Metrics::new(&example::catalogue()));
        [http_router(gateway.clone()), ops_router(gateway, metrics)]
    }
}

async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    header: Option<&str>,
    body: &str,
) -> (StatusCode, String) {
    let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
    if let Some(header) = header {
        request = request.header("authorization", header);
    }
    let answer = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, value["code"].as_str().unwrap_or_default().to_owned())
}

/// Every route of both planes with what it needs, and a path that it answers.
fn routes() -> Vec<(usize, &'static str, String, Need)> {
    let path = |path: &str| {
        path.replace("{model}", "taxi")
            .replace("{version}", "1")
            .replace("{sequence}", "s")
            .replace("{receipt}", "gateway-1")
            .replace("{node}", "n1")
            .replace("{strategy}", "round_robin")
    };
    let inference = crate::http::routes(Addresses::default());
    let operations = crate::ops::routes(Addresses::default());
    let inference = inference.iter().map(|route| (0, route.method(), path(route.path()), route.need()));
    let operations = operations.iter().map(|route| (1, route.method(), path(route.path()), route.need()));
    inference.chain(operations).collect()
}

#[tokio::test]
async fn no_route_but_health_and_descriptions_answers_a_stranger() {
    let house = House::new("");
    let routers = house.routers();
    let open = [
        "/v2/health/live",
        "/v2/health/ready",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        // What it shows is signed, and is there for whoever does not trust us.
        "/v1/ledger/checkpoint",
    ];
    for (plane, method, path, need) in routes() {
        assert_eq!(need == Need::Nothing, open.contains(&path.as_str()), "{path} needs {need:?}");
        let (status, code) = ask(&routers[plane], method, &path, None, "").await;
        match need {
            Need::Nothing => assert_ne!(status, StatusCode::UNAUTHORIZED, "{path}"),
            _ => assert_eq!(
                (status, code.as_str()),
                (StatusCode::UNAUTHORIZED, "SPW-CREDENTIALS-MISSING"),
                "{method} {path}"
            ),
        }
        let wrong = format!("{}0", &house.header("default/admin")[..95]);
        if need != Need::Nothing {
            let (status, _) = ask(&routers[plane], method, &path, Some(&wrong), "").await;
            assert!(status == StatusCode::UNAUTHORIZED || status == StatusCode::TOO_MANY_REQUESTS, "{path}");
        }
    }
}

/// Who may do what, as it follows from the routes: the table of the documentation.
#[tokio::test]
async fn every_role_meets_at_every_route_what_its_actions_say() {
    use Action::{
        ClusterRead, ClusterWrite, MetricsRead, ModelList, ModelLoad, ModelRead, ModelUnload,
        ObservationWrite, PredictionCreate, ReceiptRead, SequenceRead, SequenceStep, SequenceWrite,
        ServerRead, StatisticsRead, StrategyWrite,
    };
    let viewing = [ServerRead, ModelList, ModelRead, StatisticsRead, ReceiptRead];
    let predicting = [PredictionCreate, ObservationWrite, SequenceStep, SequenceRead, SequenceWrite];
    let loading = [ModelLoad, ModelUnload];
    let operating = [MetricsRead, ClusterRead, ClusterWrite, StrategyWrite];
    let may = |role: &str, action: &Action| match role {
        "viewer" | "auditor" => viewing.contains(action),
        "predictor" => viewing.contains(action) || predicting.contains(action),
        "trainer" => viewing.contains(action) || predicting.contains(action) || loading.contains(action),
        "operator" => viewing.contains(action) || loading.contains(action) || operating.contains(action),
        _ => true,
    };
    let house = House::new("");
    let routers = house.routers();
    for role in ROLES {
        for (plane, method, path, need) in routes() {
            let is_allowed = need.actions().iter().any(|action| may(role, action)) || need == Need::Nothing;
            let header = house.header(&format!("default/{role}"));
            let (status, code) = ask(&routers[plane], method, &path, Some(&header), "").await;
            // A batch call's own requests are refused one by one.
            let is_refused = status == StatusCode::FORBIDDEN;
            let is_batch = path == "/v1/predictions";
            assert_eq!(is_refused, !is_allowed && !is_batch, "{role}: {method} {path} gives {status} {code}");
        }
    }
}

#[tokio::test]
async fn a_tenant_does_not_learn_of_anothers_models() {
    let house = House::new("[acme]\nmodels = [\"taxi\"]\n");
    let [inference, _] = house.routers();
    let (other, own) = (house.header("other/admin"), house.header("acme/admin"));
    for (plane, method, path, need) in routes() {
        let of_model = matches!(need, Need::Model(_) | Need::Sequence(_)) || path.ends_with("/infer");
        if plane != 0 || !of_model {
            continue;
        }
        let absent = path.replace("taxi", "absent");
        let theirs = ask(&inference, method, &path, Some(&other), "").await;
        assert_eq!(theirs, (StatusCode::NOT_FOUND, "SPW-MODEL-NOT-FOUND".into()), "{method} {path}");
        // The node of these tests has every sequence.
        if matches!(need, Need::Sequence(_)) {
            continue;
        }
        let (status, code) = ask(&inference, method, &absent, Some(&other), "").await;
        // Whoever may not load at all is told that first.
        assert!(status == StatusCode::NOT_FOUND || code == "SPW-NOT-PERMITTED", "{method} {absent} {status}");
        let (status, code) = ask(&inference, method, &path, Some(&own), "").await;
        assert!(
            code != "SPW-MODEL-NOT-FOUND" && status != StatusCode::FORBIDDEN,
            "{method} {path} {status} {code}"
        );
    }
    let listed = async |who: &str| {
        let request = Request::post("/v2/repository/index").header("authorization", house.header(who));
        let answer = inference.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap().contains("taxi")
    };
    assert!(listed("acme/viewer").await && !listed("other/viewer").await);
    assert!(!listed("default/admin").await, "not even the house");
}

#[tokio::test]
async fn a_tenant_has_its_quota_and_no_more() {
    let house = House::new("[acme]\nrequests_per_second = 1\nburst = 2\n");
    let [inference, _] = house.routers();
    let body = serde_json::json!({"inputs": [{"name": "series", "shape": [1, 4, 1], "datatype": "FP32",
        "data": [1.0, 2.0, 3.0, 4.0]}]});
    let predict = async |who: &str| {
        ask(&inference, "post", "/v2/models/taxi/infer", Some(&house.header(who)), &body.to_string()).await.0
    };
    assert_eq!(predict("acme/predictor").await, StatusCode::OK);
    assert_eq!(predict("acme/admin").await, StatusCode::OK, "it is the tenant's");
    assert_eq!(predict("acme/predictor").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(predict("other/predictor").await, StatusCode::OK);
    let refused = house.door.refused().into_iter().find(|(code, _)| *code == Code::QuotaExceeded);
    assert_eq!(refused, Some((Code::QuotaExceeded, 1)));
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let house = House::new("");
    let [_, operations] = house.routers();
    let send = async |origin: &str| {
        let request = Request::put("/v1/admin/cluster/strategy/round_robin")
            .header("authorization", house.header("default/admin"))
            .header("host", "spinwell.example:8002")
            .header("origin", origin);
        operations.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    assert_eq!(send("https://evil.example").await, StatusCode::FORBIDDEN);
    assert_eq!(send("null").await, StatusCode::FORBIDDEN);
    assert_ne!(send("https://spinwell.example:8002").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_tries_many_keys_is_held_back_and_a_good_caller_elsewhere_is_not() {
    let house = House::new("");
    let enter = async |header: &str, from: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", header.parse().unwrap());
        let mut beside = Extensions::new();
        beside.insert(PeerAddress(from.parse().unwrap()));
        house.door.enter(&Method::POST, &headers, &beside).await.caller.map_err(|fault| fault.code())
    };
    let mut last = Ok(Caller::anonymous());
    for number in 0..200_u8 {
        let about = About {
            name: String::new(),
            tenant: TenantId("t".into()),
            principal: String::new(),
            roles: Default::default(),
            scopes: Scopes::all(),
            created: UnixMicros(0),
            expires: None,
        };
        let (text, _) = create(&[99; 8], &[number; 32], about);
        last = enter(&format!("Bearer {}", text.expose()), "203.0.113.9:1000").await;
    }
    assert_eq!(last, Err(Code::CallerHeldBack));
    let good = house.header("acme/predictor");
    assert!(enter(&good, "198.51.100.7:1000").await.is_ok());
    assert!(
        house.door.watch().unwrap().findings().any(|(_, response, count)| response != "log" && count > 0)
    );
}

#[tokio::test]
async fn who_declares_what_no_body_holds_is_held_back_and_who_miscounts_is_not() {
    let house = House::new("");
    let [inference, _] = house.routers();
    let declare = async |who: &str, rows: u64| {
        let body = serde_json::json!({"inputs": [{"name": "series", "shape": [1, rows, 1], "datatype": "FP32", "data": [1.0]}]});
        let body = body.to_string();
        ask(&inference, "post", "/v2/models/taxi/infer", Some(&house.header(who)), &body).await.1
    };
    let is_held = |code: &str| code == "SPW-CALLER-HELD-BACK";
    let mut bombs = 0;
    while !is_held(&declare("acme/predictor", 1 << 40).await) {
        assert_eq!(declare("other/predictor", 101).await, "SPW-TENSOR-SHAPE", "the model takes 100");
        bombs += 1;
        assert!(bombs < 100);
    }
    // Ten are written down, as many again are slowed.
    assert!(bombs >= 20, "{bombs}");
    assert_eq!(declare("other/predictor", 101).await, "SPW-TENSOR-SHAPE");
}

#[tokio::test]
async fn malformed_messages_over_grpc_count_as_far_as_they_differ() {
    let found = async |values: &mut dyn FnMut(u8) -> u8| {
        let house = House::new("");
        let gateway = example::guarded_gateway(Mood::Answers, house.door.clone());
        let mut client = GrpcInferenceServiceClient::new(crate::grpc_service(gateway));
        for number in 0..250 {
            let input =
                InferInputTensor { name: "series".into(), shape: vec![1, 2, 1], ..Default::default() };
            let mut request = tonic::Request::new(ModelInferRequest {
                model_name: "taxi".into(),
                id: format!("try {number}"),
                inputs: vec![InferInputTensor { datatype: "FP32".into(), ..input }],
                // A value of four bytes, and a byte more.
                raw_input_contents: vec![vec![values(number); 5].into()],
                ..Default::default()
            });
            let header = house.header("acme/predictor").parse().unwrap();
            request.metadata_mut().insert("authorization", header);
            assert!(client.model_infer(request).await.is_err());
        }
        let all = house.door.watch().unwrap().findings();
        all.filter(|(detector, ..)| *detector == Detector::PayloadAnomaly)
            .map(|(.., count)| count)
            .sum::<u64>()
    };
    assert_eq!(found(&mut |_| 7).await, 0, "the same one counts once");
    assert!(found(&mut |number| number).await > 0);
}

/// What the routes need and what the roles may do, as docs/access.md has it.
fn tables() -> [String; 2] {
    let row = |what: &str, need: Need| {
        let actions: Vec<&str> = need.actions().into_iter().map(Action::name).collect();
        let actions = if actions.is_empty() { "nothing".to_owned() } else { actions.join(" or ") };
        format!("| `{what}` | {actions} |\n")
    };
    let named = |method: &str, path: &str| format!("{} {path}", method.to_uppercase());
    let inference = crate::http::routes(Addresses::default());
    let operations = crate::ops::routes(Addresses::default());
    let inference = inference.iter().map(|route| (named(route.method(), route.path()), route.need()));
    let operations = operations.iter().map(|route| (named(route.method(), route.path()), route.need()));
    let methods = methods().filter_map(|method| {
        let name = method.trim_start_matches("/inference.GRPCInferenceService").trim_start_matches('/');
        Some((format!("gRPC {name}"), of_method(method)?))
    });
    let mut all: Vec<(String, Need)> = inference.chain(operations).chain(methods).collect();
    // What is the same with a version, with a slash at its end and on the other plane has no row of its own.
    all.retain(|(what, _)| !what.contains("{version}") && !what.ends_with('/'));
    let mut seen = std::collections::HashSet::new();
    all.retain(|(what, _)| seen.insert(what.clone()));
    let routes = all.iter().map(|(what, need)| row(what, *need)).collect();
    let policies = PolicySet::of_defaults();
    let may = |tenant: &str, role: &str, action: Action| {
        let tenant = TenantId(tenant.into());
        let model: ModelName = "taxi".parse().unwrap();
        let resource = match action.kinds()[0] {
            Kind::Model => {
                let owner = (&*tenant.0 != "default").then(|| tenant.clone());
                Resource::Model { name: model, tenant: owner }
            }
            Kind::Sequence => Resource::Sequence { model, tenant: tenant.clone() },
            Kind::Region => Resource::Region,
            Kind::Tenant => Resource::Tenant(tenant.clone()),
            Kind::Ledger => Resource::Ledger(Some(tenant.clone())),
        };
        let grants = Grants::new(tenant, [role.to_owned()].into(), Scopes::all());
        let identity = Identity { principal: "somebody".into(), grants: grants.into() };
        policies.decide(&identity, action, &resource).allowed()
    };
    let needed = |action: &&Action| all.iter().any(|(_, need)| need.actions().contains(action));
    let roles = Action::ALL.iter().filter(needed).map(|action| {
        let cells = ROLES.map(|role| match (may("default", role, *action), may("acme", role, *action)) {
            (true, true) => "yes",
            (true, false) => "house",
            (false, _) => "",
        });
        format!("| {action} | {} |\n", cells.join(" | "))
    });
    [routes, roles.collect()]
}

#[test]
fn the_guide_says_what_each_route_needs_and_what_each_role_may_do() {
    let guide = include_str!("../../../../docs/access.md");
    let missing: Vec<String> = tables().into_iter().filter(|table| !guide.contains(table)).collect();
    assert!(missing.is_empty(), "docs/access.md does not have:\n{}", missing.join("\n"));
}

#[test]
fn every_method_of_the_service_is_known_with_what_it_needs() {
    let services = [include_str!("../../../protocol/proto/inference.proto")];
    let mut defined: Vec<String> = services
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.trim().strip_prefix("rpc "))
        .map(|line| line.split(['(', ' ']).next().unwrap().to_owned())
        .collect();
    let prefix = "/inference.GRPCInferenceService/";
    let mut known: Vec<String> =
        methods().filter_map(|method| method.strip_prefix(prefix)).map(str::to_owned).collect();
    defined.sort();
    known.sort();
    assert_eq!(defined, known);
    assert_eq!(of_method("/inference.GRPCInferenceService/Other"), None);
}
