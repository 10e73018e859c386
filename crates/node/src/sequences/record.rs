//! What the step log holds: every change of every sequence, enough to make the same states again.

use serde::{Deserialize, Serialize};
use spinwell_core::{Fnv, ModelHash, Samples, SequenceId, SequenceKey, Series, TenantId, UnixMillis};
use std::borrow::Cow;
use std::hash::Hasher;

/// The highest step that a state may be brought back with: a sequence must have numbers left to go on with.
const STEP_MAX: u64 = u64::MAX / 2;

/// Layout of the records; one of another layout is not read.
const LAYOUT: u8 = 1;

/// Layout of a record that is encrypted.
const COVERED: u8 = 2;

/// One change of a sequence.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record<'r> {
    layout: u8,
    #[serde(borrow)]
    tenant: Cow<'r, str>,
    #[serde(borrow)]
    model: Cow<'r, str>,
    #[serde(borrow)]
    id: Cow<'r, str>,
    /// When, in milliseconds since 1970.
    pub(crate) used: u64,
    /// What.
    #[serde(borrow)]
    pub(crate) change: Change<'r>,
}

/// What has changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Change<'r> {
    /// It was fed rows.
    Step {
        /// The model, where the sequence begins with this step.
        begins: Option<[u8; 32]>,
        /// Whether it is over.
        ends: bool,
        /// The step's number.
        step: u64,
        /// The digest of the rows.
        digest: u64,
        /// The rows.
        #[serde(borrow)]
        rows: Rows<'r>,
    },
    /// A caller has put a state there.
    Put {
        /// The model that the state is of.
        hash: [u8; 32],
        /// Its newest step.
        step: u64,
        /// That step's digest.
        digest: u64,
        /// The state.
        #[serde(borrow)]
        state: Cow<'r, [u8]>,
    },
    /// A caller has removed it.
    Remove,
    /// A caller has ended it without another step: he sent the newest one again, this time as the last.
    End,
}

/// Rows as they came.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rows<'r> {
    channels: usize,
    is_wide: bool,
    /// Little-endian.
    #[serde(borrow)]
    values: Cow<'r, [u8]>,
}

impl Rows<'static> {
    pub(crate) fn of(series: &Series) -> Self {
        let (is_wide, values) = match series.samples() {
            Samples::F32(values) => (false, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Samples::F64(values) => (true, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        Self { channels: series.channels(), is_wide, values: Cow::Owned(values) }
    }
}

impl Rows<'_> {
    /// The rows as one window; `None` where they are none.
    pub(crate) fn series(&self) -> Option<Series> {
        let samples = if self.is_wide {
            let (values, []) = self.values.as_chunks::<8>() else { return None };
            Samples::F64(values.iter().map(|value| f64::from_le_bytes(*value)).collect())
        } else {
            let (values, []) = self.values.as_chunks::<4>() else { return None };
            Samples::F32(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
        };
        let rows = samples.len().checked_div(self.channels).filter(|rows| *rows > 0)?;
        Series::new(1, rows, self.channels, samples)
    }
}

/// A record that only whoever has the keys can read. What it is found by stands before it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Covered<'r> {
    layout: u8,
    #[serde(borrow)]
    pub(crate) tenant: Cow<'r, str>,
    #[serde(borrow)]
    model: Cow<'r, str>,
    #[serde(borrow)]
    id: Cow<'r, str>,
    /// The record, encrypted.
    #[serde(borrow)]
    pub(crate) sealed: Cow<'r, [u8]>,
}

impl<'r> Covered<'r> {
    pub(crate) fn new(key: &'r SequenceKey, sealed: &'r [u8]) -> Self {
        Self {
            layout: COVERED,
            tenant: Cow::Borrowed(&key.tenant.0),
            model: Cow::Borrowed(key.model.as_str()),
            id: Cow::Borrowed(key.id.as_str()),
            sealed: Cow::Borrowed(sealed),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// The covered record in these bytes, where they are one.
    pub(crate) fn read(bytes: &'r [u8]) -> Option<Self> {
        // Looked at first: the number of a layout is the first byte of all records.
        bytes.first().filter(|layout| **layout == COVERED)?;
        postcard::from_bytes(bytes).ok()
    }

    /// Its sequence, as the place that it is bound to names it.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.model, self.id)
    }
}

/// The sequence that an entry of the log is of, covered or not.
pub(crate) fn key_of(entry: &[u8]) -> Option<SequenceKey> {
    match Covered::read(entry) {
        Some(covered) => key(&covered.tenant, &covered.model, &covered.id),
        None => Record::read(entry)?.key(),
    }
}

fn key(tenant: &str, model: &str, id: &str) -> Option<SequenceKey> {
    Some(SequenceKey {
        tenant: TenantId(tenant.into()),
        model: model.parse().ok()?,
        id: SequenceId::of_text(id)?,
    })
}

impl<'r> Record<'r> {
    pub(crate) fn new(key: &'r SequenceKey, used: UnixMillis, change: Change<'r>) -> Self {
        Self {
            layout: LAYOUT,
            tenant: Cow::Borrowed(&key.tenant.0),
            model: Cow::Borrowed(key.model.as_str()),
            id: Cow::Borrowed(key.id.as_str()),
            used: used.0,
            change,
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Plain values in memory cannot fail to be written; an empty record would be refused when read.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// The record in these bytes, where they are one.
    pub(crate) fn read(bytes: &'r [u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok().filter(|record: &Self| record.layout == LAYOUT)
    }

    /// The model that a state begins with here.
    pub(crate) fn begins(&self) -> Option<ModelHash> {
        match self.change {
            Change::Step { begins, .. } => begins.map(ModelHash),
            Change::Put { hash, .. } => Some(ModelHash(hash)),
            Change::Remove | Change::End => None,
        }
    }

    /// The sequence that it is of.
    pub(crate) fn key(&self) -> Option<SequenceKey> {
        key(&self.tenant, &self.model, &self.id)
    }
}

/// A sequence's state as a caller takes it away and brings it back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Portable<'r> {
    magic: [u8; 4],
    layout: u8,
    pub(crate) hash: [u8; 32],
    pub(crate) step: u64,
    pub(crate) digest: u64,
    #[serde(borrow)]
    pub(crate) state: Cow<'r, [u8]>,
}

/// What a portable state begins with.
const MAGIC: [u8; 4] = *b"SPWQ";

/// Its layout; the one before is the same without the checksum behind it.
const STATE_LAYOUT: u8 = 2;

/// Why bytes are no portable state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoState {
    /// They never were one that this program reads.
    Foreign,
    /// They were one before something changed them.
    Damaged,
}

impl<'r> Portable<'r> {
    pub(crate) fn new(hash: ModelHash, step: u64, digest: u64, state: &'r [u8]) -> Self {
        Self { magic: MAGIC, layout: STATE_LAYOUT, hash: hash.0, step, digest, state: Cow::Borrowed(state) }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        seal(postcard::to_stdvec(self).unwrap_or_default())
    }

    /// The state in these bytes; nothing may follow it.
    ///
    /// # Errors
    /// Where they are none.
    pub(crate) fn read(bytes: &'r [u8]) -> Result<Self, NoState> {
        let layout = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.first());
        let contents = match layout {
            Some(1) => bytes,
            Some(&STATE_LAYOUT) => unseal(bytes).ok_or(NoState::Damaged)?,
            _ => return Err(NoState::Foreign),
        };
        match postcard::take_from_bytes::<Self>(contents) {
            Ok((portable, [])) if (1..=STEP_MAX).contains(&portable.step) => Ok(portable),
            _ => Err(NoState::Foreign),
        }
    }
}

/// Bytes with their checksum behind them.
pub(crate) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&checksum(&bytes));
    bytes
}

/// Those bytes; nothing where their checksum is another one.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (contents, sum) = bytes.split_last_chunk()?;
    (checksum(contents) == *sum).then_some(contents)
}

/// Tells bytes from those in which one was changed, always; from others, as a hash of 64 bits does.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut hasher = Fnv::default();
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

/// Tells rows from other rows, the same in every process: a hash over shape and bits. Rows of 64 bits that all fit 32 have the digest
/// of those: they are the same numbers, sent in another way. It guards against mistakes, not against callers who look for a
/// collision with themselves.
pub(crate) fn digest(series: &Series) -> u64 {
    let mut hasher = Fnv::default();
    hasher.write(&(series.rows() as u64).to_le_bytes());
    hasher.write(&(series.channels() as u64).to_le_bytes());
    match series.samples() {
        Samples::F32(values) => values.iter().for_each(|value| hasher.write(&value.to_le_bytes())),
        Samples::F64(values) if values.iter().all(|value| fits(*value)) => {
            values.iter().for_each(|value| hasher.write(&(*value as f32).to_le_bytes()));
        }
        Samples::F64(values) => values.iter().for_each(|value| hasher.write(&value.to_le_bytes())),
    }
    hasher.finish()
}

/// Whether 32 bits hold this very number.
fn fits(value: f64) -> bool {
    f64::from(value as f32).to_bits() == value.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SequenceKey {
        let id = SequenceId::of_text("größe").unwrap();
        SequenceKey { tenant: TenantId("t".into()), model: "taxi".parse().unwrap(), id }
    }

    #[test]
    fn a_step_comes_back_as_it_was() {
        for samples in [Samples::F32(vec![1.5, -0.0, 3.25, 4.0]), Samples::F64(vec![0.1, 0.2, 0.3, 0.4])] {
            let series = Series::new(1, 2, 2, samples).unwrap();
            let change = Change::Step {
                begins: Some([7; 32]),
                ends: true,
                step: 1,
                digest: digest(&series),
                rows: Rows::of(&series),
            };
            let (key, used) = (key(), UnixMillis(5));
            let bytes = Record::new(&key, used, change).to_bytes();
            let record = Record::read(&bytes).unwrap();
            assert_eq!((record.key(), record.used), (Some(key), 5));
            let Change::Step { begins: Some(hash), ends: true, step: 1, digest: own, rows } = record.change
            else {
                panic!("another change came back");
            };
            let back = rows.series().unwrap();
            assert_eq!((hash, own), ([7; 32], digest(&back)));
            assert_eq!(back, series);
        }
    }

    #[test]
    fn digests_see_every_bit_and_the_shape() {
        let of = |rows, channels, values: &[f32]| {
            digest(&Series::new(1, rows, channels, Samples::F32(values.to_vec())).unwrap())
        };
        let all = [
            of(2, 1, &[1.0, 2.0]),
            of(1, 2, &[1.0, 2.0]),
            of(2, 1, &[2.0, 1.0]),
            of(1, 1, &[-0.0]),
            of(1, 1, &[0.0]),
        ];
        assert!((0..all.len()).all(|a| (0..a).all(|b| all[a] != all[b])), "{all:?}");
        // It stands in files: it may never change.
        assert_eq!(of(1, 1, &[1.0]), 0x034f_d3bb_6953_7a78);
    }

    #[test]
    fn the_same_numbers_have_one_digest_in_whichever_datatype_they_came() {
        let single =
            |values: &[f32]| digest(&Series::new(1, values.len(), 1, Samples::F32(values.to_vec())).unwrap());
        let double =
            |values: &[f64]| digest(&Series::new(1, values.len(), 1, Samples::F64(values.to_vec())).unwrap());
        assert_eq!(single(&[1.0, -0.0, 0.5, 3.0e38]), double(&[1.0, -0.0, 0.5, f64::from(3.0e38_f32)]));
        assert_eq!(single(&[0.1]), double(&[f64::from(0.1_f32)]));
        // Not the same number: 64 bits hold another one for these digits.
        assert_ne!(single(&[0.1]), double(&[0.1]));
        assert_ne!(double(&[1.0, 0.1]), double(&[1.0, f64::from(0.1_f32)]));
        assert_ne!(double(&[0.0]), double(&[-0.0]));
        assert_ne!(double(&[1e300]), double(&[1e301]), "both are too large for 32 bits");
    }

    #[test]
    fn a_state_brought_back_has_steps_before_it_and_after_it() {
        let read =
            |step| Portable::read(&Portable::new(ModelHash([7; 32]), step, 3, b"state").to_bytes()).is_ok();
        assert_eq!([1, STEP_MAX].map(read), [true, true]);
        assert_eq!([0, STEP_MAX + 1, u64::MAX].map(read), [false; 3]);
    }

    #[test]
    fn a_state_that_was_changed_on_its_way_is_told_from_what_never_was_one() {
        let state = Portable::new(ModelHash([7; 32]), 300, 3, b"state").to_bytes();
        assert!(Portable::read(&state).is_ok());
        for bit in 0..8 * state.len() {
            let mut changed = state.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let wanted = if bit < 8 * 5 { NoState::Foreign } else { NoState::Damaged };
            assert_eq!(Portable::read(&changed).unwrap_err(), wanted, "bit {bit}");
        }
        for end in 5..state.len() {
            assert_eq!(Portable::read(&state[..end]).unwrap_err(), NoState::Damaged, "cut at {end}");
        }
        assert_eq!(Portable::read(b"no state").unwrap_err(), NoState::Foreign);
    }

    #[test]
    fn a_state_from_before_there_was_a_checksum_is_read() {
        let mut state = Portable::new(ModelHash([7; 32]), 3, 9, b"state").to_bytes();
        state.truncate(state.len() - 8);
        state[4] = 1;
        let read = Portable::read(&state).unwrap();
        assert_eq!((read.step, read.digest, &*read.state), (3, 9, b"state".as_slice()));
    }

    proptest! {
        /// Bytes that are no record are refused without a panic.
        #[test]
        fn forged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(record) = Record::read(&bytes) {
                let _ = record.key();
                if let Change::Step { rows, .. } = record.change {
                    let _ = rows.series();
                }
            }
            let _ = Portable::read(&bytes);
        }
    }
}
