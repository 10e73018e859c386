//! What is said on one side is understood on the other.

use super::wire::from_node::Message as FromNode;
use super::*;
use crate::catalogue::tests::{classifier, detector, model, spiking_model};
use crate::*;
use spinwell_core::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[allow(clippy::disallowed_methods, reason = "any instant will do")]
fn now() -> Instant {
    Instant::now()
}

/// Both ends of a connection on which these were described.
fn described(models: &[ModelDescription]) -> (Describer, Described) {
    let (mut node, mut gateway) = (Describer::default(), Described::default());
    for model in models {
        if let (_, Some(FromNode::Describe(told))) = node.number(&Arc::new(model.clone())) {
            gateway.take(told).unwrap();
        }
    }
    (node, gateway)
}

fn over(request: &Request, node: &Describer, gateway: &Described) -> (u64, Result<Request, Fault>) {
    request_of(encode_request(7, request, gateway, now()).unwrap(), node, now()).unwrap()
}

fn infer(model: ModelDescription, batch: usize, rows: usize, samples: Samples) -> InferRequest {
    let outputs = Outputs::usual(&model, Packing::Json);
    InferRequest {
        series: Series::new(batch, rows, model.channels.len(), samples).unwrap(),
        model: Arc::new(model),
        outputs,
        deadline: now() + Duration::from_secs(5),
        priority: Priority::High,
        is_spare: true,
        tenant: TenantId("acme".into()),
        sequence: None,
    }
}

#[test]
fn catalogues_arrive_as_they_are_and_models_are_described_once() {
    let (mut node, mut gateway) = described(&[]);
    let mut catalogue = Catalogue::default();
    let all = [model("m", 1, 1), model("m", 2, 1), classifier("c"), detector("d"), spiking_model("s")];
    let mut add = |one: &ModelDescription| {
        catalogue.insert(&one.name, one.version, Entry::Ready(Arc::new(one.clone())));
    };
    all.iter().for_each(&mut add);
    catalogue.insert(&"broken".parse().unwrap(), ModelVersion(3), Entry::Broken(Code::FileCorrupt));
    let part = Part { model: Arc::new(model("m", 2, 1)), share: Ratio::new(0.25).unwrap() };
    let traffic = Traffic { default: Some(ModelVersion(1)), canary: Some(part), shadow: None };
    catalogue.split(&"m".parse().unwrap(), traffic);
    let mut tell = |catalogue: &Catalogue, descriptions: usize| {
        let messages = node.catalogue(catalogue);
        assert_eq!(messages.len(), descriptions + 1);
        let mut told = None;
        for message in messages {
            match message {
                FromNode::Describe(description) => gateway.take(description).unwrap(),
                FromNode::Catalogue(catalogue) => told = Some(gateway.catalogue(&catalogue).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        let told = told.unwrap();
        assert_eq!(format!("{:?}", told.entries()), format!("{:?}", catalogue.entries()));
        assert_eq!(told.splits(), catalogue.splits());
    };
    tell(&catalogue, all.len());
    tell(&catalogue, 0);
    catalogue.insert(&"n".parse().unwrap(), ModelVersion(1), Entry::Ready(Arc::new(model("n", 1, 1))));
    tell(&catalogue, 1);
}

#[test]
fn files_and_what_is_asked_of_them_arrive_as_they_are() {
    let (node, gateway) = described(&[]);
    let key = FileKey { name: "m".parse().unwrap(), version: ModelVersion(3), hash: ModelHash([9; 32]) };
    let beside = Beside { modified: UnixMillis(17), card: Some(b"{}".as_slice().into()), settings: None };
    let offer = FileOffer {
        key: key.clone(),
        transfer: u64::MAX,
        whole: 5,
        replaces: Some(ModelHash([1; 32])),
        beside: beside.clone(),
    };
    let bytes: bytes::Bytes = b"model".as_slice().into();
    for wanted in [
        FileRequest::Held(key.name.clone()),
        FileRequest::Read(key, 7),
        FileRequest::Offer(FileOffer { replaces: None, ..offer.clone() }),
        FileRequest::Offer(offer),
        FileRequest::Part { transfer: 1, offset: 2, bytes: bytes.clone() },
    ] {
        let (number, got) = over(&Request::Files(wanted.clone()), &node, &gateway);
        let Ok(Request::Files(got)) = got else { panic!("{wanted:?}") };
        assert_eq!((number, got), (7, wanted));
    }
    let held = |hash: Option<ModelHash>| {
        let is_unsettled = hash.is_none();
        HeldFile { version: ModelVersion(3), hash, modified: UnixMillis(17), is_unsettled }
    };
    for wanted in [
        FileAnswer::Held(vec![held(None), held(Some(ModelHash([9; 32])))]),
        FileAnswer::Part(FilePart { bytes: bytes.clone(), whole: 5, beside: None }),
        FileAnswer::Part(FilePart { bytes, whole: 5, beside: Some(beside) }),
        FileAnswer::Placed(true),
    ] {
        let FromNode::Answer(answer) = encode_answer(1, Ok(Answer::Files(wanted.clone())), 0) else {
            panic!("no answer")
        };
        let Ok(Answer::Files(got)) = answer_of(answer, &NodeId("n".into()), &gateway) else {
            panic!("{wanted:?}")
        };
        assert_eq!(got, wanted);
    }
    // What names no file is refused: a version is the name of a folder.
    for (model, version, hash) in [("..", 1, vec![9; 32]), ("m", 0, vec![9; 32]), ("m", 1, vec![9; 31])] {
        let key = wire::FileKey { model: model.into(), version, hash: hash.into() };
        let asked = wire::to_node::Message::ReadFile(wire::ReadFile { number: 1, key: Some(key), offset: 0 });
        assert!(request_of(asked, &node, now()).unwrap().1.is_err(), "{model} {version}");
    }
}

#[test]
fn requests_arrive_as_they_are() {
    let (forecaster, labels) = (model("m", 1, 1), classifier("c"));
    let (node, gateway) = described(&[forecaster.clone(), labels.clone()]);
    let check = |request: InferRequest| {
        let Ok(Request::Infer(got)) = over(&Request::Infer(request.clone()), &node, &gateway).1 else {
            panic!("{request:?}")
        };
        assert!(got.deadline.duration_since(request.deadline) < Duration::from_secs(1));
        assert_eq!(
            (got.model, got.series, got.outputs, got.priority, got.is_spare, got.tenant, got.sequence),
            (
                request.model,
                request.series,
                request.outputs,
                request.priority,
                request.is_spare,
                request.tenant,
                request.sequence
            )
        );
    };
    check(infer(forecaster.clone(), 2, 4, Samples::F32((0..8).map(|i| i as f32 / 3.0).collect())));
    check(infer(forecaster.clone(), 1, 4, Samples::F64(vec![0.1, -0.2, 1e300, 5e-324])));
    check(infer(labels, 1, 4, Samples::F32(vec![1.0; 4])));
    let sequence = |step| {
        let id = checked_sequence_id("s-1").unwrap();
        Some(SequenceCall {
            id,
            starts: true,
            ends: false,
            step,
            sent: step.map(UnixMillis),
            names_version: step.is_some(),
        })
    };
    for step in [None, Some(3)] {
        let one = infer(forecaster.clone(), 1, 1, Samples::F32(vec![1.0]));
        check(InferRequest { sequence: sequence(step), priority: Priority::Low, ..one });
    }
    let key = SequenceKey {
        tenant: TenantId("acme".into()),
        model: "m".parse().unwrap(),
        id: checked_sequence_id("s-1").unwrap(),
    };
    let to = checked_sequence_id("s-2").unwrap();
    for wanted in
        [StateRequest::Get, StateRequest::Put(vec![1, 2, 3]), StateRequest::Delete, StateRequest::Fork { to }]
    {
        for sent in [None, Some(UnixMillis(1_700_000_000_000))] {
            let wanted = StateCall { request: wanted.clone(), sent };
            let request = Request::State(key.clone(), wanted.clone());
            let Ok(Request::State(got, what)) = over(&request, &node, &gateway).1 else {
                panic!("{wanted:?}")
            };
            assert_eq!((got, what), (key.clone(), wanted));
        }
    }
    for request in
        [Request::Index, Request::Load("m".parse().unwrap()), Request::Unload("m".parse().unwrap())]
    {
        let (number, got) = over(&request, &node, &gateway);
        assert_eq!((number, format!("{:?}", got.unwrap())), (7, format!("{request:?}")));
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_names_its_request() {
    let (node, gateway) = described(&[model("m", 1, 1)]);
    let request = infer(model("m", 1, 1), 1, 4, Samples::F32(vec![1.0; 4]));
    let message = encode_request(9, &Request::Infer(request), &gateway, now()).unwrap();
    let wire::to_node::Message::Infer(good) = message else { panic!() };
    let check = |spoil: fn(&mut wire::Infer)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        let text = format!("{bad:?}");
        let (number, got) = request_of(wire::to_node::Message::Infer(bad), &node, now()).unwrap();
        assert!(number == 9 && got.is_err(), "{text}");
    };
    check(|infer| infer.model = 1);
    check(|infer| infer.f32 = infer.f32.slice(1..));
    check(|infer| infer.f32 = infer.f32.slice(4..));
    check(|infer| infer.batch = u64::MAX);
    check(|infer| (infer.rows, infer.channels) = (2, 2));
    check(|infer| (infer.batch, infer.rows) = (4, 1));
    check(|infer| infer.outputs = vec!["label".to_owned()]);
    check(|infer| infer.priority = 4);
    check(|infer| {
        infer.sequence = Some(wire::Step {
            id: "\n".to_owned(),
            starts: true,
            ends: false,
            step: None,
            sent_ms: None,
            names_version: false,
        });
    });
    let foreign = infer_of_another();
    let fault = encode_request(1, &Request::Infer(foreign), &gateway, now()).unwrap_err();
    assert_eq!(fault.code(), Code::ModelNotFound);
}

fn infer_of_another() -> InferRequest {
    infer(model("m", 2, 1), 1, 4, Samples::F32(vec![1.0; 4]))
}

#[test]
fn answers_arrive_as_they_are() {
    let (mut node, gateway) = described(&[model("m", 1, 1), classifier("c"), detector("d")]);
    let id = NodeId("n1".into());
    let mut over = |answer: Result<Answer, Fault>| {
        let number = match &answer {
            Ok(Answer::Predicted(reply)) => node.number(&reply.model).0,
            _ => 0,
        };
        let FromNode::Answer(told) = encode_answer(5, answer, number) else { panic!() };
        assert_eq!(told.number, 5);
        answer_of(told, &id, &gateway)
    };
    let reply = |model: ModelDescription, batch, tensors: Vec<(OutputName, Values)>, sequence| InferReply {
        model: Arc::new(model),
        node: id.clone(),
        profile: NumericProfile::CpuF64,
        predictions: Predictions {
            batch,
            tensors: tensors.into_iter().map(|(name, values)| OutputTensor { name, values }).collect(),
        },
        queue: Micros(3),
        compute: Micros(4),
        batch: BatchShare { windows: 9, counts: true },
        sequence,
        receipt: None,
    };
    let step = SequenceReply { step: 12, source: StateSource::Snapshot, durable: true, warming_up: false };
    let numbers = Values::Fp32(vec![0.5, f32::MIN_POSITIVE, -3.25]);
    let ups = Values::Int8(vec![-1, 0, 1]);
    for reply in [
        reply(
            model("m", 1, 1),
            1,
            vec![(OutputName::Forecast, numbers), (OutputName::Direction, ups)],
            Some(step),
        ),
        reply(
            classifier("c"),
            2,
            vec![(OutputName::Label, Values::Text(vec!["a".into(), "ü".into()]))],
            None,
        ),
        reply(detector("d"), 2, vec![(OutputName::Anomaly, Values::Bool(vec![true, false]))], None),
    ] {
        let Ok(Answer::Predicted(got)) = over(Ok(Answer::Predicted(reply.clone()))) else {
            panic!("{reply:?}")
        };
        assert_eq!(format!("{got:?}"), format!("{reply:?}"));
    }
    let short = vec![(OutputName::Forecast, Values::Fp32(vec![1.0; 2]))];
    assert!(over(Ok(Answer::Predicted(reply(model("m", 1, 1), 1, short, None)))).is_err());
    let fault = Fault::new(Code::SequenceStep, "a gap").retry_after(Millis(5)).expected_step(8);
    assert_eq!(over(Err(fault.clone())).unwrap_err(), fault);
    let state = StateAnswer { step: 3, state: vec![1, 2] };
    assert!(matches!(over(Ok(Answer::State(state.clone()))), Ok(Answer::State(got)) if got == state));
    let entry = IndexEntry {
        name: "m".parse().unwrap(),
        version: ModelVersion(2),
        is_ready: false,
        reason: "broken".to_owned(),
    };
    let index = over(Ok(Answer::Index(vec![entry.clone()])));
    assert!(matches!(index, Ok(Answer::Index(got)) if got == std::slice::from_ref(&entry)));
    let loaded = over(Ok(Answer::Loaded(vec![entry.clone()])));
    assert!(matches!(loaded, Ok(Answer::Loaded(got)) if got == [entry]));
    assert!(matches!(over(Ok(Answer::Done)), Ok(Answer::Done)));
}

#[test]
fn a_code_of_a_later_release_is_told_and_not_lost() {
    let fault = wire::Fault {
        code: ["SPW", "OF-TOMORROW"].join("-"),
        message: "what nobody knows yet".to_owned(),
        retry_after_ms: None,
        expected_step: None,
    };
    let answer = wire::Answer { number: 1, answer: Some(wire::answer::Answer::Fault(fault)) };
    let fault = answer_of(answer, &NodeId("n".into()), &Described::default()).unwrap_err();
    assert_eq!(fault.code(), Code::Internal);
    assert!(fault.message().ends_with("OF-TOMORROW: what nobody knows yet"), "{fault}");
}

#[test]
fn beats_say_how_busy_a_node_is() {
    let load = NodeLoad {
        queue_len: 1,
        queue_len_max: 2,
        waiting: vec![WaitingFor { model: "m".parse().unwrap(), version: ModelVersion(3), requests: 1 }],
        batches_executing: 3,
        executors: 4,
        row_micros: 8,
        cpu_free: Some(0.25),
        memory_free: None,
        sequences: SequenceLoad {
            in_memory: 5,
            copied: 6,
            expired: 7,
            lost: 10,
            fenced: 8,
            followed: 9,
            store_silent: Some(Millis(1_200)),
        },
        gpus: vec![GpuLoad {
            uuid: "g".to_owned(),
            utilization: Some(0.5),
            memory_total_bytes: Some(8),
            memory_used_bytes: None,
            power_watts: Some(9.5),
        }],
        ..NodeLoad::default()
    };
    let caller = |name: &str, life| Caller { name: name.to_owned(), life };
    let callers = vec![caller("g1", Some(3)), caller("g1", Some(4)), caller("g2", Some(5))];
    let beat = encode_beat(load.clone(), true, callers.clone());
    assert_eq!(callers_of(beat.callers.clone().unwrap()), callers);
    // Of a release that tells names alone.
    let names = wire::Callers { lives: Vec::new(), ..beat.callers.clone().unwrap() };
    let told = callers_of(names);
    assert_eq!(told[0], caller("g1", None));
    assert!(told[0].may_be(&callers[1]) && !told[0].may_be(&callers[2]) && !callers[0].may_be(&callers[1]));
    assert_eq!(beat_of(beat), load);
}

#[test]
fn a_drain_is_of_a_plan_or_of_an_operator() {
    let (node, gateway) = described(&[]);
    for wanted in [None, Some(Order { generation: u64::MAX, life: 1 << 63 })] {
        let (7, Ok(Request::Drain(got))) = over(&Request::Drain(wanted), &node, &gateway) else {
            panic!("{wanted:?}")
        };
        assert_eq!(got, wanted);
    }
}
