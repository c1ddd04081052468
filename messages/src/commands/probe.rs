//! `messages check` and `messages clean`: what asks a server from outside.

use std::{fs, path::PathBuf, time::Duration};

use chassis::Exit;
use clap::Args;
use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};

use crate::digest::Digest;

/// Probes are these texts and no others, so that what a check that died left behind can be found without a list.
const PROBES: u16 = 256;

/// Each request has this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server that is asked.
#[derive(Args)]
pub(super) struct Server {
    /// Where it is
    #[arg(long, default_value = "https://localhost:5000")]
    url: String,
    /// PEM file of a certificate to trust besides the system's, for example certs/localhost.crt
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

/// What is deleted, and where.
#[derive(Args)]
pub(super) struct CleanOptions {
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

/// What went wrong, and how the process ends for it.
struct Failed(Exit, String);

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        Self(Exit::Unavailable, text)
    }
}

fn wrong(text: impl Into<String>) -> Failed {
    Failed(Exit::Failure, text.into())
}

pub(super) async fn check(server: &Server) -> Exit {
    end(run_check(server).await)
}

pub(super) async fn clean(options: &CleanOptions) -> Exit {
    end(run_clean(options).await)
}

fn end(result: Result<(), Failed>) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(Failed(exit, text)) => {
            eprintln!("messages: {text}");
            exit
        }
    }
}

impl Server {
    fn client(&self) -> Result<Client, Failed> {
        // A second provider in one process (tests) keeps the first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().timeout(PATIENCE);
        if let Some(path) = &self.cacert {
            let unusable = |error: &dyn std::fmt::Display| {
                Failed(Exit::Usage, format!("cannot use {}: {error}", path.display()))
            };
            let pem = fs::read(path).map_err(|error| unusable(&error))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| unusable(&error))? {
                builder = builder.tls_certs_merge([certificate]);
            }
        }
        Ok(builder.build()?)
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }
}

async fn run_check(server: &Server) -> Result<(), Failed> {
    let client = server.client()?;
    let text = probe(fastrand::u16(..PROBES));
    let digest = Digest::of(text.as_bytes()).to_string();
    let message = server.at(&format!("/messages/{digest}"));
    // 200 where a check that died left the same probe.
    let stored = client.post(server.at("/messages")).json(&json!({"message": text})).send().await?;
    expect("storing", stored, &[201, 200], &json!({"digest": digest})).await?;
    let read = client.get(&message).send().await?;
    expect("reading", read, &[200], &json!({"message": text})).await?;
    let deleted = client.delete(&message).send().await?;
    expect("deleting", deleted, &[200], &json!({"message_deleted": digest})).await
}

async fn expect(doing: &str, response: Response, statuses: &[u16], body: &Value) -> Result<(), Failed> {
    let status = response.status().as_u16();
    let text = response.text().await?;
    let answered: Option<Value> = serde_json::from_str(&text).ok();
    if statuses.contains(&status) && answered.as_ref() == Some(body) {
        return Ok(());
    }
    let shown: String = text.chars().take(500).collect();
    Err(wrong(format!("{doing} a probe was answered {status} {shown}; expected {statuses:?} {body}")))
}

async fn run_clean(options: &CleanOptions) -> Result<(), Failed> {
    let client = options.server.client()?;
    let probes = (0..if options.all_probes { PROBES } else { 0 })
        .map(|number| Digest::of(probe(number).as_bytes()).to_string());
    let mut deleted = 0_usize;
    for digest in options.digests.iter().cloned().chain(probes) {
        let response = client.delete(options.server.at(&format!("/messages/{digest}"))).send().await?;
        match response.status().as_u16() {
            200 => deleted += 1,
            404 => {}
            status => return Err(wrong(format!("deleting {digest} was answered {status}"))),
        }
    }
    println!("deleted {deleted}");
    Ok(())
}
