//! What the load generator `perf_analyzer` reads before and after it sends load, over both wires: without a configuration it
//! stops, it takes a model's scheduler from there, and it divides the statistics' counts by each other.

use crate::support::{Server, models, window};
use serde_json::{Value, json};
use spinwell_protocol::grpc::wire::grpc_inference_service_client::GrpcInferenceServiceClient;
use spinwell_protocol::grpc::wire::infer_parameter::ParameterChoice;
use spinwell_protocol::grpc::wire::model_infer_request::InferInputTensor;
use spinwell_protocol::grpc::wire::{
    InferParameter, ModelConfigRequest, ModelInferRequest, ModelMetadataRequest, ModelStatistics,
    ModelStatisticsRequest, ServerMetadataRequest, StatisticDuration,
};
use tonic::transport::Channel;

const ROWS: usize = 64;
/// The parts of `inference_stats` that are read, all of them, also those of a cache that is not there.
const STATS: [&str; 8] = [
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
];

type Client = GrpcInferenceServiceClient<Channel>;

fn with_client<T>(server: &Server, use_it: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = Channel::from_shared(format!("http://{}", server.grpc)).unwrap();
        use_it(GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap())).await
    })
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn metadata_and_configuration_are_what_it_takes_a_model_from() {
    let server = Server::start(models(), &[]);
    for model in ["wave", "pair"] {
        for path in [format!("/v2/models/{model}"), format!("/v2/models/{model}/versions/1")] {
            let metadata = server.get(&path).json();
            let config = server.get(&format!("{path}/config")).json();
            assert_eq!(metadata["name"], model);
            assert_eq!(config["name"], model);
            assert_eq!(names(&metadata["inputs"]), names(&config["input"]), "{path}");
            assert_eq!(names(&metadata["outputs"]), names(&config["output"]), "{path}");
            assert_eq!(metadata["versions"], json!(["1"]));
            assert!(config["max_batch_size"].as_u64().unwrap() > 1, "{config}");
            // Whether it is there decides on the scheduler; a sequence_batching would make it send sequences only.
            assert!(config["dynamic_batching"].is_object(), "{config}");
            assert_eq!(config.get("sequence_batching"), None);
            assert_ne!(config["platform"], "ensemble");
            assert_eq!(config.get("model_transaction_policy"), None, "one answer to one request");
            for tensor in metadata["inputs"].as_array().unwrap() {
                assert_eq!(tensor["shape"][0], -1, "the batch is counted, as max_batch_size is not 0");
            }
        }
    }
    let extensions = server.get("/v2").json()["extensions"].clone();
    for extension in ["statistics", "model_configuration", "binary_tensor_data", "sequence"] {
        assert!(extensions.as_array().unwrap().contains(&json!(extension)), "{extension}");
    }

    let config = server.get("/v2/models/pair/config").json();
    with_client(&server, async |mut client| {
        let (name, version) = ("pair".to_owned(), String::new());
        let about = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
        assert_eq!(json!(about.extensions), extensions);
        let request = ModelMetadataRequest { name: name.clone(), version: version.clone() };
        let metadata = client.model_metadata(request).await.unwrap().into_inner();
        let request = ModelConfigRequest { name, version };
        let over_grpc = client.model_config(request).await.unwrap().into_inner().config.unwrap();
        let inputs: Vec<_> = metadata.inputs.iter().map(|tensor| tensor.name.clone()).collect();
        let outputs: Vec<_> = metadata.outputs.iter().map(|tensor| tensor.name.clone()).collect();
        assert_eq!(inputs, over_grpc.input.iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>());
        assert_eq!(outputs, over_grpc.output.iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>());
        assert_eq!((names(&config["input"]), names(&config["output"])), (inputs, outputs));
        assert_eq!(json!(over_grpc.max_batch_size), config["max_batch_size"]);
        assert!(over_grpc.dynamic_batching.is_some());
    });
}

/// The counts of a model over HTTP, in the order of [`STATS`], each with time where it counts something.
fn over_http(server: &Server, path: &str) -> (Value, [u64; 8]) {
    let document = server.get(path).json();
    let all = document["model_stats"].as_array().unwrap();
    let one = all.iter().find(|model| model["name"] == "wave" && model["version"] == "1").unwrap().clone();
    let counts = STATS.map(|part| {
        let part = &one["inference_stats"][part];
        assert!(part["ns"].is_u64(), "{one}");
        part["count"].as_u64().unwrap()
    });
    (one, counts)
}

fn over_grpc(stats: &ModelStatistics) -> [u64; 8] {
    let parts = stats.inference_stats.unwrap();
    let count = |part: Option<StatisticDuration>| part.expect("all eight are there").count;
    [
        count(parts.success),
        count(parts.fail),
        count(parts.queue),
        count(parts.compute_input),
        count(parts.compute_infer),
        count(parts.compute_output),
        count(parts.cache_hit),
        count(parts.cache_miss),
    ]
}

/// A request as it sends one: raw, with what it says of a sequence beside it.
fn grpc_request(windows: usize, parameters: &[(&str, ParameterChoice)]) -> ModelInferRequest {
    let data: Vec<f32> = (0..windows).flat_map(|number| window(ROWS, number as f64)).collect();
    let parameter = |choice: &ParameterChoice| InferParameter { parameter_choice: Some(choice.clone()) };
    ModelInferRequest {
        model_name: "wave".into(),
        inputs: vec![InferInputTensor {
            name: "series".into(),
            datatype: "FP32".into(),
            shape: vec![windows as i64, ROWS as i64, 1],
            ..InferInputTensor::default()
        }],
        parameters: parameters.iter().map(|(name, choice)| ((*name).to_owned(), parameter(choice))).collect(),
        raw_input_contents: vec![
            data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
        ],
        ..ModelInferRequest::default()
    }
}

#[test]
fn the_statistics_count_what_was_sent() {
    let server = Server::start(models(), &[]);
    let (before, counts) = over_http(&server, "/v2/models/wave/stats");
    assert_eq!(
        (counts, &before["inference_count"], &before["execution_count"]),
        ([0; 8], &json!(0), &json!(0))
    );
    let body = |windows: usize| {
        let data: Vec<f32> = (0..windows).flat_map(|number| window(ROWS, number as f64)).collect();
        json!({"inputs": [{"name": "series", "shape": [windows, ROWS, 1], "datatype": "FP32", "data": data}]})
    };
    for windows in [1, 3] {
        assert_eq!(server.infer("wave", &body(windows)).status, 200);
    }
    assert_eq!(server.infer("wave", &json!({})).status, 400);
    with_client(&server, async |mut client| {
        client.model_infer(grpc_request(2, &[])).await.unwrap();
        client.model_infer(ModelInferRequest { inputs: vec![], ..grpc_request(1, &[]) }).await.unwrap_err();
    });
    // Three requests of six windows were answered, two were not, and there is no cache.
    let wanted = [3, 2, 3, 3, 3, 3, 0, 0];
    let (after, counts) = over_http(&server, "/v2/models/wave/stats");
    assert_eq!((counts, &after["inference_count"]), (wanted, &json!(6)), "{after}");
    let executions = after["execution_count"].as_u64().unwrap();
    assert!((1..=3).contains(&executions), "{after}");
    let batches = after["batch_stats"].as_array().unwrap();
    let of_batches = |what: &dyn Fn(&Value) -> u64| batches.iter().map(what).sum::<u64>();
    assert_eq!(of_batches(&|batch| batch["compute_infer"]["count"].as_u64().unwrap()), executions);
    let windows = |batch: &Value| {
        batch["batch_size"].as_u64().unwrap() * batch["compute_infer"]["count"].as_u64().unwrap()
    };
    assert_eq!(of_batches(&windows), 6, "{after}");
    let ns = |part: &str| after["inference_stats"][part]["ns"].as_u64().unwrap();
    assert!(ns("success") >= ns("queue") + ns("compute_infer"), "{after}");
    assert_eq!((ns("cache_hit"), ns("cache_miss")), (0, 0));

    for path in ["/v2/models/stats", "/v2/models/wave/versions/1/stats"] {
        assert_eq!(over_http(&server, path), (after.clone(), wanted), "{path}");
    }
    with_client(&server, async |mut client| {
        for (name, version) in [("wave", ""), ("wave", "1"), ("", "")] {
            let request = ModelStatisticsRequest { name: name.to_owned(), version: version.to_owned() };
            let all = client.model_statistics(request).await.unwrap().into_inner().model_stats;
            let one = all.iter().find(|model| model.name == "wave").unwrap();
            assert_eq!((over_grpc(one), one.inference_count, one.execution_count), (wanted, 6, executions));
            assert_eq!(json!(one.last_inference), after["last_inference"]);
        }
    });
}

#[test]
fn sequences_are_taken_as_it_sends_them() {
    let server = Server::start(models(), &[]);
    let over_http = |id: Value, start: bool, end: bool| {
        let body = json!({"parameters": {"sequence_id": id, "sequence_start": start, "sequence_end": end}, "inputs": [
            {"name": "series", "shape": [1, ROWS, 1], "datatype": "FP32", "data": window(ROWS, 0.0)}]});
        let answer = server.infer("wave", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["parameters"]["sequence_step"].as_u64().unwrap()
    };
    // Numbers from --sequence-id-range, each sequence begun, gone on with and ended.
    for id in [json!(1), json!(u64::from(u32::MAX)), json!("text-7")] {
        let steps = [(true, false), (false, false), (false, true)]
            .map(|(start, end)| over_http(id.clone(), start, end));
        assert_eq!(steps, [1, 2, 3], "{id}");
        assert_eq!(over_http(id.clone(), true, true), 1, "ids are used again: {id}");
    }
    with_client(&server, async |mut client| {
        use ParameterChoice::{BoolParam, Int64Param, StringParam, Uint64Param};
        for id in [Int64Param(9), Uint64Param(10), StringParam("text-9".into())] {
            for (number, (start, end)) in
                [(true, false), (false, false), (false, true)].into_iter().enumerate()
            {
                let parameters = [
                    ("sequence_id", id.clone()),
                    ("sequence_start", BoolParam(start)),
                    ("sequence_end", BoolParam(end)),
                ];
                let answer = client.model_infer(grpc_request(1, &parameters)).await.unwrap().into_inner();
                let step = answer.parameters["sequence_step"].parameter_choice.clone();
                assert!(
                    matches!(step, Some(Int64Param(step)) if step == number as i64 + 1)
                        || step == Some(Uint64Param(number as u64 + 1)),
                    "{id:?} {step:?}"
                );
            }
        }
    });
}
