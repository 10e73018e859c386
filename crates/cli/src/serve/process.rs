//! What every process that answers does around its work: options, the log, the wish to stop.

use super::args::Common;
use crate::output::{self, remark, say};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use spinwell_core::{Code, Fault};
use spinwell_runtime::health::Health;
use spinwell_runtime::options::{Effective, Loaded, Options, Override, Sources, UnknownVariable};
use spinwell_runtime::{shutdown, telemetry};
use std::future::Future;
use std::path::PathBuf;
use tokio::sync::oneshot;

/// What the command line says of the options.
#[derive(Default)]
pub(super) struct Given(Vec<Override>);

impl Given {
    pub(super) fn text<T: ToString>(
        mut self,
        key: &'static str,
        value: Option<T>,
        flag: &'static str,
    ) -> Self {
        self.0.extend(value.map(|value| Override { key, value: value.to_string(), flag }));
        self
    }

    pub(super) fn path(self, key: &'static str, value: Option<PathBuf>, flag: &'static str) -> Self {
        self.text(key, value.map(|path| path.display().to_string()), flag)
    }

    pub(super) fn flag(self, key: &'static str, is_given: bool, flag: &'static str) -> Self {
        self.text(key, is_given.then_some(true), flag)
    }
}

/// A process that is about to answer.
pub(super) struct Process {
    pub(super) options: Options,
    /// Whether it should be sent requests.
    pub(super) health: Health,
    /// Pulled by SIGTERM and SIGINT.
    pub(super) asked_to_stop: shutdown::Shutdown,
}

impl Process {
    /// Stops also when standard input ends. Must be called within a tokio runtime.
    pub(super) fn stop_with_stdin(&mut self) {
        let (ended, end) = oneshot::channel();
        // A thread that nobody waits for: it may be within a read when the process ends.
        std::thread::spawn(move || {
            // Whatever comes, and however it ends.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = ended.send(());
        });
        self.stop_also_when(async move {
            let _ = end.await;
            tracing::info!("stopping, as standard input has ended");
        });
    }

    /// Does what has to be done until the process is ready, while it answers already, and stops where that fails. Must be called
    /// within a tokio runtime.
    pub(super) fn begin(
        &mut self,
        begins: impl Future<Output = Result<(), Fault>> + Send + 'static,
    ) -> Beginning {
        let (failed, failure) = oneshot::channel();
        self.stop_also_when(async move {
            match begins.await {
                Ok(()) => std::future::pending().await,
                Err(fault) => drop(failed.send(fault)),
            }
        });
        Beginning { failure }
    }

    /// Stops also when this is over. Must be called within a tokio runtime.
    pub(super) fn stop_also_when(&mut self, over: impl Future<Output = ()> + Send + 'static) {
        let (trigger, shutdown) = shutdown::channel();
        let mut others = std::mem::replace(&mut self.asked_to_stop, shutdown);
        tokio::spawn(async move {
            tokio::select! {
                () = others.wait() => {}
                () = over => {}
            }
            trigger.pull();
        });
    }
}

/// A process that is on its way to be ready, or was.
pub(super) struct Beginning {
    failure: oneshot::Receiver<Fault>,
}

impl Beginning {
    /// What the process ended with that has stopped so.
    ///
    /// # Errors
    /// Why it never became ready, where that is why it has stopped; else those of its stop.
    pub(super) async fn ended(self, stopped: Result<()>) -> Result<()> {
        match self.failure.await {
            Ok(fault) => Err(fault.into()),
            Err(_) => stopped,
        }
    }
}

/// Prints the options, or does what a process does with them. `called` is what its lines in the log begin with, where several may be
/// read together.
///
/// # Errors
/// Where they are not valid, or what the process ended with.
pub(super) fn run<F: Future<Output = Result<()>>>(
    common: &Common,
    given: Given,
    called: impl FnOnce(&Options) -> Option<String>,
    work: impl FnOnce(Process) -> F,
) -> Result<()> {
    let given = given.flag("insecure", common.insecure, "--insecure");
    let loaded = Sources::of_this_process(common.config.as_deref(), given.0)
        .and_then(|sources| Options::load(&sources))
        .map_err(|error| error.fault())?;
    if common.print_config {
        for variable in loaded.unknown_variables() {
            remark(&format!("warning: {}", sets_nothing(variable)));
        }
        match common.json {
            true => output::document(&config_json(&loaded)),
            false => say(&loaded.print()),
        }
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("connections")
        .build()
        .context("the runtime cannot be started")?;
    let ended = runtime.block_on(async {
        let name = called(&loaded.options);
        telemetry::start(&loaded.options.log, name.as_deref())
            .map_err(|message| Fault::new(Code::ConfigInvalid, message))?;
        for variable in loaded.unknown_variables() {
            tracing::warn!("{}", sets_nothing(variable));
        }
        let asked_to_stop = shutdown::on_signals().context("signals cannot be caught")?;
        work(Process { options: loaded.options, health: Health::default(), asked_to_stop }).await
    });
    // Dropping the runtime would wait for the node, and so for requests that the drain has given up.
    runtime.shutdown_background();
    ended
}

/// What is said of a variable that looks like ours.
fn sets_nothing(variable: &UnknownVariable) -> String {
    let UnknownVariable { name, nearest } = variable;
    let instead = match nearest {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "spinwell serve --print-config shows the keys".to_owned(),
    };
    format!("the environment variable {name} sets no key; {instead}")
}

/// The effective configuration: for each key its value and where that came from.
fn config_json(loaded: &Loaded) -> Value {
    let one = |option: Effective<'_>| {
        // What is bare in a file is bare here.
        let bare = option.is_bare.then(|| serde_json::from_str(&option.value).ok()).flatten();
        let value = bare.unwrap_or_else(|| Value::from(option.value));
        (option.key.to_owned(), json!({"value": value, "source": option.source}))
    };
    Value::Object(loaded.effective().map(one).collect())
}
