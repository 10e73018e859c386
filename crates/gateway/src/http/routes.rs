//! The routes of the inference plane, each with what callers may know of it.

use super::{
    infer, live, model_config, model_metadata, model_ready, observations, predictions, ready, receipts,
    repository, server_metadata, states,
};
use crate::Gateway;
use crate::api::{Addresses, Content, Header, Operation, Plane, Route, Schema, document_route};
use crate::door::Need;
use serde_json::{Value, json};
use spinwell_core::Code;
use spinwell_protocol::load_report::Format;
use spinwell_protocol::{EXTENSIONS, SERVER_NAME};
use spinwell_security::access::Action;

/// What a model can be found with: not yet known, unknown, or there with a file that cannot be loaded.
const FINDING: &[Code] = &[
    Code::Starting,
    Code::ModelNotFound,
    Code::VersionNotFound,
    Code::FileForeign,
    Code::FileTruncated,
    Code::FileCorrupt,
    Code::FileFromTheFuture,
    Code::TaskMismatch,
    Code::ConfigInvalid,
    Code::Io,
    Code::Internal,
];

/// What a request for predictions can fail with, once it is read.
const PREDICTING: &[Code] = &[
    Code::JsonMalformed,
    Code::RequestInvalid,
    Code::TensorUnknown,
    Code::TensorDatatype,
    Code::TensorShape,
    Code::TensorEmpty,
    Code::TensorData,
    Code::OutputUnknown,
    Code::NotOffered,
    Code::TensorNotFinite,
    Code::WindowTooShort,
    Code::QueueFull,
    Code::Stopping,
    Code::DeadlineExceeded,
    Code::LedgerFailed,
];

/// What any work with a sequence can fail with.
const OF_SEQUENCES: &[Code] = &[
    Code::SequenceUnknown,
    Code::SequenceStep,
    Code::SequenceModel,
    Code::SequenceMoved,
    Code::SequenceOvertaken,
    Code::SequenceExpired,
    Code::DataErased,
    Code::LogFailed,
    Code::DatabaseFailed,
];

/// What whoever looks at a model needs.
const READ: Need = Need::Model(Action::ModelRead);
/// What whoever looks at its figures needs.
const STATISTICS: Need = Need::Model(Action::StatisticsRead);

/// Every route.
pub(crate) fn routes(addresses: Addresses) -> Vec<Route<Gateway>> {
    let mut routes = vec![
        Route::get("/v2", server_metadata, server_operation("serverMetadata")),
        Route::get("/v2/", server_metadata, server_operation("serverMetadataSlash")),
        Route::get("/v2/health/live", live, live_operation()),
        Route::get("/v2/health/ready", ready, ready_operation()),
        Route::get(
            "/v2/models/stats",
            repository::statistics,
            statistics_operation("statistics", "Counts of all models", Need::Region(Action::StatisticsRead)),
        ),
    ];
    for root in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        let stats = statistics_operation("modelStatistics", "Counts of a model", STATISTICS);
        routes.extend([
            Route::get(root, model_metadata, metadata_operation()),
            Route::get(&format!("{root}/ready"), model_ready, model_ready_operation()),
            Route::get(&format!("{root}/config"), model_config, config_operation()),
            Route::get(&format!("{root}/stats"), repository::statistics, stats),
            Route::post(&format!("{root}/infer"), infer::infer, infer_operation()),
        ]);
    }
    routes.extend([
        Route::post("/v1/predictions", predictions::predictions, predictions_operation()),
        Route::post("/v1/models/{model}/observations", observations::observe, observations_operation()),
        Route::get("/v1/models/{model}/accuracy", observations::accuracy, accuracy_operation()),
        Route::post("/v2/repository/index", repository::index, index_operation()),
        Route::post("/v2/repository/models/{model}/load", repository::load, load_operation()),
        Route::post("/v2/repository/models/{model}/unload", repository::unload, unload_operation()),
    ]);
    let state = "/v1/models/{model}/sequences/{sequence}/state";
    routes.extend([
        Route::get(state, states::get, state_get_operation()),
        Route::put(state, states::put, state_put_operation()),
        Route::delete(state, states::delete, state_delete_operation()),
        Route::post("/v1/models/{model}/sequences/{sequence}/fork", states::fork, fork_operation()),
        Route::get("/v1/receipts/{receipt}", receipts::get, receipt_operation()),
        document_route(Plane::Inference, addresses),
    ]);
    routes
}

fn server_operation(id: &'static str) -> Operation {
    let example = json!({"name": SERVER_NAME, "version": crate::VERSION, "extensions": EXTENSIONS});
    Operation::new(id, "Name, version and extensions of the server", Need::Region(Action::ServerRead))
        .gives(Content::json(Schema::named("ServerMetadata"), example))
}

fn live_operation() -> Operation {
    Operation::new("serverLive", "Whether the process runs", Need::Nothing)
        .gives(Content::json(Schema::named("Live"), json!({"live": true})))
}

fn ready_operation() -> Operation {
    Operation::new("serverReady", "Whether the server takes requests", Need::Nothing)
        .gives(Content::json(Schema::named("Ready"), json!({"ready": true, "live": true})))
        .fails(&[Code::Starting, Code::Stopping, Code::NodeUnreachable])
}

fn metadata_operation() -> Operation {
    let tensor = |name: &str, shape: [i32; 3]| json!({"name": name, "datatype": "FP32", "shape": shape});
    let example = json!({
        "name": "taxi", "versions": ["1"], "platform": "spinwell_linear",
        "inputs": [tensor("series", [-1, -1, 1])],
        "outputs": (["forecast", "lower", "upper"].map(|name| tensor(name, [-1, 48, 1]))),
        "properties": {"horizon": "48", "season": "336", "window_min": "337", "window_recommended": "337"},
    });
    Operation::new("modelMetadata", "Inputs, outputs and properties of a model", READ)
        .gives(Content::json(Schema::named("ModelMetadata"), example))
        .fails(FINDING)
}

fn model_ready_operation() -> Operation {
    Operation::new("modelReady", "Whether a model answers", READ)
        .gives(Content::json(Schema::named("ModelReady"), json!({"name": "taxi", "ready": true})))
        .fails(FINDING)
}

fn config_operation() -> Operation {
    let tensor = |name: &str, dims: [i32; 2]| json!({"name": name, "data_type": "TYPE_FP32", "dims": dims});
    let example = json!({
        "name": "taxi", "platform": "spinwell_linear", "backend": SERVER_NAME, "max_batch_size": 256,
        "input": [tensor("series", [-1, 1])],
        "output": (["forecast", "lower", "upper"].map(|name| tensor(name, [48, 1]))),
        "dynamic_batching": {}, "parameters": {"horizon": {"string_value": "48"}},
    });
    Operation::new("modelConfig", "A model in the terms of Triton's configuration", READ)
        .gives(Content::json(Schema::named("ModelConfig"), example))
        .fails(FINDING)
}

fn statistics_operation(id: &'static str, summary: &'static str, need: Need) -> Operation {
    let one = |count: u64, ns: u64| json!({"count": count, "ns": ns});
    let example = json!({"model_stats": [{
        "name": "taxi", "version": "1", "last_inference": 1_764_150_000_000_u64,
        "inference_count": 3, "execution_count": 2,
        "inference_stats": {
            "success": one(3, 900_000), "fail": one(0, 0), "queue": one(3, 60_000), "compute_input": one(3, 30_000),
            "compute_infer": one(3, 700_000), "compute_output": one(3, 30_000),
            "cache_hit": one(0, 0), "cache_miss": one(0, 0),
        },
        "response_stats": {}, "batch_stats": [], "memory_usage": [],
    }]});
    Operation::new(id, summary, need)
        .about("Since the server started: requests by part of their way, windows, and batches by size.")
        .compresses()
        .gives(Content::json(Schema::named("Statistics"), example))
        .fails(FINDING)
}

fn infer_request() -> Value {
    let data = [10844, 8127, 6210, 4656, 3820, 2873, 2369, 2064];
    json!({
        "id": "a",
        "inputs": [{"name": "series", "shape": [1, data.len(), 1], "datatype": "FP32", "data": data}],
        "outputs": [{"name": "forecast"}, {"name": "upper"}],
        "parameters": {"priority": 2, "timeout": 200_000},
    })
}

/// Where an answer of the examples comes from.
fn example_parameters() -> Value {
    json!({"model_hash": "5f2c…", "profile": "cpu-f32", "node": "local", "receipt": "gateway-0-4711"})
}

fn infer_operation() -> Operation {
    let output = |name: &str, data: [f32; 2]| json!({"name": name, "datatype": "FP32", "shape": [1, 2, 1], "data": data});
    let answer = json!({
        "model_name": "taxi", "model_version": "1", "id": "a", "parameters": example_parameters(),
        "outputs": [output("forecast", [2221.5, 2110.25]), output("upper", [2890.0, 3010.5])],
    });
    let length =
        |about| Header { name: "Inference-Header-Content-Length", about, schema: Schema::whole(0, "Bytes.") };
    let operation = Operation::new("infer", "Predictions from windows, or from a step of a sequence", Need::Predict)
        .about(
            "One input, `series`, of windows × rows × channels: at least the model's window_min rows, better its \
             window_recommended. With a sequence_id there is one window, whose rows are the next ones of that sequence. \
             Tensors may travel as little-endian bytes behind the JSON, or as a bare window of FP32 rows.",
        )
        .header(length(
            "How much of the body is JSON; the tensors follow. 0: the body is one window of FP32 rows, without any JSON.",
        ))
        .takes(Content::json(Schema::named("InferRequest"), infer_request()))
        .takes(Content::bytes("JSON and the tensors behind it, or one bare tensor, as Inference-Header-Content-Length says."))
        .compresses()
        .gives(Content::json(Schema::named("InferResponse"), answer))
        .gives(Content::bytes("JSON and the tensors behind it, in the order of the outputs."))
        .gives_header(length("How much of the answer is JSON, where tensors follow; before any compression."))
        .fails(FINDING)
        .fails(PREDICTING)
        .fails(OF_SEQUENCES);
    reporting(operation)
}

/// An operation that reports the load with its answers, refusals included, to callers who ask for that.
fn reporting(operation: Operation) -> Operation {
    operation
        .header(Header {
            name: "Endpoint-Load-Metrics-Format",
            about: "Asks for a report of the load (ORCA) with the answer, in this form; small letters do as well.",
            schema: Schema::one_of_texts([Format::Text, Format::Json, Format::Binary].map(Format::as_str), ""),
        })
        .gives_header(Header {
            name: "Endpoint-Load-Metrics",
            about: "The report, behind the word for its form; also of answers that are refusals.",
            schema: Schema::text("").with("examples", vec!["TEXT cpu_utilization=0.3, mem_utilization=0.8, eps=0"]),
        })
}

fn predictions_operation() -> Operation {
    let request = json!({"priority": "high", "requests": [
        {"id": "a", "model": "taxi", "series": [[10844], [8127], [6210], [4656]], "deadline_ms": 200},
        {"id": "b", "model": "nowhere", "series": [1, 2, 3]},
    ]});
    let plan = json!({"strategy_used": "weighted_least_connections", "estimated_completion_time_ms": 4.75,
        "parts": [{"node": "n1", "requests": 1}]});
    let answer = json!({"batch_id": "01935f7e-8a4f-7c3e-9f53-1c2d3e4f5a6b", "plan": plan, "results": [
        {"id": "a", "status": 200, "model": "taxi", "version": "1", "forecast": [[4010.5], [3555.0]],
            "lower": [[3300.0], [2600.5]], "upper": [[4700.0], [4500.5]], "parameters": example_parameters()},
        {"id": "b", "status": 404, "error": "no model is named \"nowhere\"", "code": "SPW-MODEL-NOT-FOUND", "retryable": false},
    ]});
    let operation = Operation::new("predictions", "Many requests in one call", Need::Predict)
        .about(
            "Requests to any models, each with its own deadline, status and place in the results. Only a body that is no batch \
             call is refused whole. Where several nodes answer, requests without a sequence are divided over them at once.",
        )
        .takes(Content::json(Schema::named("PredictionsRequest"), request))
        .compresses()
        .gives(Content::json(Schema::named("PredictionsResponse"), answer))
        .fails(&[Code::JsonMalformed, Code::RequestInvalid, Code::Starting, Code::Internal]);
    reporting(operation)
}

fn observations_operation() -> Operation {
    let request = json!({"observations": [
        {"request_id": "r-17", "values": [[12345]]},
        {"sequence_id": "fleet-7", "sequence_step": 12, "from_step": 2, "values": [[12011], [11870]]},
    ]});
    let answer = json!({"results": [
        {"status": 200, "matched": 1, "repeated": 0},
        {"status": 404, "error": "nothing is remembered", "code": "SPW-FORECAST-UNKNOWN", "retryable": false},
    ]});
    Operation::new("observations", "The truth for earlier forecasts", Need::Model(Action::ObservationWrite))
        .about(
            "Each observation names a request by its id, or a step of a sequence, and has its own status and place in the \
             results. Truths may come in pieces, in any order and more than once.",
        )
        .takes(Content::json(Schema::named("ObservationsRequest"), request))
        .compresses()
        .gives(Content::json(Schema::named("ObservationsResponse"), answer))
        .fails(FINDING)
        .fails(&[Code::JsonMalformed, Code::RequestInvalid, Code::NotOffered])
}

fn accuracy_operation() -> Operation {
    let version = json!({
        "version": "1", "matured_total": 9120, "off_scale_total": 0, "values": 5000, "mae": 402.1, "rmse": 611.9, "intervals": 5000,
        "coverage": 0.948, "coverage_wanted": 0.95, "interval_width": 2210.4, "interval_score": 3105.7, "skill": 0.61,
        "awaiting": 48, "forgotten_total": 0, "failed_total": 0,
    });
    let comparison = json!({
        "version": "2", "against": "1", "requests": 960, "requests_min": 200, "mean_difference": -12.3,
        "interval": [-19.9, -4.7], "verdict": "better", "failed_total": 0, "against_failed_total": 0,
    });
    let example = json!({"model": "taxi", "versions": [version], "comparisons": [comparison]});
    Operation::new("accuracy", "How right a model's forecasts turned out to be", STATISTICS)
        .about("Of each version, over its newest 5,000 values whose truth is known; and which of two versions is better.")
        .gives(Content::json(Schema::named("Accuracy"), example))
        .fails(FINDING)
        .fails(&[Code::NotOffered])
}

fn index_operation() -> Operation {
    let entry = |name: &str, state: &str, reason: &str| json!({"name": name, "version": "1", "state": state, "reason": reason});
    let entries = [entry("taxi", "READY", ""), entry("old", "UNAVAILABLE", "unloaded")];
    Operation::new(
        "repositoryIndex",
        "Every version in the models folder, whether it answers or not",
        Need::Region(Action::ModelList),
    )
    .may_take(Content::json(Schema::named("RepositoryIndexRequest"), json!({"ready": false})))
    .gives(Content::json(Schema::list(Schema::named("RepositoryEntry"), ""), json!(entries)))
    .fails(&[Code::RequestInvalid, Code::Starting, Code::Io, Code::Internal])
}

fn change_operation(id: &'static str, summary: &'static str, action: Action) -> Operation {
    Operation::new(id, summary, Need::Model(action))
        .may_take(Content::json(Schema::named("RepositoryRequest"), json!({"parameters": {}})))
        .fails(&[Code::RequestInvalid, Code::NotOffered])
        .fails(FINDING)
}

fn load_operation() -> Operation {
    let reason = "SPW-FILE-CORRUPT: the model file is damaged: the contents do not match the checksum";
    let entry = json!({"name": "taxi", "version": "8", "state": "UNAVAILABLE", "reason": reason});
    change_operation("repositoryModelLoad", "Serve a model's files as they are now", Action::ModelLoad).about(
        "New and changed versions are tried out first and take the place of what is served in one step. A version that cannot \
         be loaded is left out where others can be, and the answer names it.",
    )
    .gives(Content::json(Schema::named("RepositoryLoaded"), json!({"not_loaded": [entry]})))
}

fn unload_operation() -> Operation {
    change_operation(
        "repositoryModelUnload",
        "Serve no version of a model any more, after the requests under way",
        Action::ModelUnload,
    )
}

/// An operation on the state of a sequence.
fn state_operation(id: &'static str, summary: &'static str, action: Action) -> Operation {
    Operation::new(id, summary, Need::Sequence(action))
        .fails(&[
            Code::ModelNotFound,
            Code::RequestInvalid,
            Code::NotOffered,
            Code::QueueFull,
            Code::Starting,
            Code::Stopping,
        ])
        .fails(&[
            Code::DeadlineExceeded,
            Code::FileCorrupt,
            Code::FileForeign,
            Code::FileTruncated,
            Code::Internal,
        ])
        .fails(&[Code::FileFromTheFuture, Code::TaskMismatch, Code::Io])
        .fails(OF_SEQUENCES)
}

fn step(sequence: &str) -> Content {
    let example = json!({"model": "taxi", "sequence_id": sequence, "sequence_step": 12});
    Content::json(Schema::named("SequenceStep"), example)
}

fn state_get_operation() -> Operation {
    state_operation("sequenceStateGet", "A copy of a sequence's state", Action::SequenceRead)
        .gives(Content::bytes("The state, to be put back here or elsewhere as it is."))
        .gives_header(Header {
            name: "Spinwell-Sequence-Step",
            about: "The newest step in the state.",
            schema: Schema::whole(0, ""),
        })
}

fn state_put_operation() -> Operation {
    state_operation(
        "sequenceStatePut",
        "Begin or replace a sequence with a state that was taken away before",
        Action::SequenceWrite,
    )
    .takes(Content::bytes("A state as GET gave it."))
    .gives(step("stream-7"))
}

fn state_delete_operation() -> Operation {
    state_operation("sequenceStateDelete", "Remove a sequence", Action::SequenceWrite).gives(step("stream-7"))
}

fn receipt_operation() -> Operation {
    let example = json!({
        "batch_proof": ["Zt1C…="], "entry": "{\"at\":1795000000000000,…,\"kind\":\"batch\"}", "format": "spinwell-receipt-1",
        "record": "{\"at\":1795000000000000,\"model\":\"taxi\",…}", "tlog_proof": "c2sp.org/tlog-proof@v1\nindex 17\n…",
    });
    Operation::new("receipt", "The proof that a prediction stands in the ledger", Need::Ledger(Action::ReceiptRead))
        .about(
            "By the id that the answer carried as its parameter `receipt`. What was answered within the last second waits for the \
             next checkpoint. `spinwell audit receipt FILE --key VKEY` checks it without this server.",
        )
        .gives(Content::json(Schema::named("Receipt"), example))
        .fails(&[Code::ReceiptUnknown, Code::NotOffered, Code::LedgerFailed, Code::LedgerWrong, Code::Internal])
}

fn fork_operation() -> Operation {
    state_operation("sequenceFork", "Begin another sequence with the same state", Action::SequenceWrite)
        .takes(Content::json(Schema::named("ForkRequest"), json!({"to": "what-if"})))
        .fails(&[Code::SequenceExists])
        .gives(step("what-if"))
}
