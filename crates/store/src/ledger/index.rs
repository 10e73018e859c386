//! Where in a log something stands: a SQLite file beside it, for whoever searches.
//!
//! It is made of the log alone and can be made again at any time. It names places and holds nothing that is shown: lines are read from the log, so
//! an index that was changed can hide something and cannot make anything up. What it goes through is verified up to the signed
//! root, from where it stopped the last time.

use super::Folder;
use serde_json::Value;
use spinwell_core::{Code, Fault, UnixMicros};
use spinwell_ledger::{Checkpoint, CheckpointError, Entry, Files as _, Hash, PublicKey, Tree, line, read};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file.
const FILE: &str = "index.db";
/// The layout of its tables. Of another one it is made anew.
const LAYOUT: i64 = 3;
/// How long one waits for another who extends it.
const BUSY: Duration = Duration::from_secs(60);
/// Rows in one statement: a statement has at most 32,766 values.
const ROWS: usize = 500;
/// The members of lines that are searched, which are columns of that name.
const MEMBERS: [&str; 10] = [
    "principal",
    "key",
    "key_name",
    "tenant",
    "model",
    "node",
    "sequence",
    "request_id",
    "batch_call",
    "result",
];

/// An index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file.
    #[error("the index {} cannot be used; it can be removed and made again", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The log's checkpoint does not hold.
    #[error("the log's checkpoint does not hold")]
    Checkpoint(#[from] CheckpointError),
    /// The log's files are not what was signed.
    #[error("the log is not what was signed; verify it: {0}")]
    Log(String),
}

impl IndexError {
    /// The error as it is shown.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let (code, cause) = match self {
            Self::Database { source, .. } => (Code::DatabaseFailed, Some(source.to_string())),
            Self::Checkpoint(source) => (Code::LedgerWrong, Some(source.to_string())),
            Self::Log(_) => (Code::LedgerWrong, None),
        };
        let message = cause.map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}"));
        Fault::new(code, message)
    }
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The entry.
    pub entry: u64,
    /// Its place in the batch; 0 where the entry is none.
    pub line: u64,
}

/// What is looked for: all of it must fit.
#[derive(Debug, Clone, Default)]
pub struct Sought<'a> {
    /// Members of lines, and the texts of which each, or what is looked at beside it, has one.
    pub members: Vec<(&'a str, Vec<String>)>,
    /// What kind of line.
    pub kind: Option<&'a str>,
    /// Any error code.
    pub has_failed: bool,
    /// Not before this moment.
    pub since: Option<UnixMicros>,
    /// Before this moment.
    pub until: Option<UnixMicros>,
}

/// What an index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Entries.
    pub entries: u64,
    /// Lines, of which a batch has many.
    pub lines: u64,
    /// Entries that it did not hold before.
    pub new: u64,
}

/// The index of a log.
pub struct Index {
    log: Folder,
    path: PathBuf,
    pool: SqlitePool,
}

/// What kind of line it is: `prediction`, `batch_call`, or the kind of an entry.
#[must_use]
pub fn kind_of(line: &Value) -> &str {
    match (&line["kind"], line.get("phase")) {
        (Value::String(kind), _) => kind,
        (_, Some(_)) => "batch_call",
        _ => "prediction",
    }
}

impl Index {
    /// Whether a log has one.
    #[must_use]
    pub fn is_there(log: &Folder) -> bool {
        log.path().join(FILE).is_file()
    }

    /// Opens the index of a log, making it where there is none.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub async fn open(log: &Folder) -> Result<Self, IndexError> {
        let path = log.path().join(FILE);
        let pool = open(&path).await.map_err(|source| IndexError::Database { path: path.clone(), source })?;
        Ok(Self { log: log.clone(), path, pool })
    }

    /// Adds what the log has beyond it, verified with these keys; all of the log where the index is of another one.
    ///
    /// # Errors
    /// Where the log is not what was signed, or the file cannot be used.
    pub async fn extend(&self, keys: &[PublicKey]) -> Result<Extent, IndexError> {
        let wrong = |error: std::io::Error| IndexError::Log(error.to_string());
        let note = self.log.read("checkpoint").map_err(wrong)?;
        let note = note.ok_or_else(|| IndexError::Log("it has no checkpoint".into()))?;
        let Checkpoint { origin, size, root } = Checkpoint::open(&note, keys)?.checkpoint;
        let mut transaction =
            self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|source| self.failed(source))?;
        let connection = &mut *transaction;
        let reach = reach(connection).await.map_err(|source| self.failed(source))?;
        // Of the tree from where it stopped, everything behind it is made; where that is not there, all is.
        let before = reach.filter(|reach| reach.origin == origin && reach.entries <= size);
        let tree = before.and_then(|reach| Tree::load(&self.log, reach.entries, reach.root).ok());
        let mut tree = match tree {
            Some(tree) => tree,
            None => {
                forget(connection).await.map_err(|source| self.failed(source))?;
                Tree::default()
            }
        };
        let new = size - tree.size();
        self.add(connection, &mut tree, size).await?;
        if tree.root() != root {
            return Err(IndexError::Log("its entries have another root than its checkpoint".into()));
        }
        let lines = stand(connection, &origin, &tree).await.map_err(|source| self.failed(source))?;
        transaction.commit().await.map_err(|source| self.failed(source))?;
        Ok(Extent { entries: size, lines, new })
    }

    /// Adds the entries behind the tree.
    async fn add(
        &self,
        connection: &mut SqliteConnection,
        tree: &mut Tree,
        size: u64,
    ) -> Result<(), IndexError> {
        let wrong = |error: &dyn std::fmt::Display| IndexError::Log(error.to_string());
        let mut rows = Vec::new();
        for number in read::bundles(size) {
            let begin = tree.size();
            if read::bundles(begin + 1).end > number + 1 {
                continue;
            }
            let entries = read::bundle(&self.log, size, number).map_err(|error| wrong(&error))?;
            for (index, entry) in entries.into_iter().filter(|(index, _)| *index >= begin) {
                tree.append(&entry.to_bytes()).map_err(|error| wrong(&error))?;
                let texts = match &entry {
                    Entry::Batch { seal, .. } => {
                        let batch = read::batch(&self.log, index, *seal);
                        let batch =
                            batch.map_err(|error| IndexError::Log(format!("entry {index}: {error}")))?;
                        batch.lines().map(<[u8]>::to_vec).collect()
                    }
                    other => vec![other.to_bytes()],
                };
                for (line, text) in texts.iter().enumerate() {
                    let value: Value = serde_json::from_slice(text).map_err(|error| wrong(&error))?;
                    rows.push(LineRow { place: Place { entry: index, line: line as u64 }, value });
                }
            }
            // Nobody needs the files.
            tree.take_files();
            insert(connection, &mut rows).await.map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// The places of the newest lines that fit, the newest first.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub async fn find(&self, sought: &Sought<'_>, limit: usize) -> Result<Vec<Place>, IndexError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT entry, line FROM lines WHERE true");
        for (member, values) in &sought.members {
            query.push(" AND (false");
            for member in line::looked_at(member) {
                // A column of another name is in no line.
                let column = MEMBERS.iter().find(|known| **known == member).copied().unwrap_or("NULL");
                query.push(" OR ").push(column).push(" IN (");
                let mut texts = query.separated(", ");
                for value in values {
                    texts.push_bind(value);
                }
                query.push(")");
            }
            query.push(")");
        }
        if let Some(kind) = sought.kind {
            query.push(" AND kind = ").push_bind(kind);
        }
        if sought.has_failed {
            query.push(" AND result GLOB 'SPW-*'");
        }
        for (sign, moment) in [(">=", sought.since), ("<", sought.until)] {
            if let Some(moment) = moment {
                query.push(" AND at ").push(sign).push(" ").push_bind(moment.0.cast_signed());
            }
        }
        query.push(" ORDER BY entry DESC, line DESC LIMIT ").push_bind(limit as i64);
        let rows = query.build().fetch_all(&self.pool).await.map_err(|source| self.failed(source))?;
        let place = |row: &sqlx::sqlite::SqliteRow| -> Result<Place, sqlx::Error> {
            let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
            Ok(Place { entry: number(0)?, line: number(1)? })
        };
        rows.iter().map(place).collect::<Result<_, _>>().map_err(|source| self.failed(source))
    }

    /// Closes the file.
    pub async fn close(self) {
        self.pool.close().await;
    }

    fn failed(&self, source: sqlx::Error) -> IndexError {
        IndexError::Database { path: self.path.clone(), source }
    }
}

/// A line on its way into the index.
struct LineRow {
    place: Place,
    value: Value,
}

/// How far an index goes.
struct Reach {
    origin: String,
    entries: u64,
    root: Hash,
}

async fn open(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    // One file, which can be removed; what a power cut takes of it is made again.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let layout: (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&pool).await?;
    if layout.0 != LAYOUT {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        for statement in ["DROP TABLE IF EXISTS lines", "DROP TABLE IF EXISTS reach"] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        sqlx::query("CREATE TABLE reach (one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, entries INTEGER NOT NULL, root BLOB NOT NULL) STRICT")
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "CREATE TABLE lines (entry INTEGER NOT NULL, line INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, \
             principal TEXT, key TEXT, key_name TEXT, tenant TEXT, model TEXT, node TEXT, sequence TEXT, request_id TEXT, batch_call TEXT, result TEXT, \
             PRIMARY KEY (entry, line)) STRICT, WITHOUT ROWID",
        )
        .execute(&mut *transaction)
        .await?;
        for statement in [
            "CREATE INDEX lines_by_time ON lines (at)",
            "CREATE INDEX lines_by_principal ON lines (principal) WHERE principal IS NOT NULL",
            "CREATE INDEX lines_by_key ON lines (key) WHERE key IS NOT NULL",
            "CREATE INDEX lines_by_key_name ON lines (key_name) WHERE key_name IS NOT NULL",
            "CREATE INDEX lines_by_model ON lines (model, result)",
            "CREATE INDEX lines_by_result ON lines (result)",
            "CREATE INDEX lines_by_kind ON lines (kind)",
            "CREATE INDEX lines_by_sequence ON lines (sequence) WHERE sequence IS NOT NULL",
            "CREATE INDEX lines_by_request ON lines (request_id) WHERE request_id IS NOT NULL",
            "CREATE INDEX lines_by_batch_call ON lines (batch_call) WHERE batch_call IS NOT NULL",
            // LAYOUT.
            "PRAGMA user_version = 3",
        ] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(pool)
}

async fn reach(connection: &mut SqliteConnection) -> Result<Option<Reach>, sqlx::Error> {
    let query = sqlx::query_as("SELECT origin, entries, root FROM reach");
    let row: Option<(String, i64, Vec<u8>)> = query.fetch_optional(connection).await?;
    Ok(row.and_then(|(origin, entries, root)| {
        Some(Reach { origin, entries: entries.cast_unsigned(), root: Hash(root.try_into().ok()?) })
    }))
}

async fn forget(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM lines").execute(&mut *connection).await?;
    sqlx::query("DELETE FROM reach").execute(connection).await?;
    Ok(())
}

/// Says how far the index goes. Gives how many lines it has.
async fn stand(connection: &mut SqliteConnection, origin: &str, tree: &Tree) -> Result<u64, sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO reach VALUES (1, ?, ?, ?)")
        .bind(origin)
        .bind(tree.size().cast_signed())
        .bind(&tree.root().0[..])
        .execute(&mut *connection)
        .await?;
    let lines: (i64,) = sqlx::query_as("SELECT count(*) FROM lines").fetch_one(connection).await?;
    Ok(lines.0.cast_unsigned())
}

async fn insert(connection: &mut SqliteConnection, rows: &mut Vec<LineRow>) -> Result<(), sqlx::Error> {
    for part in rows.chunks(ROWS) {
        let mut statement = QueryBuilder::<Sqlite>::new("INSERT INTO lines ");
        statement.push_values(part, |mut row, LineRow { place, value }| {
            row.push_bind(place.entry.cast_signed()).push_bind(place.line.cast_signed());
            row.push_bind(value["at"].as_u64().unwrap_or_default().cast_signed());
            row.push_bind(kind_of(value).to_owned());
            for member in MEMBERS {
                row.push_bind(line::text(value, member));
            }
        });
        statement.build().execute(&mut *connection).await?;
    }
    rows.clear();
    Ok(())
}
