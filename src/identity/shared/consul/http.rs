//! One question to Consul: which of its addresses is asked, and for how long.

use core::error::Error;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use super::tls;
use crate::identity::StoreError;
use crate::identity::shared::{Endpoint, Secret, StoreSettings, Trouble};
use crate::limits::{CONSUL_ANSWER_SIZE_MAX, CONSUL_EXCERPT_LEN, CONSUL_IDLE_TIMEOUT};

type Connector = TimeoutConnector<HttpsConnector<HttpConnector>>;

/// A store's addresses, and the connections to them.
#[derive(Debug)]
pub(super) struct Http {
    endpoints: Vec<Endpoint>,
    /// Which of them is asked first: the last one that has answered.
    current: AtomicUsize,
    client: Client<Connector, Full<Bytes>>,
    token: Option<(HeaderValue, Secret)>,
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    /// Path and query, from the slash on.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// Whether it may be asked twice. What may not goes to a second address only when it is known
    /// that the first one has not got it.
    pub(super) repeatable: bool,
}

/// What was answered: 200, 404 or 409. Everything else is trouble.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Whether it bears the mark of the key-value store. What stands before Consul may answer 404
    /// as well, and that must not look like a store with nothing in it.
    pub(super) is_of_store: bool,
    pub(super) body: Bytes,
}

/// Why one address gave no answer.
enum Failure {
    /// It has not got the question.
    Unsent(String),
    /// It may have got it.
    Unanswered(String),
    /// No other address would do better.
    Trouble(Trouble),
}

impl Http {
    pub(super) fn new(settings: &StoreSettings) -> Result<Self, StoreError> {
        for endpoint in &settings.endpoints {
            if endpoint.scheme.is_none() {
                return Err(StoreError(format!(
                    "{endpoint}: Consul is reached by http://{endpoint} or https://{endpoint}"
                )));
            }
            let text = endpoint.to_string();
            text.parse::<Uri>().map_err(|error| StoreError(format!("{text}: {error}")))?;
        }
        let count = settings.endpoints.len();
        if count == 0 {
            return Err(StoreError("no address of Consul is given".to_owned()));
        }
        let token = settings.credentials.token.as_ref().map(|secret| {
            let mut value = HeaderValue::from_str(secret.reveal()).map_err(|_| {
                StoreError("the token of Consul has characters that no header may have".to_owned())
            })?;
            value.set_sensitive(true);
            Ok((value, secret.clone()))
        });
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::config(settings)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let mut connector = TimeoutConnector::new(https);
        // With the name and TLS. A write that finds one address dead has time for the others.
        connector.set_connect_timeout(Some(share(settings.timeout, count)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(CONSUL_IDLE_TIMEOUT)
            .build(connector);
        let endpoints = settings.endpoints.clone();
        Ok(Self { endpoints, current: AtomicUsize::new(0), client, token: token.transpose()? })
    }

    /// Asks one address after the other, until `deadline`.
    ///
    /// # Errors
    ///
    /// [`Trouble::Away`] when none answers, or when a question that is not repeatable may have
    /// arrived; [`Trouble::Denied`] and [`Trouble::Unfit`] by the first answer that says so.
    pub(super) async fn ask(
        &self,
        question: &Question,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let count = self.endpoints.len();
        let first = self.current.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for turn in 0..count {
            let index = (first + turn) % count;
            let endpoint = &self.endpoints[index];
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = match question.repeatable {
                true => Instant::now() + share(left, count - turn),
                false => deadline,
            };
            let answer = timeout_at(limit, self.ask_one(endpoint, question)).await;
            let (text, is_sent) = match answer {
                Ok(Ok(answer)) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(Failure::Trouble(trouble))) => return Err(trouble),
                Ok(Err(Failure::Unsent(text))) => (text, false),
                Ok(Err(Failure::Unanswered(text))) => (text, true),
                Err(_) => ("no answer in time".to_owned(), true),
            };
            self.current.store((index + 1) % count, Ordering::Relaxed);
            failures.push(format!("{endpoint}: {text}"));
            if is_sent && !question.repeatable {
                break;
            }
        }
        Err(Trouble::Away(failures.join("; ")))
    }

    async fn ask_one(&self, endpoint: &Endpoint, question: &Question) -> Result<Answer, Failure> {
        let request = self.request(endpoint, question)?;
        let response = self.client.request(request).await.map_err(|error| {
            let text = chain(&error);
            if error.is_connect() { Failure::Unsent(text) } else { Failure::Unanswered(text) }
        })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, CONSUL_ANSWER_SIZE_MAX).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::Trouble(Trouble::Unfit(format!(
                "{endpoint}: an answer has more than {CONSUL_ANSWER_SIZE_MAX} bytes"
            ))),
            false => Failure::Unanswered(chain(error.as_ref())),
        })?;
        let body = body.to_bytes();
        let status = parts.status;
        match status {
            StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                let is_of_store = parts.headers.contains_key("x-consul-index");
                Ok(Answer { status, is_of_store, body })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Trouble(denied())),
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::Unanswered(self.excerpt(status, &body))),
            _ if status.is_server_error() => Err(Failure::Unanswered(self.excerpt(status, &body))),
            _ => {
                let text = format!("{endpoint}: {}", self.excerpt(status, &body));
                Err(Failure::Trouble(Trouble::Unfit(text)))
            }
        }
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        question: &Question,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(format!("{endpoint}{}", question.path));
        if let Some((token, _)) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let body = Full::new(Bytes::from(question.body.clone()));
        request.body(body).map_err(|error| {
            Failure::Trouble(Trouble::Unfit(format!("{endpoint}{}: {error}", question.path)))
        })
    }

    /// A status with the beginning of what was said about it, without the token.
    fn excerpt(&self, status: StatusCode, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        if let Some((_, secret)) = &self.token {
            text = text.replace(secret.reveal(), "(secret)");
        }
        text.retain(|c| !c.is_control());
        let said: String = text.chars().take(CONSUL_EXCERPT_LEN).collect();
        format!("{status}: {said}")
    }
}

/// What is said when a token does not do.
pub(super) fn denied() -> Trouble {
    Trouble::Denied(
        "Consul does not accept the token, or it does not allow this: keys below the prefix and \
         sessions have to be allowed"
            .to_owned(),
    )
}

/// A key as a part of an address.
pub(super) fn escape(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// One of `count` equal parts.
fn share(time: Duration, count: usize) -> Duration {
    time / u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// An error with what is behind it. hyper's own texts say little.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_escaped() {
        assert_eq!(escape("ids/dc0/worker5"), "ids/dc0/worker5");
        assert_eq!(escape("a b?%#ä"), "a%20b%3F%25%23%C3%A4");
    }
}
