//! The client: what callers see.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coreflake_protocol::{
    AnyId, Count, Health, Id as SnowflakeId, IdError, Info, Kind as IdKind, ParseReply, Request,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::batch::{Batch, COUNT_MAX};
use crate::builder::{ClientBuilder, Config};
use crate::call::Answer;
use crate::dispatch::Dispatch;
use crate::endpoint::Transport;
use crate::error::{Error, Kind};
use crate::link::Link;
use crate::{tcp, udp};

/// A client of one server. Cheap to clone: all clones share one connection, on which calls that are
/// made at the same time travel together. Its background task ends when the last clone is dropped.
///
/// Calls may be made from any task of any tokio runtime while the runtime it was built in is alive.
/// A call that is dropped before it is done is forgotten; the IDs it asked for are never used.
///
/// # Fork
///
/// A client must not be used across `fork`: the child shares the socket but has none of the
/// threads. Every call checks for that and fails. Build a new client in the child.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    dispatch: Dispatch,
    task: AbortHandle,
}

impl Client {
    /// Settings of a new client, each at its default.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    pub(crate) fn start(config: Config, runtime: &Handle) -> Self {
        let config = Arc::new(config);
        let link = Arc::new(Link::new());
        let (sender, calls) = mpsc::channel(config.in_flight_max);
        let dispatch = Dispatch::new(Arc::clone(&config), Arc::clone(&link), sender);
        let task = match config.endpoint.transport() {
            Transport::Tcp => runtime.spawn(tcp::run(config, link, calls)),
            Transport::Udp => runtime.spawn(udp::run(config, link, calls)),
        };
        Self { shared: Arc::new(Shared { dispatch, task: task.abort_handle() }) }
    }

    /// One new ID of kind `snowflake`.
    ///
    /// # Errors
    ///
    /// When no server gave one before the deadline, or the server refused for good; see [`Error`].
    pub async fn next(&self) -> Result<SnowflakeId, Error> {
        let request = Request::Generate { kind: IdKind::Snowflake, count: Count::ONE };
        match self.call(request).await? {
            Answer::Run(run) => Ok(run.first()),
            _ => unreachable!("{PAIRED}"),
        }
    }

    /// `count` new IDs of kind `snowflake`, 1 to 1,000,000. More than 4,096 are asked for with
    /// several requests at once, over UDP with 2 to 32. The deadline is that of any call, so a
    /// large batch may need a longer [`call_timeout`](ClientBuilder::call_timeout).
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and when `count` is out of range. All or nothing: IDs that came
    /// before an error are dropped and never used.
    pub async fn next_batch(&self, count: u32) -> Result<Batch, Error> {
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(Error::new(Kind::Count { count }));
        }
        let answers = self.shared.dispatch.generate(IdKind::Snowflake, count).await?;
        Ok(Batch::new(answers.iter().flat_map(Answer::runs).copied()))
    }

    /// Takes an ID of any kind apart by the settings of the server: an [`AnyId`], a
    /// [`SnowflakeId`], a [`Ulid`](crate::Ulid) or a [`Uuid`](crate::Uuid). Whether that server
    /// made it is not checked. What only some kinds have can be had without a server: see
    /// [`Namespace::shard`](crate::Namespace::shard) and [`AnyId::node`].
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and for a UUID of a version that is no kind.
    pub async fn parse<I>(&self, id: I) -> Result<ParseReply, Error>
    where
        I: TryInto<AnyId>,
        IdError: From<I::Error>,
    {
        let id = id.try_into().map_err(|error| Error::new(Kind::Id(error.into())))?;
        match self.call(Request::Parse { id }).await? {
            Answer::Parse(parts) => Ok(parts),
            _ => unreachable!("{PAIRED}"),
        }
    }

    /// How the server is.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn health(&self) -> Result<Health, Error> {
        match self.call(Request::Health).await? {
            Answer::Health(health) => Ok(health),
            _ => unreachable!("{PAIRED}"),
        }
    }

    /// What the server is: layout, slot, limits, and counters of the lane that answered.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn info(&self) -> Result<Info, Error> {
        match self.call(Request::Info).await? {
            Answer::Info(info) => Ok(*info),
            _ => unreachable!("{PAIRED}"),
        }
    }

    /// The round trip to the server and back, as a caller sees it: waiting in line is part of it,
    /// failed attempts are not. The first call of a client includes connecting.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn ping(&self) -> Result<Duration, Error> {
        let (_, round_trip) = self.shared.dispatch.call(Request::Ping).await?;
        Ok(round_trip)
    }

    pub(crate) async fn call(&self, request: Request<'static>) -> Result<Answer, Error> {
        self.shared.dispatch.call(request).await.map(|(answer, _)| answer)
    }

    pub(crate) fn dispatch(&self) -> &Dispatch {
        &self.shared.dispatch
    }
}

/// Why an answer of another operation cannot reach a caller.
pub(crate) const PAIRED: &str = "Answer::read lets only the answer to its own request through";

impl Drop for Shared {
    /// Calls borrow the client, so none is waiting: there is nothing the task could still finish.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = &self.shared.dispatch.config().endpoint_name;
        f.debug_struct("Client").field("endpoint", endpoint).finish_non_exhaustive()
    }
}
