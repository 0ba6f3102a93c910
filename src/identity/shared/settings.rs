//! How a shared store is reached.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::args::StoreKind;
use crate::identity::shared::Keys;

/// A store, and how it is used.
#[derive(Clone, Debug)]
pub(crate) struct StoreConfig {
    pub(crate) kind: StoreKind,
    pub(crate) settings: StoreSettings,
    /// Whether records are made when there are none at all.
    pub(crate) auto_init: bool,
}

/// A store, and what of it this node uses.
#[derive(Clone, Debug)]
pub(crate) struct StoreSettings {
    /// Where it can be reached, at least one. All are of one store.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Where things lie in it.
    pub(crate) keys: Keys,
    /// How many slots a datacenter has: their workers are the numbers below.
    pub(crate) workers: u16,
    /// How long a session lives that nobody keeps alive: the live markers go with it.
    pub(crate) session: Duration,
    /// How long one call may take, with all endpoints that are tried.
    pub(crate) timeout: Duration,
    /// Who this node is to the store.
    pub(crate) credentials: Credentials,
    /// How TLS is spoken, where it is.
    pub(crate) tls: TlsSettings,
}

/// One address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What stands before `://`, if anything does: `http` or `https`.
    pub scheme: Option<&'static str>,
    /// A name or an address; one of version 6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Who this node is to a store. Which of them a store takes is up to the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) token: Option<Secret>,
}

/// How TLS is spoken: PEM texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    /// Who may have signed the store's certificate; without, whom the system trusts.
    pub(crate) ca: Option<Vec<u8>>,
    /// This node's certificate, and its key.
    pub(crate) identity: Option<(Vec<u8>, Secret)>,
}

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the store only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Endpoint {
    /// Whether TLS is spoken there.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Some("https")
    }

    /// `host:port`, an address of version 6 in brackets.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// An address as it was given, right or wrong: what is wrong with it is said without repeating what
/// may be a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenEndpoint(pub Result<Endpoint, String>);

impl FromStr for GivenEndpoint {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse::<Endpoint>().map_err(|problem| {
            if text.contains('@') { problem } else { format!("{text:?}: {problem} is expected") }
        })))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Some(scheme) => write!(f, "{scheme}://{}", self.authority()),
            None => f.write_str(&self.authority()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `host:port`, with `http://` or `https://` before it or not.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "an address such as http://10.0.0.1:2379 or zk1.example.com:2181";
        if text.contains('@') {
            return Err(
                "credentials do not belong into an address: name the user with --store-username, \
                        and a file with --store-password-file"
                    .to_owned(),
            );
        }
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("http", rest)) => (Some("http"), rest),
            Some(("https", rest)) => (Some("https"), rest),
            Some(_) => return Err(expected.to_owned()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or(expected)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(expected)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<core::net::Ipv6Addr>().map_err(|_| expected)?.to_string(),
            None if host.contains(':') => return Err(expected.to_owned()),
            None => host.to_owned(),
        };
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let valid = !host.is_empty() && (host.contains(':') || host.bytes().all(of_name));
        if valid { Ok(Self { scheme, host, port }) } else { Err(expected.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        for text in ["http://10.0.0.1:2379", "https://e-1.example.com:2379", "[::1]:2181", "zk:1"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "zk",
            "zk:0",
            "zk:65536",
            ":1",
            "ftp://a:1",
            "http://a:1/x",
            "u:p@a:1",
            "[1]:1",
            "::1:2",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2".into()))), "Some((secret))");
    }
}
