//! What was tampered with is found, and the first bad place is named.

use super::*;
use crate::batch::BatchError;
use crate::cosignature::WitnessKey;
use crate::entry::Event;
use crate::key::LogKey;
use crate::prediction::tests::prediction;
use crate::receipt::{Receipt, ReceiptError};
use crate::tree::Broken;
use serde_json::{Map, json};
use std::collections::BTreeMap;

const ORIGIN: &str = "example.com/log";

type Folder = BTreeMap<String, Vec<u8>>;

fn key() -> LogKey {
    LogKey::of_seed(ORIGIN, &[7; 32]).unwrap()
}

/// A log: opened, then a batch of three records and an event in turns, then closed.
struct Log {
    folder: Folder,
    tree: Tree,
    entries: Vec<Vec<u8>>,
    /// Checkpoints by size.
    notes: BTreeMap<u64, Vec<u8>>,
}

impl Log {
    fn of(size: u64) -> Self {
        Self::with(size, |_, entry| entry)
    }

    /// The same, of other entries.
    fn with(size: u64, change: impl Fn(u64, Entry) -> Entry) -> Self {
        let mut log =
            Self { folder: Folder::new(), tree: Tree::default(), entries: vec![], notes: BTreeMap::new() };
        let mut records = 0;
        for index in 0..size {
            let at = UnixMicros(1_795_000_000_000_000 + 1000 * index);
            let entry = match index {
                0 => Entry::Opened { at, boot: "b".into(), program: "test".into() },
                _ if index + 1 == size => Entry::Closed { at },
                // A long one is of entries alone.
                _ if index % 2 == 1 && size < 1000 => {
                    let mut batch = Batch::default();
                    for number in records..records + 3 {
                        let mut line = Vec::new();
                        prediction(number).write(&mut line);
                        batch.push(&line);
                    }
                    let (seal, file) = batch.seal();
                    log.folder.insert(batch_path(index), file);
                    records += 3;
                    Entry::Batch { at, first: records - 3, seal }
                }
                _ => {
                    let event: Map<_, _> = [("number".to_owned(), json!(index))].into_iter().collect();
                    Entry::Event { at, event: Event::new(event).unwrap() }
                }
            };
            log.append(&change(index, entry).to_bytes());
        }
        log
    }

    fn append(&mut self, entry: &[u8]) {
        self.entries.push(entry.to_vec());
        self.tree.append(entry).unwrap();
        if self.tree.size().is_multiple_of(50) {
            self.sign();
        }
    }

    fn sign(&mut self) {
        self.folder.extend(self.tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: self.tree.size(), root: self.tree.root() };
        let note = checkpoint.sign(&[&key()]).unwrap();
        self.folder.insert("checkpoint".into(), note.clone());
        self.notes.insert(self.tree.size(), note);
    }

    fn signed(mut self) -> Self {
        self.sign();
        self
    }

    /// The log as somebody would lay it out who does not have the key.
    fn forged(entries: &[Vec<u8>], from: &Folder) -> Folder {
        let mut tree = Tree::default();
        entries.iter().for_each(|entry| assert!(tree.append(entry).is_ok()));
        let mut folder = from.clone();
        folder.extend(tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
        folder
    }
}

fn check(folder: &Folder, seen: &[Vec<u8>]) -> Result<Report, Failure> {
    verify(folder, &[key().public()], seen)
}

fn fails(folder: &Folder, seen: &[Vec<u8>]) -> Failure {
    check(folder, seen).unwrap_err()
}

#[test]
fn a_whole_log_is_counted() {
    let log = Log::of(700).signed();
    let report = check(&log.folder, &[]).unwrap();
    assert_eq!((report.entries, report.records, report.events, report.seen), (700, 3 * 349, 349, None));
    assert_eq!(report.signed_by, [ORIGIN]);
    let seen: Vec<_> = log.notes.values().cloned().collect();
    assert_eq!(check(&log.folder, &seen).unwrap().seen, Some(700));
    let empty = Log::of(0).signed();
    assert_eq!(check(&empty.folder, &[]).unwrap().entries, 0);
}

#[test]
fn one_bit_anywhere_is_found() {
    let log = Log::of(300).signed();
    // Shorter forms of files that are there in full are read by nobody.
    let read: Folder = log
        .folder
        .clone()
        .into_iter()
        .filter(|(path, _)| !path.contains(".p/") || path.ends_with("/44") || path == "tile/1/000.p/1")
        .collect();
    assert!(check(&read, &[]).is_ok());
    for (path, bytes) in &read {
        // A spread over all of it; the files of batches are alike.
        if path.strip_prefix("batches/").is_some_and(|index| !index.ends_with('1')) {
            continue;
        }
        let step = 1 + bytes.len() / 24;
        for place in (0..bytes.len()).step_by(step) {
            let mut other = read.clone();
            other.get_mut(path).unwrap()[place] ^= 1 << (place % 8);
            let failure = fails(&other, &[]);
            match path.split('/').next().unwrap() {
                "checkpoint" => {
                    assert!(matches!(failure, Failure::Checkpoint(_)), "{path} {place}: {failure}");
                }
                "batches" => {
                    let index: u64 = path.strip_prefix("batches/").unwrap().parse().unwrap();
                    assert_eq!(failure.first_bad_entry(), Some(index), "{path} {place}: {failure}");
                }
                _ => {
                    assert!(failure.first_bad_entry().is_some(), "{path} {place}: {failure}");
                }
            }
        }
        let mut other = read.clone();
        other.remove(path);
        fails(&other, &[]);
    }
}

#[test]
fn the_first_bad_entry_is_named() {
    let log = Log::of(300).signed();
    let bundle = "tile/entries/000";
    let mut other = log.folder.clone();
    let place = other[bundle].windows(12).position(|part| part == br#""number":42}"#).unwrap();
    other.get_mut(bundle).unwrap()[place + 9] = b'5';
    assert!(matches!(fails(&other, &[]), Failure::Entry { index: 42, .. }));
    // With its hash.
    let mut entries = log.entries.clone();
    entries[42] = String::from_utf8(entries[42].clone()).unwrap().replace(":42}", ":52}").into_bytes();
    let forged = Log::forged(&entries, &log.folder);
    let mut other = log.folder.clone();
    for path in [bundle, "tile/0/000"] {
        other.insert(path.into(), forged[path].clone());
    }
    assert!(matches!(fails(&other, &[]), Failure::Tile { first: 0, last: 255, .. }));
    // With all hashes: the signature is left, and the checkpoints that others have seen.
    assert!(matches!(fails(&forged, &[]), Failure::Root { first: 0, last: 299 }));
    let seen: Vec<_> = [50, 100].iter().map(|size| log.notes[size].clone()).collect();
    assert!(matches!(fails(&forged, &seen), Failure::Forked { size: 50, by: SeenBy::Given }));
    let mut late = log.entries.clone();
    late[142] = late[142].iter().map(|byte| if *byte == b'4' { b'5' } else { *byte }).collect();
    assert!(matches!(
        fails(&Log::forged(&late, &log.folder), &seen),
        Failure::Root { first: 100, last: 299 }
    ));
}

#[test]
fn what_is_dropped_or_moved_is_found() {
    let log = Log::of(300).signed();
    let mut dropped = log.entries.clone();
    dropped.remove(42);
    dropped.push(log.entries[299].clone());
    let mut moved = log.entries.clone();
    moved.swap(42, 44);
    // Without anything in its place: the bundle is shorter by one.
    let shorter = [&log.entries[..42], &log.entries[43..256]].concat();
    let text: Vec<u8> = (shorter.iter())
        .flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat())
        .collect();
    let mut folder = log.folder.clone();
    folder.insert("tile/entries/000".into(), text);
    assert!(matches!(fails(&folder, &[]), Failure::Entry { index: 42, .. }));
    for entries in [dropped, moved] {
        let forged = Log::forged(&entries, &log.folder);
        let mut bundle_only = log.folder.clone();
        bundle_only.insert("tile/entries/000".into(), forged["tile/entries/000"].clone());
        assert!(matches!(fails(&bundle_only, &[]), Failure::Entry { index: 42, .. }));
        assert!(check(&forged, &[]).is_err());
    }
    // Whoever has the key and leaves out a batch cannot hide that its numbers are missing.
    let without = Log::with(300, |index, entry| match entry {
        Entry::Batch { at, .. } if index == 41 => Entry::Closed { at },
        other => other,
    });
    assert!(matches!(fails(&without.signed().folder, &[]), Failure::Record { index: 43, wanted: 60, .. }));
    let late =
        Log::with(300, |index, entry| if index == 42 { Entry::Closed { at: UnixMicros(5) } } else { entry });
    assert!(matches!(fails(&late.signed().folder, &[]), Failure::Time { index: 42, .. }));
    let mut lost = log.folder.clone();
    lost.remove("batches/041");
    assert!(matches!(fails(&lost, &[]), Failure::NoBatch { index: 41, first: 60, last: 62, .. }));
    lost.insert("batches/041".into(), log.folder["batches/043"].clone());
    assert!(matches!(fails(&lost, &[]), Failure::Batch { index: 41, source: BatchError::File, .. }));
}

#[test]
fn an_end_that_was_cut_off_is_found_by_whoever_has_seen_it() {
    let log = Log::of(300).signed();
    let mut cut = log.folder.clone();
    cut.insert("checkpoint".into(), log.notes[&250].clone());
    assert_eq!(check(&cut, &[]).unwrap().seen, None, "by itself it cannot be told, and the report says so");
    assert!(matches!(fails(&cut, &[log.notes[&300].clone()]), Failure::CutOff { seen: 300, size: 250, .. }));
    assert_eq!(check(&cut, &[log.notes[&200].clone()]).unwrap().seen, Some(200));
    // The same key over another history: a fork.
    let fork = Log::with(300, |index, entry| match entry {
        Entry::Event { at, .. } if index == 120 => {
            Entry::Event { at, event: Event::new(Map::new()).unwrap() }
        }
        other => other,
    });
    let fork = fork.signed();
    assert!(check(&fork.folder, &[]).is_ok());
    assert!(matches!(fails(&fork.folder, &[log.notes[&150].clone()]), Failure::Forked { size: 150, .. }));
    assert!(check(&fork.folder, &[log.notes[&100].clone()]).is_ok(), "until there they are one");
    // A checkpoint of another log, or one that was forged.
    let other = LogKey::of_seed("example.com/other", &[8; 32]).unwrap();
    let checkpoint = Checkpoint { origin: "example.com/other".into(), size: 3, root: Hash([0; 32]) };
    let note = checkpoint.sign(&[&other]).unwrap();
    let keys = [key().public(), other.public()];
    assert!(matches!(
        verify(&log.folder, &keys, &[log.notes[&50].clone(), note.clone()]),
        Err(Failure::Seen { place: 2, .. })
    ));
    assert!(matches!(verify(&log.folder, &keys[..1], &[note]), Err(Failure::Seen { place: 1, .. })));
    assert!(matches!(verify(&log.folder, &keys[1..], &[]), Err(Failure::Checkpoint(_))));
}

#[test]
fn a_checkpoint_that_was_replaced_is_found() {
    let log = Log::of(300).signed();
    let fork = Log::with(300, |index, entry| match entry {
        Entry::Event { at, .. } if index == 120 => {
            Entry::Event { at, event: Event::new(Map::new()).unwrap() }
        }
        other => other,
    });
    let fork = fork.signed();
    let with = |note: &[u8]| {
        let mut folder = log.folder.clone();
        folder.insert("checkpoint".into(), note.to_vec());
        folder
    };
    let sign = |origin: &str, size: u64, key: &LogKey| {
        Checkpoint { origin: origin.into(), size, root: log.tree.root() }.sign(&[key]).unwrap()
    };
    let namesake = LogKey::of_seed(ORIGIN, &[8; 32]).unwrap();
    // By another key, of another log, of a longer log, and of another log with the same name and key.
    assert!(matches!(fails(&with(&sign(ORIGIN, 300, &namesake)), &[]), Failure::Checkpoint(_)));
    assert!(matches!(fails(&with(&sign("other", 300, &key())), &[]), Failure::Checkpoint(_)));
    assert!(matches!(fails(&with(&sign(ORIGIN, 301, &key())), &[]), Failure::Files(Broken::Missing(_))));
    let failure = fails(&with(&fork.notes[&300]), &[]);
    assert!(matches!(failure, Failure::Root { first: 0, last: 299 }), "{failure}");
    let seen = [log.notes[&100].clone()];
    assert!(matches!(fails(&with(&fork.notes[&300]), &seen), Failure::Root { first: 100, last: 299 }));
    // An older one of the log itself is told by whoever has seen the newer one, and by nobody else.
    let older = with(&log.notes[&250]);
    assert_eq!((check(&older, &[]).unwrap().entries, check(&older, &[]).unwrap().seen), (250, None));
    assert!(matches!(
        fails(&older, &[log.notes[&300].clone()]),
        Failure::CutOff { seen: 300, size: 250, .. }
    ));
    assert!(matches!(fails(&Folder::new(), &[]), Failure::NoCheckpoint));
}

#[test]
fn a_witness_vouches_for_what_it_has_cosigned() {
    let log = Log::of(300).signed();
    let at = UnixMicros(1_795_000_009_000_000);
    let witness = WitnessKey::of_seed("example.com/w", &[3; 32]).unwrap();
    let cosigned = |size: u64| {
        let text = log.notes[&size].split(|byte| *byte == b'\xe2').next().unwrap();
        [&log.notes[&size][..], &witness.cosign(&text[..text.len() - 1], at)].concat()
    };
    let path = "checkpoint.witnessed/example.com%2Fw";
    let check = |folder: &Folder| verify_witnessed(folder, &[key().public()], &[], &[witness.public()]);
    let mut folder = log.folder.clone();
    let missing = check(&folder);
    assert!(matches!(missing, Err(Failure::NotWitnessed { source: NotWitnessed::Missing(_), .. })));
    folder.insert(path.into(), cosigned(250));
    assert_eq!(check(&folder).unwrap().witnessed, [(witness.public(), 250, at)]);
    // Another log by the same key, and the same one before.
    let fork = Log::with(300, |index, entry| match entry {
        Entry::Event { at, .. } if index == 120 => {
            Entry::Event { at, event: Event::new(Map::new()).unwrap() }
        }
        other => other,
    });
    let mut forked = fork.signed().folder;
    forked.insert(path.into(), cosigned(250));
    let by = SeenBy::Witness("example.com/w".into());
    assert!(matches!(check(&forked), Err(Failure::Forked { size: 250, by: found }) if found == by));
    let mut cut = folder.clone();
    cut.insert("checkpoint".into(), log.notes[&200].clone());
    let failure = check(&cut).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the log was cut off: a checkpoint over 250 entries was seen by the witness example.com/w, and this one has 200"
    );
    folder.insert(path.into(), log.notes[&250].clone());
    assert!(matches!(
        check(&folder),
        Err(Failure::NotWitnessed { source: NotWitnessed::Cosignature(_), .. })
    ));
}

#[test]
fn a_log_holds_what_other_logs_have_recorded_of_it() {
    let log = Log::of(300).signed();
    let text = |note: &[u8]| String::from_utf8(note.to_vec()).unwrap();
    let other = LogKey::of_seed("example.com/control", &[8; 32]).unwrap();
    let stranger = LogKey::of_seed("example.com/stranger", &[9; 32]).unwrap();
    let note = |key: &LogKey| {
        let checkpoint = Checkpoint { origin: key.public().name().into(), size: 3, root: Hash([0; 32]) };
        text(&checkpoint.sign(&[key]).unwrap())
    };
    let mut recording = Log::of(0);
    for note in [text(&log.notes[&100]), text(&log.notes[&250]), note(&stranger)] {
        let at = UnixMicros(1_795_000_000_000_000);
        recording.append(&Entry::Checkpoint { at, note }.to_bytes());
    }
    recording.folder.extend(recording.tree.take_files().into_iter().map(|file| (file.path, file.bytes)));
    let checkpoint =
        Checkpoint { origin: "example.com/control".into(), size: 3, root: recording.tree.root() };
    recording.folder.insert("checkpoint".into(), checkpoint.sign(&[&other]).unwrap());
    let report = verify(&recording.folder, &[key().public(), other.public()], &[]).unwrap();
    assert_eq!((report.recorded.len(), report.recorded_unknown), (2, 1));
    let hold = |folder: &Folder, size| hold_against(folder, size, "example.com/control", &report.recorded);
    assert_eq!(hold(&log.folder, 300).unwrap(), Some(250));
    assert!(matches!(hold(&log.folder, 200), Err(Failure::CutOff { seen: 250, size: 200, .. })));
    let fork = Log::with(300, |index, entry| match entry {
        Entry::Event { at, .. } if index == 120 => {
            Entry::Event { at, event: Event::new(Map::new()).unwrap() }
        }
        other => other,
    });
    let by = SeenBy::Log { origin: "example.com/control".into(), entry: 1 };
    let forked = hold(&fork.signed().folder, 300);
    assert!(matches!(forked, Err(Failure::Forked { size: 250, by: found }) if found == by));
}

#[test]
fn a_receipt_holds_for_its_record_alone() {
    let log = Log::of(300).signed();
    let stored = TileHashes(&log.tree, &log.folder);
    let receipt = |index: u64, place: usize| {
        let entry = &log.entries[index as usize];
        let Ok(Entry::Batch { seal, .. }) = Entry::of_bytes(entry) else { panic!("no batch") };
        let batch = Batch::open(&log.folder[&batch_path(index)], seal).unwrap();
        Receipt {
            record: String::from_utf8(batch.lines().nth(place).unwrap().to_vec()).unwrap(),
            batch_proof: batch.proof(place).unwrap(),
            entry: String::from_utf8(entry.clone()).unwrap(),
            index,
            log_proof: tlog_tiles::prove_record(300, index, &stored).unwrap(),
            checkpoint: String::from_utf8(log.notes[&300].clone()).unwrap(),
        }
    };
    let keys = [key().public()];
    for (index, place) in [(1, 0), (41, 2), (297, 1)] {
        let receipt = receipt(index, place);
        let text = receipt.to_text();
        let read = Receipt::of_text(&text).unwrap();
        assert_eq!(read, receipt);
        assert_eq!(read.check(&keys).unwrap().checkpoint.size, 300);
        for bit in (0..8 * text.len()).step_by(41) {
            let mut other = text.clone().into_bytes();
            other[bit / 8] ^= 1 << (bit % 8);
            let read = String::from_utf8(other).ok().and_then(|other| Receipt::of_text(&other).ok());
            // White space behind it is no part of it.
            let is_end = bit / 8 + 1 == text.len();
            assert!(is_end || read.is_none_or(|read| read.check(&keys).is_err()), "bit {bit}");
        }
    }
    let (one, two) = (receipt(41, 0), receipt(41, 1));
    let mixed = Receipt { record: two.record.clone(), ..one.clone() };
    assert!(matches!(mixed.check(&keys), Err(ReceiptError::Record { number: 61 })));
    let mixed = Receipt { entry: receipt(43, 0).entry, ..one.clone() };
    assert!(matches!(mixed.check(&keys), Err(ReceiptError::Record { .. })));
    let mixed = Receipt { index: 43, ..one.clone() };
    assert!(matches!(mixed.check(&keys), Err(ReceiptError::Inclusion { index: 43 })));
    let event = String::from_utf8(log.entries[42].clone()).unwrap();
    assert_eq!(Receipt { entry: event, ..one }.check(&keys), Err(ReceiptError::NoBatch));
}

/// The hashes of a log's files, for the proofs of the library.
struct TileHashes<'a>(&'a Tree, &'a Folder);

impl tlog_tiles::HashReader for TileHashes<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let one = |index: &u64| {
            let (level, number) = tlog_tiles::split_stored_hash_index(*index);
            let (tile_level, within) = (level / 8, u32::from(level % 8));
            let first = number << within;
            let width = ((self.0.size() >> (8 * u32::from(tile_level))) - first / TILE * TILE).min(TILE);
            let hashes = read_tile(self.1, tile_level, first / TILE, width).unwrap();
            let from = (first % TILE) as usize;
            root_of(&hashes[from..from + (1 << within)])
        };
        Ok(indexes.iter().map(one).collect())
    }
}

#[test]
fn tiles_above_tiles_are_held_against_each_other() {
    let log = Log::of(66_000);
    assert!(log.tree.root() != Hash([0; 32]));
    let log = log.signed();
    let report = check(&log.folder, &[log.notes[&65_550].clone()]).unwrap();
    assert_eq!((report.entries, report.seen), (66_000, Some(65_550)));
    let mut other = log.folder.clone();
    other.get_mut("tile/1/000").unwrap()[32 * 17] ^= 1;
    assert!(matches!(fails(&other, &[]), Failure::Tile { first: 4352, last: 4607, .. }));
    let mut other = log.folder;
    other.get_mut("tile/2/000.p/1").unwrap()[0] ^= 1;
    assert!(matches!(fails(&other, &[]), Failure::Tile { first: 0, last: 65_535, .. }));
}
