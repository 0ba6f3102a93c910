//! One endpoint: how a connection to it is made, and what has to be in order before it is used.

use std::sync::Arc;

use coreflake_etcd::etcdserverpb::auth_client::AuthClient;
use coreflake_etcd::etcdserverpb::kv_client::KvClient;
use coreflake_etcd::etcdserverpb::lease_client::LeaseClient;
use coreflake_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use coreflake_etcd::etcdserverpb::{AuthenticateRequest, StatusRequest};
use tokio::sync::Mutex;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use super::{reason, version};
use crate::identity::StoreError;
use crate::identity::shared::{Credentials, Endpoint, Secret, TlsSettings, Trouble};
use crate::limits::{ETCD_ANSWER_SIZE_MAX, ETCD_PING_INTERVAL, ETCD_PING_TIMEOUT};

/// The field that has the token.
const TOKEN: &str = "token";

/// The field by which a member that knows of no leader says so at once, instead of waiting for one.
const NEEDS_LEADER: &str = "hasleader";

/// Who this node is to etcd: a user that has a password.
#[derive(Clone, Debug)]
pub(super) struct User {
    name: String,
    password: Secret,
}

/// An endpoint, and the connection to it if there is one.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    endpoint: tonic::transport::Endpoint,
    line: Mutex<Option<Arc<Line>>>,
}

/// A connection that can be used: its server is fit, and knows who we are.
#[derive(Debug)]
pub(super) struct Line {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl User {
    pub(super) fn new(credentials: &Credentials) -> Result<Option<Self>, StoreError> {
        let problem = |text: &str| Err(StoreError(text.to_owned()));
        if credentials.token.is_some() {
            return problem("etcd takes a username and a password, and no token");
        }
        match (&credentials.username, &credentials.password) {
            (None, None) => Ok(None),
            (Some(name), Some(password)) => {
                Ok(Some(Self { name: name.clone(), password: password.clone() }))
            }
            (Some(_), None) => problem("etcd: the username needs a password"),
            (None, Some(_)) => problem("etcd: the password needs a username"),
        }
    }
}

impl Member {
    /// Reads the certificates; does not connect.
    pub(super) fn new(endpoint: &Endpoint, tls: &TlsSettings) -> Result<Self, StoreError> {
        let name = endpoint.to_string();
        let problem = |text: &str| StoreError(format!("etcd at {name}: {text}"));
        if endpoint.scheme.is_none() {
            return Err(problem("the address has to begin with http:// or https://"));
        }
        let of = |error: tonic::transport::Error| problem(&reason::words(&error));
        let mut built = tonic::transport::Endpoint::from_shared(name.clone()).map_err(of)?;
        if endpoint.is_https() {
            built = built.tls_config(tls_config(tls).map_err(problem)?).map_err(of)?;
        }
        // A dead connection is noticed by the call that gets no answer, and by these. etcd closes
        // a connection that is asked while no call is under way, or more often than every 5 s.
        let built = built
            .http2_keep_alive_interval(ETCD_PING_INTERVAL)
            .keep_alive_timeout(ETCD_PING_TIMEOUT)
            .keep_alive_while_idle(false)
            .tcp_keepalive(Some(ETCD_PING_INTERVAL));
        Ok(Self { name, endpoint: built, line: Mutex::new(None) })
    }

    /// What it is called in texts.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The connection, made now if there is none. Whatever fails here, no call has been sent.
    pub(super) async fn line(&self, user: Option<&User>) -> Result<Arc<Line>, Trouble> {
        let mut place = self.line.lock().await;
        if let Some(line) = &*place {
            return Ok(line.clone());
        }
        let channel = self.endpoint.connect().await.map_err(|error| {
            Trouble::Away(format!("etcd at {}: {}", self.name, reason::words(&error)))
        })?;
        let token = self.authenticate(&channel, user).await?;
        let line = Arc::new(Line { channel, token });
        self.check(&line).await?;
        *place = Some(line.clone());
        Ok(line)
    }

    /// The same connection with another token, in the place of `stale`.
    pub(super) async fn renew(
        &self,
        stale: &Arc<Line>,
        user: Option<&User>,
    ) -> Result<Arc<Line>, Trouble> {
        let mut place = self.line.lock().await;
        match &*place {
            // Another call has done it meanwhile.
            Some(line) if !Arc::ptr_eq(line, stale) => return Ok(line.clone()),
            _ => {}
        }
        let channel = stale.channel.clone();
        let token = self.authenticate(&channel, user).await?;
        let line = Arc::new(Line { channel, token });
        *place = Some(line.clone());
        Ok(line)
    }

    /// Uses `line` no more.
    pub(super) fn hang_up(&self, line: &Arc<Line>) {
        // Whoever has the lock at the moment is making a new one.
        if let Ok(mut place) = self.line.try_lock()
            && place.as_ref().is_some_and(|current| Arc::ptr_eq(current, line))
        {
            *place = None;
        }
    }

    async fn authenticate(
        &self,
        channel: &Channel,
        user: Option<&User>,
    ) -> Result<Option<MetadataValue<Ascii>>, Trouble> {
        let Some(user) = user else { return Ok(None) };
        let password = user.password.reveal().to_owned();
        let request = AuthenticateRequest { name: user.name.clone(), password };
        let mut client = AuthClient::new(channel.clone());
        match client.authenticate(needs_leader(request)).await {
            Ok(answer) => {
                let token = answer.into_inner().token;
                let mut token = MetadataValue::try_from(token).map_err(|_| {
                    Trouble::Away(format!("etcd at {}: its token cannot be sent", self.name))
                })?;
                token.set_sensitive(true);
                Ok(Some(token))
            }
            Err(status) if reason::is_without_auth(&status) => {
                tracing::warn!(
                    endpoint = self.name,
                    "etcd asks nobody who they are: username and password are not used"
                );
                Ok(None)
            }
            Err(status) => Err(reason::trouble(&self.name, &status)),
        }
    }

    /// Asks the server for its version, and whether it can do anything at all.
    async fn check(&self, line: &Line) -> Result<(), Trouble> {
        let mut client = MaintenanceClient::new(line.channel.clone());
        let status = match client.status(line.request(StatusRequest {})).await {
            Ok(status) => status.into_inner(),
            Err(status) => match reason::trouble(&self.name, &status) {
                Trouble::Denied(reason) => {
                    tracing::warn!(reason, "the version of etcd could not be checked");
                    return Ok(());
                }
                trouble => return Err(trouble),
            },
        };
        version::check(&status.version)
            .map_err(|text| Trouble::Unfit(format!("etcd at {}: it {text}", self.name)))?;
        if status.leader == 0 {
            return Err(Trouble::Away(format!("etcd at {}: it has no leader", self.name)));
        }
        Ok(())
    }
}

impl Line {
    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(ETCD_ANSWER_SIZE_MAX)
    }

    pub(super) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    /// The message with the fields that every call has.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = needs_leader(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        request
    }
}

fn needs_leader<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(NEEDS_LEADER, MetadataValue::from_static("true"));
    request
}

fn tls_config(tls: &TlsSettings) -> Result<ClientTlsConfig, &'static str> {
    // A file without any would pass for one that trusts nobody.
    let has_certificate = |pem: &[u8]| {
        let begin = b"-----BEGIN CERTIFICATE-----";
        pem.windows(begin.len()).any(|window| window == begin)
    };
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca {
        Some(ca) if !has_certificate(ca) => return Err("there is no certificate in the CA's PEM"),
        Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
        None => config.with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        if !has_certificate(certificate) {
            return Err("there is no certificate in this node's PEM");
        }
        config = config.identity(Identity::from_pem(certificate, key.reveal()));
    }
    Ok(config)
}
