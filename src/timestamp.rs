//! Times as people read them.

use jiff::Timestamp;

/// RFC 3339 in UTC with milliseconds, of a time in milliseconds since the Unix epoch.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    // The last tick of the layout lies in 2090, far inside what a timestamp holds.
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| unix_ms.to_string(), |time| format!("{time:.3}"))
}

/// Such a time in milliseconds since the Unix epoch, if it is one after that.
pub(crate) fn parse(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok()?.as_millisecond().try_into().ok()
}
