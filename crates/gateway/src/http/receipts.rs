//! Receipts: the proof that a prediction stands in the ledger.

use super::answer::{fault_response, json_text_response};
use super::target::Target;
use crate::Gateway;
use crate::door::Entry;
use axum::extract::State;
use axum::response::Response;

/// `GET /v1/receipts/{receipt}`.
pub(super) async fn get(State(gateway): State<Gateway>, entry: Entry, target: Target) -> Response {
    match gateway.receipt(&entry, &target.receipt).await {
        Ok(receipt) => json_text_response(receipt.to_text()),
        Err(fault) => fault_response(&fault),
    }
}
