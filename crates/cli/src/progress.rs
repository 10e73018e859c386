//! What a person sees of a search, or of something that is waited for, and how they stop it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use spinwell_core::{Code, Fault};
use spinwell_engine::classify::ClassifyEvent;
use spinwell_engine::train::{Event, Observer};
use spinwell_runtime::clock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Set by Ctrl-C; a second Ctrl-C ends the process as usual.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A progress bar on stderr (none where stderr is not a terminal), a stop-watch per candidate, and a budget.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    began: Instant,
    budget: Option<Duration>,
    watches: Mutex<HashMap<usize, (Instant, f64)>>,
    best: Mutex<Option<(f64, String)>>,
}

impl Progress {
    /// A bar that counts candidates.
    #[expect(clippy::disallowed_methods, reason = "the edge: seconds for people, and the budget they gave")]
    pub(crate) fn new(budget: Option<Duration>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = "  searching {bar:28.cyan/dim} {pos}/{len} candidates  {elapsed} {msg}";
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is valid").progress_chars("━╸─"),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
        listen_for_interrupt();
        let watches = Mutex::default();
        Self { bar, began: Instant::now(), budget, watches, best: Mutex::default() }
    }

    /// Seconds that candidate `index` took.
    pub(crate) fn seconds(&self, index: usize) -> f64 {
        self.watches.lock().expect("no holder panics").get(&index).map_or(0.0, |watch| watch.1)
    }

    /// Seconds since the start.
    pub(crate) fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    #[expect(clippy::disallowed_methods, reason = "the edge: seconds for people")]
    fn started(&self, index: usize) {
        self.watches.lock().expect("no holder panics").insert(index, (Instant::now(), 0.0));
    }

    /// Hears of a classifier's search.
    pub(crate) fn classify_event(&self, event: &ClassifyEvent<'_>) {
        match event {
            ClassifyEvent::Planned { candidates } => self.bar.set_length(*candidates as u64),
            ClassifyEvent::Started { index, .. } => self.started(*index),
            ClassifyEvent::Finished { index, spec, accuracy } => {
                let standing =
                    |accuracy: f64| (-accuracy, format!("{}, accuracy {accuracy:.3}", spec.family()));
                self.finished(*index, accuracy.map(standing));
            }
        }
    }

    /// A candidate is done; with a figure, less of which is better, and the words for it.
    fn finished(&self, index: usize, standing: Option<(f64, String)>) {
        if let Some(watch) = self.watches.lock().expect("no holder panics").get_mut(&index) {
            watch.1 = watch.0.elapsed().as_secs_f64();
        }
        let mut best = self.best.lock().expect("no holder panics");
        if let Some(standing) = standing
            && best.as_ref().is_none_or(|(least, _)| standing.0 < *least)
        {
            *best = Some(standing);
        }
        if let Some((_, words)) = best.as_ref() {
            self.bar.set_message(format!("best so far: {words}"));
        }
        self.bar.inc(1);
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Planned { candidates } => self.bar.set_length(*candidates as u64),
            Event::Started { index, .. } => self.started(*index),
            Event::Finished { index, spec, validation } => {
                let standing = |nrmse: f64| (nrmse, format!("{}, NRMSE {nrmse:.4}", spec.family));
                self.finished(*index, validation.map(|validation| standing(validation.nrmse)));
            }
        }
    }

    fn stop_requested(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
            || self.budget.is_some_and(|budget| self.began.elapsed() >= budget)
    }
}

/// Turns the first Ctrl-C into a request to stop with the best so far.
fn listen_for_interrupt() {
    let wait = || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    end_now();
                }
            }
        });
    };
    // Without the thread Ctrl-C would end the process at once: less kind, but nothing is lost.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait);
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a second Ctrl-C means now; nothing is half written"
)]
fn end_now() {
    std::process::exit(130);
}

/// Waits, with a line on a terminal that says for what, until something is so. Gives how long it took.
///
/// # Errors
/// What asking fails with, unless it is that nobody answers for the moment; and where it takes too long.
pub(crate) fn wait_for(
    what: &str,
    limit: Duration,
    mut is_so: impl FnMut() -> Result<bool, Fault>,
) -> Result<Duration, Fault> {
    let line = ProgressBar::new_spinner().with_message(what.to_owned());
    line.enable_steady_tick(Duration::from_millis(200));
    let since = clock::now();
    loop {
        let waited = clock::now().saturating_duration_since(since);
        match is_so() {
            Ok(true) => {
                line.finish_and_clear();
                return Ok(waited);
            }
            Err(fault) if fault.code() != Code::Unreachable => return Err(fault),
            _ if waited >= limit => {
                let message = format!("{what}: it is not after {} s; nothing more is done", limit.as_secs());
                return Err(Fault::new(Code::NodeUnreachable, message));
            }
            _ => wait(POLL),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: a command that waits for others")]
fn wait(pause: Duration) {
    std::thread::sleep(pause);
}

/// How often it is asked.
const POLL: Duration = Duration::from_millis(100);
