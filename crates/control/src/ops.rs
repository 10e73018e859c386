//! The operations plane of a control: health, metrics, who leads, and what is to be done.

use crate::Control;
use crate::api::{Described, Route, document, named, object};
use crate::door::{Book, Coded, Door, guarded};
use crate::metrics::page;
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
}

/// The operations plane of a control, to be called as a function or served.
pub fn router(control: Control, plane: Plane) -> Router {
    let Plane { health, doors, ledger, certificate } = plane;
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
        .with_state(Operations { control, health, certificate, document })
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
        Route::post("/v1/admin/control/restart", restart, Described { query: vec![timeout], ..restarts }),
    ]
}

async fn ready(State(Operations { health, .. }): State<Operations>) -> Response {
    match health.phase() {
        Phase::Ready => answered(&json!({"ready": true})),
        Phase::Starting => fault(&Fault::new(Code::Starting, "control is starting")),
        Phase::Leaving | Phase::Stopping => fault(&stopping()),
    }
}

async fn metrics(State(Operations { control, certificate, .. }): State<Operations>) -> Response {
    match page(control.figures(), certificate.map(|certificate| certificate.validity().until)) {
        Ok(text) => of_type(OPEN_METRICS, text),
        Err(_) => fault(&Fault::new(Code::Internal, "the metrics could not be written; control goes on")),
    }
}

async fn show(State(Operations { control, health, .. }): State<Operations>) -> Response {
    answer(&health, control.status()).await
}

async fn restart(State(Operations { control, health, .. }): State<Operations>, uri: Uri) -> Response {
    match patience(uri.query().unwrap_or_default()) {
        Ok(patience) => answer(&health, control.restart(patience)).await,
        Err(error) => fault(&error),
    }
}

/// How long each node may take, from `timeout_s=60`.
fn patience(query: &str) -> Result<Millis, Fault> {
    if query.is_empty() {
        return Ok(Millis(PATIENCE_S.0 * 1000));
    }
    let seconds = query.strip_prefix("timeout_s=").and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=PATIENCE_S.1).contains(seconds));
    seconds.map(|seconds: u64| Millis(seconds * 1000)).ok_or_else(|| {
        let message = format!("timeout_s is all that can be said, a whole number from 1 to {}", PATIENCE_S.1);
        Fault::new(Code::RequestInvalid, message)
    })
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
            assert_eq!(patience(query).ok().map(|patience| patience.0), wanted, "{query}");
        };
        check("", Some(120_000));
        check("timeout_s=1", Some(1000));
        check("timeout_s=3600", Some(3_600_000));
        for wrong in
            ["timeout_s=0", "timeout_s=3601", "timeout_s=", "timeout_s=-1", "timeout=5", "x&timeout_s=5"]
        {
            check(wrong, None);
        }
    }
}
