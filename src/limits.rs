//! Every bound of the server, with its unit in its name and the reason for its size.

use core::ops::RangeInclusive;
use core::time::Duration;

use coreflake_protocol::frame::{HEADER_SIZE, REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX};
use coreflake_protocol::{Count, RUN_SIZE};

/// Bytes of input a connection keeps. A read of that size brings 146 requests for IDs, more than
/// one turn answers; a request of the largest size fits four times.
pub(crate) const INPUT_SIZE: usize = 4_096;

/// Bytes of output a connection reserves when it is accepted: 64 replies of one run take 1,792. It
/// grows when larger batches are asked for and is then kept.
pub(crate) const OUTPUT_SIZE_INITIAL: usize = 4_096;

/// Frames answered for one connection before the next one has its turn.
pub(crate) const TURN_FRAMES_MAX: u32 = 64;

/// IDs issued to one connection before the next one has its turn.
pub(crate) const TURN_IDS_MAX: u32 = Count::MAX;

/// Bytes of output one turn can produce at most: a whole batch in runs of one ID each may follow on
/// almost another one, beside the longest replies to everything else. Nothing more is read or
/// answered until they are written, so this is also the most a connection holds for a peer that
/// does not read.
pub(crate) const OUTPUT_SIZE_MAX: usize = 256 * 1_024;

/// Replies that wait for more to be written with them, while a connection lets others have their
/// turn.
pub(crate) const FLUSH_SIZE: usize = 16 * 1_024;

/// Requests in error on one connection before it is closed.
pub(crate) const CONNECTION_ERRORS_MAX: u32 = 100;

/// From accepting a connection to the last byte of its first frame, and to a valid token where one
/// is required.
pub(crate) const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);

/// From the first byte of a frame to its last, however slowly the bytes between trickle in.
pub(crate) const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may leave replies unread without taking a single byte.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may rest between two frames.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// How often a shard looks at the clock for the deadlines above: they are that exact, and the
/// request path reads no clock for them.
pub(crate) const DEADLINE_RESOLUTION: Duration = Duration::from_millis(100);

/// How long a connection that was closed for an error is still read from, so that the reply which
/// says why is not destroyed by a reset.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that are read and thrown away meanwhile.
pub(crate) const LINGER_SIZE_MAX: usize = 64 * 1_024;

/// How long a connection must be quiet during shutdown before it is closed.
pub(crate) const DRAIN_QUIET: Duration = Duration::from_millis(100);

/// How long a connection that is never quiet is told that the server shuts down.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_millis(250);

/// How long shutdown waits for connections to finish.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections accepted in a row before other work has its turn.
pub(crate) const ACCEPT_BATCH_MAX: u32 = 8;

/// Shortest and longest pause after an accept that failed (out of file descriptors, mostly).
pub(crate) const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
pub(crate) const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Length of the kernel's queue of connections not yet accepted, per shard.
pub(crate) const LISTEN_BACKLOG: i32 = 1_024;

/// Socket buffers for datagrams in bytes, per shard: a burst of some thousand requests is kept
/// while the shard answers others. The kernel may allow less.
pub(crate) const UDP_BUFFER_SIZE: usize = 4 * 1_024 * 1_024;

/// Datagrams looked at before the connections of the shard have their turn. A batch from the kernel
/// may bring 2,048.
pub(crate) const TURN_DATAGRAMS_MAX: u32 = 64;

/// Datagram requests of one shard that may wait for sequence space.
pub(crate) const UDP_WAITING_MAX: usize = 4_096;

/// IDs for which they may wait: 64 ticks' worth. Whoever would wait longer has given up before.
pub(crate) const UDP_WAITING_IDS_MAX: u32 = 64 * Count::MAX;

/// IDs for which the requests of one source may wait, so that it leaves room for others.
pub(crate) const UDP_WAITING_IDS_PER_SOURCE_MAX: u32 = UDP_WAITING_IDS_MAX / 4;

/// Times in a row that a socket may fail to receive.
pub(crate) const UDP_FAILURES_MAX: u32 = 16;

/// Sources whose datagram rate one shard follows. Two sources that fall into one place share its
/// rate.
pub(crate) const UDP_SOURCES_MAX: usize = 4_096;

/// Seconds of its rate that a source may send at once.
pub(crate) const UDP_BURST_SECONDS: u64 = 1;

/// How often the keeper looks whether to reserve more: often enough for the shortest window.
pub(crate) const KEEPER_INTERVAL: Duration = Duration::from_millis(20);

/// How often the clock is compared with the one that nobody sets. A step is noticed at once anyway.
pub(crate) const CLOCK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a thread may take to take over a lane: it looks as soon as it has ended its turn.
pub(crate) const HANDOVER_TIMEOUT: Duration = Duration::from_secs(2);

/// The limit of the pause after a claim that has led to nothing; it doubles with each up to the
/// other one. The pause is any time below it.
pub(crate) const CLAIM_BACKOFF_MIN: Duration = Duration::from_millis(10);
pub(crate) const CLAIM_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Among how many free slots a node chooses, at least.
pub(crate) const CLAIM_CHOICES_MIN: usize = 4;

/// How many claims of unknown outcome a node remembers.
pub(crate) const CLAIM_DOUBTS_MAX: usize = 64;

/// How often a node that waits for a slot says so again.
pub(crate) const CLAIM_TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// How long the keeper may take to give the rest of its window back when the server stops.
pub(crate) const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the store may take before that is worth a word: a flush takes milliseconds.
pub(crate) const SWAP_SLOW: Duration = Duration::from_millis(500);

/// How long a server whose window cannot be extended refuses, before it ends.
pub(crate) const REFUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a transaction in ZooKeeper is tried when a node has changed between reading it and
/// the write. Nodes of a slot change once a second: a third time is somebody who never stops.
pub(crate) const ZOOKEEPER_TRANSACTION_TRIES_MAX: u32 = 3;

/// Sessions that have ended whose markers are still known to be this process's. A session lives for
/// seconds after its end, so two would do.
pub(crate) const ZOOKEEPER_FORMER_SESSIONS_MAX: usize = 8;
