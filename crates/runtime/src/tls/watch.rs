//! Looks at the files and takes what is new.
//!
//! By their contents, every few seconds, and not by notices of the file system: a mounted secret changes by the exchange of a
//! link far above, which such notices miss, and three small files cost nothing to read.

use super::{Error, Mutual};
use crate::clock::{civil, since, unix};
use crate::shutdown::Shutdown;
use crate::telemetry::chain;
use spinwell_core::Micros;
use std::time::{Duration, Instant};

/// How often to say that a certificate ends soon.
const REMIND_EVERY: Duration = Duration::from_hours(24);

/// Looks every `interval` whether the files hold something new and, where it is sound, takes it for all later handshakes, until
/// `shutdown`. Where it is not, what held before goes on to hold, and one warning says why. In the last fifth of the
/// certificate's time a warning a day says so.
pub async fn watch(mutual: Mutual, interval: Duration, mut shutdown: Shutdown) {
    // The same trouble is said once, and not every few seconds.
    let mut said: Option<String> = None;
    let mut reminded: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let looked = tokio::task::spawn_blocking({
            let mutual = mutual.clone();
            move || mutual.reload()
        });
        match looked.await {
            Ok(Ok(true)) => {
                (said, reminded) = (None, None);
                let until = civil(mutual.validity().until);
                tracing::info!(identity = %mutual.identity(), until, "a new certificate is in use");
            }
            Ok(Ok(false)) => said = None,
            Ok(Err(error)) => warn(&error, &mut said),
            // The runtime is going down.
            Err(_) => return,
        }
        remind(&mutual, &mut reminded);
    }
}

fn warn(error: &Error, said: &mut Option<String>) {
    let text = chain(error);
    if said.as_ref() != Some(&text) {
        tracing::warn!(error = text, "new certificate files cannot be used; those from before stay in use");
        *said = Some(text);
    }
}

fn remind(mutual: &Mutual, reminded: &mut Option<Instant>) {
    let is_due = reminded.is_none_or(|at| since(at) >= Micros::from(REMIND_EVERY));
    let validity = mutual.validity();
    if is_due && validity.is_ending(unix()) {
        let until = civil(validity.until);
        tracing::warn!(identity = %mutual.identity(), until, "the certificate ends soon, and there is no newer one");
        *reminded = Some(crate::clock::now());
    }
}
