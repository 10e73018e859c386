//! Who may come in and what they may do, as it stands in files and at issuers of tokens, kept up to date.
//!
//! A folder has `keys.json` (API keys, written by `spinwell token`), `issuers.toml`, `certificates.toml`, `tenants.toml` and
//! `policies/*.cedar`; what is not there is empty, and without policies the usual ones hold. [`Doors`] looks at the folder every second and takes what is new. A file is taken as a
//! whole, all policies together; where one is wrong, what it held before goes on to hold and the others are taken, so that a key is
//! revoked whatever else is wrong. Issuers' keys are fetched when they grow old and when a token names one that is not there.

mod contents;
mod fetch;
mod standing;
#[cfg(test)]
mod tests;

pub use contents::{CERTIFICATES, ISSUERS, KEYS, POLICIES, TENANTS, read_keys, read_policies};
pub use standing::Standing;

use crate::clock::unix_micros;
use crate::shutdown::Shutdown;
use crate::telemetry::chain;
use contents::Contents;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, ORIGIN};
use spinwell_core::{Code, Fault, UnixMicros};
use spinwell_security::certificate::Certificate;
use spinwell_security::guard::{Caller, Guard, NotIn, Refused, Rules, Shown};
use spinwell_security::key::KeyRecord;
use spinwell_security::token::{self, Fetch, Issuers, KeysFrom, Refetch, RefetchOptions, Why};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Something that an operator or an issuer has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key is there that was not.
    KeyAdded(KeyRecord),
    /// A key was taken back.
    KeyRevoked(KeyRecord),
    /// A key is gone.
    KeyRemoved(KeyRecord),
    /// A key is gone that nobody here has seen, of this id: it went while no process looked.
    KeyGone(String),
    /// Other policies hold, of this hash.
    Policies([u8; 32]),
    /// Tenants have other models or quotas.
    Tenants,
    /// Other issuers are trusted.
    Issuers,
    /// Others are known by their certificates, or have other roles.
    Certificates,
}

/// What a look at the folder has brought.
#[derive(Debug, Default, PartialEq)]
pub struct Reloaded {
    /// What has changed.
    pub changes: Vec<Change>,
    /// What is wrong with a file. What it held before goes on to hold.
    pub wrong: Option<Fault>,
}

/// An issuer's keys, and when they were fetched.
struct Source {
    from: KeysFrom,
    refetch: Refetch,
}

/// What is fetched of which issuer. Locked while something is fetched, so that all who wait get what one has fetched.
type Sources = tokio::sync::Mutex<HashMap<String, Source>>;

/// What a request shows of who sends it, in its headers and by its connection. Two values of the header `authorization` are none: which one
/// counts would depend on who reads them.
#[must_use]
pub fn shown<'r>(headers: &'r HeaderMap, certificate: Option<&'r Certificate>) -> Shown<'r> {
    let mut values = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let authorization = match (values.next(), values.next()) {
        (value, None) => value,
        _ => Some(&b""[..]),
    };
    Shown { authorization, certificate }
}

/// What a request is told that a page of another site has sent: a browser says so of whatever such a page has it send. Nothing where there
/// is no such page.
#[must_use]
pub fn of_another_site(headers: &HeaderMap) -> Option<Fault> {
    let origin = headers.get(ORIGIN)?;
    let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let own = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = host.is_some_and(|host| own.is_some_and(|own| host.eq_ignore_ascii_case(own)));
    let message = "a page of another site has sent this; nothing is done for it";
    (!is_own).then(|| Fault::new(Code::NotPermitted, message))
}

/// What the files held.
#[derive(Default)]
struct Taken {
    /// When they were last taken.
    contents: Contents,
    /// When one of them was wrong, and what was: it is as long as they hold that.
    wrong: Option<(Contents, Fault)>,
}

impl From<Contents> for Taken {
    fn from(contents: Contents) -> Self {
        Self { contents, wrong: None }
    }
}

/// What decides who comes in, with what keeps it up to date.
pub struct Doors {
    guard: Arc<Guard>,
    dir: PathBuf,
    /// What the files held when they were last taken. Locked for a whole change.
    taken: Mutex<Taken>,
    sources: Sources,
    /// Whether a file was wrong when the folder was looked at last.
    is_wrong: AtomicBool,
}

impl Doors {
    /// Nobody is asked who he is.
    #[must_use]
    pub fn open() -> Arc<Self> {
        let (taken, sources) = (Mutex::default(), Sources::default());
        let is_wrong = AtomicBool::new(false);
        Arc::new(Self { guard: Arc::new(Guard::open()), dir: PathBuf::new(), taken, sources, is_wrong })
    }

    /// Only those come in whom the files of this folder know. The seed is to be random. Issuers' keys are not there yet.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn guarded(dir: &Path, seed: &[u8; 16]) -> Result<Arc<Self>, Fault> {
        let contents = Contents::read(dir)?;
        let (rules, sources) = contents.rules(dir, None)?;
        Ok(Arc::new(Self {
            guard: Arc::new(Guard::new(rules, seed)),
            dir: dir.to_owned(),
            taken: Mutex::new(contents.into()),
            sources: Sources::new(sources_of(sources)),
            is_wrong: AtomicBool::new(false),
        }))
    }

    /// What stands at the doors.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Who sends a request that shows this, as far as is known now.
    ///
    /// # Errors
    /// Where that is nobody who may come in.
    pub fn look(&self, shown: Shown<'_>) -> Result<Caller, NotIn> {
        self.guard.authenticate(shown, unix_micros())
    }

    /// The same; an issuer may be asked for its keys meanwhile.
    ///
    /// # Errors
    /// Where that is nobody who may come in.
    pub async fn enter(&self, shown: Shown<'_>) -> Result<Caller, NotIn> {
        let found = self.look(shown);
        match &found {
            Err(not_in) => match not_in.reason() {
                Refused::Token(token::Refused::UnknownKey { issuer, .. })
                    if self.unknown_key(issuer).await =>
                {
                    self.look(shown)
                }
                _ => found,
            },
            Ok(_) => found,
        }
    }

    /// Whether a file was wrong when the folder was looked at last.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.is_wrong.load(Ordering::Relaxed)
    }

    /// Takes what the files hold now, where that is something new and good, and says what has changed.
    pub async fn reload(&self) -> Reloaded {
        let (changes, wrong) = match self.take().await {
            Ok((changes, wrong)) => (changes, wrong),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        self.is_wrong.store(wrong.is_some(), Ordering::Relaxed);
        Reloaded { changes, wrong }
    }

    async fn take(&self) -> Result<(Vec<Change>, Option<Fault>), Fault> {
        if self.guard.is_open() {
            return Ok((Vec::new(), None));
        }
        let mut sources = self.sources.lock().await;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Contents::read(&self.dir)?;
        match &taken.wrong {
            Some((contents, fault)) if *contents == read => return Ok((Vec::new(), Some(fault.clone()))),
            _ if taken.contents == read => {
                taken.wrong = None;
                return Ok((Vec::new(), None));
            }
            _ => {}
        }
        let wrong = read.rules(&self.dir, None).err();
        let contents = match &wrong {
            Some(_) => read.good_over(&taken.contents, &self.dir),
            None => read.clone(),
        };
        taken.wrong = wrong.clone().map(|fault| (read, fault));
        if contents == taken.contents {
            return Ok((Vec::new(), wrong));
        }
        let before = self.guard.rules();
        let (rules, listed) = contents.rules(&self.dir, before.as_deref())?;
        let changes = before.map(|before| {
            let [held, now] = [(&*before, &taken.contents), (&rules, &contents)]
                .map(|(rules, contents)| Standing::of(rules, contents));
            held.changes_to(&now, &rules, Some(&before))
        });
        self.guard.replace(rules);
        let mut next = sources_of(listed);
        for (name, source) in &mut next {
            // Who has the same keys as before need not fetch them again.
            if let Some(old) = sources.remove(name).filter(|old| old.from == source.from) {
                source.refetch = old.refetch;
            }
        }
        (*sources, taken.contents) = (next, contents);
        Ok((changes.unwrap_or_default(), wrong))
    }

    /// What holds now, as it is written down.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard.rules().map(|rules| Standing::of(&rules, &taken.contents)).unwrap_or_default()
    }

    /// What has changed since that held.
    #[must_use]
    pub fn changes_since(&self, before: &Standing) -> Vec<Change> {
        let now = self.standing();
        self.guard.rules().map(|rules| before.changes_to(&now, &rules, None)).unwrap_or_default()
    }

    /// Fetches an issuer's keys again because a token names one that is not there, unless that was tried a moment ago. Whether it may help
    /// to look at the token again.
    pub async fn unknown_key(&self, issuer: &str) -> bool {
        self.fetch(issuer, Why::UnknownKey, unix_micros()).await
    }

    async fn fetch(&self, issuer: &str, why: Why, now: UnixMicros) -> bool {
        let mut sources = self.sources.lock().await;
        let Some(source) = sources.get_mut(issuer) else { return false };
        // Whoever had to wait for another's fetch has its keys.
        if why == Why::UnknownKey && source.refetch.is_fetched_since(now) {
            return true;
        }
        if source.refetch.decide(why, now) != Fetch::Now {
            return false;
        }
        source.refetch.trying(why, now);
        match fetch::keys(&source.from, &self.dir).await {
            Ok(keys) => {
                source.refetch.fetched(now.max(unix_micros()));
                tracing::debug!(
                    issuer,
                    keys = keys.len(),
                    passed_over = keys.passed_over(),
                    "an issuer's keys are here"
                );
                self.with_issuers(|issuers| issuers.with_keys(issuer, keys).ok())
            }
            Err(error) => {
                let is_usable = source.refetch.usable(now);
                tracing::warn!(
                    issuer,
                    error = chain(&error),
                    is_usable,
                    "an issuer's keys cannot be fetched"
                );
                if !is_usable {
                    self.with_issuers(|issuers| issuers.without_keys(issuer).ok());
                }
                false
            }
        }
    }

    fn with_issuers(&self, change: impl FnOnce(&Issuers) -> Option<Issuers>) -> bool {
        let _taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rules) = self.guard.rules() else { return false };
        let Some(issuers) = change(&rules.issuers) else { return false };
        self.guard.replace(Rules { issuers, ..(*rules).clone() });
        true
    }

    /// Fetches what is old, of every issuer.
    pub async fn refresh(&self) {
        let names: Vec<String> = self.sources.lock().await.keys().cloned().collect();
        for name in names {
            self.fetch(&name, Why::Age, unix_micros()).await;
        }
    }

    /// Keeps everything up to date until `shutdown`, and tells of what changes, with what holds then.
    pub async fn watch(
        self: Arc<Self>,
        changed: impl Fn(Vec<Change>, Standing) + Send,
        mut shutdown: Shutdown,
    ) {
        if self.guard.is_open() {
            return;
        }
        let mut said: Option<String> = None;
        loop {
            self.refresh().await;
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let Reloaded { changes, wrong } = self.reload().await;
            changes.iter().for_each(|change| tracing::info!(change = name(change), "access has changed"));
            if !changes.is_empty() {
                changed(changes, self.standing());
            }
            let error = wrong.map(|fault| fault.message().to_owned());
            if let Some(error) = error.as_ref().filter(|error| said.as_ref() != Some(error)) {
                tracing::error!(error, "an access file cannot be used; what it held before goes on to hold");
            }
            said = error;
        }
    }
}

fn sources_of(listed: Vec<(String, KeysFrom)>) -> HashMap<String, Source> {
    let source = |from| Source { from, refetch: Refetch::new(RefetchOptions::default()) };
    listed.into_iter().map(|(name, from)| (name, source(from))).collect()
}

/// What has changed, in words.
#[must_use]
pub fn name(change: &Change) -> &'static str {
    match change {
        Change::KeyAdded(_) => "an API key was added",
        Change::KeyRevoked(_) => "an API key was revoked",
        Change::KeyRemoved(_) | Change::KeyGone(_) => "an API key was removed",
        Change::Policies(_) => "other policies hold",
        Change::Tenants => "other tenants hold",
        Change::Issuers => "other issuers hold",
        Change::Certificates => "other certificates of callers hold",
    }
}
