// One thread a unit and stream; streams side by side read the same entries of the matrix.
@group(0) @binding(6) var<storage, read> starts: array<u32>;
@group(0) @binding(7) var<storage, read> columns: array<u32>;
@group(0) @binding(8) var<storage, read> values: array<f32>;
// units x (inputs + 1), the bias last
@group(0) @binding(9) var<storage, read> input_weights: array<f32>;

@compute @workgroup_size(32, 2)
fn step(@builtin(global_invocation_id) id: vec3<u32>) {
    let stream = id.x;
    let unit = id.y;
    if (unit >= shape.units || stream >= row.streams) {
        return;
    }
    var drive = 0.0;
    for (var entry = starts[unit]; entry < starts[unit + 1u]; entry++) {
        drive += values[entry] * before[columns[entry] * shape.stride + stream];
    }
    let own = unit * (shape.inputs + 1u);
    for (var input = 0u; input < shape.inputs; input++) {
        drive += input_weights[own + input] * heard(input, stream);
    }
    renew(unit, stream, drive + input_weights[own + shape.inputs]);
}
