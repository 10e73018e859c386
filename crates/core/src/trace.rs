//! The trace that a request belongs to, as W3C Trace Context has it.

use std::fmt;
use std::str::FromStr;

/// The name of a trace. Not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The name of one piece of work in a trace. Not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// Where a request stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Which trace.
    pub id: TraceId,
    /// The request's own span.
    pub span: SpanId,
    /// The caller's span, where he named one.
    pub parent: Option<SpanId>,
    /// Whether the trace is to be recorded.
    pub is_sampled: bool,
}

/// What a caller says of the trace that his request belongs to: the header `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Which trace.
    pub id: TraceId,
    /// The caller's span.
    pub span: SpanId,
    /// Whether the caller records it.
    pub is_sampled: bool,
}

/// A text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads `00-<32 hexadecimal digits>-<16>-<2>`. Of a later version, which may say more after that, the same part
    /// is read, as the standard asks; version `ff` does not exist.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut fields = text.splitn(5, '-');
        let mut next = || fields.next().ok_or(InvalidTraceParent);
        let [version] = bytes(next()?)?;
        let id = bytes(next()?)?;
        let span = bytes(next()?)?;
        let [flags] = bytes(next()?)?;
        let is_longer = fields.next().is_some();
        if version == 0xff || (version == 0 && is_longer) || id == [0; 16] || span == [0; 8] {
            return Err(InvalidTraceParent);
        }
        Ok(Self { id: TraceId(id), span: SpanId(span), is_sampled: flags & 1 == 1 })
    }
}

/// Exactly `N` bytes of lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], InvalidTraceParent> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(InvalidTraceParent);
    }
    let mut all = [0; N];
    for (byte, pair) in all.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Ok(all)
}

fn digit(character: u8) -> Result<u8, InvalidTraceParent> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(InvalidTraceParent),
    }
}

/// Writes a name as the hexadecimal digits of its bytes.
macro_rules! hexadecimal {
    ($name:ty) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hexadecimal!(TraceId);
hexadecimal!(SpanId);

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_read_and_its_names_print_as_they_came() {
        let check = |text: &str, sampled: bool| {
            let parent: TraceParent = text.parse().unwrap();
            let got = (parent.id.to_string(), parent.span.to_string(), parent.is_sampled);
            assert_eq!(got, (ID.to_owned(), SPAN.to_owned(), sampled), "{text}");
        };
        check(&format!("00-{ID}-{SPAN}-01"), true);
        check(&format!("00-{ID}-{SPAN}-00"), false);
        check(&format!("00-{ID}-{SPAN}-ff"), true);
        check(&format!("cc-{ID}-{SPAN}-01"), true);
        check(&format!("cc-{ID}-{SPAN}-01-what-the-future-brings"), true);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let wrong = [
            String::new(),
            "-".into(),
            format!("00-{ID}-{SPAN}"),
            format!("00-{ID}-{SPAN}-1"),
            format!("00-{ID}-{SPAN}-01-"),
            format!("00-{ID}-{SPAN}-01 "),
            format!("ff-{ID}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", ID.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{ID}é-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &ID[1..]),
        ];
        for text in wrong {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text}");
        }
    }
}
