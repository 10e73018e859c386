//! All objectives together.

use super::alert::{Alert, Options};
use super::history::RESOLUTION;
use super::maintenance::{Maintenance, Refusal, Window};
use super::objective::{Invalid, Objective, ObjectiveName};
use super::panel::{Dashboard, Health, Panel};
use super::sources::{Reading, Taken};
use super::watch::{Change, Watch, WatchPast};
use spinwell_core::UnixMillis;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Objectives at most.
pub const OBJECTIVES_MAX: usize = 100;

/// Why objectives cannot be kept an eye on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// One of them cannot.
    Objective {
        /// Which one.
        name: ObjectiveName,
        /// Why not.
        why: Invalid,
    },
    /// Two have one name.
    Twice(ObjectiveName),
    /// There are too many.
    TooMany,
    /// There is none of that name.
    Unknown(ObjectiveName),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objective { name, .. } => write!(f, "objective {name} cannot be kept an eye on"),
            Self::Twice(name) => write!(f, "two objectives have the name {name}"),
            Self::TooMany => write!(f, "there may be at most {OBJECTIVES_MAX} objectives"),
            Self::Unknown(name) => write!(f, "there is no objective {name}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Objective { why, .. } => Some(why),
            Self::Twice(_) | Self::TooMany | Self::Unknown(_) => None,
        }
    }
}

/// All objectives of a region, their history and their alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Levels {
    watches: BTreeMap<ObjectiveName, Watch>,
    maintenance: Maintenance,
    options: Options,
}

/// All that is known, as plain data. Whoever writes it down, every minute and at every [`Change`], goes on from it after a restart: the
/// processes that are read count on meanwhile, so that no event is lost or counted twice however old it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Of each objective.
    pub watches: Vec<WatchPast>,
    /// Maintenance, past and announced.
    pub maintenance: Vec<Window>,
}

impl Levels {
    /// Keeps an eye on objectives, and goes on with what is known of those that were there before.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn new(
        objectives: Vec<Objective>,
        options: Options,
        past: &Past,
        now: UnixMillis,
    ) -> Result<Self, Error> {
        if objectives.len() > OBJECTIVES_MAX {
            return Err(Error::TooMany);
        }
        let mut watches = BTreeMap::new();
        for objective in objectives {
            let name = objective.name.clone();
            objective.validate().map_err(|why| Error::Objective { name: name.clone(), why })?;
            let before = past.watches.iter().find(|past| past.objective == name);
            let watch = match before {
                Some(before) => Watch::restored(objective, before, now),
                None => Watch::new(objective, now),
            };
            if watches.insert(name.clone(), watch).is_some() {
                return Err(Error::Twice(name));
            }
        }
        let maintenance = Maintenance::restored(past.maintenance.clone());
        Ok(Self { watches, maintenance, options })
    }

    /// As plain data.
    #[must_use]
    pub fn past(&self) -> Past {
        Past {
            watches: self.watches.values().map(Watch::past).collect(),
            maintenance: self.maintenance.windows().to_vec(),
        }
    }

    /// Takes what a process has counted of an objective's events since it started. Readings that come between two calls of
    /// [`Self::advance`] are judged together.
    ///
    /// # Errors
    /// There is no such objective.
    pub fn read(&mut self, name: &ObjectiveName, reading: &Reading, now: UnixMillis) -> Result<Taken, Error> {
        let is_excused = self.maintenance.is_on(now);
        let watch = self.watches.get_mut(name).ok_or_else(|| Error::Unknown(name.clone()))?;
        Ok(watch.read(reading, is_excused, now))
    }

    /// Judges what was read until now; to be called every [`super::RESOLUTION`]. What has changed, in the order of objectives.
    pub fn advance(&mut self, now: UnixMillis) -> Vec<Change> {
        let is_excused = self.maintenance.is_on(now);
        let Self { watches, options, .. } = self;
        watches.values_mut().flat_map(|watch| watch.advance(*options, is_excused, now)).collect()
    }

    /// An operator is at the breaches of an objective. Whether there is any that nobody had acknowledged.
    pub fn acknowledge(&mut self, name: &ObjectiveName, by: &Arc<str>, now: UnixMillis) -> bool {
        self.watches.get_mut(name).is_some_and(|watch| watch.acknowledge(by, now))
    }

    /// Announces maintenance.
    ///
    /// # Errors
    /// Why it is none.
    pub fn announce(&mut self, from: UnixMillis, to: UnixMillis, now: UnixMillis) -> Result<Window, Refusal> {
        self.maintenance.announce(from, to, now)
    }

    /// Takes back maintenance that has not begun. Whether there was such a window.
    pub fn cancel(&mut self, from: UnixMillis, now: UnixMillis) -> bool {
        self.maintenance.cancel(from, now)
    }

    /// Maintenance, past and announced.
    #[must_use]
    pub fn maintenance(&self) -> &Maintenance {
        &self.maintenance
    }

    /// The objectives, by name.
    pub fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.watches.values()
    }

    /// An objective.
    #[must_use]
    pub fn watch(&self, name: &ObjectiveName) -> Option<&Watch> {
        self.watches.get(name)
    }

    /// The newest alert of each rule that ever had one: those that fire are to be sent again and again, those that have ended for a while.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.watches().flat_map(Watch::alerts)
    }

    /// What operators see of each objective.
    #[must_use]
    pub fn panels(&self, now: UnixMillis) -> Vec<Panel> {
        self.watches().map(|watch| Panel::of(watch, self.options, now)).collect()
    }

    /// All that operators see, with one number for all objectives.
    #[must_use]
    pub fn dashboard(&self, now: UnixMillis) -> Dashboard {
        let panels = self.panels(now);
        let next_update = UnixMillis(now.0.saturating_add(RESOLUTION.0));
        Dashboard { health: Health::of(&panels), panels, generated_at: now, next_update }
    }
}
