//! What something can be done to.

use spinwell_core::{ModelName, TenantId};
use std::fmt;

/// A kind of thing, as the schema calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`Resource::Model`].
    Model,
    /// [`Resource::Sequence`].
    Sequence,
    /// [`Resource::Region`].
    Region,
    /// [`Resource::Tenant`].
    Tenant,
    /// [`Resource::Ledger`].
    Ledger,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Model, Self::Sequence, Self::Region, Self::Tenant, Self::Ledger];

    /// Its name in policies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "Model",
            Self::Sequence => "Sequence",
            Self::Region => "Region",
            Self::Tenant => "Tenant",
            Self::Ledger => "Ledger",
        }
    }
}

/// A thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A model, whatever its version.
    Model {
        /// What it is called.
        name: ModelName,
        /// Whose it is; `None`: it is shared.
        tenant: Option<TenantId>,
    },
    /// The sequences that a tenant feeds to a model: all of them alike, so that a decision holds for millions.
    Sequence {
        /// The model that they are fed to.
        model: ModelName,
        /// Whose they are.
        tenant: TenantId,
    },
    /// The region itself.
    Region,
    /// What is kept of a tenant: keys, consents, subjects.
    Tenant(TenantId),
    /// The audit trail: a tenant's part, or all of it.
    Ledger(Option<TenantId>),
}

impl Resource {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Model { .. } => Kind::Model,
            Self::Sequence { .. } => Kind::Sequence,
            Self::Region => Kind::Region,
            Self::Tenant(_) => Kind::Tenant,
            Self::Ledger(_) => Kind::Ledger,
        }
    }

    /// The model that it is about.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Model { name, .. } | Self::Sequence { model: name, .. } => Some(name.as_str()),
            Self::Region | Self::Tenant(_) | Self::Ledger(_) => None,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Model { tenant, .. } | Self::Ledger(tenant) => tenant.as_ref(),
            Self::Sequence { tenant, .. } | Self::Tenant(tenant) => Some(tenant),
            Self::Region => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model { name, .. } => write!(f, "model {name}")?,
            Self::Sequence { model, .. } => write!(f, "sequences of {model}")?,
            Self::Region => f.write_str("region")?,
            Self::Tenant(tenant) => return write!(f, "tenant {}", tenant.0),
            Self::Ledger(_) => f.write_str("ledger")?,
        }
        self.tenant().map_or(Ok(()), |tenant| write!(f, " of {}", tenant.0))
    }
}
