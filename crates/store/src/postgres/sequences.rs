//! Copies of sequences, and the pruning of the log behind them.

use super::{Postgres, bounded, key_bytes, key_of};
use crate::{DatabaseError, Position, SequencePhase, SequenceRow, Swept};
use spinwell_core::{Millis, ModelHash, SequenceKey, UnixMillis};
use sqlx::Row;
use sqlx::postgres::PgRow;

/// Rows that a sweep looks at in one statement, so that it holds nobody up.
const SWEEP_ROWS: i64 = 1000;

/// Whether the log goes on behind a copy: then the copy says too little to be judged by.
const IS_BEHIND: &str =
    "EXISTS (SELECT 1 FROM steps l WHERE l.shard = q.shard AND l.position > q.position AND l.key = q.key)";
/// Whether the log holds anything of a sequence: without its copy that would look like the whole of it.
const IS_LOGGED: &str = "EXISTS (SELECT 1 FROM steps l WHERE l.shard = q.shard AND l.key = q.key)";

impl Postgres {
    /// Keeps copies of sequences, each with its shard, all or none of them. A copy never takes the place of one of a later
    /// position.
    ///
    /// # Errors
    /// Where the database fails; then nothing has changed.
    pub async fn keep_sequences(&self, rows: &[(u16, SequenceRow)]) -> Result<(), DatabaseError> {
        let number = |of: fn(&SequenceRow) -> u64| -> Vec<i64> {
            rows.iter().map(|(_, row)| of(row).cast_signed()).collect()
        };
        // In the order of the keys: two who copy the same ones wait for each other one way only.
        let statement = sqlx::query(
            "INSERT INTO sequences (key, shard, hash, step, digest, begun, begun_at, position, used, phase, state) \
             SELECT * FROM unnest($1::bytea[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], \
             $7::bigint[], $8::bigint[], $9::bigint[], $10::smallint[], $11::bytea[]) AS given (key) ORDER BY given.key \
             ON CONFLICT (key) DO UPDATE SET hash = excluded.hash, step = excluded.step, digest = excluded.digest, \
             begun = excluded.begun, begun_at = excluded.begun_at, position = excluded.position, used = excluded.used, phase = excluded.phase, state = excluded.state \
             WHERE sequences.position <= excluded.position",
        )
        .bind(rows.iter().map(|(_, row)| key_bytes(&row.key)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(shard, _)| shard.cast_signed()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.hash.0.to_vec()).collect::<Vec<_>>())
        .bind(number(|row| row.step))
        .bind(number(|row| row.digest))
        .bind(number(|row| row.first_digest))
        .bind(number(|row| row.begun_at.0))
        .bind(number(|row| row.position.0))
        .bind(number(|row| row.used.0))
        .bind(rows.iter().map(|(_, row)| row.phase.number() as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.state.as_deref()).collect::<Vec<_>>());
        bounded(statement.execute(&self.pool)).await.map(drop)
    }

    /// Gives up the states of live sequences that were not used since `idle_since`; forgets those that have ended
    /// before `ended_before`, and the expired that were not used since `forget_before`. One whose log goes on behind its copy is left
    /// as it is.
    ///
    /// # Errors
    /// Where the database fails; a part may have been done.
    pub async fn sweep_sequences(
        &self,
        idle_since: UnixMillis,
        ended_before: UnixMillis,
        forget_before: UnixMillis,
    ) -> Result<Swept, DatabaseError> {
        let those = |phase: u8, not: &str| {
            format!(
                "(SELECT key FROM sequences q WHERE phase = {phase} AND used < $1 AND NOT {not} \
                 ORDER BY key LIMIT $2 FOR UPDATE SKIP LOCKED)"
            )
        };
        let forget = |phase| format!("DELETE FROM sequences WHERE key IN {}", those(phase, IS_LOGGED));
        let ended = self.repeat(forget(1), ended_before).await?;
        let gone = self.repeat(forget(2), forget_before).await?;
        let expire =
            format!("UPDATE sequences SET phase = 2, state = NULL WHERE key IN {}", those(0, IS_BEHIND));
        Ok(Swept { expired: self.repeat(expire, idle_since).await?, forgotten: ended + gone })
    }

    async fn repeat(&self, statement: String, before: UnixMillis) -> Result<u64, DatabaseError> {
        let mut all = 0;
        loop {
            let query = sqlx::query(sqlx::AssertSqlSafe(statement.clone()));
            let query = query.bind(before.0.cast_signed()).bind(SWEEP_ROWS);
            let done = bounded(query.execute(&self.pool)).await?.rows_affected();
            all += done;
            if done < SWEEP_ROWS.cast_unsigned() {
                return Ok(all);
            }
        }
    }

    /// Removes entries that copies hold and that are older than that by the server's clock, so many at most. Gives how many.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn prune(&self, older_than: Millis, most: u32) -> Result<u64, DatabaseError> {
        let statement = sqlx::query(
            "DELETE FROM steps WHERE (shard, position) IN (SELECT l.shard, l.position FROM steps l \
             JOIN sequences q ON q.key = l.key AND q.position >= l.position \
             WHERE l.written < clock_timestamp() - $1 * interval '1 millisecond' ORDER BY l.written LIMIT $2 \
             FOR UPDATE OF l SKIP LOCKED)",
        );
        let statement = statement.bind(older_than.0 as f64).bind(i64::from(most));
        Ok(bounded(statement.execute(&self.pool)).await?.rows_affected())
    }

    /// Sequences of these shards whose log goes on behind their copies with entries older than that; so many at most.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn uncopied(
        &self,
        shards: &[u16],
        older_than: Millis,
        most: u32,
    ) -> Result<Vec<SequenceKey>, DatabaseError> {
        let query = sqlx::query(
            "SELECT DISTINCT l.key FROM steps l LEFT JOIN sequences q ON q.key = l.key \
             WHERE l.written < clock_timestamp() - $1 * interval '1 millisecond' AND l.shard = ANY ($2) \
             AND l.position > coalesce(q.position, 0) LIMIT $3",
        );
        let shards: Vec<i16> = shards.iter().map(|shard| shard.cast_signed()).collect();
        let query = query.bind(older_than.0 as f64).bind(shards).bind(i64::from(most));
        let rows = bounded(query.fetch_all(&self.pool)).await?;
        let keys: Vec<Vec<u8>> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>()?;
        Ok(keys.iter().filter_map(|key| key_of(key)).collect())
    }

    /// How many sequences are kept that go on, by their copies.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sequences_kept(&self) -> Result<u64, DatabaseError> {
        let query = sqlx::query("SELECT count(*) FROM sequences WHERE phase = 0");
        let row = bounded(query.fetch_one(&self.pool)).await?;
        Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
    }
}

/// A copy, from the columns key, hash, step, digest, begun, begun_at, position, used, phase, state.
pub(super) fn row(row: &PgRow) -> Result<SequenceRow, sqlx::Error> {
    let wrong = |index: &str| sqlx::Error::ColumnDecode {
        index: index.to_owned(),
        source: "it is no such thing".into(),
    };
    let number = |column: usize| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let hash = <[u8; 32]>::try_from(row.try_get::<Vec<u8>, _>(1)?).map_err(|_| wrong("hash"))?;
    Ok(SequenceRow {
        key: key_of(row.try_get(0)?).ok_or_else(|| wrong("key"))?,
        hash: ModelHash(hash),
        step: number(2)?,
        digest: number(3)?,
        first_digest: number(4)?,
        begun_at: UnixMillis(number(5)?),
        position: Position(number(6)?),
        used: UnixMillis(number(7)?),
        phase: SequencePhase::of_number(i64::from(row.try_get::<i16, _>(8)?)),
        state: row.try_get(9)?,
    })
}
