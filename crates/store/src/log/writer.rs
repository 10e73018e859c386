//! The log's one writing thread, and what it shares with those who append.

use super::segment::Segment;
use super::{LogError, Position, frame};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Whom to tell, and of what.
type Done = Box<dyn FnOnce(Result<Position, &LogError>) + Send>;

/// An entry that is not written yet.
pub(super) struct Waiting {
    pub(super) entry: Vec<u8>,
    pub(super) done: Done,
}

#[derive(Default)]
struct Gathering {
    waiting: Vec<Waiting>,
    is_closed: bool,
}

/// The file that is written to.
struct Open {
    segment: Segment,
    file: File,
    /// Where the next entry goes.
    end: u64,
    /// What it is called.
    next: Position,
    /// Entries could neither be written nor cut off: nobody knows what the file holds.
    is_lost: bool,
}

pub(super) struct Shared {
    folder: PathBuf,
    gathering: Mutex<Gathering>,
    wake: Condvar,
    open: Mutex<Open>,
}

impl Shared {
    pub(super) fn new(
        folder: &Path,
        (segment, mut file): (Segment, File),
        next: Position,
    ) -> Result<Self, LogError> {
        let end = file.stream_position().map_err(|error| LogError::io(&segment.path, &error))?;
        let open = Open { segment, file, end, next, is_lost: false };
        Ok(Self {
            folder: folder.to_owned(),
            gathering: Mutex::default(),
            wake: Condvar::new(),
            open: Mutex::new(open),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn push(&self, waiting: Waiting) -> Result<(), Waiting> {
        let mut gathering = self.lock();
        if gathering.is_closed {
            return Err(waiting);
        }
        gathering.waiting.push(waiting);
        if gathering.waiting.len() == 1 {
            self.wake.notify_one();
        }
        Ok(())
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    pub(super) fn bytes(&self) -> u64 {
        self.open().end
    }

    pub(super) fn next(&self) -> Position {
        self.open().next
    }

    pub(super) fn rotate(&self) -> Result<Position, LogError> {
        let mut open = self.open();
        let next = open.next;
        if open.segment.first < next || open.is_lost {
            open.change(&self.folder)?;
        }
        Ok(next)
    }

    /// The life of the writing thread.
    pub(super) fn write(&self) {
        let mut bytes = Vec::new();
        let mut is_failing = false;
        while let Some(group) = self.gather() {
            let written = self.open().append(&self.folder, &group, &mut bytes);
            tell(&mut is_failing, written.as_ref().err());
            match written {
                Ok(first) => {
                    for (place, Waiting { done, .. }) in group.into_iter().enumerate() {
                        done(Ok(Position(first.0 + place as u64)));
                    }
                }
                Err(error) => group.into_iter().for_each(|Waiting { done, .. }| done(Err(&error))),
            }
            bytes.clear();
            bytes.shrink_to(1 << 20);
        }
    }

    /// What has gathered, once something has. `None` where nothing has and nothing more will.
    fn gather(&self) -> Option<Vec<Waiting>> {
        let mut gathering = self.lock();
        while gathering.waiting.is_empty() {
            if gathering.is_closed {
                return None;
            }
            gathering = self.wake.wait(gathering).unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut gathering.waiting))
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the operator when writing begins to fail and when it works again, once each and not with every group.
fn tell(is_failing: &mut bool, error: Option<&LogError>) {
    match error {
        Some(error) if !*is_failing => {
            tracing::error!(code = %error.fault().code(), %error, "steps are refused until the step log can be written");
        }
        None if *is_failing => tracing::info!("the step log can be written again"),
        _ => {}
    }
    *is_failing = error.is_some();
}

impl Open {
    /// Writes a group and forces it to the disk; gives the position of its first entry.
    fn append(
        &mut self,
        folder: &Path,
        group: &[Waiting],
        bytes: &mut Vec<u8>,
    ) -> Result<Position, LogError> {
        if self.is_lost {
            self.change(folder)?;
        }
        let first = self.next;
        for (place, Waiting { entry, .. }) in group.iter().enumerate() {
            // A group holds far fewer: its entries are in memory.
            let place_in_group = u32::try_from(place).unwrap_or(u32::MAX);
            frame::write(Position(first.0 + place as u64), place_in_group, entry, bytes);
        }
        // Positions are never used twice, so that what is left of a group that failed is older than what follows.
        self.next = Position(first.0 + group.len() as u64);
        match self.file.write_all(bytes).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.end += bytes.len() as u64;
                Ok(first)
            }
            Err(error) => {
                self.is_lost = self.cut_off().is_err();
                Err(LogError::io(&self.segment.path, &error))
            }
        }
    }

    /// Removes what a failed write may have left.
    fn cut_off(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.sync_all()
    }

    /// Goes on in a new segment.
    fn change(&mut self, folder: &Path) -> Result<(), LogError> {
        if self.is_lost {
            // Whoever reads the old one must find the promised entries and nothing else.
            self.cut_off().map_err(|error| LogError::io(&self.segment.path, &error))?;
        }
        let (segment, mut file) = Segment::create(folder, self.next)?;
        let end = file.stream_position().map_err(|error| LogError::io(&segment.path, &error))?;
        (self.segment, self.file, self.end, self.is_lost) = (segment, file, end, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::sync::Arc;
    use tracing::{Event, Level, Metadata, Subscriber, span};

    /// Remembers how urgent what it hears is.
    struct Heard(Arc<Mutex<Vec<Level>>>);

    impl Subscriber for Heard {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    type Told = Arc<Mutex<Vec<bool>>>;

    /// Appends an entry and, when it is known what became of it, goes on.
    fn append(shared: &Arc<Shared>, told: &Told, then: impl FnOnce(&Arc<Shared>, &Told) + Send + 'static) {
        let (own, own_told) = (shared.clone(), told.clone());
        let done = move |written: Result<Position, &LogError>| {
            own_told.lock().unwrap().push(written.is_ok());
            then(&own, &own_told);
        };
        assert!(shared.push(Waiting { entry: b"x".to_vec(), done: Box::new(done) }).is_ok());
    }

    #[test]
    fn a_disk_that_refuses_is_told_of_once_and_so_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let first = Segment::create(folder.path(), Position(1)).unwrap();
        let shared = Arc::new(Shared::new(folder.path(), first, Position(1)).unwrap());
        let path = shared.open().segment.path.clone();
        // What is open for reading alone refuses what is written, as a full disk does.
        shared.open().file = File::open(&path).unwrap();
        let (told, heard) = (Told::default(), Arc::default());
        append(&shared, &told, |shared, told| {
            append(shared, told, move |shared, told| {
                shared.open().file = OpenOptions::new().write(true).open(path).unwrap();
                append(shared, told, |shared, told| append(shared, told, |shared, _| shared.close()));
            });
        });
        tracing::subscriber::with_default(Heard(Arc::clone(&heard)), || shared.write());
        assert_eq!(*told.lock().unwrap(), [false, false, true, true]);
        assert_eq!(*heard.lock().unwrap(), [Level::ERROR, Level::INFO]);
    }
}
