//! Mangled credentials and encrypted files through the bodies of the fuzz targets.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop where it stands")]

#[path = "../../../fuzz/credentials.rs"]
mod credentials;
#[path = "../../../fuzz/mangled.rs"]
mod mangled;

const WORDS: [&[u8]; 10] = [b".", b"\n", b"\"", b"{}", b"null", b"1e400", b"spw_", b"a", b"\0", b"\xff"];

#[test]
fn mangled_api_keys_are_refused() {
    let seeds = credentials::api_keys();
    let read = mangled::check(&seeds, 2, &WORDS, 2000, credentials::api_key);
    // Two changes may undo each other.
    assert!(read < 5, "{read} were read: a checksum of four bytes finds what a test mangles");
}

#[test]
fn mangled_tokens_are_refused_or_good_for_their_issuer() {
    let seeds = credentials::tokens();
    let read = mangled::check(&seeds, 2, &WORDS, 1500, credentials::token);
    assert!((1..1500).contains(&read), "{read} were good");
}

#[test]
fn mangled_envelopes_do_not_open() {
    let seeds = credentials::envelopes();
    let read = mangled::check(&seeds, 2, &WORDS, 2000, credentials::envelope);
    assert!(read < 5, "{read} opened: every bit of what is sealed is bound");
}
