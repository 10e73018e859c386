//! The wish to stop, told to everybody at once.
//!
//! A watch channel instead of a flag: a task that waits for other things learns of it without polling, and
//! one that starts late still sees it.

use std::io;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Asks everybody who holds a [`Shutdown`] to stop.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<watch::Sender<bool>>);

/// Waits for the wish to stop.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// A wish that nobody has had yet.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

/// A wish that SIGTERM or SIGINT brings, within a tokio runtime.
///
/// # Errors
/// Where the signals cannot be caught.
pub fn on_signals() -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (trigger, shutdown) = channel();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        trigger.pull();
    });
    Ok(shutdown)
}

impl Trigger {
    /// Asks everybody to stop.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once somebody wants to stop, or nobody is left who could.
    pub async fn wait(&mut self) {
        // A dropped trigger ends the wait too: a process nobody can stop should not run on.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_learns_of_the_wish_and_late_comers_too() {
        let (trigger, shutdown) = channel();
        let early = tokio::spawn({
            let mut shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(!early.is_finished());
        trigger.pull();
        early.await.unwrap();
        shutdown.clone().wait().await;
    }
}
