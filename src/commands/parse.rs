//! `coreflake parse`.

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use coreflake_protocol::{Id, Layout};
use serde::Serialize;

use crate::args::ParseArgs;
use crate::clock::WallTime;
use crate::config::layout;
use crate::{exit, timestamp};

/// Bytes of one line of input; an ID has at most 19.
const LINE_SIZE_MAX: u64 = 4_096;

/// What is printed of an ID.
#[derive(Debug, Serialize)]
struct Parsed {
    id: u64,
    id_str: String,
    timestamp: String,
    datacenter_id: u16,
    worker_id: u16,
    sequence: u32,
}

/// Takes IDs apart.
pub fn run(args: &ParseArgs) -> ExitCode {
    let layout = match layout(args.epoch, WallTime::now().unix_ms()) {
        Ok(layout) => layout,
        Err(message) => return exit::fail(exit::USAGE, &message),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = if args.ids.is_empty() || args.ids == ["-"] {
        parse_lines(&layout, &mut io::stdin().lock(), &mut out)
    } else {
        parse_all(&layout, &args.ids, &mut out)
    };
    match result.and_then(|valid| out.flush().map(|()| valid)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(exit::CHECK_FAILED),
        // Whoever read us has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => exit::fail(exit::CHECK_FAILED, &error.to_string()),
    }
}

fn parse_all(layout: &Layout, ids: &[String], out: &mut impl Write) -> io::Result<bool> {
    let mut valid = true;
    for text in ids {
        match parse(layout, text) {
            Ok(parsed) => print(&parsed, out)?,
            Err(message) => {
                valid = false;
                exit::say(&message);
            }
        }
    }
    Ok(valid)
}

fn parse_lines(
    layout: &Layout,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut valid = true;
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let size = io::Read::take(&mut *input, LINE_SIZE_MAX).read_until(b'\n', &mut line)?;
        if size == 0 {
            break;
        }
        if size as u64 == LINE_SIZE_MAX && !line.ends_with(b"\n") {
            let message = format!("line {number} is longer than {LINE_SIZE_MAX} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let text = String::from_utf8_lossy(line.trim_ascii());
        if text.is_empty() {
            continue;
        }
        match parse(layout, &text) {
            Ok(parsed) => print(&parsed, out)?,
            Err(message) => {
                valid = false;
                exit::say(&format!("line {number}: {message}"));
            }
        }
    }
    Ok(valid)
}

fn parse(layout: &Layout, text: &str) -> Result<Parsed, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = digits.then(|| text.parse().ok()).flatten().and_then(Id::new).ok_or_else(|| {
        format!(
            "`{}` is no ID: a decimal number up to {} is expected",
            text.escape_debug(),
            Id::MAX
        )
    })?;
    let parts = layout.parse(id);
    Ok(Parsed {
        id: id.get(),
        id_str: id.to_string(),
        timestamp: timestamp::rfc3339(parts.unix_ms),
        datacenter_id: parts.datacenter_id,
        worker_id: parts.worker_id,
        sequence: parts.sequence,
    })
}

fn print(parsed: &Parsed, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, parsed)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_apart() {
        let parsed = parse(&Layout::SNOWFLAKE, "1234567890123456789").unwrap();
        assert_eq!(parsed.timestamp, "2030-04-30T18:12:02.167Z");
        assert_eq!((parsed.datacenter_id, parsed.worker_id, parsed.sequence), (20, 24, 277));
        assert_eq!(
            parse(&Layout::SNOWFLAKE, "9223372036854775807").unwrap().timestamp,
            "2090-09-07T15:47:35.551Z"
        );
        assert_eq!(parse(&Layout::SNOWFLAKE, "0").unwrap().timestamp, "2021-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_is_no_id_is_named() {
        for text in ["", " 1", "+1", "-1", "1e9", "abc", "9223372036854775808", "１２"] {
            assert!(parse(&Layout::SNOWFLAKE, text).is_err(), "{text}");
        }
        assert!(
            parse(&Layout::SNOWFLAKE, "x\u{1b}[2J").unwrap_err().contains("\\u{1b}"),
            "no escape reaches a terminal"
        );
    }

    #[test]
    fn bad_lines_do_not_stop_the_good_ones() {
        let mut out = Vec::new();
        let valid = parse_lines(&Layout::SNOWFLAKE, &mut &b"1\nx\n\n2"[..], &mut out).unwrap();
        assert!(!valid);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
