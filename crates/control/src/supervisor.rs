//! Node processes on this machine, started and started again.
//!
//! A node says on its standard output where it listens; its standard input stays open as long as its supervisor lives, and a node
//! that reads its end stops, so that no node outlives whoever looks after it, however that one ended. A node that ends is
//! started again at once, and after pauses that double where it ends again soon.

use crate::running::{Board, Nodes, Running};
use spinwell_core::NodeId;
use spinwell_runtime::shutdown::{self, Shutdown};
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// The first pause before a node that ended soon is started again, and the longest.
pub(crate) const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A node that ran for so long did not end soon.
const SOON: Duration = Duration::from_secs(10);
/// How long a node may take to say where it listens: it loads its models and brings its sequences back before.
const START: Duration = Duration::from_secs(600);

/// Starts nodes and looks after them.
#[derive(Debug)]
pub struct Supervisor {
    nodes: watch::Receiver<Nodes>,
    stop: shutdown::Trigger,
    tasks: JoinSet<()>,
}

/// What the tasks of a supervisor share.
#[derive(Debug)]
struct Shared {
    board: Board,
}

impl Supervisor {
    /// Starts nodes of these names, each with the command that `command` makes for it. Standard input and output are ours.
    /// Must be called within a tokio runtime.
    pub fn start<F>(ids: Vec<NodeId>, command: F) -> Self
    where
        F: Fn(&NodeId) -> Command + Send + Sync + 'static,
    {
        let (board, nodes) = Board::new();
        let (stop, stops) = shutdown::channel();
        let shared = Arc::new(Shared { board });
        let command = Arc::new(command);
        let mut tasks = JoinSet::new();
        for id in ids {
            let (shared, command, stops) = (shared.clone(), command.clone(), stops.clone());
            tasks.spawn(async move { shared.look_after(id, &*command, stops).await });
        }
        Self { nodes, stop, tasks }
    }

    /// The nodes that answer, now and as they come and go.
    #[must_use]
    pub fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.clone()
    }

    /// Asks every node to stop, and returns when all have ended. Dropping the future, or the supervisor, kills them.
    pub async fn stop(mut self) {
        self.stop.pull();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// How a node ended, or did not begin.
enum End {
    Exited(ExitStatus),
    Failed(String),
    Stopped,
}

impl Shared {
    async fn look_after(
        &self,
        id: NodeId,
        command: &(dyn Fn(&NodeId) -> Command + Send + Sync),
        mut stops: Shutdown,
    ) {
        let mut pause = PAUSE.0;
        loop {
            let began = Instant::now();
            let end = self.run(&id, command(&id), &mut stops).await;
            self.board.gone(&id);
            match end {
                End::Stopped => return,
                End::Exited(status) if status.success() => {
                    tracing::info!(node = %id, "a node has stopped in good order and is started again");
                }
                End::Exited(status) => {
                    tracing::warn!(node = %id, %status, "a node has ended and is started again");
                }
                End::Failed(why) => {
                    tracing::warn!(node = %id, why, "a node did not start and is started again");
                }
            }
            pause = next_pause(pause, began.elapsed());
            tokio::select! {
                () = sleep(pause) => {}
                () = stops.wait() => return,
            }
        }
    }

    /// The life of one process.
    async fn run(&self, id: &NodeId, mut command: Command, stops: &mut Shutdown) -> End {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return End::Failed(error.to_string()),
        };
        let stdin = child.stdin.take();
        let started = tokio::select! {
            started = timeout(START, self.started(id, &mut child)) => started,
            () = stops.wait() => return ended(child, stdin).await,
        };
        match started {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return End::Failed(why),
            Err(_) => return End::Failed("it did not say where it listens".to_owned()),
        }
        tokio::select! {
            status = child.wait() => match status {
                Ok(status) => End::Exited(status),
                Err(error) => End::Failed(error.to_string()),
            },
            () = stops.wait() => ended(child, stdin).await,
        }
    }

    /// Waits until a node says that it is ready, and makes it known.
    async fn started(&self, id: &NodeId, child: &mut Child) -> Result<(), String> {
        let stdout = child.stdout.take().ok_or("it has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let (mut address, mut ops) = (None, None);
        loop {
            let line = lines.next_line().await.map_err(|error| error.to_string())?;
            let Some(line) = line else {
                let status = child.wait().await.map_err(|error| error.to_string())?;
                return Err(format!("it ended with {status}"));
            };
            address = address.or_else(|| address_in(&line, "(gateways)"));
            ops = ops.or_else(|| address_in(&line, "(metrics and health)"));
            if line.starts_with("ready") {
                break;
            }
        }
        // What it may say later is read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let running = address.zip(ops).zip(child.id()).map(|((address, ops), pid)| Running {
            id: id.clone(),
            address,
            ops,
            pid,
            is_adopted: false,
        });
        self.come(running.ok_or("it did not say where it listens")?);
        Ok(())
    }

    fn come(&self, node: Running) {
        tracing::info!(node = %node.id, address = %node.address, pid = node.pid, "a node has started");
        self.board.come(node);
    }
}

/// Asks a node to stop, by the end of its standard input, and waits for it.
async fn ended(mut child: Child, stdin: Option<ChildStdin>) -> End {
    drop(stdin);
    if let Err(error) = child.wait().await {
        return End::Failed(error.to_string());
    }
    End::Stopped
}

/// The pause before a node is started again that ran for so long, after the pause before.
pub(crate) fn next_pause(before: Duration, ran: Duration) -> Duration {
    if ran >= SOON { PAUSE.0 } else { before.saturating_mul(2).min(PAUSE.1) }
}

/// The address in a line that says where a process serves something.
fn address_in(line: &str, what: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("serving ")?.strip_suffix(what)?.trim_end();
    rest.split_once("://").map_or(rest, |(_, address)| address).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_while_a_node_ends_soon() {
        let short = Duration::from_secs(1);
        assert_eq!(next_pause(PAUSE.0, short), 2 * PAUSE.0);
        assert_eq!(next_pause(Duration::from_secs(9), short), PAUSE.1);
        assert_eq!(next_pause(Duration::MAX, short), PAUSE.1);
        assert_eq!(next_pause(PAUSE.1, SOON), PAUSE.0);
    }

    #[test]
    fn addresses_are_found_in_what_a_node_says() {
        let check = |line: &str, what: &str, wanted: Option<&str>| {
            assert_eq!(address_in(line, what), wanted.map(|text| text.parse().unwrap()), "{line}");
        };
        check("serving 127.0.0.1:5 (gateways)", "(gateways)", Some("127.0.0.1:5"));
        check("serving http://[::1]:5 (metrics and health)", "(metrics and health)", Some("[::1]:5"));
        check(
            "serving https://127.0.0.1:5 (metrics and health)",
            "(metrics and health)",
            Some("127.0.0.1:5"),
        );
        check("serving 127.0.0.1:5 (gateways)", "(metrics and health)", None);
        check("model   a:1", "(gateways)", None);
    }

    fn says(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    async fn until(nodes: &mut watch::Receiver<Nodes>, is_so: impl FnMut(&Nodes) -> bool) -> Nodes {
        timeout(Duration::from_secs(60), nodes.wait_for(is_so)).await.unwrap().unwrap().clone()
    }

    #[tokio::test]
    async fn a_process_that_ends_is_started_again_and_one_that_is_to_stop_sees_the_end_of_its_input() {
        let ready = "echo 'serving 127.0.0.1:5 (gateways)'; echo 'serving http://127.0.0.1:6 (metrics and health)'; echo ready";
        let script = format!("{ready}; cat");
        let ids = ["a", "b"].map(|id| NodeId(id.into())).to_vec();
        let supervisor = Supervisor::start(ids, move |_| says(&script));
        let mut nodes = supervisor.nodes();
        let both = until(&mut nodes, |nodes| nodes.len() == 2).await;
        assert_eq!(both[0].address, "127.0.0.1:5".parse().unwrap());
        let pid = both[0].pid;
        assert!(Command::new("kill").arg(pid.to_string()).status().await.unwrap().success());
        until(&mut nodes, |nodes| nodes.len() == 2 && nodes.iter().all(|node| node.pid != pid)).await;
        timeout(Duration::from_secs(60), supervisor.stop()).await.unwrap();
        assert!(nodes.borrow().is_empty());
    }

    #[tokio::test]
    async fn what_does_not_start_is_tried_again_until_it_is_given_up() {
        let supervisor = Supervisor::start(vec![NodeId("a".into())], |_| says("exit 3"));
        tokio::task::yield_now().await;
        timeout(Duration::from_secs(60), supervisor.stop()).await.unwrap();
    }
}
