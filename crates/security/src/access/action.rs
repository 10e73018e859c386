//! Everything that can be asked for, by one name each.
//!
//! A name stands in policies, scopes, outcomes and the ledger, so it never changes. Which kinds of things an action is for is said here
//! and in the schema; a test holds both together.

use crate::access::Kind;
use std::fmt;
use std::str::FromStr;

/// There is no action of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an action")]
pub struct UnknownAction(pub String);

macro_rules! actions {
    ($($(#[$about:meta])* $name:ident: $($kind:ident)|+,)+) => {
        /// What a caller wants to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($(#[$about])* $name,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name in policies.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it can be done to.
            #[must_use]
            pub fn kinds(self) -> &'static [Kind] {
                match self {
                    $(Self::$name => &[$(Kind::$kind),+],)+
                }
            }
        }
    };
}

actions! {
    /// Name, version and extensions of the server.
    ServerRead: Region,
    /// Which models there are. What is listed is limited to models that the caller may read.
    ModelList: Region,
    /// A model's metadata, configuration and readiness.
    ModelRead: Model,
    /// Counts and accuracy of a model, or of all.
    StatisticsRead: Model | Region,
    /// Service levels.
    SloRead: Region,
    /// The receipt of a prediction.
    ReceiptRead: Ledger,
    /// A prediction, alone or in a batch.
    PredictionCreate: Model,
    /// The truth for an earlier forecast.
    ObservationWrite: Model,
    /// A step of a sequence.
    SequenceStep: Sequence,
    /// A sequence's state, to be read.
    SequenceRead: Sequence,
    /// A sequence's state, to be set, removed or copied.
    SequenceWrite: Sequence,
    /// Train a model.
    ModelTrain: Model,
    /// How a training goes.
    TrainingRead: Model,
    /// Bring a version of a model.
    ModelWrite: Model,
    /// Remove a model.
    ModelDelete: Model,
    /// Load a model.
    ModelLoad: Model,
    /// Unload a model.
    ModelUnload: Model,
    /// Metrics for Prometheus.
    MetricsRead: Region,
    /// Nodes, gateways and control: who is there, who leads, what is planned, the dashboard.
    ClusterRead: Region,
    /// Drain, restart or scale.
    ClusterWrite: Region,
    /// Choose how requests are spread.
    StrategyWrite: Region,
    /// What the region could carry.
    CapacityRead: Region,
    /// What it costs.
    CostRead: Region,
    /// Service levels, to be set.
    SloWrite: Region,
    /// Announce a maintenance window.
    MaintenanceWrite: Region,
    /// Make a backup.
    BackupCreate: Region,
    /// Go back to one.
    BackupRestore: Region,
    /// Promote a region or fail back.
    RegionFailover: Region,
    /// Fail over or restore for practice.
    DrillRun: Region,
    /// Entries of the audit trail.
    LedgerRead: Ledger,
    /// The audit trail as files.
    LedgerExport: Ledger,
    /// A recorded prediction, computed again.
    LedgerReplay: Ledger,
    /// Compliance reports.
    ComplianceRead: Region,
    /// Findings of the detectors.
    ThreatRead: Region,
    /// Policies, and why something was decided.
    PolicyRead: Region,
    /// A tenant's API keys, without their secrets.
    TokenRead: Tenant,
    /// Who has consented to what.
    ConsentRead: Tenant,
    /// Make or revoke API keys.
    TokenWrite: Tenant,
    /// Note a consent or its withdrawal.
    ConsentWrite: Tenant,
    /// All that is held of a natural person.
    SubjectExport: Tenant,
    /// Forget a natural person.
    SubjectErase: Tenant,
    /// Change a tenant's encryption keys.
    KeyRotate: Tenant,
    /// Policies, to be changed.
    PolicyWrite: Region,
    /// Block or unblock a caller.
    ThreatWrite: Region,
    /// Retention and legal holds.
    RetentionWrite: Region,
    /// The register of breaches.
    BreachWrite: Region,
}

impl Action {
    /// Whether each time that it is done stands in the ledger by itself, before it is done: what changes something or gives data away. What
    /// predictions are made from and what they turned out to be is not; predictions have records of their own.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        match self {
            Self::ServerRead
            | Self::ModelList
            | Self::ModelRead
            | Self::StatisticsRead
            | Self::SloRead
            | Self::ReceiptRead
            | Self::PredictionCreate
            | Self::ObservationWrite
            | Self::SequenceStep
            | Self::TrainingRead
            | Self::MetricsRead
            | Self::ClusterRead
            | Self::CapacityRead
            | Self::CostRead
            | Self::ThreatRead
            | Self::PolicyRead
            | Self::TokenRead
            | Self::ComplianceRead => false,
            Self::SequenceRead
            | Self::SequenceWrite
            | Self::ModelTrain
            | Self::ModelWrite
            | Self::ModelDelete
            | Self::ModelLoad
            | Self::ModelUnload
            | Self::ClusterWrite
            | Self::StrategyWrite
            | Self::SloWrite
            | Self::MaintenanceWrite
            | Self::BackupCreate
            | Self::BackupRestore
            | Self::RegionFailover
            | Self::DrillRun
            | Self::LedgerRead
            | Self::LedgerExport
            | Self::LedgerReplay
            | Self::ConsentRead
            | Self::TokenWrite
            | Self::ConsentWrite
            | Self::SubjectExport
            | Self::SubjectErase
            | Self::KeyRotate
            | Self::PolicyWrite
            | Self::ThreatWrite
            | Self::RetentionWrite
            | Self::BreachWrite => true,
        }
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.iter().find(|action| action.name() == text);
        found.copied().ok_or_else(|| UnknownAction(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
