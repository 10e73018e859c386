//! Traces, sent to a collector by OTLP over HTTP.
//!
//! Spans are made of outcomes here, on the reader's thread, and not while a request runs: the request's path carries
//! names and measured times, which it needs anyway.

use super::lane::{Delivery, SlowReader, When};
use super::{Complaint, Event, Record, spans};
use crate::VERSION;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use spinwell_core::{Code, Fault, NodeId};
use spinwell_runtime::clock;
use spinwell_runtime::options::Otlp;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Requests and batch calls in one message to the collector at most.
const RECORDS_A_MESSAGE: u64 = 256;

/// How long a request's spans wait for others to go with.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the collector may take for one message, further tries included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans.
pub(super) struct OtlpReader {
    exporter: SpanExporter,
    runtime: Handle,
    scope: InstrumentationScope,
    spans: Vec<SpanData>,
    /// Requests and batch calls that `spans` tell of.
    records: u64,
    sent: Instant,
    complaint: Complaint,
}

impl OtlpReader {
    /// A reader that sends to the collector from within `runtime`.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] where the endpoint, or what the environment says to OTLP exporters, cannot be used.
    pub(super) fn new(options: &Otlp, node: &NodeId, runtime: Handle) -> Result<Self, Fault> {
        let endpoint = format!("{}/v1/traces", options.endpoint);
        let refused = |error: &dyn std::fmt::Display| {
            Fault::new(
                Code::ConfigInvalid,
                format!("traces cannot be sent to {endpoint} (otlp.endpoint): {error}"),
            )
        };
        // A proxy for the outside world must not come between this process and its collector.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.timeout(TIMEOUT).build().map_err(|error| refused(&error))?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&endpoint)
            .with_timeout(TIMEOUT)
            .with_retry_policy(RetryPolicy::recommended().with_max_retries(1))
            .build()
            .map_err(|error| refused(&error))?;
        let resource = Resource::builder_empty()
            .with_service_name("spinwell")
            .with_attributes([
                KeyValue::new("service.version", VERSION),
                KeyValue::new("service.instance.id", node.0.clone()),
            ])
            .build();
        exporter.set_resource(&resource);
        Ok(Self {
            exporter,
            runtime,
            scope: InstrumentationScope::builder("spinwell").with_version(VERSION).build(),
            spans: Vec::with_capacity(RECORDS_A_MESSAGE as usize * spans::SPANS_MAX),
            records: 0,
            sent: clock::now(),
            complaint: Complaint::default(),
        })
    }
}

impl SlowReader for OtlpReader {
    fn room(&self) -> usize {
        RECORDS_A_MESSAGE.saturating_sub(self.records) as usize
    }

    fn read(&mut self, record: &Record) {
        match &record.event {
            Event::Request(outcome) => self.spans.extend(spans::of(outcome, record.at, &self.scope)),
            Event::BatchCall(call) => self.spans.extend(spans::of_batch_call(call, record.at, &self.scope)),
        }
        self.records += 1;
    }

    fn lost(&mut self, records: u64) {
        if self.complaint.is_due(clock::now()) {
            tracing::warn!(records, "traces were dropped, because the collector is slower than the requests");
        }
    }

    fn deliver(&mut self, when: When) -> Delivery {
        let now = clock::now();
        let waited = now.saturating_duration_since(self.sent);
        let is_due = self.records >= RECORDS_A_MESSAGE || waited >= PATIENCE || when == When::Last;
        if !is_due || self.records == 0 {
            return Delivery::default();
        }
        let records = std::mem::take(&mut self.records);
        let spans = std::mem::take(&mut self.spans);
        let sent = self.runtime.block_on(self.exporter.export(spans));
        self.sent = clock::now();
        match sent {
            Ok(()) => Delivery { delivered: records, failed: 0 },
            Err(error) => {
                if self.complaint.is_due(self.sent) {
                    tracing::warn!(error = error.to_string(), records, "traces could not be sent");
                }
                Delivery { delivered: 0, failed: records }
            }
        }
    }
}
