//! Requests over HTTP/1.1: JSON, binary tensors, or the batch call, each caller on a connection of its own.

use super::tally::{Ended, Failure};
use super::work::{Subject, little_endian};
use crate::connection::Server;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_protocol::grpc::wire::ModelMetadataResponse;
use spinwell_protocol::grpc::wire::model_metadata_response::TensorMetadata;
use std::sync::Arc;
use std::time::Duration;

/// Bodies that are made before the run, so that making them is not measured; callers go round them.
const BODIES: u64 = 64;
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An inference request in JSON.
    Json,
    /// An inference request with its tensor as bytes, answered in the same way.
    Binary,
    /// A batch call of one-window requests.
    Batch,
}

/// The bodies of a run and where they go.
#[derive(Debug)]
pub(crate) struct Posts {
    kind: Kind,
    server: Server,
    path: String,
    windows: u64,
    /// Bodies with the length of their JSON.
    bodies: Vec<(Bytes, usize)>,
}

impl Posts {
    /// Makes the bodies.
    pub(crate) fn new(kind: Kind, server: Server, subject: &Subject) -> Arc<Self> {
        let path = match kind {
            Kind::Json | Kind::Binary => subject.infer_path(),
            Kind::Batch => "/v1/predictions".to_owned(),
        };
        let bodies = (0..BODIES).map(|number| body(kind, subject, number)).collect();
        Arc::new(Self { kind, server, path, windows: subject.windows as u64, bodies })
    }

    fn request(&self, number: u64) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let place = usize::try_from(number % BODIES).unwrap_or(0);
        let (body, json_bytes) = self.bodies[place].clone();
        let mut request = self.server.head("POST", &self.path);
        request = match self.kind {
            Kind::Binary => request
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header("inference-header-content-length", json_bytes),
            Kind::Json | Kind::Batch => request.header(header::CONTENT_TYPE, "application/json"),
        };
        request.body(Full::new(body))
    }
}

fn body(kind: Kind, subject: &Subject, number: u64) -> (Bytes, usize) {
    let shape = [subject.windows, subject.rows, subject.channels];
    let input = |key: &str, value: Value| json!({"name": subject.input, "shape": shape, "datatype": "FP32", key: value});
    let values = subject.values(number, subject.windows);
    let mut bytes = match kind {
        Kind::Json => json!({"inputs": [input("data", json!(values))]}).to_string(),
        Kind::Binary => {
            let size = json!({"binary_data_size": values.len() * size_of::<f32>()});
            json!({"parameters": {"binary_data_output": true}, "inputs": [input("parameters", size)]})
                .to_string()
        }
        Kind::Batch => {
            let window =
                |values: &[f32]| values.chunks(subject.channels).map(<[f32]>::to_vec).collect::<Vec<_>>();
            let windows = values.chunks(subject.rows * subject.channels).enumerate();
            let one = |(index, values): (usize, &[f32])| {
                let mut one =
                    json!({"id": index.to_string(), "model": subject.name, "series": window(values)});
                if let Some(version) = subject.version {
                    one["version"] = json!(version.to_string());
                }
                one
            };
            json!({"requests": windows.map(one).collect::<Vec<_>>()}).to_string()
        }
    }
    .into_bytes();
    let json_bytes = bytes.len();
    if kind == Kind::Binary {
        bytes.extend(little_endian(&values));
    }
    (bytes.into(), json_bytes)
}

/// What the server says of a model.
///
/// # Errors
/// The server's own fault, or [`Code::Unreachable`].
pub(crate) async fn metadata(
    server: &Server,
    name: &str,
    version: Option<u32>,
) -> Result<ModelMetadataResponse, Fault> {
    let version = version.map(|version| format!("/versions/{version}")).unwrap_or_default();
    let page = page(server, &format!("/v2/models/{name}{version}")).await?;
    let document: Value = serde_json::from_str(&page).map_err(|error| {
        Fault::new(Code::Unreachable, format!("{} answers no JSON: {error}", server.shown()))
    })?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let inputs = document["inputs"].as_array().into_iter().flatten().map(|input| TensorMetadata {
        name: text(&input["name"]),
        datatype: text(&input["datatype"]),
        shape: input["shape"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect(),
    });
    let properties = document["properties"].as_object().into_iter().flatten();
    Ok(ModelMetadataResponse {
        name: text(&document["name"]),
        inputs: inputs.collect(),
        properties: properties.map(|(key, value)| (key.clone(), text(value))).collect(),
        ..ModelMetadataResponse::default()
    })
}

/// Gets a page.
///
/// # Errors
/// The server's own fault, or [`Code::Unreachable`].
pub(crate) async fn page(server: &Server, path: &str) -> Result<String, Fault> {
    let request = server.head("GET", path).body(Full::default()).map_err(|_| {
        Fault::new(Code::OptionInvalid, format!("{path:?} cannot be asked for: is the model's name right?"))
    })?;
    let (status, _, body) = server.exchange(request, PAGE_TIMEOUT).await?;
    if status != StatusCode::OK {
        return Err(crate::client::fault_of(status.as_u16(), &body));
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// A caller with a connection, which is opened again where the server closes it.
#[derive(Debug)]
pub(crate) struct HttpCaller {
    posts: Arc<Posts>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpCaller {
    pub(crate) fn new(posts: Arc<Posts>) -> Self {
        Self { posts, connection: None }
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn call(&mut self, number: u64) -> Ended {
        match self.exchange(number).await {
            Ok((StatusCode::OK, body)) => self.answered(&body),
            Ok((status, body)) => Ended::Failed(failure_of(status, &body)),
            Err(what) => {
                self.connection = None;
                Ended::Failed(Failure::of_client(what))
            }
        }
    }

    async fn exchange(&mut self, number: u64) -> Result<(StatusCode, Bytes), &'static str> {
        let request = self.posts.request(number).map_err(|_| "client-request")?;
        let connection = self.connection().await?;
        let response = connection.send_request(request).await.map_err(|_| "client-connection-lost")?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|_| "client-answer-cut-off")?;
        Ok((status, body.to_bytes()))
    }

    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, &'static str> {
        if let Some(mut sender) = self.connection.take()
            && sender.ready().await.is_ok()
        {
            return Ok(self.connection.insert(sender));
        }
        let sender = self.posts.server.requests().await.map_err(|_| "client-connect")?;
        Ok(self.connection.insert(sender))
    }

    fn answered(&self, body: &[u8]) -> Ended {
        if self.posts.kind != Kind::Batch {
            return Ended::Answered { predictions: self.posts.windows, refused: Vec::new() };
        }
        let Ok(answer) = serde_json::from_slice::<BatchAnswer>(body) else {
            return Ended::Failed(Failure::of_client("client-answer-unreadable"));
        };
        let refused = answer.results.into_iter().filter(|one| one.status != 200);
        let refused: Vec<Failure> = refused.map(|one| Failure::new(one.code, one.error)).collect();
        Ended::Answered { predictions: self.posts.windows - refused.len() as u64, refused }
    }
}

/// What is read of a batch call's answer.
#[derive(Deserialize)]
struct BatchAnswer {
    results: Vec<BatchResult>,
}

#[derive(Deserialize)]
struct BatchResult {
    status: u16,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
}

/// The server's own code, or its status where it names none, and its words.
fn failure_of(status: StatusCode, body: &[u8]) -> Failure {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = document["code"].as_str().map_or_else(|| format!("http-{}", status.as_u16()), str::to_owned);
    Failure::new(code, document["error"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::work::example;
    use super::*;
    use crate::connection::Connection;
    use spinwell_runtime::tls::Spoken;

    #[test]
    fn bodies_are_what_the_protocol_says() {
        let subject = example();
        let (json, json_bytes) = body(Kind::Json, &subject, 1);
        let document: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json_bytes, json.len());
        assert_eq!(document["inputs"][0]["shape"], json!([4, 3, 2]));
        assert_eq!(document["inputs"][0]["data"].as_array().unwrap().len(), 24);
        let (binary, json_bytes) = body(Kind::Binary, &subject, 1);
        assert_eq!(binary.len() - json_bytes, 24 * 4);
        let document: Value = serde_json::from_slice(&binary[..json_bytes]).unwrap();
        assert_eq!(document["inputs"][0]["parameters"]["binary_data_size"], 96);
        let (batch, _) = body(Kind::Batch, &subject, 1);
        let document: Value = serde_json::from_slice(&batch).unwrap();
        assert_eq!(document["requests"].as_array().unwrap().len(), 4);
        assert_eq!(document["requests"][3]["series"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn the_items_of_a_batch_call_are_counted_one_by_one() {
        let server = Connection::default().server("127.0.0.1:1", Spoken::Http1).unwrap();
        let caller = HttpCaller::new(Posts::new(Kind::Batch, server, &example()));
        let body = json!({"results": [{"status": 200}, {"status": 503, "code": "SPW-QUEUE-FULL", "error": "full"}, {"status": 200},
            {"status": 200}]});
        let wanted =
            Ended::Answered { predictions: 3, refused: vec![Failure::new("SPW-QUEUE-FULL", "full")] };
        assert_eq!(caller.answered(body.to_string().as_bytes()), wanted);
        assert_eq!(failure_of(StatusCode::BAD_GATEWAY, b"<html>"), Failure::of_client("http-502"));
    }
}
