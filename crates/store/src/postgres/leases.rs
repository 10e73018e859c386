//! Leases in PostgreSQL. Time is the server's.

use super::{Postgres, bounded};
use crate::{DatabaseError, Lease};
use spinwell_core::Millis;
use sqlx::Row;

impl Postgres {
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
             VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond') \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, \
             expires = clock_timestamp() + $3 * interval '1 millisecond', \
             generation = CASE WHEN l.holder = excluded.holder AND l.expires > clock_timestamp() \
             THEN l.generation ELSE l.generation + 1 END \
             WHERE l.holder = excluded.holder OR l.expires <= clock_timestamp() RETURNING generation",
        );
        let query = query.bind(name).bind(holder).bind(length.0 as f64);
        let row = bounded(query.fetch_optional(&self.pool)).await?;
        Ok(row.map(|row| row.try_get::<i64, _>(0)).transpose()?.map(i64::cast_unsigned))
    }

    /// Gives a lease back, if this one holds it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), DatabaseError> {
        let statement =
            sqlx::query("UPDATE leases SET expires = clock_timestamp() WHERE name = $1 AND holder = $2");
        bounded(statement.bind(name).bind(holder).execute(&self.pool)).await.map(drop)
    }

    /// Who holds a lease, or did last.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>, DatabaseError> {
        let query =
            sqlx::query("SELECT holder, generation, expires > clock_timestamp() FROM leases WHERE name = $1");
        let Some(row) = bounded(query.bind(name).fetch_optional(&self.pool)).await? else { return Ok(None) };
        let generation = row.try_get::<i64, _>(1)?.cast_unsigned();
        Ok(Some(Lease { holder: row.try_get(0)?, generation, is_valid: row.try_get(2)? }))
    }
}
