//! The gRPC service called as a function, through the generated client.

use super::service;
use crate::example::{self, Mood};
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use prost::Message;
use spinwell_core::{Code, ResultClass};
use spinwell_protocol::grpc::NOT_LOADED_KEY;
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use spinwell_protocol::grpc::wire::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use spinwell_protocol::grpc::wire::{
    InferParameter, InferTensorContents, ModelConfigRequest, ModelInferRequest, ModelMetadataRequest,
    ModelReadyRequest, RepositoryIndexRequest, RepositoryModelLoadRequest, ServerLiveRequest,
    ServerReadyRequest,
};
use spinwell_protocol::load_report::wire::OrcaLoadReport;
use spinwell_protocol::load_report::{FORMAT, REPORT_BINARY};
use spinwell_protocol::status::{GRPC_CODE_KEY, GRPC_RETRY_AFTER_KEY, GRPC_RETRYABLE_KEY};
use spinwell_runtime::health::Phase;
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt;

fn request(change: impl FnOnce(&mut ModelInferRequest)) -> ModelInferRequest {
    let tensor: Vec<u8> = [1.0_f32, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut request = ModelInferRequest {
        model_name: "taxi".into(),
        inputs: vec![InferInputTensor {
            name: "series".into(),
            datatype: "FP32".into(),
            shape: vec![1, 2, 1],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![tensor.into()],
        ..ModelInferRequest::default()
    };
    change(&mut request);
    request
}

#[tokio::test]
async fn a_prediction_is_answered_raw_and_recorded() {
    let (gateway, outcomes) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let answer = client.model_infer(request(|_| {})).await.unwrap().into_inner();
    let wanted: Vec<u8> = [3.0_f32, 4.0, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(answer.raw_output_contents[0], wanted);
    assert_eq!(answer.model_version, "1");
    assert_eq!(outcomes.results(), [ResultClass::Answered]);
}

#[tokio::test]
async fn a_load_names_the_versions_that_it_left_out() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    for (model, wanted) in [("taxi", None), ("pump", Some("2"))] {
        let request = RepositoryModelLoadRequest { model_name: model.into(), ..Default::default() };
        let answer = client.repository_model_load(request).await.unwrap();
        let said = answer.metadata().get(NOT_LOADED_KEY).map(|value| value.to_str().unwrap());
        assert_eq!(said, wanted, "{model}");
    }
    let request = RepositoryModelLoadRequest { model_name: "broken".into(), ..Default::default() };
    let refused = client.repository_model_load(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), Code::FileCorrupt.as_str());
}

#[tokio::test]
async fn compressed_messages_are_undone_and_a_bomb_is_refused() {
    let (gateway, outcomes) = example::gateway(Mood::Answers);
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        let client = GrpcInferenceServiceClient::new(service(gateway.clone()));
        let mut client = client.send_compressed(encoding).accept_compressed(encoding);
        let answer = client.model_infer(request(|_| {})).await.unwrap();
        let coding = answer.metadata().get("grpc-encoding").and_then(|value| value.to_str().ok());
        assert_eq!(coding, Some(if encoding == CompressionEncoding::Gzip { "gzip" } else { "deflate" }));
        assert_eq!(answer.into_inner().raw_output_contents[0][..4], 3.0_f32.to_le_bytes());
        let bomb = request(|r| r.raw_input_contents = vec![vec![0; 1 << 20].into()]);
        let refused = client.model_infer(bomb).await.unwrap_err();
        let code = refused.metadata().get(GRPC_CODE_KEY).unwrap().to_str().unwrap();
        assert_eq!(code, Code::BodyTooLarge.as_str(), "{refused}");
    }
    use ResultClass::{Answered, Failed};
    let bomb = Failed(Code::BodyTooLarge);
    assert_eq!(outcomes.results(), [Answered, bomb, Answered, bomb]);
}

#[tokio::test]
async fn a_compressed_message_needs_room_for_the_largest() {
    let (gateway, outcomes) = example::gateway_with(Mood::Answers, |limits| {
        limits.bodies_bytes_max = limits.body_bytes - 1;
    });
    let mut plain = GrpcInferenceServiceClient::new(service(gateway.clone()));
    plain.model_infer(request(|_| {})).await.unwrap();
    let mut client = plain.send_compressed(CompressionEncoding::Gzip);
    let refused = client.model_infer(request(|_| {})).await.unwrap_err();
    assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), Code::QueueFull.as_str());
    assert!(refused.metadata().contains_key(GRPC_RETRY_AFTER_KEY));
    assert_eq!(outcomes.results(), [ResultClass::Answered, ResultClass::Failed(Code::QueueFull)]);
}

#[tokio::test]
async fn models_of_every_task_answer_raw_or_typed() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let mut answer = async |model: &str, outputs: &[&str], change: fn(&mut ModelInferRequest)| {
        let asked = request(|r| {
            r.model_name = model.into();
            let output =
                |name: &&str| InferRequestedOutputTensor { name: (*name).into(), ..Default::default() };
            r.outputs = outputs.iter().map(output).collect();
            change(r);
        });
        client.model_infer(asked).await.unwrap().into_inner()
    };
    let as_they_are: fn(&mut ModelInferRequest) = |_| {};
    let typed: fn(&mut ModelInferRequest) = |r| {
        let no = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(false)) };
        r.parameters.insert("binary_data_output".into(), no);
    };
    let raw = answer("taxi", &["direction"], as_they_are).await;
    assert_eq!((raw.outputs[0].datatype.as_str(), &raw.outputs[0].shape), ("INT8", &vec![1, 3, 1]));
    assert_eq!(raw.raw_output_contents, [Bytes::from_static(&[255, 0, 1])]);
    let raw = answer("gait", &[], as_they_are).await;
    assert_eq!((raw.outputs[0].datatype.as_str(), &raw.outputs[0].shape), ("BYTES", &vec![1]));
    assert_eq!(raw.raw_output_contents[0], b"\x04\0\0\0walk".as_slice());
    let raw = answer("pump", &["anomaly"], as_they_are).await;
    assert_eq!((raw.outputs[0].datatype.as_str(), &raw.raw_output_contents[0][..]), ("BOOL", &[1][..]));
    for (model, output, wanted) in [
        ("taxi", "direction", InferTensorContents { int_contents: vec![-1, 0, 1], ..Default::default() }),
        ("taxi", "upper", InferTensorContents { fp32_contents: vec![3.5, 4.5, 5.5], ..Default::default() }),
        ("gait", "label", InferTensorContents { bytes_contents: vec!["walk".into()], ..Default::default() }),
        ("pump", "anomaly", InferTensorContents { bool_contents: vec![true], ..Default::default() }),
    ] {
        let answer = answer(model, &[output], typed).await;
        assert!(answer.raw_output_contents.is_empty());
        assert_eq!(answer.outputs[0].contents, Some(wanted), "{model} {output}");
    }
}

#[tokio::test]
async fn refusals_carry_the_code_and_leave_one_outcome() {
    let (gateway, outcomes) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let large = Bytes::from(vec![0; 4096 + 64 * 1024]);
    let rows = [
        (request(|r| r.model_name = "x".into()), tonic::Code::NotFound, Code::ModelNotFound),
        (request(|r| r.model_version = "7".into()), tonic::Code::NotFound, Code::VersionNotFound),
        (request(|r| r.inputs.clear()), tonic::Code::InvalidArgument, Code::RequestInvalid),
        (request(|r| r.inputs[0].shape[2] = 2), tonic::Code::InvalidArgument, Code::TensorShape),
        (request(|r| r.raw_input_contents[0] = large), tonic::Code::OutOfRange, Code::BodyTooLarge),
    ];
    for (request, status, code) in rows {
        let refused = client.model_infer(request).await.unwrap_err();
        assert_eq!(refused.code(), status, "{refused:?}");
        assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), code.as_str());
        assert_eq!(refused.metadata().get(GRPC_RETRYABLE_KEY).unwrap(), "false");
        assert_eq!(outcomes.results(), [ResultClass::Failed(code)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_caller_s_own_timeout_shortens_the_deadline() {
    let (gateway, outcomes) = example::gateway(Mood::NeverAnswers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let mut impatient = tonic::Request::new(request(|_| {}));
    impatient.metadata_mut().insert("grpc-timeout", "30m".parse().unwrap());
    let refused = client.model_infer(impatient).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
    assert!(refused.message().contains(" 30 ms"), "{refused:?}");
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::DeadlineExceeded)]);
}

#[tokio::test]
async fn metadata_and_config_name_the_same_tensors() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let (name, version) = ("taxi".to_owned(), String::new());
    let metadata = client
        .model_metadata(ModelMetadataRequest { name: name.clone(), version: version.clone() })
        .await
        .unwrap();
    let config = client.model_config(ModelConfigRequest { name, version }).await.unwrap();
    let (metadata, config) = (metadata.into_inner(), config.into_inner().config.unwrap());
    assert_eq!(metadata.inputs[0].name, config.input[0].name);
    assert_eq!(metadata.outputs.len(), config.output.len());
    assert!(metadata.outputs.iter().zip(&config.output).all(|(m, c)| m.name == c.name));
}

#[tokio::test]
async fn a_server_that_starts_is_not_ready_and_refuses_what_needs_models() {
    let (gateway, outcomes) = example::starting_gateway(Mood::Answers, |_| {});
    let health = gateway.health().clone();
    let mut probe = HealthClient::new(service(gateway.clone()));
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let (name, version) = ("taxi".to_owned(), String::new());
    let of_model = ModelReadyRequest { name: name.clone(), version: version.clone() };
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(!client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    assert!(!client.model_ready(of_model.clone()).await.unwrap().into_inner().ready);
    let checked = probe.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(checked.status, ServingStatus::NotServing as i32);
    let refused = [
        client.model_infer(request(|_| {})).await.map(drop).unwrap_err(),
        client.model_metadata(ModelMetadataRequest { name, version }).await.map(drop).unwrap_err(),
        client.repository_index(RepositoryIndexRequest::default()).await.map(drop).unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
        assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), "SPW-STARTING");
        assert_eq!(refused.metadata().get(GRPC_RETRYABLE_KEY).unwrap(), "true");
        assert_eq!(refused.metadata().get(GRPC_RETRY_AFTER_KEY).unwrap(), "1000");
    }
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::Starting)]);
    health.advance(Phase::Ready);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    assert!(client.model_ready(of_model).await.unwrap().into_inner().ready);
    client.model_infer(request(|_| {})).await.unwrap();
}

#[tokio::test]
async fn a_model_that_does_not_answer_is_not_ready_and_no_error() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    for (name, version, wanted) in [
        ("taxi", "", true),
        ("taxi", "1", true),
        ("taxi", "7", false),
        ("taxi", "latest", false),
        ("nowhere", "", false),
        ("", "", false),
        ("broken", "", false),
    ] {
        let asked = ModelReadyRequest { name: name.into(), version: version.into() };
        let answer = client.model_ready(asked).await.unwrap().into_inner();
        assert_eq!(answer.ready, wanted, "{name:?} {version:?}");
    }
}

/// A body of which nothing ever arrives.
struct Never;

impl axum::body::HttpBody for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_comes_does_not_hold_its_stream() {
    let (gateway, outcomes) = example::gateway(Mood::Answers);
    let request = Request::builder()
        .method("POST")
        .uri("/inference.GRPCInferenceService/ModelInfer")
        .header("content-type", "application/grpc")
        .body(Body::new(Never))
        .unwrap();
    let response = service(gateway).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()[GRPC_CODE_KEY], "SPW-DEADLINE-EXCEEDED");
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::DeadlineExceeded)]);
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_refused_with_our_code_and_its_name() {
    let (gateway, outcomes) = example::gateway(Mood::Answers);
    let methods = [
        "/inference.GRPCInferenceService/ModelGuess",
        "/other.Service/ModelInfer",
        "/grpc.health.v1.Health/List",
    ];
    for path in methods {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/grpc")
            .body(Body::empty())
            .unwrap();
        let response = service(gateway.clone()).oneshot(request).await.unwrap();
        let refused = tonic::Status::from_header_map(response.headers()).unwrap();
        assert_eq!(refused.code(), tonic::Code::Unimplemented, "{path}");
        assert!(refused.message().contains(path), "{refused:?}");
        assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), "SPW-PATH-NOT-FOUND");
        assert_eq!(refused.metadata().get(GRPC_RETRYABLE_KEY).unwrap(), "false");
    }
    assert!(outcomes.take().is_empty(), "nobody asked for a prediction");
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_the_caller_s_fault_whatever_the_method() {
    use http_body_util::BodyExt;
    // A string that is longer than the message; a message that says that it is compressed and names no encoding.
    let broken: [&[u8]; 2] = [b"\0\0\0\0\x02\x0a\x7f", b"\x01\0\0\0\x02\x0a\0"];
    let methods = [
        "ModelInfer",
        "ModelStreamInfer",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    ];
    for (method, message) in methods.into_iter().flat_map(|method| broken.map(|message| (method, message))) {
        let (gateway, outcomes) = example::gateway(Mood::Answers);
        let request = Request::builder()
            .method("POST")
            .uri(format!("/inference.GRPCInferenceService/{method}"))
            .header("content-type", "application/grpc")
            .body(Body::from(message))
            .unwrap();
        let response = service(gateway).oneshot(request).await.unwrap();
        let headers = response.headers().clone();
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned();
        let told = trailers.filter(|_| !headers.contains_key(tonic::Status::GRPC_STATUS)).unwrap_or(headers);
        let refused = tonic::Status::from_header_map(&told).unwrap();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{method}: {refused:?}");
        assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), "SPW-REQUEST-INVALID", "{method}");
        let wanted = method.ends_with("Infer").then_some(ResultClass::Failed(Code::RequestInvalid));
        assert_eq!(outcomes.results(), Vec::from_iter(wanted), "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_message_does_not_hold_a_stream_and_a_silent_stream_may_wait() {
    use futures::StreamExt;
    use http_body_util::BodyExt;
    let message = Message::encode_to_vec(&request(|_| {}));
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let half = [&framed[..], &framed[..20]].concat();
    for (bytes, ends) in [(framed, false), (half, true)] {
        let (gateway, outcomes) = example::gateway(Mood::Answers);
        let sent = futures::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(bytes))]);
        let request = Request::builder()
            .method("POST")
            .uri("/inference.GRPCInferenceService/ModelStreamInfer")
            .header("content-type", "application/grpc")
            .body(Body::from_stream(sent.chain(futures::stream::pending())))
            .unwrap();
        let response = service(gateway).oneshot(request).await.unwrap();
        let whole = tokio::time::timeout(Duration::from_secs(86_400), response.into_body().collect());
        let trailers = whole.await.ok().map(|body| body.unwrap().trailers().cloned().unwrap());
        let code = trailers.map(|trailers| trailers[GRPC_CODE_KEY].clone());
        assert_eq!(code.as_ref().map(|code| code.to_str().unwrap()), ends.then_some("SPW-BODY-TIMEOUT"));
        let broken = ends.then_some(ResultClass::Failed(Code::BodyTimeout));
        let wanted: Vec<_> = std::iter::once(ResultClass::Answered).chain(broken).collect();
        assert_eq!(outcomes.results(), wanted);
    }
}

#[tokio::test]
async fn a_message_over_the_budget_of_all_bodies_is_refused_with_our_code() {
    let (gateway, outcomes) = example::gateway_with(Mood::Answers, |limits| limits.bodies_bytes_max = 64);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let large = request(|request| request.id = "x".repeat(100));
    let refused = client.model_infer(large).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    assert_eq!(refused.metadata().get(GRPC_CODE_KEY).unwrap(), "SPW-QUEUE-FULL");
    assert_eq!(refused.metadata().get(GRPC_RETRY_AFTER_KEY).unwrap(), "1000");
    // Its share has come back.
    client.model_infer(request(|_| {})).await.unwrap();
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::QueueFull), ResultClass::Answered]);
}

#[tokio::test]
async fn health_is_told_in_grpc_s_own_protocol_too() {
    let (gateway, outcomes) = example::gateway(Mood::Answers);
    let health = gateway.health().clone();
    let mut inference = GrpcInferenceServiceClient::new(service(gateway.clone()));
    let mut client = HealthClient::new(service(gateway));
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let (serving, not_serving) = (ServingStatus::Serving as i32, ServingStatus::NotServing as i32);
    for known in ["", "inference.GRPCInferenceService"] {
        assert_eq!(client.check(of(known)).await.unwrap().into_inner().status, serving, "{known:?}");
    }
    assert_eq!(client.check(of("other")).await.unwrap_err().code(), tonic::Code::NotFound);
    let mut other = client.watch(of("other")).await.unwrap().into_inner();
    let unknown = other.message().await.unwrap().unwrap().status;
    assert_eq!(unknown, ServingStatus::ServiceUnknown as i32);
    let mut watched = client.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, serving);
    for (is_cut_off, wanted) in [(true, not_serving), (false, serving)] {
        health.set_cut_off(is_cut_off);
        assert_eq!(watched.message().await.unwrap().unwrap().status, wanted);
        assert_eq!(client.check(of("")).await.unwrap().into_inner().status, wanted);
        let ready = inference.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready;
        assert_eq!(ready, !is_cut_off);
    }
    health.advance(Phase::Leaving);
    assert_eq!(watched.message().await.unwrap().unwrap().status, not_serving);
    assert_eq!(client.check(of("")).await.unwrap().into_inner().status, not_serving);
    health.advance(Phase::Stopping);
    assert!(watched.message().await.unwrap().is_none(), "who watches does not hold up a stop");
    assert!(outcomes.take().is_empty(), "nobody asked for a prediction");
}

#[tokio::test(start_paused = true)]
async fn a_stream_leaves_a_gateway_that_is_cut_off_and_stays_through_a_moment_of_it() {
    let open = async |mood| {
        let (gateway, outcomes) = example::gateway(mood);
        let health = gateway.health().clone();
        let mut client = GrpcInferenceServiceClient::new(service(gateway));
        let (send, messages) = tokio::sync::mpsc::channel(4);
        let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
        let answers = client.model_stream_infer(messages).await.unwrap().into_inner();
        (health, send, answers, client, outcomes)
    };
    let wait = async |ms| tokio::time::sleep(Duration::from_millis(ms)).await;
    let (health, send, mut answers, mut client, _) = open(Mood::Answers).await;
    health.set_cut_off(true);
    wait(1400).await;
    health.set_cut_off(false);
    wait(60_000).await;
    send.send(request(|_| {})).await.unwrap();
    assert!(answers.message().await.unwrap().unwrap().infer_response.is_some(), "it was for a moment");
    health.set_cut_off(true);
    wait(1400).await;
    // Whoever comes while it is so is told why he gets no answer, until he is to look elsewhere too.
    let (late, messages) = tokio::sync::mpsc::channel(4);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut later = client.model_stream_infer(messages).await.unwrap().into_inner();
    send.send(request(|_| {})).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());
    let end = answers.message().await.unwrap_err();
    assert_eq!(
        (end.code(), end.metadata().get(GRPC_CODE_KEY).unwrap().to_str().unwrap()),
        (tonic::Code::Unavailable, "SPW-NODE-UNREACHABLE")
    );
    late.send(request(|_| {})).await.unwrap();
    assert!(later.message().await.unwrap().is_some());
    later.message().await.unwrap_err();
    // What waits for a node does not hold the stream.
    let (health, send, mut answers, _, outcomes) = open(Mood::NeverAnswers).await;
    for _ in 0..2 {
        let minute = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(60_000_000)) };
        let patient = request(|message| drop(message.parameters.insert("timeout".into(), minute)));
        send.send(patient).await.unwrap();
    }
    health.set_cut_off(true);
    let begun = tokio::time::Instant::now();
    for _ in 0..2 {
        let refused = answers.message().await.unwrap().unwrap();
        assert!(refused.error_message.contains("send again"), "{}", refused.error_message);
    }
    assert_eq!(answers.message().await.unwrap_err().code(), tonic::Code::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(outcomes.results(), [ResultClass::Failed(Code::NodeUnreachable); 2]);
}

#[tokio::test]
async fn who_asks_gets_a_report_of_the_load_at_the_end_of_his_answer() {
    let (gateway, _) = example::gateway(Mood::Answers);
    let mut client = GrpcInferenceServiceClient::new(service(gateway));
    let asking = |message: ModelInferRequest| {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert(FORMAT, "BIN".parse().unwrap());
        request
    };
    let read = |metadata: &tonic::metadata::MetadataMap| {
        let value = metadata.get_bin(REPORT_BINARY)?;
        Some(OrcaLoadReport::decode(value.to_bytes().unwrap()).unwrap())
    };
    // The library hands out trailers with the head.
    let answer = client.model_infer(asking(request(|_| {}))).await.unwrap();
    let told = read(answer.metadata()).unwrap();
    assert_eq!(told.named_metrics["queue_len"], 0.0);
    assert!(told.rps_fractional > 0.0 && told.eps == 0.0, "{told:?}");
    let refused = client.model_infer(asking(request(|r| r.model_name = "nobody".into()))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert!(read(refused.metadata()).is_some(), "also with a refusal");
    let silent = client.model_infer(request(|_| {})).await.unwrap();
    assert!(read(silent.metadata()).is_none());
    let mut messages = tonic::Request::new(futures::stream::iter([request(|_| {}), request(|_| {})]));
    messages.metadata_mut().insert(FORMAT, "text".parse().unwrap());
    let mut stream = client.model_stream_infer(messages).await.unwrap().into_inner();
    for _ in 0..2 {
        assert!(stream.message().await.unwrap().unwrap().infer_response.is_some());
    }
    assert!(stream.message().await.unwrap().is_none());
    let trailers = stream.trailers().await.unwrap().unwrap();
    assert!(read(&trailers).is_some(), "{trailers:?}");
}
