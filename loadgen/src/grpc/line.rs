//! One connection to the gRPC door, and the calls on it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use coreflake_grpc::id_generator_client::IdGeneratorClient;
use coreflake_grpc::{GenerateBatchRequest, GenerateIdRequest, HealthCheckRequest};
use coreflake_protocol::{Id, Layout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

use super::channel::Channel;
use crate::clock::Clock;
use crate::ledger::{Expectation, Flight, Identity, Order, worker_ids_of};
use crate::stats::Failure;
use crate::stream::invalid;
use crate::target::LinkSettings;

/// Of what the server says, as much goes into a message.
const TEXT_SIZE_MAX: usize = 160;

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    channel: Channel,
    client: IdGeneratorClient<Channel>,
    settings: LinkSettings,
    authorization: Option<MetadataValue<Ascii>>,
    pub(crate) expected: Expectation,
    /// The highest ID received. Calls have no order among each other, but one that was made when
    /// this ID was known has to bring higher ones.
    pub(crate) highest: Order,
    pub(crate) in_flight: usize,
    pub(crate) is_broken: bool,
}

/// A call on its way.
pub(crate) struct Call {
    pub(crate) index: usize,
    pub(crate) flight: Flight,
    /// [`Line::highest`] when the call was made.
    order: Order,
    clock: Clock,
    reply: Pin<Box<dyn Future<Output = Result<Vec<i64>, Status>> + Send>>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The connection, counted within the thread.
    pub(crate) index: usize,
    pub(crate) flight: Flight,
    pub(crate) order: Order,
    pub(crate) received_ns: u64,
    pub(crate) ids: Result<Vec<i64>, Status>,
}

impl Line {
    /// Connects to `address`, which `authority` names, and asks how the server is.
    pub(crate) async fn connect(
        address: SocketAddr,
        authority: &str,
        settings: LinkSettings,
        token: Option<&[u8]>,
    ) -> io::Result<Self> {
        let origin = format!("http://{authority}").parse().map_err(io::Error::other)?;
        let authorization = token.map(|token| {
            let value = [b"Bearer ", token].concat();
            MetadataValue::try_from(value).map_err(io::Error::other)
        });
        let authorization = authorization.transpose()?;
        let channel = Channel::connect(address).await?;
        let mut client = IdGeneratorClient::with_origin(channel.clone(), origin);
        let identity = identity(&mut client, authorization.as_ref()).await?;
        Ok(Self {
            channel,
            client,
            settings,
            authorization,
            expected: Expectation::new(identity, settings.count, false),
            highest: Order::default(),
            in_flight: 0,
            is_broken: false,
        })
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight < self.settings.pipeline.min(self.channel.streams_max())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// Makes a call, which leaves when it is polled.
    pub(crate) fn call(&mut self, index: usize, flight: Flight, clock: Clock) -> Call {
        self.in_flight += 1;
        let mut client = self.client.clone();
        let authorization = self.authorization.as_ref();
        let reply: Pin<Box<dyn Future<Output = _> + Send>> = if self.settings.is_single() {
            let request = authorized(GenerateIdRequest {}, authorization);
            Box::pin(async move {
                let response = client.generate_id(request).await?;
                Ok(vec![response.into_inner().id])
            })
        } else {
            let count = self.settings.count.get().cast_signed();
            let request = authorized(GenerateBatchRequest { count }, authorization);
            Box::pin(async move {
                let response = client.generate_batch(request).await?;
                Ok(response.into_inner().ids)
            })
        };
        Call { index, flight, order: self.highest, clock, reply }
    }

    /// Asks whether the server is still there.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        identity(&mut self.client, self.authorization.as_ref()).await.map(|_| ())
    }
}

impl Future for Call {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Reply> {
        let ids = ready!(self.reply.as_mut().poll(context));
        let Self { index, flight, order, clock, .. } = &*self;
        let (index, flight, order, received_ns) = (*index, *flight, *order, clock.now_ns());
        Poll::Ready(Reply { index, flight, order, received_ns, ids })
    }
}

async fn identity(
    client: &mut IdGeneratorClient<Channel>,
    authorization: Option<&MetadataValue<Ascii>>,
) -> io::Result<Identity> {
    let request = authorized(HealthCheckRequest {}, authorization);
    let health = client.health_check(request).await.map_err(|status| refusal(&status))?;
    let health = health.into_inner();
    let id = |number| u16::try_from(number).map_err(|_| invalid("no worker or datacenter ID"));
    let datacenter_id = id(health.datacenter_id)?;
    let worker_ids = health.worker_ids.into_iter().map(id).collect::<io::Result<Vec<_>>>()?;
    let worker_ids = worker_ids_of(u16::try_from(health.worker_id).into_iter(), worker_ids);
    // The bits are the same whatever the epoch is, and nothing here depends on that.
    Ok(Identity { layout: Layout::SNOWFLAKE, datacenter_id, worker_ids })
}

fn authorized<T>(message: T, authorization: Option<&MetadataValue<Ascii>>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.clone());
    }
    request
}

/// Reads the numbers of a reply into `ids`; false if one is no ID.
pub(crate) fn read_ids(numbers: &[i64], ids: &mut Vec<Id>) -> bool {
    ids.clear();
    ids.extend(numbers.iter().filter_map(|number| Id::new(u64::try_from(*number).ok()?)));
    ids.len() == numbers.len()
}

/// What a status counts as: the message of a refusal begins with the name of its code.
pub(crate) fn failure(status: &Status) -> Failure {
    let name = status.message().split(':').next().unwrap_or_default();
    Failure::refused(name).unwrap_or_else(|| Failure::Grpc(status.code()))
}

/// Whether a status was made on this side, because no other came.
pub(crate) fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// The cause in words.
pub(crate) fn refusal(status: &Status) -> io::Error {
    let Some(mut source) = status.source() else {
        let code = format!("{:?}", status.code());
        let text: String = status.message().chars().take(TEXT_SIZE_MAX).collect();
        return io::Error::other(format!("the server answered {code}: {text}"));
    };
    let mut text = source.to_string();
    while let Some(cause) = source.source() {
        text = format!("{text}: {cause}");
        source = cause;
    }
    io::Error::other(text)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn refusals_go_by_their_code_or_else_by_their_status() {
        for (code, message, name) in [
            (Code::Unavailable, "WINDOW_EXHAUSTED: the reserved window", "WINDOW_EXHAUSTED"),
            (Code::Unavailable, "DRAINING", "DRAINING"),
            (Code::Unavailable, "tcp connect error", "grpc_unavailable"),
            (Code::Unauthenticated, "", "grpc_unauthenticated"),
            (Code::Unavailable, "NEWER: reason", "grpc_unavailable"),
        ] {
            assert_eq!(failure(&Status::new(code, message)).name(), name);
        }
    }

    #[test]
    fn negative_numbers_are_no_ids() {
        let mut ids = Vec::new();
        assert!(read_ids(&[0, 5, i64::MAX], &mut ids));
        assert_eq!(ids.iter().map(|id| id.get()).collect::<Vec<_>>(), [0, 5, i64::MAX as u64]);
        assert!(!read_ids(&[5, -1], &mut ids));
    }
}
