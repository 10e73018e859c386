//! The named schemas of the document: what stands in bodies. Names of codes, outputs and datatypes come from the types that
//! the server itself uses.

use super::Schema;
use crate::region::STATES;
use spinwell_core::{Code, SequenceId, StateSource};
use spinwell_protocol::OutputDatatype;

/// The longest `subject` or `purpose`, in bytes.
const LABEL_BYTES_MAX: usize = 128;

/// Every named schema.
pub(super) fn all() -> Vec<(&'static str, Schema)> {
    [
        of_errors(),
        of_server(),
        of_models(),
        of_inference(),
        of_repository(),
        of_predictions(),
        of_observations(),
        of_sequences(),
    ]
    .concat()
}

/// Texts without control characters, as ids of sequences are.
const PRINTABLE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

type Named = Vec<(&'static str, Schema)>;

fn of_errors() -> Named {
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let error = Schema::object("Any answer but a 200.")
        .field("error", Schema::text("What was wrong and what would be right, for people."))
        .field(
            "code",
            Schema::one_of_texts(codes, "What was wrong, for programs; it never changes its meaning."),
        )
        .field("retryable", Schema::truth("Whether the same request may succeed later or on another server."))
        .optional(
            "retry_after_ms",
            Schema::whole(0, "When to try again, in milliseconds, where that is known."),
        )
        .optional("expected_step", Schema::whole(0, "The sequence_step that would have been right."));
    vec![("Error", error)]
}

fn of_server() -> Named {
    let server = Schema::object("The server.")
        .field("name", Schema::text(""))
        .field("version", Schema::text(""))
        .field(
            "extensions",
            Schema::list(Schema::text(""), "The extensions of the protocol that are offered."),
        );
    let live = Schema::object("The process runs.").field("live", Schema::truth("Always true."));
    let ready = Schema::object("The server takes requests.")
        .field("ready", Schema::truth("Always true; a server that is not ready answers with a 503."))
        .optional("live", Schema::truth("The same; some clients look for this name."));
    vec![
        ("ServerMetadata", server),
        ("Live", live),
        ("Ready", ready),
        ("Region", region()),
        ("RegionNode", region_node()),
        ("ChosenStrategy", chosen_strategy()),
        ("ProcessingCluster", processing_cluster()),
    ]
}

fn region() -> Schema {
    let left = "Predictions a second that are left when the largest processing cluster fails.";
    let capacity = Schema::object("What the region can carry.")
        .field("total_per_second", Schema::number("Predictions a second with all serving nodes busy."))
        .field("effective_per_second", Schema::number("Predictions a second at the target utilisation."))
        .field("without_largest_per_second", Schema::number(left));
    Schema::object("The nodes of a region, as this gateway knows them.")
        .field("strategy", Schema::text("The strategy by which nodes are chosen."))
        .field("routes", Schema::map(Schema::text(""), "Those of models that have one of their own."))
        .field("nodes", Schema::list(Schema::named("RegionNode"), "By name."))
        .field("processing_clusters", Schema::list(Schema::named("ProcessingCluster"), "By name."))
        .field("capacity", capacity)
}

fn processing_cluster() -> Schema {
    let about = "Its nodes by how they stand. Only those that serve carry anything.";
    let nodes =
        STATES.iter().fold(Schema::object(about), |nodes, state| nodes.field(state, Schema::whole(0, "")));
    Schema::object("A processing cluster.")
        .field("name", Schema::text("Its name."))
        .field("nodes", nodes)
        .field("total_per_second", Schema::number("Predictions a second with all its serving nodes busy."))
        .field("effective_per_second", Schema::number("Predictions a second at the target utilisation."))
}

fn chosen_strategy() -> Schema {
    Schema::object("By what nodes are chosen from now on.")
        .field("strategy", Schema::text("The strategy."))
        .optional("model", Schema::text("For the requests of this model alone."))
}

fn region_node() -> Schema {
    let absent = || Schema::any("").with("type", "null");
    let or_null = |schema: Schema, about| Schema::any_of([schema, absent()], about);
    let share = |about| or_null(Schema::number("In [0, 1]."), about);
    let load = Schema::object("How busy it is.")
        .field("queue_len", Schema::whole(0, "Requests waiting."))
        .field("batches_executing", Schema::whole(0, "Batches in the engine."))
        .field("executors", Schema::whole(0, "Batches that could be there at once."))
        .field("cpu_free", share("The share of the processors that nobody uses."))
        .field("memory_free", share("The share of the memory that is not in use."))
        .field("sequences_in_memory", Schema::whole(0, "Sequences whose state is in memory."));
    let life = or_null(Schema::text("Sixteen hexadecimal digits."), "Another one is another process.");
    let gateway = Schema::object("A gateway.")
        .field("name", Schema::text("What it calls itself."))
        .field("life", life.clone());
    Schema::object("A node.")
        .field("id", Schema::text("Its name."))
        .field("state", Schema::one_of_texts(STATES, "Whether it gets requests."))
        .field("address", Schema::text("Where it is reached."))
        .field("processing_cluster", Schema::text("The processing cluster that it is part of."))
        .field("weight", Schema::number("How much work it takes in relation to the others."))
        .field(
            "capacity_per_second",
            or_null(Schema::number("Above 0."), "Predictions a second that it says it can carry."),
        )
        .field("life", life)
        .field("shares_sequences", Schema::truth("Whether another node can go on with its sequences."))
        .field(
            "gateways",
            or_null(
                Schema::list(gateway, ""),
                "The gateways that have found it, this one among them, where it tells.",
            ),
        )
        .field("unreachable", or_null(Schema::text("Why."), "Why it cannot be reached, while that is so."))
        .field("load", or_null(load, "Nothing while it is not connected."))
}

fn of_models() -> Named {
    let ready = Schema::object("The model answers.")
        .field("name", Schema::text("The model."))
        .field("ready", Schema::truth("Always true; a model that does not answer has an error instead."));
    let tensor = Schema::object("A tensor of a model.")
        .field("name", Schema::text("`series` for the input."))
        .field("datatype", Schema::text("As the protocol names it, `FP32` for instance."))
        .field(
            "shape",
            Schema::list(Schema::integer("-1 where it varies."), "Batch, time, channel for the input."),
        );
    let tensors = |about| Schema::list(Schema::named("TensorMetadata"), about);
    let properties = "Facts as text: window_min, window_recommended and window_max in rows, channels, targets, horizon, season, \
        coverage, family, model_hash, profile and more, by the model's task.";
    let metadata = Schema::object("A model.")
        .field("name", Schema::text(""))
        .field("versions", Schema::list(Schema::text(""), "The versions that answer, lowest first."))
        .field("platform", Schema::text("`spinwell_` and the model's family."))
        .field("inputs", tensors("One input, `series`."))
        .field("outputs", tensors("Every output, also those that are answered only where they are named."))
        .field("properties", Schema::map(Schema::text(""), properties));
    let of_config = Schema::object("A tensor in Triton's terms.")
        .field("name", Schema::text(""))
        .field("data_type", Schema::text("`TYPE_FP32` for instance."))
        .field("dims", Schema::list(Schema::integer("-1 where it varies."), "Without the batch."));
    let configured = |about| Schema::list(Schema::named("TensorConfig"), about);
    let parameter = Schema::object("").field("string_value", Schema::text(""));
    let config = Schema::object("The part of Triton's model configuration that is true here.")
        .field("name", Schema::text(""))
        .field("platform", Schema::text(""))
        .field("backend", Schema::text(""))
        .field("max_batch_size", Schema::whole(0, "Windows that are computed together at most."))
        .field("input", configured(""))
        .field("output", configured(""))
        .field("dynamic_batching", Schema::map(Schema::any(""), "There, and empty: what waits is batched."))
        .field("parameters", Schema::map(parameter, "The properties of the metadata."));
    vec![
        ("ModelReady", ready),
        ("TensorMetadata", tensor),
        ("ModelMetadata", metadata),
        ("TensorConfig", of_config),
        ("ModelConfig", config),
        ("Duration", duration()),
        ("ModelStatistics", statistics()),
        ("Statistics", all_statistics()),
    ]
}

fn duration() -> Schema {
    Schema::object("How often, and how long altogether.")
        .field("count", Schema::whole(0, ""))
        .field("ns", Schema::whole(0, "Nanoseconds."))
}

fn statistics() -> Schema {
    let parts = [
        "success",
        "fail",
        "queue",
        "compute_input",
        "compute_infer",
        "compute_output",
        "cache_hit",
        "cache_miss",
    ];
    let stats = parts
        .into_iter()
        .fold(Schema::object(""), |stats, part| stats.field(part, Schema::named("Duration")));
    let batch = Schema::object("Batches of one size.").field("batch_size", Schema::whole(1, "Windows."));
    let batch = ["compute_input", "compute_infer", "compute_output"]
        .into_iter()
        .fold(batch, |batch, part| batch.field(part, Schema::named("Duration")));
    Schema::object("What was counted of one version of a model.")
        .field("name", Schema::text(""))
        .field("version", Schema::text(""))
        .field("last_inference", Schema::whole(0, "Milliseconds since 1970; 0 where there was none."))
        .field("inference_count", Schema::whole(0, "Windows that were predicted from."))
        .field("execution_count", Schema::whole(0, "Batches that were computed."))
        .field("inference_stats", stats)
        .field("response_stats", Schema::map(Schema::any(""), "Empty: no model answers in parts."))
        .field("batch_stats", Schema::list(batch, ""))
        .field("memory_usage", Schema::list(Schema::any(""), "Empty."))
}

fn all_statistics() -> Schema {
    Schema::object("")
        .field("model_stats", Schema::list(Schema::named("ModelStatistics"), "By name and version."))
}

/// What may stand beside the tensors of an inference request.
fn request_parameters() -> Schema {
    let value = [Schema::text(""), Schema::number(""), Schema::truth("")];
    Schema::object("Others are let pass. At most 64.")
        .optional(
            "priority",
            Schema::whole(0, "1 critical, 2 high, 3 normal, 4 low; 0 is 3, anything above is 4."),
        )
        .optional(
            "timeout",
            Schema::whole(0, "Microseconds after which the answer is worth nothing; 0 is the server's `limits.deadline_ms`; at most `limits.deadline_max_ms` counts."),
        )
        .optional("binary_data_output", Schema::truth("Whether outputs come back as bytes behind the JSON."))
        .optional("sequence_id", sequence_id())
        .optional("sequence_start", Schema::truth(
                "Whether the sequence begins with this step; not where sequence_step is 1 and this step was taken before.",
            ))
        .optional("sequence_end", Schema::truth("Whether it is over after this step."))
        .optional("sequence_step", sequence_step())
        .optional("subject", label("Whose data it is."))
        .optional("purpose", label("What the prediction is for."))
        .with("additionalProperties", Schema::any_of(value, "").into_json())
}

fn label(about: &str) -> Schema {
    Schema::text(about).length(0, LABEL_BYTES_MAX)
}

/// The id of a sequence as text. Its length is limited in bytes, which a schema cannot say.
pub(super) fn printable(about: &str, least: usize) -> Schema {
    Schema::text(about).length(least, SequenceId::BYTES_MAX).with("pattern", PRINTABLE)
}

fn sequence_id() -> Schema {
    let forms = [Schema::whole(0, ""), printable("", 0)];
    Schema::any_of(forms, "The sequence that this is a step of; 0 and the empty text are none.")
}

fn sequence_step() -> Schema {
    Schema::whole(1, "The number of the step: sent again, it is not applied twice.")
}

/// What an answer says beside the outputs.
fn answer_parameters() -> Schema {
    let sources = [StateSource::Cold, StateSource::Live, StateSource::Standby, StateSource::Snapshot]
        .map(StateSource::as_str);
    Schema::object("Where the answer comes from; of a sequence's step also what became of it.")
        .field("model_hash", Schema::text("SHA-256 of the model's file."))
        .field("profile", Schema::text("The arithmetic: `cpu-f32`, `cpu-f64` or `gpu-f32`."))
        .field("node", Schema::text("Who computed it."))
        .optional("receipt", Schema::text("The id of its receipt, where there is a ledger."))
        .optional("sequence_step", Schema::whole(1, "The number of the step."))
        .optional("state_source", Schema::one_of_texts(sources, "Where the sequence's state came from."))
        .optional("durable", Schema::truth("Whether the step survives the loss of the process."))
        .optional(
            "warming_up",
            Schema::truth("Whether too few rows were seen yet, so that the answer is a naive one."),
        )
}

fn of_inference() -> Named {
    let numbers = || Schema::list(Schema::number(""), "");
    let nested = Schema::list(Schema::list(numbers(), ""), "Nested as the shape says.");
    let size = Schema::whole(0, "Bytes of this tensor behind the JSON; then there is no data.");
    let parameters = Schema::object("").optional("binary_data_size", size.clone());
    let input = Schema::object("The windows.")
        .field("name", Schema::one_of_texts(["series"], ""))
        .field("shape", Schema::list(Schema::whole(1, ""), "Windows, rows, channels.").entries(3, 3))
        .field("datatype", Schema::one_of_texts(["FP32", "FP64", "FP16"], ""))
        .optional("parameters", parameters)
        .optional(
            "data",
            Schema::any_of([numbers(), nested], "The values, row by row, flat or nested. All finite."),
        );
    let wanted = Schema::object("An output that is asked for.")
        .field(
            "name",
            Schema::text(
                "`forecast`, `lower`, `upper`, `direction`, `confidence`; others by the model's task.",
            ),
        )
        .optional(
            "parameters",
            Schema::object("").optional("binary_data", Schema::truth("As bytes behind the JSON.")),
        );
    let request = Schema::object("A request for predictions.")
        .optional("id", Schema::text("Comes back in the answer."))
        .optional("parameters", Schema::named("RequestParameters"))
        .field("inputs", Schema::list(Schema::named("InputTensor"), "").entries(1, 1))
        .optional(
            "outputs",
            Schema::list(Schema::named("RequestedOutput"), "Left out: the usual ones.").entries(0, 12),
        );
    let datatypes = [OutputDatatype::Fp32, OutputDatatype::Int8, OutputDatatype::Bool, OutputDatatype::Bytes];
    let value = [Schema::number(""), Schema::truth(""), Schema::text("")];
    let output = Schema::object("An output.")
        .field("name", Schema::text(""))
        .field("datatype", Schema::one_of_texts(datatypes.map(OutputDatatype::as_str), ""))
        .field("shape", Schema::list(Schema::whole(0, ""), "Windows, steps, targets for a forecast."))
        .optional("parameters", Schema::object("").field("binary_data_size", size))
        .optional(
            "data",
            Schema::list(Schema::any_of(value, ""), "The values, flat; missing where they are bytes."),
        );
    let response = Schema::object("Predictions.")
        .field("model_name", Schema::text(""))
        .field("model_version", Schema::text(""))
        .optional("id", Schema::text("As the request had it."))
        .field("parameters", Schema::named("AnswerParameters"))
        .field("outputs", Schema::list(Schema::named("OutputTensor"), ""));
    vec![
        ("InferRequest", request),
        ("InputTensor", input),
        ("RequestParameters", request_parameters()),
        ("RequestedOutput", wanted),
        ("InferResponse", response),
        ("OutputTensor", output),
        ("AnswerParameters", answer_parameters()),
    ]
}

fn of_repository() -> Named {
    let asked = Schema::object("May be left out.")
        .optional("ready", Schema::truth("Whether to list only what answers.").with("default", false));
    let entry = Schema::object("A version of a model.")
        .field("name", Schema::text(""))
        .field("version", Schema::text(""))
        .field("state", Schema::one_of_texts(["READY", "UNAVAILABLE"], ""))
        .field("reason", Schema::text("Why it does not answer; empty where it does."));
    let change = Schema::object("May be left out.").optional(
        "parameters",
        Schema::map(
            Schema::any(""),
            "Let pass, but for `config` and `file:..`: models come from the models folder.",
        ),
    );
    let loaded = Schema::object("What became of a load.").field(
        "not_loaded",
        Schema::list(
            Schema::named("RepositoryEntry"),
            "Versions that could not be loaded, beside those that are served now.",
        ),
    );
    vec![
        ("RepositoryIndexRequest", asked),
        ("RepositoryEntry", entry),
        ("RepositoryRequest", change),
        ("RepositoryLoaded", loaded),
    ]
}

fn of_predictions() -> Named {
    let text_or_number = || [Schema::text(""), Schema::whole(0, "")];
    let numbers = || Schema::list(Schema::number(""), "");
    let series = [numbers(), Schema::list(numbers(), "")];
    let request = Schema::object("One window, or one step of a sequence.")
        .optional("id", Schema::text("Comes back in the result."))
        .field("model", Schema::text("The model's name."))
        .optional(
            "version",
            Schema::any_of(text_or_number(), "The highest that answers, where it is left out."),
        )
        .field("series", Schema::any_of(series, "Rows of channels, `[[..],..]`; of one channel also flat."))
        .optional("outputs", Schema::list(Schema::text(""), "Left out: the usual ones.").entries(0, 12))
        .optional("deadline_ms", Schema::whole(
                1,
                "After how many milliseconds the answer is worth nothing; at most `limits.deadline_max_ms` of the server counts.",
            ))
        .optional("sequence_id", sequence_id())
        .optional("sequence_start", Schema::truth(""))
        .optional("sequence_end", Schema::truth(""))
        .optional("sequence_step", sequence_step())
        .optional("subject", label("Whose data it is."))
        .optional("purpose", label("What the prediction is for."))
        .and_nothing_else();
    let call = Schema::object("Requests to any models.")
        .optional(
            "priority",
            Schema::one_of_texts(["critical", "high", "normal", "low"], "").with("default", "normal"),
        )
        .field("requests", Schema::list(Schema::named("PredictionRequest"), "").with("minItems", 1))
        .and_nothing_else();
    let outputs = "The outputs by name, nested by their shape without the batch: `forecast`, `lower`, `upper` for instance.";
    let result = Schema::object("What became of one request: outputs by name, or an error.")
        .field("id", Schema::text("As the request had it, empty where it had none."))
        .field("status", Schema::whole(100, "The HTTP status that the request would have had alone."))
        .optional("model", Schema::text(""))
        .optional("version", Schema::text(""))
        .optional("parameters", Schema::named("AnswerParameters"))
        .optional(
            "error",
            Schema::text("What was wrong, as in Error; and so on with code, retryable and the hints."),
        )
        .optional("code", Schema::text(""))
        .optional("retryable", Schema::truth(""))
        .optional("retry_after_ms", Schema::whole(0, ""))
        .optional("expected_step", Schema::whole(0, ""))
        .with("additionalProperties", Schema::any(outputs).into_json());
    let part = Schema::object("What a node got first.")
        .field("node", Schema::text("The node."))
        .field("requests", Schema::whole(1, "How many requests."));
    let plan = Schema::object(
        "How requests without a sequence were divided over nodes; missing where the server is one process. Where a node fails, \
         its requests go on to others.",
    )
    .field(
        "strategy_used",
        Schema::text("By which strategy; where models have their own, all of them with commas between."),
    )
    .optional(
        "estimated_completion_time_ms",
        Schema::number("When the slowest part was expected to be done; missing while nobody can say."),
    )
    .field("parts", Schema::list(part, "By node."));
    let answer = Schema::object("")
        .field("batch_id", Schema::text("The call, in the records."))
        .optional("plan", Schema::named("PredictionsPlan"))
        .field("results", Schema::list(Schema::named("PredictionResult"), "One a request, in order."));
    vec![
        ("PredictionsRequest", call),
        ("PredictionRequest", request),
        ("PredictionsResponse", answer),
        ("PredictionsPlan", plan),
        ("PredictionResult", result),
    ]
}

fn of_observations() -> Named {
    let numbers = || Schema::list(Schema::number(""), "");
    let rows = [numbers(), Schema::list(numbers(), "")];
    let observation = Schema::object("The truth for a request_id, or for a sequence_id and a sequence_step.")
        .optional("request_id", Schema::text("The id of the request that was answered."))
        .optional("window", Schema::whole(0, "Which window of the request, from 0.").with("default", 0))
        .optional("sequence_id", sequence_id())
        .optional("sequence_step", sequence_step())
        .optional("from_step", Schema::whole(1, "How many steps ahead the first row is.").with("default", 1))
        .field("values", Schema::any_of(rows, "Rows of one value for each target; of one target also flat."));
    let call = Schema::object("Truths for forecasts of a model.")
        .field("observations", Schema::list(Schema::named("Observation"), "").with("minItems", 1));
    let result = Schema::object("What became of one observation.")
        .field("status", Schema::whole(100, ""))
        .optional("matched", Schema::whole(0, "Rows that were news."))
        .optional("repeated", Schema::whole(0, "Rows that were known."))
        .optional("error", Schema::text("What was wrong, as in Error; and so on with code and retryable."))
        .optional("code", Schema::text(""))
        .optional("retryable", Schema::truth(""));
    let answer =
        Schema::object("").field("results", Schema::list(Schema::named("ObservationResult"), "In order."));
    let versions = Schema::list(Schema::map(Schema::any(""), ""), "Figures of each version.");
    let compared =
        Schema::list(Schema::map(Schema::any(""), ""), "Versions that forecast the same requests.");
    let accuracy = Schema::object("Figures in the data's units; null where there are none yet.")
        .field("model", Schema::text(""))
        .field("versions", versions)
        .field("comparisons", compared);
    vec![
        ("ObservationsRequest", call),
        ("Observation", observation),
        ("ObservationsResponse", answer),
        ("ObservationResult", result),
        ("Accuracy", accuracy),
    ]
}

fn of_sequences() -> Named {
    let step = Schema::object("Where a sequence stands.")
        .field("model", Schema::text(""))
        .field("sequence_id", Schema::text(""))
        .field("sequence_step", Schema::whole(0, "The newest step in its state."));
    let fork = Schema::object("").field("to", printable("The id of the sequence that begins there.", 1));
    let text = |about| Schema::text(about);
    let receipt = Schema::object(
        "The record of a prediction, and all that is needed to see that it stands in the log.",
    )
    .field("batch_proof", Schema::list(text(""), "The hashes from the record to its batch's root."))
    .field("entry", text("The batch's entry, as it stands in the log."))
    .field("format", text("`spinwell-receipt-1`."))
    .field("record", text("The record, as it stands in the batch."))
    .field(
        "tlog_proof",
        text("The hashes from the entry to the signed checkpoint, as C2SP tlog-proof has them."),
    );
    vec![("SequenceStep", step), ("ForkRequest", fork), ("Receipt", receipt)]
}
