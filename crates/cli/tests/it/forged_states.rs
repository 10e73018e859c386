//! States of sequences as a stranger may bring them back: each is refused with its code or goes on, and the server with it.

use crate::support::{Answer, Request, Server, models, send, window};
use serde_json::json;
use std::hash::Hasher;

const ROWS: usize = 64;
/// Forgeries tried.
const FORGERIES: u64 = 400;

fn put(server: &Server, body: &[u8]) -> Answer {
    let request = Request::new("PUT", "/v1/models/wave/sequences/forged/state");
    send(server.http, &request.header("Content-Length", &body.len().to_string()).body(body))
}

fn step(server: &Server, id: &str, rows: &[f32], starts: bool) -> Answer {
    server.infer(
        "wave",
        &json!({"parameters": {"sequence_id": id, "sequence_start": starts}, "inputs": [
        {"name": "series", "shape": [1, rows.len(), 1], "datatype": "FP32", "data": rows}]}),
    )
}

/// The same with its checksum, which a forger can make too.
fn sealed(mut state: Vec<u8>) -> Vec<u8> {
    let mut hasher = spinwell_core::Fnv::default();
    hasher.write(&state);
    state.extend_from_slice(&hasher.finish().to_le_bytes());
    state
}

#[test]
fn forged_states_are_refused_or_go_on() {
    let server = Server::start(models(), &[]);
    let rows = window(ROWS + 1, 0.3);
    assert_eq!(step(&server, "true", &rows[..ROWS], true).status, 200);
    let state = server.get("/v1/models/wave/sequences/true/state").body;
    assert_eq!(put(&server, &state).status, 200);
    let mut rng = spinwell_core::Rng::seeded(1);
    let (mut taken, mut refused) = (0, 0);
    let contents = state.len() - 8;
    assert_eq!(sealed(state[..contents].to_vec()), state);
    for seed in 0..FORGERIES {
        let mut forged = state[..contents].to_vec();
        let at = rng.below(contents as u64) as usize;
        match seed % 4 {
            0 => forged.truncate(at),
            1 => drop(forged.splice(at..at, [0xff; 5])),
            2 => forged[at] ^= 1 << rng.below(8),
            _ => forged[at] = rng.next_u64() as u8,
        }
        if forged != state[..contents] {
            // As a disk or a line would change it.
            let damaged = put(&server, &[&forged[..], &state[contents..]].concat());
            let told = (damaged.status, damaged.code());
            assert_eq!(told, (400, "SPW-REQUEST-INVALID".to_owned()), "forgery {seed}: {}", damaged.text());
        }
        let answer = put(&server, &sealed(forged));
        match (answer.status, answer.code().as_str()) {
            (200, _) => {
                taken += 1;
                let next = step(&server, "forged", &rows[ROWS..], false);
                assert_eq!(next.status, 200, "forgery {seed}: {}", next.text());
                assert!(next.numbers("forecast").iter().all(|value| value.is_finite()), "{}", next.text());
            }
            (400, "SPW-REQUEST-INVALID") | (409, "SPW-SEQUENCE-MODEL") => refused += 1,
            _ => panic!("forgery {seed}: {} {}", answer.status, answer.text()),
        }
    }
    assert!(taken > 10 && refused > 100, "{taken} taken, {refused} refused");
    // The true one is as it was, and goes on.
    assert_eq!(server.get("/v1/models/wave/sequences/true/state").body, state);
    assert_eq!(step(&server, "true", &rows[ROWS..], false).status, 200);
}
