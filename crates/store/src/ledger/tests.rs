#![allow(clippy::disallowed_methods, reason = "these tests let time go by, and look at it")]

use super::index::{Index, IndexError, Sought};
use super::*;
use spinwell_ledger::read;
use spinwell_ledger::verify::{self, Report};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

fn clock() -> UnixMicros {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMicros(now.as_micros() as u64)
}

fn key() -> LogKey {
    LogKey::of_seed("test/log", &[9; 32]).unwrap()
}

fn settings(folder: &Path, boot: &str) -> Settings {
    Settings {
        folder: folder.to_owned(),
        key: key(),
        program: "test 1".into(),
        boot: boot.into(),
        span: Duration::from_millis(100),
        checkpoint: Duration::from_millis(200),
        clock,
    }
}

fn open(folder: &Path, boot: &str) -> Writer {
    Writer::open(settings(folder, boot)).unwrap()
}

fn record(writer: &Writer) -> u64 {
    writer
        .record(|number, at, line| line.extend(format!("{{\"at\":{},\"n\":{number}}}", at.0).bytes()))
        .unwrap()
}

fn event(text: &str) -> Event {
    let serde_json::Value::Object(object) = serde_json::json!({ "what": text }) else { unreachable!() };
    Event::new(object).unwrap()
}

fn report(folder: &Path) -> Report {
    verify::verify(&Folder::new(folder), &[key().public()], &[]).unwrap()
}

/// A copy of a folder, as a machine finds it after the power was cut: what was not forced may be gone.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() { copy(&path, &target) } else { drop(fs::copy(path, target)) }
    }
}

#[test]
fn what_was_taken_is_in_the_log_and_has_a_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    for number in 0..300 {
        assert_eq!(record(&writer), number);
        if number % 100 == 50 {
            writer.event(event("something")).unwrap();
            assert!(writer.counts().forced > 0);
        }
    }
    for number in [0, 50, 299] {
        let receipt = writer.receipt(number).unwrap().unwrap();
        assert_eq!(receipt.check(&[key().public()]).unwrap().checkpoint.origin, "test/log");
        assert!(receipt.record.ends_with(&format!("\"n\":{number}}}")));
    }
    assert_eq!(writer.receipt(300).unwrap(), None);
    writer.close();
    assert!(matches!(writer.record(|_, _, _| ()), Err(LedgerError::Closed)));
    let found = report(folder.path());
    assert_eq!((found.records, found.events, found.gaps.len()), (300, 3, 0));
    drop(writer);
    // It goes on where it was.
    let writer = open(folder.path(), "b");
    let opened = read::bundle(&Folder::new(folder.path()), found.entries + 1, 0).unwrap().pop().unwrap();
    assert!(matches!(opened.1, Entry::Opened { .. }) && opened.0 == writer.life());
    assert_eq!(record(&writer), 300);
    drop(writer);
    assert_eq!(report(folder.path()).gaps, [], "it was closed in good order");
}

#[test]
fn a_killed_process_has_lost_nothing_whenever_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    let (mut copies, mut taken) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    while copies.len() < 12 {
        taken.push(record(&writer));
        std::thread::sleep(Duration::from_micros(200));
        if begin.elapsed() > Duration::from_millis(70 * copies.len() as u64) {
            // All that the system has: files are copied while they are written to.
            let other = tempfile::tempdir().unwrap();
            copy(&folder.path().join("spool"), &other.path().join("spool"));
            let spool_records = taken.len() as u64;
            copies.push((other, spool_records));
        }
    }
    drop(writer);
    for (copy, records) in copies {
        // Without the files that were made of it: the journal alone makes them again.
        let writer = open(copy.path(), "a");
        assert_eq!(writer.records().0, records);
        drop(writer);
        let found = report(copy.path());
        assert_eq!((found.records, found.gaps.len()), (records, 0));
    }
}

/// Where the journal ended when it was forced last, by its own promise.
#[test]
fn a_power_cut_leaves_a_gap_that_covers_what_is_missing_and_no_more_than_was_promised() {
    for cut in 0..6u64 {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(folder.path(), "a");
        let times: Vec<AtomicU64> = (0..4000).map(|_| AtomicU64::new(0)).collect();
        let until = Instant::now() + Duration::from_millis(60 + 37 * cut);
        let mut count = 0;
        while Instant::now() < until && count < times.len() {
            let number = writer.record(|number, at, line| {
                times[count].store(at.0, Ordering::Relaxed);
                line.extend(format!("{{\"at\":{},\"n\":{number}}}", at.0).bytes());
            });
            assert_eq!(number.unwrap(), count as u64);
            count += 1;
            std::thread::sleep(Duration::from_micros(100));
        }
        let other = tempfile::tempdir().unwrap();
        let forced = writer.shared.forced_bytes();
        let lost_life = writer.life();
        copy(folder.path(), other.path());
        drop(writer);
        let segment = fs::read_dir(other.path().join("spool")).unwrap().next().unwrap().unwrap().path();
        fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(forced).unwrap();
        let writer = open(other.path(), "b");
        // The numbers of what is lost are given again, in another life, which the log itself has.
        assert_ne!(writer.life(), lost_life);
        let kept = writer.records().0 as usize;
        drop(writer);
        let found = report(other.path());
        assert_eq!(found.records as usize, kept);
        let [(_, from, until)] = found.gaps[..] else { panic!("{:?}", found.gaps) };
        assert!(until.0 - from.0 <= 100_000, "{} us", until.0 - from.0);
        for lost in &times[kept..count] {
            let at = lost.load(Ordering::Relaxed);
            assert!(
                (from.0..=until.0).contains(&at),
                "a record of {at} is missing, the gap is {from:?} to {until:?}"
            );
        }
    }
}

#[test]
fn a_log_is_not_gone_on_with_where_it_would_become_another() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    record(&writer);
    writer.receipt(0).unwrap();
    copy(&folder.path().join("spool"), &old.path().join("spool"));
    for _ in 0..500 {
        record(&writer);
    }
    writer.event(event("later")).unwrap();
    writer.receipt(500).unwrap();
    assert!(matches!(Writer::open(settings(folder.path(), "a")), Err(LedgerError::Lock(_))));
    drop(writer);
    // The journal of a backup, beside the files of today.
    let today = folder.path().join("spool");
    fs::rename(&today, folder.path().join("aside")).unwrap();
    copy(&old.path().join("spool"), &today);
    let error = Writer::open(settings(folder.path(), "a")).err().unwrap();
    assert!(matches!(error, LedgerError::Older { .. }), "{error}");
    // None at all: the log goes on, and admits it.
    fs::remove_dir_all(&today).unwrap();
    let writer = open(folder.path(), "a");
    assert_eq!(record(&writer), 501);
    drop(writer);
    let found = report(folder.path());
    assert_eq!((found.records, found.gaps.len()), (502, 1));
    // Another key.
    let other =
        Settings { key: LogKey::of_seed("test/log", &[8; 32]).unwrap(), ..settings(folder.path(), "a") };
    assert!(matches!(Writer::open(other), Err(LedgerError::Checkpoint { .. })));
    // Files without a checkpoint.
    fs::remove_file(folder.path().join("checkpoint")).unwrap();
    assert!(matches!(Writer::open(settings(folder.path(), "a")), Err(LedgerError::NoCheckpoint(_))));
}

#[test]
fn a_long_log_forgets_its_journal_and_not_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    let line = vec![b'x'; 4000];
    let mut records = 0;
    for _ in 0..6 {
        for _ in 0..1000 {
            writer
                .record(|number, at, text| {
                    text.extend(format!("{{\"at\":{},\"n\":{number},\"x\":\"", at.0).bytes());
                    text.extend(&line);
                    text.extend(b"\"}");
                })
                .unwrap();
            records += 1;
        }
        writer.receipt(records - 1).unwrap();
        writer.event(event("round")).unwrap();
    }
    let segments = fs::read_dir(folder.path().join("spool")).unwrap().count();
    assert!(segments <= 2, "{segments} segments of 24 MB");
    drop(writer);
    let writer = open(folder.path(), "a");
    assert_eq!(writer.records().0, records);
    drop(writer);
    let found = report(folder.path());
    assert_eq!((found.records, found.events), (records, 6));
    // Beginnings go when what they are the beginnings of is there.
    for path in walk(folder.path()).iter().filter(|path| path.to_string_lossy().contains(".p/")) {
        assert!(!path.parent().unwrap().with_extension("").exists(), "{}", path.display());
    }
}

#[test]
fn a_journal_goes_on_in_other_files_also_while_it_is_never_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let records: u64 = std::thread::scope(|scope| {
        let write = || {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                writer
                    .record(|number, at, text| {
                        text.extend(format!("{{\"at\":{},\"n\":{number},\"x\":\"", at.0).bytes());
                        text.extend([b'x'; 2000]);
                        text.extend(b"\"}");
                    })
                    .unwrap();
                count += 1;
                std::thread::sleep(Duration::from_micros(50));
            }
            count
        };
        let threads = [scope.spawn(write), scope.spawn(write)];
        let since = Instant::now();
        // The first file is full, and gone when its entries are signed.
        while folder.path().join("spool/0000000000000000.log").exists() {
            assert!(since.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(20));
        }
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // As a killed process leaves it, at a moment when its files stand still.
    writer.receipt(records - 1).unwrap();
    let other = tempfile::tempdir().unwrap();
    copy(folder.path(), other.path());
    drop(writer);
    for folder in [&folder, &other] {
        drop(open(folder.path(), "a"));
        let found = report(folder.path());
        assert_eq!((found.records, found.gaps.len()), (records, 0));
    }
}

#[test]
fn what_cannot_be_built_is_built_at_the_next_start_and_nothing_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    // Where a folder should be.
    fs::write(folder.path().join("batches"), b"").unwrap();
    (0..10).for_each(|number| assert_eq!(record(&writer), number));
    let signed = writer.entries().1;
    writer.close();
    assert_eq!(writer.entries().1, signed, "nothing behind it is signed");
    drop(writer);
    fs::remove_file(folder.path().join("batches")).unwrap();
    drop(open(folder.path(), "a"));
    assert_eq!(report(folder.path()).records, 10);
}

#[test]
fn files_of_a_journal_that_were_never_begun_are_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    (0..10).for_each(|number| assert_eq!(record(&writer), number));
    let other = tempfile::tempdir().unwrap();
    copy(&folder.path().join("spool"), &other.path().join("spool"));
    drop(writer);
    for (name, bytes) in [("00000000000fffff", &b""[..]), ("00000000001fffff", b"SPWLOG\0\x01")] {
        fs::write(other.path().join(format!("spool/{name}.log")), bytes).unwrap();
    }
    let writer = open(other.path(), "a");
    assert_eq!(record(&writer), 10);
    drop(writer);
    let found = report(other.path());
    assert_eq!((found.records, found.gaps.len()), (11, 0));
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// What an index holds, by what it finds.
async fn places(folder: &Path, sought: &Sought<'_>) -> (index::Extent, Vec<index::Place>) {
    let index = Index::open(&Folder::new(folder)).await.unwrap();
    let extent = index.extend(&[key().public()]).await.unwrap();
    let places = index.find(sought, 10_000).await.unwrap();
    index.close().await;
    (extent, places)
}

#[tokio::test]
async fn an_index_that_grew_is_one_that_was_made_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(folder.path(), "a");
    let write = |model: &str, result: &str| {
        let line = |number: u64, at: UnixMicros, line: &mut Vec<u8>| {
            let text =
                format!("{{\"at\":{},\"model\":\"{model}\",\"n\":{number},\"result\":\"{result}\"}}", at.0);
            line.extend(text.bytes());
        };
        writer.record(line).unwrap()
    };
    let any = Sought::default();
    let mut last = 0;
    for round in 0..4 {
        // Beyond the end of a bundle.
        for _ in 0..100 * round {
            writer.event(event("something")).unwrap();
        }
        write("wave", "answered");
        write("pair", "SPW-QUEUE-FULL");
        last = write("wave", "cancelled");
        writer.receipt(last).unwrap().unwrap();
        let (grown, found) = places(folder.path(), &any).await;
        assert!(grown.new < grown.entries || round == 0);
        let other = tempfile::tempdir().unwrap();
        copy(folder.path(), other.path());
        fs::remove_file(other.path().join("index.db")).unwrap();
        let (made, at_once) = places(other.path(), &any).await;
        assert_eq!((made.entries, made.lines, made.new), (grown.entries, grown.lines, grown.entries));
        assert_eq!(found, at_once);
    }
    let count = async |sought: Sought<'_>| places(folder.path(), &sought).await.1.len();
    assert_eq!(count(Sought { members: vec![("model", vec!["wave".to_owned()])], ..any.clone() }).await, 8);
    assert_eq!(
        count(Sought {
            members: vec![("model", vec!["wave".to_owned()]), ("result", vec!["cancelled".to_owned()])],
            ..any.clone()
        })
        .await,
        4
    );
    assert_eq!(count(Sought { has_failed: true, ..any.clone() }).await, 4);
    assert_eq!(count(Sought { kind: Some("event"), ..any.clone() }).await, 600);
    assert_eq!(count(Sought { kind: Some("prediction"), ..any.clone() }).await as u64, last + 1);
    assert_eq!(count(Sought { since: Some(UnixMicros(u64::MAX / 4)), ..any.clone() }).await, 0);
    assert_eq!(
        count(Sought { members: vec![("nothing", vec!["known".to_owned()])], ..any.clone() }).await,
        0
    );
    drop(writer);
    // A log that is another one, and one that is not what was signed.
    let other = tempfile::tempdir().unwrap();
    let writer = open(other.path(), "a");
    record(&writer);
    drop(writer);
    fs::copy(folder.path().join("index.db"), other.path().join("index.db")).unwrap();
    let (extent, _) = places(other.path(), &any).await;
    assert_eq!(extent.entries, extent.new, "made anew");
    fs::remove_file(other.path().join("index.db")).unwrap();
    let batch = walk(&other.path().join("batches")).remove(0);
    let mut bytes = fs::read(&batch).unwrap();
    bytes[12] ^= 1;
    fs::write(&batch, bytes).unwrap();
    let index = Index::open(&Folder::new(other.path())).await.unwrap();
    let error = index.extend(&[key().public()]).await.unwrap_err();
    assert!(matches!(&error, IndexError::Log(why) if why.contains("entry 1")), "{error}");
    assert_eq!(index.find(&any, 10).await.unwrap(), [], "nothing of it is kept");
    // No database at all.
    fs::write(folder.path().join("index.db"), "a letter to a friend. ".repeat(90)).unwrap();
    assert!(matches!(Index::open(&Folder::new(folder.path())).await, Err(IndexError::Database { .. })));
}
