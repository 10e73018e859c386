//! Who may reach the listeners.

use crate::tls::EdgeFiles;

/// Who may reach the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Programs on this machine only: nothing is encrypted, and nobody says who he is.
    LoopbackOnly,
    /// Programs on this machine only: callers are shown a certificate, and nobody has to say who he is.
    EncryptedOnly,
    /// Programs on this machine only: callers say who they are, and in the clear.
    IdentifiedOnly,
    /// Anybody who can say who he is, over encrypted connections.
    Protected,
    /// Anybody: the operator said `insecure`.
    Insecure,
    /// Anybody, and those are served who show a certificate of our own.
    Certified,
}

impl Exposure {
    /// That of the listeners for callers, who are shown this certificate, and may have to say who they are.
    pub(super) const fn of_callers(edge: Option<&EdgeFiles>, access_required: bool) -> Self {
        match (edge.is_some(), access_required) {
            (true, true) => Exposure::Protected,
            (true, false) => Exposure::EncryptedOnly,
            (false, true) => Exposure::IdentifiedOnly,
            (false, false) => Exposure::LoopbackOnly,
        }
    }

    /// That of what our own processes say to each other where they have no certificates: what protects callers does nothing for it.
    #[must_use]
    pub const fn between_processes(self) -> Self {
        match self {
            Exposure::Insecure => Exposure::Insecure,
            Exposure::Certified => Exposure::Certified,
            _ => Exposure::LoopbackOnly,
        }
    }
}
