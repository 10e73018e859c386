//! Steps that fail, with a model that does what a test tells it.

use super::tests::options;
use super::*;
use crate::repository::Repository;
use crate::sequences::record::{Change, Record, Rows, seal};
use crate::sequences::{Entering, State, Stateful};
use crate::{Predicted, Prediction, Predictor};
use spinwell_core::{
    ModelVersion, NumericProfile, Priority, Samples, SequenceId, Series, StateSource, TenantId, UnixMillis,
};
use spinwell_engine::{AnyModel, Model, Scratch, StateError, Window};
use spinwell_protocol::{ModelDescription, ModelFacts, Outputs, Packing, SequenceCall, StateRequest};
use std::time::Duration;

/// A model that panics on rows of 13, after it has taken them in.
struct Fragile(Arc<Model>);

impl Predictor for Fragile {
    fn predict(&self, windows: &[Window<'_>]) -> Predicted {
        self.0.predict(windows)
    }
}

impl Stateful for Fragile {
    fn fresh(&self) -> State {
        Stateful::fresh(&*self.0)
    }

    fn feed(&self, state: &mut State, rows: &Series, scratch: &mut Scratch) {
        self.0.feed(state, rows, scratch);
        assert!(rows.value(0, 0, 0) != 13.0, "thirteen");
    }

    fn answer(&self, state: &State, scratch: &mut Scratch) -> (Prediction, bool) {
        self.0.answer(state, scratch)
    }

    fn save(&self, state: &State) -> Vec<u8> {
        self.0.save(state)
    }

    fn restore(&self, bytes: &[u8]) -> Result<State, StateError> {
        self.0.restore(bytes)
    }

    fn profile(&self) -> NumericProfile {
        Stateful::profile(&*self.0)
    }
}

fn trained() -> Model {
    crate::example::trained("lags=2")
}

pub(super) struct Bench {
    pub(super) node: Arc<Node>,
    pub(super) model: Arc<ModelDescription>,
}

/// A node with such a model, and with a data folder where one is given.
async fn bench(data: Option<&Path>) -> Bench {
    bench_with(Options { data: data.map(Path::to_owned), ..options(1, 100) }).await
}

pub(super) async fn bench_with(options: Options) -> Bench {
    let started = tokio::task::spawn_blocking(move || {
        let home = Home::open(&options, &Handle::current()).unwrap();
        let queue = Arc::new(Queue::new(limits(&options)));
        let bounds = Bounds { windows_max: 8, rows_max: 100, rows_in_all_max: 800 };
        let kept = options.store.as_ref().and(options.data.as_ref()).map(|own| own.join("models"));
        let any = AnyModel::Forecaster(trained());
        if let Some(kept) = &kept {
            let (name, bytes) = ("m".parse().unwrap(), any.to_bytes());
            crate::kept::keep_file(kept, &any.hash(), ModelVersion(1), &name, &bytes).unwrap();
        }
        let terms = Terms { bounds, cards: Arc::default(), queue: queue.clone(), executors: 1, kept };
        let mut loaded = repository::place(any, 0, &"m".parse().unwrap(), ModelVersion(1), &terms);
        let fragile = Arc::new(Fragile(Arc::new(trained())));
        loaded.predictor = fragile.clone();
        loaded.stateful = Some(fragile);
        let model = loaded.description.clone();
        let repository = Repository { models: vec![Arc::new(loaded)], ..Repository::default() };
        let node = Node::with(Models::new(None, terms, repository), queue, home, &options).unwrap();
        let node = node.running(options.executors).unwrap();
        Bench { node: Arc::new(node), model }
    });
    started.await.unwrap()
}

impl Bench {
    pub(super) fn step(&self, rows: &[f32], step: u64) -> InferFuture {
        self.step_with(rows, step, false)
    }

    fn step_with(&self, rows: &[f32], step: u64, ends: bool) -> InferFuture {
        self.step_of("s", rows, step, ends)
    }

    pub(super) fn step_of(&self, sequence: &str, rows: &[f32], step: u64, ends: bool) -> InferFuture {
        self.node.infer(self.request(sequence, rows, step, ends))
    }

    /// Begins the sequence without a number.
    fn anew(&self, rows: &[f32]) -> InferFuture {
        let mut request = self.request("s", rows, 1, false);
        request.sequence.iter_mut().for_each(|call| call.step = None);
        self.node.infer(request)
    }

    pub(super) fn request(&self, sequence: &str, rows: &[f32], step: u64, ends: bool) -> InferRequest {
        let series = Series::new(1, rows.len(), 1, Samples::F32(rows.to_vec())).unwrap();
        let id = SequenceId::of_text(sequence).unwrap();
        InferRequest {
            model: self.model.clone(),
            series,
            outputs: Outputs::usual(&self.model, Packing::Json),
            deadline: clock::now() + Duration::from_secs(600),
            is_spare: false,
            priority: Priority::Normal,
            tenant: TenantId("t".into()),
            sequence: Some(SequenceCall {
                id,
                starts: step == 1,
                ends,
                step: Some(step),
                sent: None,
                names_version: false,
            }),
        }
    }

    /// The newest step once more or the next one, as the last.
    pub(super) fn last_step(&self, rows: &[f32], step: u64) -> InferFuture {
        self.step_with(rows, step, true)
    }

    pub(super) async fn put(&self, state: Vec<u8>) -> Result<(), Code> {
        let id = SequenceId::of_text("s").unwrap();
        let key = SequenceKey { tenant: TenantId("t".into()), model: self.model.name.clone(), id };
        let put = self.node.sequence_state(key, StateRequest::Put(state).into()).await;
        put.map(|_| ()).map_err(|fault| fault.code())
    }

    pub(super) async fn state(&self) -> Result<(u64, Vec<u8>), Code> {
        let id = SequenceId::of_text("s").unwrap();
        let key = SequenceKey { tenant: TenantId("t".into()), model: self.model.name.clone(), id };
        let answer =
            self.node.sequence_state(key, StateRequest::Get.into()).await.map_err(|fault| fault.code())?;
        Ok((answer.step, answer.state))
    }

    pub(super) async fn stop(self) {
        tokio::task::spawn_blocking(move || self.node.stop()).await.unwrap();
    }
}

pub(super) fn code<T>(result: Result<T, Fault>) -> Code {
    result.err().map(|fault| fault.code()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_leaves_the_sequence_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for data in [None, Some(folder.path())] {
        let bench = bench(data).await;
        assert_eq!(code(bench.step(&[13.0], 1).await), Code::Internal);
        assert_eq!(bench.state().await, Err(Code::SequenceUnknown), "it was not begun");
        bench.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
        let before = bench.state().await.unwrap();
        assert_eq!(code(bench.step(&[13.0], 2).await), Code::Internal);
        assert_eq!(bench.state().await.unwrap(), before);
        assert_eq!(bench.step(&[2.5], 2).await.unwrap().sequence.unwrap().step, 2);
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_the_log_does_not_take_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let bench = bench(Some(folder.path())).await;
    bench.step(&[1.0, 2.0], 1).await.unwrap();
    let before = bench.state().await.unwrap();
    match bench.node.inner.sequences.durable.as_ref().unwrap() {
        Durable::Local(local) => local.log.close(),
        Durable::Shared(_) => unreachable!("it has a folder"),
    }
    assert_eq!(code(bench.step(&[3.0], 2).await), Code::Stopping);
    assert_eq!(bench.state().await.unwrap(), before);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_one_sequence_are_taken_in_the_order_in_which_they_came() {
    let bench = bench(None).await;
    let answers: Vec<_> = (1..=50).map(|step| bench.step(&[step as f32 / 100.0], step)).collect();
    for (answer, step) in answers.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap().sequence.unwrap().step, step);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_takes_no_answer_keeps_nobody_from_a_turn() {
    let bench = bench(None).await;
    // Nobody polls the first two.
    let _unread = [bench.step(&[1.0], 1), bench.step(&[2.0], 2)];
    assert_eq!(bench.step(&[3.0], 3).await.unwrap().sequence.unwrap().step, 3);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_step_sent_again_as_the_last_ends_the_sequence() {
    let folder = tempfile::tempdir().unwrap();
    for data in [None, Some(folder.path())] {
        let own = bench(data).await;
        own.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
        let first = own.step(&[2.5], 2).await.unwrap();
        let again = own.last_step(&[2.5], 2).await.unwrap();
        assert_eq!(again.predictions, first.predictions);
        assert_eq!(code(own.step(&[3.0], 3).await), Code::SequenceUnknown);
        // Still answered for who repeats it, as any last step is.
        assert_eq!(own.last_step(&[2.5], 2).await.unwrap().sequence.unwrap().step, 2);
        own.stop().await;
    }
    let own = bench(Some(folder.path())).await;
    assert_eq!(own.state().await, Err(Code::SequenceUnknown), "it has ended in the log too");
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_step_that_comes_late_begins_nothing_anew_wherever_its_sequence_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let own = bench(Some(folder.path())).await;
    for (step, rows) in (1..).zip([[1.0], [2.0], [3.0]]) {
        own.step(&rows, step).await.unwrap();
    }
    let late = own.step(&[1.0], 1).await.unwrap_err();
    assert_eq!((late.code(), late.expected_step_hint()), (Code::SequenceStep, Some(4)));
    assert!(late.message().contains("send sequence_start without sequence_step"), "{late}");
    let state = own.state().await.unwrap();
    // What the log says of it, folded anew.
    let key = SequenceKey {
        tenant: TenantId("t".into()),
        model: own.model.name.clone(),
        id: SequenceId::of_text("s").unwrap(),
    };
    let Entering::Now(mut turn) = own.node.inner.sequences.table.enter(&key) else { panic!("nobody has it") };
    let _ = turn.take();
    drop(turn);
    assert_eq!(code(own.step(&[1.0], 1).await), Code::SequenceStep);
    own.stop().await;
    // Copied by now, and read from the database.
    let own = bench(Some(folder.path())).await;
    assert_eq!(code(own.step(&[1.0], 1).await), Code::SequenceStep);
    assert_eq!(own.state().await.unwrap(), state);
    assert_eq!(own.step(&[4.0], 4).await.unwrap().sequence.unwrap().step, 4);
    assert_eq!(own.anew(&[1.0]).await.unwrap().sequence.unwrap().step, 1);
    assert_eq!(own.step(&[1.0], 1).await.unwrap().sequence.unwrap().step, 1, "it is the newest");
    own.step(&[2.0], 2).await.unwrap();
    own.last_step(&[3.0], 3).await.unwrap();
    assert_eq!(own.step(&[1.0], 1).await.unwrap().sequence.unwrap().step, 1, "it had ended");
    // Of a state that was put, nobody knows.
    own.step(&[2.0], 2).await.unwrap();
    own.put(own.state().await.unwrap().1).await.unwrap();
    assert_eq!(own.step(&[1.0], 1).await.unwrap().sequence.unwrap().step, 1);
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_names_another_version_than_its_sequence_has_is_refused() {
    let own = bench(None).await;
    own.step(&[1.0], 1).await.unwrap();
    let other = ModelFacts { version: ModelVersion(2), ..ModelFacts::clone(&own.model) };
    let other = Arc::new(ModelDescription::new(other));
    let ask = |model: &Arc<ModelDescription>, step, names_version| {
        let mut request = own.request("s", &[1.0], step, false);
        request.model = model.clone();
        request.sequence.iter_mut().for_each(|call| {
            (call.starts, call.names_version) = (false, names_version);
        });
        own.node.infer(request)
    };
    // The next one, and the newest again.
    for step in [2, 1] {
        let refused = ask(&other, step, true).await.unwrap_err();
        assert_eq!(refused.code(), Code::SequenceModel);
        let said = refused.message();
        assert!(said.contains("begun with version 1 ") && said.contains("names version 2;"), "{said}");
    }
    assert_eq!(ask(&other, 2, false).await.unwrap().model.version, ModelVersion(1), "what is served by now");
    assert_eq!(ask(&own.model, 3, true).await.unwrap().sequence.unwrap().step, 3);
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_a_forecast_is_refused_when_it_is_put() {
    let own = bench(None).await;
    own.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    let (_, state) = own.state().await.unwrap();
    let (mut refused, mut taken) = (0, 0);
    // Behind them is their checksum, which a forger can make too.
    let contents = &state[..state.len() - 8];
    assert_eq!(seal(contents.to_vec()), state);
    for at in contents.len() / 3..contents.len() - 8 {
        let mut forged = contents.to_vec();
        forged[at..at + 4].copy_from_slice(&f32::MAX.to_le_bytes());
        forged[at + 4..at + 8].copy_from_slice(&f32::MIN.to_le_bytes());
        match own.put(seal(forged)).await {
            Ok(()) => {
                taken += 1;
                let (_, state) = own.state().await.unwrap();
                assert!(own.put(state).await.is_ok(), "what was taken may come back, {at}");
            }
            Err(code) => {
                assert_eq!(code, Code::RequestInvalid);
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && taken > 0, "{refused} refused, {taken} taken");
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_beyond_the_memory_leave_it_and_others_wait_for_that() {
    let folder = tempfile::tempdir().unwrap();
    let own = options(1, 100);
    let sequences = SequenceOptions { memory_bytes: 64 << 10, ..own.sequences };
    let own = bench_with(Options { data: Some(folder.path().to_owned()), sequences, ..own }).await;
    // Takes a step as soon as there is room, and says how often there was none.
    let step = async |number: usize| {
        let rows = [1.0, 2.0, number as f32 / 300.0];
        let mut refused = 0;
        loop {
            match own.step_of(&number.to_string(), &rows, 1, false).await {
                Ok(reply) => return (reply, refused),
                Err(fault) => assert_eq!(fault.code(), Code::QueueFull),
            }
            refused += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let all = async {
        let (mut begun, mut most, mut refused) = (Vec::new(), 0, 0);
        for number in 0..300 {
            let (reply, times) = step(number).await;
            begun.push(reply);
            refused += times;
            most = most.max(own.node.load().sequences.in_memory);
        }
        assert!(refused > 0 && most < 150, "{refused} refused, {most} in memory at once");
        let mut from_disk = 0;
        for (number, begun) in begun.iter().enumerate() {
            let (again, _) = step(number).await;
            assert_eq!(again.predictions, begun.predictions, "sequence {number}");
            let source = again.sequence.map(|sequence| sequence.source);
            from_disk += usize::from(source == Some(StateSource::Snapshot));
        }
        assert!(from_disk > 150, "{from_disk} came from the disk");
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("those that rest leave the memory");
    own.stop().await;
}

/// Writes a step to the log of a sequence that nobody began, of which no state can come.
async fn contradict(data: &Path, sequence: &str, used: UnixMillis) {
    let (options, sequence) =
        (Options { data: Some(data.to_owned()), ..options(1, 100) }, SequenceId::of_text(sequence).unwrap());
    let written = tokio::task::spawn_blocking(move || {
        let Some(Home::Local(local, _)) = Home::open(&options, &Handle::current()).unwrap() else {
            unreachable!("it has a folder")
        };
        let key = SequenceKey { tenant: TenantId("t".into()), model: "m".parse().unwrap(), id: sequence };
        let rows = Series::new(1, 1, 1, Samples::F32(vec![1.0])).unwrap();
        let step = Change::Step { begins: None, ends: false, step: 7, digest: 1, rows: Rows::of(&rows) };
        local.log.append(Record::new(&key, used, step).to_bytes(), |written| {
            written.unwrap();
        });
        local.log.close();
    });
    written.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_cannot_be_made_again_holds_nobody_else_back() {
    let folder = tempfile::tempdir().unwrap();
    let (log, aside) = (folder.path().join("sequences/log"), folder.path().join("sequences/aside"));
    let segments = || std::fs::read_dir(&log).unwrap().count();
    contradict(folder.path(), "lost", clock::unix()).await;
    contradict(folder.path(), "old", UnixMillis(1)).await;
    let own = bench(Some(folder.path())).await;
    own.step(&[1.0, 2.0, 3.0], 1).await.unwrap();
    own.stop().await;
    assert!(segments() == 1 && aside.exists(), "the log is pruned, and one of them is kept aside");
    for round in 0..2 {
        let own = bench(Some(folder.path())).await;
        let refused = own.step_of("lost", &[1.0], 8, false).await.unwrap_err();
        assert_eq!(refused.code(), Code::FileCorrupt, "{round}: {refused}");
        assert!(refused.message().contains("remove it with DELETE"), "{refused}");
        assert_eq!(code(own.step_of("old", &[1.0], 8, false).await), Code::SequenceUnknown, "nobody used it");
        own.step(&[1.5], 2 + round).await.unwrap();
        own.stop().await;
        assert!(segments() == 1 && aside.exists(), "{round}");
    }
    let own = bench(Some(folder.path())).await;
    let id = SequenceId::of_text("lost").unwrap();
    let key = SequenceKey { tenant: TenantId("t".into()), model: own.model.name.clone(), id };
    own.node.sequence_state(key.clone(), StateRequest::Delete.into()).await.unwrap();
    let again = own.node.sequence_state(key, StateRequest::Delete.into()).await;
    assert_eq!(code(again), Code::SequenceUnknown, "it is gone");
    assert_eq!(code(own.step_of("lost", &[1.0], 8, false).await), Code::SequenceUnknown);
    own.stop().await;
    assert!(!aside.exists());
    let own = bench(Some(folder.path())).await;
    assert_eq!(code(own.step_of("lost", &[1.0], 8, false).await), Code::SequenceUnknown);
    own.step_of("lost", &[1.0, 2.0, 3.0], 1, false).await.unwrap();
    own.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_in_memory_are_counted_as_they_come_and_go() {
    let bench = bench(None).await;
    let table = &bench.node.inner.sequences.table;
    for name in ["a", "b", "c"] {
        bench.step_of(name, &[1.0, 2.0, 3.0], 1, false).await.unwrap();
    }
    let key = |name: &str| SequenceKey {
        tenant: TenantId("t".into()),
        model: bench.model.name.clone(),
        id: SequenceId::of_text(name).unwrap(),
    };
    let turn = |name: &str| match table.enter(&key(name)) {
        Entering::Now(turn) => turn,
        _ => panic!("it is nobody's turn"),
    };
    assert_eq!(table.count(), 3);
    let (mut known, unknown) = (turn("a"), turn("x"));
    assert_eq!(table.count(), 4, "what is in hand counts");
    known.take();
    drop((known, unknown));
    assert_eq!(table.count(), 2, "one was lost, and one never was");
    drop(turn("a"));
    assert_eq!(table.count(), 2);
    assert!(table.let_go(|own| *own == key("b")).is_empty());
    assert_eq!(table.count(), 1);
    (0..table.shards()).for_each(|shard| table.evict(shard, UnixMillis(u64::MAX), |_, _| true));
    assert_eq!((table.count(), table.bytes()), (0, 0));
    bench.stop().await;
}
