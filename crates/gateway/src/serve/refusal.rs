//! Our error JSON for requests that the HTTP library refuses by itself.
//!
//! A head that is not HTTP, or too large, never becomes a request, and the library answers it with a bare
//! status. Callers were promised a code with every error, and the library has no place to say more; so its bare
//! answer is recognised on its way out and sent with a body. Nothing of ours can be mistaken for it: every
//! error of ours has a body.

use axum::http::header::HOST;
use axum::http::{Request, Version};
use spinwell_core::{Code, Fault};
use spinwell_protocol::status;

/// Why a request is refused that does not say once which host it is for, as HTTP/1.1 wants it (RFC 9112, 3.2): something between
/// the caller and us may have read it another way than we do. The library minds neither.
pub(super) fn of_host<B>(request: &Request<B>) -> Option<Fault> {
    let message = match request.headers().get_all(HOST).iter().count() {
        0 if request.version() >= Version::HTTP_11 => "the request has no Host header; HTTP/1.1 wants one",
        0 | 1 => return None,
        _ => "the request has more than one Host header; send one",
    };
    Some(Fault::new(Code::FramingInvalid, message))
}

/// Why a request is refused that came in the clear to a listener with a certificate.
pub(super) fn of_the_clear() -> Fault {
    Fault::new(Code::FramingInvalid, "this address is spoken to over TLS; ask https:// in place of http://")
}

/// Our answer in place of `written`, where that is a bare refusal of the library.
pub(super) fn instead_of(written: &[u8]) -> Option<Vec<u8>> {
    let rest = written.strip_prefix(b"HTTP/1.1 4").filter(|_| is_bare(written))?;
    let (reason, fault) = if rest.starts_with(b"31") {
        // The library says no more, of a body that is longer than can be counted either.
        let message = "the head of the request is too large, or the length of its body is; send fewer and shorter headers, and a \
                       Content-Length that is the number of bytes";
        ("431 Request Header Fields Too Large", Fault::new(Code::RequestInvalid, message))
    } else {
        let message = "the head of the request is not valid HTTP/1.1; look at the request line, the header names \
             and Content-Length, which must be one number of bytes";
        ("400 Bad Request", Fault::new(Code::FramingInvalid, message))
    };
    let body = status::error_json(&fault);
    let head = format!(
        "HTTP/1.1 {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    Some([head.as_bytes(), &body].concat())
}

fn is_bare(written: &[u8]) -> bool {
    const NO_BODY: &[u8] = b"\r\ncontent-length: 0\r\n";
    written.ends_with(b"\r\n\r\n") && written.windows(NO_BODY.len()).any(|window| window == NO_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_replaced() {
        let check = |written: &str, wanted: Option<&str>| {
            let instead = instead_of(written.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(instead.is_some(), wanted.is_some(), "{written:?}");
            assert!(instead.unwrap_or_default().contains(wanted.unwrap_or_default()), "{written:?}");
        };
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Some("SPW-FRAMING-INVALID"));
        check(
            "HTTP/1.1 431 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Some("HTTP/1.1 431 "),
        );
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}", None);
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None);
        check("HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\n", None);
    }
}
