// What every step is told of the row it takes. Numbers of a stream stand one per stream, streams side by side.
struct Row {
    // Which of the rows that were sent.
    index: u32,
    // Streams that are still under way, from the first.
    streams: u32,
    // Where its features go, or NOWHERE.
    slot: u32,
    reserved: u32,
}

const NOWHERE = 0xffffffffu;

@group(0) @binding(1) var<uniform> row: Row;
// rows x inputs x streams
@group(0) @binding(2) var<storage, read> inputs: array<f32>;
// numbers x streams
@group(0) @binding(3) var<storage, read> before: array<f32>;
@group(0) @binding(4) var<storage, read_write> after: array<f32>;
// slots x streams x features
@group(0) @binding(5) var<storage, read_write> features: array<f32>;
