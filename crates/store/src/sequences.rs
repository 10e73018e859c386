//! Where each sequence stands, in SQL.

use crate::{Database, DatabaseError, Position};
use spinwell_core::{ModelHash, SequenceId, SequenceKey, TenantId, UnixMillis};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite};

/// Rows that a sweep looks at in one statement, so that it holds nobody up.
const SWEEP_ROWS: i64 = 1000;

/// Whether a sequence goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequencePhase {
    /// It does.
    Live,
    /// Its caller has ended it.
    Ended,
    /// Nobody used it for so long that its state was given up.
    Expired,
}

impl SequencePhase {
    pub(crate) const fn number(self) -> i64 {
        match self {
            SequencePhase::Live => 0,
            SequencePhase::Ended => 1,
            SequencePhase::Expired => 2,
        }
    }

    pub(crate) const fn of_number(number: i64) -> Self {
        match number {
            0 => SequencePhase::Live,
            1 => SequencePhase::Ended,
            _ => SequencePhase::Expired,
        }
    }
}

/// A sequence as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceRow {
    /// Which one.
    pub key: SequenceKey,
    /// The model that its state is of.
    pub hash: ModelHash,
    /// The newest step in the state, from 1.
    pub step: u64,
    /// The digest of that step's rows.
    pub digest: u64,
    /// The digest of the first step's rows; 0 where that is not known.
    pub first_digest: u64,
    /// When it was begun; 0 where that is not known.
    pub begun_at: UnixMillis,
    /// Where that step stands in the log; later entries are not in the state.
    pub position: Position,
    /// When it was last used.
    pub used: UnixMillis,
    /// Whether it goes on.
    pub phase: SequencePhase,
    /// The state, unless it was given up.
    pub state: Option<Vec<u8>>,
}

/// What a sweep has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Sequences whose state was given up.
    pub expired: u64,
    /// Sequences that are not known any more.
    pub forgotten: u64,
}

/// Rows of one statement: a statement is a message to the connection's thread and back.
const TOGETHER: usize = 64;

/// SQL counts in signed numbers of 64 bits; bits are kept.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

impl Database {
    /// The sequence of that key.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sequence(&self, key: &SequenceKey) -> Result<Option<SequenceRow>, DatabaseError> {
        let row = sqlx::query(
            "SELECT hash, step, digest, begun, begun_at, position, used, phase, state FROM sequences \
             WHERE tenant = ? AND model = ? AND id = ?",
        )
        .bind(&*key.tenant.0)
        .bind(key.model.as_str())
        .bind(key.id.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| read(key, &row)).transpose().map_err(DatabaseError::from)
    }

    /// The sequences that stand first and last in the table, of those that have a state: what was kept first, and of late.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn outermost_sequences(&self) -> Result<Vec<SequenceRow>, DatabaseError> {
        let mut found = Vec::new();
        for order in ["ASC", "DESC"] {
            let query = format!(
                "SELECT hash, step, digest, begun, begun_at, position, used, phase, state, tenant, model, id FROM sequences \
                 WHERE state IS NOT NULL ORDER BY rowid {order} LIMIT 1"
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_optional(&self.pool).await?;
            let key = |row: &SqliteRow| {
                let text = |column: usize| row.try_get::<String, _>(column);
                let (model, id) = (text(10)?.parse(), SequenceId::of_text(&text(11)?));
                let key = model.ok().zip(id);
                let tenant = TenantId(text(9)?.into());
                let wrong =
                    || sqlx::Error::ColumnDecode { index: "id".to_owned(), source: "it is no name".into() };
                key.map(|(model, id)| SequenceKey { tenant, model, id }).ok_or_else(wrong)
            };
            found.extend(row.map(|row| read(&key(&row)?, &row)).transpose()?);
        }
        Ok(found)
    }

    /// Keeps where these sequences stand, all or none of them.
    ///
    /// # Errors
    /// Where the database fails; then nothing has changed.
    pub async fn keep_sequences(&self, rows: &[SequenceRow]) -> Result<(), DatabaseError> {
        let mut transaction = self.pool.begin().await?;
        for rows in rows.chunks(TOGETHER) {
            let mut statement = QueryBuilder::<Sqlite>::new(
                "INSERT INTO sequences (tenant, model, id, hash, step, digest, begun, begun_at, position, used, \
                 phase, state) ",
            );
            statement.push_values(rows, |mut values, row| {
                values
                    .push_bind(&*row.key.tenant.0)
                    .push_bind(row.key.model.as_str())
                    .push_bind(row.key.id.as_str())
                    .push_bind(&row.hash.0[..])
                    .push_bind(signed(row.step))
                    .push_bind(signed(row.digest))
                    .push_bind(signed(row.first_digest))
                    .push_bind(signed(row.begun_at.0))
                    .push_bind(signed(row.position.0))
                    .push_bind(signed(row.used.0))
                    .push_bind(row.phase.number())
                    .push_bind(row.state.as_deref());
            });
            statement.push(
                " ON CONFLICT (tenant, model, id) DO UPDATE SET hash = excluded.hash, step = excluded.step, \
                 digest = excluded.digest, begun = excluded.begun, begun_at = excluded.begun_at, position = excluded.position, \
                 used = excluded.used, phase = excluded.phase, state = excluded.state",
            );
            // Texts of all lengths would push each other out of the connection's cache of statements.
            let is_usual = rows.len() == TOGETHER;
            statement.build().persistent(is_usual).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Gives up the states of live sequences that were not used since `idle_since`; forgets those that have ended
    /// before `ended_before`, and the expired that were not used since `forget_before`.
    ///
    /// # Errors
    /// Where the database fails; a part may have been done.
    pub async fn sweep_sequences(
        &self,
        idle_since: UnixMillis,
        ended_before: UnixMillis,
        forget_before: UnixMillis,
    ) -> Result<Swept, DatabaseError> {
        let expired = "UPDATE sequences SET phase = 2, state = NULL WHERE rowid IN \
                       (SELECT rowid FROM sequences WHERE phase = 0 AND used < ? LIMIT ?)";
        let ended = "DELETE FROM sequences WHERE rowid IN \
                     (SELECT rowid FROM sequences WHERE phase = 1 AND used < ? LIMIT ?)";
        let forgotten = "DELETE FROM sequences WHERE rowid IN \
                         (SELECT rowid FROM sequences WHERE phase = 2 AND used < ? LIMIT ?)";
        let forgotten_ended = self.repeat(ended, ended_before).await?;
        let forgotten = forgotten_ended + self.repeat(forgotten, forget_before).await?;
        Ok(Swept { expired: self.repeat(expired, idle_since).await?, forgotten })
    }

    async fn repeat(&self, statement: &'static str, before: UnixMillis) -> Result<u64, DatabaseError> {
        let mut all = 0;
        loop {
            let done =
                sqlx::query(statement).bind(signed(before.0)).bind(SWEEP_ROWS).execute(&self.pool).await?;
            all += done.rows_affected();
            if done.rows_affected() < SWEEP_ROWS.cast_unsigned() {
                return Ok(all);
            }
        }
    }

    /// The newest position in the step log that any sequence's row holds.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn newest_position(&self) -> Result<Position, DatabaseError> {
        let row =
            sqlx::query("SELECT coalesce(max(position), 0) FROM sequences").fetch_one(&self.pool).await?;
        Ok(Position(row.try_get::<i64, _>(0)?.cast_unsigned()))
    }

    /// The position before which every entry of the step log is in the rows, or was when they were given up; nothing where none
    /// was copied yet.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn log_copied(&self) -> Result<Option<Position>, DatabaseError> {
        let row = sqlx::query("SELECT copied FROM step_log").fetch_optional(&self.pool).await?;
        let copied = row.map(|row| row.try_get::<i64, _>(0)).transpose()?;
        Ok(copied.map(|copied| Position(copied.cast_unsigned())))
    }

    /// Keeps that position, before the log is forgotten up to there.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn keep_log_copied(&self, before: Position) -> Result<(), DatabaseError> {
        let statement =
            "INSERT INTO step_log VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET copied = excluded.copied";
        sqlx::query(statement).bind(signed(before.0)).execute(&self.pool).await?;
        Ok(())
    }

    /// The models that states of sequences are kept of, by name and hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn models_of_sequences(&self) -> Result<Vec<(String, ModelHash)>, DatabaseError> {
        let rows = sqlx::query("SELECT DISTINCT hash, model FROM sequences").fetch_all(&self.pool).await?;
        let one = |row: &SqliteRow| Ok((row.try_get(1)?, hash(row)?));
        rows.iter().map(one).collect::<Result<_, sqlx::Error>>().map_err(DatabaseError::from)
    }

    /// How many sequences are kept that go on.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn sequences_kept(&self) -> Result<u64, DatabaseError> {
        let row = sqlx::query("SELECT count(*) FROM sequences WHERE phase = 0").fetch_one(&self.pool).await?;
        Ok(row.try_get::<i64, _>(0)?.cast_unsigned())
    }
}

fn read(key: &SequenceKey, row: &SqliteRow) -> Result<SequenceRow, sqlx::Error> {
    let number = |column: usize| row.try_get::<i64, _>(column);
    Ok(SequenceRow {
        key: key.clone(),
        hash: hash(row)?,
        step: number(1)?.cast_unsigned(),
        digest: number(2)?.cast_unsigned(),
        first_digest: number(3)?.cast_unsigned(),
        begun_at: UnixMillis(number(4)?.cast_unsigned()),
        position: Position(number(5)?.cast_unsigned()),
        used: UnixMillis(number(6)?.cast_unsigned()),
        phase: SequencePhase::of_number(number(7)?),
        state: row.try_get(8)?,
    })
}

/// The hash in the first column.
fn hash(row: &SqliteRow) -> Result<ModelHash, sqlx::Error> {
    let hash = <[u8; 32]>::try_from(row.try_get::<Vec<u8>, _>(0)?);
    hash.map(ModelHash).map_err(|_| sqlx::Error::ColumnDecode {
        index: "hash".to_owned(),
        source: "it is not 32 bytes".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, id: &str) -> SequenceKey {
        SequenceKey {
            tenant: TenantId(tenant.into()),
            model: "taxi".parse().unwrap(),
            id: SequenceId::of_text(id).unwrap(),
        }
    }

    fn row(key: SequenceKey, used: u64, phase: SequencePhase) -> SequenceRow {
        SequenceRow {
            key,
            hash: ModelHash([9; 32]),
            step: u64::MAX,
            digest: 1 << 63,
            first_digest: (1 << 63) + 1,
            begun_at: UnixMillis(6),
            position: Position(5),
            used: UnixMillis(used),
            phase,
            state: Some(vec![1, 2, 3]),
        }
    }

    async fn open(folder: &tempfile::TempDir) -> Database {
        Database::open(&folder.path().join("spinwell.db")).await.unwrap()
    }

    #[tokio::test]
    async fn rows_come_back_to_the_bit_and_tenants_are_apart() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        let (own, other) = (key("a", "5"), key("b", "5"));
        database.keep_sequences(&[row(own.clone(), 7, SequencePhase::Live)]).await.unwrap();
        assert_eq!(database.sequence(&other).await.unwrap(), None);
        assert_eq!(database.newest_position().await.unwrap(), Position(5));
        let models = database.models_of_sequences().await.unwrap();
        assert_eq!(models, [("taxi".to_owned(), ModelHash([9; 32]))]);
        assert!(database.force().await.unwrap());
        database.close().await;
        let database = open(&folder).await;
        assert_eq!(database.sequence(&own).await.unwrap(), Some(row(own.clone(), 7, SequencePhase::Live)));
        let later = SequenceRow {
            state: None,
            first_digest: 3,
            begun_at: UnixMillis(8),
            ..row(own.clone(), 8, SequencePhase::Ended)
        };
        database.keep_sequences(std::slice::from_ref(&later)).await.unwrap();
        assert_eq!(database.sequence(&own).await.unwrap(), Some(later));
    }

    #[tokio::test]
    async fn how_far_the_log_is_copied_is_kept_and_nothing_is_known_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        assert_eq!(database.log_copied().await.unwrap(), None);
        for position in [7, 9] {
            database.keep_log_copied(Position(position)).await.unwrap();
        }
        database.close().await;
        assert_eq!(open(&folder).await.log_copied().await.unwrap(), Some(Position(9)));
    }

    #[tokio::test]
    async fn a_sweep_gives_up_the_idle_and_forgets_the_gone() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder).await;
        use SequencePhase::{Ended, Expired, Live};
        let rows: Vec<_> = (0..2500).map(|id| row(key("t", &id.to_string()), 10, Live)).collect();
        database.keep_sequences(&rows).await.unwrap();
        let others = [("new", 90, Live), ("end", 50, Ended), ("ended", 70, Ended), ("gone", 5, Expired)];
        let others = others.map(|(id, used, phase)| row(key("t", id), used, phase));
        database.keep_sequences(&others).await.unwrap();
        let swept = database.sweep_sequences(UnixMillis(80), UnixMillis(60), UnixMillis(7)).await.unwrap();
        assert_eq!(swept, Swept { expired: 2500, forgotten: 2 });
        assert_eq!(database.sequences_kept().await.unwrap(), 1);
        let expired = database.sequence(&key("t", "17")).await.unwrap().unwrap();
        assert_eq!((expired.phase, expired.state), (Expired, None));
        assert!(database.sequence(&key("t", "ended")).await.unwrap().is_some());
        assert_eq!(database.sequence(&key("t", "end")).await.unwrap(), None);
    }
}
