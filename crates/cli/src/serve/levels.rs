//! Control's look at service levels: every ten seconds it reads what all gateways count, and tells what has changed.
//!
//! Each control looks for itself, whether it leads or not: whoever leads next knows what was counted until then. What changes is said in the
//! log, and stands in the ledger where control has one.

use super::gateways::operations_planes;
use anyhow::Result;
use spinwell_control::{Book, ServiceLevels, Sight, service_level_event};
use spinwell_ledger::ocsf::Source;
use spinwell_policy::slo::{Change, RESOLUTION, defaults};
use spinwell_registry::View;
use spinwell_runtime::options::Options;
use spinwell_runtime::pages::page;
use spinwell_runtime::shutdown::Shutdown;
use spinwell_runtime::{clock, telemetry};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A page with many models is some hundred kilobytes long.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Gateways that are read.
const GATEWAYS_MAX: usize = 256;

/// Looks at service levels.
pub(super) struct Looker {
    levels: ServiceLevels,
    gateways: Vec<String>,
    view: watch::Receiver<Arc<View>>,
    /// Whom gateways' certificates are believed of, beside the authorities of the system.
    trusted: Option<PathBuf>,
    /// Control's name, which its events bear.
    name: String,
    ledger: Option<Book>,
    /// Those that could not be read last time: the log speaks of each once.
    unread: BTreeSet<String>,
}

impl Looker {
    /// Looks at the usual objectives from now on.
    ///
    /// # Errors
    /// Where they cannot be kept an eye on.
    pub(super) fn new(
        options: &Options,
        view: watch::Receiver<Arc<View>>,
        ledger: Option<Book>,
    ) -> Result<Self> {
        Ok(Self {
            levels: ServiceLevels::new(defaults::objectives(), clock::unix())?,
            gateways: options.control.gateways.clone(),
            view,
            trusted: options.region.certificates.as_ref().map(|dir| dir.join("authority.pem")),
            name: options.control.id.to_string(),
            ledger,
            unread: BTreeSet::new(),
        })
    }

    /// What is known of them.
    pub(super) fn levels(&self) -> ServiceLevels {
        self.levels.clone()
    }

    /// Looks again and again, until it is told to stop.
    pub(super) async fn run(mut self, mut stop: Shutdown) {
        let mut moments = tokio::time::interval(RESOLUTION.into());
        moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = moments.tick() => {}
            }
            // Gateways that do not answer take their time.
            tokio::select! {
                () = stop.wait() => return,
                () = self.look() => {}
            }
        }
    }

    async fn look(&mut self) {
        let gateways = operations_planes(&self.view.borrow().clone(), &self.gateways);
        self.levels.retain(|source| gateways.contains(source));
        self.unread.retain(|source| gateways.contains(source));
        let mut asked = JoinSet::new();
        for gateway in gateways.into_iter().take(GATEWAYS_MAX) {
            let (levels, trusted) = (self.levels.clone(), self.trusted.clone());
            asked.spawn(async move {
                let read = read(&levels, &gateway, trusted).await;
                (gateway, read)
            });
        }
        while let Some(read) = asked.join_next().await {
            match read {
                Ok((gateway, read)) => self.was_read(gateway, read),
                Err(error) => tracing::error!(%error, "a gateway's metrics were not read"),
            }
        }
        let (changes, sight) = self.levels.advance(clock::unix());
        match sight {
            Sight::Same => {}
            Sight::Back => tracing::info!("metrics of gateways are read again"),
            Sight::Lost(since) => {
                let since = clock::civil(since);
                tracing::warn!(
                    since,
                    "no gateway's metrics can be read, so nothing is known of service levels"
                );
            }
        }
        for change in changes {
            say(&change);
            self.write_down(&change).await;
        }
    }

    fn was_read(&mut self, gateway: String, read: Result<()>) {
        let Err(error) = read else {
            if self.unread.remove(&gateway) {
                tracing::info!(gateway, "a gateway's metrics are read again");
            }
            return;
        };
        let why = format!("{error:#}");
        if !self.unread.contains(&gateway) {
            tracing::warn!(
                gateway,
                error = why,
                "a gateway's metrics cannot be read, so what it answers does not count; trying again"
            );
        }
        self.levels.cannot_be_read(&gateway, why);
        self.unread.insert(gateway);
    }

    async fn write_down(&self, change: &Change) {
        let Some(Book { writer, .. }) = self.ledger.clone() else { return };
        let source = Source { log: &self.name, version: env!("CARGO_PKG_VERSION"), at: clock::unix() };
        let event = match service_level_event(source, change) {
            Ok(event) => event,
            Err(error) => {
                tracing::error!(error = telemetry::chain(&error), "a change of a service level is no event");
                return;
            }
        };
        match tokio::task::spawn_blocking(move || writer.event(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(
                error = telemetry::chain(&error),
                "a change of a service level is not in the ledger"
            ),
            Err(error) => tracing::error!(%error, "a change of a service level is not in the ledger"),
        }
    }
}

async fn read(levels: &ServiceLevels, gateway: &str, trusted: Option<PathBuf>) -> Result<()> {
    let bytes = page(&format!("{gateway}/metrics"), trusted.as_deref(), PAGE_BYTES_MAX, PATIENCE).await?;
    let text = String::from_utf8(bytes)?;
    levels.read_page(gateway, &text, clock::unix())?;
    Ok(())
}

/// Says in the log what has changed.
fn say(change: &Change) {
    match change {
        Change::Fires(alert) => {
            let (severity, reason) = (alert.severity.as_str(), alert.reason.to_string());
            tracing::warn!(alert = %alert.id, severity, reason, "an alert of a service level fires");
        }
        Change::Resolved(alert) => {
            tracing::info!(alert = %alert.id, severity = alert.severity.as_str(), "an alert of a service level has ended");
        }
        Change::BreachBegan(breach) => {
            let (severity, began) = (breach.severity.as_str(), clock::civil(breach.began));
            tracing::warn!(objective = %breach.objective, severity, began, "a service level is not kept");
        }
        Change::BreachEnded(breach) => {
            let lasted_ms = breach.lasted(clock::unix()).0;
            let severity = breach.severity.as_str();
            tracing::info!(objective = %breach.objective, severity, lasted_ms, "a service level is kept again");
        }
    }
}
