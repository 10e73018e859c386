//! What a fuzz target does with bytes: everything a server would, without a panic. Shared by `cargo fuzz` and by the
//! engine's tests, which run it on inputs that a seed makes.

use sha2::{Digest, Sha256};
use spinwell_core::{Samples, Series};
use spinwell_engine::data::{Columns, read_csv};
use spinwell_engine::detect::Detector;
use spinwell_engine::{Model, Scratch, Window, season};

/// Where the payload of a model file begins: after kind, version, length and checksum.
const PAYLOAD: usize = 8 + 4 + 8 + 32;
/// Models that look further back than this are left alone: they cost seconds and show nothing new.
const WINDOW_MAX: usize = 4096;

/// Reads bytes as a model file whose length and checksum have been made right, as a forger would, and forecasts with
/// the model. Says whether it was one.
pub(crate) fn model_file(bytes: &[u8]) -> bool {
    let _ = Model::from_bytes(bytes);
    let mut file = bytes.to_vec();
    if file.len() > PAYLOAD {
        let length = (file.len() - PAYLOAD) as u64;
        file[12..20].copy_from_slice(&length.to_le_bytes());
        let checksum = Sha256::digest(&file[PAYLOAD..]);
        file[20..PAYLOAD].copy_from_slice(&checksum);
    }
    let Ok(model) = Model::from_bytes(&file) else { return false };
    let again = Model::from_bytes(&model.to_bytes()).expect("what was read can be written and read again");
    assert_eq!(again.to_bytes(), model.to_bytes(), "reading and writing change nothing");
    let (rows, channels) = (model.window_min(), model.channels().len());
    if rows > WINDOW_MAX {
        return true;
    }
    let rows = rows + 3;
    let values: Vec<f64> = (0..rows * channels).map(|at| ((at * 37) % 101) as f64 / 10.0).collect();
    let series = Series::new(1, rows, channels, Samples::F64(values.clone())).expect("one value a cell");
    let _ = model.forecast_windows(&[Window { series: &series, index: 0 }]);
    let (mut stream, mut scratch) = (model.stream(), Scratch::default());
    for row in values.chunks_exact(channels).take(20) {
        model.step(&mut stream, row, &mut scratch);
    }
    let _ = model.activity(&stream);
    if let Ok(mut restored) = model.restore_state(&model.save_state(&stream)) {
        model.step(&mut restored, &values[..channels], &mut scratch);
        let _ = model.forecast(&restored, &mut scratch);
    }
    true
}

/// Reads bytes as the state of one of the model's streams, goes on with it and forecasts. Says whether it was one.
pub(crate) fn state(model: &Model, bytes: &[u8]) -> bool {
    let Ok(mut stream) = model.restore_state(bytes) else { return false };
    let saved = model.save_state(&stream);
    assert!(
        saved.len() <= bytes.len().max(model.save_state(&model.stream()).len()),
        "a state grows by being read"
    );
    let again = model.restore_state(&saved).expect("what was restored can be saved and restored again");
    assert!(model.save_state(&again) == saved, "saving and restoring change nothing");
    let (mut scratch, channels) = (Scratch::default(), model.channels().len());
    let _ = model.forecast_at_any_age(&stream, &mut scratch);
    for at in 0..4 {
        let row: Vec<f64> = (0..channels).map(|channel| (at * 7 + channel) as f64 / 3.0).collect();
        model.step(&mut stream, &row, &mut scratch);
        let (forecast, _) = model.forecast_at_any_age(&stream, &mut scratch);
        if !forecast.forecast.iter().all(|value| value.is_finite()) {
            // Who puts numbers near the end of their range into a state gets no forecast of it, and spoils nobody else's.
            break;
        }
        for (at, middle) in forecast.forecast.iter().enumerate() {
            assert!(forecast.lower[at] <= *middle && *middle <= forecast.upper[at], "{forecast:?}");
        }
    }
    let _ = model.activity(&stream);
    // Numbers near the end of their range may have left it: such a state is refused then, and must not panic.
    let _ = model.restore_state(&model.save_state(&stream));
    true
}

/// Reads bytes as the state of a detector's watch and goes on with it. Says whether it was one.
pub(crate) fn watch(detector: &Detector, bytes: &[u8]) -> bool {
    let Ok(mut watch) = detector.restore_state(bytes) else { return false };
    let saved = detector.save_state(&watch);
    let again = detector.restore_state(&saved).expect("what was restored can be saved and restored again");
    assert!(detector.save_state(&again) == saved, "saving and restoring change nothing");
    let (mut scratch, channels) = (Scratch::default(), detector.forecaster().channels().len());
    for at in 0..4 {
        let row: Vec<f64> = (0..channels).map(|channel| (at * 7 + channel) as f64 / 3.0).collect();
        if let Some(verdict) = detector.step(&mut watch, &row, &mut scratch) {
            assert!(verdict.score >= 0.0 && !verdict.score.is_nan(), "{verdict:?}");
        }
    }
    let _ = detector.restore_state(&detector.save_state(&watch));
    true
}

/// Reads bytes as a CSV file of which the first columns are wanted, once with the first of them as time. Says whether a
/// table came of it.
pub(crate) fn csv(bytes: &[u8]) -> bool {
    let header = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let header = String::from_utf8_lossy(header);
    let names: Vec<String> = header.split(',').map(|name| name.trim().trim_matches('"').to_owned()).collect();
    let plain = Columns { values: names.iter().take(2).cloned().collect(), time: None };
    let timed =
        Columns { values: names[1..].iter().take(1).cloned().collect(), time: names.first().cloned() };
    let mut read = false;
    for wanted in [plain, timed] {
        let table = match read_csv(bytes, &wanted) {
            Ok(table) => table,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        read = true;
        let rows = table.rows();
        assert!(rows > 0 && table.width() == wanted.values.len());
        assert!(table.columns.iter().all(|column| column.len() == rows));
        assert!(table.columns.iter().flatten().all(|value| value.is_finite()));
        assert!(table.times.as_ref().is_none_or(|times| times.len() == rows));
        assert!(table.missing.iter().all(|flags| flags.is_empty() || flags.len() == rows));
        let _ = table.spacing();
        assert!((1..=rows.max(1)).contains(&season::detect(&table.columns[0])));
    }
    read
}
