//! The one error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coreflake_protocol::{BoundsError, ErrorCode, IdError};

use crate::batch::COUNT_MAX;
use crate::call::{Failure, Lost, Refusal};
use crate::connect::ConnectError;

/// Why a call brought nothing, or a client could not be built.
///
/// One word wide and opaque: callers decide with its questions
/// ([`is_retryable`](Error::is_retryable), [`code`](Error::code), …), people read its text. More
/// than one question may answer yes. The text names the endpoint and the whole cause;
/// [`source`](StdError::source) is the operating system's error where there was one.
pub struct Error {
    kind: Box<Kind>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{field} = {value}: {allowed}")]
    Setting { field: &'static str, value: String, allowed: String },
    #[error("a client must be built inside a tokio runtime")]
    NoRuntime,
    #[error("built in process {built}, used in process {used}: a client does not survive a fork")]
    Forked { built: u32, used: u32 },
    #[error("{endpoint}: the tokio runtime that the client was built in has ended")]
    Ended { endpoint: Arc<str> },
    #[error("count = {count}: 1 to {COUNT_MAX} are allowed in one call")]
    Count { count: u32 },
    #[error("{endpoint}: no answer within {limit:?}")]
    Timeout { endpoint: Arc<str>, limit: Duration },
    #[error("{endpoint}: no connection within {limit:?}{}", Because(last.as_deref()))]
    Connect { endpoint: Arc<str>, limit: Duration, last: Option<Arc<ConnectError>> },
    #[error("{endpoint}: connection lost: {lost}")]
    Lost { endpoint: Arc<str>, lost: Lost },
    #[error("{endpoint}: refused: {refusal}")]
    Refused { endpoint: Arc<str>, refusal: Refusal },
    #[error("{0}")]
    Range(BoundsError),
    #[error("this is no ID: {0}")]
    Id(IdError),
}

impl Error {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind: Box::new(kind) }
    }

    #[cold]
    pub(crate) fn setting(
        field: &'static str,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::new(Kind::Setting { field, value: value.into(), allowed: allowed.into() })
    }

    #[cold]
    pub(crate) fn failure(endpoint: &Arc<str>, failure: Failure) -> Self {
        let endpoint = Arc::clone(endpoint);
        Self::new(match failure {
            Failure::Lost(lost) => Kind::Lost { endpoint, lost },
            Failure::Refused(refusal) => Kind::Refused { endpoint, refusal },
        })
    }

    /// Whether the time ran out: the deadline of the call passed while it waited for an answer or
    /// for a connection, or the connection was given up because the server stayed silent that long.
    pub fn is_timeout(&self) -> bool {
        matches!(
            *self.kind,
            Kind::Timeout { .. } | Kind::Connect { .. } | Kind::Lost { lost: Lost::Silent(_), .. }
        )
    }

    /// Whether the call waited for a connection when its deadline passed, or over UDP, whether the
    /// address turned its datagrams away.
    pub fn is_connect(&self) -> bool {
        matches!(*self.kind, Kind::Connect { .. })
    }

    /// Whether the server answered, with an ERROR. [`code`](Self::code) tells which.
    pub fn is_refused(&self) -> bool {
        matches!(*self.kind, Kind::Refused { .. })
    }

    /// Whether the same call may succeed later or with another server. The client has already
    /// retried as far as deadline and attempts allowed. Asking again is always safe: it brings
    /// other IDs, never the same ones.
    pub fn is_retryable(&self) -> bool {
        match &*self.kind {
            Kind::Refused { refusal, .. } => refusal.is_retryable(),
            Kind::Timeout { .. } | Kind::Connect { .. } | Kind::Lost { .. } => true,
            Kind::Setting { .. }
            | Kind::NoRuntime
            | Kind::Forked { .. }
            | Kind::Ended { .. }
            | Kind::Count { .. }
            | Kind::Range(_)
            | Kind::Id(_) => false,
        }
    }

    /// The code of the server's ERROR reply. `None` when there was none, or when it is newer than
    /// this crate; [`is_refused`](Self::is_refused) tells these apart.
    pub fn code(&self) -> Option<ErrorCode> {
        self.refusal().and_then(Refusal::code)
    }

    /// How long the server asks to wait before the next attempt, in whole milliseconds, more than
    /// zero. `None` when it did not say.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(Refusal::retry_after)
    }

    const fn refusal(&self) -> Option<&Refusal> {
        match &*self.kind {
            Kind::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.kind, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.kind {
            Kind::Lost { lost: Lost::Io(error), .. } => Some(&**error),
            Kind::Connect { last: Some(error), .. } => error.io().map(|error| error as _),
            _ => None,
        }
    }
}

/// The last failure behind a colon, or nothing.
struct Because<'a>(Option<&'a ConnectError>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());
