//! The model, version and sequence that a path names.

use super::answer::fault_response;
use crate::door::no_text;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::response::Response;

/// What stands in the path.
pub(super) struct Target {
    /// The model's name.
    pub(super) model: String,
    /// The version, where the path names one.
    pub(super) version: Option<String>,
    /// The sequence; empty where the path names none.
    pub(super) sequence: String,
    /// The receipt; empty where the path names none.
    pub(super) receipt: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|_| fault_response(&no_text()))?;
        let mut target =
            Target { model: String::new(), version: None, sequence: String::new(), receipt: String::new() };
        for (key, value) in &parameters {
            match key {
                "model" => value.clone_into(&mut target.model),
                "receipt" => value.clone_into(&mut target.receipt),
                "sequence" => value.clone_into(&mut target.sequence),
                _ => target.version = Some(value.to_owned()),
            }
        }
        Ok(target)
    }
}
