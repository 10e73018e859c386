//! The log on a real disk: groups, crashes, damage, a disk that is full.

#![allow(clippy::disallowed_methods, reason = "tests leave files as a crash or a stranger would")]

use super::*;
use proptest::prelude::*;
use std::fs;
use std::sync::mpsc;

fn append_all(log: &Log, entries: &[&[u8]]) -> Vec<Position> {
    let (sender, receiver) = mpsc::channel();
    for entry in entries {
        let sender = sender.clone();
        log.append(entry.to_vec(), move |written| sender.send(written.map_err(LogError::to_string)).unwrap());
    }
    entries.iter().map(|_| receiver.recv().unwrap().unwrap()).collect()
}

fn entries(log: &Log, from: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    log.read(Position(from), |position, entry| found.push((position.0, entry.to_vec()))).unwrap();
    found
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    list(folder).unwrap().into_iter().map(|segment| segment.path).collect()
}

#[test]
fn entries_come_back_in_order_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    assert_eq!(append_all(&log, &[b"a", b"", b"c"]), [Position(1), Position(2), Position(3)]);
    drop(log);
    let log = Log::open(folder.path(), Position(0)).unwrap();
    append_all(&log, &[b"d"]);
    let all = [(1, b"a".to_vec()), (2, Vec::new()), (3, b"c".to_vec()), (4, b"d".to_vec())];
    assert_eq!(entries(&log, 0), all);
    assert_eq!(entries(&log, 3), all[2..]);
}

#[test]
fn older_segments_are_forgotten_and_positions_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    append_all(&log, &[b"a", b"b"]);
    let cut = log.rotate().unwrap();
    assert_eq!((cut, log.rotate().unwrap()), (Position(3), Position(3)));
    append_all(&log, &[b"c"]);
    log.forget_before(Position(2)).unwrap();
    assert_eq!(segments(folder.path()).len(), 2);
    log.forget_before(cut).unwrap();
    assert_eq!(entries(&log, 0), [(3, b"c".to_vec())]);
    let cut = log.rotate().unwrap();
    log.forget_before(cut).unwrap();
    drop(log);
    // Nothing is left, and still no position is used twice.
    let log = Log::open(folder.path(), Position(0)).unwrap();
    assert_eq!(append_all(&log, &[b"d"]), [Position(4)]);
}

#[test]
fn what_a_crash_left_half_written_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    append_all(&log, &[b"first", b"second"]);
    drop(log);
    let path = segments(folder.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let second = whole.len() - frame::HEAD - b"second".len();
    for end in second + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let log = Log::open(folder.path(), Position(0)).unwrap();
        assert_eq!(entries(&log, 0), [(1, b"first".to_vec())], "cut at {end}");
        drop(log);
        // The open log had begun a segment of its own.
        segments(folder.path()).into_iter().skip(1).for_each(|path| fs::remove_file(path).unwrap());
    }
}

#[test]
fn damage_before_the_end_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    // One after the other: each was promised before the next was written.
    [b"first", b"other", b"third"].iter().for_each(|entry| drop(append_all(&log, &[*entry])));
    drop(log);
    let path = segments(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8 + frame::HEAD] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let fault = Log::open(folder.path(), Position(0)).err().unwrap().fault();
    assert_eq!(fault.code(), Code::FileCorrupt);
    assert!(fault.message().contains("damaged at byte 8, and whole entries follow"), "{fault}");
}

#[test]
fn damage_is_told_of_by_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    append_all(&log, &[b"only"]);
    log.rotate().unwrap();
    drop(log);
    let path = segments(folder.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let check = |byte: usize, words: &str| {
        let mut bytes = whole.clone();
        bytes[byte] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = Log::open(folder.path(), Position(0)).err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
        let fault = error.fault_for_callers();
        assert_eq!(fault.code(), error.fault().code());
        assert!(!fault.message().contains(".log"), "{fault}");
    };
    check(whole.len() - 1, "damaged at byte 8, and it is not the newest file");
    check(0, "is no step log: it does not begin like one");
    let io = LogError::io(&path, &io::Error::from_raw_os_error(28)).fault_for_callers();
    assert_eq!(io.code(), Code::LogFailed);
    assert!(io.message().contains("No space left") && !io.message().contains(".log"), "{io}");
}

#[test]
fn a_group_that_a_power_cut_tore_is_cut_off_whole() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    append_all(&log, &[b"promised"]);
    drop(log);
    let path = segments(folder.path()).remove(0);
    // The disk has kept the second entry of a group and not the first.
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    frame::write(Position(2), 0, b"torn", &mut bytes);
    frame::write(Position(3), 1, b"kept", &mut bytes);
    bytes[end + frame::HEAD] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    assert_eq!(entries(&log, 0), [(1, b"promised".to_vec())]);
    append_all(&log, &[b"next"]);
    assert_eq!(entries(&log, 0), [(1, b"promised".to_vec()), (2, b"next".to_vec())]);
}

#[test]
fn a_foreign_file_in_the_folder_is_no_segment_unless_it_is_named_like_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("readme.log"), "hello").unwrap();
    fs::write(folder.path().join("0000000000000001.txt"), "hello").unwrap();
    assert!(Log::open(folder.path(), Position(0)).is_ok());
    fs::write(folder.path().join("0000000000000000.log"), "hello").unwrap();
    let fault = Log::open(folder.path(), Position(0)).err().unwrap().fault();
    assert_eq!(fault.code(), Code::FileCorrupt);
    assert!(fault.message().contains("0000000000000000.log is no step log"), "{fault}");
}

#[test]
fn new_entries_stand_behind_what_is_known_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(41)).unwrap();
    assert_eq!(append_all(&log, &[b"a"]), [Position(42)]);
}

#[test]
fn a_closed_log_takes_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(folder.path(), Position(0)).unwrap();
    log.close();
    let (sender, receiver) = mpsc::channel();
    log.append(b"late".to_vec(), move |written| {
        sender.send(written.map_err(|error| error.fault().code())).unwrap();
    });
    assert_eq!(receiver.recv().unwrap(), Err(Code::Stopping));
}

/// A file system with room for a few pages only.
#[test]
fn a_full_disk_refuses_entries_and_the_log_goes_on_when_there_is_room() {
    let Some(disk) = small_disk() else { return };
    let log = Log::open(&disk.path().join("log"), Position(0)).unwrap();
    append_all(&log, &[b"kept"]);
    let (sender, receiver) = mpsc::channel();
    log.append(vec![7; 4 << 20], move |written| {
        sender.send(written.map_err(|error| error.fault().code())).unwrap();
    });
    assert_eq!(receiver.recv().unwrap(), Err(Code::LogFailed));
    append_all(&log, &[b"small"]);
    drop(log);
    let log = Log::open(&disk.path().join("log"), Position(0)).unwrap();
    let found: Vec<_> = entries(&log, 0).into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(found, [b"kept".to_vec(), b"small".to_vec()]);
}

/// A mounted file system of one megabyte, taken down when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// `None` where this user may not mount, which is said.
#[allow(clippy::print_stderr, reason = "a test that did not run must say so")]
fn small_disk() -> Option<SmallDisk> {
    let folder = tempfile::tempdir().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(folder.path())
        .output();
    if mount.is_ok_and(|mount| mount.status.success()) {
        return Some(SmallDisk(folder));
    }
    eprintln!("not run: this user may not mount a small file system");
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is appended, rotated, forgotten and reopened in whatever order: what was promised and not forgotten is
    /// there, in order.
    #[test]
    fn nothing_promised_is_lost(acts in proptest::collection::vec(0u8..8, 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), Position(0)).unwrap();
        let mut promised: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut cut = Position(0);
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                0 => cut = log.rotate().unwrap(),
                1 => log.forget_before(cut).unwrap(),
                2 => { drop(log); log = Log::open(folder.path(), Position(0)).unwrap(); }
                _ => {
                    let entry = vec![number as u8; usize::from(act)];
                    let position = append_all(&log, &[&entry])[0];
                    promised.push((position.0, entry));
                }
            }
            let kept: Vec<_> = promised.iter().filter(|entry| entry.0 >= cut.0).cloned().collect();
            prop_assert_eq!(entries(&log, cut.0), kept);
        }
    }
}
