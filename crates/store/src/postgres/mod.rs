//! What the processes of a region share, in PostgreSQL: the logs of sequences, their copies, the models that they are of, leases, plans, keys.

mod key;
mod keys;
mod leases;
mod log;
mod models;
mod plans;
mod sequences;

pub use key::{key_bytes, key_of};
pub use keys::{LockedKeys, StoredKeys};
pub use log::{Append, Appended, Entry, Logged, Read, ShardLog, Stored, Wanted};
pub use models::StoredModel;

use crate::DatabaseError;
use spinwell_core::Millis;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Connections of a process: one writes and reads the logs, others copy and look.
const CONNECTIONS: u32 = 4;
/// How long an answer may take. A server that stands still closes no connection.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the file of a model may take to get there: hundreds of megabytes over a slow network.
const FILE_THERE: Duration = Duration::from_secs(300);
/// How long it may take back: steps of other sequences wait meanwhile, since a node takes one over with it.
const FILE_BACK: Duration = Duration::from_secs(60);
/// How often a server is tried that cannot be reached yet when a process begins, and the pause before the next try.
const TRIES: (u32, Duration) = (10, Duration::from_millis(500));
/// What a server says that is not ready yet.
const STARTING_UP: &str = "57P03";
/// The oldest server: from here on snapshots and statements mean what this crate needs.
const SERVER_MIN: u32 = 130_000;

/// A database that the processes of a region share; a cheap handle.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// Connects, and brings the tables to this program's layout.
    ///
    /// # Errors
    /// Where the URL is none, the server cannot be reached or is too old, or a newer program has laid out the tables.
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        let options = PgConnectOptions::from_str(url).map_err(|source| failed("the URL", source))?;
        let name = format!("at {}:{}", options.get_host(), options.get_port());
        // A step is promised when it is on the disk, and a statement sees what the one before has waited for, whatever the
        // server usually does. Plans are made for the tables and the arguments as they are: the log grows from nothing to millions of
        // entries and back, in the life of a connection. Compiling them takes longer than they do.
        let settings = [
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("plan_cache_mode", "force_custom_plan"),
            ("jit", "off"),
        ];
        let options = options.application_name("spinwell").options(settings);
        reach(&options, &name).await?;
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ANSWER / 2);
        // An append is one way there and back. A connection that has gone bad is noticed by whoever uses it, who asks again.
        let pool = pool.test_before_acquire(false);
        let pool = pool.connect_with(options).await.map_err(|source| failed(&name, source))?;
        let version: (String,) = bounded(sqlx::query_as("SHOW server_version_num").fetch_one(&pool)).await?;
        if version.0.parse::<u32>().is_ok_and(|version| version < SERVER_MIN) {
            return Err(DatabaseError::TooOld { database: name });
        }
        let laid_out = MIGRATIONS.run(&pool).await;
        laid_out.map_err(|source| DatabaseError::Layout { database: name, source })?;
        Ok(Self { pool })
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        bounded(sqlx::query("SELECT 1").execute(&self.pool)).await.map(drop)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Comes when the server can be reached, which is tried for a while. A pool would only say that no connection became free.
///
/// # Errors
/// Why it cannot be.
async fn reach(options: &PgConnectOptions, database: &str) -> Result<(), DatabaseError> {
    let (tries, pause) = TRIES;
    for left in (0..tries).rev() {
        let error = match bounded(options.connect()).await {
            Ok(connection) => {
                // Whether the server hears of it does not matter.
                let _ = connection.close().await;
                return Ok(());
            }
            Err(DatabaseError::Statement(source)) => source,
            Err(silent) => return Err(silent),
        };
        if left == 0 || !may_pass(&error) {
            return Err(failed(database, error));
        }
        if left + 1 == tries {
            tracing::warn!(database, %error, "the database cannot be reached yet and is tried again");
        }
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// Whether a server that could not be connected to may be there in a moment.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(said) => said.code().as_deref() == Some(STARTING_UP),
        _ => false,
    }
}

fn failed(database: &str, source: sqlx::Error) -> DatabaseError {
    DatabaseError::Open { database: database.to_owned(), source }
}

/// The answer, if it comes in time.
async fn bounded<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, DatabaseError>
where
    DatabaseError: From<E>,
{
    within(ANSWER, answer).await
}

/// The answer, if it comes within so long.
async fn within<T, E>(limit: Duration, answer: impl Future<Output = Result<T, E>>) -> Result<T, DatabaseError>
where
    DatabaseError: From<E>,
{
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            Err(DatabaseError::Silent { limit: Millis(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)) })
        }
    }
}

#[cfg(test)]
mod tests;
