//! JSON that can be written one way only, so that whoever hashes it hashes the same bytes (RFC 8785).
//!
//! Of RFC 8785 the part is used that needs no thought about numbers and names: integers that a double holds exactly, and names in ASCII.
//! What does not fit in it is refused, rather than written in a way that another program would write differently.

use serde_json::Value;

/// The largest integer up to which a double holds all of them.
pub(crate) const INTEGER_MAX: u64 = 1 << 53;

/// A value has no canonical text here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// A fraction, or an integer beyond 2^53.
    #[error("the number {0} is no integer between -2^53 and 2^53: write it as text")]
    Number(String),
    /// A name with other characters.
    #[error("the name {0:?} is not printable ASCII")]
    Name(String),
}

/// The text of a value.
///
/// # Errors
/// Where it holds numbers or names that are not of the part described above.
pub(crate) fn to_text(value: &Value) -> Result<String, NotCanonical> {
    check(value)?;
    // Whether maps keep the order that they were made in is a matter of how serde_json was built. It escapes what RFC 8785 escapes, in the
    // same way.
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    Ok(sorted.to_string())
}

fn check(value: &Value) -> Result<(), NotCanonical> {
    match value {
        Value::Number(number) => {
            let fits = number.as_i64().is_some_and(|number| number.unsigned_abs() <= INTEGER_MAX);
            if fits { Ok(()) } else { Err(NotCanonical::Number(number.to_string())) }
        }
        Value::Array(values) => values.iter().try_for_each(check),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            let is_plain = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if is_plain { check(value) } else { Err(NotCanonical::Name(name.clone())) }
        }),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// The value that a canonical text is of; nothing where the bytes are not that very text.
pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (to_text(&value).ok()?.as_bytes() == bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn there_is_one_text_and_what_has_none_is_refused() {
        let value = json!({"b": [1, -2], "a": {"z": "é\u{1f}\n\"\\", "y": null}});
        let text = to_text(&value).unwrap();
        assert_eq!(text, r#"{"a":{"y":null,"z":"é\u001f\n\"\\"},"b":[1,-2]}"#);
        assert_eq!(of_bytes(text.as_bytes()), Some(value));
        for other in
            [r#"{"b":1,"a":2}"#, r#"{"a": 1}"#, r#"{"a":1,"a":1}"#, r#"{"a":1.0}"#, r#"{"a":"\u00e9"}"#, "{"]
        {
            assert_eq!(of_bytes(other.as_bytes()), None, "{other}");
        }
        assert!(matches!(to_text(&json!(0.5)), Err(NotCanonical::Number(_))));
        assert!(matches!(to_text(&json!(u64::MAX)), Err(NotCanonical::Number(_))));
        assert!(matches!(to_text(&json!({"ä": 1})), Err(NotCanonical::Name(_))));
    }
}
