//! What lies in the places of models' files, without reading each of them for every question.
//!
//! A file is read again only where it has changed: its length, one of its times or the file itself. Within a short time of a change it may
//! change again without that being seen, as times have a grain; so nothing is remembered of it before that time is over. **Something that
//! no model can be read from is unsettled as long**, since somebody may be writing it: whether it has changed a moment ago say its
//! time and what was seen of it before, for the clock of a file server may be another one.

use crate::file::{FileError, read_model};
use spinwell_core::{Code, Fault, ModelHash, UnixMillis};
use spinwell_runtime::{clock, telemetry};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a file must have been as it is.
pub(super) const SETTLED: Duration = Duration::from_secs(10);
/// Files of which is remembered what they are. Of more, the one that was asked for longest ago is read again.
const KNOWN_MAX: usize = 4096;

/// What is in a file's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Nothing,
    /// These bytes.
    Model(ModelHash),
    /// Something that is no model.
    Unreadable,
    /// The same, and somebody may be writing it.
    Unsettled,
}

/// The time by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) monotonic: Instant,
    pub(super) unix: UnixMillis,
}

impl Now {
    pub(super) fn read() -> Self {
        Self { monotonic: clock::now(), unix: clock::unix() }
    }
}

/// Files, by their paths.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<PathBuf, Seen>>);

/// What was seen of a file.
#[derive(Debug, Clone, Copy)]
struct Seen {
    stamp: Stamp,
    /// Since when it has been so, as far as it was seen.
    since: Instant,
    /// Whether it was seen to be otherwise shortly before.
    has_changed: bool,
    /// What is in it, where that is safe to remember.
    found: Option<Standing>,
    /// When it was asked for.
    asked: Instant,
}

/// What changes with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            file: (file.dev(), file.ino()),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl Known {
    /// What is in a file's place.
    ///
    /// # Errors
    /// Where nobody can say: the file cannot be read just now, or a newer program has written it.
    pub(super) fn standing(&self, path: &Path, now: Now) -> Result<Standing, Fault> {
        self.standing_by(path, now, hash_of)
    }

    /// The same with another way to read a file, one that a test can count.
    fn standing_by(
        &self,
        path: &Path,
        now: Now,
        read: impl FnOnce(&Path) -> Result<Option<ModelHash>, Fault>,
    ) -> Result<Standing, Fault> {
        if fs::symlink_metadata(path).is_err() {
            lock(&self.0).remove(path);
            return Ok(Standing::Nothing);
        }
        let stamp = Stamp::of(path);
        let seen = stamp.map(|stamp| self.see(path, stamp, now.monotonic));
        if let Some(found) = seen.and_then(|seen| seen.found) {
            return Ok(found);
        }
        let standing = match read(path)? {
            Some(hash) => Standing::Model(hash),
            None if seen.is_some_and(|seen| seen.is_unsettled(now)) => return Ok(Standing::Unsettled),
            None => Standing::Unreadable,
        };
        // What changed meanwhile was not read as it is.
        let is_same = |stamp: &Stamp| stamp.is_old(now.unix) && Stamp::of(path) == Some(*stamp);
        if let Some(seen) = lock(&self.0).get_mut(path).filter(|seen| is_same(&seen.stamp)) {
            seen.found = Some(standing);
        }
        Ok(standing)
    }

    /// Takes note of how a file looks.
    fn see(&self, path: &Path, stamp: Stamp, now: Instant) -> Seen {
        let mut all = lock(&self.0);
        if all.len() >= KNOWN_MAX && !all.contains_key(path) {
            let oldest = all.iter().min_by_key(|(_, seen)| seen.asked).map(|(path, _)| path.clone());
            oldest.map(|path| all.remove(&path));
        }
        let before = all.get(path).filter(|before| before.stamp != stamp);
        let has_changed = before.is_some_and(|before| now.saturating_duration_since(before.asked) < SETTLED);
        let new = Seen { stamp, since: now, has_changed, found: None, asked: now };
        let seen = all.entry(path.to_owned()).or_insert(new);
        if seen.stamp != stamp {
            *seen = new;
        }
        seen.asked = now;
        *seen
    }
}

impl Seen {
    /// Whether a file that is no model may be one that somebody is writing.
    fn is_unsettled(&self, now: Now) -> bool {
        let is_young = now.monotonic.saturating_duration_since(self.since) < SETTLED;
        is_young && (self.has_changed || !has_passed(self.stamp.modified, now.unix))
    }
}

impl Stamp {
    /// Whether a change since would be seen.
    fn is_old(&self, now: UnixMillis) -> bool {
        has_passed(self.modified, now) && has_passed(self.changed, now)
    }
}

/// Whether it is a while since then. What is yet to come has not passed.
fn has_passed((seconds, nanoseconds): (i64, i64), now: UnixMillis) -> bool {
    let at = i128::from(seconds) * 1000 + i128::from(nanoseconds) / 1_000_000;
    i128::from(now.0) - at >= SETTLED.as_millis() as i128
}

/// The hash of the model that a file holds; nothing where it is damaged or something else.
fn hash_of(path: &Path) -> Result<Option<ModelHash>, Fault> {
    match read_model(path) {
        Ok((model, _)) => Ok(Some(model.hash())),
        Err(FileError::Io(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) =>
        {
            Ok(None)
        }
        Err(error) => match error.code() {
            Code::FileForeign | Code::FileTruncated | Code::FileCorrupt => Ok(None),
            code => Err(Fault::new(code, format!("{}: {}", path.display(), telemetry::chain(&error)))),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_runtime::files::{write_atomically, write_dated_atomically};
    use std::time::SystemTime;

    /// A file, and a time from which on.
    struct Bench {
        folder: tempfile::TempDir,
        known: Known,
        start: Now,
        reads: usize,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { folder, known: Known::default(), start: Now::read(), reads: 0 }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("model.spinwell")
        }

        fn put(&self, bytes: &[u8]) {
            write_atomically(&self.path(), bytes).unwrap();
        }

        /// As a copier does that keeps times.
        fn put_old(&self, bytes: &[u8]) {
            write_dated_atomically(&self.path(), bytes, SystemTime::UNIX_EPOCH).unwrap();
        }

        /// What is there so many seconds after the start, where bytes are models by their first one, and b"-" is none.
        fn standing(&mut self, seconds: u64) -> Standing {
            let later = Duration::from_secs(seconds);
            let unix = UnixMillis(self.start.unix.0 + seconds * 1000);
            let now = Now { monotonic: self.start.monotonic + later, unix };
            let read = |path: &Path| {
                self.reads += 1;
                let first = fs::read(path).unwrap()[0];
                Ok((first != b'-').then_some(ModelHash([first; 32])))
            };
            self.known.standing_by(&self.folder.path().join("model.spinwell"), now, read).unwrap()
        }
    }

    #[test]
    fn a_file_is_read_once_and_again_when_it_has_changed() {
        let mut bench = Bench::new();
        assert_eq!(bench.standing(60), Standing::Nothing);
        bench.put(b"a");
        for seconds in 60..70 {
            assert_eq!(bench.standing(seconds), Standing::Model(ModelHash([b'a'; 32])));
        }
        assert_eq!(bench.reads, 1);
        // Of the same length and time, but another file.
        bench.put_old(b"b");
        bench.standing(70);
        bench.put_old(b"c");
        assert_eq!(bench.standing(70), Standing::Model(ModelHash([b'c'; 32])));
        assert_eq!(bench.reads, 3);
    }

    #[test]
    fn nothing_is_remembered_of_what_has_changed_a_moment_ago() {
        let mut bench = Bench::new();
        bench.put(b"a");
        for _ in 0..3 {
            bench.standing(0);
        }
        assert_eq!(bench.reads, 3);
    }

    #[test]
    fn what_is_no_model_is_unsettled_until_it_has_been_so_for_a_while() {
        let mut bench = Bench::new();
        bench.put(b"-");
        assert_eq!(bench.standing(0), Standing::Unsettled);
        bench.put(b"--");
        assert_eq!(bench.standing(9), Standing::Unsettled);
        bench.put(b"---");
        assert_eq!(bench.standing(18), Standing::Unsettled, "it has changed since");
        assert_eq!(bench.standing(27), Standing::Unsettled);
        assert_eq!(bench.standing(28), Standing::Unreadable);
        bench.put(b"a");
        assert_eq!(bench.standing(29), Standing::Model(ModelHash([b'a'; 32])), "a whole one is whole");
    }

    #[test]
    fn what_was_damaged_long_ago_is_known_for_that_at_once_and_times_that_lie_do_not_hide_a_writer() {
        let mut bench = Bench::new();
        bench.put_old(b"-");
        assert_eq!(bench.standing(0), Standing::Unreadable);
        bench.put_old(b"--");
        assert_eq!(
            bench.standing(1),
            Standing::Unsettled,
            "its time is old, and it was another one a second ago"
        );
        assert_eq!(bench.standing(11), Standing::Unreadable);
        bench.put_old(b"---");
        assert_eq!(bench.standing(30), Standing::Unreadable, "nobody has seen that this is new");
        // The clock of the file server is ahead.
        let mut bench = Bench::new();
        let ahead = SystemTime::UNIX_EPOCH + Duration::from_millis(bench.start.unix.0 + 1_000_000);
        write_dated_atomically(&bench.path(), b"-", ahead).unwrap();
        assert_eq!(bench.standing(0), Standing::Unsettled);
        assert_eq!(bench.standing(10), Standing::Unreadable);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (known, start) = (Known::default(), clock::now());
        let stamp = Stamp { file: (1, 1), length: 1, modified: (1, 1), changed: (1, 1) };
        let see = |number: usize| {
            let at = start + Duration::from_millis(number as u64);
            known.see(Path::new(&number.to_string()), stamp, at);
        };
        (0..KNOWN_MAX + 5).for_each(see);
        let all = lock(&known.0);
        assert_eq!(all.len(), KNOWN_MAX);
        assert!(!all.contains_key(Path::new("4")) && all.contains_key(Path::new("5")));
    }
}
