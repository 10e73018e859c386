//! Compressed bodies: undone on the way in, made on the way out where the caller takes them.
//!
//! What a compressed body will hold is not known before it is undone, and a thousand bytes can hold a million. So it is
//! undone piece by piece under the limit of any body, and every piece is taken from the budget of all bodies.

use super::answer::shortened;
use crate::budget::Share;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use flate2::Compression;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use spinwell_core::{Code, Fault};
use std::io::{self, Read, Write};

/// What every gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are undone between two looks at the limits.
const PIECE_BYTES: usize = 64 * 1024;
/// Answers below this many bytes fit one packet anyway.
const WORTH_COMPRESSING_BYTES: usize = 1024;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// The zlib format, which HTTP calls deflate.
    Deflate,
}

impl Coding {
    fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }

    /// The name on the wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    /// How a request's body is compressed.
    ///
    /// # Errors
    /// [`Code::NotOffered`] for another coding, or several on top of each other.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(None) };
        let text = String::from_utf8_lossy(value.as_bytes());
        match Self::named(&text) {
            _ if matches!(text.trim(), "" | "identity") => Ok(None),
            Some(coding) => Ok(Some(coding)),
            None => Err(Fault::new(
                Code::NotOffered,
                format!(
                    "Content-Encoding {} is not offered; send gzip, deflate or no coding",
                    shortened(&text)
                ),
            )),
        }
    }

    /// The coding that a caller takes for the answer, gzip before deflate; none where he does not ask for any.
    pub(super) fn for_answer(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter();
        let entries = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let taken = entries.filter_map(|entry| {
            let (name, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let weight =
                parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
            Self::named(name).filter(|_| weight.is_some_and(|weight| weight > 0.0))
        });
        taken.min_by_key(|coding| *coding as u8)
    }

    /// What a body holds, taken from `share`; at most `bytes_max` bytes of it.
    pub(super) fn undo(self, body: &[u8], bytes_max: usize, share: &mut Share) -> Result<Bytes, Fault> {
        let (mut rest, mut all) = (body, Vec::new());
        loop {
            match self {
                Coding::Gzip => undo(GzDecoder::new(&mut rest), bytes_max, share, &mut all),
                Coding::Deflate => undo(ZlibDecoder::new(&mut rest), bytes_max, share, &mut all),
            }
            .map_err(|fault| match fault {
                Undone::Broken(error) => Fault::new(
                    Code::FramingInvalid,
                    format!("the body is not whole {} data: {error}", self.as_str()),
                ),
                Undone::Refused(fault) => fault,
            })?;
            if rest.is_empty() {
                return Ok(all.into());
            }
            // Several gzip files behind each other are one.
            if self != Coding::Gzip || !rest.starts_with(&GZIP_MAGIC) {
                let message = format!("{} bytes follow the end of the {} data", rest.len(), self.as_str());
                return Err(Fault::new(Code::FramingInvalid, message));
            }
        }
    }

    /// The bytes compressed, where that is worth it.
    pub(super) fn make(self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() < WORTH_COMPRESSING_BYTES {
            return None;
        }
        let room = Vec::with_capacity(body.len() / 2);
        let made = match self {
            Coding::Gzip => written(GzEncoder::new(room, Compression::fast()), body, GzEncoder::finish),
            Coding::Deflate => {
                written(ZlibEncoder::new(room, Compression::fast()), body, ZlibEncoder::finish)
            }
        };
        // Writing to memory does not fail.
        made.ok()
    }

    /// The value of the header that names it.
    pub(super) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

/// Why a body was not undone.
enum Undone {
    Broken(io::Error),
    Refused(Fault),
}

fn undo(
    mut decoder: impl Read,
    bytes_max: usize,
    share: &mut Share,
    all: &mut Vec<u8>,
) -> Result<(), Undone> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match decoder.read(&mut piece).map_err(Undone::Broken)? {
            0 => return Ok(()),
            more if all.len() + more > bytes_max => {
                let message = format!("the body holds more than the {bytes_max} bytes that are taken");
                return Err(Undone::Refused(Fault::new(Code::BodyTooLarge, message)));
            }
            more => {
                share.take(more).map_err(Undone::Refused)?;
                all.extend_from_slice(&piece[..more]);
            }
        }
    }
}

fn written<W: Write>(
    mut encoder: W,
    body: &[u8],
    finish: impl FnOnce(W) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    encoder.write_all(body)?;
    finish(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| {
            headers.append(name, value.parse().unwrap());
        });
        headers
    }

    #[test]
    fn what_is_made_is_undone_again() {
        let body: Vec<u8> = (0..5000_u32).flat_map(|i| (i % 97).to_le_bytes()).collect();
        for coding in [Coding::Gzip, Coding::Deflate] {
            let made = coding.make(&body).unwrap();
            assert!(made.len() < body.len() / 2);
            let budget = Budget::new(1 << 20);
            let mut share = budget.share();
            assert_eq!(coding.undo(&made, body.len(), &mut share).unwrap(), body);
            let fault = |made: &[u8], max: usize, budget: usize| {
                coding.undo(made, max, &mut Budget::new(budget).share()).unwrap_err().code()
            };
            assert_eq!(fault(&made, body.len() - 1, 1 << 20), Code::BodyTooLarge);
            assert_eq!(fault(&made, body.len(), body.len() - 1), Code::QueueFull);
            assert_eq!(fault(&made[..made.len() / 2], body.len(), 1 << 20), Code::FramingInvalid);
            assert_eq!(fault(b"not compressed", body.len(), 1 << 20), Code::FramingInvalid);
        }
        assert_eq!(Coding::Gzip.make(b"short"), None);
    }

    #[test]
    fn what_follows_the_end_is_more_of_it_or_refused() {
        let body = vec![7; 2000];
        let undone = |coding: Coding, made: &[u8]| {
            coding
                .undo(made, 1 << 20, &mut Budget::new(1 << 20).share())
                .map_err(|fault| fault.message().to_owned())
        };
        let gzip = Coding::Gzip.make(&body).unwrap();
        assert_eq!(undone(Coding::Gzip, &[&gzip[..], &gzip].concat()).unwrap(), [&body[..], &body].concat());
        for coding in [Coding::Gzip, Coding::Deflate] {
            let made = coding.make(&body).unwrap();
            for junk in [&b"x"[..], b"junk that is longer than a header of ten bytes"] {
                let wanted = format!("{} bytes follow the end of the {} data", junk.len(), coding.as_str());
                assert_eq!(undone(coding, &[&made[..], junk].concat()), Err(wanted));
            }
        }
        let cut = undone(Coding::Gzip, &[&gzip[..], &gzip[..20]].concat()).unwrap_err();
        assert!(cut.starts_with("the body is not whole gzip data"), "{cut}");
    }

    #[test]
    fn a_small_body_that_holds_a_large_one_is_cut_off_at_the_limit() {
        let bomb = Coding::Gzip.make(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 1 << 19);
        let budget = Budget::new(usize::MAX);
        let mut share = budget.share();
        assert_eq!(Coding::Gzip.undo(&bomb, 1 << 20, &mut share).unwrap_err().code(), Code::BodyTooLarge);
    }

    #[test]
    fn codings_of_requests_are_known_or_refused() {
        let check = |values: &[&str], wanted: Result<Option<Coding>, Code>| {
            let got = Coding::of_request(&headers(&header::CONTENT_ENCODING, values));
            assert_eq!(got.map_err(|fault| fault.code()), wanted, "{values:?}");
        };
        check(&[], Ok(None));
        check(&["identity"], Ok(None));
        check(&["gzip"], Ok(Some(Coding::Gzip)));
        check(&["GZIP"], Ok(Some(Coding::Gzip)));
        check(&["deflate"], Ok(Some(Coding::Deflate)));
        check(&["br"], Err(Code::NotOffered));
        check(&["gzip, gzip"], Err(Code::NotOffered));
    }

    #[test]
    fn the_answer_s_coding_is_one_that_the_caller_takes() {
        let check = |values: &[&str], wanted: Option<Coding>| {
            assert_eq!(Coding::for_answer(&headers(&header::ACCEPT_ENCODING, values)), wanted, "{values:?}");
        };
        check(&[], None);
        check(&["identity"], None);
        check(&["*"], None);
        check(&["deflate"], Some(Coding::Deflate));
        check(&["deflate, gzip"], Some(Coding::Gzip));
        check(&["deflate", "br, gzip;q=0.5"], Some(Coding::Gzip));
        check(&["gzip;q=0, deflate;q=0.1"], Some(Coding::Deflate));
        check(&["gzip;q=x"], None);
    }
}
