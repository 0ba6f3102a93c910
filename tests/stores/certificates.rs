//! An authority for one test, and what it signs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::Scratch;
use crate::daemon::run;

/// A server's certificate says that it is a client as well: etcd and Consul show it when they ask
/// themselves.
const CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

/// Files in PEM. They go away with the value.
pub(crate) struct Certificates {
    ca: PathBuf,
    server_cert: PathBuf,
    server_key: PathBuf,
    client_cert: PathBuf,
    client_key: PathBuf,
    _scratch: Scratch,
}

impl Certificates {
    /// Each call makes another authority, which knows nothing of the others.
    #[track_caller]
    pub(crate) fn make(name: &str) -> Self {
        let scratch = Scratch::new(&format!("certificates-{name}"));
        scratch.file("config", 0o600, CONFIG.as_bytes());
        let (ca, ca_key) = sign(scratch.path(), "ca", &[]);
        let by = ["-CA", text(&ca), "-CAkey", text(&ca_key)];
        let (server_cert, server_key) = sign(scratch.path(), "server", &by);
        let (client_cert, client_key) = sign(scratch.path(), "client", &by);
        Self { ca, server_cert, server_key, client_cert, client_key, _scratch: scratch }
    }

    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    pub(crate) fn server_cert(&self) -> &Path {
        &self.server_cert
    }

    pub(crate) fn server_key(&self) -> &Path {
        &self.server_key
    }

    pub(crate) fn client_cert(&self) -> &Path {
        &self.client_cert
    }

    pub(crate) fn client_key(&self) -> &Path {
        &self.client_key
    }
}

/// A certificate and its key, by itself or by an authority.
#[track_caller]
fn sign(folder: &Path, role: &str, by: &[&str]) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join(format!("{role}.pem")), folder.join(format!("{role}.key")));
    let (config, subject) = (folder.join("config"), format!("/CN=coreflake-{role}"));
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
    let what = ["-config", text(&config), "-extensions", role, "-subj", &subject, "-days", "2"];
    let files = ["-keyout", text(&key), "-out", text(&cert)];
    run("openssl", &[&["req", "-x509"], &curve[..], &what, &files, by].concat());
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    (cert, key)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
