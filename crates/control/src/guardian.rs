//! Node processes on this machine that go on without whoever has started them.
//!
//! Nothing ties a node to its control: no pipe, no signal, no end of a parent. It writes into a log of its own, and leaves a
//! [`Record`] in its folder; a control that starts looks there first, and looks after what runs. Who ends is started again, at once and
//! after pauses that double where it ends again soon, as the [`Supervisor`](crate::Supervisor) does for those that end with it.

use crate::Record;
use crate::running::{Board, Nodes, Running};
use crate::supervisor::{PAUSE, next_pause};
use spinwell_core::NodeId;
use spinwell_runtime::process::Process;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How often to look whether a process that is not our child still runs, and whether one that we have started has said where.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A log that is longer when its node starts is put aside, in the place of the one before.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How much of the end of a log is looked through for what a process ended with, and how many lines: a hint may follow, and
/// errors of lives before do not count.
const LAST_BYTES: u64 = 4096;
const LAST_LINES: usize = 3;

/// Where a node has its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its data folder.
    pub data: PathBuf,
}

impl Home {
    /// The folder in which its process says what it is.
    #[must_use]
    pub fn process(&self) -> PathBuf {
        self.data.join("process")
    }

    /// What a process that has failed said last, and where the rest is.
    fn last_words(&self) -> String {
        let path = self.data.join("log");
        let said = last_error(&path).map(|said| format!(": {said}")).unwrap_or_default();
        format!("{said}; its log is {}", path.display())
    }

    fn log(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.data)?;
        let path = self.data.join("log");
        if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            std::fs::rename(&path, self.data.join("log.1"))?;
        }
        OpenOptions::new().create(true).append(true).open(path)
    }
}

/// Starts nodes and looks after them as long as it is there. They go on without it. A cheap handle.
#[derive(Debug, Clone)]
pub struct Guardian {
    nodes: watch::Receiver<Nodes>,
    starts: Arc<AtomicU64>,
    inner: Arc<Inner>,
}

struct Inner {
    board: Arc<Board>,
    starts: Arc<AtomicU64>,
    command: Arc<Commands>,
    wards: Mutex<Wards>,
}

/// Makes the command that starts a node.
type Commands = dyn Fn(&NodeId, &Home) -> Command + Send + Sync;

/// The nodes that are looked after.
#[derive(Debug, Default)]
struct Wards {
    wishes: BTreeMap<NodeId, watch::Sender<Wish>>,
    tasks: JoinSet<()>,
}

/// What is to become of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// It is looked after.
    Keep,
    /// It is left alone, and goes on.
    Leave,
    /// It stops.
    Stop,
}

/// One node, and who is told of it.
struct Ward {
    id: NodeId,
    home: Home,
    board: Arc<Board>,
    starts: Arc<AtomicU64>,
    wish: watch::Receiver<Wish>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.wards.fmt(f)
    }
}

impl Guardian {
    /// Looks after nobody yet. A node is started by the command that `command` makes for it; it takes its home with a
    /// [`Claim`](crate::Claim).
    pub fn new<F>(command: F) -> Self
    where
        F: Fn(&NodeId, &Home) -> Command + Send + Sync + 'static,
    {
        let (board, nodes) = Board::new();
        let starts = Arc::new(AtomicU64::new(0));
        let inner = Inner {
            board: Arc::new(board),
            starts: starts.clone(),
            command: Arc::new(command),
            wards: Mutex::default(),
        };
        Self { nodes, starts, inner: Arc::new(inner) }
    }

    /// Looks after these nodes in their homes from now on, and after no others: finds those that run, starts those that do not, and starts
    /// again who ends. Those that it looked after before and that are not among them go on, and are left alone. To say the same twice
    /// changes nothing. Must be called within a tokio runtime.
    pub fn look_after(&self, homes: Vec<(NodeId, Home)>) {
        let mut wards = self.inner.wards();
        let is_among = |id: &NodeId| homes.iter().any(|(wanted, _)| wanted == id);
        wards.wishes.retain(|id, wish| {
            let stays = is_among(id);
            if !stays {
                wish.send_replace(Wish::Leave);
            }
            stays
        });
        // Those that have ended by themselves.
        while wards.tasks.try_join_next().is_some() {}
        for (id, home) in homes {
            if wards.wishes.contains_key(&id) {
                continue;
            }
            let (wish, wishes) = watch::channel(Wish::Keep);
            let (board, starts) = (self.inner.board.clone(), self.inner.starts.clone());
            let mut ward = Ward { id: id.clone(), home, board, starts, wish: wishes };
            let command = self.inner.command.clone();
            wards.tasks.spawn(async move { ward.look_after(&*command).await });
            wards.wishes.insert(id, wish);
        }
    }

    /// The nodes that run, now and as they come and go.
    #[must_use]
    pub fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.clone()
    }

    /// How often a node was started, now and later.
    #[must_use]
    pub fn starts(&self) -> Arc<AtomicU64> {
        self.starts.clone()
    }

    /// Looks after nobody any more. The nodes go on.
    pub async fn leave(&self) {
        self.end(Wish::Leave).await;
    }

    /// Asks every node to stop, and returns when all have ended.
    pub async fn stop(&self) {
        self.end(Wish::Stop).await;
    }

    async fn end(&self, wish: Wish) {
        let Wards { wishes, mut tasks } = std::mem::take(&mut *self.inner.wards());
        for ward in wishes.values() {
            ward.send_replace(wish);
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Inner {
    fn wards(&self) -> MutexGuard<'_, Wards> {
        self.wards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the life of a process ended.
enum End {
    /// By itself, so.
    Over(String),
    /// In good order, as it was asked to by somebody else.
    Stopped,
    /// For us: it was left alone, or stopped as it was to.
    Left,
}

impl Ward {
    async fn look_after(&mut self, command: &Commands) {
        let mut pause = PAUSE.0;
        loop {
            let began = Instant::now();
            let end = match Record::of_living(&self.home.process()) {
                Some(record) => self.adopt(record).await,
                None => self.run(command(&self.id, &self.home)).await,
            };
            self.board.gone(&self.id);
            match end {
                End::Left => return,
                End::Stopped => {
                    tracing::info!(node = %self.id, "a node has stopped in good order and is started again");
                }
                End::Over(how) => {
                    tracing::warn!(node = %self.id, how, "a node has ended and is started again");
                }
            }
            pause = next_pause(pause, began.elapsed());
            tokio::select! {
                () = sleep(pause) => {}
                _ = wished(&mut self.wish) => return,
            }
        }
    }

    /// The rest of the life of a process that somebody else has started.
    async fn adopt(&mut self, record: Record) -> End {
        let process = record.process.clone();
        tracing::info!(node = %self.id, pid = process.pid, "a node runs already and is looked after");
        self.come(record, true);
        tokio::select! {
            () = ended(&process) => End::Over("it is gone".to_owned()),
            wish = wished(&mut self.wish) => {
                if wish == Wish::Stop {
                    self.terminate(&process);
                    ended(&process).await;
                }
                End::Left
            }
        }
    }

    /// The life of a process.
    async fn run(&mut self, command: Command) -> End {
        let mut child = match self.spawn(command) {
            Ok(child) => child,
            Err(error) => return End::Over(error.to_string()),
        };
        self.starts.fetch_add(1, Ordering::Relaxed);
        let pid = child.id();
        // It is our child and was not waited for, so the number is its own.
        let process = pid.and_then(Process::of);
        let ended = tokio::select! {
            ended = child.wait() => Some(ended),
            record = claimed(&self.home, pid) => {
                tracing::info!(node = %self.id, address = %record.address, pid, "a node is starting");
                self.come(record, false);
                tokio::select! {
                    ended = child.wait() => Some(ended),
                    _ = wished(&mut self.wish) => None,
                }
            }
            _ = wished(&mut self.wish) => None,
        };
        match ended {
            Some(Ok(status)) if status.success() => End::Stopped,
            Some(Ok(status)) => End::Over(format!("{status}{}", self.home.last_words())),
            Some(Err(error)) => End::Over(error.to_string()),
            None => {
                if let Some(process) = process.filter(|_| *self.wish.borrow() == Wish::Stop) {
                    self.terminate(&process);
                    // However it ends.
                    let _ = child.wait().await;
                }
                End::Left
            }
        }
    }

    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let log = self.home.log()?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(false);
        // What a terminal says to the processes in it is not for nodes.
        command.process_group(0);
        command.spawn()
    }

    fn terminate(&self, process: &Process) {
        if let Err(error) = process.terminate() {
            tracing::warn!(node = %self.id, ?error, "a node cannot be asked to stop");
        }
    }

    fn come(&self, Record { process, address, ops, .. }: Record, is_adopted: bool) {
        self.board.come(Running { id: self.id.clone(), address, ops, pid: process.pid, is_adopted });
    }
}

/// The last line of a log that says what a process ended with, where it is among the last lines.
fn last_error(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES))).ok()?;
    let mut end = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    end.lines().rev().take(LAST_LINES).find(|line| line.starts_with("error")).map(str::to_owned)
}

/// Comes when something else is wished than to keep the nodes. Nobody left who could wish leaves them alone.
async fn wished(wish: &mut watch::Receiver<Wish>) -> Wish {
    wish.wait_for(|wish| *wish != Wish::Keep).await.map_or(Wish::Leave, |wish| *wish)
}

/// Comes when a process has ended.
async fn ended(process: &Process) {
    while process.is_alive() {
        sleep(LOOK_EVERY).await;
    }
}

/// Comes with what the process of that number says in a home, once it does.
async fn claimed(home: &Home, pid: Option<u32>) -> Record {
    loop {
        match Record::of_living(&home.process()) {
            Some(record) if Some(record.process.pid) == pid => return record,
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "guardian_tests.rs"]
mod tests;
