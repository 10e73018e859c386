//! Forged model files and states, and mangled CSV files, through the bodies of the fuzz targets.

use crate::batches::detectors;
use crate::bodies;
use crate::support::{TABLES, feed, samples, smallest, waves};
use rayon::prelude::*;
use spinwell_core::Rng;
use spinwell_engine::{Family, Scratch};

/// Where the payload begins, behind the checksum that the body makes right again.
const PAYLOAD: usize = 52;

/// Every byte of the payload is changed, in four ways.
#[test]
fn every_single_byte_of_every_family_s_file_may_be_forged() {
    for family in Family::ALL {
        let file = smallest(family);
        let read: usize = (PAYLOAD..file.len())
            .into_par_iter()
            .map(|at| {
                let forged = |change: u8| {
                    let mut forged = file.clone();
                    forged[at] ^= change;
                    usize::from(bodies::model_file(&forged))
                };
                [0x80, 0x01, 0xff, 0x12].map(forged).iter().sum::<usize>()
            })
            .sum();
        let all = 4 * (file.len() - PAYLOAD);
        assert!(read > 20 && all - read > 20, "{family}: {read} of {all} forgeries were read");
    }
}

#[test]
fn mutated_model_files_never_panic() {
    let files: Vec<Vec<u8>> = samples().iter().map(|sample| sample.model.to_bytes()).collect();
    let read: usize = (0..4000u64)
        .into_par_iter()
        .map(|seed| {
            let mut rng = Rng::seeded(seed);
            let mut file = files[seed as usize % files.len()].clone();
            mutate(&mut rng, &mut file, PAYLOAD, &[]);
            usize::from(bodies::model_file(&file))
        })
        .sum();
    assert!(read > 200 && read < 3800, "{read} of 4000 were models");
}

/// Where the values of a state begin, behind its kind, version and the model's hash.
const STATE: usize = 40;

/// Every byte of a state behind its header is changed, in four ways, and thousands of states in several places.
#[test]
fn forged_states_are_refused_or_go_on() {
    let waves = waves(320);
    let (mut all, mut read) = (0, 0);
    for sample in samples() {
        let model = &sample.model;
        let mut stream = model.stream();
        feed(model, &mut stream, &waves, 0..60);
        let state = model.save_state(&stream);
        assert!(bodies::state(model, &state), "{}", sample.name());
        let (tried, taken) = forge(&state, |forged| bodies::state(model, forged));
        (all, read) = (all + tried, read + taken);
    }
    assert!(read > all / 10 && read < all, "{read} of {all} were states");
}

#[test]
fn forged_states_of_detectors_are_refused_or_go_on() {
    let waves = waves(320);
    for detector in detectors() {
        let (mut watch, mut scratch) = (detector.watch(), Scratch::default());
        let channels = detector.forecaster().channels().len();
        for at in 0..60 {
            let row: Vec<f64> = waves.columns[..channels].iter().map(|column| column[at]).collect();
            detector.step(&mut watch, &row, &mut scratch);
        }
        let state = detector.save_state(&watch);
        assert!(bodies::watch(detector, &state));
        let (all, read) = forge(&state, |forged| bodies::watch(detector, forged));
        assert!(read > all / 10 && read < all, "{read} of {all} were states");
    }
}

/// Forgeries of a state: how many were tried, and how many were taken for states.
fn forge(state: &[u8], body: impl Fn(&[u8]) -> bool + Sync) -> (usize, usize) {
    let places: Vec<usize> = (STATE..state.len()).step_by((state.len() / 300).max(1)).collect();
    let one_place = |at: &usize| {
        let forged = |change: u8| {
            let mut forged = state.to_vec();
            forged[*at] ^= change;
            usize::from(body(&forged))
        };
        [0x80, 0x01, 0xff, 0x12].map(forged).iter().sum::<usize>()
    };
    let several = |seed: u64| {
        let (mut rng, mut forged) = (Rng::seeded(seed), state.to_vec());
        mutate(&mut rng, &mut forged, STATE, &[]);
        usize::from(body(&forged))
    };
    let read = places.par_iter().map(one_place).sum::<usize>()
        + (0..300u64).into_par_iter().map(several).sum::<usize>();
    (4 * places.len() + 300, read)
}

#[test]
fn mutated_csv_files_never_panic() {
    let words: [&[u8]; 14] = [
        b"NaN",
        b"1e308",
        b"-1e999",
        b"\"",
        b",",
        b"\r\n",
        b"\n\n\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b"9999-12-31",
        b"-9999-01",
        b"2020-02-30",
        b"1e-320",
        b"\0",
    ];
    let read: usize = (0..6000u64)
        .into_par_iter()
        .map(|seed| {
            let mut rng = Rng::seeded(seed);
            let mut file = TABLES[seed as usize % TABLES.len()].as_bytes().to_vec();
            mutate(&mut rng, &mut file, 0, &words);
            usize::from(bodies::csv(&file))
        })
        .sum();
    assert!(read > 300 && read < 5500, "{read} of 6000 were tables");
}

/// One to four changes at or behind `from`: a byte, a run cut out, a run doubled, a word put in.
fn mutate(rng: &mut Rng, file: &mut Vec<u8>, from: usize, words: &[&[u8]]) {
    for _ in 0..1 + rng.below(4) {
        let at = from + rng.below((file.len() - from) as u64) as usize;
        let end = (at + 1 + rng.below(12) as usize).min(file.len());
        match rng.below(if words.is_empty() { 8 } else { 12 }) {
            0 if file.len() > from + 40 => drop(file.drain(at..end)),
            1 => {
                let run = file[at..end].to_vec();
                file.splice(at..at, run);
            }
            2..=4 => file[at] = rng.next_u64() as u8,
            5..=7 => file[at] ^= 1 << rng.below(8),
            8.. => {
                let word = words[rng.below(words.len() as u64) as usize];
                file.splice(at..at, word.iter().copied());
            }
            _ => {}
        }
    }
}
