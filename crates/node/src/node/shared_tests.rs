//! Two nodes on one log, in a real PostgreSQL.

use super::sequence_tests::{Bench, bench_with, code};
use super::tests::options;
use super::*;
use crate::sequences::{Entering, WAITING_MAX};
use futures::FutureExt;
use spinwell_core::{SequenceId, StateSource, TenantId, UnixMillis};
use spinwell_policy::shards;
use spinwell_protocol::StateRequest;
use spinwell_store::testing::{Server, Way};
use std::time::Duration;

/// A node of that name on that database, with a folder of its own.
async fn node(id: &str, url: &str, folder: &Path) -> Bench {
    let store = Some(StoreUrl::of(url).unwrap());
    let data = Some(folder.join(id));
    bench_with(Options { store, data, id: NodeId(id.into()), ..options(1, 100) }).await
}

struct Pair {
    one: Bench,
    two: Bench,
    url: String,
    folder: tempfile::TempDir,
}

async fn pair() -> Pair {
    let url = Server::shared().database().await;
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (node("n1", &url, folder.path()).await, node("n2", &url, folder.path()).await);
    Pair { one, two, url, folder }
}

impl Pair {
    async fn stop(self) {
        self.one.stop().await;
        self.two.stop().await;
    }
}

fn taken(answer: Result<InferReply, Fault>) -> (u64, StateSource) {
    let sequence = answer.unwrap().sequence.unwrap();
    (sequence.step, sequence.source)
}

/// Waits for a count that only rises.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = clock::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_goes_on_at_whichever_node_takes_the_step() {
    let pair = pair().await;
    let alone = bench_with(options(1, 100)).await;
    // They take turns, though neither is told of the other, and the bits are those of one node.
    for step in 1..=9u64 {
        let own = if step % 3 == 0 { &pair.two } else { &pair.one };
        let rows = [step as f32, 0.5, -1.0];
        let (got, wanted) = (own.step(&rows, step).await.unwrap(), alone.step(&rows, step).await.unwrap());
        assert_eq!(got.predictions, wanted.predictions, "step {step}");
        assert_eq!(got.sequence.unwrap().step, step);
    }
    assert_eq!(pair.one.state().await.unwrap(), pair.two.state().await.unwrap());
    let repeated = pair.one.step(&[9.0, 0.5, -1.0], 9).await;
    assert_eq!(taken(repeated).0, 9, "which the other one took");
    assert_eq!(code(pair.two.step(&[1.0], 12).await), Code::SequenceStep);
    assert_eq!(code(pair.one.step(&[1.0], 8).await), Code::SequenceStep);
    alone.stop().await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_what_the_log_says_and_not_what_a_node_remembers() {
    let pair = pair().await;
    pair.one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    assert_eq!(taken(pair.two.step(&[2.0], 2).await).0, 2);
    // The first node knows of one step and is asked for the third.
    assert_eq!(taken(pair.one.step(&[3.0], 3).await).0, 3);
    // The second one ends it, and the first has to know.
    pair.two.last_step(&[4.0], 4).await.unwrap();
    assert_eq!(code(pair.one.step(&[5.0], 5).await), Code::SequenceUnknown);
    assert_eq!(pair.one.state().await, Err(Code::SequenceUnknown));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_two_nodes_take_at_the_same_time_are_taken_once_each_and_in_order() {
    let pair = pair().await;
    pair.one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    // Both are sent every step, as by two gateways that disagree.
    for step in 2..=40u64 {
        let rows = [step as f32 + 0.5];
        let (one, two) = tokio::join!(pair.one.step(&rows, step), pair.two.step(&rows, step));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.predictions, one.sequence.unwrap().step), (two.predictions, step));
    }
    let alone = bench_with(options(1, 100)).await;
    alone.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    for step in 2..=40u64 {
        alone.step(&[step as f32 + 0.5], step).await.unwrap();
    }
    let (one, wanted) = (pair.one.state().await.unwrap(), alone.state().await.unwrap());
    assert_eq!(one, wanted);
    let fenced = |bench: &Bench| bench.node.load().sequences.fenced;
    assert!(fenced(&pair.one) + fenced(&pair.two) > 0, "the log was the fence");
    alone.stop().await;
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_reads_along_and_takes_over_from_its_memory() {
    let pair = pair().await;
    let view = || Some(vec![(NodeId("n1".into()), 1.0), (NodeId("n2".into()), 1.0)]);
    pair.one.node.seen("g", view());
    pair.two.node.seen("g", view());
    let shard = shards::shard(["t", "m", "s"]);
    let members = ["n1", "n2"].map(|id| shards::Member { id, weight: 1.0 });
    let owner = shards::keepers(shard, &members).unwrap().owner;
    let (owner, standby) = if owner == "n1" { (&pair.one, &pair.two) } else { (&pair.two, &pair.one) };
    owner.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    owner.step(&[2.0], 2).await.unwrap();
    until("the standby reads along", || standby.node.load().sequences.in_memory == 1).await;
    owner.step(&[3.0], 3).await.unwrap();
    let before = standby.node.load().sequences.followed;
    owner.step(&[4.0], 4).await.unwrap();
    until("the standby folds along", || standby.node.load().sequences.followed > before).await;
    assert_eq!(taken(standby.step(&[5.0], 5).await), (5, StateSource::Standby));
    assert_eq!(taken(standby.step(&[6.0], 6).await), (6, StateSource::Live));
    assert_eq!(owner.state().await.unwrap(), standby.state().await.unwrap());
    // A node that is nothing to the shard any more lets go of it.
    let other = if owner.node.inner.id.0 == standby.node.inner.id.0 { unreachable!() } else { standby };
    let alone = Some(vec![(other.node.inner.id.clone(), 1.0)]);
    owner.node.seen("g", alone);
    until("it lets go", || owner.node.load().sequences.in_memory == 0).await;
    assert_eq!(taken(owner.step(&[7.0], 7).await), (7, StateSource::Snapshot));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_leaves_behind_another_one_finds() {
    let pair = pair().await;
    pair.one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    pair.one.step(&[2.0], 2).await.unwrap();
    let before = pair.one.state().await.unwrap();
    let Pair { one, two, url, folder } = pair;
    // It stops in good order: the copy holds all of it.
    one.stop().await;
    assert_eq!(two.state().await.unwrap(), before);
    two.step(&[3.0], 3).await.unwrap();
    let again = node("n1", &url, folder.path()).await;
    assert_eq!(taken(again.step(&[4.0], 4).await).0, 4);
    again.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_comes_late_undoes_nothing() {
    let pair = pair().await;
    let begin_with = |bench: &Bench, sent: UnixMillis, step: Option<u64>| {
        let mut request = bench.request("s", &[1.0, 2.0, 3.0], 1, false);
        let call = request.sequence.as_mut().unwrap();
        (call.sent, call.step) = (Some(sent), step);
        bench.node.infer(request)
    };
    let begin = |bench: &Bench, sent: UnixMillis| begin_with(bench, sent, Some(1));
    let sent = clock::unix();
    assert_eq!(taken(begin(&pair.two, sent).await).0, 1);
    // The same one, to the other node: it repeats the answer.
    assert_eq!(taken(begin(&pair.one, sent).await).0, 1);
    tokio::time::sleep(Duration::from_millis(3)).await;
    pair.two.step(&[2.0], 2).await.unwrap();
    assert_eq!(code(begin(&pair.one, sent).await), Code::SequenceStep, "it was taken");
    assert_eq!(code(begin_with(&pair.one, sent, None).await), Code::SequenceOvertaken);
    assert_eq!(taken(pair.one.step(&[3.0], 3).await).0, 3);
    // Whoever means it sends it now.
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert_eq!(taken(begin_with(&pair.one, clock::unix(), None).await).0, 1);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_step_of_a_former_life_is_not_taken_by_who_knows_the_new_one_from_its_copy() {
    let Pair { one, two, url, folder } = pair().await;
    one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    let sent = clock::unix();
    tokio::time::sleep(Duration::from_millis(3)).await;
    // Begun anew, with other rows, and copied whole as its node stops.
    let mut anew = one.request("s", &[7.0, 8.0, 9.0], 1, false);
    let call = anew.sequence.as_mut().unwrap();
    (call.sent, call.step) = (Some(clock::unix()), None);
    assert_eq!(taken(one.node.infer(anew).await).0, 1);
    one.stop().await;
    let again = node("n1", &url, folder.path()).await;
    for bench in [&two, &again] {
        let mut late = bench.request("s", &[2.0], 2, false);
        late.sequence.as_mut().unwrap().sent = Some(sent);
        assert_eq!(code(bench.node.infer(late).await), Code::SequenceOvertaken);
    }
    assert_eq!(taken(again.step(&[8.0], 2).await).0, 2);
    again.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_steps_wait_and_are_then_taken_once() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let url = server.database().await;
    let folder = tempfile::tempdir().unwrap();
    let own = node("n1", &url, folder.path()).await;
    own.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    server.kill();
    let mut waits = Box::pin(own.step(&[2.0], 2));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), &mut waits).await.is_err(),
        "nothing is promised"
    );
    let store_silent = || own.node.load().sequences.store_silent;
    let before = store_silent().expect("it says so");
    until("it says for how long", || store_silent() > Some(before)).await;
    let server = tokio::task::spawn_blocking(move || {
        server.begin();
        server
    });
    let _server = server.await.unwrap();
    assert_eq!(taken(waits.await).0, 2);
    assert_eq!(taken(own.step(&[3.0], 3).await).0, 3);
    until("it says that the store answers", || store_silent().is_none()).await;
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_put_or_removed_late_undoes_nothing() {
    let pair = pair().await;
    pair.one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    let (_, state) = pair.one.state().await.unwrap();
    let key = key(&pair.one, "s");
    let sent = clock::unix();
    let manage = |request: StateRequest, sent: UnixMillis| {
        let managed = pair.one.node.sequence_state(key.clone(), StateCall { request, sent: Some(sent) });
        async move { managed.await.map_err(|fault| fault.code()) }
    };
    tokio::time::sleep(Duration::from_millis(3)).await;
    // It lay in the first node, which stood still, while the other one went on.
    pair.two.step(&[2.0], 2).await.unwrap();
    assert_eq!(manage(StateRequest::Put(state.clone()), sent).await.unwrap_err(), Code::SequenceOvertaken);
    assert_eq!(manage(StateRequest::Delete, sent).await.unwrap_err(), Code::SequenceOvertaken);
    assert_eq!(taken(pair.two.step(&[3.0], 3).await).0, 3);
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert_eq!(manage(StateRequest::Put(state), clock::unix()).await.unwrap().step, 1);
    assert_eq!(taken(pair.two.step(&[2.0], 2).await).0, 2);
    tokio::time::sleep(Duration::from_millis(3)).await;
    manage(StateRequest::Delete, clock::unix()).await.unwrap();
    assert_eq!(code(pair.two.step(&[3.0], 3).await), Code::SequenceUnknown);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_managed_across_nodes() {
    let pair = pair().await;
    pair.one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    let (_, state) = pair.one.state().await.unwrap();
    pair.two.step(&[2.0], 2).await.unwrap();
    assert_eq!(pair.one.state().await.unwrap().0, 2);
    pair.one.put(state.clone()).await.unwrap();
    assert_eq!(pair.two.state().await.unwrap(), (1, state));
    let key = key(&pair.two, "s");
    let fork = StateRequest::Fork { to: SequenceId::of_text("fork").unwrap() };
    pair.two.node.sequence_state(key.clone(), fork.into()).await.unwrap();
    assert_eq!(taken(pair.one.step_of("fork", &[5.0], 2, false).await).0, 2);
    pair.two.node.sequence_state(key, StateRequest::Delete.into()).await.unwrap();
    assert_eq!(code(pair.one.step(&[5.0], 2).await), Code::SequenceUnknown);
    pair.stop().await;
}

fn key(bench: &Bench, id: &str) -> SequenceKey {
    let id = SequenceId::of_text(id).unwrap();
    SequenceKey { tenant: TenantId("t".into()), model: bench.model.name.clone(), id }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_in_vain_while_the_store_is_away_holds_up_nobody_for_long() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let url = server.database().await;
    let folder = tempfile::tempdir().unwrap();
    let own = node("n1", &url, folder.path()).await;
    own.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    let (_, state) = own.state().await.unwrap();
    server.kill();
    // More callers than may wait for a sequence ask for its state, and go.
    let asks = || own.node.sequence_state(key(&own, "s"), StateRequest::Get.into());
    for _ in 0..3 * WAITING_MAX {
        assert!(asks().now_or_never().is_none());
    }
    let table = &own.node.inner.sequences.table;
    until("they give up their places", || !matches!(table.enter(&key(&own, "s")), Entering::Full)).await;
    let waits = tokio::spawn(own.step(&[2.0], 2));
    // Each is told to read a sequence that is not here; those that have asked go, and their commands stay.
    let shared = own.node.inner.sequences.shared().unwrap();
    let ask = |number: usize| {
        let key = key(&own, &format!("other-{number}"));
        async move { shared.load(&key, false).await }.now_or_never()
    };
    let refused = (0..100_000).find_map(ask).expect("there is a bound").unwrap_err();
    assert_eq!((refused.code(), refused.code().retryable()), (Code::QueueFull, true));
    let server = tokio::task::spawn_blocking(move || {
        server.begin();
        server
    });
    let _server = server.await.unwrap();
    assert_eq!(taken(waits.await.unwrap()).0, 2, "its turn came");
    assert_ne!(own.state().await.unwrap().1, state);
    assert_eq!(taken(own.step_of("other-0", &[1.0, 2.0, 3.0], 1, false).await).0, 1);
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_put_to_its_end_whether_or_not_its_caller_stays() {
    let pair = pair().await;
    pair.one.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    let (_, state) = pair.one.state().await.unwrap();
    pair.one.step(&[2.0], 2).await.unwrap();
    // Whenever its caller leaves: either nothing has happened, or all of it, and the next one has his turn.
    for patience in 0..30u64 {
        let put = pair.one.node.sequence_state(key(&pair.one, "s"), StateRequest::Put(state.clone()).into());
        let _ = tokio::time::timeout(Duration::from_micros(100 * patience), put).await;
        let (step, found) = pair.two.state().await.unwrap();
        assert!(step == 2 || step == 1 && found == state, "{step}");
        assert!(pair.one.state().await.unwrap().0 <= 2);
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_alone_has_lost_the_store_says_so_and_undoes_nothing_when_it_is_back() {
    let url = Server::shared().database().await;
    let way = Way::to(&url);
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (node("n1", &url, folder.path()).await, node("n2", way.url(), folder.path()).await);
    two.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    way.cut();
    let waits = tokio::spawn(two.step(&[2.0], 2));
    let silent = |own: &Bench| own.node.load().sequences.store_silent;
    until("it says so", || silent(&two) > Some(Millis(1_000))).await;
    // What a gateway does then: the next step goes to the other one, with the one that was not answered before it.
    assert_eq!(taken(one.step(&[2.0], 2).await).0, 2);
    assert_eq!(taken(one.step(&[3.0], 3).await).0, 3);
    assert_eq!(silent(&one), None);
    way.mend();
    assert_eq!(code(waits.await.unwrap()), Code::SequenceStep, "it is older than the newest by now");
    until("it hears from the store again", || silent(&two).is_none()).await;
    assert_eq!(taken(two.step(&[4.0], 4).await).0, 4);
    one.stop().await;
    two.stop().await;
}
