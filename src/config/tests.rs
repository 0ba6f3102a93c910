use coreflake_protocol::{Kind, Layout, Widths};

use super::*;
use crate::args::{NamespaceArgs, parse_serve};

const NOW_MS: u64 = coreflake_engine::sanity::RELEASED_MS;

fn config(args: &[&str]) -> Result<Config, ConfigError> {
    Config::new(&parse_serve(args), NOW_MS)
}

fn problems(args: &[&str]) -> Vec<String> {
    config(args).unwrap_err().problems.into_iter().map(|problem| problem.text).collect()
}

#[test]
fn nothing_given_serves_slot_0_on_loopback() {
    let config = config(&[]).unwrap();
    let listeners =
        [Some(config.listen), config.http, config.grpc].map(|it| it.unwrap().to_string());
    assert_eq!(listeners, ["127.0.0.1:4096", "127.0.0.1:8080", "127.0.0.1:50051"]);
    assert_eq!((config.worker.datacenter_id, config.worker.pool[0].worker_id()), (0, 0));
    assert!(config.tokens.is_none() && config.udp_allow.len() == 2);
    assert_eq!((config.gateway_threads, config.namespace), (1, Namespace::DEFAULT));
    assert_eq!(config.plans.lanes(), config.plans.shards() + 1);
}

#[test]
fn a_listener_others_can_reach_needs_identity_token_and_networks() {
    let all = problems(&["--listen", "0.0.0.0:4096"]);
    assert_eq!(all.len(), 3, "{all:?}");
    let mapped = problems(&["--listen", "[::]:4096", "--datacenter-id", "1"]);
    assert_eq!(mapped.len(), 3);
    let identity = ["--listen", "0.0.0.0:4096", "--datacenter-id", "1", "--worker-id", "2"];
    let open = [&identity[..], &["--insecure", "--udp-allow", "none"]].concat();
    assert!(config(&open).unwrap().udp_allow.is_empty());
    let networks = [&identity[..], &["--insecure", "--udp-allow", "10.0.0.0/8"]].concat();
    assert_eq!(config(&networks).unwrap().udp_allow.len(), 1);
}

#[test]
fn rest_and_grpc_need_identity_and_token_like_the_rest_in_one_line_a_rule() {
    let all = problems(&["--http", "0.0.0.0:0", "--grpc", "[::]:0"]);
    assert_eq!(all.len(), 2, "{all:?}");
    for problem in &all {
        let begin = "http 0.0.0.0:0, grpc [::]:0 can be reached from other hosts: ";
        assert!(problem.starts_with(begin), "{problem}");
    }
    let identity = ["--http", "0.0.0.0:0", "--datacenter-id", "1", "--worker-id", "2"];
    assert_eq!(problems(&identity).len(), 1);
    assert!(config(&[&identity[..], &["--insecure"]].concat()).is_ok());
}

#[test]
fn two_listeners_have_two_addresses() {
    let all = problems(&["--http", "127.0.0.1:4096", "--grpc", "127.0.0.1:4096"]);
    assert_eq!(all.len(), 3, "{all:?}");
    let text =
        "listen 127.0.0.1:4096 and http 127.0.0.1:4096 are the same port: each needs its own";
    assert_eq!(all[0], text);
    assert!(config(&["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]).is_ok());
    assert!(config(&["--http", "127.0.0.2:4096", "--grpc", "[::1]:4096"]).is_ok());
}

#[test]
fn gateway_lanes_come_and_go_with_the_listeners() {
    let lanes = |args: &[&str]| {
        let plans = config(&[&["--shards", "2"], args].concat()).unwrap().plans;
        (plans.lanes(), plans.of(Kind::Snowflake).pool_size())
    };
    assert_eq!(lanes(&["--gateway-threads", "8"]), (10, 3072));
    assert_eq!(lanes(&["--gateway-threads", "8", "--http", "none"]), (10, 3072));
    assert_eq!(lanes(&["--http", "none", "--grpc", "none"]), (2, 3072));
    assert_eq!(lanes(&["--http", "none", "--grpc", "none", "--pool-share", "0"]), (2, 0));
    let all = problems(&["--gateway-threads", "8", "--pool-share", "0.9"]);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with("gateway-threads 8: ") && all[0].contains("at most 3 "), "{all:?}");
}

#[test]
fn an_epoch_is_a_time_in_milliseconds_that_has_come() {
    let epoch = |epoch_ms: u64| {
        let state = NamespaceArgs { epoch: Some(epoch_ms), ..NamespaceArgs::default() };
        let namespace = namespace(&state, Some(NOW_MS));
        let namespace = namespace.map_err(|problems| ConfigError::from(problems).to_string())?;
        Ok::<_, String>(namespace.layout().epoch_ms())
    };
    for ms in [946_684_800_000, NOW_MS, 1_609_459_200_000] {
        assert_eq!(epoch(ms), Ok(ms));
    }
    for ms in [0, 1_609_459_200, 946_684_800_000 - 1] {
        assert!(epoch(ms).unwrap_err().contains("no time in milliseconds"));
    }
    for ms in [NOW_MS + 1, u64::MAX] {
        assert!(epoch(ms).unwrap_err().contains("an epoch in the future has no IDs"));
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let args = ["--worker-id", "32", "--shards", "2000", "--auth-token-file", "/nowhere"];
    let all = problems(&[&args[..], &["--epoch", "1"]].concat());
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(all[0].starts_with("auth-token-file: a datagram carries no token"));
    assert!(all[1].starts_with("epoch 1 is no time in milliseconds"));
    assert_eq!(all[2], "worker_id 32 is out of range: 0 to 31 are allowed");
    assert!(all[3].starts_with("shards 2000:") && all[4].contains("/nowhere"));
}

/// The file that explains every key.
const EXPLAINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/coreflake.yaml");

#[test]
fn the_file_that_explains_every_key_sets_the_defaults() {
    let explained = Config::load(&parse_serve(&["--config", EXPLAINED]), NOW_MS).unwrap();
    assert_eq!(format!("{explained:?}"), format!("{:?}", config(&[]).unwrap()));
}

#[test]
fn each_of_its_keys_works_when_its_comment_sign_is_taken_away() {
    let text = std::fs::read_to_string(EXPLAINED).unwrap();
    // Prose has one space behind the sign.
    let is_key = |line: &str| {
        let key = line.trim_start().split_once(':').map_or("", |(key, _)| key);
        let plain = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        !key.is_empty() && plain && line.find(|letter| letter != ' ') != Some(1)
    };
    let uncommented = |line: &'static str| line.strip_prefix('#').filter(|key| is_key(key));
    let text: &'static str = text.leak();
    let all: Vec<_> = text.lines().map(|line| uncommented(line).unwrap_or(line)).collect();
    // REST has one address, under one of two keys.
    for other in ["http:", "port:"] {
        let lines: Vec<_> = all.iter().copied().filter(|line| !line.starts_with(other)).collect();
        let file = ConfigFile::parse("c.yaml".into(), lines.join("\n")).unwrap();
        assert!(file.problems.is_empty(), "{:#?}", file.problems);
        for key in keys::KEYS {
            let is_other = key.name == other.trim_end_matches(':');
            assert_eq!(file.origin(key.name).is_none(), is_other, "{}", key.name);
        }
    }
}

/// A machine with many cores starts with any layout; who names a number of shards gets it or an
/// error.
#[test]
fn cores_beyond_what_a_layout_can_share_get_no_shard() {
    let shards = |args: &[&str], cores: u16| {
        let namespace = config(args).unwrap().namespace;
        let plan = |shards| Plans::new(&namespace, 1, shards, 2, PoolShare::DEFAULT);
        shared_by_cores(cores, plan).unwrap().shards()
    };
    assert_eq!(shards(&["--shards", "1"], 64), 64);
    let layout = ["--shards", "1", "--layout"];
    assert_eq!(shards(&[&layout[..], &["javascript"]].concat(), 8), 8);
    assert_eq!(shards(&[&layout[..], &["javascript"]].concat(), 1_024), 14);
    // Kind instagram has the fewest there.
    assert_eq!(shards(&[&layout[..], &["39+8+8+8"]].concat(), 1_024), 28);
    let too_few = shared_by_cores(4, |shards| {
        let error = PlanError::TooManyShards { shards, shards_max: 0 };
        Err((Kind::Snowflake, error))
    });
    assert!(too_few.is_err());
}

#[test]
fn a_layout_is_what_the_settings_say() {
    let namespace = |args: &[&str]| config(args).unwrap().namespace;
    let layout = |args: &[&str]| *namespace(args).layout();
    assert_eq!(layout(&["--layout", "snowflake"]), Layout::SNOWFLAKE);
    let javascript = layout(&["--layout", "javascript"]);
    assert_eq!(
        (javascript.widths(), javascript.id_max().get()),
        (Widths::JAVASCRIPT, (1 << 53) - 1)
    );
    let sony = layout(&["--layout", "39+8+8+8", "--tick-ms", "10", "--shards", "1"]);
    assert_eq!((sony.scale().tick_ms(), sony.worker_id_max()), (10, 255));
    assert!(config(&["--layout", "39+8+8+8", "--tick-ms", "10", "--worker-id", "255"]).is_ok());
    let instagram =
        namespace(&["--instagram-shard-bits", "20", "--instagram-epoch", "1700000000000"]);
    assert_eq!(instagram.shard_bits(), 20);
    assert_eq!(instagram.instagram().epoch_ms(), 1_700_000_000_000);
    assert_eq!(layout(&["--instagram-epoch", "1700000000000"]), Layout::SNOWFLAKE);
}

#[test]
fn a_layout_that_cannot_be_names_the_setting() {
    for (args, begin) in [
        (
            &["--layout", "41+5+5+13"][..],
            "layout 41+5+5+13: the bit widths add up to 64: they must",
        ),
        (&["--layout", "41+9+8+5"], "layout 41+9+8+5: datacenter and worker take 17 bits"),
        (&["--layout", "39+0+16+8"], "layout 39+0+16+8: the worker has 16 bits"),
        (&["--layout", "53+5+5+0"], "layout 53+5+5+0: the sequence has 0 bits"),
        (&["--tick-ms", "0"], "tick-ms: a tick of 0 ms: 1 ms and 10 ms are allowed"),
        (&["--tick-ms", "5"], "tick-ms: a tick of 5 ms: 1 ms and 10 ms are allowed"),
        (
            &["--instagram-shard-bits", "9"],
            "instagram-shard-bits: a shard of 9 bits: 10 (the width",
        ),
        (&["--instagram-shard-bits", "23"], "instagram-shard-bits: a shard of 23 bits: 10 (the"),
        (&["--instagram-epoch", "1609459200"], "instagram-epoch 1609459200 is no time in milli"),
        (
            &["--instagram-epoch", "9999999999999"],
            "instagram-epoch 9999999999999 is later than now",
        ),
        (&["--layout", "javascript", "--worker-id", "16"], "worker_id 16 is out of range: 0 to 15"),
        (
            &["--layout", "javascript", "--datacenter-id", "4"],
            "datacenter_id 4 is out of range: 0 to 3",
        ),
        (
            &["--layout", "javascript", "--shards", "16"],
            "shards 16: beside gateway-threads 1 at most 15 have a home in the sequence space of",
        ),
        (
            &["--layout", "35+0+6+22", "--worker-slots", "4"],
            "worker-slots 4: 16777216 sequence numbers",
        ),
        (
            &["--layout", "42+8+8+5", "--uuid1-node", "02:00:5e:10:00:01"],
            "uuid1-node 02:00:5e:10:00:01: a slot",
        ),
    ] {
        let all = problems(args);
        assert!(all.iter().any(|problem| problem.starts_with(begin)), "{args:?}: {all:?}");
    }
}

#[test]
fn all_that_is_wrong_with_a_namespace_is_named_at_once() {
    let args = "--epoch 1900000000000 --layout 41+5+5+13 --tick-ms 5 --instagram-epoch 1 \
                --datacenter-id 99 --worker-id 98";
    let all = problems(&args.split_whitespace().collect::<Vec<_>>());
    for begin in [
        "epoch 1900000000000 is later",
        "layout 41+5+5+13: ",
        "tick-ms: a tick of 5 ms",
        "instagram-epoch 1 is no time",
        "datacenter_id 99 ",
        "worker_id 98 ",
    ] {
        assert!(all.iter().any(|problem| problem.starts_with(begin)), "{begin}: {all:?}");
    }
    let all = problems(&["--tick-ms", "5", "--instagram-shard-bits", "9"]);
    assert_eq!(all.len(), 2, "{all:?}");
}

#[test]
fn a_layout_that_ends_within_a_year_is_not_started_with() {
    const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;
    let end_ms = Layout::SNOWFLAKE.end_ms();
    let at = |now_ms| Config::new(&parse_serve(&[]), now_ms);
    let in_time = at(end_ms - YEAR_MS).unwrap().namespace;
    assert_eq!(
        ending(&in_time, end_ms - YEAR_MS),
        Some((Kind::Instagram, in_time.instagram().end_ms()))
    );
    let problems = at(end_ms - YEAR_MS + 1).unwrap_err().problems;
    let text = &problems[0].text;
    let begin =
        "epoch 1609459200000: the layout has timestamps until 2090-09-07T15:47:35.551Z, less";
    assert!(problems.len() == 1 && text.starts_with(begin), "{text}");
    let namespace = Namespace::DEFAULT;
    assert_eq!(ending(&namespace, namespace.instagram().end_ms() - 5 * YEAR_MS), None);
}

#[test]
fn the_node_of_a_uuid_is_what_is_said() {
    let node = |args: &[&str]| config(args).unwrap().node;
    assert_eq!((node(&[]), node(&["--uuid1-node", "slot"])), (None, None));
    assert_eq!(node(&["--uuid1-node", "02:00:5e:10:00:01"]), Some(0x0200_5e10_0001));
}
