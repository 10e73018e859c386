//! Model files, windows and threads: the same bits everywhere.

use crate::support::{Sample, bits, feed, forecast, heard, options, samples, table, try_train, waves};
use spinwell_engine::settings::{Precision, Settings};
use spinwell_engine::train::Options;
use spinwell_engine::{Family, Model, Scratch};

#[test]
fn every_family_and_precision_comes_back_from_its_file_to_the_bit() {
    for sample @ Sample { model, .. } in samples() {
        let bytes = model.to_bytes();
        let again = Model::from_bytes(&bytes).unwrap();
        assert!(again.to_bytes() == bytes && again.hash() == model.hash(), "{}", sample.name());
        assert_eq!(again.spec(), model.spec());
        let window = sample.window(300, 120);
        assert_eq!(bits(&forecast(&again, &window)), bits(&forecast(model, &window)), "{}", sample.name());
    }
}

#[test]
fn precisions_are_those_asked_for() {
    for sample in samples().iter().filter(|sample| !sample.family.is_naive()) {
        let wide = sample.model.profile().as_str() == "cpu-f64";
        assert_eq!(wide, sample.precision == Precision::F64, "{}", sample.name());
    }
}

#[test]
fn a_window_gives_the_bits_of_a_fresh_stream_of_every_family() {
    let waves = waves(320);
    for sample @ Sample { model, .. } in samples() {
        for rows in [model.window_min(), 130] {
            let mut stream = model.stream();
            feed(model, &mut stream, &waves, 300 - rows..300);
            let streamed = model.forecast(&stream, &mut Scratch::default()).unwrap();
            let answered = forecast(model, &sample.window(300, rows));
            assert_eq!(bits(&streamed), bits(&answered), "{} of {rows} rows", sample.name());
        }
    }
}

/// A window that covers the lags and the rows after which reservoirs have forgotten to 1e-6 says what a stream says
/// that has run for ever. Without a mixture, whose weights remember longer by design.
#[test]
fn a_window_beyond_the_contraction_forecasts_what_a_long_stream_does() {
    let waves = waves(900);
    let mut compared = 0;
    for family in Family::ALL {
        let options = options(family);
        let settings = Settings { mixing: Some(false), ..options.settings.clone() };
        let model = try_train(&waves, &Options { settings, ..options }).unwrap().model;
        let Some(forgotten) = model.contraction().to_1e6 else { continue };
        let rows = model.window_min() + forgotten;
        assert!(rows < 800, "{family} forgets within {forgotten} rows");
        let mut stream = model.stream();
        feed(&model, &mut stream, &waves, 0..900);
        let long = model.forecast(&stream, &mut Scratch::default()).unwrap();
        let series = spinwell_engine::backtest::cut(&waves, &heard(&model), 900 - rows, rows);
        let window = forecast(&model, &series);
        for (a, b) in long.forecast.iter().zip(&window.forecast) {
            // Readouts' weights of a few times one make of 1e-6 some 1e-5 of a deviation of 1.5.
            assert!((a - b).abs() < 1e-3, "{family} of {rows} rows: {a} {b}");
        }
        compared += 1;
    }
    assert!(compared >= 6, "only {compared} families forget");
}

#[test]
fn training_is_the_same_with_one_thread_and_with_two() {
    let waves = waves(250);
    for family in Family::ALL {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| try_train(&waves, &options(family)).unwrap().model.to_bytes())
        };
        assert!(with(1) == with(2), "{family}");
    }
}

/// Alone, a candidate spreads the sums of its 300 units and its folds over all threads.
#[test]
fn one_large_candidate_is_the_same_whatever_the_threads() {
    let waves = waves(400);
    for pairs in [&["units=300", "skip=off", "penalty=0.01"][..], &["units=300", "density=0.1", "lags=4"]] {
        let settings = Settings::parse(pairs.iter().copied()).unwrap();
        let options = Options { settings, trials: 1, ..options(Family::Echo) };
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| try_train(&waves, &options).unwrap().model.to_bytes())
        };
        let alone = with(1);
        assert!([2, 3].into_iter().all(|threads| with(threads) == alone), "{pairs:?}");
    }
}

/// The population's activity is there where neurons are, and nowhere else.
#[test]
fn only_models_with_spiking_neurons_show_activity() {
    let waves = waves(320);
    for sample @ Sample { model, family, .. } in samples() {
        let mut stream = model.stream();
        feed(model, &mut stream, &waves, 0..300);
        let activity = model.activity(&stream);
        let blocks = &model.spec().blocks;
        let spikes = |b: &spinwell_engine::BlockSettings| {
            matches!(b.reservoir, spinwell_engine::ReservoirSettings::Spiking(_))
        };
        // A forecast tells the same, and the model says beforehand whether it will.
        let told = model.forecast(&stream, &mut Scratch::default()).unwrap().activity;
        assert_eq!((told, model.has_spiking_neurons()), (activity, activity.is_some()), "{}", sample.name());
        assert_eq!(activity.is_some(), blocks.iter().any(spikes), "{}", sample.name());
        if *family == Family::Spiking {
            let activity = activity.unwrap();
            assert!(activity.rate > 0.0 && activity.dominant_frequency > 0.0, "{activity:?}");
            assert!((0.0..=1.0).contains(&activity.synchrony) && activity.burst_rate >= 0.0, "{activity:?}");
        }
    }
}

/// Delays and taps of both signs may double a wave or treble it, but leave no other rhythm in a trained liquid.
#[test]
fn a_trained_liquid_s_rhythm_is_that_of_the_series_or_a_multiple() {
    for period in [7.0, 12.0, 24.0] {
        let wave: Vec<f64> =
            (0..900).map(|row| (f64::from(row) * std::f64::consts::TAU / period).sin()).collect();
        let options = Options { season: Some(1), ..options(Family::Spiking) };
        let settings = Settings::parse(["neurons=60", "lags=4"]).unwrap();
        let model = try_train(&table(vec![wave.clone()]), &Options { settings, ..options }).unwrap().model;
        for rows in [500, 700, 900] {
            let (mut stream, mut scratch) = (model.stream(), Scratch::default());
            wave[..rows].iter().for_each(|&value| model.step(&mut stream, &[value], &mut scratch));
            let found = model.activity(&stream).unwrap();
            let cycles = f64::from(found.dominant_frequency) * period;
            let multiple = cycles.round();
            assert!(found.dominant_frequency < 0.55 && multiple >= 1.0, "period {period}: {found:?}");
            assert!((cycles / multiple - 1.0).abs() < 0.1, "period {period}: {cycles} cycles, {found:?}");
        }
    }
}
