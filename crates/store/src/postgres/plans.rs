//! Plans in PostgreSQL.

use super::{Postgres, bounded};
use crate::plans::KEPT;
use crate::{DatabaseError, PlanChange, StoredPlan};
use sqlx::Row;

impl Postgres {
    /// Begins a plan of a kind, unless one is under way. Whether it has.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn begin_plan(&self, kind: &str, document: &str) -> Result<bool, DatabaseError> {
        // First: what has begun must not fail.
        let prune = sqlx::query(
            "DELETE FROM plans WHERE kind = $1 AND is_over AND id NOT IN \
             (SELECT id FROM plans WHERE kind = $1 ORDER BY id DESC LIMIT $2)",
        );
        bounded(prune.bind(kind).bind(KEPT).execute(&self.pool)).await?;
        let insert = sqlx::query(
            "INSERT INTO plans (kind, document) VALUES ($1, $2) ON CONFLICT (kind) WHERE NOT is_over DO NOTHING",
        );
        Ok(bounded(insert.bind(kind).bind(document).execute(&self.pool)).await?.rows_affected() > 0)
    }

    /// The newest plan of a kind.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn plan(&self, kind: &str) -> Result<Option<StoredPlan>, DatabaseError> {
        let query = sqlx::query(
            "SELECT id, generation, revision, is_over, document FROM plans WHERE kind = $1 ORDER BY id DESC LIMIT 1",
        );
        let Some(row) = bounded(query.bind(kind).fetch_optional(&self.pool)).await? else { return Ok(None) };
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::cast_unsigned);
        Ok(Some(StoredPlan {
            id: number(0)?,
            generation: number(1)?,
            revision: number(2)?,
            is_over: row.try_get(3)?,
            document: row.try_get(4)?,
        }))
    }

    /// Changes a plan that is under way. Whether it was changed: not where somebody else has, or leads by now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn change_plan(&self, change: PlanChange<'_>) -> Result<bool, DatabaseError> {
        let update = sqlx::query(
            "UPDATE plans SET document = $1, generation = $2, is_over = $3, revision = revision + 1 \
             WHERE id = $4 AND revision = $5 AND NOT is_over AND generation <= $2 \
             AND NOT EXISTS (SELECT 1 FROM leases WHERE name = $6 AND generation > $2)",
        );
        let update = update.bind(change.document).bind(change.generation.cast_signed()).bind(change.is_over);
        let update =
            update.bind(change.id.cast_signed()).bind(change.revision.cast_signed()).bind(change.lease);
        Ok(bounded(update.execute(&self.pool)).await?.rows_affected() > 0)
    }
}
