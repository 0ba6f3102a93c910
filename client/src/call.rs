//! One question on its way to the server, and what can come back.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use coreflake_protocol::{
    AnyId, Count, DecodeError, ErrorCode, ErrorReply, Generated, Health, Info, Kind, ParseReply,
    Request, Response, ResponseError, Run,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A request and the place its outcome goes to.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request<'static>,
    /// When its caller stops waiting.
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// What became of one attempt.
pub(crate) type Outcome = Result<Answer, Failure>;

/// A good reply, owned.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The usual reply to GENERATE; kept apart so that `next` needs no memory.
    Run(Run),
    Runs(Vec<Run>),
    /// IDs of 128 bits.
    Wide(Vec<AnyId>),
    Parse(ParseReply),
    Health(Health),
    /// Boxed because it is several times the size of any other answer.
    Info(Box<Info>),
    Ping,
}

/// Why an attempt got no answer. Cheap to clone: the loss of a connection is told to every call on
/// it.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    Lost(Lost),
    Refused(Refusal),
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Io(Arc<io::Error>),
    #[error("nothing was answered for {0:?}")]
    Silent(Duration),
    #[error("a reply carries request id {found} where {expected} was due")]
    RequestId { found: u64, expected: u64 },
    #[error("a reply came that nobody asked for")]
    Unasked,
    #[error("a reply does not fit its request")]
    Unfit,
    #[error("a reply cannot be cut out: {0}")]
    Frame(DecodeError),
    #[error("{0}")]
    Reply(ResponseError),
}

/// An ERROR reply, owned.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    code: u16,
    retry_after_ms: u32,
    text: Arc<str>,
}

impl Call {
    /// Whether the caller has gone: nobody would read the outcome.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Tells the caller, if it still waits.
    pub(crate) fn finish(self, outcome: Outcome) {
        // A caller whose deadline passed has dropped its end; the IDs it asked for are not handed
        // to anybody else, since nobody can know whether it saw them.
        drop(self.reply.send(outcome));
    }
}

impl Answer {
    /// What `response` means for `request`, or `None` when it cannot be the reply to it.
    pub(crate) fn read(
        request: &Request<'_>,
        response: &Response<'_>,
    ) -> Option<Result<Self, Refusal>> {
        let answer = match (request, response) {
            (_, Response::Error(error)) => return Some(Err(Refusal::new(error))),
            (Request::Generate { kind, count }, Response::Generate(generated)) => {
                Self::generated(*kind, *count, generated)?
            }
            (Request::Parse { .. }, Response::Parse(parts)) => Self::Parse(*parts),
            (Request::Health, Response::Health(health)) => Self::Health(*health),
            (Request::Info, Response::Info(info)) => Self::Info(Box::new(*info)),
            (Request::Ping, Response::Ping) => Self::Ping,
            _ => return None,
        };
        Some(Ok(answer))
    }

    /// The IDs of a GENERATE reply, or `None` when they are of another kind, or more than asked
    /// for.
    fn generated(kind: Kind, count: Count, generated: &Generated<'_>) -> Option<Self> {
        let asked = u64::from(count.get());
        if kind.is_wide() {
            let ids = generated.wide(kind)?;
            return (ids.id_count() <= asked).then(|| Self::Wide(ids.iter().collect()));
        }
        let runs = generated.runs()?;
        if runs.id_count() > asked {
            return None;
        }
        let mut iter = runs.iter();
        Some(match (iter.next()?, iter.next()) {
            (run, None) => Self::Run(run),
            _ => Self::Runs(runs.iter().collect()),
        })
    }

    /// How many IDs it brings.
    pub(crate) fn id_count(&self) -> u32 {
        match self {
            Self::Wide(ids) => u32::try_from(ids.len()).unwrap_or(u32::MAX),
            _ => self.runs().iter().map(|run| run.count().get()).sum(),
        }
    }

    /// The IDs of a GENERATE reply to a request for this kind; none of any other.
    pub(crate) fn ids(&self, kind: Kind) -> impl Iterator<Item = AnyId> + '_ {
        let wide = match self {
            Self::Wide(ids) => ids.as_slice(),
            _ => &[],
        };
        let narrow = self.runs().iter().flat_map(|run| run.ids());
        narrow.filter_map(move |id| AnyId::narrow(kind, id)).chain(wide.iter().copied())
    }

    /// The runs of a GENERATE reply for a 64-bit kind; none of any other.
    pub(crate) fn runs(&self) -> &[Run] {
        match self {
            Self::Run(run) => std::slice::from_ref(run),
            Self::Runs(runs) => runs,
            Self::Wide(_) | Self::Parse(_) | Self::Health(_) | Self::Info(_) | Self::Ping => &[],
        }
    }
}

impl Failure {
    /// Whether asking again, elsewhere or later, may help.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused(refusal) => refusal.is_retryable(),
        }
    }

    /// How long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Lost(_) => None,
            Self::Refused(refusal) => refusal.retry_after(),
        }
    }
}

impl Refusal {
    pub(crate) fn new(error: &ErrorReply<'_>) -> Self {
        let text = String::from_utf8_lossy(error.text).into();
        Self { code: error.code, retry_after_ms: error.retry_after_ms, text }
    }

    /// The code, unless it is newer than this crate.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        ErrorCode::from_wire(self.code)
    }

    /// A code that is not known is judged by its delay: only refusals that pass have one.
    pub(crate) fn is_retryable(&self) -> bool {
        self.code().map_or(self.retry_after_ms > 0, ErrorCode::is_retryable)
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        (self.retry_after_ms > 0).then(|| Duration::from_millis(self.retry_after_ms.into()))
    }

    /// Whether nothing more is to be had on the connection that brought it.
    pub(crate) fn ends_connection(&self) -> bool {
        self.code().is_some_and(|code| code == ErrorCode::Draining || code.closes_connection())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => code.fmt(f)?,
            None => write!(f, "code {:#06x}", self.code)?,
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, retry_after_ms: u32, text: &[u8]) -> Refusal {
        Refusal::new(&ErrorReply { code, retry_after_ms, text })
    }

    #[test]
    fn refusals_know_whether_they_pass() {
        assert!(refusal(ErrorCode::Overloaded.wire(), 0, b"").is_retryable());
        assert!(!refusal(ErrorCode::InvalidCount.wire(), 5, b"").is_retryable());
        assert!(refusal(0x7777, 5, b"").is_retryable());
        assert!(!refusal(0x7777, 0, b"").is_retryable());
        assert!(refusal(ErrorCode::Draining.wire(), 0, b"").ends_connection());
        assert!(!refusal(0x7777, 0, b"").ends_connection());
    }

    #[test]
    fn refusals_read_well() {
        assert_eq!(refusal(0x0105, 0, b"").to_string(), "OVERLOADED");
        assert_eq!(refusal(0x0105, 0, b"3 wait").to_string(), "OVERLOADED: 3 wait");
        assert_eq!(refusal(0x7777, 0, b"new").to_string(), "code 0x7777: new");
    }

    #[test]
    fn an_answer_fits_its_request_or_is_none() {
        assert!(Answer::read(&Request::Ping, &Response::Ping).is_some());
        assert!(Answer::read(&Request::Health, &Response::Ping).is_none());
    }
}
