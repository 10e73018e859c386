//! By what a message is known that is sent again.
//!
//! The bytes that came are not there any more when its request is known: the library has made values of them. So the values are taken, in
//! the order of the message.

use prost::Message;
use spinwell_protocol::grpc::wire::ModelInferRequest;
use spinwell_protocol::grpc::wire::model_infer_request::InferInputTensor;

/// The length of a message, and its tensors from their first byte on. Its id is left out, which may be a new one each time.
pub(super) fn body(message: &ModelInferRequest) -> (usize, impl Iterator<Item = u8>) {
    let tensors = message.inputs.iter().flat_map(tensor);
    let raw = message.raw_input_contents.iter().flat_map(|bytes| bytes.iter().copied());
    (message.encoded_len() - message.id.len(), tensors.chain(raw))
}

fn tensor(input: &InferInputTensor) -> impl Iterator<Item = u8> {
    let shape = input.shape.iter().flat_map(|size| size.to_le_bytes());
    let contents = input.contents.iter().flat_map(|contents| {
        let numbers = contents.fp32_contents.iter().flat_map(|value| value.to_le_bytes());
        let numbers = numbers.chain(contents.fp64_contents.iter().flat_map(|value| value.to_le_bytes()));
        let numbers = numbers.chain(contents.int64_contents.iter().flat_map(|value| value.to_le_bytes()));
        let numbers = numbers.chain(contents.int_contents.iter().flat_map(|value| value.to_le_bytes()));
        numbers.chain(contents.bytes_contents.iter().flatten().copied())
    });
    input.name.bytes().chain(input.datatype.bytes()).chain(shape).chain(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinwell_protocol::grpc::wire::InferTensorContents;

    fn known(message: &ModelInferRequest) -> (usize, Vec<u8>) {
        let (length, bytes) = body(message);
        (length, bytes.collect())
    }

    #[test]
    fn a_message_is_known_by_what_it_asks_and_not_by_its_id() {
        let input = InferInputTensor { name: "x".into(), shape: vec![1, 2, 1], ..Default::default() };
        let values = |values: &[f32]| InferInputTensor {
            contents: Some(InferTensorContents { fp32_contents: values.to_vec(), ..Default::default() }),
            ..input.clone()
        };
        let message = |id: &str, input: InferInputTensor| ModelInferRequest {
            id: id.into(),
            inputs: vec![input],
            ..Default::default()
        };
        let raw = |bytes: &'static [u8]| ModelInferRequest {
            raw_input_contents: vec![bytes.into()],
            ..message("a", input.clone())
        };
        let one = known(&message("a", values(&[1.0, 2.0])));
        assert_eq!(known(&message("b", values(&[1.0, 2.0]))), one);
        assert_ne!(known(&message("a", values(&[1.0, 3.0]))), one);
        assert_ne!(known(&raw(b"12345678")), known(&raw(b"12345679")));
        assert_ne!(known(&raw(b"1234567")).0, known(&raw(b"12345678")).0);
    }
}
