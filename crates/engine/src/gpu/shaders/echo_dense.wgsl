// State, inputs and the constant 1 times one matrix. A workgroup makes a square of 32 units x 32 streams, a thread 4 x 4
// of it, so that a number read from shared memory is used four times. Each sum runs over the columns in order.
const TILE = 32u;
const DEPTH = 16u;

// padded units x padded columns
@group(0) @binding(6) var<storage, read> weights: array<f32>;

// unit x column
var<workgroup> some_weights: array<f32, 512>;
// column x stream, four streams together
var<workgroup> some_numbers: array<vec4<f32>, 128>;

fn number(column: u32, stream: u32) -> f32 {
    if (stream >= shape.stride) {
        return 0.0;
    }
    if (column < shape.units) {
        return before[column * shape.stride + stream];
    }
    let input = column - shape.units;
    if (input < shape.inputs) {
        return heard(input, stream);
    }
    return select(0.0, 1.0, input == shape.inputs);
}

@compute @workgroup_size(8, 8)
fn step(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first_stream = group.x * TILE;
    let first_unit = group.y * TILE;
    var sums: array<vec4<f32>, 4>;
    for (var first = 0u; first < shape.columns; first += DEPTH) {
        for (var at = thread; at < TILE * DEPTH; at += 64u) {
            some_weights[at] = weights[(first_unit + at / DEPTH) * shape.columns + first + at % DEPTH];
        }
        for (var at = thread; at < DEPTH * TILE / 4u; at += 64u) {
            let column = first + at / 8u;
            let stream = first_stream + at % 8u * 4u;
            some_numbers[at] = vec4(
                number(column, stream),
                number(column, stream + 1u),
                number(column, stream + 2u),
                number(column, stream + 3u),
            );
        }
        workgroupBarrier();
        for (var column = 0u; column < DEPTH; column++) {
            let four = some_numbers[column * 8u + local.x];
            for (var unit = 0u; unit < 4u; unit++) {
                sums[unit] += some_weights[(local.y * 4u + unit) * DEPTH + column] * four;
            }
        }
        workgroupBarrier();
    }
    for (var u = 0u; u < 4u; u++) {
        for (var s = 0u; s < 4u; s++) {
            let unit = first_unit + local.y * 4u + u;
            let stream = first_stream + local.x * 4u + s;
            if (unit < shape.units && stream < row.streams) {
                renew(unit, stream, sums[u][s]);
            }
        }
    }
}
