//! Leases: who does for a while what one process of the region has to do.
//!
//! Time is the database's, so that clocks of holders do not matter. A lease fences nothing by itself; its generation does, where
//! whoever is told to do something refuses an older one.

use crate::{Database, DatabaseError};
use spinwell_core::Millis;
use sqlx::Row;

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The holder.
    pub holder: String,
    /// Rises with every change of hands, and when the same holder takes it again after it had run out.
    pub generation: u64,
    /// Whether it still runs.
    pub is_valid: bool,
}

impl Database {
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
        let query = sqlx::query(
            "INSERT INTO leases AS l (name, holder, generation, expires) \
             VALUES (?1, ?2, 1, CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER) + ?3) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires = excluded.expires, \
             generation = CASE WHEN l.holder = excluded.holder AND l.expires > excluded.expires - ?3 \
             THEN l.generation ELSE l.generation + 1 END \
             WHERE l.holder = excluded.holder OR l.expires <= excluded.expires - ?3 RETURNING generation",
        );
        let length = i64::try_from(length.0).unwrap_or(i64::MAX / 2);
        let row = query.bind(name).bind(holder).bind(length).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.try_get::<i64, _>(0)).transpose()?.map(i64::cast_unsigned))
    }

    /// Gives a lease back, if this one holds it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), DatabaseError> {
        let statement = sqlx::query("UPDATE leases SET expires = 0 WHERE name = ? AND holder = ?");
        statement.bind(name).bind(holder).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends every lease. Only for who knows that no holder is alive: whatever the clock says, nobody is waited for.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_leases(&self) -> Result<(), DatabaseError> {
        sqlx::query("UPDATE leases SET expires = 0").execute(&self.pool).await?;
        Ok(())
    }

    /// Who holds a lease, or did last.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, DatabaseError> {
        let query = sqlx::query(
            "SELECT holder, generation, expires > CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER) \
             FROM leases WHERE name = ?",
        );
        let Some(row) = query.bind(name).fetch_optional(&self.pool).await? else { return Ok(None) };
        let generation = row.try_get::<i64, _>(1)?.cast_unsigned();
        Ok(Some(Lease { holder: row.try_get(0)?, generation, is_valid: row.try_get::<i64, _>(2)? != 0 }))
    }
}
