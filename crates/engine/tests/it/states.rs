//! States of streams as bytes: whole and ours, or refused.

use crate::batches::detectors;
use crate::support::{Sample, bits, feed, samples, waves};
use spinwell_core::{NumericProfile, Rng};
use spinwell_engine::{Scratch, StateError};

/// Length of a state's header: kind, version, the model's hash.
const HEADER: usize = 40;

#[test]
fn a_restored_stream_goes_on_with_the_same_bits() {
    let waves = waves(320);
    for sample @ Sample { model, .. } in samples() {
        for rows in [0, 7, 200] {
            let mut stream = model.stream();
            feed(model, &mut stream, &waves, 0..rows);
            let saved = model.save_state(&stream);
            let mut restored = model.restore_state(&saved).unwrap();
            assert!(model.save_state(&restored) == saved, "{}", sample.name());
            feed(model, &mut stream, &waves, rows..300);
            feed(model, &mut restored, &waves, rows..300);
            assert!(model.save_state(&restored) == model.save_state(&stream), "{}", sample.name());
            let mut scratch = Scratch::default();
            let (a, b) = (model.forecast(&stream, &mut scratch), model.forecast(&restored, &mut scratch));
            assert_eq!(bits(&a.unwrap()), bits(&b.unwrap()), "{}", sample.name());
        }
    }
}

#[test]
fn a_restored_watch_goes_on_with_the_same_verdicts() {
    let waves = waves(320);
    let row = |row: usize, channels: usize| -> Vec<f64> {
        waves.columns[..channels].iter().map(|column| column[row]).collect()
    };
    for (index, detector) in detectors().iter().enumerate() {
        let channels = detector.forecaster().channels().len();
        for rows in [0, 7, 200] {
            let mut scratch = Scratch::default();
            let mut watch = detector.watch();
            (0..rows).for_each(|at| {
                detector.step(&mut watch, &row(at, channels), &mut scratch);
            });
            let saved = detector.save_state(&watch);
            let mut restored = detector.restore_state(&saved).unwrap();
            assert_eq!(restored.newest(), watch.newest(), "after {rows} rows");
            assert!(detector.save_state(&restored) == saved);
            for at in rows..300 {
                let wanted = detector.step(&mut watch, &row(at, channels), &mut scratch);
                assert_eq!(
                    detector.step(&mut restored, &row(at, channels), &mut scratch),
                    wanted,
                    "row {at}"
                );
            }
            for length in [0, HEADER, saved.len() - 1] {
                assert!(detector.restore_state(&saved[..length]).is_err(), "{length} bytes");
            }
            let other = &detectors()[1 - index];
            assert_eq!(other.restore_state(&saved).err(), Some(StateError::OtherModel));
        }
    }
}

#[test]
fn states_of_other_models_and_damaged_ones_are_refused() {
    let waves = waves(320);
    let samples = samples();
    for (index, sample) in samples.iter().enumerate() {
        let model = &sample.model;
        let mut stream = model.stream();
        feed(model, &mut stream, &waves, 0..60);
        let saved = model.save_state(&stream);
        let other = &samples[(index + 3) % samples.len()].model;
        assert_eq!(other.restore_state(&saved).unwrap_err(), StateError::OtherModel, "{}", sample.name());
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = saved.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            model.restore_state(&changed).err()
        };
        let name = sample.name();
        assert_eq!(with(0, b"X"), Some(StateError::Foreign), "{name}");
        assert_eq!(with(4, &[9]), Some(StateError::Version { found: 9 }), "{name}");
        assert_eq!(with(9, &[saved[9] ^ 1]), Some(StateError::OtherModel), "{name}");
        assert_eq!(with(HEADER, &[255; 8]), Some(StateError::Damaged), "{name}: rows beyond counting");
        for (what, number) in
            [("not a number", f64::NAN), ("endless", f64::INFINITY), ("endless", -f64::INFINITY)]
        {
            // The last numbers of a state are of its intervals; the second word is a value of its memory.
            assert_eq!(
                with(saved.len() - 8, &number.to_le_bytes()),
                Some(StateError::Damaged),
                "{name}: {what}"
            );
            let value = match model.profile() {
                NumericProfile::CpuF32 => (number as f32).to_le_bytes().to_vec(),
                _ => number.to_le_bytes().to_vec(),
            };
            assert_eq!(with(HEADER + 8, &value), Some(StateError::Damaged), "{name}: {what}");
        }
        for length in [0, 1, HEADER - 1, HEADER, saved.len() - 1, saved.len() - 8] {
            assert!(model.restore_state(&saved[..length]).is_err(), "{name}: {length} bytes");
        }
        assert_eq!(
            model.restore_state(&[&saved[..], &[0; 8]].concat()).err(),
            Some(StateError::Damaged),
            "{name}"
        );
    }
}

/// Bytes that are no state of any stream are refused, or step and forecast without a panic.
#[test]
fn forged_states_never_panic() {
    let waves = waves(320);
    let mut rng = Rng::seeded(6);
    let (mut accepted, mut declined) = (0, 0);
    for Sample { model, .. } in samples() {
        let mut stream = model.stream();
        feed(model, &mut stream, &waves, 0..60);
        let saved = model.save_state(&stream);
        for _ in 0..150 {
            let mut forged = saved.clone();
            for _ in 0..1 + rng.below(3) {
                let at = HEADER + rng.below((forged.len() - HEADER) as u64) as usize;
                forged[at] = rng.next_u64() as u8;
            }
            let Ok(mut restored) = model.restore_state(&forged) else {
                declined += 1;
                continue;
            };
            accepted += 1;
            feed(model, &mut restored, &waves, 60..64);
            let _ = model.forecast(&restored, &mut Scratch::default());
            let _ = model.activity(&restored);
        }
    }
    assert!(accepted > 200 && declined > 50, "{accepted} accepted, {declined} declined");
}
