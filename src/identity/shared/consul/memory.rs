//! What this process knows of its session, and of the records it has read.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::identity::shared::Stored;
use crate::limits::CONSUL_SESSIONS_REMEMBERED;

/// Shared by whoever writes and whoever renews the session. Nobody waits while it is locked.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Rises whenever a session begins or ends.
    number: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    session: Option<String>,
    /// Sessions of this process that it holds for lost, the last one at the back.
    former: VecDeque<String>,
    /// Records as last read or written in this session. A version alone would not do: after a
    /// store was restored it may come again, with another value.
    known: BTreeMap<u16, Stored>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is kept is whole at every moment, whoever panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`super::Consul::session`].
    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(super) fn session(&self) -> Option<String> {
        self.lock().session.clone()
    }

    /// A session was made.
    pub(super) fn begin(&self, session: &str) {
        let mut inner = self.lock();
        inner.known.clear();
        inner.session = Some(session.to_owned());
        self.number.fetch_add(1, Ordering::Release);
    }

    /// A session is no more. Nothing happens if another one is current already.
    pub(super) fn end(&self, session: &str) {
        let mut inner = self.lock();
        if inner.session.as_deref() != Some(session) {
            return;
        }
        inner.session = None;
        inner.known.clear();
        if inner.former.len() == CONSUL_SESSIONS_REMEMBERED {
            inner.former.pop_front();
        }
        inner.former.push_back(session.to_owned());
        self.number.fetch_add(1, Ordering::Release);
    }

    /// Whether it was a session of this process before.
    pub(super) fn is_former(&self, session: &str) -> bool {
        self.lock().former.iter().any(|former| former == session)
    }

    pub(super) fn learn(&self, worker_id: u16, stored: Stored) {
        self.lock().known.insert(worker_id, stored);
    }

    pub(super) fn forget(&self, worker_id: u16) {
        self.lock().known.remove(&worker_id);
    }

    /// Whether that is what the record was when it was last seen.
    pub(super) fn knows(&self, worker_id: u16, stored: &Stored) -> bool {
        self.lock().known.get(&worker_id) == Some(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_once_and_takes_what_was_known_with_it() {
        let memory = Memory::default();
        assert_eq!((memory.number(), memory.session()), (0, None));
        memory.begin("a");
        let stored = Stored { bytes: vec![1], version: 2, fleeting: false };
        memory.learn(5, stored.clone());
        assert!(memory.knows(5, &stored) && !memory.knows(6, &stored));
        memory.end("a");
        assert!(!memory.knows(5, &stored) && memory.is_former("a"));
        memory.begin("b");
        let number = memory.number();
        memory.end("a");
        assert_eq!((memory.number(), memory.session().as_deref()), (number, Some("b")));
    }

    #[test]
    fn only_the_last_sessions_are_remembered() {
        let memory = Memory::default();
        for session in 0..=CONSUL_SESSIONS_REMEMBERED {
            memory.begin(&session.to_string());
            memory.end(&session.to_string());
        }
        assert!(!memory.is_former("0") && memory.is_former("1"));
    }
}
