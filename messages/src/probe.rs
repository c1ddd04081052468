//! `messages check` and `messages clean`: requests to a server from outside.

use std::{error::Error, fs, io, path::PathBuf, time::Duration};

use chassis::{Exit, Failure, exit::OrFail};
use clap::Args;
use reqwest::{Certificate, Client, RequestBuilder};
use rustls::CertificateError;
use serde_json::{Value, json};

use crate::digest::Digest;

/// Probes are these texts and no others, so that `clean` finds what a check that died left behind.
const PROBES: u16 = 256;

/// The time limit of each request.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server that gets the requests.
#[derive(Args)]
pub struct Server {
    /// Its URL
    #[arg(long, default_value = "https://localhost:5000")]
    url: String,
    /// PEM file of a certificate to trust besides the system's, for example certs/localhost.crt
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

/// The messages to delete, and their server.
#[derive(Args)]
pub struct CleanOptions {
    #[command(flatten)]
    server: Server,
    /// Digests of the messages to delete
    #[arg(value_name = "DIGEST", required_unless_present = "all_probes", value_parser = digest)]
    digests: Vec<String>,
    /// Delete every message that `messages check` may have left
    #[arg(long)]
    all_probes: bool,
}

fn digest(text: &str) -> Result<String, String> {
    let digest = Digest::parse(text).ok_or("a digest is 64 lower-case hexadecimal digits")?;
    Ok(digest.to_string())
}

fn probe(number: u16) -> String {
    format!("messages probe {number}")
}

/// Stores a probe, reads it and deletes it.
pub(crate) async fn check(server: &Server) -> Result<Exit, Failure> {
    let client = server.client()?;
    let text = probe(fastrand::u16(..PROBES));
    let digest = Digest::of(text.as_bytes()).to_string();
    let message = server.at(&format!("/messages/{digest}"));
    let post = client.post(server.at("/messages")).json(&json!({"message": text}));
    // 200 if a check that died left the same probe.
    server.expect("storing", post, &[201, 200], &json!({"digest": digest})).await?;
    server.expect("reading", client.get(&message), &[200], &json!({"message": text})).await?;
    server.expect("deleting", client.delete(&message), &[200], &json!({"message_deleted": digest})).await?;
    Ok(Exit::Success)
}

/// Deletes messages, and prints how many were there.
pub(crate) async fn clean(options: &CleanOptions) -> Result<Exit, Failure> {
    let CleanOptions { server, digests, all_probes } = options;
    let client = server.client()?;
    let probes = (0..if *all_probes { PROBES } else { 0 })
        .map(|number| Digest::of(probe(number).as_bytes()).to_string());
    let mut deleted = 0_usize;
    for digest in digests.iter().cloned().chain(probes) {
        let (status, _) = server.send(client.delete(server.at(&format!("/messages/{digest}")))).await?;
        match status {
            200 => deleted += 1,
            404 => {}
            status => return Err(wrong(format!("deleting {digest} was answered {status}"))),
        }
    }
    Ok(chassis::print(&format!("deleted {deleted}\n")))
}

fn wrong(text: String) -> Failure {
    Failure::new(Exit::Failure, text)
}

impl Server {
    fn client(&self) -> Result<Client, Failure> {
        chassis::use_ring();
        let mut builder = Client::builder().timeout(PATIENCE);
        if let Some(path) = &self.cacert {
            let unusable = || format!("cannot use {}", path.display());
            let pem = fs::read(path).or_fail(Exit::Usage, unusable)?;
            let certificates = Certificate::from_pem_bundle(&pem).or_fail(Exit::Usage, unusable)?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().or_fail(Exit::Unavailable, || "cannot make requests")
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// Status and body of the answer.
    async fn send(&self, request: RequestBuilder) -> Result<(u16, String), Failure> {
        let answer = async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        };
        answer.await.map_err(|error: reqwest::Error| {
            let what = match fault_of_certificate(&error) {
                None => {
                    let what = format!("no answer from {}", self.url);
                    return Failure::caused_by(Exit::Unavailable, what, error.without_url());
                }
                Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => "has expired",
                Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
                    "is for another host"
                }
                Some(_) => {
                    "is not trusted; name it, or that of its authority, with --cacert FILE (or the variable \
                     SSL_CERT_FILE)"
                }
            };
            Failure::new(Exit::Unavailable, format!("the certificate of {} {what}", self.url))
        })
    }

    async fn expect(
        &self,
        doing: &str,
        request: RequestBuilder,
        statuses: &[u16],
        body: &Value,
    ) -> Result<(), Failure> {
        let (status, text) = self.send(request).await?;
        let answered: Option<Value> = serde_json::from_str(&text).ok();
        if statuses.contains(&status) && answered.as_ref() == Some(body) {
            return Ok(());
        }
        let shown: String = text.chars().take(500).collect();
        Err(wrong(format!("{doing} a probe was answered {status} {shown}; expected {statuses:?} {body}")))
    }
}

/// What is wrong with the server's certificate, if a request failed because of it.
fn fault_of_certificate<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
        return Some(fault);
    }
    // `source` of an I/O error skips the error inside it, so that one is taken by `get_ref`.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match inner {
        Some(inner) => fault_of_certificate(inner),
        None => fault_of_certificate(error.source()?),
    }
}
