//! What is written, each time as one `multi`.

use std::collections::{BTreeMap, VecDeque};

use zookeeper_client::{Acls, CreateMode, Error, MultiWriteResult};

use super::fault::is_conflict;
use super::link::{Link, Slot};
use crate::identity::shared::{Keys, Mark, Write, Written};
use crate::limits;

/// What happens to a record.
#[derive(Debug)]
enum Record {
    Create,
    Set {
        version: i32,
    },
    /// It was ephemeral, which no write changes: it is deleted and made anew.
    Replace {
        version: i32,
    },
}

/// What happens to a marker.
#[derive(Debug)]
enum Marker<'a> {
    Nothing,
    Create(&'a str),
    /// It has to be there still. Versions come again when the store is restored, sessions do not.
    Check {
        version: i32,
    },
    Delete {
        version: i32,
    },
}

/// See [`super::ZooKeeper::write`]. `former` are sessions of this process that have ended.
pub(super) async fn write(
    link: &Link,
    acls: Acls<'static>,
    keys: &Keys,
    former: &VecDeque<i64>,
    write: &Write,
) -> Result<Written, Error> {
    let id = write.worker_id;
    for _ in 0..limits::ZOOKEEPER_TRANSACTION_TRIES_MAX {
        let slot = link.slot(keys, id).await?;
        let Some(record) = record_step(&slot, write) else {
            return Ok(Written::Conflict);
        };
        let Some(marker) = marker_step(&slot, &write.mark, link.id(), former) else {
            return Ok(Written::Conflict);
        };
        match commit(link, acls, keys, write, &record, &marker).await {
            Ok(version) => return Ok(Written::Done { version }),
            // A node has changed since it was read; or a folder is missing, which somebody must
            // have deleted by hand.
            Err(Error::NoNode) => folders(link, acls, keys).await?,
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Written::Conflict)
}

/// `None` when the record is not as expected.
fn record_step(slot: &Slot, write: &Write) -> Option<Record> {
    match (&slot.record, &write.from) {
        (None, None) => Some(Record::Create),
        // A version below 0 comes after 2^31 writes, and -1 would be taken for any.
        (Some(node), Some(from)) if node.bytes == from.bytes && node.version >= 0 => {
            let version = node.version;
            let stays = node.owner == 0;
            Some(if stays { Record::Set { version } } else { Record::Replace { version } })
        }
        _ => None,
    }
}

/// `None` when the marker is somebody else's.
fn marker_step<'a>(
    slot: &Slot,
    mark: &'a Mark,
    session: i64,
    former: &VecDeque<i64>,
) -> Option<Marker<'a>> {
    let marker = slot.marker.as_ref();
    let mine = marker.filter(|marker| marker.owner == session);
    match mark {
        Mark::Make(text) => marker.is_none().then_some(Marker::Create(text)),
        Mark::Keep(text) => match (marker, mine) {
            (None, _) => Some(Marker::Create(text)),
            (_, Some(mine)) => Some(Marker::Check { version: mine.version }),
            // It goes by itself before long, and is made then.
            (Some(stale), _) => former.contains(&stale.owner).then_some(Marker::Nothing),
        },
        Mark::Remove => {
            let delete = |mine: &super::link::Node| Marker::Delete { version: mine.version };
            Some(mine.map_or(Marker::Nothing, delete))
        }
        Mark::Leave => Some(Marker::Nothing),
    }
}

/// The version of the record afterwards.
async fn commit(
    link: &Link,
    acls: Acls<'static>,
    keys: &Keys,
    write: &Write,
    record: &Record,
    marker: &Marker<'_>,
) -> Result<u64, Error> {
    let persistent = CreateMode::Persistent.with_acls(acls);
    let mut multi = link.client().new_multi_writer();
    let key = keys.record(write.worker_id);
    match *record {
        Record::Create => multi.add_create(&key, &write.to, &persistent)?,
        Record::Set { version } => multi.add_set_data(&key, &write.to, Some(version))?,
        Record::Replace { version } => {
            multi.add_delete(&key, Some(version))?;
            multi.add_create(&key, &write.to, &persistent)?;
        }
    }
    let key = keys.marker(write.worker_id);
    match *marker {
        Marker::Nothing => {}
        Marker::Create(text) => {
            let ephemeral = CreateMode::Ephemeral.with_acls(acls);
            multi.add_create(&key, text.as_bytes(), &ephemeral)?;
        }
        Marker::Check { version } => multi.add_check_version(&key, version)?,
        Marker::Delete { version } => multi.add_delete(&key, Some(version))?,
    }
    let results = multi.commit().await?;
    let set = results.iter().find_map(|result| match result {
        MultiWriteResult::SetData { stat } => Some(u64::from(stat.version.cast_unsigned())),
        _ => None,
    });
    // A node that is made has version 0; older servers do not tell it.
    Ok(set.unwrap_or(0))
}

/// See [`super::ZooKeeper::create`].
pub(super) async fn create(
    link: &Link,
    acls: Acls<'static>,
    keys: &Keys,
    genesis: Option<&[u8]>,
    records: &BTreeMap<u16, Vec<u8>>,
) -> Result<Written, Error> {
    folders(link, acls, keys).await?;
    let persistent = CreateMode::Persistent.with_acls(acls);
    let mut multi = link.client().new_multi_writer();
    if let Some(genesis) = genesis {
        multi.add_create(&keys.genesis(), genesis, &persistent)?;
    }
    for (worker_id, record) in records {
        multi.add_create(&keys.record(*worker_id), record, &persistent)?;
    }
    match multi.commit().await.map_err(Error::from) {
        Ok(_) => Ok(Written::Done { version: 0 }),
        Err(error) if is_conflict(&error) => Ok(Written::Conflict),
        Err(error) => Err(error),
    }
}

/// Makes the folders and all that they lie in, as far as they are missing.
async fn folders(link: &Link, acls: Acls<'static>, keys: &Keys) -> Result<(), Error> {
    let persistent = CreateMode::Persistent.with_acls(acls);
    link.client().mkdir(&keys.records(), &persistent).await?;
    link.client().mkdir(&keys.markers(), &persistent).await
}
