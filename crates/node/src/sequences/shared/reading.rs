//! What is read of the shared log, and what it makes of the sequences in memory.

use super::follower::{Follower, unreadable};
use super::shard;
use crate::sequences::fold::Folded;
use crate::sequences::record::Record;
use crate::sequences::table::{Entering, Found};
use crate::sequences::{Held, Resident, resident};
use spinwell_core::{Fault, ModelHash, SequenceKey, StateSource};
use spinwell_policy::sequence::Role;
use spinwell_store::Position;
use spinwell_store::postgres::{Logged, Stored, Wanted, key_of};
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::Ordering;

/// What was read.
#[derive(Default)]
pub(super) struct Synced {
    /// What is stored of the sequences that were wanted, in their order, up to the tails as they are now.
    pub(super) stored: Vec<Stored>,
    /// Sequences that others have changed, that this node stands by for and does not have in memory.
    pub(super) missing: BTreeSet<SequenceKey>,
    /// Whether nothing was read, because the node is to stop.
    pub(super) is_given_up: bool,
}

impl Follower {
    /// Reads these shards to their ends, and what is stored of the sequences that are wanted, in one look at the store. Memory then
    /// holds what the logs say up to the new tails.
    pub(super) fn sync(&mut self, shards: &BTreeSet<u16>, wanted: &[SequenceKey]) -> Synced {
        let mut synced = Synced::default();
        if shards.is_empty() {
            return synced;
        }
        let wanted: Vec<_> =
            wanted.iter().map(|key| Wanted { shard: shard(key), key: key.clone() }).collect();
        loop {
            let tails: Vec<_> = shards.iter().map(|shard| (*shard, self.tails.of(*shard))).collect();
            let store = self.store.clone();
            let Some(read) = self.patiently(|| store.read(&tails, &wanted)) else {
                return Synced { is_given_up: true, ..Synced::default() };
            };
            for log in read.shards {
                if self.tails.of(log.shard).is_none() {
                    self.tails.follow(log.shard, log.position);
                    continue;
                }
                if log.has_gap {
                    // Pruned behind copies: what is in memory of it may be behind those.
                    self.table.let_go(|key| shard(key) == log.shard);
                }
                for entry in &log.entries {
                    synced.missing.extend(self.take(log.shard, entry));
                }
                self.tails.read(log.shard, log.position);
            }
            if !read.has_more {
                synced.stored = read.stored;
                return synced;
            }
        }
    }

    /// Folds an entry of another node into the state that is here. Gives the sequence where it is not, and should be.
    fn take(&mut self, shard: u16, entry: &Logged) -> Option<SequenceKey> {
        let key = key_of(&entry.key)?;
        match self.table.overtake(&key) {
            Found::Nowhere => (self.roles().of(shard) == Role::Standby).then_some(key),
            Found::InHand => None,
            Found::Resting(mut turn) => {
                // Whatever cannot be folded is read again when somebody asks for it.
                let held = match turn.take() {
                    Held::Here(resident) => self.fold(*resident, entry),
                    _ => None,
                };
                turn.put(held.map_or(Held::Unread, |resident| Held::Here(Box::new(resident))));
                None
            }
        }
    }

    fn fold(&self, resident: Resident, entry: &Logged) -> Option<Resident> {
        let mut folded = Folded::of(Ok(Some(resident)));
        folded.fold_entry(&entry.bytes, Position(entry.position), &self.cover, &self.models)?;
        let mut resident = folded.into_resident().ok()??;
        resident.source = StateSource::Standby;
        self.counts.followed.fetch_add(1, Ordering::Relaxed);
        Some(resident)
    }

    /// Takes a sequence into memory that another node keeps.
    pub(super) fn stand_by(&mut self, stored: &Stored) {
        let Ok(Some(mut resident)) = self.build(stored) else { return };
        resident.source = StateSource::Standby;
        // Whoever has it in hand reads it himself.
        let Entering::Now(mut turn) = self.table.enter(&stored.key) else { return };
        if matches!(turn.held(), Held::Unread) {
            self.counts.followed.fetch_add(1, Ordering::Relaxed);
            turn.put(Held::Here(Box::new(resident)));
        }
    }

    /// The state that copy and log make together.
    ///
    /// # Errors
    /// Where they make none, or its model can be had nowhere.
    pub(super) fn build(&mut self, stored: &Stored) -> Result<Option<Resident>, Fault> {
        let key = &stored.key;
        let plain = stored.entries.iter().map(|entry| self.cover.record_of(&entry.bytes));
        let plain = plain.collect::<Result<Vec<_>, _>>()?;
        let records: Option<Vec<_>> = plain.iter().map(|bytes| Record::read(bytes)).collect();
        let records = records.ok_or_else(|| unreadable(key))?;
        let hashes = stored.row.iter().map(|row| row.hash).chain(records.iter().filter_map(Record::begins));
        for hash in hashes.collect::<HashSet<ModelHash>>() {
            self.fetch_model(key, hash);
        }
        let mut folded =
            Folded::of(stored.row.as_ref().map(|row| resident(row, &self.models, &self.cover)).transpose());
        for (record, entry) in records.iter().zip(&stored.entries) {
            folded.fold(record, Position(entry.position), &self.models);
        }
        folded.into_resident()
    }

    /// Gets the file of a model from the store, where this node never had it. Without it the sequence is refused, with the reason.
    fn fetch_model(&mut self, key: &SequenceKey, hash: ModelHash) {
        if self.models.of_hash(&key.model, &hash).is_some() {
            return;
        }
        let store = self.store.clone();
        if let Some(Some(model)) = self.patiently(|| store.model(&hash))
            && let Err(error) = self.models.keep(&key.model, model.version, &hash, &model.bytes)
        {
            tracing::error!(%error, model = %key.model, %hash, "a model of the store cannot be kept here");
        }
    }
}
