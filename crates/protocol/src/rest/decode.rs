//! An inference request over REST: JSON, or JSON with binary tensors behind it.

use super::body::{InferBody, InputTensor, may_be_object};
use crate::call::checked_id;
use crate::outputs::Outputs;
use crate::parameters::{RequestParameters, input_binary_size, output_packing};
use crate::sequence::Feeds;
use crate::tensor::{self, Datatype, INPUT_NAME, Shape};
use crate::{Call, ModelDescription, Packing, quoted, reason};
use spinwell_core::{Code, Fault, Series};

/// The header that says how much of a body is JSON.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// How a body is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// All of it is JSON.
    Json,
    /// One binary tensor without any JSON: a window, of the model's datatype. All outputs come back binary.
    Raw,
    /// So many bytes are JSON, binary tensors follow.
    Binary {
        /// The length of the JSON.
        json_bytes: usize,
    },
}

impl Framing {
    /// The framing that the header asks for, from its values.
    ///
    /// # Errors
    /// [`Code::FramingInvalid`] where there are several, or where it is no number written in one way alone: what two
    /// readers could divide differently is not divided.
    pub fn from_header<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Result<Self, Fault> {
        let mut values = values.into_iter();
        let Some(value) = values.next() else { return Ok(Framing::Json) };
        if values.next().is_some() {
            let message = "Inference-Header-Content-Length stands there more than once; send it once";
            return Err(Fault::new(Code::FramingInvalid, message));
        }
        let text = String::from_utf8_lossy(value);
        let number = text.trim();
        match number.parse::<usize>() {
            Ok(parsed) if parsed.to_string() != number => Err(()),
            Ok(0) => Ok(Framing::Raw),
            Ok(json_bytes) => Ok(Framing::Binary { json_bytes }),
            Err(_) => Err(()),
        }
        .map_err(|()| {
            let message = format!(
                "Inference-Header-Content-Length is {}, it must be a number of bytes in digits, such as 120",
                quoted(&text)
            );
            Fault::new(Code::FramingInvalid, message)
        })
    }
}

/// Decodes a whole body into a request that the model can answer.
///
/// # Errors
/// A fault that blames the caller and says what would have been right.
pub fn decode(body: &[u8], framing: Framing, model: &ModelDescription) -> Result<Call, Fault> {
    let (json, binary) = match framing {
        Framing::Json => (body, None),
        Framing::Raw => return decode_raw(body, model),
        Framing::Binary { json_bytes } => {
            let (json, binary) = body.split_at_checked(json_bytes).ok_or_else(|| {
                let message = format!(
                    "Inference-Header-Content-Length is {json_bytes}, the body has only {} bytes",
                    body.len()
                );
                Fault::new(Code::FramingInvalid, message)
            })?;
            (json, Some(binary))
        }
    };
    let request = parse(json)?;
    let input = tensor::one_input(request.inputs)?;
    let parameters = RequestParameters::read(request.parameters)?;
    let series = decode_input(input, binary, model, Feeds::of(parameters.sequence.as_ref(), model)?)?;
    let mut wanted = Vec::with_capacity(request.outputs.len());
    for output in &request.outputs {
        wanted.push((output.name.as_ref(), output_packing(&output.name, &output.parameters)?));
    }
    Ok(Call {
        id: checked_id(request.id.as_deref().unwrap_or_default())?,
        series,
        outputs: Outputs::requested(wanted, parameters.packing.unwrap_or_default(), model)?,
        parameters,
    })
}

/// A body of one window in the model's datatype, with nothing else said.
fn decode_raw(body: &[u8], model: &ModelDescription) -> Result<Call, Fault> {
    let row_bytes = model.channels.len() * Datatype::Fp32.bytes();
    if !body.len().is_multiple_of(row_bytes) {
        let message = format!(
            "a raw body holds one window of FP32 rows, {row_bytes} bytes each; {} bytes are no whole number of them",
            body.len()
        );
        return Err(Fault::new(Code::FramingInvalid, message));
    }
    let extents = [1, body.len() / row_bytes, model.channels.len()];
    let extents = extents.map(|extent| i64::try_from(extent).unwrap_or(i64::MAX));
    let shape = Shape::checked(&extents, model, Feeds::Windows)?;
    Ok(Call {
        id: String::new(),
        series: tensor::from_bytes(shape, Datatype::Fp32, body)?,
        outputs: Outputs::usual(model, Packing::Binary),
        parameters: RequestParameters::default(),
    })
}

fn decode_input(
    input: InputTensor<'_>,
    binary: Option<&[u8]>,
    model: &ModelDescription,
    feeds: Feeds,
) -> Result<Series, Fault> {
    tensor::checked_name(&input.name)?;
    let datatype = Datatype::parse(&input.datatype)?;
    let size = input_binary_size(&input.name, &input.parameters)?;
    let shape = Shape::checked(&input.shape, model, feeds)?;
    match (size, input.data, binary) {
        (None, Some(numbers), None | Some([])) => tensor::from_numbers(shape, datatype, numbers),
        (Some(size), None, Some(bytes)) => {
            if usize::try_from(size) != Ok(bytes.len()) {
                let message = format!(
                    "binary_data_size of input {INPUT_NAME} is {size}, the body holds {} bytes behind the JSON",
                    bytes.len()
                );
                return Err(Fault::new(Code::FramingInvalid, message));
            }
            tensor::from_bytes(shape, datatype, bytes)
        }
        (None, Some(_), Some(bytes)) => Err(Fault::new(
            Code::FramingInvalid,
            format!("{} bytes follow the JSON and no input has a binary_data_size", bytes.len()),
        )),
        (Some(_), None, None) => Err(Fault::new(
            Code::FramingInvalid,
            format!(
                "input {INPUT_NAME} has a binary_data_size, but the header Inference-Header-Content-Length is missing"
            ),
        )),
        (Some(_), Some(_), _) => Err(Fault::new(
            Code::RequestInvalid,
            format!("input {INPUT_NAME} has both data and binary_data_size; send one of them"),
        )),
        (None, None, _) => Err(Fault::new(
            Code::RequestInvalid,
            format!("input {INPUT_NAME} has no data; send data, or binary_data_size and the bytes"),
        )),
    }
}

fn parse(json: &[u8]) -> Result<InferBody<'_>, Fault> {
    if !may_be_object(json) {
        return Err(Fault::new(Code::RequestInvalid, "the body is no JSON object; send {\"inputs\": [...]}"));
    }
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Fault::new(Code::RequestInvalid, format!("the body is no inference request: {}", reason(&error)))
        }
        _ if is_at_a_non_finite_word(json, &error) => Fault::new(
            Code::TensorNotFinite,
            format!("NaN and infinities are no JSON and no value to predict from: {error}"),
        ),
        _ => Fault::new(Code::JsonMalformed, format!("the body is not JSON: {error}")),
    })
}

/// Whether parsing stopped at a word that several languages write for a number that is not finite.
fn is_at_a_non_finite_word(json: &[u8], error: &serde_json::Error) -> bool {
    let line = json.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    // The column counts from one and stands at the byte that did not fit, or one behind a minus sign.
    let from = error.column().saturating_sub(2);
    let there = &line[from.min(line.len())..];
    ["NaN", "Infinity"].iter().any(|word| {
        (0..=2).any(|skip| there.get(skip..).is_some_and(|rest| rest.starts_with(word.as_bytes())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutputName;
    use crate::catalogue::tests::model;
    use proptest::prelude::*;
    use spinwell_core::Samples;

    fn good() -> serde_json::Value {
        serde_json::json!({
            "id": "a", "inputs": [{"name": "series", "shape": [1, 4, 1], "datatype": "FP32", "data": [1, 2, 3, 4]}]
        })
    }

    fn decode_text(text: &str) -> Result<Call, Code> {
        decode(text.as_bytes(), Framing::Json, &model("m", 1, 1)).map_err(|fault| fault.code())
    }

    #[test]
    fn a_good_request_becomes_a_call() {
        let call = decode_text(&good().to_string()).unwrap();
        assert_eq!(call.id, "a");
        assert_eq!(call.series.samples(), &Samples::F32(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(call.outputs, Outputs::usual(&model("m", 1, 1), Packing::Json));
    }

    #[test]
    fn keys_may_come_in_any_order_and_unknown_ones_change_nothing() {
        let text = r#"{"later": {"x": [1]}, "outputs": null, "inputs": [{"data": [[[1], [2], [3], [4]]],
            "extra": 1, "datatype": "FP64", "shape": [1, 4, 1], "name": "ser\u0069es"}]}"#;
        let call = decode_text(text).unwrap();
        assert_eq!(call.series.samples(), &Samples::F64(vec![1.0, 2.0, 3.0, 4.0]));
    }

    #[test]
    fn each_wrong_request_gets_its_code() {
        let check = |text: &str, wanted: Code| {
            assert_eq!(decode_text(text).map(|_| ()), Err(wanted), "{text}");
        };
        let input = |from: &str, to: &str| good().to_string().replace(from, to);
        check("{", Code::JsonMalformed);
        check("", Code::JsonMalformed);
        check("hello", Code::JsonMalformed);
        check("\u{0}", Code::JsonMalformed);
        check("{} {}", Code::RequestInvalid);
        check("[]", Code::RequestInvalid);
        check("7", Code::RequestInvalid);
        check("null", Code::RequestInvalid);
        check("{}", Code::RequestInvalid);
        check(r#"{"inputs": []}"#, Code::RequestInvalid);
        check(r#"{"inputs": [{}]}"#, Code::RequestInvalid);
        check(&input("\"a\"", "7"), Code::RequestInvalid);
        check(&input("\"data\"", "\"later\""), Code::RequestInvalid);
        check(&input("\"series\"", "\"sereis\""), Code::TensorUnknown);
        check(&input("\"FP32\"", "\"INT8\""), Code::TensorDatatype);
        check(&input("[1,4,1]", "[4]"), Code::TensorShape);
        check(&input("[1,4,1]", "[7,4,1]"), Code::TensorShape);
        check(&input("[1,4,1]", "[1152921504606846976,4,1]"), Code::TensorShape);
        check(&input("[1,4,1]", "[1,4.5,1]"), Code::RequestInvalid);
        check(&input("[1,4,1]", "[0,4,1]"), Code::TensorEmpty);
        check(&input("[1,2,3,4]", "[[1,2,3,4]]"), Code::TensorShape);
        check(&input("[1,2,3,4]", "[[[1]],[[2]],[[3]],[[4]]]"), Code::TensorShape);
        check(&input("[1,2,3,4]", "[\"a\",2,3,4]"), Code::TensorData);
        check(&input("[1,2,3,4]", "[1,2,3,null]"), Code::TensorData);
        check(&input("[1,2,3,4]", "[1,2,3,NaN]"), Code::TensorNotFinite);
        check(&input("[1,2,3,4]", "[1,2,-Infinity,3]"), Code::TensorNotFinite);
        check(&input("[1,2,3,4]", "[1,2,Infinity,3]"), Code::TensorNotFinite);
        check(&input("[1,2,3,4]", "[1,2,3,1e39]"), Code::TensorNotFinite);
        check(&input("[1,2,3,4]", "[1,2,3,1e400]"), Code::JsonMalformed);
        check(&input("[1,4,1]", "[1,2,1]"), Code::WindowTooShort);
        check(&input("\"id\"", "\"outputs\":[{\"name\":\"x\"}],\"id\""), Code::OutputUnknown);
        check(&input("\"id\"", "\"parameters\":{\"sequence_id\":-5},\"id\""), Code::RequestInvalid);
        check(&input("\"id\"", "\"parameters\":{\"sequence_id\":{}},\"id\""), Code::RequestInvalid);
        check(&input("\"id\"", "\"id\":\"b\",\"id\""), Code::RequestInvalid);
    }

    #[test]
    fn lists_of_nothing_cannot_ask_for_memory() {
        let many = vec!["{\"name\":\"series\",\"shape\":[],\"datatype\":\"\"}"; 100].join(",");
        assert_eq!(decode_text(&format!("{{\"inputs\":[{many}]}}")).map(|_| ()), Err(Code::RequestInvalid));
    }

    #[test]
    fn binary_tensors_are_framed_exactly() {
        let values = [1.0_f32, 2.0, 3.0, 4.0];
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let json = |size: usize| {
            format!(
                r#"{{"inputs":[{{"name":"series","shape":[1,4,1],"datatype":"FP32",
                "parameters":{{"binary_data_size":{size}}}}}],
                "outputs":[{{"name":"lower","parameters":{{"binary_data":true}}}},{{"name":"forecast"}}]}}"#
            )
        };
        let check = |json: &str, json_bytes: usize, bytes: &[u8], wanted: Result<(), Code>| {
            let body = [json.as_bytes(), bytes].concat();
            let got = decode(&body, Framing::Binary { json_bytes }, &model("m", 1, 1));
            assert_eq!(got.map(|_| ()).map_err(|fault| fault.code()), wanted, "{json_bytes} {}", bytes.len());
        };
        let json16 = json(16);
        check(&json16, json16.len(), &bytes, Ok(()));
        check(&json16, json16.len(), &bytes[..11], Err(Code::FramingInvalid));
        check(&json16, json16.len(), &[&bytes[..], b"zz"].concat(), Err(Code::FramingInvalid));
        check(&json16, 1_000_000, &bytes, Err(Code::FramingInvalid));
        check(&json16, 5, &bytes, Err(Code::JsonMalformed));
        check(&json(12), json(12).len(), &bytes[..12], Err(Code::FramingInvalid));
        check(&good().to_string(), good().to_string().len(), b"", Ok(()));
        check(&good().to_string(), good().to_string().len(), b"zz", Err(Code::FramingInvalid));
        let missing_header = decode(json16.as_bytes(), Framing::Json, &model("m", 1, 1)).unwrap_err();
        assert_eq!(missing_header.code(), Code::FramingInvalid);
        let body = [json16.as_bytes(), &bytes].concat();
        let call = decode(&body, Framing::Binary { json_bytes: json16.len() }, &model("m", 1, 1)).unwrap();
        let outputs: Vec<_> = call.outputs.iter().map(|o| (o.name, o.packing)).collect();
        assert_eq!(outputs, [(OutputName::Lower, Packing::Binary), (OutputName::Forecast, Packing::Json)]);
    }

    #[test]
    fn a_raw_body_is_one_window() {
        let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let decode = |bytes: &[u8], channels: usize| decode(bytes, Framing::Raw, &model("m", 1, channels));
        let call = decode(&bytes, 1).unwrap();
        assert_eq!(call.series.samples(), &Samples::F32(vec![1.0, 2.0, 3.0, 4.0]));
        assert!(call.outputs.iter().all(|output| output.packing == Packing::Binary));
        let check = |bytes: &[u8], channels: usize, wanted: Code| {
            assert_eq!(decode(bytes, channels).unwrap_err().code(), wanted);
        };
        check(&bytes[..15], 1, Code::FramingInvalid);
        check(&bytes, 3, Code::FramingInvalid);
        check(&bytes[..12], 1, Code::WindowTooShort);
        check(&[], 1, Code::TensorEmpty);
        check(&[&f32::NAN.to_le_bytes()[..], &bytes].concat(), 1, Code::TensorNotFinite);
    }

    #[test]
    fn the_header_is_one_number_in_digits() {
        let check = |values: &[&str], wanted: Result<Framing, Code>| {
            let got = Framing::from_header(values.iter().map(|value| value.as_bytes()));
            assert_eq!(got.map_err(|fault| fault.code()), wanted, "{values:?}");
        };
        check(&[], Ok(Framing::Json));
        check(&["12"], Ok(Framing::Binary { json_bytes: 12 }));
        check(&["0"], Ok(Framing::Raw));
        for wrong in ["x", "", "-1", "+0", "+12", "00", "012", "12, 12", "1e2", "99999999999999999999"] {
            check(&[wrong], Err(Code::FramingInvalid));
        }
        check(&["12", "12"], Err(Code::FramingInvalid));
    }

    #[test]
    fn messages_are_in_the_caller_s_words() {
        let message = |text: &str| {
            decode(text.as_bytes(), Framing::Json, &model("m", 1, 1)).unwrap_err().message().to_owned()
        };
        assert!(message("null").contains("expected a JSON object"), "{}", message("null"));
        let outputs = good().to_string().replace("\"id\"", "\"outputs\":[7],\"id\"");
        assert!(message(&outputs).contains("expected a JSON object"), "{}", message(&outputs));
        let json =
            good().to_string().replace("\"data\":[1,2,3,4]", "\"parameters\":{\"binary_data_size\":2}");
        let fault = decode(
            (json.clone() + "zz").as_bytes(),
            Framing::Binary { json_bytes: json.len() },
            &model("m", 1, 1),
        );
        let wanted = "input series has 2 bytes, its shape [1, 4, 1] of FP32 needs 16";
        assert_eq!(fault.unwrap_err().message(), wanted);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..250) {
            let _ = decode(&body, Framing::Json, &model("m", 1, 1));
            let _ = decode(&body, Framing::Binary { json_bytes: at }, &model("m", 1, 1));
        }

        #[test]
        fn a_damaged_request_is_refused_or_answered_and_never_panics(position in 0usize..120, byte in any::<u8>()) {
            let mut body = good().to_string().into_bytes();
            let position = position % body.len();
            body[position] = byte;
            if let Err(fault) = decode(&body, Framing::Json, &model("m", 1, 1)) {
                prop_assert_eq!(fault.code().blame(), spinwell_core::Blame::Client);
            }
        }

        #[test]
        fn json_and_binary_give_the_same_series(values in proptest::collection::vec(-1e30_f32..1e30, 4..50)) {
            let model = model("m", 1, 1);
            let shape = [1, values.len(), 1];
            let text = serde_json::json!({"inputs": [
                {"name": "series", "shape": shape, "datatype": "FP32", "data": values}]}).to_string();
            let head = serde_json::json!({"inputs": [{"name": "series", "shape": shape, "datatype": "FP32",
                "parameters": {"binary_data_size": values.len() * 4}}]}).to_string();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let body = [head.as_bytes(), &bytes].concat();
            let json = decode(text.as_bytes(), Framing::Json, &model).unwrap();
            let binary = decode(&body, Framing::Binary { json_bytes: head.len() }, &model).unwrap();
            prop_assert_eq!(json.series, binary.series);
        }
    }
}
