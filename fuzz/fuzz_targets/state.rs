//! Bytes as the state of a sequence: the first chooses the model, the rest stands behind the header of its states.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
#[path = "../bodies.rs"]
mod bodies;
#[allow(dead_code, reason = "only what makes models is used here, the rest by the engine's tests")]
#[path = "../../crates/engine/tests/it/support.rs"]
mod support;

use spinwell_engine::{Family, Model};
use std::sync::OnceLock;

/// The kind and version of a state and the hash of its model, which no caller gets wrong by chance.
const HEADER: usize = 40;

static MODELS: OnceLock<Vec<Model>> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let model = |family| Model::from_bytes(&support::smallest(family)).expect("a model just trained");
        let _ = MODELS.set(Family::ALL.into_iter().map(model).collect());
    },
    |bytes: &[u8]| {
        let (Some(models), Some((which, rest))) = (MODELS.get(), bytes.split_first()) else { return };
        let model = &models[usize::from(*which) % models.len()];
        let header = &model.save_state(&model.stream())[..HEADER];
        bodies::state(model, &[header, rest].concat());
    }
);
