//! Plans: what control has begun to do, and how far it has come.
//!
//! A plan outlives who carries it out, so that another goes on where the first one stopped. Of two that believe to lead, only one
//! writes: a change names the revision that it was made of and its leader's generation, and is taken only where nobody has written
//! since and no later leader holds the lease. What is in a plan is not known here.

use crate::{Database, DatabaseError};
use sqlx::Row;

/// Plans of each kind that are kept after they are over.
pub(crate) const KEPT: i64 = 100;

/// A plan as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlan {
    /// Its number, from 1; later plans have greater ones.
    pub id: u64,
    /// Of the leader that wrote last; 0 where none has taken it up.
    pub generation: u64,
    /// Rises with every change.
    pub revision: u64,
    /// Whether nothing more is done for it.
    pub is_over: bool,
    /// What is to be done, and what has been.
    pub document: String,
}

/// A change of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanChange<'a> {
    /// The lease that its writer holds.
    pub lease: &'a str,
    /// The generation of that.
    pub generation: u64,
    /// The plan's number.
    pub id: u64,
    /// The revision that the change was made of.
    pub revision: u64,
    /// Whether nothing more is done for it.
    pub is_over: bool,
    /// What is to be done, and what has been.
    pub document: &'a str,
}

impl Database {
    /// Begins a plan of a kind, unless one is under way. Whether it has.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn begin_plan(&self, kind: &str, document: &str) -> Result<bool, DatabaseError> {
        // First: what has begun must not fail.
        let prune = sqlx::query(
            "DELETE FROM plans WHERE kind = ?1 AND is_over = 1 AND id NOT IN \
             (SELECT id FROM plans WHERE kind = ?1 ORDER BY id DESC LIMIT ?2)",
        );
        prune.bind(kind).bind(KEPT).execute(&self.pool).await?;
        let insert = sqlx::query(
            "INSERT INTO plans (kind, document) VALUES (?, ?) ON CONFLICT (kind) WHERE is_over = 0 DO NOTHING",
        );
        Ok(insert.bind(kind).bind(document).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// The newest plan of a kind.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn plan(&self, kind: &str) -> Result<Option<StoredPlan>, DatabaseError> {
        let query = sqlx::query(
            "SELECT id, generation, revision, is_over, document FROM plans WHERE kind = ? ORDER BY id DESC LIMIT 1",
        );
        let Some(row) = query.bind(kind).fetch_optional(&self.pool).await? else { return Ok(None) };
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::cast_unsigned);
        Ok(Some(StoredPlan {
            id: number(0)?,
            generation: number(1)?,
            revision: number(2)?,
            is_over: number(3)? != 0,
            document: row.try_get(4)?,
        }))
    }

    /// Changes a plan that is under way. Whether it was changed: not where somebody else has, or leads by now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn change_plan(&self, change: PlanChange<'_>) -> Result<bool, DatabaseError> {
        let update = sqlx::query(
            "UPDATE plans SET document = ?1, generation = ?2, is_over = ?3, revision = revision + 1 \
             WHERE id = ?4 AND revision = ?5 AND is_over = 0 AND generation <= ?2 \
             AND NOT EXISTS (SELECT 1 FROM leases WHERE name = ?6 AND generation > ?2)",
        );
        let update = update.bind(change.document).bind(change.generation.cast_signed()).bind(change.is_over);
        let update =
            update.bind(change.id.cast_signed()).bind(change.revision.cast_signed()).bind(change.lease);
        Ok(update.execute(&self.pool).await?.rows_affected() > 0)
    }
}
