//! The API gateway: the Open Inference Protocol over HTTP and gRPC, and the operations plane.
//!
//! A request is decoded, checked against the model's description, given a deadline, handed over the
//! [`NodeLink`](spinwell_protocol::NodeLink), answered, and **ends in exactly one
//! [`Outcome`](spinwell_core::Outcome)**, whichever way it ends. The gateway knows no node and no engine: it
//! sees only the link.

mod accuracy;
mod agent;
mod api;
mod audit;
mod budget;
mod capacity;
mod cluster;
pub mod commitment;
mod cut_off;
mod door;
#[cfg(test)]
mod example;
mod gateway;
mod grpc;
mod http;
mod load_reports;
mod metrics;
mod ops;
mod readers;
mod record;
mod region;
mod serve;
mod statistics;
mod traces;
mod traffic;

pub use accuracy::LiveAccuracy;
pub use agent::serve as serve_agent;
pub use api::Addresses;
pub use audit::Audit;
pub use cluster::{Cluster, Member, Options as ClusterOptions, Purpose, Routes};
pub use cut_off::watch_nodes;
pub use door::{Door, Proxies, Watch};
pub use gateway::{Gateway, Parts};
pub use grpc::{GrpcEdge, service as grpc_service};
pub use http::router as http_router;
pub use metrics::{ConnectionCounts, Metrics};
pub use ops::router as ops_router;
pub use readers::Readers;
pub use record::OutcomeReader;
pub use serve::{Listening, serve_grpc, serve_http};
pub use spinwell_policy::balance::Strategy;
pub use statistics::Statistics;
pub use traces::Traces;
pub use traffic::{Difference, Missing, Role, SplitAnswer};

/// The version that the server presents.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
