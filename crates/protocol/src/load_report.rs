//! Load reports in the form that balancers read: ORCA (Open Request Cost Aggregation, xds.data.orca.v3).
//!
//! A caller who asks for one gets it with his answer: over HTTP in the header [`REPORT`], over gRPC in the trailer
//! [`REPORT_BINARY`]. Texts are written as Triton and vLLM write them, with `=` between name and value. Envoy's parser wants a
//! colon there, so whoever reports to Envoy takes JSON or bytes, which all of them read alike.

use prost::Message;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The messages as generated from `proto/orca.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod wire {
    tonic::include_proto!("xds.data.orca.v3");
}

/// The header in which a caller asks for a report, and in which form.
pub const FORMAT: &str = "endpoint-load-metrics-format";
/// The header of an HTTP answer that holds the report.
pub const REPORT: &str = "endpoint-load-metrics";
/// The trailer of a gRPC answer that holds the report.
pub const REPORT_BINARY: &str = "endpoint-load-metrics-bin";

/// In which form a report is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Names and values.
    Text,
    /// One JSON object.
    Json,
    /// The serialised message.
    Binary,
}

impl Format {
    /// The form that a caller names, in capital letters or small ones.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let all = [Self::Text, Self::Json, Self::Binary];
        all.into_iter().find(|format| format.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The word for it, with which a report over HTTP begins.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Json => "JSON",
            Self::Binary => "BIN",
        }
    }
}

/// How busy a server is. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadReport {
    /// The share of the machine's processors in use.
    pub cpu_utilization: Option<f64>,
    /// The share of the machine's memory in use.
    pub mem_utilization: Option<f64>,
    /// How much of what the server can do at once it does: above 1, requests wait.
    pub application_utilization: Option<f64>,
    /// Requests that ended, a second.
    pub rps_fractional: f64,
    /// Of these, requests that failed.
    pub eps: f64,
    /// Whatever else is worth knowing; names of ASCII letters, digits and `_`.
    pub named_metrics: Vec<(&'static str, f64)>,
}

impl LoadReport {
    /// The value of the header over HTTP.
    #[must_use]
    pub fn header(&self, format: Format) -> String {
        let report = match format {
            Format::Text => self.text(),
            Format::Json => self.json().to_string(),
            Format::Binary => base64(&self.bytes()),
        };
        format!("{} {report}", format.as_str())
    }

    /// The value of the trailer over gRPC: the bytes in base64, as gRPC has it for every key that ends so.
    #[must_use]
    pub fn trailer(&self) -> String {
        base64(&self.bytes())
    }

    /// The report as the serialised message.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let named = self.named_metrics.iter().map(|(name, value)| ((*name).to_owned(), *value));
        let report = wire::OrcaLoadReport {
            cpu_utilization: self.cpu_utilization.unwrap_or_default(),
            mem_utilization: self.mem_utilization.unwrap_or_default(),
            application_utilization: self.application_utilization.unwrap_or_default(),
            rps_fractional: self.rps_fractional,
            eps: self.eps,
            named_metrics: named.collect(),
            ..wire::OrcaLoadReport::default()
        };
        report.encode_to_vec()
    }

    /// The figures that are known and no named metrics, in the order of the message.
    fn figures(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("cpu_utilization", self.cpu_utilization),
            ("mem_utilization", self.mem_utilization),
            ("rps_fractional", Some(self.rps_fractional)),
            ("eps", Some(self.eps)),
            ("application_utilization", self.application_utilization),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, rounded(value?))))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let named = self.named_metrics.iter().map(|(name, value)| ("named_metrics.", *name, rounded(*value)));
        for (prefix, name, value) in self.figures().map(|(name, value)| ("", name, value)).chain(named) {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{prefix}{name}={value}");
        }
        text
    }

    fn json(&self) -> Value {
        let mut report: Map<String, Value> =
            self.figures().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let named =
            self.named_metrics.iter().map(|(name, value)| ((*name).to_owned(), json!(rounded(*value))));
        report.insert("named_metrics".to_owned(), Value::Object(named.collect()));
        Value::Object(report)
    }
}

/// Four digits behind the point: more than any of these figures is exact to.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The standard alphabet, with padding: there are readers that insist on it.
fn base64(bytes: &[u8]) -> String {
    let value = tonic::metadata::BinaryMetadataValue::from_bytes(bytes);
    let mut text = String::from_utf8_lossy(value.as_encoded_bytes()).into_owned();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> LoadReport {
        LoadReport {
            cpu_utilization: Some(0.3),
            mem_utilization: Some(0.800_04),
            application_utilization: Some(1.5),
            rps_fractional: 10.25,
            eps: 1.0,
            named_metrics: vec![("queue_len", 7.0)],
        }
    }

    #[test]
    fn a_report_reads_the_same_in_every_form() {
        let text = "TEXT cpu_utilization=0.3, mem_utilization=0.8, rps_fractional=10.25, eps=1, \
                    application_utilization=1.5, named_metrics.queue_len=7";
        assert_eq!(report().header(Format::Text), text);
        let json = report().header(Format::Json);
        let json: Value = serde_json::from_str(json.strip_prefix("JSON ").unwrap()).unwrap();
        let wanted = json!({"cpu_utilization": 0.3, "mem_utilization": 0.8, "rps_fractional": 10.25, "eps": 1.0,
            "application_utilization": 1.5, "named_metrics": {"queue_len": 7.0}});
        assert_eq!(json, wanted);
        let told = wire::OrcaLoadReport::decode(report().bytes().as_slice()).unwrap();
        assert_eq!((told.cpu_utilization, told.rps, told.named_metrics["queue_len"]), (0.3, 0, 7.0));
        let binary = report().header(Format::Binary);
        assert_eq!(binary, format!("BIN {}", report().trailer()));
        assert_eq!(report().trailer().len() % 4, 0);
    }

    /// The numbers of the fields are those of everybody else's message.
    #[test]
    fn the_bytes_are_those_of_the_public_message() {
        let eighth = LoadReport { cpu_utilization: Some(0.5), ..LoadReport::default() };
        assert_eq!(eighth.bytes(), [&[1 << 3 | 1][..], &0.5_f64.to_le_bytes()].concat());
        let application = LoadReport { application_utilization: Some(0.5), ..LoadReport::default() };
        assert_eq!(application.bytes(), [&[9 << 3 | 1][..], &0.5_f64.to_le_bytes()].concat());
        let rates = LoadReport { rps_fractional: 2.0, eps: 1.0, ..LoadReport::default() };
        let wanted =
            [&[6 << 3 | 1][..], &2.0_f64.to_le_bytes(), &[7 << 3 | 1], &1.0_f64.to_le_bytes()].concat();
        assert_eq!(rates.bytes(), wanted);
        let named = LoadReport { named_metrics: vec![("q", 1.0)], ..LoadReport::default() };
        let entry = [&[1 << 3 | 2, 1, b'q', 2 << 3 | 1][..], &1.0_f64.to_le_bytes()].concat();
        assert_eq!(named.bytes(), [&[8 << 3 | 2, entry.len() as u8][..], &entry].concat());
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let nothing = LoadReport::default();
        assert_eq!(nothing.header(Format::Text), "TEXT rps_fractional=0, eps=0");
        assert!(nothing.bytes().is_empty());
        assert_eq!(nothing.header(Format::Binary), "BIN ");
    }

    #[test]
    fn forms_have_names_in_any_letters() {
        for (text, wanted) in [
            ("TEXT", Some(Format::Text)),
            ("json", Some(Format::Json)),
            (" Bin ", Some(Format::Binary)),
            ("", None),
            ("yaml", None),
        ] {
            assert_eq!(Format::named(text), wanted, "{text:?}");
        }
    }
}
