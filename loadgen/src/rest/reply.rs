//! Replies of the REST door: cut out of the stream, and what their JSON says.

use std::borrow::Cow;
use std::io;

use coreflake_protocol::{AnyId, Kind, Layout, Namespace, Widths};
use httparse::{EMPTY_HEADER, Status};
use serde::Deserialize;

use crate::ledger::{Identity, worker_ids_of};
use crate::stats::Failure;
use crate::stream::invalid;

/// Bytes and lines of the head of a reply. Servers send a few hundred bytes.
const HEAD_SIZE_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// 4,096 IDs of 19 digits, as numbers and as text, take 180 KiB.
const BODY_SIZE_MAX: usize = 1024 * 1024;
/// Of a text that the server sends, as much goes into a message.
const TEXT_SIZE_MAX: usize = 160;

/// A whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// Bytes of head and body.
    pub(crate) size: usize,
}

/// The body of `GET /api/v1/id`.
#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow)]
    id: Bare<'a>,
    #[serde(borrow)]
    id_str: Cow<'a, str>,
}

/// The body of `GET /api/v1/ids`.
#[derive(Deserialize)]
struct Many<'a> {
    #[serde(borrow)]
    ids: Vec<Bare<'a>>,
    #[serde(borrow)]
    ids_str: Vec<Cow<'a, str>>,
}

/// An ID in JSON: a number if it has 64 bits, else a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bare<'a> {
    Number(u64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// The body of any other status.
#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// The body of `GET /api/v1/health`, as far as it matters here.
#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    worker_id: Option<u16>,
    /// All of them, where there may be several.
    #[serde(default)]
    worker_ids: Vec<u16>,
    datacenter_id: u16,
    /// The bit widths of its layout, where the server names them.
    #[serde(default)]
    layout: String,
}

impl<'a> Reply<'a> {
    /// The reply at the beginning of `bytes`, or `None` while a part of it is missing.
    pub(crate) fn split(bytes: &'a [u8]) -> io::Result<Option<Self>> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        let head_size = match head.parse(bytes).map_err(invalid)? {
            Status::Complete(size) => size,
            Status::Partial if bytes.len() > HEAD_SIZE_MAX => return Err(invalid("a long head")),
            Status::Partial => return Ok(None),
        };
        let body_size = body_size(head.headers)?;
        let status = head.code.unwrap_or(0);
        let size = head_size + body_size;
        Ok(bytes.get(head_size..size).map(|body| Self { status, body, size }))
    }

    /// Appends the IDs of the reply, one if `is_single`. An error is what to count it as.
    pub(crate) fn ids(
        &self,
        kind: Kind,
        is_single: bool,
        ids: &mut Vec<AnyId>,
    ) -> Result<(), Failure> {
        if self.status != 200 {
            let code = self.refusal().and_then(|refusal| Failure::refused(&refusal.code));
            return Err(code.unwrap_or(Failure::Http(self.status)));
        }
        let are_read = if is_single {
            serde_json::from_slice(self.body).ok().and_then(|One { id, id_str }| {
                ids.push(id_of(kind, &id, &id_str)?);
                Some(())
            })
        } else {
            serde_json::from_slice(self.body).ok().and_then(|many: Many<'_>| {
                let texts = (many.ids.len() == many.ids_str.len()).then_some(&many.ids_str)?;
                many.ids.iter().zip(texts).try_for_each(|(id, text)| {
                    ids.push(id_of(kind, id, text)?);
                    Some(())
                })
            })
        };
        are_read.ok_or(Failure::InvalidReply)
    }

    /// Whose IDs the server hands out. A server that refuses them says so with another status, and
    /// is a target all the same.
    pub(crate) fn identity(&self) -> io::Result<Identity> {
        if let Ok(health) = serde_json::from_slice(self.body) {
            let Health { worker_id, worker_ids, datacenter_id, layout } = health;
            let worker_ids = worker_ids_of(worker_id.into_iter(), worker_ids);
            let namespace = namespace(&layout).ok_or_else(|| invalid("no layout in the health"))?;
            return Ok(Identity { namespace, datacenter_id, worker_ids });
        }
        let status = self.status;
        Err(match self.refusal() {
            Some(Refusal { code, message }) => {
                let text: String = message.chars().take(TEXT_SIZE_MAX).collect();
                io::Error::other(format!("the server answered {code} ({status}): {text}"))
            }
            None if status == 200 => invalid("no worker_id and datacenter_id in the health"),
            None => io::Error::other(format!("the server answered {status} to /api/v1/health")),
        })
    }

    fn refusal(&self) -> Option<Refusal<'a>> {
        serde_json::from_slice(self.body).ok()
    }
}

fn body_size(headers: &[httparse::Header<'_>]) -> io::Result<usize> {
    let value = |name: &str| {
        headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    if value("transfer-encoding").is_some() {
        return Err(invalid("it has a transfer-encoding, which is not understood here"));
    }
    let Some(length) = value("content-length") else {
        return Err(invalid("it has no content-length"));
    };
    let digits = str::from_utf8(length).ok().filter(|text| !text.starts_with('+'));
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|size| *size <= BODY_SIZE_MAX)
        .ok_or_else(|| invalid("its content-length is no length, or too long"))
}

/// The namespace of a layout as a server names it, the usual one if it names none. Epoch and tick
/// may be others: slots stand where they stand.
pub(crate) fn namespace(layout: &str) -> Option<Namespace> {
    if layout.is_empty() {
        return Some(Namespace::DEFAULT);
    }
    let widths = layout.parse::<Widths>().ok()?;
    let usual = Layout::SNOWFLAKE;
    let layout = Layout::new(widths, usual.scale().tick_ms(), usual.epoch_ms()).ok()?;
    Namespace::new(layout, None, None).ok()
}

/// The ID, if the text beside it is the same one, written the one way there is.
fn id_of(kind: Kind, bare: &Bare<'_>, text: &str) -> Option<AnyId> {
    let id = AnyId::read(text, Some(kind), None).ok()?;
    let is_same = match bare {
        Bare::Number(number) => {
            let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
            id.id().is_some_and(|id| id.get() == *number) && text.len() == digits
        }
        Bare::Text(bare) => kind.is_wide() && bare == text,
    };
    is_same.then_some(id)
}

#[cfg(test)]
mod tests {
    use coreflake_protocol::Id;

    use super::*;

    fn reply(status: u16, body: &str) -> Reply<'_> {
        Reply { status, body: body.as_bytes(), size: 0 }
    }

    fn ids(status: u16, body: &str, is_single: bool) -> Result<Vec<u64>, Failure> {
        let mut ids = Vec::new();
        reply(status, body).ids(Kind::Snowflake, is_single, &mut ids)?;
        Ok(ids.into_iter().filter_map(AnyId::id).map(Id::get).collect())
    }

    #[test]
    fn a_reply_is_whole_or_not_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 ";
        for size in 0..41 {
            assert!(matches!(Reply::split(&bytes[..size]), Ok(None)), "{size}");
        }
        for size in 41..bytes.len() {
            let reply = Reply::split(&bytes[..size]).unwrap().unwrap();
            assert_eq!(reply, Reply { status: 200, body: b"abc", size: 41 });
        }
    }

    #[test]
    fn what_is_no_reply_is_refused_with_the_cause() {
        for (bytes, cause) in [
            ("SSH-2.0-OpenSSH\r\n", "invalid"),
            ("HTTP/1.1 200 OK\r\n\r\n", "no content-length"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "transfer-encoding"),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "no length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n", "no length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n", "too long"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", "no length"),
        ] {
            let error = Reply::split(bytes.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes}");
            assert!(error.to_string().contains(cause), "{bytes}: {error}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_SIZE_MAX));
        assert!(Reply::split(endless.as_bytes()).is_err());
    }

    #[test]
    fn ids_are_read_with_their_text() {
        assert_eq!(ids(200, r#"{"id":0,"id_str":"0"}"#, true), Ok(vec![0]));
        let max = r#"{"id":9223372036854775807,"id_str":"9223372036854775807","more":1}"#;
        assert_eq!(ids(200, max, true), Ok(vec![i64::MAX as u64]));
        assert_eq!(ids(200, r#"{"ids":[10,11],"ids_str":["10","11"]}"#, false), Ok(vec![10, 11]));
        assert_eq!(ids(200, r#"{"ids":[],"ids_str":[]}"#, false), Ok(vec![]));
        for body in [
            r#"{"id":5,"id_str":"6"}"#,
            r#"{"id":5,"id_str":"05"}"#,
            r#"{"id":5,"id_str":"+5"}"#,
            r#"{"id":5}"#,
            r#"{"id":-5,"id_str":"-5"}"#,
            r#"{"id":9223372036854775808,"id_str":"9223372036854775808"}"#,
            r#"{"ids":[5],"ids_str":["5"]}"#,
            "",
            "null",
        ] {
            assert_eq!(ids(200, body, true), Err(Failure::InvalidReply), "{body}");
        }
        for body in [
            r#"{"ids":[5,6],"ids_str":["5"]}"#,
            r#"{"ids":[5,6],"ids_str":["5","7"]}"#,
            r#"{"ids":["5"],"ids_str":["5"]}"#,
            r#"{"id":5,"id_str":"5"}"#,
        ] {
            assert_eq!(ids(200, body, false), Err(Failure::InvalidReply), "{body}");
        }
    }

    #[test]
    fn refusals_go_by_their_code_or_else_by_their_status() {
        let draining = r#"{"code":"DRAINING","message":"bye","retry_after_ms":100}"#;
        assert_eq!(ids(503, draining, true).unwrap_err().name(), "DRAINING");
        assert_eq!(ids(503, r#"{"code":"NEWER"}"#, true), Err(Failure::Http(503)));
        assert_eq!(ids(404, "<html>", false), Err(Failure::Http(404)));
        assert_eq!(ids(204, "", false), Err(Failure::Http(204)));
    }

    #[test]
    fn the_health_names_the_slot() {
        let health = r#"{"status":"draining","worker_id":7,"datacenter_id":3,"shards":2}"#;
        let identity = reply(503, health).identity().unwrap();
        assert_eq!((identity.datacenter_id, &identity.worker_ids[..]), (3, &[7][..]));
        for (status, body, part) in [
            (401, r#"{"code":"UNAUTHENTICATED","message":"who?"}"#, "UNAUTHENTICATED (401): who?"),
            (404, "", "404 to /api/v1/health"),
            (200, "{}", "invalid reply"),
        ] {
            let error = reply(status, body).identity().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
