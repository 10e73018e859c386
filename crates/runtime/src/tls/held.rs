//! Files that are read at the start and again whenever they hold something new.
//!
//! What is new is checked as a whole and takes the place of what held before, or nothing of it does: then what held before goes on to hold.

use super::material::Error;
use super::shared::Shared;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use spinwell_core::UnixMillis;
use std::sync::{Arc, Mutex, PoisonError};

/// What is made of files.
pub(super) trait Filed: Sized {
    /// Where it is read from.
    type Files;
    /// What the files hold.
    type Contents: PartialEq;

    /// Reads the files.
    fn read(files: &Self::Files) -> Result<Self::Contents, Error>;

    /// Makes of their contents what holds at the time `now`, where that can be used.
    fn check(
        files: &Self::Files,
        contents: &Self::Contents,
        provider: &Arc<CryptoProvider>,
        now: UnixMillis,
    ) -> Result<Self, Error>;

    /// Whether it may take the place of what held before.
    fn follows(&self, _before: &Self, _files: &Self::Files) -> Result<(), Error> {
        Ok(())
    }
}

/// What holds now, with what takes newer.
pub(super) struct Held<M: Filed> {
    pub(super) files: M::Files,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) shared: Arc<Shared<M>>,
    /// What the files held when they were last taken. Locked for a whole reload, so that an older look never overtakes a newer.
    taken: Mutex<M::Contents>,
}

impl<M: Filed> Held<M> {
    /// Reads and checks the files.
    pub(super) fn load(files: M::Files) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let contents = M::read(&files)?;
        let shared = Arc::new(Shared::new(M::check(&files, &contents, &provider, crate::clock::unix())?));
        Ok(Self { files, provider, shared, taken: Mutex::new(contents) })
    }

    /// Reads the files again and takes what is new. Whether there was anything.
    pub(super) fn reload(&self) -> Result<bool, Error> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = M::read(&self.files)?;
        if contents == *taken {
            return Ok(false);
        }
        let next = M::check(&self.files, &contents, &self.provider, crate::clock::unix())?;
        next.follows(&self.shared.now(), &self.files)?;
        self.shared.replace(next);
        *taken = contents;
        Ok(true)
    }
}
