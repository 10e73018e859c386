//! One file of the log.

use super::{Follows, LogError, Position, frame};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What every segment begins with: its kind and layout.
const HEAD: &[u8; 8] = b"SPWLOG\0\x01";
const EXTENSION: &str = "log";

/// A segment on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// No entry stands before this position.
    pub(crate) first: Position,
}

/// The segments in a folder, in order. Other files are left alone.
pub(crate) fn list(folder: &Path) -> Result<Vec<Segment>, LogError> {
    let failed = |error| LogError::io(folder, &error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_segment);
        if let Some(first) = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()) {
            segments.push(Segment { path, first: Position(first) });
        }
    }
    segments.sort_unstable_by_key(|segment| segment.first);
    Ok(segments)
}

impl Segment {
    /// Makes the segment that begins at `first`, and opens it for appending. One of that name holds nothing, or the
    /// position would be taken: it is begun anew.
    pub(crate) fn create(folder: &Path, first: Position) -> Result<(Self, File), LogError> {
        let path = folder.join(format!("{:016x}.{EXTENSION}", first.0));
        let create = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            file.write_all(HEAD)?;
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
            Ok(file)
        };
        let file = create().map_err(|error| {
            // A part of one would stand in the way of the next start.
            let _ = fs::remove_file(&path);
            LogError::io(&path, &error)
        })?;
        Ok((Self { path, first }, file))
    }

    /// Checks every entry and gives the position of the newest. Of the last segment, cuts off what a crash left behind.
    pub(crate) fn mend(&self, is_last: bool) -> Result<Option<Position>, LogError> {
        let mut newest = None;
        let end = self.read(is_last, &mut |position, _| newest = Some(position))?;
        let failed = |error| LogError::io(&self.path, &error);
        let file = OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
        if is_last && file.metadata().map_err(failed)?.len() > end {
            file.set_len(end).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
        Ok(newest)
    }

    /// Calls `each` with every entry, and gives where they end. In the last segment, one that is not whole is the end,
    /// unless it had been promised.
    pub(crate) fn read(&self, is_last: bool, each: &mut dyn FnMut(Position, &[u8])) -> Result<u64, LogError> {
        let bytes = fs::read(&self.path).map_err(|error| LogError::io(&self.path, &error))?;
        if !bytes.starts_with(HEAD) {
            // A crash while it was made leaves a part of the head.
            let is_part = is_last && HEAD.starts_with(&bytes);
            return if is_part { Ok(0) } else { Err(LogError::Foreign { path: self.path.clone() }) };
        }
        let mut at = HEAD.len();
        let mut last = None;
        while at < bytes.len() {
            let frame = frame::read(&bytes[at..]).filter(|frame| Some(frame.position) > last);
            let Some(frame::Frame { position, entry, .. }) = frame else {
                let next = last.map_or(self.first, |last| Position(last.0 + 1));
                let follows = match any_promised(&bytes[at..], next) {
                    true => Follows::Entries,
                    false if is_last => return Ok(at as u64),
                    false => Follows::Files,
                };
                return Err(LogError::Damaged { path: self.path.clone(), offset: at as u64, follows });
            };
            each(position, entry);
            last = Some(position);
            at += frame::HEAD + entry.len();
        }
        Ok(at as u64)
    }
}

/// Whether a whole entry of a group that began behind `next` stands anywhere in `bytes`: then what is broken at `next` was
/// promised. One of the same group was not, and a power cut may leave later pages of a group and lose earlier ones.
fn any_promised(bytes: &[u8], next: Position) -> bool {
    // Empty ones are not looked for: zeros would be taken for many.
    (0..bytes.len()).any(|at| {
        frame::read(&bytes[at..]).is_some_and(|frame| frame.group > next && !frame.entry.is_empty())
    })
}
