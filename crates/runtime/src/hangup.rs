//! SIGHUP, by which log rotation says that a file was renamed and the next line belongs into a new one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Whether there was a SIGHUP since the last look. A flag and not a queue: two signals in a row ask for the same.
#[derive(Debug, Clone, Default)]
pub struct Hangup(Arc<AtomicBool>);

impl Hangup {
    /// Whether there was one since the last look.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// What the signal does.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Watches for SIGHUP from now on, within a tokio runtime. Without this call the signal ends the process.
///
/// # Errors
/// Where the signal cannot be caught.
pub fn on_signal() -> io::Result<Hangup> {
    let mut signals = signal(SignalKind::hangup())?;
    let hangup = Hangup::default();
    let flag = hangup.clone();
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            flag.set();
        }
    });
    Ok(hangup)
}
