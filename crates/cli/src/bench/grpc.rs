//! Requests over gRPC, several on a connection.

use super::tally::{Ended, Failure};
use super::work::{Subject, little_endian};
use bytes::Bytes;
use spinwell_core::{Code, Fault};
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::grpc::wire::model_infer_request::InferInputTensor;
use spinwell_protocol::grpc::wire::{ModelInferRequest, ModelMetadataRequest, ModelMetadataResponse};
use spinwell_protocol::status::GRPC_CODE_KEY;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// Requests that are made before the run; callers go round them.
const REQUESTS: u64 = 64;
/// The largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A client of the service.
pub(crate) type Client = GrpcInferenceServiceClient<Channel>;

/// Opens a connection.
///
/// # Errors
/// [`Code::Unreachable`].
pub(crate) async fn connect(authority: &str) -> Result<Client, Fault> {
    let failed = |error: tonic::transport::Error| {
        let why = spinwell_runtime::telemetry::chain(&error);
        Fault::new(Code::Unreachable, format!("{authority} cannot be reached over gRPC: {why}"))
    };
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(failed)?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(failed)?;
    Ok(Client::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
}

/// What the server says of a model.
///
/// # Errors
/// The server's own fault.
pub(crate) async fn metadata(
    client: &mut Client,
    name: &str,
    version: &str,
) -> Result<ModelMetadataResponse, Fault> {
    let request = ModelMetadataRequest { name: name.to_owned(), version: version.to_owned() };
    let response = client.model_metadata(request).await.map_err(|status| {
        match Code::ALL.iter().find(|code| code.as_str() == code_of(&status)) {
            Some(code) => Fault::new(*code, status.message()),
            None => Fault::new(
                Code::Unreachable,
                format!(
                    "no answer over gRPC ({}); with --protocol grpc and sequence, --url must be the server's gRPC address",
                    status.message()
                ),
            ),
        }
    })?;
    Ok(response.into_inner())
}

/// A request with these values.
pub(crate) fn request(subject: &Subject, values: &[f32], rows: usize) -> ModelInferRequest {
    let windows = values.len() / (rows * subject.channels);
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    ModelInferRequest {
        model_name: subject.name.clone(),
        model_version: subject.version_text(),
        inputs: vec![InferInputTensor {
            name: subject.input.clone(),
            datatype: "FP32".to_owned(),
            shape: vec![size(windows), size(rows), size(subject.channels)],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![Bytes::from(little_endian(values))],
        ..ModelInferRequest::default()
    }
}

/// The requests of a run.
pub(crate) fn requests(subject: &Subject) -> Arc<[ModelInferRequest]> {
    (0..REQUESTS)
        .map(|number| request(subject, &subject.values(number, subject.windows), subject.rows))
        .collect()
}

/// A caller that shares a connection with others.
#[derive(Debug)]
pub(crate) struct GrpcCaller {
    client: Client,
    requests: Arc<[ModelInferRequest]>,
    windows: u64,
}

impl GrpcCaller {
    pub(crate) fn new(client: Client, requests: Arc<[ModelInferRequest]>, windows: usize) -> Self {
        Self { client, requests, windows: windows as u64 }
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn call(&mut self, number: u64) -> Ended {
        let place = usize::try_from(number % REQUESTS).unwrap_or(0);
        match self.client.model_infer(self.requests[place].clone()).await {
            Ok(_) => Ended::Answered { predictions: self.windows, refused: Vec::new() },
            Err(status) => Ended::Failed(Failure::new(code_of(&status), status.message())),
        }
    }
}

/// The server's own code, or the name of the gRPC status where it names none.
pub(crate) fn code_of(status: &Status) -> &str {
    let own = status.metadata().get(GRPC_CODE_KEY).and_then(|value| value.to_str().ok());
    own.unwrap_or(match status.code() {
        tonic::Code::Unavailable => "grpc-unavailable",
        tonic::Code::Unknown => "grpc-unknown",
        tonic::Code::Cancelled => "grpc-cancelled",
        tonic::Code::DeadlineExceeded => "grpc-deadline-exceeded",
        tonic::Code::ResourceExhausted => "grpc-resource-exhausted",
        tonic::Code::Internal => "grpc-internal",
        _ => "grpc-error",
    })
}
