// Inject the input and rotate the columns: rotated_q[x][b] = sum over y of R[x][y] psi_q(y) Q_q[b][y].
const MATRICES = 2u;

var<workgroup> diagonal: array<f32, 128>;
var<private> trace: f32;

// Rounding moves the trace, which erasure would never forget.
fn prepare(thread: u32) {
    if (thread < shape.k) {
        diagonal[thread] = before[element() * shape.k * shape.k + thread * (shape.k + 1u)];
    }
    workgroupBarrier();
    trace = 0.0;
    for (var x = 0u; x < shape.k; x++) {
        trace += diagonal[x];
    }
}

fn rows() -> u32 {
    return shape.k;
}

fn columns() -> u32 {
    return shape.k;
}

fn depth() -> u32 {
    return shape.k;
}

fn left(q: u32, x: u32, y: u32) -> f32 {
    return before[(element() * shape.k + x) * shape.k + y] * amplitude(q, y) / trace;
}

fn right(q: u32, y: u32, b: u32) -> f32 {
    return eigenvector(q, b, y);
}

fn put(q: u32, x: u32, b: u32, value: f32) {
    scratch[rotated(q) + x * shape.k + b] = value;
}
