//! Graphics cards: which there are, and which models they take.
//!
//! A model is brought onto every card that is in use, tried out there against the CPU, and only then answers from
//! there. What a card cannot do, does wrong or, under `auto`, does no faster than the CPU stays on the CPU, and the log
//! says why. A card that fails later is not asked again: the CPU answers, with its own numeric profile.

#[cfg(feature = "gpu")]
mod found;
#[cfg(not(feature = "gpu"))]
mod none;
#[cfg(feature = "gpu")]
mod on_cards;

#[cfg(feature = "gpu")]
pub use found::Cards;
#[cfg(not(feature = "gpu"))]
pub use none::Cards;

use crate::Predictor;
use spinwell_core::{Code, Fault, NumericProfile};
use std::sync::Arc;

/// The device of models that no card takes.
pub(crate) const CPU: &str = "cpu";

/// A card that was asked for by its number is not there, though others are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no graphics card {index}: this machine has {there}")]
pub struct CardsError {
    index: usize,
    there: String,
}

impl CardsError {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::new(Code::ConfigInvalid, self.to_string())
    }
}

/// A model where it answers.
pub(crate) struct Placed {
    pub(crate) predictor: Arc<dyn Predictor>,
    pub(crate) profile: NumericProfile,
    /// [`CPU`], or the cards.
    pub(crate) device: String,
}

impl Placed {
    fn on_cpu(model: Arc<spinwell_engine::Model>) -> Self {
        Self { profile: model.profile(), predictor: model, device: CPU.to_owned() }
    }
}
