// A matrix product in squares of 16 x 16. What is multiplied, MATRICES of them for each network, is said by `prepare`,
// `rows`, `columns`, `depth` (a multiple of 16), `left`, `right` and `put` of the kernel.
var<workgroup> some_left: array<f32, 256>;
var<workgroup> some_right: array<f32, 256>;

@compute @workgroup_size(16, 16)
fn step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    stream = group.x;
    network = group.y / MATRICES;
    let matrix = group.y % MATRICES;
    let across = (columns() + 15u) / 16u;
    let i = group.z / across * 16u + local.y;
    let j = group.z % across * 16u + local.x;
    let at = local.y * 16u + local.x;
    prepare(at);
    var sum = 0.0;
    for (var first = 0u; first < depth(); first += 16u) {
        some_left[at] = 0.0;
        if (i < rows()) {
            some_left[at] = left(matrix, i, first + local.x);
        }
        some_right[at] = 0.0;
        if (j < columns()) {
            some_right[at] = right(matrix, first + local.y, j);
        }
        workgroupBarrier();
        for (var l = 0u; l < 16u; l++) {
            sum += some_left[local.y * 16u + l] * some_right[l * 16u + local.x];
        }
        workgroupBarrier();
    }
    if (i < rows() && j < columns()) {
        put(matrix, i, j, sum);
    }
}
