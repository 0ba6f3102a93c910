use super::*;
use crate::args::parse_serve;

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
    assert_eq!((config.gateway_threads, config.layout), (1, Layout::SNOWFLAKE));
    assert_eq!(config.plan.lanes(), config.plan.shards() + 1);
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
        let plan = config(&[&["--shards", "2"], args].concat()).unwrap().plan;
        (plan.lanes(), plan.pool_size())
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
    let epoch = |ms: u64| layout(Some(ms), NOW_MS).map(|layout| layout.epoch_ms());
    for ms in [EPOCH_MS_MIN, NOW_MS, 1_609_459_200_000] {
        assert_eq!(epoch(ms), Ok(ms));
    }
    assert_eq!(layout(Some(1_609_459_200_000), NOW_MS), Ok(Layout::SNOWFLAKE));
    for ms in [0, 1_609_459_200, EPOCH_MS_MIN - 1] {
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
