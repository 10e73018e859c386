//! What a receipt is asked for by.
//!
//! A record's number alone would not do: what a power cut takes of a log, it has numbered, and told callers of; the next records are given
//! the same numbers. So the id says as well in which life of its log it was given, and the record says it too.

use crate::canonical;
use std::fmt;
use std::str::FromStr;

/// The id of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptId {
    /// Which log: the name of the process that wrote it.
    pub log: String,
    /// The entry with which that process began to write.
    pub life: u64,
    /// The number of the record.
    pub number: u64,
}

/// A text is no id of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a receipt's id looks like gateway-0-4711")]
pub struct NoReceiptId;

impl ReceiptId {
    /// Whether this record, a line, is the one that it names; which log the record is of, the line does not say.
    #[must_use]
    pub fn is_of(&self, record: &str) -> bool {
        let record = canonical::of_bytes(record.as_bytes()).unwrap_or_default();
        record["n"].as_u64() == Some(self.number) && record["life"].as_u64() == Some(self.life)
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.log, self.life, self.number)
    }
}

impl FromStr for ReceiptId {
    type Err = NoReceiptId;

    fn from_str(text: &str) -> Result<Self, NoReceiptId> {
        // Names may have hyphens.
        let mut parts = text.rsplitn(3, '-');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(NoReceiptId);
        let (number, life) = (number()?, number()?);
        let log = parts.next().filter(|log| !log.is_empty()).ok_or(NoReceiptId)?.to_owned();
        let id = Self { log, life, number };
        // One text for each: not 007, and not +7.
        if id.to_string() == text { Ok(id) } else { Err(NoReceiptId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text_and_names_one_record() {
        let id: ReceiptId = "gateway-b-17-4711".parse().unwrap();
        assert_eq!(id, ReceiptId { log: "gateway-b".into(), life: 17, number: 4711 });
        assert_eq!(id.to_string(), "gateway-b-17-4711");
        for other in [
            "",
            "gateway",
            "gateway-7",
            "-1-2",
            "g-1-",
            "g-01-2",
            "g-1-+2",
            "g-1-2 ",
            "g--1-99999999999999999999",
        ] {
            assert_eq!(other.parse::<ReceiptId>(), Err(NoReceiptId), "{other}");
        }
        assert!(id.is_of(r#"{"life":17,"n":4711}"#));
        for other in [r#"{"life":16,"n":4711}"#, r#"{"life":17,"n":4712}"#, r#"{"n":4711}"#, "", "x"] {
            assert!(!id.is_of(other), "{other}");
        }
    }
}
