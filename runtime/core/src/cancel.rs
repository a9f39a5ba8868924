//! A tree of tokens through which a run is told to stop at once.
//!
//! Cancel is neither end of input nor drain: whoever sees it closes what it opened and leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::Event;

/// Tells its holders and the holders of its children to stop.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Node>);

#[derive(Debug, Default)]
struct Node {
    cancelled: AtomicBool,
    event: Event,
    parent: Option<CancelToken>,
}

impl CancelToken {
    /// Makes a root.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Makes a token that is cancelled with this one, or alone.
    pub fn child(&self) -> CancelToken {
        CancelToken(Arc::new(Node { parent: Some(self.clone()), ..Node::default() }))
    }

    /// Cancels this token and its children.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        self.0.event.notify(usize::MAX);
    }

    /// Returns whether it or a parent was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst) || self.0.parent.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    /// Waits until it or a parent is cancelled.
    pub async fn cancelled(&self) {
        loop {
            let mut listeners = Vec::new();
            let mut node = Some(self);
            while let Some(token) = node {
                listeners.push(token.0.event.listen());
                node = token.0.parent.as_ref();
            }
            if self.is_cancelled() {
                return;
            }
            futures::future::select_all(listeners).await;
        }
    }
}
