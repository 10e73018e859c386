//! The same promises of both databases.

use super::*;
use crate::testing::Server;
use std::path::Path;

const KIND: &str = "restart";
const LEASE: &str = "leader";

async fn alone(folder: &Path) -> ControlStore {
    ControlStore::alone(&folder.join("spinwell.db")).await.unwrap()
}

async fn shared() -> ControlStore {
    ControlStore::Shared(Postgres::open(&Server::shared().database().await).await.unwrap())
}

/// Holds both databases to what a test says.
async fn both(check: impl AsyncFn(ControlStore)) {
    let folder = tempfile::tempdir().unwrap();
    check(alone(folder.path()).await).await;
    check(shared().await).await;
}

#[tokio::test]
async fn a_lease_has_one_holder_and_each_change_another_generation() {
    both(async |store| {
        let take = async |holder, length| store.take_lease(LEASE, holder, Millis(length)).await.unwrap();
        assert_eq!(store.lease(LEASE).await.unwrap(), None);
        assert_eq!(take("a", 60_000).await, Some(1));
        assert_eq!(take("b", 60_000).await, None);
        assert_eq!(take("a", 60_000).await, Some(1));
        store.release_lease(LEASE, "b").await.unwrap();
        assert_eq!(take("b", 60_000).await, None);
        store.release_lease(LEASE, "a").await.unwrap();
        assert_eq!(take("b", 0).await, Some(2));
        let lease = Lease { holder: "b".to_owned(), generation: 2, is_valid: false };
        assert_eq!(store.lease(LEASE).await.unwrap(), Some(lease));
        // Who let it run out holds another one.
        assert_eq!(take("b", 60_000).await, Some(3));
        assert_eq!(store.take_lease("other", "a", Millis(60_000)).await.unwrap(), Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_control_alone_waits_for_no_life_before_it_and_has_another_generation() {
    let folder = tempfile::tempdir().unwrap();
    for generation in 1..4 {
        let store = alone(folder.path()).await;
        let taken = store.take_lease(LEASE, &format!("life {generation}"), Millis(86_400_000)).await.unwrap();
        assert_eq!(taken, Some(generation));
    }
}

/// A generation that nodes know by now must not be given to another leader after a power cut.
#[tokio::test]
async fn what_a_control_alone_writes_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let ControlStore::Alone(database) = alone(folder.path()).await else { panic!("it is alone") };
    // By whichever connection it is written.
    let mut connections = Vec::new();
    for _ in 0..database.pool.options().get_max_connections() {
        let mut connection = database.pool.acquire().await.unwrap();
        let pragma = sqlx::query_as("PRAGMA synchronous").fetch_one(&mut *connection).await.unwrap();
        let (synchronous,): (i64,) = pragma;
        assert_eq!(synchronous, 2, "FULL");
        connections.push(connection);
    }
}

fn change(plan: &StoredPlan, generation: u64, is_over: bool) -> PlanChange<'_> {
    let (id, revision) = (plan.id, plan.revision);
    PlanChange { lease: LEASE, generation, id, revision, is_over, document: "changed" }
}

#[tokio::test]
async fn one_plan_of_a_kind_is_under_way_and_what_ended_is_kept() {
    both(async |store| {
        let newest = async || store.plan(KIND).await.unwrap().unwrap();
        assert_eq!(store.plan(KIND).await.unwrap(), None);
        assert!(store.begin_plan(KIND, "first").await.unwrap());
        assert!(!store.begin_plan(KIND, "second").await.unwrap());
        assert!(store.begin_plan("other", "of another kind").await.unwrap());
        let first = newest().await;
        assert_eq!(
            (first.document.as_str(), first.generation, first.revision, first.is_over),
            ("first", 0, 0, false)
        );
        assert!(store.change_plan(change(&first, 1, true)).await.unwrap());
        let over = newest().await;
        assert_eq!(
            (over.document.as_str(), over.generation, over.revision, over.is_over),
            ("changed", 1, 1, true)
        );
        assert!(!store.change_plan(change(&over, 1, false)).await.unwrap(), "what is over stays so");
        assert!(store.begin_plan(KIND, "third").await.unwrap());
        assert!(newest().await.id > first.id);
    })
    .await;
}

#[tokio::test]
async fn of_two_that_believe_to_lead_one_changes_a_plan() {
    both(async |store| {
        assert!(store.begin_plan(KIND, "begun").await.unwrap());
        let newest = async || store.plan(KIND).await.unwrap().unwrap();
        let seen = newest().await;
        assert!(store.change_plan(change(&seen, 2, false)).await.unwrap());
        assert!(!store.change_plan(change(&seen, 2, false)).await.unwrap(), "made of an older revision");
        let seen = newest().await;
        assert!(!store.change_plan(change(&seen, 1, false)).await.unwrap(), "a later leader has written");
        // A later leader counts from when it holds the lease, and not only from its first change.
        for holder in ["a", "b", "c"] {
            assert!(store.take_lease(LEASE, holder, Millis(0)).await.unwrap().is_some());
        }
        assert!(!store.change_plan(change(&seen, 2, false)).await.unwrap());
        assert!(store.change_plan(change(&seen, 3, true)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn plans_that_are_over_are_kept_up_to_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = alone(folder.path()).await;
    for _ in 0..crate::plans::KEPT + 5 {
        assert!(store.begin_plan(KIND, "").await.unwrap());
        let plan = store.plan(KIND).await.unwrap().unwrap();
        assert!(store.change_plan(change(&plan, 1, true)).await.unwrap());
    }
    let ControlStore::Alone(database) = &store else { panic!("it is alone") };
    let (count,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM plans").fetch_one(&database.pool).await.unwrap();
    assert!((crate::plans::KEPT..=crate::plans::KEPT + 1).contains(&count), "{count}");
}
