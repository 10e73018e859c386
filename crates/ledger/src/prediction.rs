//! The record of one prediction, as a line of canonical JSON.
//!
//! It says who asked which model for what, who let him, and what became of it. What was asked and answered is not in it: commitments bind
//! it to them for whoever holds the key, and say nothing to anybody else.

use crate::canonical::INTEGER_MAX;
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
use spinwell_core::{Micros, UnixMicros};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result<'a> {
    /// With a prediction.
    Answered,
    /// With a code, which the caller saw.
    Failed(&'a str),
    /// The caller was gone.
    Cancelled,
}

/// A prediction that was asked for. Texts that are `None` or empty, and numbers that are `None`, are left out.
#[derive(Debug, Clone, Copy)]
pub struct Prediction<'a> {
    /// Its number in its writer's log.
    pub number: u64,
    /// The entry with which its writer began.
    pub life: u64,
    /// When its outcome was known, by the writer's clock.
    pub at: UnixMicros,
    /// How long it took.
    pub took: Micros,
    /// Who asked.
    pub principal: &'a str,
    /// The API key with which: its id.
    pub key: &'a str,
    /// Whose data it is.
    pub tenant: &'a str,
    /// The policy that allowed or refused it.
    pub policy: &'a str,
    /// How it arrived.
    pub protocol: &'a str,
    /// The caller's own id of it.
    pub request_id: &'a str,
    /// The trace that it stands in.
    pub trace: &'a str,
    /// The batch call that it came in.
    pub batch_call: &'a str,
    /// The model that was asked for.
    pub model: &'a str,
    /// The version that answered.
    pub version: Option<u64>,
    /// SHA-256 of the model's file.
    pub model_hash: Option<&'a [u8; 32]>,
    /// The arithmetic that answered.
    pub profile: &'a str,
    /// The node that answered.
    pub node: &'a str,
    /// The sequence that it is a step of.
    pub sequence: &'a str,
    /// Its number there; written as text where it is beyond 2^53.
    pub step: Option<u64>,
    /// How it ended.
    pub result: Result<'a>,
    /// The keyed commitment to what was asked.
    pub input: Option<&'a [u8; 32]>,
    /// The keyed commitment to what was answered.
    pub output: Option<&'a [u8; 32]>,
}

impl Prediction<'_> {
    /// Appends its line, without the end of the line.
    pub fn write(&self, line: &mut Vec<u8>) {
        let mut members = Members { line, is_first: true };
        // By name, as canonical JSON has them.
        members.number("at", Some(self.at.0));
        members.text("batch_call", self.batch_call);
        members.bytes("input", self.input);
        members.text("key", self.key);
        members.number("life", Some(self.life));
        members.text("model", self.model);
        members.bytes("model_hash", self.model_hash);
        members.number("n", Some(self.number));
        members.text("node", self.node);
        members.bytes("output", self.output);
        members.text("policy", self.policy);
        members.text("principal", self.principal);
        members.text("profile", self.profile);
        members.text("protocol", self.protocol);
        members.text("request_id", self.request_id);
        members.text(
            "result",
            match self.result {
                Result::Answered => "answered",
                Result::Failed(code) => code,
                Result::Cancelled => "cancelled",
            },
        );
        members.text("sequence", self.sequence);
        members.number("step", self.step);
        members.text("tenant", self.tenant);
        members.number("took", Some(self.took.0));
        members.text("trace", self.trace);
        members.number("version", self.version);
        members.line.push(b'}');
    }
}

/// A batch call has begun or is over: a record beside those of its requests. Counts that are not known yet are left out.
#[derive(Debug, Clone, Copy)]
pub struct BatchCall<'a> {
    /// Its number in its writer's log.
    pub number: u64,
    /// The entry with which its writer began.
    pub life: u64,
    /// When, by the writer's clock.
    pub at: UnixMicros,
    /// What the server calls it.
    pub id: &'a str,
    /// Whether it has begun: else it is over.
    pub has_begun: bool,
    /// Its requests.
    pub requests: u64,
    /// Requests that were answered.
    pub answered: Option<u64>,
    /// Requests that were refused or failed.
    pub failed: Option<u64>,
    /// Requests that were under way when the caller went away.
    pub cancelled: Option<u64>,
}

impl BatchCall<'_> {
    /// Appends its line, without the end of the line.
    pub fn write(&self, line: &mut Vec<u8>) {
        let mut members = Members { line, is_first: true };
        members.number("answered", self.answered);
        members.number("at", Some(self.at.0));
        members.text("batch_call", self.id);
        members.number("cancelled", self.cancelled);
        members.number("failed", self.failed);
        members.number("life", Some(self.life));
        members.number("n", Some(self.number));
        members.text("phase", if self.has_begun { "started" } else { "completed" });
        members.number("requests", Some(self.requests));
        members.line.push(b'}');
    }
}

/// Members of an object on their way into a line.
struct Members<'a> {
    line: &'a mut Vec<u8>,
    is_first: bool,
}

impl Members<'_> {
    fn name(&mut self, name: &str) {
        self.line.push(if std::mem::take(&mut self.is_first) { b'{' } else { b',' });
        self.line.push(b'"');
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, number: Option<u64>) {
        let Some(number) = number else { return };
        // A caller numbers his steps as he likes, and canonical JSON has no larger integers.
        if number > INTEGER_MAX {
            return self.text(name, &number.to_string());
        }
        self.name(name);
        self.line.extend_from_slice(number.to_string().as_bytes());
    }

    fn text(&mut self, name: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.name(name);
        // Nothing that is written to memory fails, and neither does a text.
        let _ = serde_json::to_writer(&mut *self.line, text);
    }

    fn bytes(&mut self, name: &str, bytes: Option<&[u8; 32]>) {
        let Some(bytes) = bytes else { return };
        self.name(name);
        self.line.push(b'"');
        let mut text = [0; 43];
        if let Ok(length) = BASE64_STANDARD_NO_PAD.encode_slice(bytes, &mut text) {
            self.line.extend_from_slice(&text[..length]);
        }
        self.line.push(b'"');
    }
}

/// 32 bytes as a record has them: base64 without padding.
#[must_use]
pub fn bytes_text(bytes: &[u8; 32]) -> String {
    BASE64_STANDARD_NO_PAD.encode(bytes)
}

/// What every record says that is part of a batch: its number, and when it was.
pub(crate) fn number_and_time(line: &[u8]) -> Option<(u64, UnixMicros)> {
    let value = crate::canonical::of_bytes(line)?;
    Some((value.get("n")?.as_u64()?, UnixMicros(value.get("at")?.as_u64()?)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::canonical;
    use serde_json::json;

    pub(crate) fn prediction(number: u64) -> Prediction<'static> {
        Prediction {
            number,
            life: 0,
            at: UnixMicros(1_795_000_000_000_000 + 97 * number),
            took: Micros(700 + number % 89),
            principal: "default/7fq2",
            key: "00ff00ff00ff00ff",
            tenant: "default",
            policy: "predictor",
            protocol: "http_binary",
            request_id: "",
            trace: "",
            batch_call: "",
            model: "taxi",
            version: Some(3),
            model_hash: Some(&[0xab; 32]),
            profile: "cpu-f32",
            node: "n1",
            sequence: "",
            step: None,
            result: Result::Answered,
            input: Some(&[1; 32]),
            output: Some(&[2; 32]),
        }
    }

    #[test]
    fn a_line_is_canonical_whatever_the_texts_hold() {
        let odd = Prediction {
            request_id: "a\"\\\n\u{1}é",
            sequence: "7",
            step: Some(5),
            trace: "00",
            batch_call: "b",
            result: Result::Failed("SPW-QUEUE-FULL"),
            ..prediction(1 << 40)
        };
        let bare =
            Prediction { model: "", version: None, model_hash: None, input: None, output: None, ..odd };
        for (prediction, members) in [(odd, 22), (bare, 17)] {
            let mut line = Vec::new();
            prediction.write(&mut line);
            let value = canonical::of_bytes(&line).unwrap();
            assert_eq!(value.as_object().unwrap().len(), members, "{value}");
            assert_eq!(number_and_time(&line), Some((1 << 40, prediction.at)));
            assert_eq!(value["request_id"], odd.request_id);
        }
        for (step, wanted) in [(1 << 53, json!(1_u64 << 53)), (u64::MAX, json!("18446744073709551615"))] {
            let mut line = Vec::new();
            Prediction { step: Some(step), ..odd }.write(&mut line);
            assert_eq!(canonical::of_bytes(&line).unwrap()["step"], wanted);
        }
        let call = BatchCall {
            number: 7,
            life: 3,
            at: UnixMicros(5),
            id: "b",
            has_begun: false,
            requests: 3,
            answered: Some(2),
            failed: Some(1),
            cancelled: Some(0),
        };
        let begun = BatchCall { has_begun: true, answered: None, failed: None, cancelled: None, ..call };
        for (call, members) in [(call, 9), (begun, 6)] {
            let mut line = Vec::new();
            call.write(&mut line);
            assert_eq!(canonical::of_bytes(&line).unwrap().as_object().unwrap().len(), members);
            assert_eq!(number_and_time(&line), Some((7, UnixMicros(5))));
        }
        assert_eq!(number_and_time(b"{}"), None);
    }
}
