//! One request over HTTP, by a client that is not ours and that knows TLS.

use std::time::Duration;

use crate::certificates::Certificates;
use crate::daemon;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks with these arguments; `None` when there is no answer in time.
pub(crate) fn curl(url: &str, timeout: Duration, args: &[&str]) -> Option<Answer> {
    let timeout = timeout.as_secs_f64().to_string();
    let ours = ["--silent", "--noproxy", "*", "--write-out", "\n%{http_code}"];
    let args = [&ours, args, &["--max-time", &timeout, url]].concat();
    let output = daemon::output("curl", &args);
    let said = String::from_utf8(output.stdout).unwrap();
    let (body, status) = said.rsplit_once('\n')?;
    let status = status.parse().ok().filter(|_| output.status.success())?;
    Some(Answer { status, body: body.to_owned() })
}

/// The arguments that show a client's certificate.
pub(crate) fn with_certificate(certificates: &Certificates) -> Vec<String> {
    let file = |flag: &str, path: &std::path::Path| [flag.to_owned(), path.display().to_string()];
    [
        file("--cacert", certificates.ca()),
        file("--cert", certificates.client_cert()),
        file("--key", certificates.client_key()),
    ]
    .concat()
}
