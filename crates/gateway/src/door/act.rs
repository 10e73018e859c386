//! Acts of administration and looks at data: in the ledger before they are done, or not done.

use super::Entry;
use crate::Gateway;
use spinwell_core::{Code, Fault};
use spinwell_security::access::{Action, Resource};
use std::sync::Arc;

/// Something that somebody is about to do, and may.
pub(crate) struct Act {
    pub(crate) action: Action,
    pub(crate) resource: Resource,
    /// The policies by which he may.
    pub(crate) policy: Arc<str>,
    /// How it came here: method and path, or the method of gRPC.
    pub(crate) place: String,
}

/// Where an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is about to be done.
    Begun,
    /// It is done.
    Done,
    /// It has failed.
    Failed(Code),
}

/// Writes down that somebody wanted to do something, and was refused. Nobody waits for it.
pub(crate) fn refused(gateway: &Gateway, entry: &Entry, act: &Act, code: Code) {
    if let (Some(audit), Ok(caller), true) = (gateway.audit(), &entry.caller, act.action.is_recorded()) {
        audit.refused(caller, entry.address, act, code);
    }
}

/// Does something, with a line in the ledger before and one after it. Of what concerns a sequence there is only the first: it is done many
/// times a second, and its step log says how it ended.
///
/// # Errors
/// Where the ledger cannot take either: before, nothing was done; after, it was.
pub(crate) async fn acted<T>(
    gateway: &Gateway,
    entry: &Entry,
    act: Act,
    code: impl Fn(&T) -> Option<Code>,
    work: impl Future<Output = T>,
) -> Result<T, Fault> {
    let (Some(audit), Ok(caller)) = (gateway.audit(), &entry.caller) else { return Ok(work.await) };
    audit.act(caller, entry.address, &act, Phase::Begun).await?;
    let done = work.await;
    if !matches!(act.resource, Resource::Sequence { .. }) {
        let phase = code(&done).map_or(Phase::Done, Phase::Failed);
        audit.act(caller, entry.address, &act, phase).await.map_err(|fault| {
            let message =
                format!("it was done, and how it ended could not be written down: {}", fault.message());
            Fault::new(fault.code(), message)
        })?;
    }
    Ok(done)
}
