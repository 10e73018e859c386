//! Which requests wait, which run next and together, and which are refused.
//!
//! Three questions are answered one after the other, each by the cheapest rule that is fair:
//! * *Whose turn is it?* Priority classes share an executor's time 8:4:2:1, tenants of a class equally, and of one tenant the
//!   request whose deadline is nearest goes first (`turns`). Strict priorities would let a flood of critical requests
//!   starve all others for ever; shares let them have it eight times sooner.
//! * *Who rides along?* Requests to the same model in order of class and deadline, until the batch is full or would make
//!   one of them late. A batch costs little more than its first request, so riding along overtakes nobody.
//! * *Who need not wait?* A request that the backlog will not let finish in time is refused when it comes; one that cannot
//!   finish any more is refused when its turn comes; and where the oldest request stays old, the lowest class is shed
//!   (`shedding`).
//!
//! A model may be held to fewer executors than there are and to fewer requests that wait (`models`); one that is at its limit
//! is passed over, and the others are served as if it were not there. Requests that nobody waits for run in time that
//! nobody else wants.
//!
//! What a request will take is estimated from what batches of its model took (`speed`); nothing is refused on an
//! estimate that nobody has measured.

mod models;
mod queue;
mod shedding;
mod speed;
#[cfg(test)]
mod tests;
mod turns;

pub use models::ModelLimits;
pub use queue::{Batch, Late, Limits, Queue, Refusal, Request, Slot};
pub use speed::Cost;
