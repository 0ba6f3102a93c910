//! Times as people read them.

use jiff::Timestamp;

/// RFC 3339 in UTC with milliseconds, of a time in milliseconds since the Unix epoch, for people:
/// beyond the year 9999 the milliseconds.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    rfc3339_of(unix_ms).unwrap_or_else(|| unix_ms.to_string())
}

/// The same, or `None` beyond the year 9999, for which RFC 3339 has no digits.
pub(crate) fn rfc3339_of(unix_ms: u64) -> Option<String> {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.3}"))
}

/// Such a time in milliseconds since the Unix epoch, if it is one after that. A leap second is
/// none: Unix time has no number for it.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let (_, time) = text.split_once(['T', 't', ' '])?;
    if time.chars().filter(|letter| *letter != ':').skip(4).take(2).eq("60".chars()) {
        return None;
    }
    text.parse::<Timestamp>().ok()?.as_millisecond().try_into().ok()
}

/// A time as people write it: RFC 3339, or milliseconds since the Unix epoch.
pub(crate) fn read(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { parse(text) }
}

/// What [`read`] takes.
pub(crate) const RULE: &str =
    "a time from 1970 on such as 2026-11-24T12:00:00Z, or Unix milliseconds are expected";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_read() {
        assert_eq!(read("2030-04-30T18:12:02.167Z"), Some(1_903_803_122_167));
        assert_eq!(read("2030-04-30T20:12:02.167+02:00"), Some(1_903_803_122_167));
        assert_eq!(read("1903803122167"), Some(1_903_803_122_167));
        assert_eq!(rfc3339(1_903_803_122_167), "2030-04-30T18:12:02.167Z");
        assert_eq!(rfc3339_of((1 << 48) - 1), None, "the year 10889");
        let wrong = ["", "-1", "1e3", "2030-04-30", "now", "1903803122167.5"];
        for text in wrong.into_iter().chain([
            "1960-01-01T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "20161231T235960Z",
        ]) {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
