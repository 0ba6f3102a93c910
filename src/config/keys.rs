//! Every key of the configuration file, once.

use core::fmt::Display;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use std::net::SocketAddr;

use clap::ValueEnum;

use crate::args::{
    GivenEndpoint, LayoutArg, Listener, LogFormat, Node, POOL_SHARE_RULE, ServeArgs, StoreKind,
    UdpAllow, WorkerMode, WorkerPool, network, pool_share,
};
use crate::config::value::Value;
use crate::identity::filesystem::unfit_names;
use crate::limits::{
    GATEWAY_THREADS, NTP_INTERVAL_MS, STORE_SESSION_MS, STORE_TIMEOUT_MS, WINDOW_MS, WORKER_SLOTS,
};

/// A key of the configuration file.
pub(super) struct Key {
    /// Its name, with a dot behind the name of its group.
    pub(super) name: &'static str,
    /// The flag that sets the same.
    pub(super) flag: Option<&'static str>,
    /// Whether it is set.
    pub(super) is_set: fn(&ServeArgs) -> bool,
    /// Sets it, or says what is wrong, without the name.
    pub(super) set: fn(&mut ServeArgs, &Value) -> Result<(), String>,
}

macro_rules! key {
    ($name:literal, $flag:expr, $($field:ident).+, $read:expr) => {
        Key {
            name: $name,
            flag: $flag,
            is_set: |args| args.$($field).+.is_some(),
            set: |args, value| {
                args.$($field).+ = Some($read(value)?);
                Ok(())
            },
        }
    };
}

/// All keys, in the order in which they are explained.
pub(super) const KEYS: &[Key] = &[
    key!("datacenter_id", Some("datacenter-id"), datacenter_id, |value: &Value| {
        value.number(&(0..=u64::from(u16::MAX)))
    }),
    key!("worker_id", Some("worker-id"), worker_id, |value: &Value| {
        value.number(&(0..=u64::from(u16::MAX)))
    }),
    key!("epoch", Some("epoch"), state.namespace.epoch, epoch),
    key!("layout", Some("layout"), state.namespace.layout, |value: &Value| {
        value.text::<LayoutArg>("snowflake, javascript, or bit widths such as 41+5+5+12,")
    }),
    key!("tick_ms", Some("tick-ms"), state.namespace.tick_ms, |value: &Value| {
        value.number(&(0..=u8::MAX)).map_err(|_| value.instead_of("1 or 10"))
    }),
    key!(
        "instagram.shard_bits",
        Some("instagram-shard-bits"),
        state.namespace.instagram_shard_bits,
        |value: &Value| {
            let expected = "a number from the width of a slot to 22";
            value.number(&(0..=u8::MAX)).map_err(|_| value.instead_of(expected))
        }
    ),
    key!("instagram.epoch", Some("instagram-epoch"), state.namespace.instagram_epoch, epoch),
    key!("uuid1.node", Some("uuid1-node"), uuid1_node, |value: &Value| {
        value.text::<Node>("slot, mac, or six bytes such as 02:00:5e:10:00:01,")
    }),
    key!("port", None, http, |value: &Value| {
        let port = value.number(&(0..=u16::MAX))?;
        Ok::<_, String>(Listener::At((Ipv4Addr::LOCALHOST, port).into()))
    }),
    key!("worker.mode", Some("worker-mode"), worker_mode, |value: &Value| {
        value.text_with("static or dynamic", |text| WorkerMode::from_str(text, false).ok())
    }),
    key!("worker.pool", Some("worker-pool"), worker_pool, |value: &Value| match value {
        Value::Integer(number) => pool(&number.to_string(), value),
        Value::Text(text) => pool(text, value),
        other => pool("", other),
    }),
    key!("worker.slots", Some("worker-slots"), worker_slots, |value: &Value| {
        value.number(&WORKER_SLOTS)
    }),
    key!("shards", Some("shards"), shards, |value: &Value| value.number(&(1..=u16::MAX))),
    key!("listen", Some("listen"), listen, |value: &Value| {
        value.text::<SocketAddr>("an address such as 127.0.0.1:4096")
    }),
    key!("http", Some("http"), http, |value: &Value| {
        value.text("an address such as 127.0.0.1:8080, or none,")
    }),
    key!("grpc", Some("grpc"), grpc, |value: &Value| {
        value.text("an address such as 127.0.0.1:50051, or none,")
    }),
    key!("insecure", Some("insecure"), insecure, Value::truth),
    key!("auth.token_file", Some("auth-token-file"), auth_token_file, Value::path),
    key!("udp.allow", Some("udp-allow"), udp_allow, networks),
    key!("state_dir", Some("state-dir"), state.state_dir, Value::path),
    key!(
        "allow_state_filesystem",
        Some("allow-state-filesystem"),
        state.allow_state_filesystem,
        filesystems
    ),
    key!("window_ms", Some("window-ms"), window_ms, |value: &Value| value.number(&WINDOW_MS)),
    key!("accept_clock", Some("accept-clock"), accept_clock, Value::truth),
    key!("store.kind", Some("store"), state.store.kind, |value: &Value| {
        value.text_with("file, etcd, zookeeper or consul", |text| {
            StoreKind::from_str(text, false).ok()
        })
    }),
    key!("store.endpoints", Some("store-endpoints"), state.store.endpoints, |value: &Value| {
        let given: Vec<GivenEndpoint> =
            value.list("an address such as http://10.0.0.1:2379", |text| text.parse().ok())?;
        match given.iter().find_map(|GivenEndpoint(given)| given.as_ref().err()) {
            Some(problem) => Err(problem.clone()),
            None => Ok(given),
        }
    }),
    key!("store.prefix", Some("store-prefix"), state.store.prefix, |value: &Value| {
        value.text::<String>("a path such as /id-generator")
    }),
    key!("store.auto_init", Some("store-auto-init"), state.store.auto_init, Value::truth),
    key!("store.session_ms", Some("store-session-ms"), state.store.session_ms, |value: &Value| {
        value.number(&STORE_SESSION_MS)
    }),
    key!("store.timeout_ms", Some("store-timeout-ms"), state.store.timeout_ms, |value: &Value| {
        value.number(&STORE_TIMEOUT_MS)
    }),
    key!("store.username", Some("store-username"), state.store.username, |value: &Value| {
        value.text_with("a name", |text| (!text.is_empty()).then(|| text.to_owned()))
    }),
    key!(
        "store.password_file",
        Some("store-password-file"),
        state.store.password_file,
        Value::path
    ),
    key!("store.token_file", Some("store-token-file"), state.store.token_file, Value::path),
    key!("store.ca_file", Some("store-ca-file"), state.store.ca_file, Value::path),
    key!("store.cert_file", Some("store-cert-file"), state.store.cert_file, Value::path),
    key!("store.key_file", Some("store-key-file"), state.store.key_file, Value::path),
    key!("log_format", Some("log-format"), log_format, |value: &Value| {
        value.text_with("text or json", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })
    }),
    key!("gateway.threads", Some("gateway-threads"), gateway_threads, |value: &Value| {
        value.number(&GATEWAY_THREADS)
    }),
    key!("sequence.pool_share", Some("pool-share"), pool_share, |value: &Value| {
        match value {
            // Numbers are shown with the fewest digits that mean the same: as they were written.
            Value::Integer(_) | Value::Decimal(_) => pool_share(&value.to_string()).ok(),
            _ => None,
        }
        .ok_or_else(|| value.instead_of(POOL_SHARE_RULE))
    }),
    key!("ntp.servers", Some("ntp-server"), ntp_server, |value: &Value| {
        value.list("host or host:port", |text| text.parse().ok())
    }),
    key!("ntp.interval_ms", Some("ntp-interval-ms"), ntp_interval_ms, |value: &Value| {
        value.number(&NTP_INTERVAL_MS)
    }),
    key!("limits.max_connections", Some("max-connections"), max_connections, |value: &Value| {
        value.number(&positive(u32::MAX))
    }),
    key!(
        "limits.max_connections_per_ip",
        Some("max-connections-per-ip"),
        max_connections_per_ip,
        |value: &Value| value.number(&positive(u32::MAX))
    ),
    key!(
        "limits.max_gateway_connections",
        Some("max-gateway-connections"),
        max_gateway_connections,
        |value: &Value| value.number(&positive(u32::MAX))
    ),
    key!("limits.max_udp_rate", Some("max-udp-rate"), max_udp_rate, |value: &Value| {
        value.number(&positive(u64::MAX))
    }),
    key!(
        "limits.max_udp_source_rate",
        Some("max-udp-source-rate"),
        max_udp_source_rate,
        |value: &Value| value.number(&positive(u64::MAX))
    ),
];

/// The key with this name.
pub(super) fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The keys of a group.
pub(super) fn of_group(group: &str) -> Vec<&'static str> {
    let names = KEYS.iter().map(|key| key.name);
    names.filter(|name| name.split_once('.').is_some_and(|(of, _)| of == group)).collect()
}

fn positive<T: From<u8> + Display>(max: T) -> RangeInclusive<T> {
    T::from(1)..=max
}

fn filesystems(value: &Value) -> Result<Vec<String>, String> {
    let names: Vec<_> = unfit_names().collect();
    let expected = format!("one of {}", names.join(", "));
    value.list(&expected, |text| names.contains(&text).then(|| text.to_owned()))
}

/// When timestamps begin. What is plausible is known later.
fn epoch(value: &Value) -> Result<u64, String> {
    let expected = "a time in Unix milliseconds, from 946684800000 (2000-01-01) to now,";
    value.number(&(0..=u64::MAX)).map_err(|_| value.instead_of(expected))
}

fn pool(text: &str, value: &Value) -> Result<WorkerPool, String> {
    text.parse().map_err(|_| value.instead_of("a range of worker IDs such as 0-9"))
}

fn networks(value: &Value) -> Result<UdpAllow, String> {
    match value {
        Value::Text(text) if text == "none" => Ok(UdpAllow::None),
        Value::List(items) if !items.is_empty() => {
            let expected = "a network such as 10.0.0.0/8 or fd00::/8";
            value.list(expected, |text| network(text).ok()).map(UdpAllow::Networks)
        }
        other => Err(other.instead_of("a list of networks, or none,")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    /// The flags of `serve` that are no settings.
    const NO_SETTINGS: [&str; 2] = ["help", "config"];

    #[test]
    fn every_key_but_the_port_has_a_flag_and_every_flag_a_key() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut flags: Vec<_> = serve.get_arguments().filter_map(|arg| arg.get_long()).collect();
        flags.retain(|flag| !NO_SETTINGS.contains(flag));
        let mut of_keys: Vec<_> = KEYS.iter().filter_map(|key| key.flag).collect();
        flags.sort_unstable();
        of_keys.sort_unstable();
        assert_eq!(flags, of_keys);
        let without: Vec<_> = KEYS.iter().filter(|key| key.flag.is_none()).collect();
        assert_eq!(without.iter().map(|key| key.name).collect::<Vec<_>>(), ["port"]);
        for arg in serve.get_arguments().filter(|arg| arg.get_long() != Some("help")) {
            let flag = arg.get_long().unwrap();
            let variable = format!("COREFLAKE_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(arg.get_env().unwrap().to_str(), Some(variable.as_str()));
        }
    }

    #[test]
    fn every_key_is_in_the_file_that_explains_them_and_in_the_table() {
        let explained = include_str!("../../config/coreflake.yaml");
        let table = include_str!("../../docs/configuration.md");
        for key in KEYS {
            let last = key.name.split_once('.').map_or(key.name, |(_, last)| last);
            let is_key = |line: &str| line.trim_start_matches(['#', ' ']).starts_with(last);
            assert!(explained.lines().any(is_key), "{}", key.name);
            let flag = key.flag.map(|flag| format!("`--{flag}")).unwrap_or_default();
            let row = format!("| `{}` | {flag}", key.name);
            assert!(table.lines().any(|line| line.starts_with(&row)), "{row}");
        }
        let rows = table.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, KEYS.len());
    }

    #[test]
    fn a_share_may_be_a_whole_number() {
        let set = |value| {
            let mut args = ServeArgs::default();
            (named("sequence.pool_share").unwrap().set)(&mut args, &value).map(|()| args.pool_share)
        };
        assert_eq!(set(Value::Decimal(0.75)), Ok(coreflake_engine::PoolShare::new(750)));
        assert_eq!(set(Value::Integer(0)), Ok(coreflake_engine::PoolShare::new(0)));
        for wrong in [Value::Decimal(0.7501), Value::Decimal(1e-9), Value::Decimal(f64::NAN)] {
            assert!(set(wrong).unwrap_err().ends_with("at most three decimals is expected"));
        }
        assert!(set(Value::Text("0.5".into())).is_err() && set(Value::Integer(-1)).is_err());
    }
}
