//! How connections that broke are made anew.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::nanoseconds;
use crate::target::{Connected, LinkSettings, Target};

/// From one attempt to the next, on each connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an attempt may take: the other connections of the thread wait meanwhile.
const TIMEOUT: Duration = Duration::from_millis(200);

/// What it takes to connect anew.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    target: Target,
    settings: LinkSettings,
    token: Option<Arc<[u8]>>,
}

impl Again {
    pub(crate) fn new(target: &Target, settings: LinkSettings, token: Option<&[u8]>) -> Self {
        Self { target: target.clone(), settings, token: token.map(Arc::from) }
    }

    /// When an attempt is to be made after one at `now_ns`, or after a connection broke then.
    pub(crate) fn next_ns(now_ns: u64) -> u64 {
        now_ns + nanoseconds(PAUSE)
    }

    /// One attempt, at each address of the target.
    pub(crate) fn connect(&self) -> Result<Connected, String> {
        let Self { target, settings, token } = self;
        let connect = |address| -> io::Result<Connected> {
            target.connect_one(address, *settings, token.as_deref(), TIMEOUT)
        };
        target.reach(connect).map(|(_, connected)| connected)
    }
}
