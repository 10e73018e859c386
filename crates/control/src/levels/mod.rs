//! The service levels of a region, as a control keeps an eye on them: pages of metrics go in, changes and a dashboard come out.
//!
//! What is promised and when somebody is told, [`spinwell_policy::slo`] decides. Here it meets the text that processes show ([`page`]) and
//! the documents that people and ledgers read. Whoever reads the pages, and when, is not here.
//!
//! A counter that nobody has raised yet is on no page. So a process whose page was read without it has counted nothing until then: its first
//! figure counts from zero, where the process has not begun anew meanwhile.

mod document;
mod event;
mod page;
mod schema;

pub use page::PageError;
pub(crate) use schema::schema;

use page::Page;
use serde_json::Value;
use spinwell_core::{Millis, UnixMillis};
use spinwell_ledger::ocsf::Source;
use spinwell_ledger::{EntryError, Event};
use spinwell_policy::slo::{
    Change, Counts, Dashboard, Error, Levels, Objective, ObjectiveName, Options, Past, RESOLUTION, Reading,
    SourceId,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After so long without a page nobody knows how the region is.
const BLIND_AFTER: Millis = Millis(3 * RESOLUTION.0);
/// Processes whose first figure may be still to come; beyond that all are forgotten, and their first figures count for nothing.
const BLANK_MAX: usize = 25_600;

/// Service levels that are kept an eye on; a cheap handle.
#[derive(Debug, Clone)]
pub struct ServiceLevels {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    levels: Levels,
    /// When each process had started whose page was read without any counter of an objective.
    blank: BTreeMap<(ObjectiveName, SourceId), UnixMillis>,
    /// When a page was read last, or when somebody began to look.
    heard: UnixMillis,
    /// Why processes could not be read when that was tried last.
    unread: BTreeMap<String, String>,
    /// Those that could.
    read: BTreeMap<String, UnixMillis>,
    /// Whether no page was read for too long.
    is_blind: bool,
}

/// Whether anything is known of the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// As before.
    Same,
    /// No page could be read since then.
    Lost(UnixMillis),
    /// Pages are read again.
    Back,
}

impl ServiceLevels {
    /// Looks at these objectives from now on.
    ///
    /// # Errors
    /// Why they cannot be kept an eye on.
    pub fn new(objectives: Vec<Objective>, now: UnixMillis) -> Result<Self, Error> {
        let state = State {
            levels: Levels::new(objectives, Options::default(), &Past::default(), now)?,
            blank: BTreeMap::new(),
            heard: now,
            unread: BTreeMap::new(),
            read: BTreeMap::new(),
            is_blind: false,
        };
        Ok(Self { state: Arc::new(Mutex::new(state)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a process's page of metrics. `source` is a name that the process keeps when it starts anew.
    ///
    /// # Errors
    /// Where it is no page: then nothing of it is taken.
    pub fn read_page(&self, source: &str, text: &str, now: UnixMillis) -> Result<(), PageError> {
        let page = Page::of(text)?;
        let mut state = self.state();
        let objectives: Vec<_> = state.levels.watches().map(|watch| watch.objective().clone()).collect();
        let process = SourceId(source.into());
        page.with_samples(|samples| {
            for Objective { name, indicator, .. } in objectives {
                let counts = indicator.events().counts(samples);
                state.take(&name, &process, page.started, counts, now);
            }
        });
        state.heard = now;
        state.unread.remove(source);
        state.read.insert(source.to_owned(), now);
        Ok(())
    }

    /// A process's page could not be read, and why.
    pub fn cannot_be_read(&self, source: &str, why: String) {
        let mut state = self.state();
        state.read.remove(source);
        state.unread.insert(source.to_owned(), why);
    }

    /// Only these processes are there now.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut state = self.state();
        state.read.retain(|source, _| is_there(source));
        state.unread.retain(|source, _| is_there(source));
    }

    /// Judges what was read until now, and says what has changed. To be called every [`RESOLUTION`].
    #[must_use]
    pub fn advance(&self, now: UnixMillis) -> (Vec<Change>, Sight) {
        let mut state = self.state();
        let changes = state.levels.advance(now);
        let is_blind = now.0.saturating_sub(state.heard.0) >= BLIND_AFTER.0;
        let sight = match (std::mem::replace(&mut state.is_blind, is_blind), is_blind) {
            (false, true) => Sight::Lost(state.heard),
            (true, false) => Sight::Back,
            _ => Sight::Same,
        };
        (changes, sight)
    }

    /// All that operators see, as JSON.
    #[must_use]
    pub fn document(&self, now: UnixMillis) -> Value {
        let state = self.state();
        let alerts: Vec<_> = state.levels.alerts().filter(|alert| alert.is_firing()).collect();
        let mut document = document::of(&state.levels.dashboard(now), &alerts);
        document["looks"] =
            document::looks(state.is_blind.then_some(state.heard), &state.read, &state.unread);
        document
    }

    /// All that operators see, and for each rule whether its alert fires: objective, rule, severity.
    pub(crate) fn figures(&self, now: UnixMillis) -> (Dashboard, Vec<([String; 3], bool)>) {
        let state = self.state();
        let rules = state.levels.watches().flat_map(|watch| {
            let objective = watch.objective();
            objective.rules.iter().map(move |rule| {
                let name = rule.name();
                let fires = watch.alerts().any(|alert| alert.is_firing() && alert.id.rule == name);
                ([objective.name.to_string(), name, rule.severity().as_str().to_owned()], fires)
            })
        });
        (state.levels.dashboard(now), rules.collect())
    }
}

impl State {
    fn take(
        &mut self,
        name: &ObjectiveName,
        source: &SourceId,
        started: Option<UnixMillis>,
        counts: Option<Counts>,
        now: UnixMillis,
    ) {
        let key = (name.clone(), source.clone());
        let Some(counts) = counts else {
            if self.blank.len() >= BLANK_MAX {
                self.blank.clear();
            }
            if let Some(started) = started {
                self.blank.insert(key, started);
            }
            return;
        };
        let was_blank = self.blank.remove(&key).is_some_and(|before| Some(before) == started);
        let figures = was_blank.then_some(Counts::ZERO).into_iter().chain([counts]);
        for counts in figures {
            let reading = Reading { source: source.clone(), started, counts };
            // The objective is one of these.
            let _ = self.levels.read(name, &reading, now);
        }
    }
}

/// A change as an event of the ledger.
///
/// # Errors
/// Where an entry cannot hold it.
pub fn service_level_event(source: Source<'_>, change: &Change) -> Result<Event, EntryError> {
    event::of(source, change)
}

#[cfg(test)]
mod tests;
