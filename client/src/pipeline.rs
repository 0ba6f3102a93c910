//! The requests on one TCP connection that wait for their replies, in order. No I/O.

use std::collections::VecDeque;

use coreflake_protocol::{Frame, Response};

use crate::call::{Answer, Call, Failure, Lost};

/// A queue, because replies keep the order of requests: the next reply is that of the oldest
/// request or the connection is broken. A call whose caller has gone keeps its place for that
/// reason.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    in_flight: VecDeque<InFlight>,
    request_id_last: u64,
}

#[derive(Debug)]
struct InFlight {
    request_id: u64,
    call: Call,
}

impl Pipeline {
    /// How many requests wait for their reply.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Appends the request of `call` to `out` and remembers the call.
    pub(crate) fn push(&mut self, call: Call, out: &mut Vec<u8>) {
        self.request_id_last = self.request_id_last.wrapping_add(1);
        let request_id = self.request_id_last;
        call.request.encode(request_id, out);
        self.in_flight.push_back(InFlight { request_id, call });
    }

    /// Gives a reply to the call it belongs to.
    ///
    /// # Errors
    ///
    /// When the connection is of no use any more: with what to tell every call still on it.
    pub(crate) fn accept(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let response =
            Response::decode(frame).map_err(|error| Failure::Lost(Lost::Reply(error)))?;
        let found = frame.header.request_id;
        let Some(InFlight { request_id: expected, call }) = self.in_flight.front() else {
            return Err(Failure::Lost(Lost::Unasked));
        };
        let expected = *expected;
        if found != expected {
            return Err(Failure::Lost(Lost::RequestId { found, expected }));
        }
        let answer = Answer::read(&call.request, &response).ok_or(Failure::Lost(Lost::Unfit))?;
        let ended = match &answer {
            Err(refusal) if refusal.ends_connection() => Err(Failure::Refused(refusal.clone())),
            _ => Ok(()),
        };
        if let Some(oldest) = self.in_flight.pop_front() {
            oldest.call.finish(answer.map_err(Failure::Refused));
        }
        ended
    }

    /// Tells every call that it will not be answered.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        for oldest in self.in_flight.drain(..) {
            oldest.call.finish(Err(failure.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::frame::{self, RESPONSE_SIZE_MAX, Split};
    use coreflake_protocol::{ErrorCode, ErrorReply, Request};
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;
    use crate::call::Outcome;

    fn ping(pipeline: &mut Pipeline) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let call = Call { request: Request::Ping, deadline: Instant::now(), reply };
        pipeline.push(call, &mut Vec::new());
        outcome
    }

    fn accept(
        pipeline: &mut Pipeline,
        request_id: u64,
        response: &Response<'_>,
    ) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        response.encode(request_id, &mut bytes);
        match frame::split(&bytes, RESPONSE_SIZE_MAX) {
            Ok(Split::Complete { frame, .. }) => pipeline.accept(&frame),
            other => panic!("{other:?}"),
        }
    }

    fn error(code: ErrorCode) -> Response<'static> {
        Response::Error(ErrorReply { code: code.wire(), retry_after_ms: 1, text: b"" })
    }

    #[test]
    fn replies_go_to_the_oldest_request() {
        let mut pipeline = Pipeline::default();
        let mut outcomes = [ping(&mut pipeline), ping(&mut pipeline)];
        assert!(accept(&mut pipeline, 1, &Response::Ping).is_ok());
        assert!(matches!(outcomes[0].try_recv(), Ok(Ok(Answer::Ping))));
        assert!(outcomes[1].try_recv().is_err());
        assert_eq!(pipeline.len(), 1);
    }

    #[test]
    fn a_caller_that_has_gone_keeps_its_place() {
        let mut pipeline = Pipeline::default();
        drop(ping(&mut pipeline));
        let mut second = ping(&mut pipeline);
        assert!(accept(&mut pipeline, 1, &Response::Ping).is_ok());
        assert!(second.try_recv().is_err());
        assert!(accept(&mut pipeline, 2, &Response::Ping).is_ok());
        assert!(matches!(second.try_recv(), Ok(Ok(Answer::Ping))));
    }

    #[test]
    fn a_reply_out_of_place_breaks_the_connection() {
        let mut pipeline = Pipeline::default();
        let unasked = accept(&mut pipeline, 1, &Response::Ping);
        assert!(matches!(unasked, Err(Failure::Lost(Lost::Unasked))));
        let mut outcome = ping(&mut pipeline);
        let other = accept(&mut pipeline, 2, &Response::Ping);
        assert!(matches!(other, Err(Failure::Lost(Lost::RequestId { found: 2, expected: 1 }))));
        let unfit = accept(&mut pipeline, 1, &Response::Auth);
        assert!(matches!(unfit, Err(Failure::Lost(Lost::Unfit))));
        assert!(outcome.try_recv().is_err());
        pipeline.fail(&Failure::Lost(Lost::Closed));
        assert!(matches!(outcome.try_recv(), Ok(Err(Failure::Lost(Lost::Closed)))));
    }

    #[test]
    fn only_refusals_of_the_whole_connection_break_it() {
        let mut pipeline = Pipeline::default();
        let _outcomes = [ping(&mut pipeline), ping(&mut pipeline), ping(&mut pipeline)];
        assert!(accept(&mut pipeline, 1, &error(ErrorCode::Overloaded)).is_ok());
        assert!(accept(&mut pipeline, 2, &error(ErrorCode::Draining)).is_err());
        assert!(accept(&mut pipeline, 3, &error(ErrorCode::Unauthenticated)).is_err());
        assert_eq!(pipeline.len(), 0);
    }
}
