//! Where a file that is brought becomes whole before anybody sees it: a folder beside the versions of its model, whose name begins with a
//! dot. It is made before the first byte is sent, so that a node which can write nothing says so then, and goes with its value. What a
//! crash leaves of one is removed at the next start.

use crate::repository::FILE_NAME;
use spinwell_core::{Fnv, ModelHash, NodeId, UnixMillis};
use spinwell_protocol::FileOffer;
use spinwell_runtime::files::{rename_folder, write_atomically, write_dated_atomically};
use std::fs;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// The name of the card beside a model's file.
pub(super) const CARD_NAME: &str = "card.json";
/// How such folders' names end.
const ENDING: &str = ".partial";
/// Digits of a hash in the name of a file that had to give way.
pub(super) const HASH_DIGITS: usize = 12;
/// After which time such a folder is nobody's, whoever made it. Another node of the same folder may be about to use it before.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Whose folders are whose, among nodes that share one: by their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(u64);

impl Owner {
    pub(super) fn of(node: &NodeId) -> Self {
        let mut hasher = Fnv::default();
        hasher.write(node.0.as_bytes());
        Self(hasher.finish())
    }
}

/// A folder for one file, which goes when this does.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    /// The folder of its model, where that was made for it.
    made: Option<PathBuf>,
}

impl Staging {
    /// Makes one beside the versions in `home`.
    ///
    /// # Errors
    /// Where nothing can be written there.
    pub(super) fn begin(home: &Path, offer: &FileOffer, owner: Owner) -> io::Result<Self> {
        let (version, Owner(owner), transfer) = (offer.key.version, owner, offer.transfer);
        let path = home.join(format!(".{version}.{owner:016x}-{transfer:016x}{ENDING}"));
        let made = (!home.exists()).then(|| home.to_owned());
        // From here on, what was made is removed where the rest fails.
        let own = Self { path, made };
        fs::create_dir_all(&own.path)?;
        Ok(own)
    }

    /// Puts a file and its card into their places in a version's folder.
    ///
    /// # Errors
    /// Where something cannot be written; what stood there before does.
    pub(super) fn place(self, own: &Path, offer: &FileOffer, bytes: &[u8]) -> io::Result<()> {
        // Somebody who tidies up may have been here.
        fs::create_dir_all(&self.path)?;
        let written = UNIX_EPOCH + Duration::from_millis(offer.beside.modified.0);
        write_dated_atomically(&self.path.join(FILE_NAME), bytes, written)?;
        if let Some(card) = &offer.beside.card {
            write_atomically(&self.path.join(CARD_NAME), card)?;
        }
        match own.is_dir() {
            false => rename_folder(&self.path, own),
            true => replace(&self.path, own, offer.replaces),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Where it became the version's own folder it is not there any more.
        let _ = fs::remove_dir_all(&self.path);
        if let Some(home) = &self.made {
            // Only where it is empty.
            let _ = fs::remove_dir(home);
        }
    }
}

/// Removes what a crash has left in a folder of models: all that this node has made, and of others what is nobody's by now.
pub(super) fn remove_left_over(folder: &Path, owner: Owner, now: UnixMillis) {
    let Ok(models) = fs::read_dir(folder) else { return };
    let homes = models.flatten().map(|entry| entry.path());
    let all = homes.filter_map(|home| fs::read_dir(home).ok()).flat_map(Iterator::flatten);
    for path in all.map(|entry| entry.path()).filter(|path| path.is_dir() && is_left_over(path, owner, now)) {
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), "a file that was not brought to its end was removed");
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what is left of a file cannot be removed");
            }
        }
    }
}

fn is_left_over(path: &Path, Owner(owner): Owner, now: UnixMillis) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((version, rest)) = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(ENDING))
        .and_then(|name| name.split_once('.'))
    else {
        return false;
    };
    let is_number =
        |text: &str, digits: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| digits(&byte));
    let is_one = is_number(version, u8::is_ascii_digit)
        && rest.split('-').all(|part| part.len() == 16 && is_number(part, u8::is_ascii_hexdigit));
    let modified = fs::metadata(path).and_then(|file| file.modified()).ok();
    let age = modified.and_then(|at| (UNIX_EPOCH + Duration::from_millis(now.0)).duration_since(at).ok());
    is_one && (rest.starts_with(&format!("{owner:016x}-")) || age.is_some_and(|age| age >= ABANDONED))
}

/// Puts what was staged into a version's folder that is there. What gives way stays beside it, the card with its model.
fn replace(staging: &Path, own: &Path, replaces: Option<ModelHash>) -> io::Result<()> {
    let path = own.join(FILE_NAME);
    let what = replaces.map_or("unreadable".to_owned(), |hash| hash.to_string()[..HASH_DIGITS].to_owned());
    let is_by_hash = replaces.is_some();
    if_there(aside(own, &path, (&what, "spinwell"), is_by_hash))?;
    // Before the file changes: a model without a card is told from one with another's.
    let card = own.join(CARD_NAME);
    if_there(aside(own, &card, (&what, CARD_NAME), is_by_hash).and_then(|()| fs::remove_file(&card)))?;
    rename_folder(&staging.join(FILE_NAME), &path)?;
    if_there(rename_folder(&staging.join(CARD_NAME), &card))
}

/// What is done with a file that need not be there.
fn if_there(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Gives a file a second name, by which it stays. A name that is taken is another file's, unless names say what is in them.
fn aside(own: &Path, path: &Path, (what, ending): (&str, &str), is_by_hash: bool) -> io::Result<()> {
    let mut taken = 1;
    loop {
        let number = if taken == 1 { String::new() } else { format!(".{taken}") };
        match fs::hard_link(path, own.join(format!("replaced.{what}{number}.{ending}"))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !is_by_hash => taken += 1,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            linked => return linked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_core::ModelVersion;
    use spinwell_protocol::{Beside, FileKey};
    use std::fs::File;

    fn offer() -> FileOffer {
        let key = FileKey { name: "m".parse().unwrap(), version: ModelVersion(3), hash: ModelHash([1; 32]) };
        FileOffer { key, transfer: 7, whole: 1, replaces: None, beside: Beside::default() }
    }

    fn owner(id: &str) -> Owner {
        Owner::of(&NodeId(id.into()))
    }

    #[test]
    fn a_folder_goes_with_its_value_and_takes_with_it_only_what_was_made_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("m");
        let staging = Staging::begin(&home, &offer(), owner("n1")).unwrap();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
        drop(staging);
        assert!(!home.exists());
        fs::create_dir(&home).unwrap();
        drop(Staging::begin(&home, &offer(), owner("n1")).unwrap());
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "it was there before");
    }

    #[test]
    fn what_a_crash_left_is_removed_by_the_node_that_made_it_or_when_it_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let (home, now) = (folder.path().join("m"), UnixMillis(1_700_000_000_000));
        let left = |name: &str, age: Duration| {
            let path = home.join(name);
            fs::create_dir_all(&path).unwrap();
            let at = UNIX_EPOCH + Duration::from_millis(now.0) - age;
            File::open(&path).unwrap().set_modified(at).unwrap();
        };
        let by = |id: &str| format!(".3.{:016x}-{:016x}.partial", owner(id).0, 7);
        let former = ".3.00000000000000aa.partial".to_owned();
        let others = ["3", ".3.partial", ".x.00000000000000aa.partial", ".3.00000000000000aa.removed"];
        let names = || {
            let found =
                fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            found.collect::<std::collections::BTreeSet<_>>()
        };
        let sorted = |names: &[String]| names.iter().cloned().collect::<std::collections::BTreeSet<_>>();
        let others: Vec<String> = others.map(str::to_owned).into();
        for name in [&[by("n1"), by("n2"), former.clone()][..], &others].concat() {
            left(&name, Duration::from_secs(60));
        }
        remove_left_over(folder.path(), owner("n1"), now);
        assert_eq!(names(), sorted(&[&[by("n2"), former.clone()][..], &others].concat()));
        for name in [&[by("n2"), former][..], &others].concat() {
            left(&name, ABANDONED);
        }
        remove_left_over(folder.path(), owner("n1"), now);
        assert_eq!(names(), sorted(&others), "what is named otherwise is somebody else's");
    }
}
