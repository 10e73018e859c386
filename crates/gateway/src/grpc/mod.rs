//! The protocol over gRPC.

mod body;
mod edge;
mod health;
mod metered;
mod reported;
mod service;
mod timeout;

pub use edge::GrpcEdge;

use crate::Gateway;
use health::{Healthy, WithHealth};
use service::Service;
use spinwell_protocol::grpc::wire::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::{Health, HealthServer};

/// Room for what stands around the tensors in a message.
const ENVELOPE_BYTES: usize = 64 * 1024;

/// The inference plane over gRPC, as it is within its edge.
type Plane<S, H> = WithHealth<GrpcInferenceServiceServer<S>, HealthServer<H>>;

/// The inference plane over gRPC, to be called as a function or served.
#[must_use]
pub fn service(gateway: Gateway) -> GrpcEdge<Plane<impl GrpcInferenceService, impl Health>> {
    let bytes_max = gateway.limits().body_bytes.saturating_add(ENVELOPE_BYTES);
    let mut server =
        GrpcInferenceServiceServer::new(Service::new(gateway.clone())).max_decoding_message_size(bytes_max);
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        server = server.accept_compressed(encoding).send_compressed(encoding);
    }
    let health = HealthServer::new(Healthy(gateway.clone()));
    GrpcEdge::new(gateway, WithHealth { rest: server, health })
}

#[cfg(test)]
mod tests;
