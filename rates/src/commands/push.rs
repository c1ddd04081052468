//! `rates push`.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use chassis::Exit;
use clap::Args;
use futures_util::StreamExt;
use http::{StatusCode, header};
use reqwest::{Body, Client, Response, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time;
use tokio_util::io::ReaderStream;

use crate::{batches::parse::Format, load::progress, settings::Settings};

/// What to send where.
#[derive(Args)]
pub(super) struct Options {
    /// The file: .csv, .json or .ndjson, plain or with .gz at its end
    file: PathBuf,
    /// The server, such as `https://rates.example.com`
    #[arg(long)]
    url: Url,
    /// The name of this batch; without it, the file's SHA-256
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Let the server put the prices in by and by, and wait for it: for files that take long
    #[arg(long = "async")]
    respond_async: bool,
    /// How often to try while the server cannot be reached or is busy
    #[arg(long, default_value_t = 5)]
    attempts: u32,
}

/// Why another attempt may help, and when.
struct Later {
    exit: Exit,
    why: String,
    wait: Option<Duration>,
}

pub(super) async fn push(settings: &Settings, options: &Options) -> Exit {
    // A second provider in one process keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some((format, gzip)) = format_of(&options.file) else {
        eprintln!("rates: {} is none of .csv, .json, .ndjson (or those with .gz)", options.file.display());
        return Exit::Usage;
    };
    let key = match &options.idempotency_key {
        Some(key) => key.clone(),
        None => match sha256(&options.file) {
            Ok(sha256) => sha256,
            Err(error) => {
                eprintln!("rates: cannot read {}: {error}", options.file.display());
                return Exit::NoInput;
            }
        },
    };
    let client = match Client::builder().connect_timeout(Duration::from_secs(10)).build() {
        Ok(client) => client,
        Err(error) => {
            eprintln!("rates: {}", chain(&error));
            return Exit::Failure;
        }
    };
    let mut attempt = 1;
    loop {
        let outcome = async {
            let sent = send(&client, settings, options, format, gzip, &key).await?;
            finish(&client, settings, options, sent).await
        };
        match outcome.await {
            Ok(exit) => return exit,
            Err(later) if attempt < options.attempts => {
                let wait = later.wait.unwrap_or(Duration::from_secs(1 << attempt.min(5)));
                eprintln!("rates: {}; attempt {} in {} s", later.why, attempt + 1, wait.as_secs());
                attempt += 1;
                time::sleep(wait).await;
            }
            Err(later) => {
                eprintln!("rates: {}; the same command goes on where this one stopped", later.why);
                return later.exit;
            }
        }
    }
}

fn format_of(file: &Path) -> Option<(Format, bool)> {
    let name = file.file_name()?.to_str()?;
    let plain = name.strip_suffix(".gz");
    let (_, extension) = plain.unwrap_or(name).rsplit_once('.')?;
    Some((Format::named(extension)?, plain.is_some()))
}

fn sha256(file: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

async fn send(
    client: &Client,
    settings: &Settings,
    options: &Options,
    format: Format,
    gzip: bool,
    key: &str,
) -> Result<Result<Response, Exit>, Later> {
    let opened = async {
        let file = tokio::fs::File::open(&options.file).await?;
        let length = file.metadata().await?.len();
        io::Result::Ok((file, length))
    };
    let (file, length) = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("rates: cannot read {}: {error}", options.file.display());
            return Ok(Err(Exit::NoInput));
        }
    };
    let bar = progress::bytes(length, "sending");
    let pieces = ReaderStream::with_capacity(file, 1 << 16).inspect({
        let bar = bar.clone();
        move |piece: &io::Result<Bytes>| bar.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64))
    });
    let mut url = options.url.clone();
    url.set_path("/prices");
    let mut request = client
        .post(url)
        .bearer_auth(settings.push.key.expose_secret())
        .header(header::CONTENT_TYPE, format.media_type())
        .header(header::CONTENT_LENGTH, length)
        .header("idempotency-key", key)
        .body(Body::wrap_stream(pieces));
    if gzip {
        request = request.header(header::CONTENT_ENCODING, "gzip");
    }
    if options.respond_async {
        request = request.header("prefer", "respond-async");
    }
    let response = request.send().await.map_err(|error| Later {
        exit: Exit::Unavailable,
        why: format!("cannot reach {}: {}", options.url, chain(&error)),
        wait: None,
    });
    bar.finish_and_clear();
    response.map(Ok)
}

/// What the server said; a batch that waits is followed to its end.
async fn finish(
    client: &Client,
    settings: &Settings,
    options: &Options,
    sent: Result<Response, Exit>,
) -> Result<Exit, Later> {
    let mut response = match sent {
        Ok(response) => response,
        Err(exit) => return Ok(exit),
    };
    let spinner = progress::count("rows read");
    loop {
        let status = response.status();
        let wait =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body: Value = response.json().await.unwrap_or_default();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS) || status.is_server_error() {
            return Err(Later {
                exit: Exit::Temporary,
                why: format!("the server answers {status}"),
                wait: wait.map(Duration::from_secs),
            });
        }
        if !status.is_success() {
            spinner.finish_and_clear();
            explain(&body, status);
            let keys = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            return Ok(if keys { Exit::Usage } else { Exit::Data });
        }
        spinner.set_position(body["rows"].as_u64().unwrap_or(0));
        match body["state"].as_str() {
            Some("queued" | "processing") => {}
            Some("done") => {
                spinner.finish_and_clear();
                tracing::info!(
                    batch = body["id"].as_u64(),
                    rows = body["rows"].as_u64(),
                    before = status == StatusCode::OK && !options.respond_async,
                    "the prices are in"
                );
                return Ok(Exit::Success);
            }
            Some("failed") => {
                spinner.finish_and_clear();
                explain(&body["problem"], status);
                return Ok(Exit::Data);
            }
            other => {
                spinner.finish_and_clear();
                eprintln!("rates: batch {} is {}", body["id"], other.unwrap_or("of no known state"));
                return Ok(Exit::Data);
            }
        }
        time::sleep(Duration::from_secs(1)).await;
        let mut url = options.url.clone();
        url.set_path(&format!("/batches/{}", body["id"]));
        response =
            client.get(url).bearer_auth(settings.push.key.expose_secret()).send().await.map_err(|error| {
                Later {
                    exit: Exit::Temporary,
                    why: format!("lost {}: {}", options.url, chain(&error)),
                    wait: None,
                }
            })?;
    }
}

/// Prints a problem with each fault it names.
fn explain(problem: &Value, status: StatusCode) {
    eprintln!("rates: {}", problem["detail"].as_str().unwrap_or(status.as_str()));
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let row = fault["row"].as_u64().map(|row| format!("row {row}, ")).unwrap_or_default();
        let field = fault["field"].as_str().unwrap_or_default();
        eprintln!("rates:   {row}{field}: {}", fault["detail"].as_str().unwrap_or_default());
    }
}

/// An error with its causes: reqwest's own text names none.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
