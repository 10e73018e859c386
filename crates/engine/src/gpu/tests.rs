//! What a card does that does something wrong.

use super::*;
use crate::settings::{Precision, Settings};
use crate::train::{Choice, Feeds, Folds, Options, Score, train};
use crate::{Family, Model, Silent, Window};
use spinwell_core::{Samples, Series};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn model(seed: u64) -> Arc<Model> {
    let csv: String = (0..300).map(|t| format!("{}\n", (f64::from(t) * 0.3).sin())).collect();
    let columns = crate::data::Columns { values: vec!["y".to_owned()], time: None };
    let table = crate::data::read_csv(format!("y\n{csv}").as_bytes(), &columns).unwrap();
    let options = Options {
        targets: 1,
        feeds: Feeds::Everything,
        horizon: 2,
        season: Some(1),
        choice: Choice::Only(Family::Echo),
        settings: Settings::parse(["units=20", "skip=off"]).unwrap(),
        precision: Precision::F32,
        trials: 1,
        coverage: 0.9,
        seed,
        score: Score::Path,
        time_column: None,
    };
    Arc::new(train(&table, &Folds::inside(300), &options, &Silent).unwrap().model)
}

/// A card of the drivers' software, which must be there where it is required.
fn card() -> Option<Arc<Gpu>> {
    #[allow(clippy::disallowed_methods, reason = "a test asks whether it may pass without a card")]
    let is_required = std::env::var("SPINWELL_TEST_VULKAN").is_ok_and(|value| value == "required");
    assert!(!is_required || !adapters().is_empty(), "SPINWELL_TEST_VULKAN=required and there is no card");
    (!adapters().is_empty()).then(|| Arc::new(Gpu::open(0).unwrap()))
}

#[test]
fn a_card_with_other_weights_does_not_pass_the_test() {
    let Some(gpu) = card() else { return };
    let own = Resident::load(gpu.clone(), model(1)).unwrap();
    assert!(own.self_test().is_ok());
    let other = own.with_model(model(2));
    assert!(matches!(other.self_test(), Err(Disagreement::TooFar(apart)) if apart > AGREEMENT_MAX));
}

#[test]
fn a_driver_that_fails_while_it_is_waited_for_is_an_error() {
    let Some(gpu) = card() else { return };
    let resident = Resident::load(gpu.clone(), model(1)).unwrap();
    let rows = resident.model().window_min() + 5;
    let series = Series::new(1, rows, 1, Samples::F64(vec![0.5; rows])).unwrap();
    let ask = || resident.forecast_windows(&[Window { series: &series, index: 0 }]);
    assert!(ask().unwrap()[0].is_ok());
    gpu.fails_to_wait.store(true, Ordering::SeqCst);
    assert_eq!(ask(), Err(Failure::Lost("its driver failed".into())));
    gpu.fails_to_wait.store(false, Ordering::SeqCst);
    assert!(ask().is_err(), "a card that was lost is not asked again");
}

#[test]
fn rooms_are_kept_and_counted_until_the_model_goes() {
    let Some(gpu) = card() else { return };
    let resident = Resident::load(gpu.clone(), model(1)).unwrap();
    let rows = resident.model().window_min() + 5;
    let series = Series::new(20, rows, 1, Samples::F64(vec![0.5; 20 * rows])).unwrap();
    let windows: Vec<Window<'_>> = (0..20).map(|index| Window { series: &series, index }).collect();
    let mut kept = Vec::new();
    for count in [1, 20, 1, 20] {
        resident.forecast_windows(&windows[..count]).unwrap();
        kept.push(gpu.idle_bytes.load(Ordering::Relaxed));
    }
    assert!(0 < kept[0] && kept[0] < kept[1] && kept[1] == kept[2] && kept[2] == kept[3], "{kept:?}");
    drop(resident);
    assert_eq!(gpu.idle_bytes.load(Ordering::Relaxed), 0);
}
