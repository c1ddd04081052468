//! Requests to the receiver and to the rates service.

use std::{fs, path::Path, time::Duration};

use chassis::{
    Exit, Failure,
    exit::{OrFail, chain},
};
use http::StatusCode;
use reqwest::{
    Certificate, Client, RequestBuilder, Url,
    multipart::{Form, Part},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::settings::Settings;

/// Why something was not delivered.
#[derive(Debug)]
pub(super) enum Undelivered {
    /// The other side refused it.
    Refused(String),
    /// There is no other side.
    Unreachable(String),
}

/// Both other sides.
pub(super) struct Remote {
    client: Client,
    uploads: Url,
    prices: Option<Prices>,
}

struct Prices {
    /// Trusts the system's authorities, whatever the receiver's are.
    client: Client,
    url: String,
    key: SecretString,
}

impl Remote {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let uploads: Url = settings.receiver.url().parse().or_fail(Exit::Usage, || "receiver.address")?;
        let timeout = settings.receiver.timeout();
        let prices = match settings.prices.url.trim_end_matches('/') {
            "" => None,
            url => Some(Prices {
                client: client(timeout, Path::new(""))?,
                url: format!("{url}/prices"),
                key: settings.prices.key()?,
            }),
        };
        Ok(Self { client: client(timeout, &settings.receiver.tls_ca_file)?, uploads, prices })
    }

    /// Whether batches of prices are passed on.
    pub(super) fn takes_prices(&self) -> bool {
        self.prices.is_some()
    }

    pub(super) async fn upload(&self, name: &str, token: String) -> Result<(), Undelivered> {
        let mut url = self.uploads.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(name);
        }
        // Flask takes only a part with a file name for a file.
        let form = Form::new().part("file", Part::text(token).file_name(format!("{name}.xml")));
        let (status, body) = send(self.client.post(url).multipart(form)).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(refused("the receiver", status, &body))
    }

    /// Passes a batch of prices on; the answer where it is final.
    pub(super) async fn pass_on(&self, hash: &str, batch: Vec<u8>) -> Result<Value, Undelivered> {
        let Some(Prices { client, url, key }) = &self.prices else {
            return Err(Undelivered::Refused("prices.url is not set any more".to_owned()));
        };
        let request = client.post(url).bearer_auth(key.expose_secret()).header("idempotency-key", hash);
        let (status, body) = send(request.header("content-type", "application/json").body(batch)).await?;
        let is_temporary = status.is_server_error()
            || matches!(status.as_u16(), 401 | 403 | 404 | 408 | 425 | 429)
            || status.is_redirection();
        if is_temporary {
            return Err(refused(url, status, &body));
        }
        let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Ok(json!({"status": status.as_u16(), "answer": answer}))
    }
}

/// Whether a document is a batch of prices: an array of prices, bare or as the member `prices`.
pub(super) fn is_batch(document: &[u8]) -> bool {
    let Ok(document) = serde_json::from_slice::<Value>(document) else { return false };
    let first = document.get("prices").unwrap_or(&document).get(0);
    first.is_some_and(|row| {
        ["orig_code", "dest_code", "day", "price"].iter().all(|field| row.get(field).is_some())
    })
}

async fn send(request: RequestBuilder) -> Result<(StatusCode, String), Undelivered> {
    let answer = async {
        let response = request.send().await?;
        Ok((response.status(), response.text().await?))
    };
    answer.await.map_err(|error: reqwest::Error| Undelivered::Unreachable(chain(&error)))
}

fn refused(who: &str, status: StatusCode, body: &str) -> Undelivered {
    Undelivered::Refused(format!("{who} answered {status}: {}", body.chars().take(500).collect::<String>()))
}

fn client(timeout: Duration, authorities: &Path) -> Result<Client, Failure> {
    // A second provider in one process (tests) keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder().timeout(timeout);
    if !authorities.as_os_str().is_empty() {
        let unusable = || format!("cannot use receiver.tls_ca_file {}", authorities.display());
        let pem = fs::read(authorities).or_fail(Exit::Usage, unusable)?;
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem).or_fail(Exit::Usage, unusable)?);
    }
    builder.build().or_fail(Exit::Unavailable, || "cannot make requests")
}
