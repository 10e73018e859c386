//! What is written before anybody is told: the journal that a log's entries are made of, again and again in the same way.
//!
//! Records of predictions are written and not forced; what a killed process has written, the system writes for it. At the latest every
//! few hundredths of a second a seal makes one batch of all records since the last one, and the file is forced to the disk. A promise (`Until`)
//! says how long records may follow that are not forced yet: behind a power cut it bounds what may be missing.

use crate::log::segment::{Segment, list};
use crate::log::{LogError, Position, frame};
use spinwell_core::UnixMicros;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// A segment that is longer than this many bytes is followed by another.
const SEGMENT_BYTES: u64 = 8 << 20;

/// What stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A segment begins: what was before it, in numbers.
    Begin {
        /// Records.
        records: u64,
        /// Entries.
        entries: u64,
        /// In which life of the machine.
        boot: &'a str,
    },
    /// A prediction's line, without its end.
    Record(&'a [u8]),
    /// An entry of the log; one that says that a process has begun comes with the machine's life.
    Entry(&'a [u8]),
    /// The records since the last seal are a batch.
    Seal,
    /// Until then records may be written that are not forced.
    Until(UnixMicros),
    /// A process has begun to write, in this life of the machine.
    Opened(&'a str),
    /// It has ended in good order.
    Closed,
}

/// What an entry is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// It is ready.
    Entry(Vec<u8>),
    /// A batch.
    Lines {
        /// When it was sealed.
        at: UnixMicros,
        /// The number of its first record.
        first: u64,
        /// Its lines, each with its end.
        text: Vec<u8>,
    },
}

impl Frame<'_> {
    fn write(&self, at: UnixMicros, bytes: &mut Vec<u8>) {
        let kind = match self {
            Self::Begin { .. } => b'H',
            Self::Record(_) => b'R',
            Self::Entry(_) => b'E',
            Self::Seal => b'S',
            Self::Until(_) => b'U',
            Self::Opened(_) => b'O',
            Self::Closed => b'C',
        };
        bytes.push(kind);
        bytes.extend_from_slice(&at.0.to_le_bytes());
        match self {
            Self::Begin { records, entries, boot } => {
                bytes.extend_from_slice(&records.to_le_bytes());
                bytes.extend_from_slice(&entries.to_le_bytes());
                bytes.extend_from_slice(boot.as_bytes());
            }
            Self::Record(line) | Self::Entry(line) => bytes.extend_from_slice(line),
            Self::Until(until) => bytes.extend_from_slice(&until.0.to_le_bytes()),
            Self::Opened(boot) => bytes.extend_from_slice(boot.as_bytes()),
            Self::Seal | Self::Closed => {}
        }
    }

    fn read(bytes: &[u8]) -> Option<(UnixMicros, Frame<'_>)> {
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let (kind, rest) = bytes.split_first()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let frame = match kind {
            b'H' => {
                let (records, rest) = rest.split_first_chunk::<8>()?;
                let (entries, rest) = rest.split_first_chunk::<8>()?;
                let boot = str::from_utf8(rest).ok()?;
                Frame::Begin { records: number(records), entries: number(entries), boot }
            }
            b'R' => Frame::Record(rest),
            b'E' => Frame::Entry(rest),
            b'S' => Frame::Seal,
            b'U' => Frame::Until(UnixMicros(number(rest.try_into().ok()?))),
            b'O' => Frame::Opened(str::from_utf8(rest).ok()?),
            b'C' => Frame::Closed,
            _ => return None,
        };
        Some((UnixMicros(number(at)), frame))
    }
}

/// Where the journal stands: the same for the process that writes it and for the one that reads it afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Records so far, which is the number of the next one.
    pub(super) records: u64,
    /// Entries so far.
    pub(super) entries: u64,
    /// The lines since the last seal.
    pub(super) lines: Vec<u8>,
    /// The number of the first of them.
    pub(super) first: u64,
    /// The latest time in it. Times never run backwards.
    pub(super) at: UnixMicros,
    /// The last promise.
    pub(super) until: UnixMicros,
    /// The life of the machine in which it was last written.
    pub(super) boot: String,
    /// Whether whoever wrote it has ended in good order.
    pub(super) is_closed: bool,
}

impl Standing {
    /// What follows from a frame, which may be the next entry.
    pub(super) fn take(&mut self, at: UnixMicros, frame: Frame<'_>) -> Option<Item> {
        self.at = self.at.max(at);
        let item = match frame {
            Frame::Begin { records, entries, boot } => {
                if self.lines.is_empty() {
                    self.first = records;
                }
                (self.records, self.entries) = (records, entries);
                boot.clone_into(&mut self.boot);
                None
            }
            Frame::Record(line) => {
                self.lines.extend_from_slice(line);
                self.lines.push(b'\n');
                self.records += 1;
                None
            }
            Frame::Entry(entry) => Some(Item::Entry(entry.to_vec())),
            Frame::Seal => {
                let first = std::mem::replace(&mut self.first, self.records);
                Some(Item::Lines { at, first, text: std::mem::take(&mut self.lines) })
            }
            Frame::Until(until) => {
                self.until = self.until.max(until);
                None
            }
            Frame::Opened(boot) => {
                boot.clone_into(&mut self.boot);
                self.is_closed = false;
                None
            }
            Frame::Closed => {
                self.is_closed = true;
                None
            }
        };
        self.entries += u64::from(item.is_some());
        item
    }
}

/// Why something is not in the journal, or not on the disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nothing has changed by it.
    #[error(transparent)]
    Write(io::Error),
    /// Nobody knows what is there: the system forgets what it could not write.
    #[error(transparent)]
    Force(io::Error),
}

/// The journal, open for writing.
pub(super) struct Spool {
    folder: std::path::PathBuf,
    /// The segments, oldest first, each with the entries that are before its end; the last one grows.
    segments: Vec<(Segment, u64)>,
    file: File,
    pub(super) end: u64,
    next: Position,
    /// Frames since the file was forced.
    loose: u32,
    /// A part of a frame stands at the end and cannot be cut off: nothing may follow it.
    is_broken: bool,
    pub(super) standing: Standing,
    bytes: Vec<u8>,
    frame: Vec<u8>,
}

impl Spool {
    /// Opens the journal of a folder, and calls `each` with the index of every entry in it and what it is made of. One that is not there
    /// begins with `records` and `entries`.
    pub(super) fn open(
        folder: &Path,
        (records, entries): (u64, u64),
        each: &mut dyn FnMut(u64, Item),
    ) -> Result<Self, LogError> {
        std::fs::create_dir_all(folder).map_err(|error| LogError::io(folder, &error))?;
        let mut found = list(folder)?;
        // A crash while a segment was begun leaves one that has no frame: the one before it is the last.
        while let Some(last) = found.last() {
            let mut is_empty = true;
            last.read(true, &mut |_, _| is_empty = false)?;
            if !is_empty {
                break;
            }
            std::fs::remove_file(&last.path).map_err(|error| LogError::io(&last.path, &error))?;
            found.pop();
        }
        let (mut standing, mut next) = (Standing::default(), Position(0));
        let mut segments = Vec::new();
        for (place, segment) in found.iter().enumerate() {
            let is_last = place + 1 == found.len();
            next = segment.first;
            let mut strange = false;
            segment.read(is_last, &mut |position, bytes| {
                next = Position(position.0 + 1);
                let Some((at, frame)) = Frame::read(bytes) else {
                    strange = true;
                    return;
                };
                let index = standing.entries;
                if let Some(item) = standing.take(at, frame) {
                    each(index, item);
                }
            })?;
            if strange {
                return Err(LogError::Foreign { path: segment.path.clone() });
            }
            segment.mend(is_last)?;
            segments.push((segment.clone(), standing.entries));
        }
        let folder = folder.to_owned();
        if segments.is_empty() {
            (standing.records, standing.first, standing.entries) = (records, records, entries);
        }
        let (bytes, frame) = (Vec::new(), Vec::new());
        if let Some((last, _)) = segments.last() {
            let failed = |error| LogError::io(&last.path, &error);
            let mut file = OpenOptions::new().write(true).open(&last.path).map_err(failed)?;
            let end = file.seek(SeekFrom::End(0)).map_err(failed)?;
            // What a killed process has written may not be forced, and what follows counts from here.
            file.sync_data().map_err(failed)?;
            return Ok(Self {
                folder,
                segments,
                file,
                end,
                next,
                loose: 0,
                is_broken: false,
                standing,
                bytes,
                frame,
            });
        }
        let (segment, file) = Segment::create(&folder, next)?;
        segments.push((segment, standing.entries));
        let mut spool =
            Self { folder, segments, file, end: 0, next, loose: 0, is_broken: false, standing, bytes, frame };
        spool.begin().map_err(|error| LogError::io(&spool.folder, &error))?;
        Ok(spool)
    }

    /// Writes a frame, which is not forced yet. Gives the entry that it makes.
    pub(super) fn append(&mut self, at: UnixMicros, frame: Frame<'_>) -> io::Result<Option<Item>> {
        self.frame.clear();
        frame.write(at, &mut self.frame);
        self.bytes.clear();
        frame::write(self.next, self.loose, &self.frame, &mut self.bytes);
        if self.is_broken {
            return Err(io::Error::other("a part of a record that could not be written cannot be cut off"));
        }
        if let Err(error) = self.file.write_all(&self.bytes) {
            // A part of it may stand there.
            let cut = self.file.set_len(self.end).and_then(|()| self.file.seek(SeekFrom::Start(self.end)));
            self.is_broken = cut.is_err();
            return Err(error);
        }
        self.end += self.bytes.len() as u64;
        self.next.0 += 1;
        self.loose += 1;
        Ok(self.standing.take(at, frame))
    }

    /// What is to be forced, apart from this, and how far it goes then.
    pub(super) fn to_force(&self) -> io::Result<(File, Position)> {
        Ok((self.file.try_clone()?, self.next))
    }

    /// All before this position is on the disk.
    pub(super) fn forced(&mut self, until: Position) {
        // What was written while the disk worked is as loose as before, and counts from there.
        self.loose = u32::try_from(self.next.0 - until.0).unwrap_or(u32::MAX);
    }

    /// Goes on in another segment where this one is long: all that stands in this one is sealed and forced before. Gives the entry that the
    /// seal makes.
    pub(super) fn go_on(&mut self, at: UnixMicros) -> Result<Option<Item>, Trouble> {
        if self.end < SEGMENT_BYTES {
            return Ok(None);
        }
        let is_sealed = self.standing.lines.is_empty();
        let item = if is_sealed { None } else { self.append(at, Frame::Seal).map_err(Trouble::Write)? };
        self.file.sync_data().map_err(Trouble::Force)?;
        self.loose = 0;
        if let Err(error) = self.following() {
            tracing::warn!(%error, "the ledger's journal goes on in its old file");
        }
        Ok(item)
    }

    /// Begins the next segment, or leaves everything as it is.
    fn following(&mut self) -> io::Result<()> {
        let (segment, file) = Segment::create(&self.folder, self.next).map_err(io::Error::other)?;
        let old = std::mem::replace(&mut self.file, file);
        let before = (self.end, self.next, self.loose, self.is_broken, self.standing.clone());
        if let Err(error) = self.begin() {
            self.file = old;
            (self.end, self.next, self.loose, self.is_broken, self.standing) = before;
            std::fs::remove_file(&segment.path)?;
            return Err(error);
        }
        if let Some((_, entries)) = self.segments.last_mut() {
            *entries = self.standing.entries;
        }
        self.segments.push((segment, self.standing.entries));
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        self.end = self.file.stream_position()?;
        let Standing { records, entries, at, until, boot, .. } = self.standing.clone();
        self.append(at, Frame::Begin { records, entries, boot: &boot })?;
        // What was promised in the last segment holds when that is gone.
        self.append(at, Frame::Until(until))?;
        Ok(())
    }

    /// Removes the segments whose entries are all among the first `size` of the log.
    pub(super) fn forget(&mut self, size: u64) {
        let last = self.segments.len() - 1;
        let covered = self.segments[..last].iter().take_while(|(_, entries)| *entries <= size).count();
        for (segment, _) in self.segments.drain(..covered) {
            // One that stays is read again, and nothing is made of it.
            let _ = std::fs::remove_file(&segment.path);
        }
    }
}
