//! Who is served.

use super::error::Error;
use super::sources::Layered;
use std::path::PathBuf;

/// Who is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessOptions {
    /// Whether only callers are served who show who they are.
    pub is_required: bool,
    /// Where keys, issuers, tenants and policies are.
    pub dir: PathBuf,
}

pub(super) fn access(layered: &Layered) -> Result<AccessOptions, Error> {
    Ok(AccessOptions {
        is_required: layered.flag("access.required")?,
        dir: PathBuf::from(layered.text("access.dir")),
    })
}
