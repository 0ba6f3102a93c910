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

/// How long servers with a slot may say nothing before they are taken for dead, when the clock says
/// that their windows are over: the default window is extended every 20 s.
pub(crate) const PEER_SILENCE_MAX: Duration = Duration::from_secs(25);

/// How often a node that waits for a slot says so again.
pub(crate) const CLAIM_TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// How long the keeper may take to give the rest of its window back when the server stops.
pub(crate) const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the store may take before that is worth a word: a flush takes milliseconds.
pub(crate) const SWAP_SLOW: Duration = Duration::from_millis(500);

/// How long a server whose window cannot be extended refuses, before it ends.
pub(crate) const REFUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Requests of one gateway thread that may wait for sequence space.
pub(crate) const GATEWAY_WAITING_MAX: usize = 1_024;

/// IDs for which they may wait: 64 ticks' worth, as on the datagram door of a shard.
pub(crate) const GATEWAY_WAITING_IDS_MAX: u32 = 64 * Count::MAX;

/// How long one of them may wait: whoever would wait longer is better served by another node.
pub(crate) const GATEWAY_WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// When to ask again after OVERLOADED, in milliseconds: a datagram source's share of the queue is
/// gone by then.
pub(crate) const OVERLOADED_RETRY_MS: u32 = UDP_WAITING_IDS_PER_SOURCE_MAX / Count::MAX;

/// When to ask again after DRAINING over REST or gRPC, in milliseconds: behind a proxy, another
/// server answers then, or this one has been started again.
pub(crate) const DRAINING_RETRY_MS: u32 = 1_000;

/// From the first byte of an HTTP request to the first byte of its reply, however slowly the bytes
/// between trickle in; and from accepting a connection to the end of an HTTP/2 handshake.
pub(crate) const GATEWAY_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that open an HTTP/2 connection: the preface and an empty SETTINGS frame (RFC 9113 §3.4).
pub(crate) const GATEWAY_HANDSHAKE_SIZE: usize = 24 + 9;

/// How long an HTTP connection may rest between two requests: longer than the 60 s that proxies
/// keep theirs, so that it is the proxy that closes.
pub(crate) const GATEWAY_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long the body of an HTTP request may take to come, once its head is there. Less than the
/// whole request may take, so that there is time to say so.
pub(crate) const GATEWAY_BODY_TIMEOUT: Duration = Duration::from_secs(4);

/// Header fields of an HTTP request.
pub(crate) const GATEWAY_HEADERS_MAX: usize = 64;

/// Bytes of the request line and the header fields together.
pub(crate) const GATEWAY_HEADERS_SIZE_MAX: usize = 8 * 1_024;

/// Bytes an HTTP connection buffers in either direction: a request of the largest size and the next
/// one, or a part of the largest reply.
pub(crate) const GATEWAY_BUFFER_SIZE: usize = 16 * 1_024;

/// Bytes of the body of an HTTP request: `{"count":4096,"kind":"snowflake"}` has 33.
pub(crate) const GATEWAY_BODY_SIZE_MAX: usize = 4 * 1_024;

/// Bytes of a gRPC request: the largest has 11.
pub(crate) const GRPC_REQUEST_SIZE_MAX: usize = 4 * 1_024;

/// Calls at the same time on one gRPC connection.
pub(crate) const GRPC_STREAMS_MAX: u32 = 128;

/// Bytes of the header fields of a gRPC call.
pub(crate) const GRPC_HEADERS_SIZE_MAX: u32 = 8 * 1_024;

/// Calls on one connection that were given up before they were looked at, before it is closed
/// (CVE-2023-44487): all that may be open may be given up at once.
pub(crate) const GRPC_RESETS_MAX: usize = GRPC_STREAMS_MAX as usize;

/// Calls on one connection that were reset for an error of the peer, in all its life, before it is
/// closed: a peer that has not heard of the limits yet may be refused some hundred calls at once.
pub(crate) const GRPC_ERRORS_MAX: usize = 1_024;

/// Bytes of one HTTP/2 frame: the smallest limit that the protocol allows (RFC 9113 §4.2).
pub(crate) const GRPC_FRAME_SIZE_MAX: u32 = 16 * 1_024;

/// Bytes of replies that wait for a slow peer, per call.
pub(crate) const GRPC_SEND_BUFFER_SIZE: usize = 64 * 1_024;

/// Bytes that a peer may send ahead, per call and per connection.
pub(crate) const GRPC_STREAM_WINDOW_SIZE: u32 = 64 * 1_024 - 1;
pub(crate) const GRPC_CONNECTION_WINDOW_SIZE: u32 = 1_024 * 1_024;

/// How often a gRPC peer is asked whether it is there, and how long it may take to say so.
pub(crate) const GRPC_PING_INTERVAL: Duration = Duration::from_secs(60);
pub(crate) const GRPC_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the gateway looks whether it can still serve, for those who watch it over gRPC, and
/// how many IDs have been issued, for the rate.
pub(crate) const GATEWAY_WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of a token file.
pub(crate) const TOKEN_FILE_SIZE_MAX: u64 = 64 * 1_024;

/// Bytes of a configuration file: ten times the one that explains every key.
pub(crate) const CONFIG_FILE_SIZE_MAX: u64 = 64 * 1_024;

/// Problems of one configuration file that are told: more than it has keys.
pub(crate) const CONFIG_PROBLEMS_MAX: usize = 50;

/// Milliseconds of timestamps reserved ahead: long enough for a slow disk, short enough for a start
/// after a crash.
pub(crate) const WINDOW_MS: RangeInclusive<u64> = 100..=600_000;

/// Milliseconds between two questions to the time servers, which want no more of them.
pub(crate) const NTP_INTERVAL_MS: RangeInclusive<u64> = 100..=3_600_000;

/// Gateway threads: each takes 1/64 of the sequence space from the shards.
pub(crate) const GATEWAY_THREADS: RangeInclusive<u16> = 1..=8;

/// Tries to be the only one who binds a port at the moment, and the pause between two.
pub(crate) const CLAIM_ATTEMPTS_MAX: u32 = 200;
pub(crate) const CLAIM_PAUSE: Duration = Duration::from_millis(10);

/// Tries to find a port that is free on TCP and on UDP, when port 0 was asked for.
pub(crate) const FREE_PORT_ATTEMPTS_MAX: u32 = 64;

const _: () = assert!(GATEWAY_WAIT_TIMEOUT.as_millis() < GATEWAY_REQUEST_TIMEOUT.as_millis());
const _: () = assert!(INPUT_SIZE >= 4 * REQUEST_SIZE_MAX);
const _: () = assert!(OUTPUT_SIZE_INITIAL >= TURN_FRAMES_MAX as usize * (HEADER_SIZE + RUN_SIZE));
const _: () = assert!(OUTPUT_SIZE_MAX >= 2 * RESPONSE_SIZE_MAX + TURN_FRAMES_MAX as usize * 1_024);

/// The bounds an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of all shards together.
    pub connections_max: u32,
    /// Connections from one IP address.
    pub connections_per_ip_max: u32,
    /// Connections of REST and gRPC together.
    pub gateway_connections_max: u32,
    /// Datagrams per second that one shard looks at.
    pub udp_rate_max: u64,
    /// Datagrams per second that one shard looks at from one IP address.
    pub udp_source_rate_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_ip_max: 1_000,
            gateway_connections_max: 1_000,
            udp_rate_max: 2_000_000,
            udp_source_rate_max: 1_000_000,
        }
    }
}

/// How many slots one server can have.
pub(crate) const WORKER_SLOTS: RangeInclusive<u16> = 1..=32;

/// How long a session with a shared store can be, in milliseconds.
pub(crate) const STORE_SESSION_MS: RangeInclusive<u64> = 1_000..=600_000;

/// How long one call to a shared store may take, in milliseconds.
pub(crate) const STORE_TIMEOUT_MS: RangeInclusive<u64> = 50..=60_000;

/// The limit of the pause after a store has failed; it doubles with each failure up to the other
/// one, which a server that comes back within two seconds of its store can afford.
pub(crate) const STORE_BACKOFF_MIN: Duration = Duration::from_millis(50);
pub(crate) const STORE_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How often a server whose store does not answer says so again.
pub(crate) const STORE_TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// How often a repair is tried on a record that changes meanwhile.
pub(crate) const REPAIR_ATTEMPTS_MAX: usize = 16;

/// Addresses of one store that are tried.
pub(crate) const STORE_ENDPOINTS_MAX: usize = 16;

/// Bytes of a file with a certificate, a key or a password.
pub(crate) const STORE_FILE_SIZE_MAX: u64 = 256 * 1_024;

/// Bytes of an answer of etcd: all that it keeps of a datacenter of 4,096 slots is a quarter of it.
pub(crate) const ETCD_ANSWER_SIZE_MAX: usize = 4 * 1_024 * 1_024;

/// How often etcd is asked whether it is there while a call is under way, and how long it may take
/// to say so. It closes connections that are asked more often than every 5 s.
pub(crate) const ETCD_PING_INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const ETCD_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Transactions for one write: one that finds the marker missing, one whose lease is gone, and one
/// with a new lease; and one more.
pub(crate) const ETCD_TXNS_MAX: u32 = 4;

/// Longest pause after a lease could not be kept alive.
pub(crate) const ETCD_KEEP_ALIVE_RETRY: Duration = Duration::from_millis(500);

/// How often a transaction in ZooKeeper is tried when a node has changed between reading it and
/// the write. Nodes of a slot change once a second: a third time is somebody who never stops.
pub(crate) const ZOOKEEPER_TRANSACTION_TRIES_MAX: u32 = 3;

/// Sessions that have ended whose markers are still known to be this process's. A session lives for
/// seconds after its end, so two would do.
pub(crate) const ZOOKEEPER_FORMER_SESSIONS_MAX: usize = 8;

/// Bytes of an answer of Consul that are read. A survey of 1,024 slots, with records of 256 bytes
/// and their markers, takes 900 KB.
pub(crate) const CONSUL_ANSWER_SIZE_MAX: usize = 1_024 * 1_024;

/// Operations that Consul 1.8 takes in one transaction.
pub(crate) const CONSUL_OPERATIONS_MAX: usize = 64;

/// Transactions of one write, each after the one before was refused as a whole. The longest way has
/// three (the marker is gone; so is the session; then both are made anew), and one is for somebody
/// who comes between.
pub(crate) const CONSUL_TRIES_MAX: u32 = 4;

/// Sessions of this process that are remembered after they were lost. More than one matters only
/// while Consul is wrong about what it has lost.
pub(crate) const CONSUL_SESSIONS_REMEMBERED: usize = 8;

/// Between two attempts to renew a session while Consul does not answer.
pub(crate) const CONSUL_RENEW_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection to Consul may rest before it is closed: shorter than what firewalls allow.
pub(crate) const CONSUL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Characters of what Consul says of an error that are passed on.
pub(crate) const CONSUL_EXCERPT_LEN: usize = 160;

/// How long a session may live without being renewed. Consul accepts nothing else.
pub(crate) const CONSUL_SESSION: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(86_400);
