//! The SQL database of a server that stands alone: one SQLite file.

use spinwell_core::{Code, Fault, Millis};
use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections: one writes, others read beside it.
const CONNECTIONS: u32 = 4;
/// How long one waits for the other's write.
const BUSY: Duration = Duration::from_secs(10);

/// The database failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be opened.
    #[error("the database {database} cannot be opened: {source}")]
    Open {
        /// The file, or the database and its server.
        database: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Its tables cannot be brought to this program's layout.
    #[error("the tables of the database {database} do not fit this program: {source}")]
    Layout {
        /// The file, or the database and its server.
        database: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// Its server is older than what this program can use.
    #[error("the server of database {database} is older than PostgreSQL 13")]
    TooOld {
        /// The database and its server.
        database: String,
    },
    /// It does not answer.
    #[error("the database did not answer within {limit}")]
    Silent {
        /// How long it was waited for.
        limit: Millis,
    },
    /// A statement failed.
    #[error("the database failed: {0}")]
    Statement(#[from] sqlx::Error),
}

impl DatabaseError {
    /// The error as it is shown to callers and operators.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let code = match self {
            DatabaseError::Layout { source: MigrateError::VersionMissing(_), .. } => Code::FileFromTheFuture,
            _ => Code::DatabaseFailed,
        };
        Fault::new(code, self.to_string())
    }
}

/// An open database; a cheap handle.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) pool: SqlitePool,
}

impl Database {
    /// Opens the database file, making it where it is not there, and brings its tables to this program's layout.
    ///
    /// # Errors
    /// Where the file cannot be opened, is no database, or was written by a newer program.
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        // Commits survive the process at once and a power cut after `force`: what needs more has a log before it.
        Self::open_with(path, SqliteSynchronous::Normal).await
    }

    /// The same, and every commit survives a power cut before it is answered.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn open_forced(path: &Path) -> Result<Self, DatabaseError> {
        Self::open_with(path, SqliteSynchronous::Full).await
    }

    async fn open_with(path: &Path, synchronous: SqliteSynchronous) -> Result<Self, DatabaseError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await;
        let pool =
            pool.map_err(|source| DatabaseError::Open { database: path.display().to_string(), source })?;
        let laid_out = MIGRATIONS.run(&pool).await;
        laid_out.map_err(|source| DatabaseError::Layout { database: path.display().to_string(), source })?;
        Ok(Self { pool })
    }

    /// Sees to it that everything committed survives a power cut. Gives whether it does: somebody who reads for long may
    /// stand in the way.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub async fn force(&self) -> Result<bool, DatabaseError> {
        let checkpoint = sqlx::query_as("PRAGMA wal_checkpoint(FULL)").fetch_one(&self.pool).await?;
        let (is_busy, _in_log, _checkpointed): (i64, i64, i64) = checkpoint;
        Ok(is_busy == 0)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests leave files as a stranger would")]

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spinwell.db");
        let text =
            "this is a letter to a friend and not a database at all, however long it gets. ".repeat(20);
        std::fs::write(&path, &text).unwrap();
        let fault = Database::open(&path).await.unwrap_err().fault();
        assert_eq!(fault.code(), Code::DatabaseFailed, "{fault}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[tokio::test]
    async fn a_database_of_a_newer_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spinwell.db");
        let database = Database::open(&path).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9999, 'newer', true, x'00', 0)";
        sqlx::query(newer).execute(&database.pool).await.unwrap();
        database.close().await;
        let fault = Database::open(&path).await.unwrap_err().fault();
        assert_eq!(fault.code(), Code::FileFromTheFuture, "{fault}");
    }
}
