//! What stands in a log: one canonical JSON object an entry.

use crate::batch::Seal;
use crate::canonical::{self, INTEGER_MAX, NotCanonical};
use crate::tree::ENTRY_BYTES_MAX;
use serde_json::{Map, Value, json};
use spinwell_core::UnixMicros;
use tlog_tiles::Hash;

/// Bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Not the one text that an object has.
    #[error("not an object in canonical JSON")]
    Malformed,
    /// A kind that this program does not know.
    #[error("of the kind {0:?}, which this program does not know")]
    Kind(String),
    /// A member is missing, superfluous, or of another type.
    #[error("a {kind} entry without a proper {member:?}")]
    Member {
        /// The kind of entry.
        kind: &'static str,
        /// The member.
        member: &'static str,
    },
    /// An event cannot be written.
    #[error(transparent)]
    Event(#[from] NotCanonical),
    /// An event is too long.
    #[error("an event of {0} bytes: at most 65,535 fit")]
    TooLong(usize),
}

/// An entry of a log. Times are microseconds since 1970, by the writer's clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A process has begun to write. Another had written before, unless this is the log's first entry.
    Opened {
        /// When.
        at: UnixMicros,
        /// What the machine calls its time since it was switched on: a log that was not closed and goes on in another such time has
        /// lost its power.
        boot: String,
        /// The program and its version.
        program: String,
    },
    /// It has ended in good order: all that it answered is before this.
    Closed {
        /// When.
        at: UnixMicros,
    },
    /// Records may be missing here.
    Gap {
        /// When it was noticed.
        at: UnixMicros,
        /// The last moment that is known of.
        from: UnixMicros,
        /// The end of what may be missing, at the latest.
        until: UnixMicros,
        /// Why.
        reason: String,
    },
    /// The records of predictions, by their root.
    Batch {
        /// When it was sealed.
        at: UnixMicros,
        /// The number of its first record. Records are numbered from 0 on, without a gap.
        first: u64,
        /// How they are sealed.
        seal: Seal,
    },
    /// The newest checkpoint of another log, which cannot be cut off behind it any more unseen.
    Checkpoint {
        /// When it was seen.
        at: UnixMicros,
        /// The signed note.
        note: String,
    },
    /// An act of administration, of security, or with data, by OCSF.
    Event {
        /// When.
        at: UnixMicros,
        /// What was done.
        event: Event,
    },
}

/// An OCSF object that a log can hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Event(Map<String, Value>);

impl Event {
    /// The object, if it has one text and an entry has room for it.
    ///
    /// # Errors
    /// Where it has fractions, names that are not ASCII, or is too long.
    pub fn new(object: Map<String, Value>) -> Result<Self, EntryError> {
        let mut object = Value::Object(object);
        object.sort_all_objects();
        let Value::Object(object) = object else { return Err(EntryError::Malformed) };
        let event = Self(object);
        // With the latest time, which is the longest.
        let entry = Entry::Event { at: UnixMicros(INTEGER_MAX), event: event.clone() };
        let text = canonical::to_text(&entry.value())?;
        if text.len() > ENTRY_BYTES_MAX { Err(EntryError::TooLong(text.len())) } else { Ok(event) }
    }

    /// The OCSF object.
    #[must_use]
    pub fn object(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl Entry {
    /// When it was written.
    #[must_use]
    pub fn at(&self) -> UnixMicros {
        match self {
            Self::Opened { at, .. }
            | Self::Closed { at }
            | Self::Gap { at, .. }
            | Self::Batch { at, .. }
            | Self::Checkpoint { at, .. }
            | Self::Event { at, .. } => *at,
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Opened { at, boot, program } => {
                json!({"at": at.0, "boot": boot, "kind": "opened", "program": program})
            }
            Self::Closed { at } => json!({"at": at.0, "kind": "closed"}),
            Self::Gap { at, from, until, reason } => {
                json!({"at": at.0, "from": from.0, "kind": "gap", "reason": reason, "until": until.0})
            }
            Self::Batch { at, first, seal: Seal { root, records, bytes, file } } => {
                let (root, file) = (root.to_string(), file.to_string());
                json!({"at": at.0, "bytes": bytes, "file": file, "first": first, "kind": "batch", "records": records, "root": root})
            }
            Self::Checkpoint { at, note } => json!({"at": at.0, "kind": "checkpoint", "note": note}),
            Self::Event { at, event } => json!({"at": at.0, "event": event.0, "kind": "event"}),
        }
    }

    /// The bytes that stand in the log.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.value().to_string().into_bytes()
    }

    /// Reads an entry, which must be written the one way that it can be.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let Some(Value::Object(mut members)) = canonical::of_bytes(bytes) else {
            return Err(EntryError::Malformed);
        };
        let kind = members.remove("kind");
        let mut reader = Reader { members, kind: "" };
        let entry = match kind.as_ref().and_then(Value::as_str) {
            Some("opened") => {
                reader.kind = "opened";
                Self::Opened {
                    at: reader.time("at")?,
                    boot: reader.text("boot")?,
                    program: reader.text("program")?,
                }
            }
            Some("closed") => {
                reader.kind = "closed";
                Self::Closed { at: reader.time("at")? }
            }
            Some("gap") => {
                reader.kind = "gap";
                let (at, from, until) = (reader.time("at")?, reader.time("from")?, reader.time("until")?);
                Self::Gap { at, from, until, reason: reader.text("reason")? }
            }
            Some("batch") => {
                reader.kind = "batch";
                let (records, bytes) = (reader.number("records")?, reader.number("bytes")?);
                let seal = Seal { root: reader.hash("root")?, records, bytes, file: reader.hash("file")? };
                Self::Batch { at: reader.time("at")?, first: reader.number("first")?, seal }
            }
            Some("checkpoint") => {
                reader.kind = "checkpoint";
                Self::Checkpoint { at: reader.time("at")?, note: reader.text("note")? }
            }
            Some("event") => {
                reader.kind = "event";
                Self::Event { at: reader.time("at")?, event: Event(reader.object("event")?) }
            }
            other => return Err(EntryError::Kind(other.unwrap_or_default().to_owned())),
        };
        match reader.members.is_empty() {
            true => Ok(entry),
            false => Err(EntryError::Member { kind: reader.kind, member: "and nothing else" }),
        }
    }
}

/// Takes the members of an object one by one.
struct Reader {
    members: Map<String, Value>,
    kind: &'static str,
}

impl Reader {
    fn take<T>(
        &mut self,
        member: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<T, EntryError> {
        let wrong = EntryError::Member { kind: self.kind, member };
        self.members.remove(member).and_then(read).ok_or(wrong)
    }

    fn number(&mut self, member: &'static str) -> Result<u64, EntryError> {
        self.take(member, |value| value.as_u64())
    }

    fn time(&mut self, member: &'static str) -> Result<UnixMicros, EntryError> {
        self.number(member).map(UnixMicros)
    }

    fn text(&mut self, member: &'static str) -> Result<String, EntryError> {
        self.take(member, |value| value.as_str().map(str::to_owned))
    }

    fn hash(&mut self, member: &'static str) -> Result<Hash, EntryError> {
        self.take(member, |value| Hash::parse_hash(value.as_str()?).ok())
    }

    fn object(&mut self, member: &'static str) -> Result<Map<String, Value>, EntryError> {
        self.take(member, |value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Entry> {
        let at = UnixMicros(1_795_000_000_000_000);
        let event = json!({"class_uid": 6003, "actor": {"user": {"name": "eve"}}});
        let Value::Object(event) = event else { unreachable!() };
        vec![
            Entry::Opened { at, boot: "b".into(), program: "spinwell 0.1.0".into() },
            Entry::Closed { at },
            Entry::Gap { at, from: UnixMicros(1), until: UnixMicros(2), reason: "power".into() },
            Entry::Batch {
                at,
                first: 7,
                seal: Seal { records: 3, bytes: 900, root: Hash([5; 32]), file: Hash([6; 32]) },
            },
            Entry::Checkpoint { at, note: "log\n1\nAA==\n\n— log AA==\n".into() },
            Entry::Event { at, event: Event::new(event).unwrap() },
        ]
    }

    #[test]
    fn entries_come_back_and_have_one_text_each() {
        for entry in all() {
            let bytes = entry.to_bytes();
            assert_eq!(Entry::of_bytes(&bytes), Ok(entry.clone()));
            let text = String::from_utf8(bytes).unwrap();
            for other in [
                text.replace(':', ": "),
                text.replacen('{', r#"{"a":1,"#, 1),
                text.replace("at", "add"),
                format!("{text} "),
            ] {
                assert!(Entry::of_bytes(other.as_bytes()).is_err(), "{other}");
            }
        }
        let batch = String::from_utf8(all()[3].to_bytes()).unwrap();
        assert_eq!(
            batch,
            r#"{"at":1795000000000000,"bytes":900,"file":"BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgY=","first":7,"kind":"batch","records":3,"root":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU="}"#
        );
        assert_eq!(Entry::of_bytes(br#"{"at":1,"kind":"later"}"#), Err(EntryError::Kind("later".into())));
    }

    #[test]
    fn an_event_that_no_log_can_hold_is_refused_before() {
        let event = |value: Value| {
            let Value::Object(event) = value else { unreachable!() };
            Event::new(event)
        };
        assert!(matches!(event(json!({"share": 0.5})), Err(EntryError::Event(_))));
        assert!(matches!(event(json!({"text": "x".repeat(65_536)})), Err(EntryError::TooLong(_))));
    }
}
