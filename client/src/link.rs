//! What is known about the way to the server, shared by the task that keeps it and the calls that
//! wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connect::ConnectError;

/// Read only by a call whose deadline passed, to say why; written when the state changes. So the
/// lock is never on the way of a call that goes well.
#[derive(Debug)]
pub(crate) struct Link {
    state: Mutex<State>,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Up,
    /// None, and why the last attempt at one failed, if there was one.
    Down(Option<Arc<ConnectError>>),
}

impl Link {
    pub(crate) const fn new() -> Self {
        Self { state: Mutex::new(State::Down(None)) }
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    pub(crate) fn up(&self) {
        *self.lock() = State::Up;
    }

    pub(crate) fn down(&self, error: Option<ConnectError>) {
        *self.lock() = State::Down(error.map(Arc::new));
    }

    /// A panic elsewhere cannot leave a state half written: it is replaced as a whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
