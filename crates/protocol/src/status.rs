//! Our codes as HTTP and gRPC know errors.
//!
//! A status is coarse and a client library may hide it, so the stable code travels beside it: in the JSON
//! body over HTTP, in the trailing metadata over gRPC.

use serde::Serialize;
use spinwell_core::{Blame, Code, Fault};
use tonic::metadata::{MetadataMap, MetadataValue};

/// The trailing metadata that holds the code.
pub const GRPC_CODE_KEY: &str = "spinwell-code";
/// The trailing metadata that says whether to try again.
pub const GRPC_RETRYABLE_KEY: &str = "spinwell-retryable";
/// The trailing metadata that says after how many milliseconds to try again.
pub const GRPC_RETRY_AFTER_KEY: &str = "spinwell-retry-after-ms";

/// The trailing metadata that says which step of a sequence would have been right.
pub const GRPC_EXPECTED_STEP_KEY: &str = "spinwell-expected-step";

/// The HTTP status of a code.
#[must_use]
pub const fn http(code: Code) -> u16 {
    match code {
        Code::ModelNotFound
        | Code::VersionNotFound
        | Code::PathNotFound
        | Code::SequenceUnknown
        | Code::ForecastUnknown
        | Code::ReceiptUnknown
        | Code::NodeUnknown => 404,
        Code::CredentialsMissing | Code::CredentialsRefused => 401,
        Code::NotPermitted => 403,
        Code::MethodNotAllowed => 405,
        Code::BodyTimeout => 408,
        Code::SequenceStep
        | Code::SequenceExists
        | Code::SequenceModel
        | Code::SequenceOvertaken
        | Code::ObservationContradicts
        | Code::OrderOld
        | Code::LastNode => 409,
        Code::SequenceExpired | Code::DataErased => 410,
        Code::BodyTooLarge => 413,
        Code::TensorNotFinite | Code::WindowTooShort => 422,
        Code::QuotaExceeded | Code::CallerHeldBack => 429,
        Code::QueueFull
        | Code::Starting
        | Code::Stopping
        | Code::LogFailed
        | Code::LedgerFailed
        | Code::DatabaseFailed
        | Code::SequenceMoved
        | Code::InsufficientNodes
        | Code::FileUnsettled
        | Code::NodeUnreachable => 503,
        Code::DeadlineExceeded => 504,
        Code::Unreachable => 502,
        other => match other.blame() {
            Blame::Client => 400,
            // A model whose file is broken among them: 503 would say that waiting helps, and many clients send the same
            // again on it by themselves.
            Blame::Service | Blame::Operator => 500,
        },
    }
}

/// The gRPC status of a code.
#[must_use]
pub const fn grpc(code: Code) -> tonic::Code {
    match code {
        Code::ModelNotFound
        | Code::VersionNotFound
        | Code::SequenceUnknown
        | Code::SequenceExpired
        | Code::DataErased
        | Code::ForecastUnknown
        | Code::ReceiptUnknown
        | Code::NodeUnknown => tonic::Code::NotFound,
        Code::CredentialsMissing | Code::CredentialsRefused => tonic::Code::Unauthenticated,
        Code::NotPermitted => tonic::Code::PermissionDenied,
        Code::QuotaExceeded | Code::CallerHeldBack => tonic::Code::ResourceExhausted,
        Code::SequenceExists => tonic::Code::AlreadyExists,
        // gRPC's word for what may be tried again as a whole, and not by whoever passed it on.
        Code::SequenceOvertaken => tonic::Code::Aborted,
        Code::SequenceStep
        | Code::SequenceModel
        | Code::ObservationContradicts
        | Code::OrderOld
        | Code::LastNode => tonic::Code::FailedPrecondition,
        Code::PathNotFound | Code::MethodNotAllowed | Code::NotOffered => tonic::Code::Unimplemented,
        // As the gRPC library itself refuses a message over the limit.
        Code::BodyTooLarge => tonic::Code::OutOfRange,
        Code::DeadlineExceeded | Code::BodyTimeout => tonic::Code::DeadlineExceeded,
        Code::QueueFull
        | Code::Starting
        | Code::Stopping
        | Code::LogFailed
        | Code::LedgerFailed
        | Code::DatabaseFailed
        | Code::SequenceMoved
        | Code::FileUnsettled
        | Code::NodeUnreachable
        | Code::Unreachable => tonic::Code::Unavailable,
        // gRPC's word for what must not be tried again before somebody has mended it.
        Code::FileForeign
        | Code::FileTruncated
        | Code::FileCorrupt
        | Code::FileFromTheFuture
        | Code::TaskMismatch
        | Code::ConfigInvalid
        | Code::Io => tonic::Code::FailedPrecondition,
        other => match other.blame() {
            Blame::Client => tonic::Code::InvalidArgument,
            Blame::Service | Blame::Operator => tonic::Code::Internal,
        },
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    code: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_step: Option<u64>,
}

/// The JSON body of every HTTP answer that is not a 200.
#[must_use]
pub fn error_json(fault: &Fault) -> Vec<u8> {
    let body = ErrorBody {
        error: fault.message(),
        code: fault.code().as_str(),
        retryable: fault.code().retryable(),
        retry_after_ms: fault.retry_after_hint().map(|wait| wait.0),
        expected_step: fault.expected_step_hint(),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The value of `Retry-After`, in whole seconds and never before the hint.
#[must_use]
pub fn retry_after_seconds(fault: &Fault) -> Option<u64> {
    match fault.retry_after_hint() {
        Some(wait) => Some(wait.0.div_ceil(1000).max(1)),
        None => (http(fault.code()) == 503).then_some(1),
    }
}

/// The fault as a gRPC status with its code in the trailing metadata.
#[must_use]
pub fn to_grpc(fault: &Fault) -> tonic::Status {
    let mut metadata = MetadataMap::new();
    let retryable = if fault.code().retryable() { "true" } else { "false" };
    metadata.insert(GRPC_CODE_KEY, MetadataValue::from_static(fault.code().as_str()));
    metadata.insert(GRPC_RETRYABLE_KEY, MetadataValue::from_static(retryable));
    if let Some(wait) = fault.retry_after_hint() {
        metadata.insert(GRPC_RETRY_AFTER_KEY, wait.0.into());
    }
    if let Some(step) = fault.expected_step_hint() {
        metadata.insert(GRPC_EXPECTED_STEP_KEY, step.into());
    }
    tonic::Status::with_metadata(grpc(fault.code()), fault.message(), metadata)
}

/// The code of that name.
#[must_use]
pub fn named(name: &[u8]) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str().as_bytes() == name)
}

/// The code of a status: ours where it carries one, or what the library's stands for.
#[must_use]
pub fn code_of(status: &tonic::Status) -> Code {
    let ours = status.metadata().get(GRPC_CODE_KEY).and_then(|name| named(name.as_bytes()));
    ours.unwrap_or_else(|| from_library(status.code()))
}

/// A status that the gRPC library made of a message that it could not read, as it is sent: the library says that we failed where
/// the caller did.
#[must_use]
pub fn of_unread(status: tonic::Status) -> tonic::Status {
    let is_ours = status.metadata().contains_key(GRPC_CODE_KEY);
    match blamed(status.code()) {
        code if is_ours || code == status.code() => status,
        _ => to_grpc(&Fault::new(from_library(status.code()), status.message())),
    }
}

/// The status in place of one that the gRPC library made: it calls it `INTERNAL` that a message is no protobuf, or not
/// compressed as it says.
#[must_use]
pub const fn blamed(library: tonic::Code) -> tonic::Code {
    match library {
        tonic::Code::Internal => grpc(from_library(library)),
        other => other,
    }
}

/// Our code for a status that the gRPC library made before our own code had a say.
#[must_use]
pub const fn from_library(status: tonic::Code) -> Code {
    match status {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => Code::BodyTooLarge,
        tonic::Code::Unimplemented => Code::NotOffered,
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => Code::DeadlineExceeded,
        _ => Code::RequestInvalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::Millis;

    #[test]
    fn blame_and_status_agree() {
        for &code in Code::ALL {
            let status = http(code);
            match code.blame() {
                Blame::Client => assert!((400..500).contains(&status), "{code}: {status}"),
                Blame::Service | Blame::Operator => assert!((500..600).contains(&status), "{code}: {status}"),
            }
            assert_ne!(grpc(code), tonic::Code::Ok, "{code}");
        }
    }

    #[test]
    fn a_status_that_says_try_later_is_of_a_code_that_says_so_too() {
        for &code in Code::ALL {
            let says_later = http(code) == 503 || grpc(code) == tonic::Code::Unavailable;
            assert!(!says_later || code.retryable(), "{code}: {} {:?}", http(code), grpc(code));
        }
    }

    #[test]
    fn the_body_holds_the_code_and_says_when_to_retry() {
        let fault = Fault::new(Code::QueueFull, "the queue is full").retry_after(Millis(1200));
        let body = String::from_utf8(error_json(&fault)).unwrap();
        assert_eq!(
            body,
            r#"{"error":"the queue is full","code":"SPW-QUEUE-FULL","retryable":true,"retry_after_ms":1200}"#
        );
        assert_eq!(retry_after_seconds(&fault), Some(2));
        assert_eq!(retry_after_seconds(&Fault::new(Code::Stopping, "")), Some(1));
        assert_eq!(retry_after_seconds(&Fault::new(Code::FileCorrupt, "")), None);
    }

    #[test]
    fn grpc_carries_the_code_beside_the_message() {
        let status = to_grpc(&Fault::new(Code::ModelNotFound, "there is no such model"));
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert_eq!(status.message(), "there is no such model");
        assert_eq!(status.metadata().get(GRPC_CODE_KEY).unwrap(), "SPW-MODEL-NOT-FOUND");
        assert_eq!(status.metadata().get(GRPC_RETRYABLE_KEY).unwrap(), "false");
    }
}
