// Rotate the columns back and sum over qubit 0, a quarter of the state at a time, by the halves of its rows and columns:
// R[x][y] = sum over q, b of returning[x][q k + b] Q_q[b][y].
const MATRICES = 4u;

fn prepare(thread: u32) {}

fn rows() -> u32 {
    return shape.k / 2u;
}

fn columns() -> u32 {
    return shape.k / 2u;
}

fn depth() -> u32 {
    return 2u * shape.k;
}

fn left(quarter: u32, i: u32, l: u32) -> f32 {
    let odd_row = quarter / 2u;
    let is_crossed = odd_row ^ (quarter % 2u);
    return scratch[returning(is_crossed) + (odd_row * rows() + i) * 2u * shape.k + l];
}

fn right(quarter: u32, l: u32, j: u32) -> f32 {
    return eigenvector(l / shape.k, l % shape.k, quarter % 2u * columns() + j);
}

fn put(quarter: u32, i: u32, j: u32, value: f32) {
    let x = quarter / 2u * rows() + i;
    let y = quarter % 2u * columns() + j;
    after[(element() * shape.k + x) * shape.k + y] = value;
}
