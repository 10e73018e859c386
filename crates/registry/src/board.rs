//! Where the view hangs for everybody to see.

use crate::{Listed, View, clock};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Holds the view, and wakes those who watch it when it has changed.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<watch::Sender<Arc<View>>>);

impl Board {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(View::unknown(clock::now())))))
    }

    /// The view, now and as it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.subscribe()
    }

    /// These are the members, as they were seen then; frozen or not.
    pub(crate) fn publish(&self, members: Vec<Listed>, is_frozen: bool, seen_at: Instant) {
        self.0.send_if_modified(|view| replace(view, members, is_frozen, seen_at));
    }

    /// Changes the members, which are what they are from now on.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Vec<Listed>)) {
        self.0.send_if_modified(|view| {
            let mut members = view.listed().to_vec();
            edit(&mut members);
            replace(view, members, false, clock::now())
        });
    }
}

fn replace(view: &mut Arc<View>, members: Vec<Listed>, is_frozen: bool, seen_at: Instant) -> bool {
    let (next, is_news) = view.followed_by(members, is_frozen, seen_at);
    *view = Arc::new(next);
    is_news
}
