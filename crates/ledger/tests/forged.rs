//! Mangled files of a ledger through the bodies of the fuzz targets.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop where it stands")]

#[path = "../../../fuzz/ledger.rs"]
mod ledger;
#[path = "../../../fuzz/mangled.rs"]
mod mangled;

const WORDS: [&[u8]; 10] =
    [b"\n", b"\n\n", b"0", b"9", b"-1", b"\"", b"{}", b"{\"at\":1,\"kind\":\"closed\"}", b"\0\0", b"\xff"];

#[test]
fn mangled_checkpoints_and_keys_are_refused_or_read() {
    let seeds = ledger::checkpoints();
    let read = mangled::check(&seeds, 2, &WORDS, 1500, ledger::checkpoint);
    assert!((20..1500).contains(&read), "{read} were read");
}

#[test]
fn mangled_files_of_a_log_are_told_wherever_they_are_wrong() {
    let seeds = ledger::logs();
    let read = mangled::check(&seeds, 3, &WORDS, 600, ledger::ledger_files);
    assert!((20..600).contains(&read), "{read} hold");
}

#[test]
fn mangled_receipts_prove_nothing() {
    let seeds = ledger::receipts();
    let read = mangled::check(&seeds, 3, &WORDS, 1500, ledger::receipt);
    assert!((20..1500).contains(&read), "{read} were read");
}
