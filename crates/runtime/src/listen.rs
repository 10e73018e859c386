//! Opening a listener, with an error that says which and why.
//!
//! An address that is not loopback is refused unless connections to it are encrypted and callers say who they are, or the operator
//! says `insecure`. That is decided here, where every listener is opened, and not by whoever reads the options.

use crate::options::Exposure;
use socket2::{Domain, Protocol, Socket, Type};
use spinwell_core::{Code, Fault};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Connections that may wait to be accepted. A burst of clients beyond it sees delays of a second, so it is
/// larger than the standard library's 128; the kernel caps it at its own limit.
const BACKLOG: i32 = 4096;

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address may be reached from elsewhere, without what protects it, and nobody said that it may.
    #[error(
        "{name} address {address} can be reached from other machines, and {}; use a loopback address, {}, or say --insecure",
        missing.what(), missing.remedy()
    )]
    Exposed {
        /// Which listener.
        name: &'static str,
        /// Where it should have listened.
        address: SocketAddr,
        /// What is missing.
        missing: Missing,
    },
    /// The same on a plane that is for our own processes.
    #[error(
        "{name} address {address} can be reached from other machines; let tls.dir name the folder with this process's \
         certificate (`spinwell pki issue` makes it), or use a loopback address"
    )]
    Uncertified {
        /// Which listener.
        name: &'static str,
        /// Where it should have listened.
        address: SocketAddr,
    },
    /// The operating system said no.
    #[error("{name} address {address} cannot be opened")]
    Bind {
        /// Which listener.
        name: &'static str,
        /// Where it should have listened.
        address: SocketAddr,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What a listener for callers needs, and does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing is encrypted.
    Encryption,
    /// Nobody has to say who he is.
    Identities,
    /// Neither.
    Both,
}

impl Missing {
    const fn what(self) -> &'static str {
        match self {
            Missing::Encryption => "nothing on it is encrypted",
            Missing::Identities => "nobody on it has to say who he is",
            Missing::Both => "nothing on it is encrypted and nobody has to say who he is",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Missing::Encryption => "set edge.certificate and edge.key",
            Missing::Identities => "set access.required",
            Missing::Both => "set edge.certificate, edge.key and access.required",
        }
    }
}

impl Error {
    /// The error as it is shown to the operator.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Error::Exposed { .. } | Error::Uncertified { .. } => {
                Fault::new(Code::ListenRefused, self.to_string())
            }
            Error::Bind { source, .. } => Fault::new(Code::ListenRefused, format!("{self}: {source}")),
        }
    }
}

/// The same as [`bind`], for a plane on which our own processes know each other by certificates. What protects callers does nothing
/// there.
///
/// # Errors
/// As [`bind`]; where the address is not loopback it says that certificates are missing.
pub fn bind_own(name: &'static str, address: SocketAddr, exposure: Exposure) -> Result<TcpListener, Error> {
    bind(name, address, exposure.between_processes()).map_err(|error| match error {
        Error::Exposed { name, address, .. } => Error::Uncertified { name, address },
        other => other,
    })
}

/// Opens the listener `name` at `address`, port 0 for any. Must be called within a tokio runtime.
///
/// # Errors
/// Where the address is not loopback and `exposure` does not allow it, or where it cannot be bound.
pub fn bind(name: &'static str, address: SocketAddr, exposure: Exposure) -> Result<TcpListener, Error> {
    let exposed = |missing| Err(Error::Exposed { name, address, missing });
    if !address.ip().is_loopback() {
        match exposure {
            Exposure::LoopbackOnly => return exposed(Missing::Both),
            Exposure::EncryptedOnly => return exposed(Missing::Identities),
            Exposure::IdentifiedOnly => return exposed(Missing::Encryption),
            Exposure::Protected | Exposure::Certified => {}
            Exposure::Insecure => tracing::warn!(
                listener = name,
                %address,
                "listening where other machines can reach it, whatever protects it, because --insecure was given"
            ),
        }
    }
    open(address).map_err(|source| Error::Bind { name, address, source })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must get its port back while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_is_opened_without_saying_so() {
        let check = |address: &str, exposure: Exposure, wanted: Result<(), Code>| {
            let got = bind("http", address.parse().unwrap(), exposure);
            assert_eq!(
                got.map(|_| ()).map_err(|error| error.fault().code()),
                wanted,
                "{address} {exposure:?}"
            );
        };
        check("127.0.0.1:0", Exposure::LoopbackOnly, Ok(()));
        check("0.0.0.0:0", Exposure::LoopbackOnly, Err(Code::ListenRefused));
        check("[::]:0", Exposure::LoopbackOnly, Err(Code::ListenRefused));
        check("127.0.0.1:0", Exposure::EncryptedOnly, Ok(()));
        check("0.0.0.0:0", Exposure::EncryptedOnly, Err(Code::ListenRefused));
        check("0.0.0.0:0", Exposure::IdentifiedOnly, Err(Code::ListenRefused));
        check("0.0.0.0:0", Exposure::Protected, Ok(()));
        check("0.0.0.0:0", Exposure::Insecure, Ok(()));
    }

    #[tokio::test]
    async fn what_a_listener_for_callers_lacks_is_named_and_nothing_else() {
        let says = |exposure| {
            let error = bind("http", "0.0.0.0:0".parse().unwrap(), exposure).unwrap_err();
            let message = error.fault().message().to_owned();
            assert!(message.contains("--insecure"), "{message}");
            (message.contains("edge.certificate"), message.contains("access.required"))
        };
        assert_eq!(says(Exposure::LoopbackOnly), (true, true));
        assert_eq!(says(Exposure::EncryptedOnly), (false, true));
        assert_eq!(says(Exposure::IdentifiedOnly), (true, false));
    }

    #[tokio::test]
    async fn what_is_missing_is_named_by_who_is_to_call() {
        let address = "0.0.0.0:0".parse().unwrap();
        let own = bind_own("node", address, Exposure::LoopbackOnly).unwrap_err().fault();
        assert!(own.message().contains("tls.dir") && !own.message().contains("--insecure"), "{own}");
        let others = bind("http", address, Exposure::LoopbackOnly).unwrap_err().fault();
        assert!(others.message().contains("--insecure") && !others.message().contains("tls.dir"), "{others}");
        assert!(bind_own("node", address, Exposure::Certified).is_ok());
        // What protects callers does nothing for our own processes.
        assert!(matches!(bind_own("node", address, Exposure::Protected), Err(Error::Uncertified { .. })));
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = bind("http", "127.0.0.1:0".parse().unwrap(), Exposure::LoopbackOnly).unwrap();
        let address = first.local_addr().unwrap();
        let fault = bind("grpc", address, Exposure::LoopbackOnly).unwrap_err().fault();
        assert_eq!(fault.code(), Code::ListenRefused);
        assert!(fault.message().contains(&format!("grpc address {address}")), "{fault}");
    }
}
