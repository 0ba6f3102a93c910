//! What the shards share, and what nobody can take from them.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use coreflake_protocol::{Kind, Layout, Run};

use crate::common::frames::{self, generate, generate_of};
use crate::common::{Datagrams, Peer, Server, pause};

/// A connection that this lane serves. The kernel chooses; we ask again.
fn connect_to_lane(server: &Server, lane: u16) -> Peer {
    for _ in 0..256 {
        let mut peer = Peer::connect(server.tcp);
        if peer.ask(&frames::info(1)).info().lane == lane {
            return peer;
        }
    }
    panic!("lane {lane} gets no connection");
}

/// Asks for whole ticks, eight requests ahead, for a while.
fn take_everything(mut peer: Peer, duration: Duration) -> Vec<Run> {
    const AHEAD: u64 = 8;
    let start = Instant::now();
    let mut runs = Vec::new();
    (0..AHEAD).for_each(|id| peer.send(&generate(id, 4_096)));
    for request_id in 0.. {
        let reply = peer.reply();
        assert_eq!(reply.request_id(), request_id);
        runs.extend(reply.runs());
        if start.elapsed() > duration {
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
    let taking = thread::spawn(move || take_everything(greedy, duration));
    let start = Instant::now();
    let mut one_by_one = Vec::new();
    while start.elapsed() < duration {
        one_by_one.extend(modest.generate(1));
    }
    let info = modest.ask(&frames::info(1)).info();
    let everything = taking.join().unwrap();

    assert_eq!(info.lane_waits, 0, "{info:?}");
    assert_eq!(info.lane_ids, one_by_one.len() as u64);
    // Half of the quarter that is no pool, less the gateway's 64.
    assert_eq!((info.shards, info.home_size, info.pool_size), (2, 480, 3_072));
    frames::assert_ascending(0, &one_by_one);
    frames::assert_ascending(0, &everything);
    // The greedy one got more than its home: 480 a tick and a share of the pool.
    let taken = u64::from(frames::id_count(&everything));
    assert!(taken > 600_000, "{taken} IDs in a second");
    let asked = one_by_one.len() as u64;
    frames::assert_disjoint([everything, one_by_one].concat());
    let counters = server.stop();
    assert_eq!(counters.get("ids"), taken + asked);
    counters.assert_rejects(&[]);
}

/// Who waits is served in turn: a connection that takes whole ticks, and always has the next
/// request ready, does not come first every time.
fn takes_its_turn(mut ask: impl FnMut(), server: &Server) {
    let greedy = Peer::connect(server.tcp);
    let taking = thread::spawn(|| take_everything(greedy, Duration::from_secs(3)));
    pause(Duration::from_millis(200));
    let start = Instant::now();
    (0..20).for_each(|_| ask());
    let elapsed = start.elapsed();
    let taken = taking.join().unwrap();
    assert!(elapsed < Duration::from_secs(2), "20 IDs in {elapsed:?}");
    assert!(frames::id_count(&taken) > 1_000_000, "the other one was not that busy");
}

#[test]
fn a_connection_that_takes_everything_leaves_another_one_its_turn() {
    let server = Server::start(&[]);
    let mut modest = Peer::connect(server.tcp);
    takes_its_turn(|| drop(modest.generate(1)), &server);
    server.stop().assert_rejects(&[]);
}

#[test]
fn a_connection_that_takes_everything_leaves_datagrams_their_turn() {
    let server = Server::start(&[]);
    let modest = Datagrams::connect(server.udp());
    takes_its_turn(|| drop(modest.ask(&generate(7, 1)).runs()), &server);
    server.stop().assert_rejects(&[]);
}

#[test]
fn datagrams_that_take_everything_leave_a_connection_its_turn() {
    const AHEAD: u64 = 16;
    let server = Server::start(&[]);
    let greedy = Datagrams::connect(server.udp());
    let (stop, stopped) = mpsc::channel::<()>();
    let taking = thread::spawn(move || {
        let start = Instant::now();
        let request = |id| frames::padded(generate(id, 4_096), 1_200);
        (0..AHEAD).for_each(|id| greedy.send(&request(id)));
        for request_id in AHEAD.. {
            assert!(!greedy.reply().runs().is_empty());
            let is_over = stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected);
            if is_over || start.elapsed() > Duration::from_secs(5) {
                return;
            }
            greedy.send(&request(request_id));
        }
    });
    let mut modest = Peer::connect(server.tcp);
    pause(Duration::from_millis(200));
    let start = Instant::now();
    (0..20).for_each(|_| drop(modest.generate(1)));
    let elapsed = start.elapsed();
    drop(stop);
    taking.join().unwrap();
    assert!(elapsed < Duration::from_secs(2), "20 IDs in {elapsed:?}");
    let counters = server.stop();
    assert!(counters.get("waits") > 100, "not that busy: {counters:?}");
    counters.assert_rejects(&[]);
}

/// Kinds take nothing from each other: who waits for one holds up nobody who wants another.
#[test]
fn those_who_wait_for_one_kind_hold_up_no_other() {
    const CROWD: usize = 8;
    const EACH: usize = 250;
    const ASKED: u64 = 150;
    let server = Server::start(&["--shards", "1"]);
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Peer::connect(server.tcp)).collect();
    crowd.iter_mut().for_each(|peer| peer.send(&generate(7, 4_096).repeat(EACH)));
    let mut modest = Peer::connect(server.tcp);
    let datagrams = Datagrams::connect(server.udp());
    for id in 0..ASKED {
        assert_eq!(modest.ask(&generate_of(Kind::Ulid, id, 1)).error(), None);
        let request = frames::padded(generate_of(Kind::Uuid7, id, 1), 64);
        assert_eq!(datagrams.ask(&request).error(), None);
    }
    // Behind the crowd each would have waited for eight ticks: longer than all of the crowd does.
    let issued = modest.ask(&frames::info(1)).info().lane_ids;
    let wanted = CROWD * EACH * 4_096;
    assert!(issued < wanted as u64, "the crowd was served first: {issued}");
    let replies = crowd.iter_mut().flat_map(|peer| (0..EACH).map(|_| peer.reply()));
    let ids: u32 = replies.map(|reply| frames::id_count(&reply.runs())).sum();
    assert_eq!(ids as usize, wanted);
    server.stop().assert_rejects(&[]);
}

/// Datagrams that wait for several kinds are all answered, each kind in its order.
#[test]
fn datagrams_that_wait_for_several_kinds_are_answered_in_the_order_of_each() {
    const REQUESTS: u64 = 300;
    let server = Server::start(&["--shards", "1"]);
    let datagrams = Datagrams::connect(server.udp());
    let kinds = [Kind::Snowflake, Kind::Instagram, Kind::Uuid1];
    let kind_of = |id: u64| kinds[(id % 3) as usize];
    let request = |id| frames::padded(generate_of(kind_of(id), id, 4_096), 1_200);
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
        assert!(start.elapsed() < Duration::from_secs(2), "held up for {:?}", start.elapsed());
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
            let start = Instant::now();
            modest.generate(1);
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
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
