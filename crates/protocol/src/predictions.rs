//! What a model answered: named outputs with their values.

use crate::{InferReply, OutputName, Outputs, Packing, Values};

/// Answers to the windows of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Windows answered.
    pub batch: usize,
    /// The outputs that the request named, in any order.
    pub tensors: Vec<OutputTensor>,
}

/// One output: the values of each window one after the other, in the order of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputTensor {
    /// Which output.
    pub name: OutputName,
    /// Its values. How many there are in a window stands in the model's description.
    pub values: Values,
}

impl Predictions {
    /// The values of an output, where they were asked for.
    #[must_use]
    pub fn get(&self, name: OutputName) -> Option<&Values> {
        self.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.values)
    }
}

/// An output as it is about to be encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'r> {
    pub(crate) name: OutputName,
    pub(crate) packing: Packing,
    pub(crate) values: &'r Values,
    /// The shape of one window's values.
    pub(crate) extents: &'r [usize],
}

impl InferReply {
    /// The outputs that the caller asked for, in his order. A node answers every one of them or with a fault.
    pub(crate) fn answered<'r>(&'r self, outputs: &'r Outputs) -> impl Iterator<Item = Answered<'r>> {
        outputs.iter().filter_map(|output| {
            let values = self.predictions.get(output.name)?;
            let facts = self.model.output(output.name)?;
            Some(Answered { name: output.name, packing: output.packing, values, extents: &facts.extents })
        })
    }
}
