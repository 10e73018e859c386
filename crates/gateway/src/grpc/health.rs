//! Health in gRPC's own protocol (`grpc.health.v1`), for probes and channels that ask for it there.
//!
//! Known services are the server as a whole, which has the empty name, and the inference service; both serve while the process
//! is ready, which one that has lost all its nodes is not until it finds one again.

use crate::Gateway;
use futures::future::Either;
use futures::stream::{self, BoxStream, StreamExt};
use spinwell_runtime::health::Readiness;
use std::task::{Context, Poll};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower_service::Service;

/// Where its calls go.
const PATHS: &str = "/grpc.health.v1.Health/";
/// The services that it knows.
const KNOWN: [&str; 2] = ["", "inference.GRPCInferenceService"];

/// The health service of a process.
pub(super) struct Healthy(pub(super) Gateway);

fn answer(readiness: Readiness) -> HealthCheckResponse {
    let status = match readiness {
        Readiness::Ready => ServingStatus::Serving,
        _ => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Healthy {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !KNOWN.contains(&service.as_str()) {
            let [_, known] = KNOWN;
            return Err(Status::not_found(format!("known here are the empty name and {known}")));
        }
        Ok(Response::new(answer(self.0.health().readiness())))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Ends when the process takes no more requests.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !KNOWN.contains(&request.into_inner().service.as_str()) {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            return Ok(Response::new(stream::iter([Ok(unknown)]).boxed()));
        }
        let health = self.0.health().clone();
        let answers = stream::unfold((health, None), |(health, before)| async move {
            let now = health.readiness_after(before).await;
            (now != Readiness::Stopping).then(|| (Ok(answer(now)), (health, Some(now))))
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// Two services beside each other: what is asked about health, and the rest.
#[derive(Clone)]
pub struct WithHealth<S, H> {
    pub(super) rest: S,
    pub(super) health: H,
}

impl<S, H, B> Service<axum::http::Request<B>> for WithHealth<S, H>
where
    S: Service<axum::http::Request<B>>,
    H: Service<axum::http::Request<B>, Response = S::Response, Error = S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<H::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match self.health.poll_ready(context) {
            Poll::Ready(Ok(())) => self.rest.poll_ready(context),
            other => other,
        }
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        match request.uri().path().starts_with(PATHS) {
            true => Either::Left(self.health.call(request)),
            false => Either::Right(self.rest.call(request)),
        }
    }
}
