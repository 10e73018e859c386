//! Mangled requests of every wire, through the bodies of the fuzz targets.
//!
//! `SPINWELL_FUZZ_INPUTS` inputs are tried of each, a few thousand where it does not say; a failing one is told by its seed.

use crate::{requests, wire};
use spinwell_core::Rng;
use spinwell_protocol::grpc;

/// How many inputs of each wire are tried.
#[expect(clippy::disallowed_methods, reason = "a long run is asked for in the environment")]
fn inputs() -> u64 {
    std::env::var("SPINWELL_FUZZ_INPUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(4000)
}

/// Mangles seeds, and checks that some but not all of what comes out can still be answered.
fn check(seeds: &[Vec<u8>], words: &[&[u8]], body: fn(&[u8]) -> bool) {
    for seed in seeds {
        assert!(body(seed), "a seed is refused: {}", String::from_utf8_lossy(seed));
    }
    let all = inputs();
    let one = |seed: u64| {
        let mut rng = Rng::seeded(seed);
        let mut bytes = seeds[seed as usize % seeds.len()].clone();
        mutate(&mut rng, &mut bytes, words);
        let answered = std::panic::catch_unwind(|| body(&bytes));
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        u64::from(answered.unwrap_or_else(|_| panic!("seed {seed}, {} bytes: {}", bytes.len(), shown())))
    };
    let answered: u64 = (0..all).map(one).sum();
    assert!(answered > all / 50 && answered < all, "{answered} of {all} could be answered");
}

/// One to four changes: a bit, a byte, a run cut out, a run doubled or repeated many times, a word put in.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, words: &[&[u8]]) {
    for _ in 0..1 + rng.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.below(bytes.len() as u64) as usize;
        let end = (at + 1 + rng.below(24) as usize).min(bytes.len());
        match rng.below(12) {
            0 => drop(bytes.drain(at..end)),
            1 | 2 => {
                let times = if rng.below(4) == 0 { rng.below(2000) as usize } else { 1 };
                let run = bytes[at..end].repeat(times);
                bytes.splice(at..at, run);
            }
            3 | 4 => bytes[at] = rng.next_u64() as u8,
            5 | 6 => bytes[at] ^= 1 << rng.below(8),
            _ => {
                let word = words[rng.below(words.len() as u64) as usize];
                let times = if rng.below(8) == 0 { rng.below(500) as usize } else { 1 };
                bytes.splice(at..at, word.repeat(times));
            }
        }
    }
}

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn mangled_json_bodies_are_refused_or_sound() {
    check(&owned(&requests::JSON), &requests::WORDS, wire::json_body);
}

#[test]
fn mangled_binary_bodies_are_refused_or_sound() {
    check(&requests::binary(), &requests::WORDS, wire::binary_body);
}

#[test]
fn mangled_batch_calls_are_refused_or_sound() {
    check(&owned(&requests::BATCH), &requests::WORDS, wire::batch_call);
}

#[test]
fn mangled_observations_are_refused_or_sound() {
    check(&owned(&requests::OBSERVATIONS), &requests::WORDS, wire::observations);
}

#[test]
fn mangled_traceparents_are_refused_or_read_as_they_stand() {
    check(&owned(&requests::TRACEPARENTS), &[b"-", b"0", b"ff", b"F", b"\xff"], wire::traceparent);
}

/// The fuzz target compares a message with what is read of it again: two that are as long are not the same.
#[test]
fn messages_are_compared_by_their_values() {
    let read = |bytes: &[u8]| wire::values(grpc::read_request(bytes).unwrap());
    for bytes in requests::messages() {
        let same = read(&bytes);
        assert!(same == read(&bytes));
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            // Another key of a map may be the same map in another order, and a broken message is none.
            let Ok(other) = grpc::read_request(&other) else { continue };
            let differs = other != grpc::read_request(&bytes).unwrap();
            assert_eq!(wire::values(other) != same, differs, "byte {at}");
        }
    }
    let mut nan = grpc::read_request(&requests::messages()[1]).unwrap();
    nan.inputs[0].contents.as_mut().unwrap().fp32_contents[0] = f32::NAN;
    assert!(nan != nan.clone() && wire::values(nan.clone()) == wire::values(nan));
}

#[test]
fn mangled_messages_are_refused_or_sound() {
    // Empty tensors, outputs, contents, parameters and bytes; numbers that do not end.
    let words: [&[u8]; 9] = [
        &[0x2a, 0],
        &[0x32, 0],
        &[0x3a, 0],
        &[0x22, 0],
        &[0x42, 0],
        &[0x2a, 2, 0x2a, 0],
        &[0x22, 3, 0x0a, 1, 0x61],
        &[0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x80],
    ];
    check(&requests::messages(), &words, wire::grpc_message);
}

/// What one kind of byte can cost, many times over.
#[test]
fn repetition_costs_what_its_bytes_do() {
    for word in ["[", "{", "0", "\"", " ", "\\", "1,", "{}", "[]"].map(|word| word.repeat(100_000)) {
        wire::json_body(word.as_bytes());
        wire::batch_call(word.as_bytes());
        wire::observations(word.as_bytes());
    }
    let numbers = |count: usize| vec!["1"; count].join(",");
    let text = requests::JSON[0].replace("1,2.5,-3e1,4", &numbers(100_000));
    wire::json_body(text.as_bytes());
    wire::json_body(text.replace("FP32", "FP64").as_bytes());
    let long = "x".repeat(100_000);
    for (from, to) in [
        ("FP32", &*long),
        ("series", &long),
        ("\"a\"", &format!("\"{long}\"")),
        ("[1,4,1]", &format!("\"{long}\"")),
    ] {
        wire::json_body(requests::JSON[0].replace(from, to).as_bytes());
    }
    for (from, to) in [
        ("high", &*long),
        ("\"m\"", &format!("\"{long}\"")),
        ("[1,2,3,4,5]", &format!("\"{long}\"")),
        ("20", &format!("\"{long}\"")),
    ] {
        wire::batch_call(requests::BATCH[0].replace(from, to).as_bytes());
    }
    for (from, to) in [
        ("\"a\"", &*format!("\"{long}\"")),
        ("[1,2,3]", &format!("[{}]", numbers(100_000))),
        ("3,\"from", &format!("\"{long}\",\"from")),
    ] {
        wire::observations(requests::OBSERVATIONS[0].replace(from, to).as_bytes());
    }
    for field in [0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a] {
        wire::grpc_message(&[field, 0].repeat(50_000));
    }
}
