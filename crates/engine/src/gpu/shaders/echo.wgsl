// What dense and sparse echo-state reservoirs have in common.
struct Shape {
    stride: u32,
    units: u32,
    inputs: u32,
    // Columns of the matrix, padding included.
    columns: u32,
    leak: f32,
}

@group(0) @binding(0) var<uniform> shape: Shape;

// The built-in tanh may overflow; this one cannot, and is off by 1e-7 at most.
fn bounded_tanh(drive: f32) -> f32 {
    let shrunk = exp(-2.0 * abs(drive));
    return sign(drive) * (1.0 - shrunk) / (1.0 + shrunk);
}

fn heard(input: u32, stream: u32) -> f32 {
    return inputs[(row.index * shape.inputs + input) * shape.stride + stream];
}

fn renew(unit: u32, stream: u32, drive: f32) {
    let at = unit * shape.stride + stream;
    let renewed = before[at] + shape.leak * (bounded_tanh(drive) - before[at]);
    after[at] = renewed;
    if (row.slot != NOWHERE) {
        features[(row.slot * shape.stride + stream) * shape.units + unit] = renewed;
    }
}
