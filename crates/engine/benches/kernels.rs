//! The kernels under criterion, for those who change one and want to see what that did:
//!
//! ```text
//! cargo bench -p spinwell-engine --features bench -- echo-500
//! ```
//!
//! A time is of one run of a workload, which is many steps; `make bench-engine` gives times of single steps, beside other
//! libraries.

use criterion::{Criterion, criterion_group, criterion_main};
use spinwell_engine::bench;

fn kernels(criterion: &mut Criterion) {
    for planned in bench::all() {
        // What the filter leaves out is never prepared.
        let mut workload = None;
        criterion.bench_function(&planned.name, |bencher| {
            let workload = workload.get_or_insert_with(|| planned.prepare());
            bencher.iter(|| (workload.run)());
        });
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
