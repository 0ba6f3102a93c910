//! What an error of a call means.

use core::error::Error;

use tonic::{Code, ConnectError, Status};

use crate::identity::shared::Trouble;

/// Characters of a server's words that are shown. They are a peer's: they may be anything.
const WORDS_MAX: usize = 200;

/// Errors of errors that are looked at.
const DEPTH_MAX: usize = 8;

/// What etcd says of a token that it does not know any more, of one from before its users were
/// changed, and when it wants one and has got none. In each case it has done nothing else.
const STALE: [&str; 4] = [
    "invalid auth token",
    "revision of auth store is old",
    "revision in header is old",
    "user name is empty",
];

/// What etcd says of a name or a password that is wrong.
const WRONG_PASSWORD: &str = "authentication failed";

/// Whether a new token would help.
pub(super) fn is_stale_token(status: &Status) -> bool {
    STALE.iter().any(|words| status.message().contains(words))
}

/// Whether etcd wants no credentials, because it lets everybody do everything.
pub(super) fn is_without_auth(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
        && status.message().contains("authentication is not enabled")
}

/// Whether the lease that was named is no more. A transaction that names it has changed nothing.
pub(super) fn is_lease_gone(status: &Status) -> bool {
    status.code() == Code::NotFound && status.message().contains("lease not found")
}

/// Whether the call has certainly not been sent: there was no connection.
pub(super) fn is_unsent(status: &Status) -> bool {
    chain(status).any(|error| error.is::<ConnectError>())
}

/// What `status`, the answer of `endpoint` or of the way there, comes to.
pub(super) fn trouble(endpoint: &str, status: &Status) -> Trouble {
    let text = format!("etcd at {endpoint}: {}", words(status));
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => Trouble::Denied(text),
        _ if status.message().contains(WRONG_PASSWORD) => Trouble::Denied(text),
        _ if is_stale_token(status) => Trouble::Denied(text),
        // It does not know the call, or will never take this one.
        Code::Unimplemented | Code::InvalidArgument | Code::OutOfRange => Trouble::Unfit(text),
        _ => Trouble::Away(text),
    }
}

/// What `error` says, and what has caused it: the outermost says the least.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut all = String::new();
    for error in chain(error) {
        let words = match error.downcast_ref::<Status>() {
            Some(status) if status.message().is_empty() => status.code().description().to_owned(),
            Some(status) => status.message().to_owned(),
            None => error.to_string(),
        };
        // Many repeat what they wrap, and the name of the kind tells nobody anything.
        if words != "transport error" && !all.contains(&words) {
            if !all.is_empty() {
                all.push_str(": ");
            }
            all.push_str(&words);
        }
    }
    let printable = |of: char| if of.is_control() { ' ' } else { of };
    let shown: String = all.chars().map(printable).take(WORDS_MAX).collect();
    if shown.is_empty() { "it cannot be reached".to_owned() } else { shown }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    core::iter::successors(Some(error), |error| (**error).source()).take(DEPTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: Code, message: &str) -> Trouble {
        trouble("http://a:1", &Status::new(code, message))
    }

    #[test]
    fn etcds_answers_are_told_apart() {
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        for (code, message) in [
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::InvalidArgument, wrong),
            (Code::InvalidArgument, "etcdserver: user name is empty"),
        ] {
            let text = format!("etcd at http://a:1: {message}");
            assert_eq!(kind(code, message), Trouble::Denied(text));
        }
        for (code, message) in [
            (Code::Unavailable, "etcdserver: no leader"),
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            (Code::Unknown, "h2 protocol error"),
        ] {
            assert!(matches!(kind(code, message), Trouble::Away(_)), "{message}");
        }
        let many = "etcdserver: too many operations in txn request";
        assert!(matches!(kind(Code::InvalidArgument, many), Trouble::Unfit(_)));
        assert!(matches!(kind(Code::Unimplemented, ""), Trouble::Unfit(_)));
    }

    #[test]
    fn a_peers_words_are_cut_and_printable() {
        let Trouble::Away(text) = kind(Code::Unavailable, &"\u{1b}[2J\n".repeat(10_000)) else {
            panic!("away");
        };
        assert!(text.len() < 300 && !text.contains(|of: char| of.is_control()), "{text}");
    }

    #[test]
    fn what_was_never_sent_is_recognised() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        assert!(is_unsent(&status), "{status:?}");
        assert_eq!(words(&status), "connection refused");
        assert!(!is_unsent(&Status::unavailable("etcdserver: no leader")));
    }
}
