//! Messages off the wire, of which nothing is believed.
//!
//! The library makes a struct of three hundred bytes of an empty tensor, which takes two on the wire: a message of a few
//! megabytes could ask for a gigabyte. So the lists of an inference request are counted in its bytes, before
//! anything is made of them, and may be as long as those of a request over REST and no longer.

use super::wire::ModelInferRequest;
use crate::rest::ENTRIES_MAX;
use crate::status;
use bytes::Buf;
use prost::Message;
use spinwell_core::{Code, Fault};
use std::any::TypeId;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// A message whose fields may be messages.
#[derive(Clone, Copy)]
enum Kind {
    Request,
    Input,
    Output,
    Contents,
}

impl Kind {
    /// The message in a field, where what is in it is counted too.
    fn within(self, field: u64) -> Option<Kind> {
        match (self, field) {
            (Kind::Request, 5) => Some(Kind::Input),
            (Kind::Request, 6) => Some(Kind::Output),
            (Kind::Input, 5) => Some(Kind::Contents),
            _ => None,
        }
    }
}

/// Field numbers that are counted apart; the others, which no message here has, are counted together.
const FIELDS: usize = 16;

/// Reads an inference request.
///
/// # Errors
/// [`Code::RequestInvalid`] where the bytes are none, or a list in them is longer than any request needs.
pub fn read_request(bytes: &[u8]) -> Result<ModelInferRequest, Fault> {
    check(bytes, Kind::Request)?;
    ModelInferRequest::decode(bytes).map_err(|error| Fault::new(Code::RequestInvalid, no_message(&error)))
}

fn no_message(why: &dyn std::fmt::Display) -> String {
    format!("the message is no inference request: {why}")
}

/// Counts the entries of every list in a message. What is packed into one entry costs what its bytes do.
fn check(mut bytes: &[u8], kind: Kind) -> Result<(), Fault> {
    let mut counts = [0; FIELDS];
    while !bytes.is_empty() {
        let broken = || Fault::new(Code::RequestInvalid, no_message(&"its fields are broken"));
        let tag = varint(&mut bytes).ok_or_else(broken)?;
        let field = tag >> 3;
        let length = match tag & 7 {
            0 => {
                varint(&mut bytes).ok_or_else(broken)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes).ok_or_else(broken)?).map_err(|_| broken())?,
            5 => 4,
            // Groups, which the protocol does not use.
            _ => return Err(broken()),
        };
        let (value, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
        bytes = rest;
        if tag & 7 != 2 {
            continue;
        }
        let count = &mut counts[usize::try_from(field).map_or(0, |field| field.min(FIELDS - 1))];
        *count += 1;
        if *count > ENTRIES_MAX {
            let why = format!("a list in it has more than {ENTRIES_MAX} entries; no request needs as many");
            return Err(Fault::new(Code::RequestInvalid, no_message(&why)));
        }
        if let Some(kind) = kind.within(field) {
            check(value, kind)?;
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            *bytes = &bytes[place + 1..];
            return Some(value);
        }
    }
    None
}

/// The codec of every method: that of `prost`, with inference requests looked at first.
#[derive(Debug, Clone)]
pub struct CountingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for CountingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for CountingCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CountingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        CountingDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

/// The decoder of [`CountingCodec`].
#[derive(Debug, Clone)]
pub struct CountingDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + 'static> Decoder for CountingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The only message with lists that a stranger fills.
        if TypeId::of::<U>() == TypeId::of::<ModelInferRequest>() {
            // The library hands over a message in one piece.
            let is_whole = bytes.chunk().len() == bytes.remaining();
            let checked = if is_whole {
                check(bytes.chunk(), Kind::Request)
            } else {
                Err(Fault::new(Code::Internal, "a message came in pieces; the server goes on"))
            };
            checked.map_err(|fault| status::to_grpc(&fault))?;
        }
        self.0.decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::infer_parameter::ParameterChoice;
    use super::super::wire::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
    use super::super::wire::{InferParameter, InferTensorContents};
    use super::*;

    fn with(change: impl FnOnce(&mut ModelInferRequest)) -> Vec<u8> {
        let mut request = ModelInferRequest { model_name: "m".into(), ..ModelInferRequest::default() };
        change(&mut request);
        request.encode_to_vec()
    }

    fn input(change: impl FnOnce(&mut InferInputTensor)) -> Vec<u8> {
        let mut input = InferInputTensor::default();
        change(&mut input);
        with(|request| request.inputs = vec![input])
    }

    #[test]
    fn lists_are_as_long_as_over_rest_and_no_longer() {
        let parameters = |count: usize| {
            let value = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
            (0..count).map(|index| (index.to_string(), value.clone())).collect()
        };
        let of = |count: usize| {
            [
                with(|request| request.inputs = vec![InferInputTensor::default(); count]),
                with(|request| request.outputs = vec![InferRequestedOutputTensor::default(); count]),
                with(|request| request.raw_input_contents = vec![bytes::Bytes::new(); count]),
                with(|request| request.parameters = parameters(count)),
                input(|input| input.parameters = parameters(count)),
                input(|input| {
                    let bytes_contents = vec![Vec::new(); count];
                    input.contents = Some(InferTensorContents { bytes_contents, ..Default::default() });
                }),
            ]
        };
        for bytes in of(ENTRIES_MAX) {
            assert!(read_request(&bytes).is_ok());
        }
        for bytes in of(ENTRIES_MAX + 1) {
            let fault = read_request(&bytes).unwrap_err();
            assert!(fault.message().contains("more than 64 entries"), "{fault}");
        }
    }

    #[test]
    fn numbers_are_no_entries() {
        let bytes = input(|input| {
            let fp32_contents = vec![1.5; 1000];
            input.shape = vec![1; 1000];
            input.contents = Some(InferTensorContents { fp32_contents, ..Default::default() });
        });
        assert_eq!(read_request(&bytes).unwrap().encode_to_vec(), bytes);
        // The same shape without packing, as older writers have it.
        let shape = [[0x18, 1]; 1000].concat();
        let unpacked = [&[0x2a, 0xd0, 0x0f][..], &shape].concat();
        assert_eq!(read_request(&unpacked).unwrap().inputs[0].shape, vec![1; 1000]);
    }

    #[test]
    fn broken_fields_are_refused() {
        for bytes in
            [&[0x2a][..], &[0x2a, 5, 0], &[0xff; 12], &[0x2b, 0x2c], &[0x29, 1], &[0x2f], &[0x2a, 1, 0xff]]
        {
            assert_eq!(read_request(bytes).unwrap_err().code(), Code::RequestInvalid, "{bytes:?}");
        }
        assert_eq!(read_request(&[]).unwrap(), ModelInferRequest::default());
    }
}
