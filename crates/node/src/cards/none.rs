//! Cards of a build that knows none.

use super::{CardsError, Placed};
use spinwell_core::ModelName;
use spinwell_engine::Model;
use spinwell_runtime::options::Device;
use std::sync::Arc;

/// No cards.
#[derive(Default)]
pub struct Cards {
    notes: Vec<String>,
}

impl Cards {
    /// Says that there are none.
    ///
    /// # Errors
    /// Never.
    pub fn open(device: Device) -> Result<Self, CardsError> {
        let asked = matches!(device, Device::Gpu(_));
        let note = "this spinwell was built without the feature gpu: reservoirs step on the CPU";
        Ok(Self { notes: asked.then(|| note.to_owned()).into_iter().collect() })
    }

    /// What the operator should know, a line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// No lines: there is no card to try a model on.
    #[must_use]
    pub fn try_out(&self, _: &Model) -> Vec<String> {
        Vec::new()
    }

    #[expect(clippy::unused_self, reason = "as where there are cards")]
    pub(crate) fn place(&self, _: &ModelName, model: Arc<Model>) -> Placed {
        Placed::on_cpu(model)
    }
}
