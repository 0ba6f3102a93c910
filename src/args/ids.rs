//! IDs to fetch, to take apart, and to look for.

use core::str::FromStr;
use std::path::PathBuf;

use clap::Args;
use coreflake_protocol::{Encoding, Kind};

use crate::args::NamespaceArgs;
use crate::presets::Preset;
use crate::timestamp;

/// Which IDs to fetch.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The server
    #[arg(long, value_name = "A:P", default_value = "127.0.0.1:4096", env = "COREFLAKE_SERVER")]
    pub server: String,

    /// Use UDP instead of TCP
    #[arg(long)]
    pub udp: bool,

    /// The kind of ID: snowflake, instagram, uuid1, ulid or uuid7
    #[arg(long, value_name = "KIND", default_value_t = Kind::Snowflake)]
    pub kind: Kind,

    /// How 64-bit IDs are written: decimal, base62 or crockford [default: decimal]
    #[arg(long, value_name = "E")]
    pub encoding: Option<Encoding>,

    /// How many
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub count: u32,

    /// Show the first token of this file (TCP)
    #[arg(long, value_name = "FILE", env = "COREFLAKE_TOKEN_FILE", conflicts_with = "udp")]
    pub token_file: Option<PathBuf>,
}

/// Which IDs to take apart.
#[derive(Debug, Args)]
pub struct ParseArgs {
    /// IDs; without any, or for `-`, they are read from standard input, one a line
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,

    /// The kind of ID: snowflake, instagram, uuid1, ulid or uuid7 [default: what they look like]
    #[arg(long, value_name = "KIND")]
    pub kind: Option<Kind>,

    /// How 64-bit IDs are written: decimal, base62 or crockford [default: decimal]
    #[arg(long, value_name = "E")]
    pub encoding: Option<Encoding>,

    /// The system that made them: twitter, discord, mastodon, instagram, sony or sony-v2
    /// [default: this one]; --epoch may say when its timestamps begin
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = [
        "kind", "config", "layout", "tick_ms", "instagram_shard_bits", "instagram_epoch",
    ])]
    pub preset: Option<&'static Preset>,

    /// The file that says what the namespace is.
    #[command(flatten)]
    pub file: FileArgs,

    /// The namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,
}

/// A file of settings for who serves nothing.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Read layout, ticks and epochs from this configuration file of a server; flags and
    /// environment come first
    #[arg(long, value_name = "FILE", env = "COREFLAKE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The IDs of a stretch of time.
#[derive(Debug, Args)]
pub struct RangeArgs {
    /// When it begins: a time such as 2026-11-24T12:00:00Z, or Unix milliseconds
    #[arg(long, value_name = "T")]
    pub from: Time,

    /// When it ends; the last millisecond belongs to it
    #[arg(long, value_name = "T")]
    pub to: Time,

    /// The kind of ID: snowflake, instagram, ulid or uuid7
    #[arg(long, value_name = "KIND", default_value_t = Kind::Snowflake)]
    pub kind: Kind,

    /// How 64-bit IDs are written: decimal, base62 or crockford [default: decimal]
    #[arg(long, value_name = "E")]
    pub encoding: Option<Encoding>,

    /// The file that says what the namespace is.
    #[command(flatten)]
    pub file: FileArgs,

    /// The namespace.
    #[command(flatten)]
    pub namespace: NamespaceArgs,
}

/// A time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub u64);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        timestamp::read(text).map(Self).ok_or(timestamp::RULE)
    }
}
