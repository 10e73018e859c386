//! What a fuzz target does with bytes that claim to be of a ledger: a signed checkpoint, a log's files, a receipt. Shared by `cargo fuzz` and by
//! the ledger's tests, which run it on inputs that a seed makes.
//!
//! Signatures and hashes keep most bytes away from what lies behind them, so each body makes them right as well: as whoever has the log's key could.

use sha2::{Digest, Sha256};
use signed_note::{Note, StandardSigner};
use spinwell_core::UnixMicros;
use spinwell_ledger::{
    Batch, Checkpoint, Entry, Files, Hash, LogKey, PublicKey, Receipt, Seal, Tree, batch_path, read,
    records_of, verify,
};
use std::collections::BTreeMap;
use std::sync::OnceLock;

const ORIGIN: &str = "example.com/log";
/// What stands between a bundle and the records of a batch.
const SPLIT: &[u8] = b"\n--\n";
/// Bytes that the entry of a batch promises where its file is what was given.
const UNPACKED: u64 = 100_000;
/// Lines of a batch, as they are written.
const LINES: &str = "{\"at\":1795000000000000,\"n\":0}\n{\"at\":1795000000000001,\"n\":1,\"tenant\":\"acme\"}\n{\"at\":1795000000000002,\"n\":2}\n";

type Memory = BTreeMap<String, Vec<u8>>;

fn key() -> &'static LogKey {
    static KEY: OnceLock<LogKey> = OnceLock::new();
    KEY.get_or_init(|| LogKey::of_seed(ORIGIN, &[7; 32]).expect("a name"))
}

fn keys() -> [PublicKey; 1] {
    [key().public()]
}

/// The files of a log of these entries, behind one of a batch where there is a text of records.
fn log(entries: &[&[u8]], text: &[u8]) -> (Tree, Memory) {
    let (mut tree, mut files) = (Tree::default(), Memory::new());
    if !text.is_empty() {
        let (seal, file) = Batch::of_text(text.to_vec()).seal();
        let entry = Entry::Batch { at: UnixMicros(1_795_000_000_000_003), first: 0, seal };
        tree.append(&entry.to_bytes()).expect("an entry of a batch is short");
        files.insert(batch_path(0), file);
    }
    for entry in entries {
        if tree.append(entry).is_err() {
            break;
        }
    }
    files.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
    files.insert("checkpoint".into(), signed(tree.size(), tree.root()));
    (tree, files)
}

fn signed(size: u64, root: Hash) -> Vec<u8> {
    Checkpoint { origin: ORIGIN.into(), size, root }.sign(&[key()]).expect("an origin")
}

/// Entries as a bundle has them: each behind its length.
fn entries_of(mut bundle: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let Some((entry, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { break };
        entries.push(entry);
        bundle = rest;
    }
    entries
}

/// Reads bytes as a signed note, and as the text of one that the log's key has signed; as keys as well. Says whether a checkpoint came of it.
pub(crate) fn checkpoint(bytes: &[u8]) -> bool {
    let plain = Checkpoint::open(bytes, &keys());
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(public) = text.parse::<PublicKey>() {
            assert_eq!(
                public.to_string().parse::<PublicKey>().map(|key| key.to_string()),
                Ok(public.to_string())
            );
        }
        let _ = LogKey::of_text(text);
    }
    let signer = StandardSigner::new(key().secret_text()).expect("a key of ours");
    let forged = Note::new(bytes, &[])
        .ok()
        .and_then(|mut note| note.add_sigs(&[&signer]).ok().map(|()| note.to_bytes()));
    let forged = forged.map(|note| Checkpoint::open(&note, &keys()));
    let mut is_one = false;
    for opened in [Some(plain), forged].into_iter().flatten().flatten() {
        let checkpoint = opened.checkpoint;
        assert!(opened.signed_by.contains(&checkpoint.origin) && checkpoint.origin == ORIGIN);
        let again = checkpoint.sign(&[key()]).expect("what was read can be written");
        let again = Checkpoint::open(&again, &keys()).expect("what was written can be read");
        assert_eq!(again.checkpoint, checkpoint, "reading and writing change nothing");
        is_one = true;
    }
    is_one
}

/// Every path of a log leads to the same bytes, but that of its checkpoint.
struct Everywhere<'b>(&'b [u8], Vec<u8>);

impl Files for Everywhere<'_> {
    fn read(&self, path: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(Some(if path == "checkpoint" { self.1.clone() } else { self.0.to_vec() }))
    }
}

/// Checkpoints over logs of several lengths, signed once. They are few: their signatures take longer than all the rest.
fn standings() -> &'static [(u64, Vec<u8>)] {
    static STANDINGS: OnceLock<Vec<(u64, Vec<u8>)>> = OnceLock::new();
    STANDINGS.get_or_init(|| {
        let sizes = [1, 257, u64::MAX];
        sizes.into_iter().map(|size| (size, signed(size, Hash([9; 32])))).collect()
    })
}

/// Reads bytes as any file of a log, then as a bundle of entries and the records of a batch in a log that is signed as it should be. Says whether
/// that one holds.
pub(crate) fn ledger_files(bytes: &[u8]) -> bool {
    for (size, note) in standings() {
        let (size, files) = (*size, Everywhere(bytes, note.clone()));
        assert!(verify::verify(&files, &keys(), &[]).is_err(), "no bytes have this root");
        let _ = (
            Tree::load(&files, size, Hash([9; 32])),
            read::bundle(&files, size, 0),
            records_of(&files, size.min(512)),
        );
        let _ = Receipt::of_log(&files, &keys(), size / 2);
    }
    let seal =
        Seal { root: Hash([9; 32]), records: 1, bytes: UNPACKED, file: Hash(Sha256::digest(bytes).into()) };
    assert!(Batch::open(bytes, seal).is_err(), "no line has this root");

    let at = bytes.windows(SPLIT.len()).position(|window| window == SPLIT);
    let (bundle, text) = at.map_or((bytes, &b""[..]), |at| (&bytes[..at], &bytes[at + SPLIT.len()..]));
    let (tree, files) = log(&entries_of(bundle), text);
    let report = verify::verify(&files, &keys(), &[]);
    let loaded = Tree::load(&files, tree.size(), tree.root()).expect("what was written can be read");
    assert!(loaded.root() == tree.root() && loaded.size() == tree.size());
    let receipt = |number| Receipt::of_log(&files, &keys(), number);
    let Ok(report) = report else {
        let _ = (records_of(&files, tree.size()), receipt(0), receipt(1 << 40));
        return false;
    };
    assert_eq!((report.entries, report.root), (tree.size(), tree.root()));
    assert_eq!(records_of(&files, tree.size()).expect("a log that holds"), report.records);
    for number in (0..report.records).take(3) {
        let receipt = receipt(number).expect("a log that holds").expect("a record that it has");
        assert!(receipt.check(&keys()).is_ok(), "{receipt:?}");
        assert_eq!(Receipt::of_text(&receipt.to_text()), Ok(receipt));
    }
    assert_eq!(receipt(report.records).expect("a log that holds"), None);
    true
}

/// Reads bytes as a receipt. Says whether they are one; it may hold only for a record that stands in the log.
pub(crate) fn receipt(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(receipt) = Receipt::of_text(text) else { return false };
    assert_eq!(
        Receipt::of_text(&receipt.to_text()).as_ref(),
        Ok(&receipt),
        "reading and writing change nothing"
    );
    let holds = |receipt: &Receipt| receipt.check(&keys()).is_ok();
    assert!(!holds(&receipt) || LINES.lines().any(|line| line == receipt.record), "{receipt:?}");
    // With the log's own signature over what it should lead to nobody can say what holds; it must only be said.
    let _ = holds(&Receipt {
        checkpoint: String::from_utf8_lossy(&signed(3, Hash([9; 32]))).into_owned(),
        ..receipt
    });
    true
}

fn entries() -> Vec<Vec<u8>> {
    let at = UnixMicros(1_795_000_000_000_004);
    let (from, until) = (UnixMicros(1_795_000_000_000_000), at);
    vec![
        Entry::Opened { at, boot: "boot".into(), program: "spinwell 0.1.0".into() }.to_bytes(),
        Entry::Gap { at, from, until, reason: "power".into() }.to_bytes(),
        br#"{"at":1795000000000004,"event":{"class_uid":6003},"kind":"event"}"#.to_vec(),
        Entry::Closed { at }.to_bytes(),
    ]
}

/// Notes, their texts, and keys.
pub(crate) fn checkpoints() -> Vec<Vec<u8>> {
    let note = signed(5, Hash([3; 32]));
    let text = String::from_utf8(note.clone()).expect("a note is text");
    let text = text.split_once("\n\n").map(|(text, _)| format!("{text}\n")).expect("a note has a text");
    vec![note, text.into_bytes(), key().public().to_string().into_bytes(), key().secret_text().into()]
}

/// Bundles, with and without the records of a batch, and that batch's file.
pub(crate) fn logs() -> Vec<Vec<u8>> {
    let framed = |entry: &Vec<u8>| [&(entry.len() as u16).to_be_bytes()[..], entry].concat();
    let bundle: Vec<u8> = entries().iter().flat_map(framed).collect();
    vec![
        bundle.clone(),
        [&bundle[..], SPLIT, LINES.as_bytes()].concat(),
        [SPLIT, LINES.as_bytes()].concat(),
        Batch::of_text(LINES.into()).seal().1,
    ]
}

/// The receipts of a small log.
pub(crate) fn receipts() -> Vec<Vec<u8>> {
    let entries = entries();
    let (_, files) = log(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>(), LINES.as_bytes());
    let one = |number| Receipt::of_log(&files, &keys(), number).expect("a log that holds").expect("a record");
    (0..3).map(|number| one(number).to_text().into_bytes()).collect()
}
