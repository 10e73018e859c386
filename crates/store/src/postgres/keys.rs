//! Wrapped keys of a region. What their bytes mean is not known here.

use super::{Postgres, bounded};
use crate::DatabaseError;
use sqlx::{PgConnection, Postgres as Sql, Row, Transaction};
use std::collections::BTreeSet;

/// Wrapped keys, and ids of those that were erased.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredKeys {
    /// The records of wrapped keys.
    pub records: Vec<Vec<u8>>,
    /// Ids of erased ones.
    pub erased: BTreeSet<[u8; 16]>,
}

/// The keys of a region while nobody else changes them.
#[derive(Debug)]
pub struct LockedKeys {
    /// What they are.
    pub keys: StoredKeys,
    transaction: Transaction<'static, Sql>,
}

impl Postgres {
    /// The wrapped keys.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn keys(&self) -> Result<StoredKeys, DatabaseError> {
        bounded(async { keys(&mut *self.pool.acquire().await?).await }).await
    }

    /// The wrapped keys, to be changed: whoever else wants to change them waits until this is dropped.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn lock_keys(&self) -> Result<LockedKeys, DatabaseError> {
        bounded(async {
            let mut transaction = self.pool.begin().await?;
            sqlx::query("LOCK TABLE wrapped_keys IN EXCLUSIVE MODE").execute(&mut *transaction).await?;
            let keys = keys(&mut transaction).await?;
            Ok::<_, sqlx::Error>(LockedKeys { keys, transaction })
        })
        .await
    }
}

impl LockedKeys {
    /// Puts these in their place. Returns when that is on the disk.
    ///
    /// # Errors
    /// Where the database fails; then they are what they were.
    pub async fn replace(mut self, keys: &StoredKeys) -> Result<(), DatabaseError> {
        let erased: Vec<&[u8]> = keys.erased.iter().map(|id| &id[..]).collect();
        bounded(async {
            let remove = sqlx::query("DELETE FROM wrapped_keys WHERE record <> ALL ($1)");
            remove.bind(&keys.records).execute(&mut *self.transaction).await?;
            let add = "INSERT INTO wrapped_keys SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING";
            sqlx::query(add).bind(&keys.records).execute(&mut *self.transaction).await?;
            let erase = "INSERT INTO erased_keys SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING";
            sqlx::query(erase).bind(erased).execute(&mut *self.transaction).await?;
            self.transaction.commit().await
        })
        .await
    }
}

async fn keys(connection: &mut PgConnection) -> Result<StoredKeys, sqlx::Error> {
    let records = sqlx::query("SELECT record FROM wrapped_keys ORDER BY record");
    let records = records.fetch_all(&mut *connection).await?;
    let erased = sqlx::query("SELECT id FROM erased_keys").fetch_all(&mut *connection).await?;
    let id = |row: &sqlx::postgres::PgRow| {
        let wrong =
            |_| sqlx::Error::ColumnDecode { index: "id".to_owned(), source: "it is not 16 bytes".into() };
        row.try_get::<Vec<u8>, _>(0)?.try_into().map_err(wrong)
    };
    Ok(StoredKeys {
        records: records.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        erased: erased.iter().map(id).collect::<Result<_, _>>()?,
    })
}
