//! IDs of every kind.

use coreflake_protocol::{AnyId, Bounds, Count, Kind as IdKind, Request, Ulid, Uuid};

use crate::batch::COUNT_MAX;
use crate::client::{Client, PAIRED};
use crate::error::{Error, Kind};

impl Client {
    /// One new ID of any kind.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn next_of(&self, kind: IdKind) -> Result<AnyId, Error> {
        let answer = self.call(Request::Generate { kind, count: Count::ONE }).await?;
        Ok(answer.ids(kind).next().unwrap_or_else(|| unreachable!("{PAIRED}")))
    }

    /// `count` new IDs of any kind, 1 to 1,000,000, in the order of their arrival. Those that one
    /// connection brought rise in the order of their kind ([`AnyId::rank`]).
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub async fn next_batch_of(&self, kind: IdKind, count: u32) -> Result<Vec<AnyId>, Error> {
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(Error::new(Kind::Count { count }));
        }
        let answers = self.dispatch().generate(kind, count).await?;
        Ok(answers.iter().flat_map(|answer| answer.ids(kind)).collect())
    }

    /// One new ID of kind `instagram`: 64 bits that name a shard. Its number
    /// ([`AnyId::id`]) looks like that of a `snowflake`, so it keeps its kind: what takes it apart
    /// has to know.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn instagram(&self) -> Result<AnyId, Error> {
        self.next_of(IdKind::Instagram).await
    }

    /// One new UUID of version 1.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn uuid1(&self) -> Result<Uuid, Error> {
        self.wide(IdKind::Uuid1, AnyId::uuid).await
    }

    /// One new UUID of version 7, which sorts by its time.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn uuid7(&self) -> Result<Uuid, Error> {
        self.wide(IdKind::Uuid7, AnyId::uuid).await
    }

    /// One new ULID.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn ulid(&self) -> Result<Ulid, Error> {
        self.wide(IdKind::Ulid, AnyId::ulid).await
    }

    /// `count` new UUIDs of version 1, 1 to 1,000,000: see [`next_batch_of`](Self::next_batch_of).
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub async fn uuid1s(&self, count: u32) -> Result<Vec<Uuid>, Error> {
        self.wide_batch(IdKind::Uuid1, count, AnyId::uuid).await
    }

    /// `count` new UUIDs of version 7, 1 to 1,000,000: see [`next_batch_of`](Self::next_batch_of).
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub async fn uuid7s(&self, count: u32) -> Result<Vec<Uuid>, Error> {
        self.wide_batch(IdKind::Uuid7, count, AnyId::uuid).await
    }

    /// `count` new ULIDs, 1 to 1,000,000: see [`next_batch_of`](Self::next_batch_of).
    ///
    /// # Errors
    ///
    /// As [`next_batch`](Self::next_batch).
    pub async fn ulids(&self, count: u32) -> Result<Vec<Ulid>, Error> {
        self.wide_batch(IdKind::Ulid, count, AnyId::ulid).await
    }

    /// The smallest and the largest ID of a stretch of time, in Unix milliseconds and with both
    /// ends included, by the settings of the server. Who has asked [`info`](Self::info) before can
    /// do without a server: [`Namespace::bounds`](coreflake_protocol::Namespace::bounds).
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and when the kind does not sort by time or has no such time.
    pub async fn range(&self, kind: IdKind, from_ms: u64, to_ms: u64) -> Result<Bounds, Error> {
        let bounds = self.info().await?.namespace.bounds(kind, from_ms, to_ms);
        bounds.map_err(|error| Error::new(Kind::Range(error)))
    }

    async fn wide<T>(&self, kind: IdKind, form: fn(AnyId) -> Option<T>) -> Result<T, Error> {
        let id = self.next_of(kind).await?;
        Ok(form(id).unwrap_or_else(|| unreachable!("{PAIRED}")))
    }

    async fn wide_batch<T>(
        &self,
        kind: IdKind,
        count: u32,
        form: fn(AnyId) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let ids = self.next_batch_of(kind, count).await?;
        Ok(ids.into_iter().filter_map(form).collect())
    }
}
