//! Files of which not all parts are here. They are bounded in number and in time: what nobody sends on is given up, with its bytes.

use super::staging::Staging;
use super::told;
use spinwell_core::{Code, Fault, Millis};
use spinwell_protocol::{BESIDE_BYTES_MAX, FILE_BYTES_MAX, FileOffer, PART_BYTES_MAX};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Files that may be on their way here at the same time.
pub(super) const UNDER_WAY_MAX: usize = 4;
/// How long the next part may take. After that the gateway has gone, or another one was asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Files on their way, by the numbers of their offers.
#[derive(Default)]
pub(super) struct Arriving(Mutex<HashMap<u64, UnderWay>>);

/// A file on its way.
pub(super) struct UnderWay {
    pub(super) offer: FileOffer,
    pub(super) bytes: Vec<u8>,
    /// Where it becomes whole.
    pub(super) staging: Staging,
    /// When the newest part came.
    touched: Instant,
}

impl Arriving {
    /// Awaits the parts of a file.
    ///
    /// # Errors
    /// Where enough files are on their way already.
    pub(super) fn admit(&self, offer: FileOffer, staging: Staging, now: Instant) -> Result<(), Fault> {
        let mut all = self.lock();
        if all.len() >= UNDER_WAY_MAX {
            let message = format!("{UNDER_WAY_MAX} files are on their way to this node already; try again");
            return Err(Fault::new(Code::QueueFull, message).retry_after(Millis(1000)));
        }
        all.insert(offer.transfer, UnderWay { offer, bytes: Vec::new(), staging, touched: now });
        Ok(())
    }

    /// Takes a part; comes with all of them when it was the last.
    ///
    /// # Errors
    /// Where it is no part of a file that is on its way, or does not fit the others; that file is given up.
    pub(super) fn take(
        &self,
        transfer: u64,
        offset: u64,
        part: &[u8],
        now: Instant,
    ) -> Result<Option<UnderWay>, Fault> {
        let mut all = self.lock();
        let Some(one) = all.get_mut(&transfer) else {
            let message = "a part of a file that is not on its way here, or was not sent on in time";
            return Err(Fault::new(Code::BodyTimeout, message));
        };
        let (have, whole) = (one.bytes.len() as u64, one.offer.whole);
        let fits = offset == have && part.len() <= PART_BYTES_MAX && have + part.len() as u64 <= whole;
        if !fits || part.is_empty() {
            let given_up = all.remove(&transfer);
            drop(all);
            drop(given_up);
            return Err(Fault::new(Code::RequestInvalid, "a part of a file that does not fit the others"));
        }
        one.bytes.extend_from_slice(part);
        one.touched = now;
        Ok(if one.bytes.len() as u64 == whole { all.remove(&transfer) } else { None })
    }

    /// By when the next part of a file must be here; nothing where it is not on its way.
    pub(super) fn awaited_until(&self, transfer: u64) -> Option<Instant> {
        self.lock().get(&transfer).map(|one| one.touched + PATIENCE)
    }

    /// Gives up a file that nobody has sent on in time.
    pub(super) fn give_up(&self, transfer: u64, now: Instant) {
        let mut all = self.lock();
        let is_late = all.get(&transfer).is_some_and(|one| one.touched + PATIENCE <= now);
        let given_up = if is_late { all.remove(&transfer) } else { None };
        drop(all);
        if let Some(UnderWay { offer, bytes, .. }) = given_up {
            let (file, whole) = (told(&offer.key), offer.whole);
            tracing::warn!(file, bytes = bytes.len(), whole, "a file that nobody sent on was given up");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an offered file, and what lies beside it, is short enough to be taken.
pub(super) fn check_lengths(offer: &FileOffer) -> Result<(), Fault> {
    let card = offer.beside.card.as_ref().map_or(0, |bytes| bytes.len() as u64);
    let settings = offer.beside.settings.as_ref().map_or(0, |bytes| bytes.len() as u64);
    let beside_max = BESIDE_BYTES_MAX as u64;
    for (what, length, most) in [
        ("it", offer.whole, FILE_BYTES_MAX),
        ("its card", card, beside_max),
        ("what says how it is served", settings, beside_max),
    ] {
        if length > most {
            let file = told(&offer.key);
            let message =
                format!("{file} is not taken: {what} is {length} bytes long, and {most} are carried");
            return Err(Fault::new(Code::BodyTooLarge, message));
        }
    }
    Ok(())
}
