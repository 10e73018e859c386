//! The logs of the shards.
//!
//! An append names the position behind which its entries are to stand, and a shard whose log ends elsewhere takes none of them: so the
//! log is a fence for whoever does not know what others have written. Rows are locked in the order of shards, and one statement
//! appends to all of them, so writers never wait for each other in a circle.

use super::{Postgres, bounded, key_bytes, sequences};
use crate::{DatabaseError, SequenceRow};
use spinwell_core::SequenceKey;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};
use std::collections::{BTreeMap, HashMap};

/// Entries that one look at the logs brings at most.
const ENTRIES_MAX: i64 = 4096;

/// Entries for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Which one.
    pub shard: u16,
    /// Where its log must end.
    pub expected: u64,
    /// What is to stand there, from `expected` + 1 on.
    pub entries: Vec<Entry>,
}

/// A change of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The sequence, as [`key_bytes`] has it.
    pub key: Vec<u8>,
    /// The change.
    pub bytes: Vec<u8>,
}

/// What became of an [`Append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// All of it stands where it should, on the disk.
    Written,
    /// The log ended elsewhere: somebody else has written.
    Fenced,
}

/// An entry that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place in its shard's log.
    pub position: u64,
    /// Who wrote it.
    pub writer: u64,
    /// The sequence.
    pub key: Vec<u8>,
    /// The change.
    pub bytes: Vec<u8>,
}

/// What a shard's log holds behind a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLog {
    /// Which one.
    pub shard: u16,
    /// Where it ends, or where this part of it ends.
    pub position: u64,
    /// Its entries behind the tail, in order; none where the shard is read for the first time.
    pub entries: Vec<Logged>,
    /// Whether entries behind the tail are missing, because they were pruned: copies hold what came of them.
    pub has_gap: bool,
}

/// A sequence that somebody wants as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its shard.
    pub shard: u16,
    /// Which one.
    pub key: SequenceKey,
}

/// A sequence as it is stored: its copy, and the log beyond it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Which one.
    pub key: SequenceKey,
    /// The copy.
    pub row: Option<SequenceRow>,
    /// Its entries behind the copy, in order.
    pub entries: Vec<Logged>,
}

/// One look at the logs; all of it is of the same moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Read {
    /// The shards that go on behind their tails, or are read for the first time.
    pub shards: Vec<ShardLog>,
    /// The sequences that were wanted, in their order.
    pub stored: Vec<Stored>,
    /// Whether there is more than was read: then what is `stored` may be ahead of the shards.
    pub has_more: bool,
}

fn small(shard: u16) -> i16 {
    // There are 4096.
    shard.cast_signed()
}

impl Postgres {
    /// Appends to several shards, each of them once, in one transaction. `writer` is a number of this process's life: the very same
    /// call may be made again by whoever has lost its answer, and has the same effect as one.
    ///
    /// # Errors
    /// Where the database fails. Then the entries may be there or not, until the call is made again.
    pub async fn append(&self, writer: u64, appends: &[Append]) -> Result<Vec<Appended>, DatabaseError> {
        bounded(async { append(&mut *self.pool.acquire().await?, writer, appends).await }).await
    }

    /// Looks at the logs of shards behind their tails (`None` for one that is looked at for the first time), and at sequences as a
    /// whole.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn read(&self, tails: &[(u16, Option<u64>)], wanted: &[Wanted]) -> Result<Read, DatabaseError> {
        bounded(async {
            let mut connection = self.pool.acquire().await?;
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let mut transaction = connection.begin_with(begin).await?;
            let read = look(&mut transaction, tails, wanted).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(read)
        })
        .await
    }
}

/// Appends to several shards, in one statement.
pub(super) async fn append(
    connection: &mut PgConnection,
    writer: u64,
    appends: &[Append],
) -> Result<Vec<Appended>, sqlx::Error> {
    let (mut shards, mut positions, mut keys, mut entries) = (vec![], vec![], vec![], vec![]);
    for append in appends {
        for (place, entry) in append.entries.iter().enumerate() {
            shards.push(small(append.shard));
            positions.push(append.expected.cast_signed() + 1 + place as i64);
            keys.push(&*entry.key);
            entries.push(&*entry.bytes);
        }
    }
    let query = sqlx::query("SELECT append_steps($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(writer.cast_signed())
        .bind(appends.iter().map(|append| small(append.shard)).collect::<Vec<_>>())
        .bind(appends.iter().map(|append| append.expected.cast_signed()).collect::<Vec<_>>())
        .bind(appends.iter().map(|append| append.entries.len() as i64).collect::<Vec<_>>())
        .bind(shards)
        .bind(positions)
        .bind(keys)
        .bind(entries);
    let rows = query.fetch_all(connection).await?;
    let written: Vec<i16> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, sqlx::Error>>()?;
    let of = |append: &Append| match written.contains(&small(append.shard)) {
        true => Appended::Written,
        false => Appended::Fenced,
    };
    Ok(appends.iter().map(of).collect())
}

/// The logs behind their tails, and sequences as a whole where that was all of them.
pub(super) async fn look(
    connection: &mut PgConnection,
    tails: &[(u16, Option<u64>)],
    wanted: &[Wanted],
) -> Result<Read, sqlx::Error> {
    let mut read = logs(connection, tails).await?;
    if !read.has_more {
        read.stored = stored(connection, wanted).await?;
    }
    Ok(read)
}

/// The logs behind their tails.
///
/// Each shard's entries are asked for by a subquery of its own, in their order and so many at most, so that the server goes to each by the
/// index. A plain join it plans as if a shard had a large part of the log, and reads all of it.
async fn logs(connection: &mut PgConnection, tails: &[(u16, Option<u64>)]) -> Result<Read, sqlx::Error> {
    let shards: Vec<i16> = tails.iter().map(|(shard, _)| small(*shard)).collect();
    let ends: Vec<Option<i64>> = tails.iter().map(|(_, tail)| tail.map(u64::cast_signed)).collect();
    let heads = sqlx::query(
        "SELECT a.shard, a.tail, s.position FROM unnest($1::smallint[], $2::bigint[]) AS a (shard, tail) \
         JOIN shards s ON s.shard = a.shard WHERE a.tail IS NULL OR s.position > a.tail",
    );
    let heads = heads.bind(shards).bind(ends).fetch_all(&mut *connection).await?;
    let mut logs: BTreeMap<u16, (Option<u64>, ShardLog)> = BTreeMap::new();
    for row in &heads {
        let shard = row.try_get::<i16, _>(0)?.cast_unsigned();
        let tail = row.try_get::<Option<i64>, _>(1)?.map(i64::cast_unsigned);
        let position = row.try_get::<i64, _>(2)?.cast_unsigned();
        logs.insert(shard, (tail, ShardLog { shard, position, entries: Vec::new(), has_gap: false }));
    }
    let behind = || logs.values().filter_map(|(tail, log)| Some((small(log.shard), (*tail)?.cast_signed())));
    let (shards, ends): (Vec<i16>, Vec<i64>) = behind().unzip();
    let mut cut = None;
    if !shards.is_empty() {
        let rows = sqlx::query(
            "SELECT s.position, s.writer, s.key, s.entry, a.shard FROM unnest($1::smallint[], $2::bigint[]) AS a (shard, tail) \
             CROSS JOIN LATERAL (SELECT * FROM steps WHERE shard = a.shard AND position > a.tail ORDER BY position LIMIT $3) s \
             ORDER BY a.shard, s.position LIMIT $3",
        );
        let rows = rows.bind(shards).bind(ends).bind(ENTRIES_MAX).fetch_all(connection).await?;
        for row in &rows {
            let shard = row.try_get::<i16, _>(4)?.cast_unsigned();
            if let Some((_, log)) = logs.get_mut(&shard) {
                log.entries.push(logged(row)?);
            }
            cut = Some(shard).filter(|_| rows.len() as i64 == ENTRIES_MAX);
        }
    }
    // Of the shard in which the look was cut off a part is known, of those behind it nothing.
    logs.retain(|shard, (tail, _)| tail.is_none() || cut.is_none_or(|cut| *shard <= cut));
    let mut shards = Vec::with_capacity(logs.len());
    for (shard, (tail, mut log)) in logs {
        if cut == Some(shard) {
            log.position = log.entries.last().map_or(log.position, |entry| entry.position);
        }
        log.has_gap = tail.is_some_and(|tail| log.position - tail != log.entries.len() as u64);
        shards.push(log);
    }
    Ok(Read { shards, stored: Vec::new(), has_more: cut.is_some() })
}

/// Sequences as a whole, in their order. The limit limits nothing: with it each sequence's entries are a subquery of their own, as in
/// [`logs`].
async fn stored(connection: &mut PgConnection, wanted: &[Wanted]) -> Result<Vec<Stored>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Vec<u8>> = wanted.iter().map(|wanted| key_bytes(&wanted.key)).collect();
    let rows = sqlx::query(
        "SELECT key, hash, step, digest, begun, begun_at, position, used, phase, state FROM sequences WHERE key = ANY ($1)",
    );
    let mut copies = HashMap::new();
    for row in &rows.bind(&keys).fetch_all(&mut *connection).await? {
        copies.insert(row.try_get::<Vec<u8>, _>(0)?, sequences::row(row)?);
    }
    let shards: Vec<i16> = wanted.iter().map(|wanted| small(wanted.shard)).collect();
    let from = |key: &Vec<u8>| copies.get(key).map_or(0, |row: &SequenceRow| row.position.0.cast_signed());
    let ends: Vec<i64> = keys.iter().map(from).collect();
    let rows = sqlx::query(
        "SELECT s.position, s.writer, s.key, s.entry FROM unnest($1::smallint[], $2::bytea[], $3::bigint[]) AS a (shard, key, position) \
         CROSS JOIN LATERAL (SELECT * FROM steps WHERE shard = a.shard AND position > a.position AND key = a.key \
         ORDER BY position LIMIT $4) s ORDER BY a.shard, s.position",
    );
    let mut entries: HashMap<Vec<u8>, Vec<Logged>> = HashMap::new();
    for row in &rows.bind(shards).bind(&keys).bind(ends).bind(i64::MAX).fetch_all(connection).await? {
        let entry = logged(row)?;
        entries.entry(entry.key.clone()).or_default().push(entry);
    }
    let one = |(wanted, key): (&Wanted, &Vec<u8>)| Stored {
        key: wanted.key.clone(),
        row: copies.get(key).cloned(),
        entries: entries.get(key).cloned().unwrap_or_default(),
    };
    Ok(wanted.iter().zip(&keys).map(one).collect())
}

fn logged(row: &PgRow) -> Result<Logged, sqlx::Error> {
    Ok(Logged {
        position: row.try_get::<i64, _>(0)?.cast_unsigned(),
        writer: row.try_get::<i64, _>(1)?.cast_unsigned(),
        key: row.try_get(2)?,
        bytes: row.try_get(3)?,
    })
}
