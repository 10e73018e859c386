//! Looks at the files and takes what is new.
//!
//! By their contents, every few seconds, and not by notices of the file system: a mounted secret changes by the exchange of a
//! link far above, which such notices miss, and three small files cost nothing to read.

use super::{EdgeCertificate, Error, Mutual, Validity};
use crate::clock::{civil, since, unix};
use crate::shutdown::Shutdown;
use crate::telemetry::chain;
use spinwell_core::Micros;
use std::time::{Duration, Instant};

/// How often to say that a certificate ends soon.
const REMIND_EVERY: Duration = Duration::from_hours(24);

/// What is read from files that change while the process runs.
pub trait Watched: Clone + Send + 'static {
    /// Reads the files again and takes what is new and sound. Whether it was new.
    ///
    /// # Errors
    /// Where it is not sound. What held before then goes on to hold.
    fn reload(&self) -> Result<bool, Error>;

    /// From when until when the certificate in use is valid.
    fn validity(&self) -> Validity;

    /// Whose certificate it is, for the log.
    fn whose(&self) -> String;
}

impl Watched for Mutual {
    fn reload(&self) -> Result<bool, Error> {
        self.reload()
    }

    fn validity(&self) -> Validity {
        self.validity()
    }

    fn whose(&self) -> String {
        self.identity().to_string()
    }
}

impl Watched for EdgeCertificate {
    fn reload(&self) -> Result<bool, Error> {
        self.reload()
    }

    fn validity(&self) -> Validity {
        self.validity()
    }

    fn whose(&self) -> String {
        format!("the listeners for callers ({})", self.files().certificate.display())
    }
}

/// Looks every `interval` whether the files hold something new and, where it is sound, takes it for all later handshakes, until
/// `shutdown`. Where it is not, what held before goes on to hold, and one warning says why. In the last fifth of the
/// certificate's time a warning a day says so.
pub async fn watch(watched: impl Watched, interval: Duration, mut shutdown: Shutdown) {
    // The same trouble is said once, and not every few seconds.
    let mut said: Option<String> = None;
    let mut reminded: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let looked = tokio::task::spawn_blocking({
            let watched = watched.clone();
            move || watched.reload()
        });
        match looked.await {
            Ok(Ok(true)) => {
                (said, reminded) = (None, None);
                let until = civil(watched.validity().until);
                tracing::info!(whose = watched.whose(), until, "a new certificate is in use");
            }
            Ok(Ok(false)) => said = None,
            Ok(Err(error)) => warn(&error, &mut said),
            // The runtime is going down.
            Err(_) => return,
        }
        remind(&watched, &mut reminded);
    }
}

fn warn(error: &Error, said: &mut Option<String>) {
    let text = chain(error);
    if said.as_ref() != Some(&text) {
        tracing::warn!(error = text, "new certificate files cannot be used; those from before stay in use");
        *said = Some(text);
    }
}

fn remind(watched: &impl Watched, reminded: &mut Option<Instant>) {
    let is_due = reminded.is_none_or(|at| since(at) >= Micros::from(REMIND_EVERY));
    let validity = watched.validity();
    if is_due && validity.is_ending(unix()) {
        let until = civil(validity.until);
        tracing::warn!(
            whose = watched.whose(),
            until,
            "the certificate ends soon, and there is no newer one"
        );
        *reminded = Some(crate::clock::now());
    }
}
