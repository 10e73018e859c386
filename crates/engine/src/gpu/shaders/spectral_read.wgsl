// All observables after one part of the evolution: the sum over pairs a <= b of one parity of O_ab (R_ab + R_ba) as they
// are then, R_aa for a pair of equals.
const THREADS = 64u;
const OBSERVABLES_MAX = 36u;

// observable x thread
var<workgroup> shares: array<f32, 2304>;

@compute @workgroup_size(64)
fn step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if (row.slot == NOWHERE) {
        return;
    }
    stream = group.x;
    network = group.y;
    let part = group.z;
    let k = shape.k;
    let read_outs = network_table() + 2u * k * k + shape.substeps * 4u * k;
    var sums: array<f32, OBSERVABLES_MAX>;
    for (var parity = 0u; parity < 2u; parity++) {
        let own = block(parity, parity);
        let cosines = phases(part) + parity * k;
        let sines = cosines + 2u * k;
        for (var at = thread; at < k * k; at += THREADS) {
            let b = at / k;
            let a = at % k;
            if (a > b) {
                continue;
            }
            let one = scratch[own + b * k + a];
            let other = scratch[own + a * k + b];
            let cosine = table[cosines + a] * table[cosines + b] + table[sines + a] * table[sines + b];
            let sine = table[sines + a] * table[cosines + b] - table[cosines + a] * table[sines + b];
            let evolved = select((one + other) * cosine + (one - other) * sine, one, a == b);
            let pair = read_outs + parity * (pairs() / 2u) + b * (b + 1u) / 2u + a;
            for (var observable = 0u; observable < shape.observables; observable++) {
                sums[observable] += table[pair + observable * pairs()] * evolved;
            }
        }
    }
    for (var observable = 0u; observable < shape.observables; observable++) {
        shares[observable * THREADS + thread] = sums[observable];
    }
    workgroupBarrier();
    if (thread < shape.observables) {
        var sum = 0.0;
        for (var from_thread = 0u; from_thread < THREADS; from_thread++) {
            sum += shares[thread * THREADS + from_thread];
        }
        let place = (row.slot * shape.stride + stream) * shape.networks + network;
        features[(place * shape.substeps + part) * shape.observables + thread] = clamp(sum, -1.0, 1.0);
    }
}
