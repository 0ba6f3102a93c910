//! The datagrams that wait for their replies, and when to send which again. No I/O, no clock.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use coreflake_protocol::{Frame, Request, Response};
use tokio::time::Instant;

use crate::call::{Answer, Call, Failure};

/// Calls by the nonces that were sent for them. Each sending has a nonce of its own, all of a call
/// are good until the first reply to any, and none is good twice. So a reply that was late, doubled
/// or meant for somebody else is never taken for another, and a slow path is not given up for being
/// slow.
///
/// Nonces come from a generator that is fast, not secret: they keep out accidents and strangers who
/// see no traffic. Who can read the datagrams can forge replies.
#[derive(Debug)]
pub(crate) struct Pending {
    calls: HashMap<u64, Sent>,
    /// From nonce to the key of its call: the nonce it was first sent with.
    keys: HashMap<u64, u64>,
    /// When which call needs attention.
    schedule: BTreeSet<(Instant, u64)>,
    rng: fastrand::Rng,
    retry_interval: Duration,
    attempts_max: u32,
}

#[derive(Debug)]
struct Sent {
    call: Call,
    nonces: Vec<u64>,
    first_sent_at: Instant,
    due_at: Instant,
}

/// What is to be done about a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send it, with this nonce.
    Send { request: Request<'static>, nonce: u64 },
    /// Nothing: its deadline passed without a reply. It was first sent at this time.
    Expired { first_sent_at: Instant },
}

impl Pending {
    pub(crate) fn new(rng: fastrand::Rng, retry_interval: Duration, attempts_max: u32) -> Self {
        let (calls, keys, schedule) = (HashMap::new(), HashMap::new(), BTreeSet::new());
        Self { calls, keys, schedule, rng, retry_interval, attempts_max }
    }

    /// How many calls wait.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// When [`due`](Self::due) will have something next.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.schedule.first().map(|(due_at, _)| *due_at)
    }

    /// Adds a call that is sent now, and returns the nonce to send it with.
    pub(crate) fn insert(&mut self, call: Call, now: Instant) -> u64 {
        let nonce = self.nonce();
        let due_at = (now + self.retry_interval).min(call.deadline);
        self.keys.insert(nonce, nonce);
        self.schedule.insert((due_at, nonce));
        let sent = Sent { call, nonces: vec![nonce], first_sent_at: now, due_at };
        self.calls.insert(nonce, sent);
        nonce
    }

    /// Takes the next call that needs attention by `now`. Callers that have gone are forgotten
    /// here.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        loop {
            let (due_at, key) = *self.schedule.first()?;
            if due_at > now {
                return None;
            }
            let Some(sent) = self.calls.get(&key) else {
                self.schedule.remove(&(due_at, key));
                continue;
            };
            let expired = sent.call.deadline <= now;
            if expired || sent.call.is_abandoned() {
                let first_sent_at = sent.first_sent_at;
                self.remove(key);
                // A caller that left before its deadline says nothing about the server.
                if expired {
                    return Some(Due::Expired { first_sent_at });
                }
                continue;
            }
            return self.send_again(key, now);
        }
    }

    /// Forgets the calls whose callers have gone or whose deadline passed, and sends none. For as
    /// long as there is nothing to send with.
    pub(crate) fn forget(&mut self, now: Instant) {
        let gone = |sent: &Sent| sent.call.deadline <= now || sent.call.is_abandoned();
        let calls = self.calls.iter().filter(|(_, sent)| gone(sent));
        for key in calls.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.remove(key);
        }
    }

    fn send_again(&mut self, key: u64, now: Instant) -> Option<Due> {
        let nonce = self.nonce();
        let sent = self.calls.get_mut(&key)?;
        self.schedule.remove(&(sent.due_at, key));
        self.keys.insert(nonce, key);
        sent.nonces.push(nonce);
        let attempts = u32::try_from(sent.nonces.len()).unwrap_or(u32::MAX);
        let deadline = sent.call.deadline;
        sent.due_at = if attempts >= self.attempts_max {
            deadline
        } else {
            let interval = self.retry_interval.saturating_mul(1 << (attempts - 1).min(16));
            now.checked_add(interval).map_or(deadline, |due_at| due_at.min(deadline))
        };
        self.schedule.insert((sent.due_at, key));
        Some(Due::Send { request: sent.call.request, nonce })
    }

    /// Gives a reply to the call it belongs to. False when it is nobody's, or no reply at all:
    /// whatever arrives on the port must not disturb a call that waits.
    pub(crate) fn accept(&mut self, frame: &Frame<'_>) -> bool {
        let Some(key) = self.keys.get(&frame.header.request_id).copied() else {
            return false;
        };
        let Ok(response) = Response::decode(frame) else {
            return false;
        };
        let request = self.calls.get(&key).map(|sent| sent.call.request);
        let Some(answer) = request.and_then(|request| Answer::read(&request, &response)) else {
            return false;
        };
        if let Some(sent) = self.remove(key) {
            sent.call.finish(answer.map_err(Failure::Refused));
        }
        true
    }

    fn remove(&mut self, key: u64) -> Option<Sent> {
        let sent = self.calls.remove(&key)?;
        self.schedule.remove(&(sent.due_at, key));
        for nonce in &sent.nonces {
            self.keys.remove(nonce);
        }
        Some(sent)
    }

    /// A number that no datagram on its way carries.
    fn nonce(&mut self) -> u64 {
        loop {
            let nonce = self.rng.u64(..);
            if !self.keys.contains_key(&nonce) {
                return nonce;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::call::Outcome;
    use crate::datagram;

    const INTERVAL: Duration = Duration::from_millis(50);
    const TIMEOUT: Duration = Duration::from_secs(1);

    fn pending() -> Pending {
        Pending::new(fastrand::Rng::with_seed(7), INTERVAL, 4)
    }

    fn insert(pending: &mut Pending, now: Instant) -> (u64, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let call = Call { request: Request::Ping, deadline: now + TIMEOUT, reply };
        (pending.insert(call, now), outcome)
    }

    fn accept(pending: &mut Pending, nonce: u64, response: &Response<'_>) -> bool {
        let mut bytes = Vec::new();
        response.encode(nonce, &mut bytes);
        pending.accept(&datagram::decode(&bytes).unwrap())
    }

    fn is_empty(pending: &Pending) -> bool {
        pending.calls.is_empty() && pending.keys.is_empty() && pending.schedule.is_empty()
    }

    #[test]
    fn a_call_is_sent_again_at_doubled_intervals_and_then_expires() {
        let (mut pending, start) = (pending(), Instant::now());
        let (nonce, _outcome) = insert(&mut pending, start);
        let mut nonces = vec![nonce];
        for at_ms in [50, 150, 350] {
            let at = start + Duration::from_millis(at_ms);
            assert_eq!(pending.due_at(), Some(at));
            assert_eq!(pending.due(at - Duration::from_nanos(1)), None);
            let Some(Due::Send { nonce, .. }) = pending.due(at) else { panic!("at {at_ms} ms") };
            assert!(!nonces.contains(&nonce));
            nonces.push(nonce);
        }
        assert_eq!(pending.due_at(), Some(start + TIMEOUT));
        assert_eq!(pending.due(start + TIMEOUT), Some(Due::Expired { first_sent_at: start }));
        assert!(is_empty(&pending));
    }

    #[test]
    fn any_nonce_of_a_call_is_good_once() {
        let (mut pending, start) = (pending(), Instant::now());
        let (first, mut outcome) = insert(&mut pending, start);
        let Some(Due::Send { nonce: second, .. }) = pending.due(start + INTERVAL) else { panic!() };
        assert!(!accept(&mut pending, first ^ second, &Response::Ping));
        assert!(!accept(&mut pending, first, &Response::Auth));
        assert!(accept(&mut pending, first, &Response::Ping));
        assert!(matches!(outcome.try_recv(), Ok(Ok(Answer::Ping))));
        assert!(!accept(&mut pending, first, &Response::Ping));
        assert!(!accept(&mut pending, second, &Response::Ping));
        assert!(is_empty(&pending));
    }

    #[test]
    fn a_caller_that_has_gone_is_forgotten() {
        let (mut pending, start) = (pending(), Instant::now());
        drop(insert(&mut pending, start));
        assert_eq!(pending.due(start + INTERVAL), None);
        assert!(is_empty(&pending));
    }

    #[test]
    fn forgetting_sends_nothing() {
        let (mut pending, start) = (pending(), Instant::now());
        drop(insert(&mut pending, start));
        let (_, _expired) = insert(&mut pending, start);
        let (late, _outcome) = insert(&mut pending, start + INTERVAL);
        pending.forget(start + TIMEOUT);
        assert_eq!((pending.len(), pending.keys.len()), (1, 1));
        assert!(pending.keys.contains_key(&late));
    }
}
