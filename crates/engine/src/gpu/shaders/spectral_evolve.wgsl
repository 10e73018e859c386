// The whole evolution, in place: R_ab and R_ba turn into each other by the angle (E_a - E_b) t.
fn turn(one_at: u32, other_at: u32, a: u32, b: u32) {
    let cosines = phases(shape.substeps - 1u);
    let sines = cosines + 2u * shape.k;
    let cosine = table[cosines + a] * table[cosines + b] + table[sines + a] * table[sines + b];
    let sine = table[sines + a] * table[cosines + b] - table[cosines + a] * table[sines + b];
    let one = scratch[one_at];
    let other = scratch[other_at];
    scratch[one_at] = cosine * one - sine * other;
    scratch[other_at] = cosine * other + sine * one;
}

@compute @workgroup_size(64)
fn step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    stream = group.x;
    network = group.y;
    let k = shape.k;
    let at = group.z * 64u + thread;
    let b = at / k;
    let a = at % k;
    if (b >= k) {
        return;
    }
    if (a < b) {
        for (var parity = 0u; parity < 2u; parity++) {
            let own = block(parity, parity);
            turn(own + b * k + a, own + a * k + b, parity * k + a, parity * k + b);
        }
    }
    turn(block(1u, 0u) + b * k + a, block(0u, 1u) + a * k + b, a, k + b);
}
