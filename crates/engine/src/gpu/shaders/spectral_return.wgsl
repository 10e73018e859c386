// Rotate the rows back: returning[x][q k + b] = sum over a of Q_p[a][x] block_qp[b][a].
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

fn left(matrix: u32, x: u32, a: u32) -> f32 {
    return eigenvector(matrix % 2u, a, x);
}

fn right(matrix: u32, a: u32, b: u32) -> f32 {
    return scratch[block(matrix / 2u, matrix % 2u) + b * shape.k + a];
}

fn put(matrix: u32, x: u32, b: u32, value: f32) {
    let q = matrix / 2u;
    let is_crossed = q ^ (matrix % 2u);
    scratch[returning(is_crossed) + x * 2u * shape.k + q * shape.k + b] = value;
}
