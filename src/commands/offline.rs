//! What the commands that need no server have in common.

use coreflake_protocol::Namespace;

use crate::args::{FileArgs, NamespaceArgs};
use crate::config::Config;
use crate::exit;

/// The namespace that is named.
///
/// # Errors
///
/// What is wrong with the settings, and the exit code: where a file is named, it may be the file.
pub(crate) fn namespace(
    file: &FileArgs,
    namespace: &NamespaceArgs,
) -> Result<Namespace, (u8, String)> {
    let code = if file.config.is_some() { exit::CONFIGURATION } else { exit::USAGE };
    Config::namespace(file, namespace).map_err(|error| (code, error.to_string()))
}
