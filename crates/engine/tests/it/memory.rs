//! What training takes is known before it is taken, and has a limit.

use crate::support::{options, try_train, waves};
use spinwell_core::Code;
use spinwell_engine::Family;
use spinwell_engine::settings::Settings;
use spinwell_engine::train::{BYTES_MAX, Choice, Error, Event, Folds, Observer, Options, Trained, train};
use std::collections::BTreeSet;
use std::sync::Mutex;

fn with(choice: Choice, pairs: &[&str]) -> Options {
    let settings = Settings::parse(pairs.iter().copied()).unwrap();
    Options { choice, settings, trials: 12, ..options(Family::Echo) }
}

/// Runs on one thread whose allocations are counted: the result, and the most bytes that it held at once.
fn counted<T: Send>(run: impl FnOnce() -> T + Send) -> (T, u64) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut result = None;
        let counted = allocation_counter::measure(|| result = Some(run()));
        (result.unwrap(), counted.bytes_max)
    })
}

#[test]
fn settings_without_room_are_refused_before_anything_is_allocated() {
    let table = waves(320);
    let huge = ["qubits=4", "reservoirs=512", "substeps=20", "skip=off", "penalty=1e-6"];
    for (choice, pairs, family, features) in [
        (Choice::Only(Family::Quantum), &huge[..], Family::Quantum, 102_400),
        // Also where other families might win: what was asked for is not dropped in silence.
        (Choice::Auto, &huge, Family::Quantum, 102_400),
        (Choice::Only(Family::Spiking), &["neurons=4096", "lags=4"], Family::Spiking, 16_392),
        (Choice::Only(Family::Hybrid), &["neurons=4096", "lags=4"], Family::Spiking, 16_392),
        (Choice::Only(Family::Echo), &["units=300", "lags=4", "memory_gib=0.005"], Family::Echo, 308),
        (Choice::Only(Family::Linear), &["lags=10000"], Family::Linear, 20_000),
    ] {
        let options = Options { season: Some(1), ..with(choice, pairs) };
        let (error, held) = counted(|| try_train(&table, &options).unwrap_err());
        assert_eq!(error.code(), Code::OptionInvalid);
        assert!(held < 1 << 20, "{held} bytes were held to refuse {pairs:?}");
        let text = error.to_string();
        let Error::Memory { family: of, features: counted, bytes, bytes_max, features_max } = error else {
            panic!("{pairs:?}: {text}");
        };
        assert_eq!((of, counted), (family, features), "{pairs:?}: {text}");
        assert!(bytes > bytes_max && features_max < features, "{text}");
        assert!(text.contains(&format!("{features} features")) && text.contains("memory_gib"), "{text}");
    }
}

#[test]
fn what_training_holds_is_what_was_counted() {
    let table = waves(700);
    for (pairs, horizon) in [(&["units=400", "skip=off"][..], 1), (&["units=500", "lags=24"], 24)] {
        let own = |more: &'static str| {
            let pairs: Vec<&str> = pairs.iter().copied().chain([more]).collect();
            Options { trials: 1, horizon, ..with(Choice::Only(Family::Echo), &pairs) }
        };
        let Err(Error::Memory { bytes, .. }) = try_train(&table, &own("memory_gib=0.000001")) else {
            panic!("{pairs:?}: a kilobyte is enough")
        };
        assert!(bytes < BYTES_MAX);
        let (trained, held) = counted(|| try_train(&table, &own("penalty=0.001")));
        assert!(trained.is_ok());
        // Beside the sums stand the reservoir's own weights and the candidates before it.
        assert!(held < bytes + bytes / 4, "{pairs:?}: {bytes} bytes were counted, {held} held");
        assert!(held > bytes / 2, "{pairs:?}: {bytes} bytes were counted, {held} held");
    }
}

/// Which families were tried to the end, and which were not.
#[derive(Default)]
struct Seen(Mutex<[BTreeSet<&'static str>; 2]>);

impl Observer for Seen {
    fn event(&self, event: &Event<'_>) {
        if let Event::Finished { spec, validation, .. } = event {
            self.0.lock().unwrap()[usize::from(validation.is_none())].insert(spec.family.as_str());
        }
    }

    fn stop_requested(&self) -> bool {
        false
    }
}

fn seen(options: &Options) -> (Result<Trained, Error>, [BTreeSet<&'static str>; 2]) {
    let (table, seen) = (waves(320), Seen::default());
    let trained = train(&table, &Folds::inside(320), options, &seen);
    (trained, seen.0.into_inner().unwrap())
}

#[test]
fn trials_of_the_search_that_have_no_room_are_passed_over() {
    // Room for lags, not for the smallest liquid.
    let pairs = ["memory_gib=0.0016", "lags=4"];
    let (trained, [done, not_done]) = seen(&with(Choice::Auto, &pairs));
    assert!(trained.is_ok() && done.contains("linear"), "{done:?}, not {not_done:?}");
    assert!(not_done.contains("spiking") && !done.contains("spiking"), "{done:?}, not {not_done:?}");
    // Where nothing else may win, the reason is said.
    let (trained, _) = seen(&with(Choice::Only(Family::Spiking), &pairs));
    assert!(matches!(trained, Err(Error::Memory { family: Family::Spiking, .. })), "{trained:?}");
}

#[test]
fn a_bank_that_cannot_be_had_says_why() {
    let pairs = ["qubits=8", "reservoirs=512", "substeps=64"];
    for choice in [Choice::Only(Family::Quantum), Choice::Auto] {
        let error = try_train(&waves(320), &with(choice, &pairs)).unwrap_err();
        assert_eq!(error.code(), Code::OptionInvalid);
        let text = error.to_string();
        assert!(text.starts_with("family quantum cannot be had with these settings"), "{text}");
        assert!(text.contains("more than 1 GiB: use fewer qubits, reservoirs or substeps"), "{text}");
    }
}

#[test]
fn candidates_that_have_no_room_together_take_turns_and_the_model_stays_the_same() {
    let table = waves(320);
    let bytes = |gib: &'static str| {
        let options = with(Choice::Only(Family::Echo), &["units=30", "lags=4", gib]);
        try_train(&table, &options).map(|trained| trained.model.to_bytes())
    };
    // One of the candidates takes about 0.9 MB.
    assert_eq!(bytes("memory_gib=0.0015").unwrap(), bytes("memory_gib=1").unwrap());
}
