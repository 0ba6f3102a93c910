//! What the errors of the crate mean.

use zookeeper_client::Error;

use crate::identity::shared::Trouble;

/// What to tell of an error. No error of the crate contains what was sent.
pub(super) fn trouble(addresses: &str, error: &Error) -> Trouble {
    let text = |what: &str| format!("ZooKeeper at {addresses}: {what}");
    match error {
        Error::NoAuth | Error::AuthFailed | Error::InvalidAcl => {
            Trouble::Denied(text(&format!("the credentials are not accepted ({error})")))
        }
        Error::BadArguments(_) | Error::Unimplemented | Error::MarshallingError => {
            Trouble::Unfit(text(&error.to_string()))
        }
        Error::Timeout | Error::NoHosts => Trouble::Away(text("cannot be reached")),
        error => Trouble::Away(text(&error.to_string())),
    }
}

/// Whether a session is of no use after an error. The last one comes when the crate's task is gone.
pub(super) fn ends_session(error: &Error) -> bool {
    use Error::{AuthFailed, ClientClosed, SessionExpired, UnexpectedError};
    matches!(error, SessionExpired | AuthFailed | ClientClosed | UnexpectedError(_))
}

/// Whether a transaction has failed because a node was not as expected. Nothing was changed then.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::BadVersion | Error::NodeExists | Error::NoNode)
}
