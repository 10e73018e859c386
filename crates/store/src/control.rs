//! Where control keeps who leads and what is under way.

use crate::postgres::Postgres;
use crate::{Database, DatabaseError, Lease, PlanChange, StoredPlan};
use spinwell_core::Millis;
use std::path::Path;

/// Where control keeps who leads and what is under way; a cheap handle.
#[derive(Debug, Clone)]
pub enum ControlStore {
    /// With the controls of the whole region.
    Shared(Postgres),
    /// In a file of its own: it is the only control.
    Alone(Database),
}

impl ControlStore {
    /// A file that no other process uses, which the caller sees to. Leases in it are of processes that have ended. What is written is on
    /// the disk before it is answered: nodes know generations that a power cut must not give again.
    ///
    /// # Errors
    /// Where the file cannot be opened, is no database, was written by a newer program, or fails.
    pub async fn alone(path: &Path) -> Result<Self, DatabaseError> {
        let database = Database::open_forced(path).await?;
        database.end_leases().await?;
        Ok(Self::Alone(database))
    }

    /// Takes a lease for so long, or holds it for longer. Gives its generation; nothing where another one holds it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        length: Millis,
    ) -> Result<Option<u64>, DatabaseError> {
        match self {
            Self::Shared(store) => store.take_lease(name, holder, length).await,
            Self::Alone(store) => store.take_lease(name, holder, length).await,
        }
    }

    /// Gives a lease back, if this one holds it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), DatabaseError> {
        match self {
            Self::Shared(store) => store.release_lease(name, holder).await,
            Self::Alone(store) => store.release_lease(name, holder).await,
        }
    }

    /// Who holds a lease, or did last.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, DatabaseError> {
        match self {
            Self::Shared(store) => store.lease(name).await,
            Self::Alone(store) => store.lease(name).await,
        }
    }

    /// Begins a plan of a kind, unless one is under way. Whether it has.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn begin_plan(&self, kind: &str, document: &str) -> Result<bool, DatabaseError> {
        match self {
            Self::Shared(store) => store.begin_plan(kind, document).await,
            Self::Alone(store) => store.begin_plan(kind, document).await,
        }
    }

    /// The newest plan of a kind.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn plan(&self, kind: &str) -> Result<Option<StoredPlan>, DatabaseError> {
        match self {
            Self::Shared(store) => store.plan(kind).await,
            Self::Alone(store) => store.plan(kind).await,
        }
    }

    /// Changes a plan that is under way. Whether it was changed: not where somebody else has, or leads by now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn change_plan(&self, change: PlanChange<'_>) -> Result<bool, DatabaseError> {
        match self {
            Self::Shared(store) => store.change_plan(change).await,
            Self::Alone(store) => store.change_plan(change).await,
        }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
