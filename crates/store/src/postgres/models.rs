//! The files of models that sequences were begun with: a node that takes over may never have had one.

use super::{FILE_BACK, FILE_THERE, Postgres, within};
use crate::DatabaseError;
use spinwell_core::{ModelHash, ModelVersion};
use sqlx::Row;

/// A model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModel {
    /// The model's name.
    pub name: String,
    /// The version that it was served as.
    pub version: ModelVersion,
    /// The file. Whoever uses it checks that its hash is the one that was asked for.
    pub bytes: Vec<u8>,
}

impl Postgres {
    /// Keeps the file of a model under its hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn keep_model(
        &self,
        name: &str,
        version: ModelVersion,
        hash: &ModelHash,
        bytes: &[u8],
    ) -> Result<(), DatabaseError> {
        let statement = sqlx::query(
            "INSERT INTO models (hash, name, version, bytes) VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING",
        );
        let statement = statement.bind(&hash.0[..]).bind(name).bind(i64::from(version.0)).bind(bytes);
        within(FILE_THERE, statement.execute(&self.pool)).await.map(drop)
    }

    /// The file of that hash, where it is kept.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn model(&self, hash: &ModelHash) -> Result<Option<StoredModel>, DatabaseError> {
        let query = sqlx::query("SELECT name, version, bytes FROM models WHERE hash = $1").bind(&hash.0[..]);
        let Some(row) = within(FILE_BACK, query.fetch_optional(&self.pool)).await? else { return Ok(None) };
        let version = ModelVersion(u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u32::MAX));
        Ok(Some(StoredModel { name: row.try_get(0)?, version, bytes: row.try_get(2)? }))
    }
}
