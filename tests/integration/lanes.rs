//! What the shards share, and what nobody can take from them.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::{Kind, Layout, Run};

use crate::common::frames::{self, generate, generate_of, info, padded};
use crate::common::{Datagrams, PATIENCE, Peer, Server};

/// A connection that this lane serves. The kernel chooses; we ask again.
fn connect_to_lane(server: &Server, lane: u16) -> Peer {
    for _ in 0..256 {
        let mut peer = Peer::connect(server.tcp);
        if peer.ask(&info(1)).info().lane == lane {
            return peer;
        }
    }
    panic!("lane {lane} gets no connection");
}

/// Asks for whole ticks, eight requests ahead, until it is over.
fn take_everything(mut peer: Peer, is_over: impl Fn() -> bool) -> Vec<Run> {
    const AHEAD: u64 = 8;
    let mut runs = Vec::new();
    (0..AHEAD).for_each(|id| peer.send(&generate(id, 4_096)));
    for request_id in 0.. {
        let reply = peer.reply();
        assert_eq!(reply.request_id(), request_id);
        runs.extend(reply.runs());
        if is_over() {
            runs.extend((1..AHEAD).flat_map(|_| peer.reply().runs()));
            break;
        }
        peer.send(&generate(request_id + AHEAD, 4_096));
    }
    runs
}

#[test]
fn a_lane_that_takes_everything_leaves_another_its_home() {
    let server = Server::start(&["--shards", "2"]);
    let greedy = connect_to_lane(&server, 0);
    let mut modest = connect_to_lane(&server, 1);
    let duration = Duration::from_secs(1);
    let start = Instant::now();
    let taking = thread::spawn(move || take_everything(greedy, || start.elapsed() > duration));
    let mut one_by_one = Vec::new();
    while start.elapsed() < duration {
        one_by_one.extend(modest.generate(1));
    }
    let info = modest.ask(&info(1)).info();
    let everything = taking.join().unwrap();

    assert_eq!(info.lane_waits, 0, "{info:?}");
    assert_eq!(info.lane_ids, one_by_one.len() as u64);
    // Half of the quarter that is no pool, less the gateway's 64.
    assert_eq!((info.shards, info.home_size, info.pool_size), (2, 480, 3_072));
    frames::assert_ascending(0, &one_by_one);
    frames::assert_ascending(0, &everything);
    // The greedy one got more than its home: 480 a tick and a share of the pool. Ticks in which it
    // did not come, because the machine was busy, do not count.
    let taken = u64::from(frames::id_count(&everything));
    let ticks = everything.iter().map(|run| Layout::SNOWFLAKE.parse(run.first()).unix_ms);
    let ticks = ticks.collect::<BTreeSet<_>>().len() as u64;
    assert!(taken > u64::from(info.home_size) * ticks, "{taken} IDs in {ticks} ticks");
    let asked = one_by_one.len() as u64;
    frames::assert_disjoint([everything, one_by_one].concat());
    let counters = server.stop();
    assert_eq!(counters.get("ids"), taken + asked);
    counters.assert_rejects(&[]);
}

/// An ID that was asked for where others take everything.
struct Asked {
    /// What the lane had issued at that moment.
    issued: u64,
    id: u64,
    /// Whether others came first.
    waited: bool,
}

/// Asks in one write, so that nothing of this machine comes between a question and the next.
fn ask_over_tcp(peer: &mut Peer) -> Asked {
    peer.send(&[info(1), generate(2, 1), info(3)].concat());
    let issued = peer.reply().info().lane_ids;
    let id = peer.reply().runs()[0].first().get();
    Asked { issued, id, waited: peer.reply().info().lane_ids > issued + 1 }
}

/// Asks first for the ID and then how many there are, so that what comes between these two
/// questions does not count.
fn ask_over_udp(peer: &mut Datagrams) -> Asked {
    peer.send(&generate(2, 1));
    peer.send(&padded(info(3), 120));
    let mut replies = peer.settle();
    if replies.len() == 1 {
        replies.push(peer.reply());
    }
    // Whoever waits for an ID is overtaken by whoever asks for none.
    let waited = replies[0].request_id() == 3;
    if !waited {
        replies.reverse();
    }
    let (issued, id) = (replies[0].info().lane_ids, replies[1].runs()[0].first().get());
    Asked { issued, id, waited }
}

/// Until the other end is dropped, or for so long that something must be wrong.
fn until_dropped(other: Receiver<()>) -> impl Fn() -> bool {
    let start = Instant::now();
    move || other.try_recv() == Err(TryRecvError::Disconnected) || start.elapsed() > PATIENCE
}

/// Who waits is served in turn: `taking` takes whole ticks, and always has the next request ready,
/// and still does not come first every time. It goes on until `stop` is dropped.
fn takes_its_turn(
    mut ask: impl FnMut() -> Asked,
    taking: thread::JoinHandle<Vec<Run>>,
    stop: Sender<()>,
) {
    // Two ticks are what may come between, and twice as many is still a turn.
    const BETWEEN_MAX: u64 = 4 * 4_096;
    const WAITED: usize = 20;
    let start = Instant::now();
    let mut all: Vec<Asked> = Vec::new();
    while all.iter().filter(|asked| asked.waited).count() < WAITED {
        assert!(start.elapsed() < PATIENCE, "nobody has to wait that often");
        all.push(ask());
    }
    drop(stop);
    let taken = taking.join().unwrap();
    // The IDs of a lane rise, so they tell who came between. How long it took tells nothing.
    for Asked { issued, id, .. } in &all {
        let earlier = taken.iter().filter(|run| run.last().get() < *id);
        let earlier: u64 = earlier.map(|run| u64::from(run.count().get())).sum();
        let ours = all.iter().filter(|other| other.id < *id).count() as u64;
        let between = (earlier + ours).saturating_sub(*issued);
        assert!(between <= BETWEEN_MAX, "{between} IDs were issued before the one asked for");
    }
}

/// Takes everything over TCP, until the second part is dropped.
fn greedy_connection(server: &Server) -> (thread::JoinHandle<Vec<Run>>, Sender<()>) {
    let greedy = Peer::connect(server.tcp);
    let (stop, stopped) = mpsc::channel();
    (thread::spawn(move || take_everything(greedy, until_dropped(stopped))), stop)
}

#[test]
fn a_connection_that_takes_everything_leaves_another_one_its_turn() {
    let server = Server::start(&[]);
    let mut modest = Peer::connect(server.tcp);
    let (taking, stop) = greedy_connection(&server);
    takes_its_turn(|| ask_over_tcp(&mut modest), taking, stop);
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_connection_that_takes_everything_leaves_datagrams_their_turn() {
    let server = Server::start(&[]);
    let mut modest = Datagrams::connect(server.udp());
    let (taking, stop) = greedy_connection(&server);
    takes_its_turn(|| ask_over_udp(&mut modest), taking, stop);
    server.stop().assert_rejects(&[]);
}

#[test]
fn datagrams_that_take_everything_leave_a_connection_its_turn() {
    const AHEAD: u64 = 16;
    let server = Server::start(&[]);
    let greedy = Datagrams::connect(server.udp());
    let (stop, stopped) = mpsc::channel::<()>();
    let taking = thread::spawn(move || {
        let is_over = until_dropped(stopped);
        let request = |id| padded(generate(id, 4_096), 1_200);
        (0..AHEAD).for_each(|id| greedy.send(&request(id)));
        let mut runs = Vec::new();
        for request_id in AHEAD.. {
            runs.extend(greedy.reply().runs());
            if is_over() {
                break;
            }
            greedy.send(&request(request_id));
        }
        runs.extend((1..AHEAD).flat_map(|_| greedy.reply().runs()));
        runs
    });
    let mut modest = Peer::connect(server.tcp);
    takes_its_turn(|| ask_over_tcp(&mut modest), taking, stop);
    server.stop().assert_rejects(&[]);
}

/// Kinds take nothing from each other: who waits for one holds up nobody who wants another.
#[test]
fn those_who_wait_for_one_kind_hold_up_no_other() {
    const CROWD: usize = 8;
    // Together more than ten seconds' worth of IDs.
    const EACH: usize = 1_500;
    const ASKED_MAX: u64 = 150;
    let server = Server::start(&["--shards", "1"]);
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Peer::connect(server.tcp)).collect();
    crowd.iter_mut().for_each(|peer| peer.send(&generate(7, 4_096).repeat(EACH)));
    let mut modest = Peer::connect(server.tcp);
    let mut datagrams = Datagrams::connect(server.udp());
    let wanted = (CROWD * EACH * 4_096) as u64;
    let (mut asked, mut issued) = (0, 0);
    for id in 0..ASKED_MAX {
        // In one write: only the server could let somebody come between.
        modest.send(&[info(id), generate_of(Kind::Ulid, id, 1), info(id)].concat());
        let before = modest.reply().info().lane_ids;
        assert_eq!(modest.reply().error(), None);
        issued = modest.reply().info().lane_ids;
        assert_eq!(issued, before + 1, "one of the crowd was served first");
        // One that waited would be overtaken by the PING behind it.
        datagrams.send(&padded(generate_of(Kind::Uuid7, id, 1), 64));
        let replies = datagrams.settle();
        assert!(replies.len() == 1 && replies[0].error().is_none(), "{replies:?}");
        asked = id + 1;
        if issued > wanted / 2 {
            break;
        }
    }
    assert!(asked > 20 && issued < wanted, "nobody waited any longer after {asked}: {issued}");
    crowd.into_iter().for_each(Peer::reset);
    let counters = server.stop();
    // What is left of the crowd's requests may see the end.
    assert!(counters.rejects().keys().all(|name| *name == "draining"), "{counters:?}");
}

/// Datagrams that wait for several kinds are all answered, each kind in its order.
#[test]
fn datagrams_that_wait_for_several_kinds_are_answered_in_the_order_of_each() {
    const REQUESTS: u64 = 300;
    let server = Server::start(&["--shards", "1"]);
    let datagrams = Datagrams::connect(server.udp());
    let kinds = [Kind::Snowflake, Kind::Instagram, Kind::Uuid1];
    let kind_of = |id: u64| kinds[(id % 3) as usize];
    let request = |id| padded(generate_of(kind_of(id), id, 4_096), 1_200);
    (0..12).for_each(|id| datagrams.send(&request(id)));
    let mut next = [0, 1, 2];
    for answered in 12..REQUESTS + 12 {
        let reply = datagrams.reply();
        assert_eq!(reply.error(), None);
        let next = &mut next[(reply.request_id() % 3) as usize];
        assert_eq!(reply.request_id(), *next, "who came first is served first");
        *next += 3;
        if answered < REQUESTS {
            datagrams.send(&request(answered));
        }
    }
    server.stop().assert_rejects(&[]);
}

/// Whoever is in line and does not come, because its peer does not read, lets the next one pass.
#[test]
fn a_connection_that_does_not_read_holds_up_nobody_who_waits() {
    let server = Server::start(&[]);
    let _deaf = Peer::deaf(server.tcp);
    let mut modest = Peer::connect(server.tcp);
    let datagrams = Datagrams::connect(server.udp());
    for _ in 0..20 {
        let start = Instant::now();
        modest.generate(1);
        datagrams.ask(&generate(7, 1)).runs();
        // The server lets go of whoever does not read after ten seconds.
        assert!(start.elapsed() < Duration::from_secs(7), "held up for {:?}", start.elapsed());
    }
}

/// Whoever is in line and goes away leaves the place to the next one.
#[test]
fn those_who_wait_and_vanish_take_nobody_with_them() {
    let server = Server::start(&[]);
    let mut modest = Peer::connect(server.tcp);
    for round in 0..20 {
        let mut crowd: Vec<_> = (0..10).map(|_| Peer::connect(server.tcp)).collect();
        crowd.iter_mut().for_each(|peer| peer.send(&generate(7, 4_096).repeat(20)));
        for (index, peer) in crowd.into_iter().enumerate() {
            modest.generate(1);
            if (index + round) % 2 == 0 { peer.reset() } else { drop(peer) }
        }
    }
    modest.generate(4_096);
    server.stop().assert_rejects(&[]);
}

#[test]
fn sixteen_connections_on_two_shards_never_get_the_same_id() {
    const REQUESTS: u32 = 60;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let server = Server::start(&["--shards", "2", "--datacenter-id", "19", "--worker-id", "7"]);
    let address = server.tcp;
    let begun = jiff::Timestamp::now().as_millisecond();
    let threads: Vec<_> = (0..16)
        .map(|index| {
            thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed ^ index);
                let mut peer = Peer::connect(address);
                let mut runs = Vec::new();
                for _ in 0..REQUESTS {
                    let count = if random.bool() { 1..=10 } else { 1..=4_096 };
                    runs.extend(peer.generate(random.u32(count)));
                }
                frames::assert_ascending(0, &runs);
                runs
            })
        })
        .collect();
    let runs: Vec<_> = threads.into_iter().flat_map(|it| it.join().unwrap()).collect();
    let ended = jiff::Timestamp::now().as_millisecond();
    for run in &runs {
        let [first, last] = [run.first(), run.last()].map(|id| Layout::SNOWFLAKE.parse(id));
        assert_eq!((first.datacenter_id, first.worker_id), (19, 7));
        assert_eq!((last.datacenter_id, last.worker_id), (19, 7));
        assert_eq!(first.unix_ms, last.unix_ms, "a run crosses ticks: {run:?}");
        assert_eq!(last.sequence - first.sequence, run.count().get() - 1);
        let unix_ms = i64::try_from(first.unix_ms).unwrap();
        assert!((begun - 1_000..=ended + 1_000).contains(&unix_ms), "{first:?}");
    }
    let id_count = u64::from(frames::id_count(&runs));
    frames::assert_disjoint(runs);
    let counters = server.stop();
    assert_eq!(counters.get("ids"), id_count);
    counters.assert_rejects(&[]);
}
