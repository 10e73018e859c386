//! What each route and each method asks of its caller.

use spinwell_core::TenantId;
use spinwell_security::access::{Action, Resource};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it tells whether the process lives, or what it offers, and no more.
    Nothing,
    /// That he may do this to the region.
    Region(Action),
    /// To the model that the path names.
    Model(Action),
    /// To the sequences of his tenant with the model that the path names.
    Sequence(Action),
    /// To his tenant's part of the ledger.
    Ledger(Action),
    /// That he may predict; the handler looks when it knows what is asked of which model, and each refusal is an outcome.
    Predict,
}

impl Need {
    /// What he must be allowed; of predictions, one or the other.
    pub(crate) fn actions(self) -> Vec<Action> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Region(action) | Self::Model(action) | Self::Sequence(action) | Self::Ledger(action) => {
                vec![action]
            }
            Self::Predict => vec![Action::PredictionCreate, Action::SequenceStep],
        }
    }
}

/// The gRPC methods, and what they need. Of those with a model in their message, the service asks for that as well.
const METHODS: [(&str, Need); 15] = [
    ("/inference.GRPCInferenceService/ServerLive", Need::Nothing),
    ("/inference.GRPCInferenceService/ServerReady", Need::Nothing),
    ("/grpc.health.v1.Health/Check", Need::Nothing),
    ("/grpc.health.v1.Health/Watch", Need::Nothing),
    ("/grpc.health.v1.Health/List", Need::Nothing),
    ("/inference.GRPCInferenceService/ServerMetadata", Need::Region(Action::ServerRead)),
    ("/inference.GRPCInferenceService/RepositoryIndex", Need::Region(Action::ModelList)),
    ("/inference.GRPCInferenceService/ModelReady", Need::Model(Action::ModelRead)),
    ("/inference.GRPCInferenceService/ModelMetadata", Need::Model(Action::ModelRead)),
    ("/inference.GRPCInferenceService/ModelConfig", Need::Model(Action::ModelRead)),
    ("/inference.GRPCInferenceService/ModelStatistics", Need::Model(Action::StatisticsRead)),
    ("/inference.GRPCInferenceService/RepositoryModelLoad", Need::Model(Action::ModelLoad)),
    ("/inference.GRPCInferenceService/RepositoryModelUnload", Need::Model(Action::ModelUnload)),
    ("/inference.GRPCInferenceService/ModelInfer", Need::Predict),
    ("/inference.GRPCInferenceService/ModelStreamInfer", Need::Predict),
];

/// What a gRPC method needs; nothing is known of methods that are not there.
pub(crate) fn of_method(path: &str) -> Option<Need> {
    METHODS.iter().find(|(method, _)| *method == path).map(|(_, need)| *need)
}

/// What an action that needs no model is done to.
pub(crate) fn resource(need: Need, tenant: &TenantId) -> Option<(Action, Resource)> {
    match need {
        Need::Region(action) => Some((action, Resource::Region)),
        Need::Ledger(action) => Some((action, Resource::Ledger(Some(tenant.clone())))),
        Need::Nothing | Need::Model(_) | Need::Sequence(_) | Need::Predict => None,
    }
}

#[cfg(test)]
pub(crate) fn methods() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(method, _)| *method)
}
