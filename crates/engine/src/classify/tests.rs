//! The whole way from cases to answers.

use super::testing::{MADE, Made, made, quick};
use super::*;
use crate::artefact::{Reader, Writer};
use spinwell_core::{Code, Rng};
use std::sync::atomic::{AtomicUsize, Ordering};

const ALL: [ClassifierChoice; 4] = [
    ClassifierChoice::Auto,
    ClassifierChoice::Only(ClassifierFamily::Shape),
    ClassifierChoice::Only(ClassifierFamily::Echo),
    ClassifierChoice::Only(ClassifierFamily::Hybrid),
];

fn train(cases: &Cases, options: &ClassifyOptions) -> TrainedClassifier {
    train_classifier(cases, options, ClassifyObserver::SILENT).unwrap()
}

fn bytes(classifier: &Classifier) -> Vec<u8> {
    let mut writer = Writer::default();
    classifier.encode(&mut writer);
    writer.bytes
}

fn decoded(bytes: &[u8]) -> Result<Classifier, crate::artefact::Error> {
    Classifier::decode(&mut Reader::new(bytes))
}

#[test]
fn every_family_tells_waves_of_unlike_periods_and_levels_apart_and_its_probabilities_mean_something() {
    for family in ALL {
        for shape in [MADE, Made { classes: 3, ..MADE }, Made { channels: 3, rows: (12, 50), ..MADE }] {
            let cases = made(&shape);
            let trained = train(&cases, &quick(family));
            let figures = score(&trained.classifier, &cases, Split::Test).unwrap();
            let chance = (shape.classes as f64).ln();
            assert!(figures.accuracy > 0.85, "{family:?}: {figures:?}");
            assert!(figures.log_loss < 0.4 * chance, "{family:?}: {figures:?}");
            if let ClassifierChoice::Only(only) = family {
                assert_eq!(trained.classifier.family(), only);
            }
            assert_eq!(trained.classifier.window_min(), (shape.rows.0 / 2).max(3));
        }
    }
}

#[test]
fn shuffled_labels_give_chance_on_unseen_cases_and_the_probabilities_admit_it() {
    let mut cases = made(&Made { cases: 100, ..MADE });
    let mut rng = Rng::seeded(12);
    cases.cases.iter_mut().for_each(|case| case.label = rng.below(2) as usize);
    let trained = train(&cases, &quick(ClassifierChoice::Auto));
    let figures = score(&trained.classifier, &cases, Split::Test).unwrap();
    // Three standard errors of a coin thrown a hundred times.
    assert!((figures.accuracy - 0.5).abs() < 0.15, "{figures:?}");
    assert!((figures.log_loss - 2f64.ln()).abs() < 0.08, "{figures:?}");
    let validated = &trained.candidates[trained.chosen];
    assert!((validated.accuracy_validation - 0.5).abs() < 0.16, "{validated:?}");
}

#[test]
fn test_cases_do_not_change_the_classifier_nor_do_threads() {
    let clean = made(&Made { channels: 2, rows: (20, 30), ..MADE });
    let mut poisoned = clean.clone();
    for case in poisoned.cases.iter_mut().filter(|case| case.split == Split::Test) {
        case.values.iter_mut().for_each(|value| *value = 1e90 - *value);
        case.label = poisoned.labels.len();
    }
    poisoned.labels.push("poison".to_owned());
    let train_on = |cases: &Cases, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(cases, &quick(ClassifierChoice::Auto)))
    };
    let [one, three] = [train_on(&clean, 1), train_on(&poisoned, 3)];
    assert_eq!(one.candidates, three.candidates);
    assert_eq!(bytes(&one.classifier), bytes(&three.classifier));
    let other = train(&clean, &ClassifyOptions { seed: 4, ..quick(ClassifierChoice::Auto) });
    assert_ne!(bytes(&one.classifier), bytes(&other.classifier));
    // A label that training cases do not have is always an error, and is counted as one.
    let figures = score(&three.classifier, &poisoned, Split::Test).unwrap();
    assert_eq!((figures.accuracy, figures.per_class.len(), figures.confusion.len()), (0.0, 3, 3));
    assert_eq!((figures.per_class[2].n, figures.per_class[2].recall), (60, Some(0.0)));
}

#[test]
fn figures_are_counted_as_defined() {
    let cases = made(&Made { classes: 3, ..MADE });
    let classifier = train(&cases, &quick(ClassifierChoice::Only(ClassifierFamily::Echo))).classifier;
    let figures = score(&classifier, &cases, Split::Test).unwrap();
    let mut confusion = vec![vec![0; 3]; 3];
    let mut loss = 0.0;
    for case in cases.of(Split::Test) {
        let answer = classifier.classify(&case.values).unwrap();
        confusion[case.label][answer.label] += 1;
        loss -= f64::from(answer.probabilities[case.label].max(1e-7)).ln() / 60.0;
        let best = answer.probabilities.iter().copied().fold(0.0, f32::max);
        assert_eq!(answer.probabilities[answer.label], best);
        assert!((answer.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    assert_eq!((figures.n, &figures.confusion), (60, &confusion));
    assert!((figures.log_loss - loss).abs() < 1e-12);
    let right = confusion[0][0] + confusion[1][1] + confusion[2][2];
    assert_eq!(figures.accuracy, right as f64 / 60.0);
    let got_1 = confusion[0][1] + confusion[1][1] + confusion[2][1];
    assert_eq!(figures.per_class[1].recall, Some(confusion[1][1] as f64 / 20.0));
    assert_eq!(figures.per_class[1].precision, Some(confusion[1][1] as f64 / got_1 as f64));
    assert!(score(&classifier, &made(&Made { channels: 2, ..MADE }), Split::Test).is_err());
}

#[test]
fn files_give_back_the_same_bits() {
    for family in ALL {
        let cases = made(&Made { channels: 2, rows: (10, 30), ..MADE });
        let classifier = train(&cases, &quick(family)).classifier;
        let file = bytes(&classifier);
        let back = decoded(&file).unwrap();
        assert_eq!((&back, bytes(&back)), (&classifier, file));
        for case in cases.of(Split::Test) {
            let [a, b] = [&back, &classifier].map(|c| c.classify(&case.values).unwrap());
            assert_eq!(a, b);
        }
    }
}

#[test]
fn files_that_are_cut_off_or_garbled_are_refused_without_a_panic() {
    let cases = made(&Made { channels: 2, ..MADE });
    let file = bytes(&train(&cases, &quick(ClassifierChoice::Only(ClassifierFamily::Hybrid))).classifier);
    for length in (0..file.len()).step_by(37) {
        assert!(decoded(&file[..length]).is_err(), "{length} of {} bytes", file.len());
    }
    let window: Vec<f64> = (0..40).map(f64::from).collect();
    let mut rng = Rng::seeded(1);
    for _ in 0..300 {
        let mut garbled = file.clone();
        let at = rng.below(file.len() as u64) as usize;
        garbled[at] ^= 1 << rng.below(8);
        // Whatever is still taken must answer with probabilities.
        if let Ok(classifier) = decoded(&garbled)
            && let Ok(answer) = classifier.classify(&window)
        {
            assert!((answer.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5, "byte {at}");
        }
    }
}

#[test]
fn forged_parts_are_refused() {
    use super::extract::Extractor;
    use super::model::Parts;
    use super::shape::Shape;
    type Forgery = fn(&mut Parts);
    fn shape_of(parts: &mut Parts) -> &mut Shape {
        match &mut parts.blocks[0] {
            Extractor::Values(shape) | Extractor::Differences(shape) => shape,
            Extractor::Echo(_) => unreachable!("convolutions come first"),
        }
    }
    let cases = made(&Made { channels: 3, ..MADE });
    let trained = train(&cases, &quick(ClassifierChoice::Only(ClassifierFamily::Hybrid)));
    assert!(Classifier::from_parts(trained.classifier.parts().clone()).is_ok());
    let forgeries: [(&str, Forgery); 22] = [
        ("one label", |p| p.labels.truncate(1)),
        ("another label", |p| p.labels.push("x".to_owned())),
        ("no channel", |p| p.channels.clear()),
        ("another channel", |p| p.channels.push("x".to_owned())),
        ("tiny window", |p| p.window_min = 2),
        ("huge window", |p| p.window_min = usize::MAX),
        ("short means", |p| p.scaler.means.truncate(1)),
        ("no spread", |p| p.scaler.deviations[0] = 0.0),
        ("NaN spread", |p| p.scaler.deviations[0] = f64::NAN),
        ("infinite mean", |p| p.scaler.means[0] = f64::INFINITY),
        ("one block less", |p| p.blocks.truncate(1)),
        ("short weights", |p| p.weights.truncate(16)),
        ("NaN weight", |p| p.weights[0] = f32::NAN),
        ("an intercept more", |p| p.intercepts.push(0.0)),
        ("no factor", |p| p.factor = 0.0),
        ("channels of convolutions", |p| shape_of(p).channels = 2),
        ("dilation 0", |p| shape_of(p).dilations[0] = 0),
        ("huge dilation", |p| shape_of(p).dilations[0] = u32::MAX),
        ("thresholds", |p| shape_of(p).thresholds_each[0] += 1),
        ("NaN threshold", |p| shape_of(p).thresholds[0] = f32::NAN),
        ("empty subset", |p| shape_of(p).subset_starts[1] = 0),
        ("unknown channel", |p| shape_of(p).subsets[0] = 3),
    ];
    for (name, forge) in forgeries {
        let mut parts = trained.classifier.parts().clone();
        forge(&mut parts);
        let refused = Classifier::from_parts(parts).map_err(|error| error.code());
        assert_eq!(refused, Err(Code::FileCorrupt), "{name}");
    }
}

#[test]
fn windows_that_cannot_be_read_are_refused_and_flat_ones_get_numbers() {
    let cases = made(&Made { channels: 2, ..MADE });
    for normalise in [false, true] {
        let mut options = quick(ClassifierChoice::Only(ClassifierFamily::Hybrid));
        options.settings.normalise = Some(normalise);
        let classifier = train(&cases, &options).classifier;
        for (window, code) in [
            (vec![1.0; 28], Code::WindowTooShort),
            (vec![], Code::WindowTooShort),
            (vec![1.0; 61], Code::TensorShape),
            ([vec![1.0; 59], vec![f64::NAN]].concat(), Code::TensorNotFinite),
            ([vec![f64::INFINITY], vec![1.0; 59]].concat(), Code::TensorNotFinite),
        ] {
            assert_eq!(classifier.classify(&window).unwrap_err().code(), code, "{window:?}");
        }
        for value in [0.0, 100.0, 1e300, f64::MAX, -f64::MAX] {
            let answer = classifier.classify(&vec![value; 60]).unwrap();
            assert!((answer.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{value}");
        }
        // One window is classified alike in any company: nothing is kept between two of them.
        let window = &cases.cases[0].values;
        assert_eq!(classifier.classify(window), classifier.classify(window));
    }
}

#[test]
fn what_cannot_be_learned_is_said() {
    let options = quick(ClassifierChoice::Auto);
    let fault = |change: &dyn Fn(&mut Cases), options: &ClassifyOptions| {
        let mut cases = made(&MADE);
        change(&mut cases);
        let error = train_classifier(&cases, options, ClassifyObserver::SILENT).unwrap_err();
        (error.code(), error.to_string())
    };
    let every_value = |cases: &mut Cases, change: &dyn Fn(f64) -> f64| {
        cases.cases.iter_mut().for_each(|case| case.values.iter_mut().for_each(|v| *v = change(*v)));
    };
    for (change, code, message) in [
        (
            &(|cases: &mut Cases| every_value(cases, &|_| 4.0)) as &dyn Fn(&mut Cases),
            Code::SeriesConstant,
            "column \"c0\" is constant (4)",
        ),
        (&|cases: &mut Cases| every_value(cases, &|v| v * 1e200), Code::SeriesScale, "column \"c0\""),
        (&|cases: &mut Cases| every_value(cases, &|v| 1e100 + v), Code::SeriesConstant, "column \"c0\""),
        (&|cases: &mut Cases| cases.known = 1, Code::SeriesConstant, "every training case has label"),
        (&|cases: &mut Cases| cases.cases.truncate(3), Code::SeriesTooShort, "has one training case"),
        (&|cases: &mut Cases| cases.known = 0, Code::SeriesTooShort, "no case is for training"),
    ] {
        let (found, text) = fault(change, &options);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(message), "{text}");
    }
    let none = ClassifyOptions { trials: 0, ..options.clone() };
    assert_eq!(fault(&|_| {}, &none).0, Code::OptionInvalid);
    let settings = ClassifySettings { leak: Some(f64::NAN), ..ClassifySettings::default() };
    assert!(fault(&|_| {}, &ClassifyOptions { settings, ..options }).1.contains("leak must be"));
}

#[test]
fn the_search_keeps_to_its_trials_tells_of_each_and_stops_when_asked() {
    let cases = made(&Made { cases: 20, ..MADE });
    for family in ALL {
        for trials in [1, 2, 5, 12] {
            let (planned, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let progress = |event: &ClassifyEvent<'_>| match event {
                ClassifyEvent::Planned { candidates } => planned.store(*candidates, Ordering::SeqCst),
                ClassifyEvent::Started { .. } => {}
                ClassifyEvent::Finished { accuracy, .. } => {
                    assert!(accuracy.is_some());
                    finished.fetch_add(1, Ordering::SeqCst);
                }
            };
            let options = ClassifyOptions { trials, ..quick(family) };
            let observer = ClassifyObserver { progress: &progress, stop: &|| false };
            let trained = train_classifier(&cases, &options, observer).unwrap();
            let tried = trained.candidates.len();
            assert!((1..=trials).contains(&tried) && !trained.stopped_early, "{family:?} {tried}");
            assert_eq!([planned.into_inner(), finished.into_inner()], [tried; 2]);
        }
    }
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::SeqCst) >= 4;
    let observer = ClassifyObserver { progress: &|_| {}, stop: &stop };
    let trained = train_classifier(&cases, &quick(ClassifierChoice::Auto), observer).unwrap();
    assert!(trained.stopped_early && trained.candidates.len() == 4, "{}", trained.candidates.len());
    let observer = ClassifyObserver { progress: &|_| {}, stop: &|| true };
    let error = train_classifier(&cases, &quick(ClassifierChoice::Auto), observer).unwrap_err();
    assert_eq!(error.code(), Code::Interrupted);
}

#[test]
fn what_is_fixed_by_hand_is_kept() {
    let mut options = quick(ClassifierChoice::Only(ClassifierFamily::Hybrid));
    options.settings.normalise = Some(true);
    options.settings.form = Some(ShapeForm::Differences);
    options.settings.leak = Some(0.25);
    options.settings.penalty = Some(0.125);
    let trained = train(&made(&MADE), &options);
    assert!(trained.candidates.iter().all(|candidate| candidate.penalty == 0.125));
    let parameters = trained.classifier.parameters();
    for (key, value) in [("normalise", "on"), ("form", "differences"), ("leak", "0.25"), ("units", "20")] {
        assert!(parameters.iter().any(|(k, v)| k == key && v == value), "{key}: {parameters:?}");
    }
}
