use super::*;
use crate::data::{Columns, Table, read_csv};
use crate::settings::Precision;
use crate::train::{Choice, Feeds, Options, Score};
use crate::{AnyModel, Family, Scratch, Silent, Window};
use sha2::{Digest, Sha256};
use spinwell_core::{Code, Rng, Samples, Series};

/// A noisy wave; `change` may bend a row's value.
fn table(rows: usize, seed: u64, change: impl Fn(usize, f64) -> f64) -> Table {
    let mut rng = Rng::seeded(seed);
    let wave = |t: usize, rng: &mut Rng| (t as f64 * 0.3).sin() + 0.2 * rng.normal();
    let csv: String = (0..rows).map(|t| format!("{}\n", change(t, wave(t, &mut rng)))).collect();
    read_csv(format!("y\n{csv}").as_bytes(), &Columns { values: vec!["y".to_owned()], time: None }).unwrap()
}

fn options() -> Options {
    Options {
        targets: 1,
        feeds: Feeds::Everything,
        horizon: 1,
        season: Some(1),
        choice: Choice::Only(Family::Linear),
        settings: Default::default(),
        precision: Precision::F32,
        trials: 2,
        coverage: 0.95,
        seed: 1,
        score: Score::Path,
        time_column: None,
    }
}

fn detector(alpha: f64) -> Detector {
    train_detector(&table(900, 1, |_, v| v), 900, alpha, &options(), &Silent).unwrap().detector
}

#[test]
fn usual_rows_are_called_anomalies_about_as_often_as_promised() {
    let detector = detector(0.01);
    let said = scored_rows(&detector, &table(30_000, 2, |_, v| v));
    let alarms = said.iter().flatten().filter(|verdict| verdict.is_anomaly).count() as f64;
    // Bonferroni over spans that agree in part is careful: below alpha, but not by an order of magnitude.
    let share = alarms / said.iter().flatten().count() as f64;
    assert!((0.002..0.013).contains(&share), "{share}");
}

#[test]
fn a_spike_and_a_small_shift_that_stays_are_both_found() {
    let detector = detector(1e-4);
    let spike = scored_rows(&detector, &table(1200, 3, |t, v| if t == 1000 { v + 3.0 } else { v }));
    assert!(spike[1000].unwrap().is_anomaly);
    assert!(spike[900..1000].iter().flatten().all(|verdict| !verdict.is_anomaly));
    // A frequency that drifts away leaves single errors small and their average large.
    let shift = scored_rows(&detector, &table(1400, 4, |t, v| if t >= 1000 { v + 0.9 } else { v }));
    assert!(shift[1000..1100].iter().flatten().any(|verdict| verdict.is_anomaly));
}

#[test]
fn a_window_is_judged_like_a_stream_that_begins_with_it() {
    let detector = detector(0.01);
    let values = table(200, 5, |t, v| if t == 199 { 4.0 } else { v }).columns[0].clone();
    let (mut watch, mut scratch) = (detector.watch(), Scratch::default());
    let last = values.iter().map(|&value| detector.step(&mut watch, &[value], &mut scratch)).last().unwrap();
    let series = Series::new(1, 200, 1, Samples::F64(values)).unwrap();
    let found = detector.judge_windows(&[Window { series: &series, index: 0 }]);
    assert_eq!(found, [Ok(last.unwrap())]);
    let short = Series::new(1, 2, 1, Samples::F64(vec![0.0; 2])).unwrap();
    let error = detector.judge_windows(&[Window { series: &short, index: 0 }]).remove(0).unwrap_err();
    assert_eq!(error.code(), Code::WindowTooShort);
}

#[test]
fn rows_after_the_training_part_are_not_read() {
    let honest = train_detector(&table(900, 6, |_, v| v), 600, ALPHA, &options(), &Silent).unwrap();
    let forged = table(900, 6, |t, v| if t >= 600 { 1e6 * v } else { v });
    let other = train_detector(&forged, 600, ALPHA, &options(), &Silent).unwrap();
    assert_eq!(honest.detector.to_bytes(), other.detector.to_bytes());
}

#[test]
fn what_a_detector_cannot_be_trained_with_is_said() {
    let table = table(300, 7, |_, v| v);
    let far = Options { horizon: 2, ..options() };
    let error = train_detector(&table, 300, ALPHA, &far, &Silent).unwrap_err();
    assert_eq!(error.code(), Code::OptionInvalid);
    assert!(train_detector(&table, 300, 1.0, &options(), &Silent).is_err());
}

#[test]
fn a_detector_comes_back_from_its_file_and_forged_ones_are_refused_or_answer() {
    let detector = detector(0.01);
    let file = detector.to_bytes();
    let AnyModel::Detector(again) = AnyModel::from_bytes(&file).unwrap() else { panic!("another kind") };
    assert_eq!((again.to_bytes(), again.hash()), (file.clone(), detector.hash()));
    let series = Series::new(1, 80, 1, Samples::F64(vec![0.5; 80])).unwrap();
    let window = Window { series: &series, index: 0 };
    assert_eq!(again.judge_windows(&[window]), detector.judge_windows(&[window]));
    let mut rng = Rng::seeded(8);
    for _ in 0..300 {
        let mut forged = file.clone();
        forged[52 + rng.below((file.len() - 52) as u64) as usize] = rng.below(256) as u8;
        let checksum = Sha256::digest(&forged[52..]);
        forged[20..52].copy_from_slice(&checksum);
        if let Ok(AnyModel::Detector(forged)) = AnyModel::from_bytes(&forged) {
            let _ = forged.judge_windows(&[window]);
        }
    }
    for length in [0, 30, 60, file.len() - 1] {
        assert!(Detector::from_bytes(&file[..length]).is_err());
    }
}
