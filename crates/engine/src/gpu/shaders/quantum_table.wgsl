// Networks whose whole step is one matrix (see quantum/transfer.rs): a new coordinate or feature is
// sum over j of (1 - s) M0 a_j + s M1 a_j + sqrt(s (1 - s)) M2 b_j, with a the coordinates of its own sector and b of the
// other. A workgroup takes one network and eight streams.
struct Shape {
    stride: u32,
    inputs: u32,
    networks: u32,
    // Coordinates of a sector.
    half: u32,
    // Features of a network.
    features: u32,
    // Coordinates whose sum is the trace.
    dimension: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// networks x 3 x columns x rows
@group(0) @binding(6) var<storage, read> table: array<f32>;
// Which input a network hears.
@group(0) @binding(7) var<storage, read> ears: array<u32>;
@group(0) @binding(8) var<storage, read> swings: array<f32>;
@group(0) @binding(9) var<storage, read> diagonal: array<u32>;

const STREAMS = 8u;
// Four streams, then the other four, of each coordinate.
var<workgroup> state: array<vec4<f32>, 512>;

fn four_of_before(coordinate: u32, stream: u32) -> vec4<f32> {
    let at = coordinate * shape.stride + stream;
    return vec4(before[at], before[at + 1u], before[at + 2u], before[at + 3u]);
}

// s of four streams.
fn population(network: u32, stream: u32) -> vec4<f32> {
    let at = (row.index * shape.inputs + ears[network]) * shape.stride + stream;
    let heard = vec4(inputs[at], inputs[at + 1u], inputs[at + 2u], inputs[at + 3u]);
    return clamp(0.5 + swings[network] * (heard - 0.5), vec4(0.0), vec4(1.0));
}

fn put(network: u32, line: u32, stream: u32, value: f32) {
    if (stream >= row.streams) {
        return;
    }
    let coordinates = 2u * shape.half;
    if (line < coordinates) {
        after[(network * coordinates + line) * shape.stride + stream] = value;
    } else if (row.slot != NOWHERE) {
        let place = (row.slot * shape.stride + stream) * shape.networks + network;
        features[place * shape.features + line - coordinates] = clamp(value, -1.0, 1.0);
    }
}

@compute @workgroup_size(64)
fn step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let network = group.y;
    let first = group.x * STREAMS;
    let half = shape.half;
    for (var at = thread; at < 4u * half; at += 64u) {
        state[at] = four_of_before(network * 2u * half + at / 2u, first + at % 2u * 4u);
    }
    workgroupBarrier();
    // Rounding moves the trace, which erasure would never forget.
    var trace: array<vec4<f32>, 2>;
    for (var index = 0u; index < shape.dimension; index++) {
        let at = diagonal[index] * 2u;
        trace[0] += state[at];
        trace[1] += state[at + 1u];
    }
    var zero: array<vec4<f32>, 2>;
    var one: array<vec4<f32>, 2>;
    var both: array<vec4<f32>, 2>;
    for (var part = 0u; part < 2u; part++) {
        let s = population(network, first + part * 4u);
        zero[part] = (1.0 - s) / trace[part];
        one[part] = s / trace[part];
        both[part] = sqrt(s * (1.0 - s)) / trace[part];
    }
    let lines = 2u * half + shape.features;
    let part_len = half * lines;
    for (var line = thread; line < lines; line += 64u) {
        let is_crossed = line >= half && line < 2u * half;
        let own = select(0u, half, is_crossed);
        let other = half - own;
        var sums: array<vec4<f32>, 2>;
        var at = network * 3u * part_len + line;
        for (var column = 0u; column < half; column++) {
            let m0 = table[at];
            let m1 = table[at + part_len];
            let m2 = table[at + 2u * part_len];
            for (var part = 0u; part < 2u; part++) {
                let a = state[(own + column) * 2u + part];
                let b = state[(other + column) * 2u + part];
                sums[part] += (m0 * zero[part] + m1 * one[part]) * a + m2 * both[part] * b;
            }
            at += lines;
        }
        for (var stream = 0u; stream < STREAMS; stream++) {
            put(network, line, first + stream, sums[stream / 4u][stream % 4u]);
        }
    }
}
