//! Tokens: who may use the server.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coreflake_protocol::Request;
use subtle::ConstantTimeEq;

use crate::limits::TOKEN_FILE_SIZE_MAX;

/// The tokens of which a peer must show one. Several are valid at once, so that they can be changed
/// without an interruption.
#[derive(Debug)]
pub struct Tokens {
    tokens: Vec<Vec<u8>>,
}

impl Tokens {
    /// Reads tokens from a file, one a line; empty lines do not count.
    ///
    /// # Errors
    ///
    /// In words, when the file cannot be read, may be read by others than its owner, holds no
    /// token, or one longer than the protocol carries.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let bytes =
            read_private(path, TOKEN_FILE_SIZE_MAX).map_err(|error| format!("{name}: {error}"))?;
        let tokens: Vec<_> = bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        if tokens.is_empty() {
            return Err(format!("{name}: holds no token; one a line is expected"));
        }
        if let Some(token) = tokens.iter().find(|token| token.len() > Request::TOKEN_SIZE_MAX) {
            let (size, size_max) = (token.len(), Request::TOKEN_SIZE_MAX);
            return Err(format!(
                "{name}: a token has {size} bytes; at most {size_max} are allowed"
            ));
        }
        Ok(Self { tokens })
    }

    /// Whether `shown` is one of the tokens. Takes the same time whichever byte differs.
    pub(crate) fn accept(&self, shown: &[u8]) -> bool {
        self.tokens.iter().fold(false, |valid, token| valid | bool::from(token.ct_eq(shown)))
    }
}

/// The first token of a file, for a client that shows one.
///
/// # Errors
///
/// As [`Tokens::read`].
pub fn first_token(path: &Path) -> Result<Vec<u8>, String> {
    Tokens::read(path).map(|mut tokens| tokens.tokens.swap_remove(0))
}

/// What a file holds that nobody but its owner may read.
pub(crate) fn read_private(path: &Path, size_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("mode {mode:03o} lets others read or write it; 600 is expected");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut bytes = Vec::new();
    let size = file.take(size_max + 1).read_to_end(&mut bytes)?;
    if size as u64 > size_max {
        let message = format!("more than {size_max} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_token_is_accepted() {
        let tokens = Tokens { tokens: vec![b"first".to_vec(), b"second".to_vec()] };
        assert!(tokens.accept(b"first") && tokens.accept(b"second"));
        for wrong in [&b""[..], b"firs", b"first ", b"Second", b"firstsecond"] {
            assert!(!tokens.accept(wrong));
        }
    }
}
