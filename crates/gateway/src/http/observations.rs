//! The truth for earlier forecasts, and how right they turned out to be.

use super::answer::{coded_fault_response, compressed_response, fault_response, json_response};
use super::body::{self, Received};
use super::coding::Coding;
use super::target::Target;
use crate::Gateway;
use crate::accuracy::OfModel;
use crate::door::Entry;
use axum::extract::{Request, State};
use axum::response::Response;
use spinwell_core::{Fault, ModelName, ModelVersion, TenantId};
use spinwell_policy::accuracy::{Comparison, Figures};
use spinwell_protocol::rest::{self, LiveComparison, LiveVersion, Observation, ObservationCall};
use spinwell_protocol::{Catalogue, Task};

/// `POST /v1/models/{model}/observations`.
pub(super) async fn observe(
    State(gateway): State<Gateway>,
    entry: Entry,
    target: Target,
    request: Request,
) -> Response {
    let answer_coding = Coding::for_answer(request.headers());
    let has_unknown_coding = Coding::of_request(request.headers()).is_err();
    match received(&gateway, &entry, &target, request).await {
        Ok(document) => compressed_response(document, answer_coding),
        Err(fault) => coded_fault_response(&fault, has_unknown_coding),
    }
}

async fn received(
    gateway: &Gateway,
    entry: &Entry,
    target: &Target,
    request: Request,
) -> Result<Vec<u8>, Fault> {
    let tenant = entry.caller.clone()?.tenant().clone();
    let (head, request_body) = request.into_parts();
    let model = gateway.find(&target.model, None)?.name.clone();
    // Says so before the body is read.
    gateway.remembers()?;
    let coding = Coding::of_request(&head.headers)?;
    let mut share = gateway.body_share();
    let bytes = body::read(request_body, gateway.limits(), &mut share).await?;
    let bytes_max = gateway.limits().body_bytes;
    let gateway = gateway.clone();
    let body = Received { bytes, coding, share };
    let (answer, _share) =
        body.read_by(bytes_max, move |bytes| take(&gateway, &tenant, &model, &bytes)).await?;
    Ok(answer)
}

fn take(gateway: &Gateway, tenant: &TenantId, model: &ModelName, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let call = ObservationCall::read(bytes, gateway.limits().batch_call_requests_max)?;
    let one = |raw| gateway.observe(tenant, model, Observation::read(raw)?);
    Ok(rest::encode_observed(call.observations.into_iter().map(one).collect()))
}

/// `GET /v1/models/{model}/accuracy`.
pub(super) async fn accuracy(State(gateway): State<Gateway>, target: Target) -> Response {
    match shown(&gateway, &target) {
        Ok(document) => json_response(&document),
        Err(fault) => fault_response(&fault),
    }
}

fn shown(gateway: &Gateway, target: &Target) -> Result<serde_json::Value, Fault> {
    let models = gateway.models()?;
    let model = models.find(&target.model, None)?;
    let OfModel { versions, comparisons } = gateway.accuracy(&model.name)?;
    let versions: Vec<LiveVersion> =
        versions.iter().map(|(version, figures)| live(&models, &model.name, *version, figures)).collect();
    let comparisons: Vec<LiveComparison> = comparisons.iter().map(compared).collect();
    Ok(rest::live_accuracy(model, &versions, &comparisons))
}

fn live(models: &Catalogue, name: &ModelName, version: ModelVersion, figures: &Figures) -> LiveVersion {
    let version = version.to_string();
    let coverage_wanted = match models.find(name.as_str(), Some(&version)).map(|model| &model.task) {
        Ok(Task::Forecast(facts)) => Some(facts.coverage),
        _ => None,
    };
    LiveVersion {
        version,
        matured_total: figures.matured_total,
        off_scale_total: figures.off_scale_total,
        values: figures.values,
        mae: figures.mean_absolute_error,
        rmse: figures.root_mean_squared_error,
        intervals: figures.intervals,
        coverage: figures.coverage,
        coverage_wanted,
        interval_width: figures.mean_interval_width,
        interval_score: figures.mean_interval_score,
        skill: figures.skill,
        awaiting: figures.awaiting,
        forgotten_total: figures.forgotten_total,
        failed_total: figures.failed_total,
    }
}

fn compared(comparison: &Comparison) -> LiveComparison {
    LiveComparison {
        version: comparison.version.to_string(),
        against: comparison.against.to_string(),
        requests: comparison.requests,
        requests_min: comparison.requests_min,
        mean_difference: comparison.mean_difference,
        interval: comparison.interval.map(|(lower, upper)| [lower, upper]),
        verdict: comparison.verdict.as_str(),
        failed_total: comparison.failed_total,
        against_failed_total: comparison.against_failed_total,
    }
}
