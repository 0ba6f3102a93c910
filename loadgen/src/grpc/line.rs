//! One connection to the gRPC door, and the calls on it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use coreflake_grpc::id_generator_client::IdGeneratorClient;
use coreflake_grpc::{GenerateBatchRequest, GenerateIdRequest, HealthCheckRequest};
use coreflake_protocol::{AnyId, Id, Kind};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

use super::channel::Channel;
use crate::clock::Clock;
use crate::ledger::{Expectation, Flight, Identity, Order, worker_ids_of};
use crate::rest::namespace;
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
    pub(crate) settings: LinkSettings,
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
    reply: Pin<Box<dyn Future<Output = Result<Ids, Status>> + Send>>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The connection, counted within the thread.
    pub(crate) index: usize,
    pub(crate) flight: Flight,
    pub(crate) order: Order,
    pub(crate) received_ns: u64,
    pub(crate) ids: Result<Ids, Status>,
}

/// The IDs of a reply: numbers, or texts for kinds of 128 bits.
#[derive(Debug)]
pub(crate) struct Ids {
    numbers: Vec<i64>,
    texts: Vec<String>,
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
        // What every server understands, as long as nothing else is asked for.
        let kind = match self.settings.kind {
            Kind::Snowflake => 0,
            kind => kind.wire().into(),
        };
        let reply: Pin<Box<dyn Future<Output = _> + Send>> = if self.settings.is_single() {
            let request = GenerateIdRequest { kind, ..Default::default() };
            let request = authorized(request, authorization);
            Box::pin(async move {
                let response = client.generate_id(request).await?.into_inner();
                Ok(Ids { numbers: vec![response.id], texts: vec![response.text] })
            })
        } else {
            let count = self.settings.count.get().cast_signed();
            let request = GenerateBatchRequest { count, kind, ..Default::default() };
            let request = authorized(request, authorization);
            Box::pin(async move {
                let response = client.generate_batch(request).await?.into_inner();
                Ok(Ids { numbers: response.ids, texts: response.texts })
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
    let namespace = namespace(&health.layout).ok_or_else(|| invalid("no layout"))?;
    Ok(Identity { namespace, datacenter_id, worker_ids })
}

fn authorized<T>(message: T, authorization: Option<&MetadataValue<Ascii>>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.clone());
    }
    request
}

/// Reads the IDs of a reply into `ids`; false if one is no ID of the kind.
pub(crate) fn read_ids(kind: Kind, found: &Ids, ids: &mut Vec<AnyId>) -> bool {
    ids.clear();
    if kind.is_wide() {
        let texts = found.texts.iter();
        ids.extend(texts.filter_map(|text| AnyId::read(text, Some(kind), None).ok()));
        return ids.len() == found.texts.len();
    }
    let numbers = found.numbers.iter();
    let ids_of = numbers.filter_map(|number| Id::new(u64::try_from(*number).ok()?));
    ids.extend(ids_of.filter_map(|id| AnyId::narrow(kind, id)));
    ids.len() == found.numbers.len()
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
        let found = |numbers: &[i64]| Ids { numbers: numbers.to_vec(), texts: Vec::new() };
        assert!(read_ids(Kind::Snowflake, &found(&[0, 5, i64::MAX]), &mut ids));
        let bits: Vec<_> = ids.iter().map(|id| id.bits()).collect();
        assert_eq!(bits, [0, 5, i64::MAX as u128]);
        assert!(!read_ids(Kind::Snowflake, &found(&[5, -1]), &mut ids));
        let texts = vec!["01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()];
        let found = Ids { numbers: vec![0], texts };
        assert!(read_ids(Kind::Ulid, &found, &mut ids) && ids.len() == 1);
        assert!(!read_ids(Kind::Uuid7, &found, &mut ids));
    }
}
