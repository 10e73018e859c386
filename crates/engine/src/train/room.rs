//! Whether the sums that training would hold have room, before any of them is allocated.
//!
//! Sums of products take features² numbers for each stretch of the folds, and a large bank of reservoirs asks for more
//! than any machine has without looking absurd in its settings. What a candidate takes follows from its choices alone,
//! so it is counted, not tried. Settings fixed by hand that leave no room even for a family's smallest candidate are
//! refused before training begins; a candidate of the search itself that is too large is passed over.
//!
//! The reservoirs themselves are not counted: each bank has a limit of its own, and those of the candidates that were tried
//! are kept until training ends.
//!
//! The limit is a constant and not what the machine has: which candidates are tried must not depend on the machine.

use super::draws::Size;
use super::error::Error;
use super::{Plan, Task};
use crate::linalg;
use crate::settings::Settings;
use crate::spec::{Family, Spec};

/// Bytes that the sums of all candidates under way may take together, unless set by hand (`memory_gib`): room for an
/// echo-state network of 4096 units beside lags.
pub const BYTES_MAX: u64 = 4 << 30;

/// Square matrices of one number per pair of features that a candidate holds at once, for so many folds: while the
/// folds are prepared, or while a member's penalties are chosen and all folds are solved at the same time.
fn matrices(folds: usize) -> usize {
    // Sums inside and across each stretch and their running sum; each fold's correlations and left-out rows; the last
    // fit's, and its sums mirrored.
    let preparing = (2 * (folds + 1) + 1) + 2 * folds + 2;
    // The folds and the last fit; the folds again as a member sees them; each with a penalty, and its factor.
    let solving = (2 * folds + 1) + 2 * folds + 2 * folds;
    preparing.max(solving)
}

/// Bytes of the sums, the factorisations and the readouts of a candidate.
fn bytes(features: usize, outputs: usize, folds: usize) -> u64 {
    let matrices = matrices(folds) as f64;
    let (f, o) = (features as f64 + 1.0, outputs as f64);
    let waiting = 2.0 * (folds as f64 + 1.0) * linalg::CHUNK_ROWS as f64 * (f + o);
    // Eight penalties a fold may wait for the choice between them.
    let readouts = 8.0 * folds as f64 * f * o;
    (size_of::<f64>() as f64 * (matrices * f * (f + o) + waiting + readouts)) as u64
}

/// The most features that fit.
fn features_max(outputs: usize, folds: usize, bytes_max: u64) -> usize {
    let (mut fits, mut too_many) = (0usize, 1 << 24);
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        if bytes(middle, outputs, folds) <= bytes_max { fits = middle } else { too_many = middle }
    }
    fits
}

fn bytes_max(task: &Task<'_>) -> u64 {
    task.options.settings.memory_gib.map_or(BYTES_MAX, |gib| (gib * f64::from(1 << 30)) as u64)
}

fn bytes_of(task: &Task<'_>, spec: &Spec) -> u64 {
    let features = spec.features_len(task.heard().len());
    bytes(features, task.outputs_per_vector(spec.shared), task.folds.count())
}

/// How many of some candidates may be under way at the same time, at least one.
pub(super) fn together<'s>(task: &Task<'_>, specs: impl Iterator<Item = &'s Spec>) -> usize {
    at_once(bytes_max(task), specs.map(|spec| bytes_of(task, spec)))
}

/// How many of candidates of these bytes have room; those that have none even alone are passed over and hold nothing.
fn at_once(bytes_max: u64, bytes: impl Iterator<Item = u64>) -> usize {
    let largest = bytes.filter(|&bytes| bytes <= bytes_max).max().unwrap_or(0).max(1);
    usize::try_from(bytes_max / largest).unwrap_or(usize::MAX).max(1)
}

/// Refuses a candidate that cannot be had, or has no room.
pub(super) fn check(task: &Task<'_>, spec: &Spec) -> Result<(), Error> {
    let (family, channels) = (spec.family, task.heard().len());
    if family.is_naive() {
        return Ok(());
    }
    for block in &spec.blocks {
        block.check_for(channels).map_err(|reason| Error::Reservoir { family, reason })?;
    }
    let (bytes, bytes_max) = (bytes_of(task, spec), bytes_max(task));
    if bytes <= bytes_max {
        return Ok(());
    }
    let features = spec.features_len(channels);
    let outputs = task.outputs_per_vector(spec.shared);
    let features_max = features_max(outputs, task.folds.count(), bytes_max);
    Err(Error::Memory { family, features, bytes, bytes_max, features_max })
}

/// Refuses settings fixed by hand under which not even the smallest candidate of a family that may win can be had,
/// where it could be had without them.
pub(super) fn check_settings(task: &Task<'_>) -> Result<(), Error> {
    let smallest = Plan::new(task).examples(Size::Small);
    let own = &task.options.settings;
    let free = Settings { skip: own.skip, memory_gib: own.memory_gib, ..Settings::default() };
    let options = super::Options { settings: free, ..task.options.clone() };
    let without = Plan::new(&Task { options: &options, ..*task }).examples(Size::Small);
    for family in Family::ALL {
        let refused = |specs: &[Spec]| {
            let of_family = specs.iter().filter(|spec| spec.family == family);
            let checked: Result<Vec<Error>, ()> =
                of_family.map(|spec| check(task, spec).err().ok_or(())).collect();
            checked.ok().and_then(|errors| errors.into_iter().next())
        };
        if let Some(error) = refused(&smallest).filter(|_| refused(&without).is_none()) {
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_features_that_fit_are_one_fewer_than_those_that_do_not() {
        for (outputs, folds, most) in [(1, 3, BYTES_MAX), (96, 1, 1 << 20), (1, 3, 1 << 40)] {
            let features = features_max(outputs, folds, most);
            assert!(features > 0 && bytes(features, outputs, folds) <= most, "{features}");
            assert!(bytes(features + 1, outputs, folds) > most, "{features}");
        }
        assert_eq!(features_max(1, 3, 10), 0);
        // What the constant promises.
        assert!((4300..6000).contains(&features_max(8, 3, BYTES_MAX)));
    }

    #[test]
    fn as_many_run_at_once_as_have_room_together() {
        let at_once = |bytes: &[u64]| at_once(100, bytes.iter().copied());
        assert_eq!(at_once(&[66, 10]), 1);
        assert_eq!(at_once(&[31, 10]), 3);
        assert_eq!(at_once(&[50, 50]), 2);
        assert_eq!(at_once(&[400, 31]), 3, "one that is passed over");
        assert_eq!(at_once(&[400]), 100, "nothing runs");
        assert_eq!(at_once(&[]), 100);
    }
}
