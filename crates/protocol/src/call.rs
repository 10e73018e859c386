//! An inference request after decoding, the same from every wire.

use crate::{Outputs, RequestParameters};
use spinwell_core::{Code, Fault, Series};

/// The longest request id that is echoed. Ids stand in logs and records, so they may not be of any length.
const ID_BYTES_MAX: usize = 1024;

/// What a caller asked for, checked against the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The caller's id, echoed in the answer; empty where none was given.
    pub id: String,
    /// The windows to predict from: shape and values fit the model and are finite.
    pub series: Series,
    /// Which outputs to answer with, and how.
    pub outputs: Outputs,
    /// The parameters that this server understands.
    pub parameters: RequestParameters,
}

/// The caller's id, where it is not longer than what is echoed.
pub(crate) fn checked_id(id: &str) -> Result<String, Fault> {
    if id.len() > ID_BYTES_MAX {
        let message = format!("the id has {} bytes, at most {ID_BYTES_MAX} are echoed", id.len());
        return Err(Fault::new(Code::RequestInvalid, message));
    }
    Ok(id.to_owned())
}
