//! Nodes that an earlier control has started on this machine and that this one does not look after: their number was lowered, or control
//! has another name.
//!
//! They are found by what they have left in their folders, and sent away: by a plan, so that they stop one after the other, never while
//! others start anew, and only while the rest of the region serves. One that the region does not know gets a signal instead: no plan could
//! reach it, and who still sends it requests hears from it that it leaves. Nobody is sent away before all that are looked after serve, or by a
//! control that looks after none.

use crate::control::Inner;
use crate::plans::{RETIREMENT, plan_of};
use crate::{Home, Record};
use spinwell_core::{Fault, Millis, NodeId};
use spinwell_policy::rolling::{Rolling, Seen, Then, others};
use spinwell_runtime::clock;
use spinwell_runtime::process::Process;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often to look for them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long each may take to stop, and what stands in its way to go.
const PATIENCE: Millis = Millis(120_000);
/// How long to wait behind a plan that did not come to its end. Other plans have their turn meanwhile.
const PAUSE: Millis = Millis(60_000);

/// Where nodes may run that are not looked after.
#[derive(Debug, Clone, Default)]
pub struct LeftOver {
    /// The folder with the homes of all nodes that a control of this data folder has ever started.
    homes: PathBuf,
}

impl LeftOver {
    /// Those that run in a folder of homes.
    #[must_use]
    pub fn in_folder(homes: PathBuf) -> Self {
        Self { homes }
    }

    /// Those that run just now and are none of these, which are looked after.
    pub(crate) fn find(&self, wanted: &[NodeId]) -> Vec<(NodeId, Record)> {
        let folders = std::fs::read_dir(&self.homes).into_iter().flatten().flatten();
        let one = |folder: std::fs::DirEntry| {
            let id = NodeId(folder.file_name().to_str()?.into());
            let is_wanted = wanted.contains(&id);
            let record = (!is_wanted).then(|| Record::of_living(&Home { data: folder.path() }.process()));
            Some((id, record??))
        };
        let mut found: Vec<_> = folders.filter_map(one).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }
}

/// Whether all that are looked after serve. Nobody replaces others where none is: who forgets to say how many nodes there are to be
/// does not want the region gone.
fn serve(wanted: &[NodeId], seen: &[Seen]) -> bool {
    let serves = |id: &NodeId| seen.iter().any(|node| node.id == *id && node.is_serving);
    !wanted.is_empty() && wanted.iter().all(serves)
}

impl Inner {
    /// Sees to it that nodes which are not looked after go.
    pub(crate) async fn send_left_over_away(&self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut told) = (None, None);
        loop {
            looks.tick().await;
            let failed = self.send_away(&mut told).await.err();
            if let Some(fault) = failed.as_ref().filter(|fault| said.as_ref() != Some(*fault)) {
                tracing::warn!(
                    code = fault.code().as_str(),
                    "nodes that are not looked after stay: {}",
                    fault.message()
                );
            }
            said = failed;
        }
    }

    /// Does the one next thing. `told` is the process that was signalled last.
    pub(crate) async fn send_away(&self, told: &mut Option<Process>) -> Result<(), Fault> {
        let (left_over, seen) = (self.left_over(), self.look());
        if left_over.is_empty() || !serve(&self.wanted(), &seen) {
            return Ok(());
        }
        if !self.under_way().await?.is_empty() {
            return Ok(());
        }
        let is_known = |(id, record): &(NodeId, Record)| {
            seen.iter().any(|node| node.id == *id && node.life == Some(record.life))
        };
        let (known, unknown): (Vec<_>, Vec<_>) = left_over.into_iter().partition(is_known);
        let free = unknown.into_iter().find(|(id, _)| others(id, &seen).is_none());
        if let Some((id, Record { process, .. })) = free {
            signal(&id, process, told);
            return Ok(());
        }
        if known.is_empty() || self.has_failed_just_now().await? {
            return Ok(());
        }
        let ids: Vec<NodeId> = known.into_iter().map(|(id, _)| id).collect();
        let names = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if self.begin(&Rolling::new(Then::Gone, ids, PATIENCE, clock::unix())).await? {
            tracing::info!(nodes = names, "nodes that are not looked after are to stop, one after the other");
        }
        Ok(())
    }

    /// Whether the last plan of the kind has ended a moment ago before all were gone.
    async fn has_failed_just_now(&self) -> Result<bool, Fault> {
        let last = self.newest(RETIREMENT).await?.and_then(|stored| plan_of(&stored).ok());
        let stuck = last.filter(|plan| plan.stuck.is_some());
        Ok(stuck.is_some_and(|plan| clock::unix().0.saturating_sub(plan.since.0) < PAUSE.0))
    }
}

/// Asks a node to stop, and says so once.
fn signal(id: &NodeId, process: Process, told: &mut Option<Process>) {
    if told.as_ref() == Some(&process) {
        return;
    }
    match process.terminate() {
        Ok(()) => tracing::info!(
            node = %id,
            pid = process.pid,
            "a node that is not looked after, and that the region does not know, is told to stop"
        ),
        Err(error) => tracing::warn!(node = %id, ?error, "a node cannot be asked to stop"),
    }
    *told = Some(process);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn who_runs_and_is_not_wanted_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let (address, ops) = ("127.0.0.1:5".parse().unwrap(), "127.0.0.1:6".parse().unwrap());
        let homes = ["c-1", "c-2", "d-1"].map(|name| Home { data: folder.path().join(name) });
        // All of them are this process; d-1 has ended.
        let claims =
            homes.each_ref().map(|home| crate::Claim::take(&home.process(), address, ops, 7).unwrap());
        let gone =
            Record { process: Process { pid: u32::MAX, ..Process::own().unwrap() }, address, ops, life: 7 };
        gone.write(&homes[2].process()).unwrap();
        let left_over = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|name| NodeId((*name).into())).collect();
            let found = LeftOver::in_folder(folder.path().to_owned()).find(&wanted);
            found.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left_over(&[]), ["c-1", "c-2"]);
        assert_eq!(left_over(&["c-1", "c-3"]), ["c-2"]);
        drop(claims);
        assert!(LeftOver::default().find(&[]).is_empty());
        assert!(!serve(&[], &[]), "who looks after none sends none away");
    }
}
