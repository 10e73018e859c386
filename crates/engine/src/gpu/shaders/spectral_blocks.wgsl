// Rotate the rows: block_qp[b][a] = sum over x of rotated_q[x][b] psi_p(x) Q_p[a][x].
const MATRICES = 4u;

fn prepare(thread: u32) {}

fn rows() -> u32 {
    return shape.k;
}

fn columns() -> u32 {
    return shape.k;
}

fn depth() -> u32 {
    return shape.k;
}

fn left(matrix: u32, b: u32, x: u32) -> f32 {
    return scratch[rotated(matrix / 2u) + x * shape.k + b] * amplitude(matrix % 2u, x);
}

fn right(matrix: u32, x: u32, a: u32) -> f32 {
    return eigenvector(matrix % 2u, a, x);
}

fn put(matrix: u32, b: u32, a: u32, value: f32) {
    scratch[block(matrix / 2u, matrix % 2u) + b * shape.k + a] = value;
}
