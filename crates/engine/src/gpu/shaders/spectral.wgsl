// Networks that step in the eigenbasis of their Hamiltonian (see quantum/spectral.rs), k x k with k = 2^(qubits - 1).
struct Shape {
    stride: u32,
    inputs: u32,
    networks: u32,
    k: u32,
    substeps: u32,
    observables: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
// Network after network: eigenvectors of both parities (2 x k x k, a row each); after each part of the evolution the
// cosines, then the sines of the energies of both parities (parts x 4 x k); then observables x pairs of eigenvectors.
@group(0) @binding(6) var<storage, read> table: array<f32>;
// Of each network: the input that it hears, and its swing.
@group(0) @binding(7) var<storage, read> wiring: array<vec2<f32>>;
// Of each network and stream, ten k x k: two half rotated, four in the eigenbasis, four half rotated back.
@group(0) @binding(8) var<storage, read_write> scratch: array<f32>;

// Which stream and network a workgroup is for; a state is network x stream x k x k.
var<private> stream: u32;
var<private> network: u32;

fn element() -> u32 {
    return network * shape.stride + stream;
}

fn pairs() -> u32 {
    return shape.k * (shape.k + 1u);
}

fn network_table() -> u32 {
    let k = shape.k;
    return network * (2u * k * k + shape.substeps * 4u * k + shape.observables * pairs());
}

// An entry of an eigenvector of a parity.
fn eigenvector(parity: u32, number: u32, column: u32) -> f32 {
    return table[network_table() + (parity * shape.k + number) * shape.k + column];
}

// Where the part `part` of the evolution has its phases.
fn phases(part: u32) -> u32 {
    return network_table() + 2u * shape.k * shape.k + part * 4u * shape.k;
}

fn rotated(q: u32) -> u32 {
    return (element() * 10u + q) * shape.k * shape.k;
}

// Row b of block (q, p) holds R_ab for all a.
fn block(q: u32, p: u32) -> u32 {
    return (element() * 10u + 2u + 2u * q + p) * shape.k * shape.k;
}

// k x 2k: what reaches entries whose row and column have the same parity (0), and what reaches the others (1).
fn returning(is_crossed: u32) -> u32 {
    return (element() * 10u + 6u + 2u * is_crossed) * shape.k * shape.k;
}

// The amplitude of qubit 0 that makes state x of the others one of parity p.
fn amplitude(p: u32, x: u32) -> f32 {
    let wire = wiring[network];
    let heard = inputs[(row.index * shape.inputs + u32(wire.x)) * shape.stride + stream];
    let s = clamp(0.5 + wire.y * (heard - 0.5), 0.0, 1.0);
    let is_odd = x >= shape.k / 2u;
    return sqrt(select(1.0 - s, s, (p == 1u) != is_odd));
}
