//! A small client of the inference protocol, for commands with `--url`.
//!
//! It speaks HTTP with binary tensors, which keep every bit of a value, and reads either kind of answer. It
//! turns every error body into a [`Fault`] that names the server's own code, so that the user reads the same
//! message wherever the model runs.

mod answer;
mod control;
mod region;
mod repository;

use crate::connection::{Connection, Server};
use answer::{RemoteClass, RemoteForecast, RemoteVerdict, decode_class, decode_forecast, decode_verdict};
use bytes::Bytes;
pub(crate) use control::{Plan, PlannedNode};
use http_body_util::Full;
use hyper::Request;
pub(crate) use region::{Node, ProcessingCluster, Region};
pub(crate) use repository::Indexed;
use serde_json::{Value, json};
use spinwell_core::{Code, Fault, Samples, Series};
use spinwell_protocol::split_names;
use spinwell_runtime::tls::Spoken;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the server may take. Longer than its own deadline, so that its answer to a late request arrives.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which model to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelRef<'a> {
    /// The model's name.
    pub(crate) name: &'a str,
    /// The version, or the server's default.
    pub(crate) version: Option<u32>,
}

/// A model as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteModel {
    /// Its name.
    pub(crate) name: String,
    /// The versions that the server can answer with.
    pub(crate) versions: Vec<String>,
    /// The platform, such as `spinwell_echo`.
    pub(crate) platform: String,
    /// The names of its outputs.
    pub(crate) outputs: Vec<String>,
    /// Channels, targets, horizon, season, window lengths and more, as text.
    pub(crate) properties: BTreeMap<String, String>,
}

impl RemoteModel {
    /// The names in a comma-separated property, such as `channels` or `targets`.
    #[must_use]
    pub(crate) fn names(&self, property: &str) -> Vec<String> {
        split_names(self.properties.get(property).map(String::as_str).unwrap_or_default())
    }

    /// The whole number in a property, such as `horizon` or `window_recommended`.
    ///
    /// # Errors
    /// Where the server does not say it: it is then no Spinwell server.
    pub(crate) fn number(&self, property: &str) -> Result<usize, Fault> {
        self.properties.get(property).and_then(|text| text.parse().ok()).ok_or_else(|| {
            let message = format!("the server does not tell the {property} of model {}", self.name);
            Fault::new(Code::Unreachable, message)
        })
    }
}

/// The outputs of a forecast model, the last two of which are answered where they are named.
const FORECAST_OUTPUTS: [&str; 5] = ["forecast", "lower", "upper", "direction", "confidence"];

/// The outputs of a classifier.
const CLASS_OUTPUTS: [&str; 2] = ["label", "probabilities"];
/// The outputs of a detector.
const VERDICT_OUTPUTS: [&str; 2] = ["score", "anomaly"];

/// A client of a server. Its methods block.
pub(crate) struct Client {
    server: Server,
    runtime: tokio::runtime::Runtime,
}

/// A request to be sent.
struct Asked {
    method: &'static str,
    path: String,
    /// How much of the body is JSON, where tensors are behind it.
    json_bytes: Option<usize>,
    body: Vec<u8>,
    /// How long the server may take.
    limit: Duration,
}

impl Asked {
    fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), json_bytes: None, body: Vec::new(), limit: TIMEOUT }
    }

    fn post(path: impl Into<String>) -> Self {
        Self { method: "POST", ..Self::get(path) }
    }
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    /// Where it cannot be called so; nothing is sent yet.
    pub(crate) fn new(url: &str, connection: &Connection) -> Result<Self, Fault> {
        let server = connection.server(url, Spoken::Http1)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
        Ok(Self { server, runtime })
    }

    /// What the server says of a model.
    ///
    /// # Errors
    /// The server's own fault, or [`Code::Unreachable`].
    pub(crate) fn metadata(&self, model: &ModelRef<'_>) -> Result<RemoteModel, Fault> {
        let document = self.document(Asked::get(path(model, "")))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let properties = document["properties"].as_object().into_iter().flatten();
        let outputs = document["outputs"].as_array().into_iter().flatten();
        Ok(RemoteModel {
            name: text(&document["name"]),
            versions: document["versions"].as_array().into_iter().flatten().map(text).collect(),
            platform: text(&document["platform"]),
            outputs: outputs.map(|output| text(&output["name"])).collect(),
            properties: properties.map(|(key, value)| (key.clone(), text(value))).collect(),
        })
    }

    /// Forecasts from each window, with everything that a forecast model of the server has among its `outputs`.
    ///
    /// # Errors
    /// The server's own fault, or [`Code::Unreachable`].
    pub(crate) fn forecast(
        &self,
        model: &ModelRef<'_>,
        outputs: &[String],
        series: &Series,
    ) -> Result<RemoteForecast, Fault> {
        let wanted =
            FORECAST_OUTPUTS.into_iter().filter(|name| outputs.iter().any(|offered| offered == name));
        let wanted: Vec<&str> = wanted.collect();
        let (json_bytes, body) = self.infer(model, &wanted, series)?;
        decode_forecast(&body, json_bytes).ok_or_else(|| not_the_protocol("the answer has gaps"))
    }

    /// Classifies one window.
    ///
    /// # Errors
    /// The server's own fault, or [`Code::Unreachable`].
    pub(crate) fn classify(&self, model: &ModelRef<'_>, series: &Series) -> Result<RemoteClass, Fault> {
        let (json_bytes, body) = self.infer(model, &CLASS_OUTPUTS, series)?;
        decode_class(&body, json_bytes).ok_or_else(|| not_the_protocol("the answer has gaps"))
    }

    /// Judges the last row of one window.
    ///
    /// # Errors
    /// The server's own fault, or [`Code::Unreachable`].
    pub(crate) fn judge(&self, model: &ModelRef<'_>, series: &Series) -> Result<RemoteVerdict, Fault> {
        let (json_bytes, body) = self.infer(model, &VERDICT_OUTPUTS, series)?;
        decode_verdict(&body, json_bytes).ok_or_else(|| not_the_protocol("the answer has gaps"))
    }

    /// Sends an inference request; gives the length of the answer's JSON and the answer.
    fn infer(
        &self,
        model: &ModelRef<'_>,
        outputs: &[&str],
        series: &Series,
    ) -> Result<(usize, Vec<u8>), Fault> {
        let (json_bytes, body) = binary_body(series, outputs);
        let asked = Asked { json_bytes: Some(json_bytes), body, ..Asked::post(path(model, "/infer")) };
        let (json_bytes, body) = self.send(asked)?;
        Ok((json_bytes.unwrap_or(body.len()), body))
    }

    /// The receipt of that id, as its file's text.
    ///
    /// # Errors
    /// Where the server has none, or cannot be reached.
    pub(crate) fn receipt(&self, id: &str) -> Result<String, Fault> {
        let (_, body) = self.send(Asked::get(format!("/v1/receipts/{id}")))?;
        String::from_utf8(body).map_err(|_| not_the_protocol("the receipt is no text"))
    }

    /// Sends a request; gives the length of the answer's JSON, where its header says it, and the answer.
    fn send(&self, asked: Asked) -> Result<(Option<usize>, Vec<u8>), Fault> {
        let mut head = self.server.head(asked.method, &asked.path);
        if let Some(bytes) = asked.json_bytes {
            let names = ("content-type", "inference-header-content-length");
            head = head.header(names.0, "application/octet-stream").header(names.1, bytes);
        }
        let request: Result<Request<_>, _> = head.body(Full::new(Bytes::from(asked.body)));
        let request = request.map_err(|_| {
            Fault::new(
                Code::OptionInvalid,
                format!("{:?} cannot be asked for: is the name right?", asked.path),
            )
        })?;
        let (status, headers, body) = self.runtime.block_on(self.server.exchange(request, asked.limit))?;
        let header = headers.get("inference-header-content-length");
        let json_bytes = header.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        if status == 200 { Ok((json_bytes, body.to_vec())) } else { Err(fault_of(status.as_u16(), &body)) }
    }

    /// The answer to a request, as JSON.
    fn document(&self, asked: Asked) -> Result<Value, Fault> {
        let (_, body) = self.send(asked)?;
        serde_json::from_slice(&body).map_err(|error| not_the_protocol(&error.to_string()))
    }
}

/// The path of a model, or of what is behind it.
fn path(model: &ModelRef<'_>, rest: &str) -> String {
    let version = model.version.map(|version| format!("/versions/{version}")).unwrap_or_default();
    format!("/v2/models/{}{version}{rest}", model.name)
}

/// The server's own fault, from the body of an answer that is not a 200.
pub(crate) fn fault_of(status: u16, body: &[u8]) -> Fault {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = document["error"].as_str().map_or_else(
        || format!("the server answered with status {status} and no message"),
        |text| format!("{text} (status {status})"),
    );
    let named =
        document["code"].as_str().and_then(|text| Code::ALL.iter().find(|code| code.as_str() == text));
    Fault::new(named.copied().unwrap_or(Code::Unreachable), message)
}

fn not_the_protocol(why: &str) -> Fault {
    Fault::new(Code::Unreachable, format!("the server does not speak the Open Inference Protocol: {why}"))
}

/// A request with its tensor as bytes, and how much of it is JSON.
fn binary_body(series: &Series, outputs: &[&str]) -> (usize, Vec<u8>) {
    let (datatype, bytes): (_, Vec<u8>) = match series.samples() {
        Samples::F32(values) => ("FP32", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Samples::F64(values) => ("FP64", values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    };
    let input = json!({
        "name": "series",
        "shape": [series.batch(), series.rows(), series.channels()],
        "datatype": datatype,
        "parameters": {"binary_data_size": bytes.len()},
    });
    let outputs: Vec<Value> = outputs.iter().map(|name| json!({"name": name})).collect();
    let head = json!({"parameters": {"binary_data_output": true}, "inputs": [input], "outputs": outputs});
    let mut body = head.to_string().into_bytes();
    let json_bytes = body.len();
    body.extend_from_slice(&bytes);
    (json_bytes, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Series {
        Series::new(1, 2, 1, Samples::F32(vec![0.1, 2.0])).unwrap()
    }

    #[test]
    fn the_body_is_what_the_protocol_says() {
        let (json_bytes, body) = binary_body(&series(), &["forecast", "lower"]);
        let json: Value = serde_json::from_slice(&body[..json_bytes]).unwrap();
        let wanted = json!({"parameters": {"binary_data_output": true}, "inputs": [
            {"name": "series", "shape": [1, 2, 1], "datatype": "FP32", "parameters": {"binary_data_size": 8}}],
            "outputs": [{"name": "forecast"}, {"name": "lower"}]});
        assert_eq!(json, wanted);
        assert_eq!(body[json_bytes..], [0.1_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat());
    }

    #[test]
    fn an_error_body_becomes_the_server_s_own_fault() {
        let ours =
            fault_of(404, br#"{"error":"there is no model","code":"SPW-MODEL-NOT-FOUND","retryable":false}"#);
        assert_eq!((ours.code(), ours.message()), (Code::ModelNotFound, "there is no model (status 404)"));
        let theirs = fault_of(400, br#"{"error":"unexpected shape"}"#);
        assert_eq!((theirs.code(), theirs.message()), (Code::Unreachable, "unexpected shape (status 400)"));
        assert_eq!(fault_of(502, b"<html>").message(), "the server answered with status 502 and no message");
    }
}
