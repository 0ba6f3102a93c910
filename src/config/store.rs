//! The store that several nodes share.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::args::{Endpoint, GivenEndpoint, StoreArgs, StoreKind};
use crate::auth::read_private;
use crate::config::problem::Problem;
use crate::identity::shared::{
    Backend, Credentials, Keys, Secret, StoreConfig, StoreSettings, TlsSettings,
};
use crate::limits::{STORE_ENDPOINTS_MAX, STORE_FILE_SIZE_MAX};

const PREFIX: &str = "/id-generator";
const SESSION_MS: u64 = 10_000;
const TIMEOUT_MS: u64 = 2_000;

impl StoreConfig {
    /// The store of a datacenter with so many workers, if records are shared.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub(super) fn of(
        args: &StoreArgs,
        datacenter_id: u16,
        workers: u16,
        window_ms: u64,
    ) -> Result<Option<Self>, Vec<Problem>> {
        let mut problems = Vec::new();
        let kind = args.kind.unwrap_or(StoreKind::File);
        let mut endpoints = Vec::new();
        for GivenEndpoint(given) in args.endpoints.iter().flatten() {
            match given {
                Ok(endpoint) => endpoints.push(endpoint.clone()),
                Err(text) => problems
                    .push(Problem::of(&["store.endpoints"], format!("store-endpoints: {text}"))),
            }
        }
        if kind == StoreKind::File {
            let given = [
                ("store.endpoints", args.endpoints.is_some()),
                ("store.auto_init", args.auto_init == Some(true)),
                ("store.username", args.username.is_some()),
                ("store.password_file", args.password_file.is_some()),
                ("store.token_file", args.token_file.is_some()),
                ("store.ca_file", args.ca_file.is_some()),
                ("store.cert_file", args.cert_file.is_some()),
                ("store.key_file", args.key_file.is_some()),
            ];
            let given: Vec<_> =
                given.into_iter().filter(|(_, is)| *is).map(|(key, _)| key).collect();
            let Some(first) = given.first() else { return Ok(None) };
            let text = format!(
                "{}: that is for a shared store; say which one with --store etcd, zookeeper or consul",
                first.replace(['.', '_'], "-")
            );
            let keys: Vec<_> = given.into_iter().chain(["store.kind"]).collect();
            return Err(vec![Problem::of(&keys, text)]);
        }
        if problems.is_empty() {
            problems.extend(endpoint_problem(kind, &endpoints));
        }
        let prefix = args.prefix.as_deref().unwrap_or(PREFIX);
        problems.extend(prefix_problem(prefix));
        let timeout_ms = args.timeout_ms.unwrap_or_else(|| TIMEOUT_MS.min(window_ms / 3));
        if timeout_ms > window_ms / 3 {
            problems.push(Problem::of(
                &["store.timeout_ms", "window_ms"],
                format!(
                    "store-timeout-ms {timeout_ms}: at most a third of window-ms {window_ms}, or the \
                     window ends before a call that fails"
                ),
            ));
        }
        let mut of_file = |key, path: &Option<PathBuf>, private| {
            let text = read(key, path.as_deref()?, private);
            text.map_err(|problem| problems.push(problem)).ok()
        };
        let password = of_file("store.password_file", &args.password_file, true).map(Secret::new);
        let token = of_file("store.token_file", &args.token_file, true).map(Secret::new);
        let ca = of_file("store.ca_file", &args.ca_file, false).map(String::into_bytes);
        let cert = of_file("store.cert_file", &args.cert_file, false).map(String::into_bytes);
        let key = of_file("store.key_file", &args.key_file, true).map(Secret::new);
        let password = password.or_else(|| variable("COREFLAKE_STORE_PASSWORD"));
        let token = token.or_else(|| variable("COREFLAKE_STORE_TOKEN"));
        if args.cert_file.is_some() != args.key_file.is_some() {
            let text = "store-cert-file and store-key-file belong together: give both or none";
            problems.push(Problem::of(&["store.cert_file", "store.key_file"], text.to_owned()));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let credentials = Credentials { username: args.username.clone(), password, token };
        let settings = StoreSettings {
            endpoints,
            keys: Keys::new(prefix, datacenter_id),
            workers,
            session: Duration::from_millis(args.session_ms.unwrap_or(SESSION_MS)),
            timeout: Duration::from_millis(timeout_ms),
            credentials,
            tls: TlsSettings { ca, identity: cert.zip(key) },
        };
        // What only one of the stores cannot do with.
        if let Err(error) = Backend::new(kind, Arc::new(settings.clone())) {
            return Err(vec![Problem::of(&["store.kind"], error.to_string())]);
        }
        Ok(Some(Self { kind, settings, auto_init: args.auto_init.unwrap_or(false) }))
    }
}

fn endpoint_problem(kind: StoreKind, endpoints: &[Endpoint]) -> Option<Problem> {
    let name = kind.name();
    let text = if endpoints.is_empty() {
        format!("store {name}: where it is reached is missing: name it with --store-endpoints")
    } else if endpoints.len() > STORE_ENDPOINTS_MAX {
        let count = endpoints.len();
        format!("store-endpoints: {count} addresses; at most {STORE_ENDPOINTS_MAX} are allowed")
    } else {
        let plain = kind == StoreKind::ZooKeeper;
        let wrong = endpoints.iter().find(|endpoint| endpoint.scheme.is_some() == plain)?;
        let expected = if plain { "HOST:PORT" } else { "http://HOST:PORT or https://HOST:PORT" };
        format!("store-endpoints {wrong}: {name} is reached at {expected}")
    };
    Some(Problem::of(&["store.endpoints"], text))
}

fn prefix_problem(prefix: &str) -> Option<Problem> {
    let of_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(of_part);
    let parts = prefix.strip_prefix('/');
    let valid = parts.is_some_and(|parts| parts.len() < 200 && parts.split('/').all(is_part));
    let rule = "a path such as /id-generator is expected, of letters, digits, dots, hyphens and \
                underscores, without a slash at its end";
    (!valid).then(|| Problem::of(&["store.prefix"], format!("store-prefix {prefix:?}: {rule}")))
}

/// The text of a file; a private one may be read by nobody but its owner.
fn read(key: &'static str, path: &Path, private: bool) -> Result<String, Problem> {
    let bytes = if private { read_private(path, STORE_FILE_SIZE_MAX) } else { fs::read(path) };
    let text = bytes.map_err(|error| error.to_string()).and_then(|bytes| {
        let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let text = text.trim();
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
    });
    text.map_err(|error| {
        let flag = key.replace(['.', '_'], "-");
        Problem::of(&[key], format!("{flag} {}: {error}", path.display()))
    })
}

fn variable(name: &str) -> Option<Secret> {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map(Secret::new)
}
