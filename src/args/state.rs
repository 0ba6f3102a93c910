//! Where records live: settings of the server, and of whoever looks at records or repairs them.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, PossibleValuesParser};
use clap::{Args, ValueEnum};

use crate::args::namespace::NamespaceArgs;
use crate::args::serve::first;
use crate::identity::filesystem::unfit_names;
use crate::identity::shared::GivenEndpoint;
use crate::limits::{STORE_SESSION_MS, STORE_TIMEOUT_MS};

/// Where records live, and the namespace they are of.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct StateArgs {
    /// Where the record of the slot lives [default: $STATE_DIRECTORY, or coreflake in the user's
    /// XDG state directory]
    #[arg(long, value_name = "DIR", env = "COREFLAKE_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Accept a state directory on a file system that may forget what it has acknowledged
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(unfit_names()),
          env = "COREFLAKE_ALLOW_STATE_FILESYSTEM", value_delimiter = ',')]
    pub allow_state_filesystem: Option<Vec<String>>,

    /// The namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// The store, if records are shared.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// The store that several nodes share. Its password and its token may also stand in the environment
/// as `COREFLAKE_STORE_PASSWORD` and `COREFLAKE_STORE_TOKEN`; they have no flags, since everybody
/// can see those.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Shared store")]
pub struct StoreArgs {
    /// Where records live: in files of this machine, or in a store [default: file]
    #[arg(long = "store", value_name = "KIND", value_enum, env = "COREFLAKE_STORE")]
    pub kind: Option<StoreKind>,

    /// Its addresses: http://HOST:PORT for etcd and Consul, HOST:PORT for ZooKeeper
    #[arg(
        long = "store-endpoints",
        value_name = "ADDR,…",
        value_delimiter = ',',
        env = "COREFLAKE_STORE_ENDPOINTS"
    )]
    pub endpoints: Option<Vec<GivenEndpoint>>,

    /// The folder below which everything lies [default: /id-generator]
    #[arg(long = "store-prefix", value_name = "PATH", env = "COREFLAKE_STORE_PREFIX")]
    pub prefix: Option<String>,

    /// Make the records of the datacenter if there are none: for a store that is new, and no other
    #[arg(long = "store-auto-init", value_name = "BOOL", env = "COREFLAKE_STORE_AUTO_INIT",
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = BoolishValueParser::new())]
    pub auto_init: Option<bool>,

    /// Milliseconds after which the slots of a node that says nothing are free [default: 10000]
    #[arg(long = "store-session-ms", value_name = "N", env = "COREFLAKE_STORE_SESSION_MS",
          value_parser = clap::value_parser!(u64).range(STORE_SESSION_MS))]
    pub session_ms: Option<u64>,

    /// Milliseconds that one call may take [default: 2000, and at most a third of the window]
    #[arg(long = "store-timeout-ms", value_name = "N", env = "COREFLAKE_STORE_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(STORE_TIMEOUT_MS))]
    pub timeout_ms: Option<u64>,

    /// Who this node is to etcd or ZooKeeper
    #[arg(long = "store-username", value_name = "NAME", env = "COREFLAKE_STORE_USERNAME")]
    pub username: Option<String>,

    /// A file, mode 600, with the password of that user
    #[arg(
        long = "store-password-file",
        value_name = "FILE",
        env = "COREFLAKE_STORE_PASSWORD_FILE"
    )]
    pub password_file: Option<PathBuf>,

    /// A file, mode 600, with the token of Consul's ACL
    #[arg(long = "store-token-file", value_name = "FILE", env = "COREFLAKE_STORE_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Who may have signed the store's certificate: a PEM file [default: whom the system trusts]
    #[arg(long = "store-ca-file", value_name = "FILE", env = "COREFLAKE_STORE_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// This node's certificate to the store: a PEM file
    #[arg(long = "store-cert-file", value_name = "FILE", env = "COREFLAKE_STORE_CERT_FILE")]
    pub cert_file: Option<PathBuf>,

    /// Its key: a PEM file, mode 600
    #[arg(long = "store-key-file", value_name = "FILE", env = "COREFLAKE_STORE_KEY_FILE")]
    pub key_file: Option<PathBuf>,
}

/// Where records live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// In the state directory
    File,
    /// In etcd
    Etcd,
    /// In ZooKeeper
    #[value(name = "zookeeper")]
    ZooKeeper,
    /// In Consul
    Consul,
}

impl StoreKind {
    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Etcd => "etcd",
            Self::ZooKeeper => "zookeeper",
            Self::Consul => "consul",
        }
    }
}

impl StateArgs {
    /// These settings, and those of `below` where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        first!(self, below, state_dir, allow_state_filesystem; namespace, store)
    }

    /// The file systems that are accepted although they may forget.
    pub fn allowed_filesystems(&self) -> &[String] {
        self.allow_state_filesystem.as_deref().unwrap_or_default()
    }
}

impl StoreArgs {
    /// As [`StateArgs::over`].
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        first!(
            self, below, kind, endpoints, prefix, auto_init, session_ms, timeout_ms, username,
            password_file, token_file, ca_file, cert_file, key_file;
        )
    }
}
