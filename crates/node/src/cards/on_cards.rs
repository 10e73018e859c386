//! A model that answers from cards.

use crate::predictor::{Predicted, Predictor};
use spinwell_core::NumericProfile;
use spinwell_engine::gpu::Resident;
use spinwell_engine::{Model, Window};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One card that holds the model.
struct Card {
    resident: Resident,
    /// Batches on their way.
    batches: AtomicUsize,
    has_failed: AtomicBool,
}

/// A model on one or several cards, and on the CPU for when they fail.
pub(super) struct OnCards {
    model: Arc<Model>,
    cards: Vec<Card>,
}

impl OnCards {
    pub(super) fn new(model: Arc<Model>, residents: Vec<Resident>) -> Self {
        let card =
            |resident| Card { resident, batches: AtomicUsize::new(0), has_failed: AtomicBool::new(false) };
        Self { model, cards: residents.into_iter().map(card).collect() }
    }

    /// The working card with the fewest batches.
    fn freest(&self) -> Option<&Card> {
        let working = self.cards.iter().filter(|card| !card.has_failed.load(Ordering::Relaxed));
        working.min_by_key(|card| card.batches.load(Ordering::Relaxed))
    }
}

impl Predictor for OnCards {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        while let Some(card) = self.freest() {
            card.batches.fetch_add(1, Ordering::Relaxed);
            let results = card.resident.forecast_windows(windows);
            card.batches.fetch_sub(1, Ordering::Relaxed);
            match results {
                Ok(results) => return Predicted::forecasts(results, NumericProfile::GpuF32),
                Err(lost) => {
                    card.has_failed.store(true, Ordering::Relaxed);
                    let card = card.resident.gpu().adapter().index;
                    tracing::error!(card, %lost, "the model goes on without this card");
                }
            }
        }
        self.model.predict(windows)
    }
}
