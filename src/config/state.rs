//! The state directory, and how the record in it is used.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use coreflake_protocol::Layout;

use crate::args::{ServeArgs, StoreKind};
use crate::config::ConfigError;
use crate::config::problem::Problem;
use crate::identity::shared::StoreConfig;

/// Milliseconds reserved ahead: a start after a crash waits for less.
const WINDOW_MS_DEFAULT: u64 = 3_000;

/// The same with a store that may be away for a while: that is how long it is bridged.
const SHARED_WINDOW_MS_DEFAULT: u64 = 60_000;

/// Where the record of the slot lives, and how it is used.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// The directory, an absolute path.
    pub directory: PathBuf,
    /// File systems accepted for it although they may forget.
    pub allowed_filesystems: Vec<String>,
    /// How far ahead timestamps are reserved, in milliseconds.
    pub window_ms: u64,
    /// The store of the record, if it is shared: then the directory holds what this node has seen
    /// of it.
    pub(crate) store: Option<StoreConfig>,
    /// Whether a clock far from the record's last write is accepted.
    pub accept_clock: bool,
}

impl StateConfig {
    pub(crate) fn of(
        args: &ServeArgs,
        layout: &Layout,
        datacenter_id: u16,
    ) -> Result<Self, ConfigError> {
        let shared = args.state.store.kind.is_some_and(|kind| kind != StoreKind::File);
        let default_ms = if shared { SHARED_WINDOW_MS_DEFAULT } else { WINDOW_MS_DEFAULT };
        let window_ms = args.window_ms.unwrap_or(default_ms);
        let workers = u16::try_from(layout.worker_id_max() + 1).unwrap_or(u16::MAX);
        let store = StoreConfig::of(&args.state.store, datacenter_id, workers, window_ms);
        let directory = state_directory(args.state.state_dir.as_deref())
            .map_err(|text| vec![Problem::of(&["state_dir"], text)]);
        let (store, directory) = match (store, directory) {
            (Ok(store), Ok(directory)) => (store, directory),
            (store, directory) => {
                let problems = store.err().into_iter().chain(directory.err());
                return Err(ConfigError { problems: problems.flatten().collect(), state: None });
            }
        };
        Ok(Self {
            directory,
            allowed_filesystems: args.state.allowed_filesystems().to_vec(),
            window_ms,
            store,
            accept_clock: args.accept_clock.unwrap_or(false),
        })
    }
}

/// The state directory: as given, else systemd's, else the user's.
///
/// # Errors
///
/// When none of them is there, or the one that is has no absolute path.
pub fn state_directory(given: Option<&Path>) -> Result<PathBuf, String> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let of_user = || {
        let state = variable("XDG_STATE_HOME").map(PathBuf::from);
        state
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")))
            .map(|state| state.join("coreflake"))
    };
    let directory = given
        .map(Path::to_owned)
        .or_else(|| {
            // systemd puts a colon between several.
            let several = variable("STATE_DIRECTORY")?.into_encoded_bytes();
            let first = several.split(|byte| *byte == b':').next()?.to_vec();
            Some(PathBuf::from(OsString::from_vec(first)))
        })
        .or_else(of_user)
        .ok_or("state-dir: neither STATE_DIRECTORY nor HOME is set; name one with --state-dir")?;
    if directory.is_relative() {
        let shown = directory.display();
        return Err(format!("state-dir {shown}: an absolute path is needed"));
    }
    Ok(directory)
}
