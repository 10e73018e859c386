//! `spinwell cluster`: the nodes of a region, through one of its gateways, or through control.

use crate::client::{Client, Node, Plan, PlannedNode, ProcessingCluster, Region};
use crate::connection::Connection;
use crate::output::{self, remark, say};
use crate::progress::wait_for;
use clap::Subcommand;
use serde_json::json;
use spinwell_core::{Code, Fault, Millis, NodeId};
use spinwell_policy::rolling::{Next, Rolling, Seen, Step, Then};
use spinwell_runtime::clock;
use std::time::Duration;

/// How long another control may take to go on with what one has begun.
const CONTROL_CHANGES: Duration = Duration::from_secs(10);

/// Options of `spinwell cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A gateway is asked on its operations plane (port 8002). A restart may be asked of control, too: it is then \
kept in the store, and goes on also where this command or that control ends.

Examples:
  spinwell cluster status
  spinwell cluster drain n1
  spinwell cluster restart --url http://127.0.0.1:8002
  spinwell cluster restart --url http://127.0.0.1:8012    (a control)
  spinwell cluster scale 5 --url http://127.0.0.1:8012    (a control)")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the nodes: whether they get requests, where they are, how busy they are; and what the processing clusters can carry.
    Status(Asked),
    /// Have a node stop in good order: it answers what it has and ends; no request fails, and the last node that serves is refused.
    /// Whoever looks after it may start it again.
    #[command(after_help = "Example:\n  spinwell cluster drain n1")]
    Drain {
        /// The node's name.
        node: String,
        /// Also where it is the last one that serves: requests are refused then.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Have all nodes start anew, one after the other, each when the one before is back; no request fails.
    #[command(after_help = "\
Nodes must be looked after by something that starts them again when they end: `serve --nodes` and \
`control --nodes` do, systemd or Kubernetes do. A control that is asked does it all by itself, and this command shows \
how far it is.

Example:
  spinwell cluster restart --timeout 60")]
    Restart {
        #[command(flatten)]
        asked: Asked,
        /// How long each node may take to be back, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout: u64,
    },
    /// Have a control look after another number of nodes: those that are missing are started, those that are too many stop in good order, one
    /// after the other, once the others serve; no request fails.
    #[command(after_help = "\
Only a control is asked (port 8002 of `spinwell control`). The number outlives it: the next control with the same data \
folder and the same control.nodes goes on with it. Where a node does not come or go in its time, control says so \
(NodeAdditionFailed, NodeRemovalFailed) and tries on; what is wanted stays.

Examples:
  spinwell cluster scale 5 --url http://127.0.0.1:8012
  spinwell cluster scale 2 --url http://127.0.0.1:8012 --no-wait --json")]
    Scale {
        /// How many nodes.
        #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
        nodes: u16,
        #[command(flatten)]
        asked: Asked,
        /// How long each node may take to come or to go, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout: u64,
        /// Do not wait until they are there.
        #[arg(long)]
        no_wait: bool,
    },
}

/// Who is asked, and how the answer is printed.
#[derive(Debug, clap::Args)]
struct Asked {
    /// The operations plane of a gateway, or of `serve --nodes`; for a restart also of control.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8002")]
    url: String,
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Asked {
    fn client(&self) -> Result<Client, Fault> {
        Client::new(&self.url, &self.connection)
    }
}

/// Runs the command that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Status(asked) => status(asked),
        Command::Drain { node, force, asked } => drain(node, *force, asked),
        Command::Restart { asked, timeout } => restart(asked, Duration::from_secs(*timeout)),
        Command::Scale { nodes, asked, timeout, no_wait } => {
            scale((*nodes).into(), asked, Duration::from_secs(*timeout), !no_wait)
        }
    }
}

fn status(asked: &Asked) -> anyhow::Result<()> {
    let region = asked.client()?.region()?;
    if asked.json {
        output::document(&region.document);
        return Ok(());
    }
    let heads = ["node", "state", "address", "cluster", "weight", "waiting", "cpu free", "states held"];
    let share = |share: Option<f64>| share.map_or("-".to_owned(), output::percent);
    let row = |node: &Node| {
        let whole = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        vec![
            node.id.clone(),
            node.state.clone(),
            node.address.clone(),
            node.cluster.clone(),
            output::without_zeros(node.weight),
            whole(node.queue_len),
            share(node.cpu_free),
            whole(node.sequences),
        ]
    };
    if region.nodes.is_empty() {
        say(
            "this gateway knows no nodes: name them (registry.nodes, --node), or see to it that they register",
        );
        return Ok(());
    }
    let rows: Vec<_> =
        std::iter::once(heads.map(str::to_owned).to_vec()).chain(region.nodes.iter().map(row)).collect();
    say(&output::aligned(&rows));
    for node in &region.nodes {
        if let Some(why) = &node.unreachable {
            say(&format!("{} cannot be reached: {why}", node.id));
        }
    }
    if !region.clusters.is_empty() {
        say(&format!("\n{}\n", capacity_table(&region)));
    }
    let serving = region.nodes.iter().filter(|node| node.is_serving()).count();
    say(&format!("{serving} of {} nodes serve, chosen by {}", region.nodes.len(), region.strategy));
    for (model, strategy) in &region.routes {
        say(&format!("for {model}: by {strategy}"));
    }
    if region.nodes.len() > 1 && region.nodes.iter().any(|node| node.is_serving() && !node.shares_sequences) {
        remark("sequences do not survive their node: set store.url on every node, see docs/cluster.md");
    }
    Ok(())
}

/// What each processing cluster and all of them together can carry.
fn capacity_table(region: &Region) -> String {
    let heads =
        ["processing cluster", "serving", "nodes", "predictions/s", "at target/s", "without largest/s"];
    let figure = |per_second: f64| output::without_zeros((per_second * 10.0).round() / 10.0);
    let row = |cluster: &ProcessingCluster| {
        let (serving, all) = cluster.nodes;
        vec![
            cluster.name.clone(),
            serving.to_string(),
            all.to_string(),
            figure(cluster.total_per_second),
            figure(cluster.effective_per_second),
            String::new(),
        ]
    };
    let count = |of: fn(&ProcessingCluster) -> u64| region.clusters.iter().map(of).sum::<u64>().to_string();
    let all = vec![
        "region".to_owned(),
        count(|cluster| cluster.nodes.0),
        count(|cluster| cluster.nodes.1),
        figure(region.capacity.total),
        figure(region.capacity.effective),
        figure(region.capacity.without_largest),
    ];
    let rows = std::iter::once(heads.map(str::to_owned).to_vec());
    let rows: Vec<_> = rows.chain(region.clusters.iter().map(row)).chain([all]).collect();
    output::aligned(&rows)
}

fn drain(node: &str, is_forced: bool, asked: &Asked) -> anyhow::Result<()> {
    let client = asked.client()?;
    if is_forced {
        client.drain_anyway(node)?;
    } else {
        client.drain(node)?;
    }
    if asked.json {
        output::document(&json!({"draining": node}));
        return Ok(());
    }
    say(&format!("{node} stops when it has answered what it has; `spinwell cluster status` shows it"));
    Ok(())
}

fn restart(asked: &Asked, timeout: Duration) -> anyhow::Result<()> {
    let client = asked.client()?;
    let restarted = match client.is_control()? {
        true => by_control(&client, asked, timeout)?,
        false => by_gateway(&client, asked, timeout)?,
    };
    if asked.json {
        let restarted: Vec<_> = restarted
            .iter()
            .map(|(node, took)| json!({"node": node, "seconds": took.as_secs_f64()}))
            .collect();
        output::document(&json!({"restarted": restarted}));
    }
    Ok(())
}

/// Has a control look after so many nodes, and waits until that is so.
fn scale(nodes: usize, asked: &Asked, timeout: Duration, waits: bool) -> anyhow::Result<()> {
    let client = asked.client()?;
    if !client.is_control()? {
        let message =
            "a gateway starts no nodes; ask a control (--url with the address of `spinwell control`)";
        return Err(Fault::new(Code::OptionInvalid, message).into());
    }
    let since = clock::now();
    let mut size = client.begin_size(nodes, timeout)?;
    let id = size.id;
    if waits {
        // Control gives up before this does: it looks at each node that comes or goes.
        let limit = timeout.saturating_mul(1_000);
        wait_for(&format!("until {nodes} nodes serve, and no others"), limit, || {
            size = match client.size() {
                // It goes on as soon as the store does.
                Err(fault) if fault.code() == Code::DatabaseFailed => return Ok(false),
                size => size?,
            };
            Ok(size.is_over || size.id != id)
        })?;
    }
    if size.id != id {
        let message = "another number of nodes was asked for since; ask for it";
        return Err(Fault::new(Code::NodeUnreachable, message).into());
    }
    if asked.json {
        output::document(&size.document);
    }
    if !size.failed.is_empty() {
        let message = format!(
            "{}; control tries on, and its log and those of its nodes say why",
            size.failed.join(", ")
        );
        return Err(Fault::new(Code::NodeUnreachable, message).into());
    }
    if !asked.json {
        let (names, all) = (
            size.wanted.join(", "),
            if nodes == 1 { "1 node serves".to_owned() } else { format!("{nodes} nodes serve") },
        );
        say(&match waits {
            true => format!("{all} after {:.1} s: {names}", since.elapsed().as_secs_f64()),
            false => format!("control is to look after {names}"),
        });
    }
    Ok(())
}

/// The nodes that have started anew, and how long each took.
type Restarted = Vec<(String, Duration)>;

/// Has control do it, and shows how far it is.
fn by_control(client: &Client, asked: &Asked, timeout: Duration) -> anyhow::Result<Restarted> {
    let begun = client.begin_restart(timeout)?;
    // Each node is waited for twice: until all others serve, and until it is back.
    let limit = 2 * timeout + CONTROL_CHANGES;
    let mut restarted = Vec::new();
    for (number, PlannedNode { id, .. }) in begun.nodes.iter().enumerate() {
        let plan = until_over(client, &begun, number, limit)?;
        match (plan.nodes.get(number).and_then(|node| node.took), plan.stuck) {
            (Some(took), _) => {
                told(asked, id, took);
                restarted.push((id.clone(), took));
            }
            (None, Some(why)) => {
                let message = format!("{why}; control stops no more nodes for this restart");
                return Err(Fault::new(Code::NodeUnreachable, message).into());
            }
            (None, None) => remark(&format!("{id} has left the region")),
        }
    }
    Ok(restarted)
}

/// The plan, once the turn of a node in it is over.
fn until_over(client: &Client, begun: &Plan, number: usize, limit: Duration) -> Result<Plan, Fault> {
    let (what, mut last) = (format!("{}: until it has started anew", begun.nodes[number].id), None);
    let waited = wait_for(&what, limit, || {
        let plan = match client.plan() {
            // It goes on as soon as the store does.
            Err(fault) if fault.code() == Code::DatabaseFailed => return Ok(false),
            plan => plan?,
        };
        let is_over = plan.is_over || plan.nodes.get(number).is_some_and(|node| node.is_over);
        let is_another = plan.id != begun.id;
        last = Some(plan);
        Ok(is_over || is_another)
    });
    match (waited, last) {
        (Ok(_), Some(plan)) if plan.id == begun.id => Ok(plan),
        (Err(fault), Some(plan)) => match plan.waits_for {
            Some(what) => Err(Fault::new(fault.code(), format!("{}: {what}", fault.message()))),
            None => Err(fault),
        },
        (Err(fault), None) => Err(fault),
        (Ok(_), _) => Err(Fault::new(Code::NodeUnreachable, "another restart has begun since; ask for it")),
    }
}

fn told(asked: &Asked, node: &str, took: Duration) {
    if !asked.json {
        say(&format!("{node} is back after {:.1} s", took.as_secs_f64()));
    }
}

/// Does it from here as control would: by what a gateway sees, and by what the nodes tell it of the other gateways.
fn by_gateway(client: &Client, asked: &Asked, timeout: Duration) -> anyhow::Result<Restarted> {
    let nodes: Vec<_> = client.region()?.nodes.iter().map(id).collect();
    if nodes.len() < 2 {
        let message = "one node alone cannot be started anew without a gap; add another one first";
        return Err(Fault::new(Code::OptionInvalid, message).into());
    }
    let patience = Millis(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let plan = Rolling::new(Then::Anew, nodes.clone(), patience, clock::unix());
    let mut rolled = Rolled { client, plan, drained: None };
    let mut restarted = Vec::new();
    for (number, id) in nodes.iter().enumerate() {
        wait_for(&format!("{id}: until it has started anew"), 2 * timeout + CONTROL_CHANGES, || {
            rolled.go_on()?;
            Ok(rolled.plan.stuck.is_some() || rolled.plan.nodes[number].step.is_over())
        })?;
        match (&rolled.plan.stuck, rolled.plan.nodes[number].step) {
            (Some(why), _) => {
                let message = format!("{why}; no more nodes are stopped");
                return Err(Fault::new(Code::NodeUnreachable, message).into());
            }
            (None, Step::Back { took }) => {
                told(asked, &id.0, took.into());
                restarted.push((id.to_string(), took.into()));
            }
            (None, _) => remark(&format!("{id} has left the region")),
        }
    }
    Ok(restarted)
}

/// A plan that is carried out from here.
struct Rolled<'a> {
    client: &'a Client,
    plan: Rolling,
    /// The node that was told to stop last, and in which life of its process. It is told once: what a gateway sees of it may be older than
    /// what it does.
    drained: Option<(NodeId, u64)>,
}

impl Rolled<'_> {
    /// Looks at the region, and does what is to be done next.
    fn go_on(&mut self) -> Result<(), Fault> {
        let seen: Vec<Seen> = self.client.region()?.nodes.iter().map(seen).collect();
        loop {
            match self.plan.next(&seen, clock::unix()) {
                Next::Become(plan) => self.plan = plan,
                Next::Drain(id, life) if self.drained != Some((id.clone(), life)) => {
                    self.client.drain(&id.0)?;
                    self.drained = Some((id, life));
                }
                Next::Drain(..) | Next::Wait => return Ok(()),
            }
        }
    }
}

fn id(node: &Node) -> NodeId {
    NodeId(node.id.as_str().into())
}

fn seen(node: &Node) -> Seen {
    Seen {
        id: id(node),
        is_serving: node.is_serving(),
        is_leaving: node.is_leaving(),
        life: node.life,
        gateways: node.gateways.clone(),
        // What counts only of nodes that go for good.
        away: Millis(0),
    }
}
