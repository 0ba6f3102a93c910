//! Which releases of etcd keep what they have acknowledged.

/// A release of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The oldest releases that will do, one of each minor version that has older ones; all that are
/// newer will do as well.
const OLDEST: [Release; 2] =
    [Release { major: 3, minor: 4, patch: 21 }, Release { major: 3, minor: 5, patch: 6 }];

/// Characters of a version that are shown: one has less than ten.
const SHOWN_MAX: usize = 40;

impl core::fmt::Display for Release {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Release {
    /// Reads `3.5.6`; what a build adds to it, such as `-rc.1`, does not count.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let patch = parts.next()?;
        let end = patch.find(|of: char| !of.is_ascii_digit()).unwrap_or(patch.len());
        Some(Self { major, minor, patch: patch[..end].parse().ok()? })
    }
}

/// Whether a server that says it is of `version` can be used.
///
/// # Errors
///
/// Why it cannot, without the name of the server.
pub(super) fn check(version: &str) -> Result<(), String> {
    let [oldest, ..] = OLDEST;
    let Some(release) = Release::read(version) else {
        let shown: String = version.chars().take(SHOWN_MAX).collect();
        return Err(format!("says it is version {shown:?}, and {oldest} or newer is needed"));
    };
    let of_its_minor = |old: &&Release| (old.major, old.minor) == (release.major, release.minor);
    let needed = OLDEST.iter().find(of_its_minor).unwrap_or(&oldest);
    if release >= *needed {
        return Ok(());
    }
    Err(format!(
        "is version {release}, and {needed} or newer is needed: older ones can lose a write that \
         they have acknowledged, when a cluster of one member crashes (etcd issue 14370)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_that_lose_writes_are_told_from_others() {
        for fit in ["3.4.21", "3.4.23", "3.5.6", "3.5.13-rc.1", "3.6.0", "3.10.0", "4.0.0"] {
            assert_eq!(check(fit), Ok(()), "{fit}");
        }
        for unfit in ["3.4.20", "3.5.5", "3.5.0-rc.1", "3.3.27", "2.3.8", "3.4"] {
            assert!(check(unfit).is_err(), "{unfit}");
        }
        let reason = check("3.5.4").unwrap_err();
        assert!(reason.contains("3.5.4") && reason.contains("3.5.6"), "{reason}");
        assert!(reason.contains("14370"), "{reason}");
    }

    #[test]
    fn any_text_may_come() {
        for text in ["", ".", "..", "3.4.", "3.4.x", "3.4.99999999999999999999", "v3.5.9", "3.é.1"]
        {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(check(&"9".repeat(100_000)).unwrap_err().len() < 200);
    }
}
