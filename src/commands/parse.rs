//! `coreflake parse`.

use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

use coreflake_protocol::{AnyId, Encoding, Id, Kind, Namespace};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::args::ParseArgs;
use crate::commands::offline::namespace;
use crate::details::ParsedId;
use crate::exit;
use crate::json::Time;
use crate::presets::{self, Preset};

/// Bytes of one line of input; an ID has at most 36.
const LINE_SIZE_MAX: u64 = 4_096;

/// How IDs are read.
struct Reader {
    namespace: Namespace,
    kind: Option<Kind>,
    encoding: Option<Encoding>,
    preset: Option<&'static Preset>,
    /// Of the preset, if not its own.
    epoch_ms: Option<u64>,
}

/// What is printed of an ID.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Parsed {
    Ours(ParsedId),
    Foreign(Foreign),
}

/// An ID of another system, with the fields that it has there.
#[derive(Debug)]
struct Foreign {
    id: u64,
    id_str: String,
    timestamp: Time,
    timestamp_ms: u64,
    fields: Vec<(&'static str, u64)>,
    preset: &'static str,
}

impl Serialize for Foreign {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("id_str", &self.id_str)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("timestamp_ms", &self.timestamp_ms)?;
        self.fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.serialize_entry("preset", self.preset)?;
        map.end()
    }
}

/// Takes IDs apart.
pub fn run(args: &ParseArgs) -> ExitCode {
    let reader = match Reader::new(args) {
        Ok(reader) => reader,
        Err((code, message)) => return exit::fail(code, &message),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = if args.ids.is_empty() || args.ids == ["-"] {
        reader.parse_lines(&mut io::stdin().lock(), &mut out)
    } else {
        reader.parse_all(&args.ids, &mut out)
    };
    match result.and_then(|valid| out.flush().map(|()| valid)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(exit::CHECK_FAILED),
        // Whoever read us has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => exit::fail(exit::CHECK_FAILED, &error.to_string()),
    }
}

impl Reader {
    fn new(args: &ParseArgs) -> Result<Self, (u8, String)> {
        let ParseArgs { kind, encoding, preset, .. } = *args;
        AnyId::check_form(kind, encoding).map_err(|error| (exit::USAGE, error.to_string()))?;
        // The epoch of a preset may be any.
        let namespace = match preset {
            Some(_) => Namespace::DEFAULT,
            None => namespace(&args.file, &args.namespace)?,
        };
        Ok(Self { namespace, kind, encoding, preset, epoch_ms: args.namespace.epoch })
    }

    fn parse_all(&self, ids: &[String], out: &mut impl Write) -> io::Result<bool> {
        let mut valid = true;
        for text in ids {
            match self.parse(text) {
                Ok(parsed) => print(&parsed, out)?,
                Err(message) => {
                    valid = false;
                    exit::say(&message);
                }
            }
        }
        Ok(valid)
    }

    fn parse_lines(&self, input: &mut impl BufRead, out: &mut impl Write) -> io::Result<bool> {
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
            match self.parse(&text) {
                Ok(parsed) => print(&parsed, out)?,
                Err(message) => {
                    valid = false;
                    exit::say(&format!("line {number}: {message}"));
                }
            }
        }
        Ok(valid)
    }

    fn parse(&self, given: &str) -> Result<Parsed, String> {
        let wrong = |rule: &str| format!("`{}` is no ID: {rule}", given.escape_debug());
        if let Some(preset) = self.preset {
            let id = self
                .foreign(given)
                .ok_or_else(|| wrong(self.encoding.unwrap_or_default().rule()))?;
            if id > preset.id_max() {
                let (name, id_max) = (preset.name, preset.id_max());
                return Err(wrong(&format!("those of {name} are 0 to {id_max}")));
            }
            let id_str = match self.encoding.zip(Id::new(id)) {
                Some((encoding, id)) => encoding.text(id).to_string(),
                None => id.to_string(),
            };
            let presets::Foreign { unix_ms, fields } = preset.parse(id, self.epoch_ms);
            return Ok(Parsed::Foreign(Foreign {
                id,
                id_str,
                timestamp: Time(unix_ms),
                timestamp_ms: unix_ms,
                fields,
                preset: preset.name,
            }));
        }
        let id = AnyId::read(given, self.kind, self.encoding);
        let id = id.map_err(|error| wrong(&error.to_string()))?;
        ParsedId::of(&self.namespace, id, self.encoding)
            .map(Parsed::Ours)
            .map_err(|error| wrong(&error.to_string()))
    }

    /// The number of another system's ID, which may have 64 bits in decimal.
    fn foreign(&self, text: &str) -> Option<u64> {
        match self.encoding.unwrap_or_default() {
            Encoding::Decimal => {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse().ok()).flatten()
            }
            encoding => encoding.read(text).map(Id::get),
        }
    }
}

fn print(parsed: &Parsed, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, parsed)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(kind: Option<Kind>) -> Reader {
        let namespace = Namespace::DEFAULT;
        Reader { namespace, kind, encoding: None, preset: None, epoch_ms: None }
    }

    fn json(kind: Option<Kind>, text: &str) -> String {
        serde_json::to_string(&reader(kind).parse(text).unwrap()).unwrap()
    }

    #[test]
    fn an_id_of_any_kind_is_read() {
        assert!(json(None, "1234567890123456789").contains(r#""worker_id":24,"sequence":277"#));
        assert!(json(None, "9223372036854775807").contains("2090-09-07T15:47:35.551Z"));
        assert!(json(None, "0").contains("2021-01-01T00:00:00.000Z"));
        assert!(json(None, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ").contains(r#""kind":"ulid""#));
        assert!(json(Some(Kind::Instagram), "8388608").contains(r#""shard_id":0"#));
    }

    #[test]
    fn what_is_no_id_is_named() {
        let reader = reader(None);
        for text in ["", " 1", "+1", "-1", "1e9", "abc", "9223372036854775808", "１２"] {
            assert!(reader.parse(text).is_err(), "{text}");
        }
        let message = reader.parse("x\u{1b}[2J").unwrap_err();
        assert!(message.contains("\\u{1b}"), "no escape reaches a terminal");
    }

    #[test]
    fn bad_lines_do_not_stop_the_good_ones() {
        let mut out = Vec::new();
        let valid = reader(None).parse_lines(&mut &b"1\nx\n\n2"[..], &mut out).unwrap();
        assert!(!valid);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
    }
}
