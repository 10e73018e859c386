//! Answers. Whatever is not a 200 carries our error JSON, unknown paths and wrong methods included.

use super::coding::Coding;
use crate::door::Coded;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use spinwell_core::{Code, Fault};
use spinwell_protocol::{StateAnswer, rest, status};

static JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How callers show who they are (RFC 6750).
static BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"spinwell\"");
static BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
static HEADER_LENGTH: HeaderName = HeaderName::from_static(rest::HEADER_LENGTH);
/// The newest step in a state.
static SEQUENCE_STEP: HeaderName = HeaderName::from_static("spinwell-sequence-step");

/// A 200 with a JSON document.
pub(crate) fn json_response(document: &serde_json::Value) -> Response {
    with_body(document.to_string(), JSON.clone())
}

/// A 200 with a JSON document that is text already.
pub(super) fn json_text_response(document: String) -> Response {
    with_body(document, JSON.clone())
}

/// A 200 with nothing in it.
pub(super) fn empty_response() -> Response {
    // Without a type: no bytes are no JSON.
    Response::new(Body::empty())
}

/// A 200 with the state of a sequence.
pub(super) fn state_response(answer: StateAnswer) -> Response {
    let mut response = with_body(answer.state, BINARY.clone());
    response.headers_mut().insert(SEQUENCE_STEP.clone(), answer.step.into());
    response
}

/// A 200 with an inference answer.
pub(super) fn inference_response(encoded: rest::Encoded, coding: Option<Coding>) -> Response {
    let mut response = compressed_response(encoded.body, coding);
    if let Some(json_bytes) = encoded.json_bytes {
        // The length before compression, as clients count after undoing it.
        response.headers_mut().insert(HEADER_LENGTH.clone(), json_bytes.into());
        response.headers_mut().insert(CONTENT_TYPE, BINARY.clone());
    }
    response
}

/// A 200 with a JSON document that is text already and that anybody may keep, compressed as the request's headers say.
pub(crate) fn negotiated(document: impl Into<Bytes>, headers: &HeaderMap) -> Response {
    let mut response = compressed_response(document, Coding::for_answer(headers));
    // Also where it is not compressed: who keeps it must not hand it to a caller who takes another coding, or none.
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// A 200 with a JSON document, compressed as the caller takes it where that is worth it.
pub(super) fn compressed_response(document: impl Into<Bytes>, coding: Option<Coding>) -> Response {
    let document = document.into();
    let Some(coding) = coding else { return with_body(document, JSON.clone()) };
    let mut response = match coding.make(&document) {
        None => with_body(document, JSON.clone()),
        Some(made) => {
            let mut response = with_body(made, JSON.clone());
            response.headers_mut().insert(CONTENT_ENCODING, coding.header());
            response
        }
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// The answer to a request that failed.
pub(crate) fn fault_response(fault: &Fault) -> Response {
    let mut response = with_body(status::error_json(fault), JSON.clone());
    let status = status::http(fault.code());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(Coded(fault.code()));
    if matches!(fault.code(), Code::CredentialsMissing | Code::CredentialsRefused) {
        response.headers_mut().insert(WWW_AUTHENTICATE, BEARER.clone());
    }
    if let Some(seconds) = status::retry_after_seconds(fault) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if matches!(fault.code(), Code::BodyTooLarge | Code::BodyTimeout) {
        // The rest of the body is not read, so the connection cannot be used again.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to a request that failed, whose body may have had a coding that is not known here: that has a status of its own.
pub(super) fn coded_fault_response(fault: &Fault, has_unknown_coding: bool) -> Response {
    let mut response = fault_response(fault);
    if has_unknown_coding && fault.code() == Code::NotOffered {
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    response
}

/// The answer to a path that does not exist.
pub(crate) async fn path_not_found(request: Request) -> Response {
    let message = format!("there is nothing at {}", shortened(request.uri().path()));
    fault_response(&Fault::new(Code::PathNotFound, message))
}

/// The answer to a method that a path does not have; the router adds `Allow`.
pub(crate) async fn method_not_allowed(request: Request) -> Response {
    let message = format!(
        "{} is not offered at {}; the Allow header says what is",
        shortened(request.method().as_str()),
        shortened(request.uri().path())
    );
    fault_response(&Fault::new(Code::MethodNotAllowed, message))
}

fn with_body(body: impl Into<Body>, content_type: HeaderValue) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}
