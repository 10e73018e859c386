//! Requests over gRPC, several on a connection.

use super::tally::{Ended, Failure};
use super::work::{Subject, little_endian};
use crate::connection::Server;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use spinwell_core::{Code, Fault};
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::grpc::wire::model_infer_request::InferInputTensor;
use spinwell_protocol::grpc::wire::{ModelInferRequest, ModelMetadataRequest, ModelMetadataResponse};
use spinwell_protocol::status::GRPC_CODE_KEY;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};

/// Requests that are made before the run; callers go round them.
const REQUESTS: u64 = 64;
/// The largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A client of the service.
pub(crate) type Client = GrpcInferenceServiceClient<InterceptedService<Channel, Bearer>>;

/// Says with each request who asks, where somebody does.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn of(server: &Server) -> Self {
        let value = server.authorization().and_then(|value| MetadataValue::try_from(value.as_bytes()).ok());
        Self(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Opens a connection.
///
/// # Errors
/// [`Code::Unreachable`], or why the server is not trusted.
pub(crate) async fn connect(server: &Server) -> Result<Client, Fault> {
    let failed = |error: tonic::transport::Error| unreachable(server, &error);
    let authority = server.authority();
    // The handshake is ours; to the library the connection is in the clear.
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(failed)?;
    let scheme = if server.is_encrypted() { "https" } else { "http" };
    let origin = format!("{scheme}://{authority}").parse::<Uri>();
    let origin = origin.map_err(|error| Fault::new(Code::OptionInvalid, error.to_string()))?;
    let endpoint = endpoint.origin(origin).connect_timeout(Duration::from_secs(5));
    let called = server.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let server = called.clone();
        async move { server.open().await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(failed)?;
    let client = Client::new(InterceptedService::new(channel, Bearer::of(server)));
    Ok(client.max_decoding_message_size(ANSWER_BYTES_MAX))
}

/// Our own words where the connection could not be opened, else those of the library.
fn unreachable(server: &Server, error: &tonic::transport::Error) -> Fault {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    match causes.filter_map(|cause| cause.downcast_ref::<Fault>()).next() {
        Some(fault) => fault.clone(),
        None => {
            let (shown, why) = (server.shown(), spinwell_runtime::telemetry::chain(error));
            Fault::new(Code::Unreachable, format!("{shown} cannot be reached over gRPC: {why}"))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::example;
    use spinwell_runtime::tls::Spoken;

    #[test]
    fn every_request_says_who_asks() {
        let said = |token: &str| {
            let server = example(token).server("127.0.0.1:1", Spoken::Http2).unwrap();
            let request = Bearer::of(&server).call(tonic::Request::new(())).unwrap();
            request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(said("spw_a1_b2").as_deref(), Some("Bearer spw_a1_b2"));
        assert_eq!(said(""), None);
    }
}
