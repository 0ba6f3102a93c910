//! The session on which the markers of this process hang.

use hyper::StatusCode;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::wire::{MadeSession, NewSession, not_consul};
use super::{Consul, wire};
use crate::identity::shared::Trouble;
use crate::limits::CONSUL_RENEW_PAUSE;

/// A session is renewed three times before it may end.
const RENEWALS: u32 = 3;

impl Consul {
    /// Renews the session for as long as this is polled, and notices when it is lost. It makes
    /// none: that is up to the next write that needs one.
    pub(crate) async fn tend(&self) {
        let interval = self.settings.session / RENEWALS;
        let (mut pause, mut is_well) = (interval, true);
        loop {
            sleep(pause).await;
            match self.renew().await {
                Ok(()) => (pause, is_well) = (interval, true),
                Err(trouble) => {
                    if is_well {
                        warn!(%trouble, "the session in Consul cannot be renewed");
                    }
                    (pause, is_well) = (CONSUL_RENEW_PAUSE.min(interval), false);
                }
            }
        }
    }

    /// Ends the session, and with it the markers of this process. It is forgotten either way.
    ///
    /// # Errors
    ///
    /// [`Trouble`], when it is not known whether it has ended: it does so by itself, in twice its
    /// length at most.
    pub(crate) async fn close(&self) -> Result<(), Trouble> {
        let deadline = self.deadline();
        let _making = self.lock_making(deadline).await?;
        let Some(session) = self.memory.session() else { return Ok(()) };
        self.memory.end(&session);
        let path = format!("/v1/session/destroy/{session}");
        let answer = self.put(&path, Vec::new(), deadline).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            status => Err(not_consul(&format!("the answer {status} to the end of a session"))),
        }
    }

    /// The session; if there is none, makes one.
    pub(super) async fn ensure_session(&self, deadline: Instant) -> Result<String, Trouble> {
        let _making = self.lock_making(deadline).await?;
        if let Some(session) = self.memory.session() {
            return Ok(session);
        }
        let body = wire::write(&NewSession::new(self.settings.session.as_millis()))?;
        // Made twice by mistake, the first one ends by itself.
        let answer = self.put("/v1/session/create", body, deadline).await?;
        let made = match answer.status {
            StatusCode::OK => wire::read::<MadeSession>(&answer.body, "a new session")?,
            status => return Err(not_consul(&format!("the answer {status} for a session"))),
        };
        if !made.is_valid() {
            return Err(not_consul("the name of a session"));
        }
        self.memory.begin(&made.id);
        Ok(made.id)
    }

    /// Renews a session; if it is lost, forgets it. Tells whether it lives.
    pub(super) async fn renew_session(
        &self,
        session: &str,
        deadline: Instant,
    ) -> Result<bool, Trouble> {
        let path = format!("/v1/session/renew/{session}");
        let answer = self.put(&path, Vec::new(), deadline).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => {
                self.memory.end(session);
                Ok(false)
            }
            status => Err(not_consul(&format!("the answer {status} to a renewal"))),
        }
    }

    async fn renew(&self) -> Result<(), Trouble> {
        if let Some(session) = self.memory.session() {
            let lives = self.renew_session(&session, self.deadline()).await?;
            if !lives {
                warn!("the session in Consul was lost, and the live marker with it");
            }
        }
        Ok(())
    }

    async fn lock_making(
        &self,
        deadline: Instant,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, Trouble> {
        let lock = tokio::time::timeout_at(deadline, self.making.lock()).await;
        lock.map_err(|_| Trouble::Away("another call is making a session".to_owned()))
    }
}
