//! `rates push`.

mod error;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use chassis::{
    Exit, Failure, print,
    problem::{FieldError, ProblemBody},
    progress,
};
use clap::Args;
use http::{StatusCode, header};
use indicatif::ProgressBar;
use reqwest::{Body, Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{fs::File, time};

use crate::{
    batches::{parse::Format, sql::BatchState},
    commands::faults,
    settings::Settings,
};
use error::PushError;

/// How often to poll the progress of a batch.
const POLL: Duration = Duration::from_millis(500);

/// The arguments of `rates push`.
#[derive(Args)]
pub struct Options {
    /// The file: .csv, .xlsx, .json or .ndjson, plain or with .gz at its end
    file: PathBuf,
    /// The server, such as `https://rates.example.com`
    #[arg(long, value_parser = parse_server)]
    url: Url,
    /// The name of this batch, under which it is stored once [default: the SHA-256 of the file]
    #[arg(long)]
    idempotency_key: Option<String>,
    /// The number of a batch that this file corrects: its prices are replaced by the new ones in one step
    #[arg(long, value_name = "BATCH")]
    replace: Option<i64>,
    /// Only check the file; nothing is stored
    #[arg(long)]
    dry_run: bool,
    /// How often to try while the server cannot be reached or is busy
    #[arg(long, default_value_t = 5)]
    attempts: u32,
}

pub(super) async fn push(settings: &Settings, options: &Options) -> Result<Exit, Failure> {
    let push = Push::new(&settings.push.key, options)?;
    let mut attempt = 1;
    loop {
        match push.send_and_follow().await {
            Ok((batch, is_repeated)) => return Ok(push.report(&batch, is_repeated)),
            Err(error) if error.may_pass() && attempt < options.attempts => {
                let wait = error.retry_after().unwrap_or(Duration::from_secs(1 << attempt.min(5)));
                attempt += 1;
                eprintln!(
                    "rates: {error}; attempt {attempt} of {} in {} s",
                    options.attempts,
                    wait.as_secs()
                );
                time::sleep(wait).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A file and everything needed to send it.
struct Push<'a> {
    options: &'a Options,
    key: &'a SecretString,
    format: Format,
    gzip: bool,
    idempotency_key: String,
    client: Client,
}

/// Shows which phase a batch is in; erased when it is dropped.
struct Phase {
    bar: ProgressBar,
    state: Option<BatchState>,
}

impl Phase {
    fn new() -> Self {
        Self { bar: ProgressBar::hidden(), state: None }
    }

    /// Shows the phase of this batch; false if it has ended.
    fn show(&mut self, batch: &BatchReport) -> bool {
        if self.state != Some(batch.state) {
            self.bar.finish_and_clear();
            self.state = Some(batch.state);
            self.bar = match batch.state {
                BatchState::Queued => progress::spinner("sent and queued"),
                BatchState::Checking => progress::bytes(batch.content_bytes, "checking"),
                BatchState::Storing => progress::spinner("storing"),
                _ => return false,
            };
        }
        if batch.state == BatchState::Checking {
            self.bar.set_position(batch.checked_bytes);
        }
        true
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A batch in the server's answer.
#[derive(Deserialize)]
struct BatchReport {
    id: i64,
    state: BatchState,
    rows: u64,
    prices: Option<u64>,
    days: Option<u64>,
    lanes: Option<u64>,
    content_bytes: u64,
    checked_bytes: u64,
    warnings: Vec<FieldError>,
    total_warnings: usize,
    problem: Option<Box<ProblemBody>>,
}

impl<'a> Push<'a> {
    fn new(key: &'a SecretString, options: &'a Options) -> Result<Self, PushError> {
        chassis::use_ring();
        if key.expose_secret().is_empty() {
            return Err(PushError::NoKey);
        }
        let file = &options.file;
        let (format, gzip) = Format::of_file(file).ok_or_else(|| PushError::UnknownFormat(file.clone()))?;
        let idempotency_key = match &options.idempotency_key {
            Some(name) => name.clone(),
            None => sha256(file).map_err(|error| PushError::File(file.clone(), error))?,
        };
        let client =
            Client::builder().connect_timeout(Duration::from_secs(10)).build().map_err(PushError::Client)?;
        Ok(Self { options, key, format, gzip, idempotency_key, client })
    }

    /// Sends the file and waits until the batch is done; returns whether it was sent before.
    async fn send_and_follow(&self) -> Result<(BatchReport, bool), PushError> {
        let response = self.send().await?;
        let is_repeated = response.status() == StatusCode::OK;
        let mut batch = self.read_batch(response).await?;
        let mut phase = Phase::new();
        while phase.show(&batch) {
            time::sleep(POLL).await;
            let request = self.client.get(self.url(&format!("/batches/{}", batch.id)));
            let response = request.bearer_auth(self.key.expose_secret()).send().await;
            batch = self.read_batch(response.map_err(PushError::Lost)?).await?;
        }
        drop(phase);
        match batch.state {
            BatchState::Failed => Err(batch.problem.map_or(PushError::Failed(batch.id), PushError::Rejected)),
            BatchState::Withdrawn => Err(PushError::Withdrawn(batch.id, self.command_again(batch.id))),
            _ => Ok((batch, is_repeated)),
        }
    }

    /// The command that stores the file once more after this batch was withdrawn.
    fn command_again(&self, batch: i64) -> String {
        let Options { file, url, replace, .. } = self.options;
        let replace = replace.map(|batch| format!(" --replace {batch}")).unwrap_or_default();
        format!("rates push {} --url {url}{replace} --idempotency-key again-after-{batch}", file.display())
    }

    async fn send(&self) -> Result<Response, PushError> {
        let unreadable = |error| PushError::File(self.options.file.clone(), error);
        let file = File::open(&self.options.file).await.map_err(unreadable)?;
        let length = file.metadata().await.map_err(unreadable)?.len();
        let bar = progress::bytes(length, "sending");
        let response = self.request(file, length, &bar).send().await;
        bar.finish_and_clear();
        response.map_err(|error| match error {
            error if error.is_builder() => PushError::Client(error),
            error if error.is_connect() => PushError::Unreachable(self.options.url.clone(), error),
            error => PushError::Lost(error),
        })
    }

    fn request(&self, file: File, length: u64, bar: &ProgressBar) -> reqwest::RequestBuilder {
        let next = if self.options.dry_run { "checking" } else { "sent" };
        let pieces = progress::file_pieces(file, bar, next);
        let mut url = self.url("/prices");
        if let Some(batch) = self.options.replace {
            url.query_pairs_mut().append_pair("replaces", &batch.to_string());
        }
        if self.options.dry_run {
            url.query_pairs_mut().append_pair("dry_run", "true");
        }
        let mut request = self
            .client
            .post(url)
            .bearer_auth(self.key.expose_secret())
            .header(header::CONTENT_TYPE, self.format.media_type())
            .header(header::CONTENT_LENGTH, length)
            .header("idempotency-key", &self.idempotency_key)
            .body(Body::wrap_stream(pieces));
        if self.gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        // The server tells how far a batch is only while it processes it in the background.
        request.header("prefer", "respond-async")
    }

    /// The batch in an answer; any other answer is an error.
    async fn read_batch(&self, response: Response) -> Result<BatchReport, PushError> {
        let status = response.status();
        let wait =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || status.is_server_error()
        {
            return Err(PushError::Busy(status, wait.map(Duration::from_secs)));
        }
        let body = response.bytes().await.map_err(PushError::Lost)?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|_| PushError::OtherServer(self.options.url.clone(), status));
        }
        match serde_json::from_slice::<Box<ProblemBody>>(&body) {
            Ok(problem) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(PushError::KeyRejected(problem))
            }
            // Every rates server takes POST /prices.
            Ok(problem)
                if self.options.replace.is_some()
                    || !matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) =>
            {
                Err(PushError::Rejected(problem))
            }
            _ => Err(PushError::OtherServer(self.options.url.clone(), status)),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.options.url.clone();
        url.set_path(path);
        url
    }

    fn report(&self, batch: &BatchReport, is_repeated: bool) -> Exit {
        let BatchReport { id, state, rows, prices, days, lanes, warnings, total_warnings, .. } = batch;
        let extent = format!(
            "{}, {}, {}, {}",
            counted(*rows, "row"),
            counted(prices.unwrap_or_default(), "price"),
            counted(days.unwrap_or_default(), "day"),
            counted(lanes.unwrap_or_default(), "lane")
        );
        let warned = match total_warnings {
            0 => String::new(),
            total if *total > warnings.len() => {
                format!("\n{total} warnings, of which these are the first:{}", faults::lines(warnings))
            }
            total => format!("\n{}:{}", counted(*total as u64, "warning"), faults::lines(warnings)),
        };
        if *state == BatchState::Checked {
            return print(&format!("The file has no fault ({extent}); nothing was stored.{warned}\n"));
        }
        let replaced =
            self.options.replace.map(|old| format!(" in place of batch {old}")).unwrap_or_default();
        let result = if is_repeated {
            format!("Batch {id} was sent before and is stored ({extent}); nothing was stored twice.")
        } else {
            format!("Batch {id} is stored{replaced} ({extent}).")
        };
        let url = self.url(&format!("/batches/{id}"));
        print(&format!(
            "{result}{warned}\nTo withdraw it: curl -X DELETE -H \"Authorization: Bearer $RATES_KEY\" {url}\n"
        ))
    }
}

fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Rejects an address without `http://` or `https://`: the parser reads `localhost:3000` as the scheme `localhost`.
fn parse_server(text: &str) -> Result<Url, String> {
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => {
            let address = text.split_once("://").map_or(text, |(_, address)| address);
            let scheme = if address.starts_with("localhost") { "http" } else { "https" };
            Err(format!("it must begin with http:// or https://; did you mean {scheme}://{address}?"))
        }
    }
}

fn sha256(file: &Path) -> io::Result<String> {
    let mut file = fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_a_scheme_and_is_told_which() {
        assert_eq!(parse_server("https://rates.example.com").unwrap().as_str(), "https://rates.example.com/");
        for (wrong, right) in [
            ("localhost:3622", "http://localhost:3622"),
            ("rates.example.com", "https://rates.example.com"),
            ("ftp://rates.example.com", "https://rates.example.com"),
        ] {
            let message = parse_server(wrong).unwrap_err();
            assert!(message.contains(&format!("did you mean {right}?")), "{message}");
        }
    }
}
