//! What Consul is sent and what it answers, in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::identity::shared::{Stored, Trouble};

/// A key with its value, as Consul has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pair {
    pub(super) key: String,
    /// In base 64; nothing for an empty value, and in the answer to a transaction.
    value: Option<String>,
    pub(super) modify_index: u64,
    session: Option<String>,
}

impl Pair {
    /// The session that holds the key.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref().filter(|session| !session.is_empty())
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// When it is not in base 64, which Consul's always is.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Trouble> {
        let text = self.value.as_deref().unwrap_or_default();
        STANDARD.decode(text).map_err(|_| not_consul(&format!("the value of {}", self.key)))
    }

    /// The value with what is known of it.
    ///
    /// # Errors
    ///
    /// As [`Self::bytes`].
    pub(super) fn stored(&self) -> Result<Stored, Trouble> {
        let fleeting = self.session().is_some();
        Ok(Stored { bytes: self.bytes()?, version: self.modify_index, fleeting })
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Operation {
    #[serde(rename = "KV")]
    kv: KeyOperation,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyOperation {
    verb: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

impl Operation {
    fn new(verb: &'static str, key: &str) -> Self {
        let key = key.to_owned();
        Self { kv: KeyOperation { verb, key, value: None, index: None, session: None } }
    }

    /// Sets a value whose version is `index`. Without a version the key has to be missing: to
    /// Consul that is version 0.
    pub(super) fn set(key: &str, index: Option<u64>, bytes: &[u8]) -> Self {
        let mut operation = Self::new("cas", key);
        operation.kv.index = Some(index.unwrap_or(0));
        operation.kv.value = Some(STANDARD.encode(bytes));
        operation
    }

    /// Deletes a value whose version is `index`.
    pub(super) fn delete_version(key: &str, index: u64) -> Self {
        let mut operation = Self::new("delete-cas", key);
        operation.kv.index = Some(index);
        operation
    }

    /// Deletes a value, whatever it is.
    pub(super) fn delete(key: &str) -> Self {
        Self::new("delete", key)
    }

    /// Fails if there is a value.
    pub(super) fn check_missing(key: &str) -> Self {
        Self::new("check-not-exists", key)
    }

    /// Fails unless the session holds the key.
    pub(super) fn check_session(key: &str, session: &str) -> Self {
        let mut operation = Self::new("check-session", key);
        operation.kv.session = Some(session.to_owned());
        operation
    }

    /// Sets a value that the session holds. It fails if another one holds it, and it does not if
    /// there is a value that nobody holds.
    pub(super) fn lock(key: &str, session: &str, text: &str) -> Self {
        let mut operation = Self::new("lock", key);
        operation.kv.session = Some(session.to_owned());
        operation.kv.value = Some(STANDARD.encode(text));
        operation
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Transacted {
    results: Option<Vec<Outcome>>,
    errors: Option<Vec<Refusal>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Outcome {
    #[serde(rename = "KV")]
    kv: Option<Pair>,
}

/// Why one operation was refused, and with it all.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Refusal {
    /// Its place among the operations.
    pub(super) op_index: usize,
    what: String,
}

impl Refusal {
    /// Whether a token does not allow the operation. Consul gives no other sign of it than words.
    pub(super) fn is_denial(&self) -> bool {
        self.what.contains("Permission denied") || self.what.contains("ACL not found")
    }
}

impl Transacted {
    /// The version that a key has now.
    pub(super) fn version(&self, key: &str) -> Option<u64> {
        let pairs = self.results.iter().flatten().filter_map(|outcome| outcome.kv.as_ref());
        pairs.filter(|pair| pair.key == key).map(|pair| pair.modify_index).next_back()
    }

    /// What was refused.
    pub(super) fn refusals(&self) -> &[Refusal] {
        self.errors.as_deref().unwrap_or_default()
    }
}

/// What is asked for when a session is made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NewSession {
    name: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    behavior: &'static str,
    lock_delay: &'static str,
    /// None: with the usual one the session would end whenever the agent is out of reach of the
    /// others, and a restart of the agent would take the markers away.
    node_checks: [&'static str; 0],
}

impl NewSession {
    pub(super) fn new(ttl_ms: u128) -> Self {
        Self {
            name: "coreflake",
            ttl: format!("{ttl_ms}ms"),
            behavior: "delete",
            lock_delay: "0s",
            node_checks: [],
        }
    }
}

/// A session that was made.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MadeSession {
    #[serde(rename = "ID")]
    pub(super) id: String,
}

impl MadeSession {
    /// Whether the name is one of Consul's: it becomes a part of addresses.
    pub(super) fn is_valid(&self) -> bool {
        self.id.len() == 36 && self.id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    }
}

/// Reads an answer.
///
/// # Errors
///
/// When it is not what Consul answers.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|_| not_consul(what))
}

/// Writes a request.
pub(super) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(value).map_err(|error| Trouble::Unfit(format!("a request: {error}")))
}

/// What is said of an answer that Consul would not give.
pub(super) fn not_consul(what: &str) -> Trouble {
    Trouble::Unfit(format!("{what} is not as Consul 1.8 answers: is it one?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read() {
        let text = br#"[{"LockIndex":1,"Key":"a","Flags":0,"Value":"cjE=","Session":"s",
            "CreateIndex":3,"ModifyIndex":4},{"Key":"b","Value":null,"ModifyIndex":5}]"#;
        let pairs: Vec<Pair> = read(text, "it").unwrap();
        let stored = Stored { bytes: b"r1".to_vec(), version: 4, fleeting: true };
        assert_eq!(pairs[0].stored().unwrap(), stored);
        let stored = Stored { bytes: vec![], version: 5, fleeting: false };
        assert_eq!(pairs[1].stored().unwrap(), stored);
    }

    #[test]
    fn what_is_no_answer_of_consul_is_trouble() {
        for text in ["", "[", "{}", "[{}]", "null", r#"[{"Key":"a","ModifyIndex":-1}]"#] {
            assert!(matches!(read::<Vec<Pair>>(text.as_bytes(), "it"), Err(Trouble::Unfit(_))));
        }
        let deep = "[".repeat(100_000);
        assert!(read::<Vec<Pair>>(deep.as_bytes(), "it").is_err(), "and the stack does not matter");
        let pair: Pair = read(br#"{"Key":"a","Value":"*","ModifyIndex":1}"#, "it").unwrap();
        assert!(matches!(pair.bytes(), Err(Trouble::Unfit(_))));
        assert!(!MadeSession { id: "../../agent/leave".into() }.is_valid());
    }

    #[test]
    fn an_operation_says_what_it_needs_and_no_more() {
        let text = String::from_utf8(write(&[Operation::set("a", None, b"r1")]).unwrap()).unwrap();
        assert_eq!(text, r#"[{"KV":{"Verb":"cas","Key":"a","Value":"cjE=","Index":0}}]"#);
        let text = String::from_utf8(write(&[Operation::check_missing("a")]).unwrap()).unwrap();
        assert_eq!(text, r#"[{"KV":{"Verb":"check-not-exists","Key":"a"}}]"#);
    }
}
