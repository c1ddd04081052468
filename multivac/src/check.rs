//! `multivac check`: a probe from outside.

use std::{fs, path::PathBuf, time::Duration};

use chassis::{Exit, Failure, exit::OrFail};
use clap::Args;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// The time limit of each request.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is asked whether the probe is stored.
const POLL: Duration = Duration::from_millis(100);

/// The server that gets the probe.
#[derive(Args)]
pub struct CheckOptions {
    /// Its URL
    #[arg(long, default_value = "http://localhost:5000")]
    url: String,
    /// A file with NAME:PASSWORD, if the server has users
    #[arg(long, value_name = "FILE")]
    user_file: Option<PathBuf>,
    /// How long the worker may take, in seconds
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

/// Posts a probe, waits until it is stored, and deletes it in any case, stored or still queued.
pub(crate) async fn check(options: &CheckOptions) -> Result<Exit, Failure> {
    chassis::use_ring();
    let client =
        Client::builder().timeout(PATIENCE).build().or_fail(Exit::Failure, || "cannot make requests")?;
    let user = options.user_file.as_ref().map(fs::read_to_string).transpose();
    let user = user.or_fail(Exit::Usage, || "cannot read the file of --user-file")?.unwrap_or_default();
    let server = Server { client, url: options.url.trim_end_matches('/'), user: user.trim_end() };
    let text = format!("multivac check {:016x}", fastrand::u64(..));
    let (_, location) = server.send(Method::POST, "/multivac/data", &json!({"data": text}), &[200]).await?;
    let stored = async {
        loop {
            match server.send(Method::GET, &location, &Value::Null, &[200, 404]).await? {
                (StatusCode::OK, read) if read == text => return Ok(()),
                (StatusCode::OK, read) => {
                    return Err(wrong(format!("the probe {text:?} was read as {read:?}")));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    };
    let late = || wrong(format!("the probe is not stored after {} s: does a worker run?", options.timeout));
    let stored = tokio::time::timeout(Duration::from_secs(options.timeout), stored).await;
    let deleted = server.send(Method::DELETE, &location, &Value::Null, &[200]).await;
    stored.map_err(|_| late())??;
    deleted?;
    server.send(Method::GET, &location, &Value::Null, &[404]).await?;
    Ok(Exit::Success)
}

struct Server<'a> {
    client: Client,
    url: &'a str,
    user: &'a str,
}

impl Server<'_> {
    /// The answer, if it has one of these statuses: its `Location`, or else its body.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        statuses: &[u16],
    ) -> Result<(StatusCode, String), Failure> {
        let doing = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some((name, password)) = self.user.split_once(':') {
            request = request.basic_auth(name, Some(password));
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.map_err(reqwest::Error::without_url);
        let response = response.or_fail(Exit::Unavailable, || format!("no answer from {}", self.url))?;
        let status = response.status();
        let location =
            response.headers().get("location").and_then(|path| path.to_str().ok()).map(str::to_owned);
        let text = response.text().await.or_fail(Exit::Unavailable, || "the answer was cut off")?;
        if !statuses.contains(&status.as_u16()) {
            let shown: String = text.chars().take(500).collect();
            return Err(wrong(format!("{doing} was answered {status} {shown}; expected {statuses:?}")));
        }
        Ok((status, location.unwrap_or(text)))
    }
}

fn wrong(text: String) -> Failure {
    Failure::new(Exit::Failure, text)
}
