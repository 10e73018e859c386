//! The operations plane of a control: health, metrics, who leads, and what is to be done.

use crate::api::{Described, Route, document, named, object};
use crate::door::{Book, Coded, Door, guarded};
use crate::metrics::page;
use crate::sizes::NODES_MAX;
use crate::{Control, ServiceLevels};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Millis};
use spinwell_protocol::status;
use spinwell_runtime::access::Doors;
use spinwell_runtime::clock;
use spinwell_runtime::health::{Health, Phase};
use spinwell_runtime::tls::EdgeCertificate;
use spinwell_security::access::Action;
use std::sync::Arc;

/// How long each node may take, where nobody says, and at most.
const PATIENCE_S: (u64, u64) = (120, 3600);
/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Operations {
    control: Control,
    health: Health,
    certificate: Option<EdgeCertificate>,
    levels: ServiceLevels,
    /// The description of all routes.
    document: Bytes,
}

/// What the operations plane of a control stands on.
pub struct Plane {
    /// Whether the process is ready.
    pub health: Health,
    /// Who comes in.
    pub doors: Arc<Doors>,
    /// Where orders are written down, if anywhere.
    pub ledger: Option<Book>,
    /// The certificate that its callers are shown, if any.
    pub certificate: Option<EdgeCertificate>,
    /// What is promised, and whether it is kept.
    pub levels: ServiceLevels,
}

/// The operations plane of a control, to be called as a function or served.
pub fn router(control: Control, plane: Plane) -> Router {
    let Plane { health, doors, ledger, certificate, levels } = plane;
    let door = Door::new(doors, ledger, control.name());
    let routes = routes();
    let document = document(&routes).to_string().into();
    let router = routes.into_iter().fold(Router::new(), |router, Route { path, handler, described, .. }| {
        router.route(path, guarded(handler, &door, described.need))
    });
    router
        .fallback(async |uri: Uri| {
            let message = format!("there is nothing at {}", spinwell_protocol::quoted(uri.path()));
            fault(&Fault::new(Code::PathNotFound, message))
        })
        .method_not_allowed_fallback(async || {
            fault(&Fault::new(Code::MethodNotAllowed, "this path is asked with another method"))
        })
        .with_state(Operations { control, health, certificate, levels, document })
}

/// Every route, with what callers may know of it.
fn routes() -> Vec<Route<Operations>> {
    let one =
        |id, summary, need, gives, fails| Described { id, summary, need, query: Vec::new(), gives, fails };
    let json_of = |schema| ("application/json", schema);
    let truth = |name: &str| json_of(object(&json!({name: {"const": true}})));
    let timeout = json!({
        "name": "timeout_s",
        "in": "query",
        "required": false,
        "description": "How long each node may take.",
        "schema": {"type": "integer", "minimum": 1, "maximum": PATIENCE_S.1, "default": PATIENCE_S.0},
    });
    let restart_fails = &[
        Code::RequestInvalid,
        Code::InsufficientNodes,
        Code::DatabaseFailed,
        Code::LedgerFailed,
        Code::Stopping,
    ];
    let restarts = one(
        "restart",
        "Have all nodes start anew, one after the other",
        Some(Action::ClusterWrite),
        json_of(named("Plan")),
        restart_fails,
    );
    let count = json!({
        "name": "count",
        "in": "query",
        "required": true,
        "description": "How many.",
        "schema": {"type": "integer", "minimum": 1, "maximum": NODES_MAX},
    });
    let resizes = one(
        "resize",
        "Look after so many nodes on this machine",
        Some(Action::ClusterWrite),
        json_of(named("Size")),
        &[
            Code::RequestInvalid,
            Code::ConfigInvalid,
            Code::DatabaseFailed,
            Code::LedgerFailed,
            Code::Stopping,
        ],
    );
    let any_object = json!({"type": "object", "description": "An OpenAPI 3.1 document."});
    vec![
        Route::get(
            "/livez",
            async || answered(&json!({"live": true})),
            one("livez", "Whether the process runs", None, truth("live"), &[]),
        ),
        Route::get(
            "/readyz",
            ready,
            one(
                "readyz",
                "Whether control has started",
                None,
                truth("ready"),
                &[Code::Starting, Code::Stopping],
            ),
        ),
        Route::get(
            "/metrics",
            metrics,
            one(
                "metrics",
                "Metrics for Prometheus",
                Some(Action::MetricsRead),
                (OPEN_METRICS, json!({"type": "string"})),
                &[Code::Internal],
            ),
        ),
        Route::get(
            "/openapi.json",
            async |State(Operations { document, .. }): State<Operations>| {
                of_type("application/json", document)
            },
            one("openapi", "This document", None, json_of(any_object), &[]),
        ),
        Route::get(
            "/v1/admin/control",
            show,
            one(
                "control",
                "Who leads, what is looked after, and the newest plans",
                Some(Action::ClusterRead),
                json_of(named("Control")),
                &[Code::DatabaseFailed, Code::Stopping],
            ),
        ),
        Route::get(
            "/v1/admin/slo",
            async |State(Operations { levels, .. }): State<Operations>| {
                answered(&levels.document(clock::unix()))
            },
            one(
                "slo",
                "Which service levels are promised, whether they are kept, and what is left of their error budgets",
                Some(Action::ClusterRead),
                json_of(named("ServiceLevels")),
                &[],
            ),
        ),
        Route::post(
            "/v1/admin/control/restart",
            restart,
            Described { query: vec![timeout.clone()], ..restarts },
        ),
        Route::post("/v1/admin/control/nodes", resize, Described { query: vec![count, timeout], ..resizes }),
    ]
}

async fn ready(State(Operations { health, .. }): State<Operations>) -> Response {
    match health.phase() {
        Phase::Ready => answered(&json!({"ready": true})),
        Phase::Starting => fault(&Fault::new(Code::Starting, "control is starting")),
        Phase::Leaving | Phase::Stopping => fault(&stopping()),
    }
}

async fn metrics(State(Operations { control, certificate, levels, .. }): State<Operations>) -> Response {
    let until = certificate.map(|certificate| certificate.validity().until);
    match page(control.figures(), until, &levels.figures(clock::unix())) {
        Ok(text) => of_type(OPEN_METRICS, text),
        Err(_) => fault(&Fault::new(Code::Internal, "the metrics could not be written; control goes on")),
    }
}

async fn show(State(Operations { control, health, .. }): State<Operations>) -> Response {
    answer(&health, control.status()).await
}

async fn restart(State(Operations { control, health, .. }): State<Operations>, uri: Uri) -> Response {
    match numbers(uri.query().unwrap_or_default(), [TIMEOUT]) {
        Ok([timeout]) => answer(&health, control.restart(patience(timeout))).await,
        Err(error) => fault(&error),
    }
}

async fn resize(State(Operations { control, health, .. }): State<Operations>, uri: Uri) -> Response {
    match numbers(uri.query().unwrap_or_default(), [COUNT, TIMEOUT]) {
        Ok([Some(count), timeout]) => {
            let count = usize::try_from(count).unwrap_or(NODES_MAX);
            answer(&health, control.resize(count, patience(timeout))).await
        }
        Ok([None, _]) => fault(&Fault::new(Code::RequestInvalid, "how many nodes? count=N is missing")),
        Err(error) => fault(&error),
    }
}

/// What a query may say, and the most of it.
const TIMEOUT: (&str, u64) = ("timeout_s", PATIENCE_S.1);
const COUNT: (&str, u64) = ("count", NODES_MAX as u64);

/// The whole numbers that a query such as `timeout_s=60` gives to these names, each from 1 to its most.
fn numbers<const N: usize>(query: &str, known: [(&str, u64); N]) -> Result<[Option<u64>; N], Fault> {
    let mut given = [None; N];
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, text) = part.split_once('=').unwrap_or((part, ""));
        let place = known.iter().position(|(known, _)| *known == name);
        let number = place.and_then(|place| {
            let number = text.parse().ok().filter(|number| (1..=known[place].1).contains(number))?;
            given[place].replace(number).is_none().then_some(())
        });
        number.ok_or_else(|| {
            let names =
                known.map(|(name, most)| format!("{name} (a whole number from 1 to {most})")).join(", ");
            Fault::new(Code::RequestInvalid, format!("what can be said once each is {names}"))
        })?;
    }
    Ok(given)
}

/// How long each node may take.
fn patience(seconds: Option<u64>) -> Millis {
    Millis(seconds.unwrap_or(PATIENCE_S.0) * 1_000)
}

/// What the store is asked for; a stop waits for no store that is silent.
async fn answer(health: &Health, asked: impl Future<Output = Result<Value, Fault>>) -> Response {
    let result = tokio::select! {
        // What is known at once is said also while control stops.
        biased;
        result = asked => result,
        () = health.stopping() => Err(stopping()),
    };
    match result {
        Ok(value) => answered(&value),
        Err(error) => fault(&error),
    }
}

fn stopping() -> Fault {
    Fault::new(Code::Stopping, "control is stopping")
}

fn answered(value: &Value) -> Response {
    of_type("application/json", value.to_string())
}

pub(crate) fn fault(error: &Fault) -> Response {
    let mut response = of_type("application/json", status::error_json(error));
    let status = StatusCode::from_u16(status::http(error.code()));
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(Coded(error.code()));
    if matches!(error.code(), Code::CredentialsMissing | Code::CredentialsRefused) {
        let scheme = HeaderValue::from_static("Bearer realm=\"spinwell\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

fn of_type(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_node_may_take_is_said_or_usual() {
        let check = |query: &str, wanted: Option<u64>| {
            let got = numbers(query, [TIMEOUT]).ok().map(|[timeout]| patience(timeout).0);
            assert_eq!(got, wanted, "{query}");
        };
        check("", Some(120_000));
        check("timeout_s=1", Some(1000));
        check("timeout_s=3600", Some(3_600_000));
        for wrong in [
            "timeout_s=0",
            "timeout_s=3601",
            "timeout_s=",
            "timeout_s=-1",
            "timeout=5",
            "x&timeout_s=5",
            "timeout_s=5&timeout_s=5",
        ] {
            check(wrong, None);
        }
        let both = numbers("timeout_s=7&count=3", [COUNT, TIMEOUT]).unwrap();
        assert_eq!(both, [Some(3), Some(7)]);
        assert_eq!(numbers("count=3", [COUNT, TIMEOUT]).unwrap(), [Some(3), None]);
        assert!(numbers("count=1001", [COUNT]).is_err());
    }
}
