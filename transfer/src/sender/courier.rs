//! Delivers a file: reads, converts, encrypts and sends it, or sets it aside with the reason.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use chassis::{Exit, Failure, exit::OrFail};
use http::StatusCode;
use reqwest::{
    Certificate, Client, RequestBuilder, Url,
    multipart::{Form, Part},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    hash,
    state::{Record, Stamp, State, Step},
};
use crate::{
    fernet::Key,
    keys,
    settings::{SendSettings, Settings},
    xml,
};

/// The folder for files that cannot be sent, inside the input folder.
const REJECTED: &str = "rejected";

/// What became of a file.
pub(super) enum Outcome {
    /// There was nothing to do.
    Nothing,
    /// It may not be complete yet, or is gone.
    Later,
    Sent,
    /// It was set aside, for this reason.
    Rejected(String),
    /// The other side refused it, for this reason.
    Refused(String),
}

/// See the [module](self).
pub(super) struct Courier {
    pub(super) settings: SendSettings,
    key: Key,
    client: Client,
    uploads: Url,
    /// Where batches of prices are passed on to.
    prices: Option<Prices>,
}

/// A rates service. Its client trusts the system's authorities, whichever the receiver's are.
struct Prices {
    client: Client,
    url: String,
    key: SecretString,
}

impl Courier {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let timeout = Duration::from_secs_f64(settings.receiver.timeout_seconds);
        let prices = match settings.prices.url.trim_end_matches('/') {
            "" => None,
            url => Some(Prices {
                client: client(timeout, Path::new(""))?,
                url: format!("{url}/prices"),
                key: settings.prices.key()?,
            }),
        };
        Ok(Self {
            settings: settings.send.clone(),
            key: keys::read(&settings.send.key_file)?.remove(0),
            client: client(timeout, &settings.receiver.tls_ca_file)?,
            uploads: settings.receiver.url().or_fail(Exit::Usage, || "receiver.address")?,
            prices,
        })
    }

    /// Does what is left to do for a file, and records each step. Fails where the other side or the status file cannot
    /// be used.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        state: &State,
        file: &str,
        record: &mut Record,
        is_changed: bool,
    ) -> Result<Outcome, Failure> {
        if is_changed {
            let (name, known) = (file.to_owned(), record.clone());
            match self.in_background(move |courier| courier.read(&name, known)).await {
                None if !record.is_pending() => return Ok(Outcome::Later),
                None => {}
                // What was set aside is set aside again, should it come again.
                Some((next, _)) if next.hash == record.hash && record.step != Step::Rejected => {
                    *record = next;
                }
                Some((mut next, content)) => {
                    state.keep(file, &mut next, Step::Read, &content).await?;
                    *record = next;
                }
            }
        }
        match record.step {
            Step::Read => self.convert_and_send(state, file, record).await,
            Step::Received => self.pass_on(state, file, record).await,
            Step::Found | Step::Done | Step::Rejected => Ok(Outcome::Nothing),
        }
    }

    async fn convert_and_send(
        self: &Arc<Self>,
        state: &State,
        file: &str,
        record: &mut Record,
    ) -> Result<Outcome, Failure> {
        let content = Bytes::from(state.content(file)?);
        let shared = content.clone();
        let encrypted = self.in_background(move |courier| courier.encrypt(&shared)).await;
        let patience = Duration::from_secs_f64(self.settings.reject_after_seconds);
        let (token, is_batch) = match encrypted {
            Ok(encrypted) => encrypted,
            Err(_) if record.stamp.is_some_and(|stamp| stamp.age() < patience) => return Ok(Outcome::Later),
            Err(reason) => return self.reject(state, file, record, reason).await,
        };
        let bytes = token.len();
        let (status, body) = self.upload(&record.name, token).await?;
        // The same content would be too large again.
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let reason = format!(
                "the encrypted file of {bytes} bytes is too large for the receiver, which answered {status}: raise \
                 its server.body_limit_bytes and the limit of a proxy before it, then drop the file again"
            );
            return self.reject(state, file, record, reason).await;
        }
        if !status.is_success() {
            return Ok(refused("the receiver", status, &body));
        }
        if is_batch {
            state.keep(file, record, Step::Received, &content).await?;
            return self.pass_on(state, file, record).await;
        }
        state.keep(file, record, Step::Done, &[]).await?;
        Ok(Outcome::Sent)
    }

    /// Sets a file aside, and records that.
    async fn reject(
        &self,
        state: &State,
        file: &str,
        record: &mut Record,
        reason: String,
    ) -> Result<Outcome, Failure> {
        if self.set_aside(file, &reason) {
            // A file that is moved back is new, even with the same content and time.
            record.stamp = None;
        }
        state.keep(file, record, Step::Rejected, &[]).await?;
        Ok(Outcome::Rejected(reason))
    }

    async fn pass_on(&self, state: &State, file: &str, record: &mut Record) -> Result<Outcome, Failure> {
        let Some(prices) = &self.prices else {
            return Ok(Outcome::Refused("prices.url is not set any more".to_owned()));
        };
        let (status, body) = prices.post(&record.hash, state.content(file)?).await?;
        if may_change(status) {
            return Ok(refused(&prices.url, status, &body));
        }
        self.write_answer(file, status, body);
        state.keep(file, record, Step::Done, &[]).await?;
        Ok(Outcome::Sent)
    }

    /// Does work that blocks or takes the processor.
    async fn in_background<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let courier = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&courier)).await.expect("the work does not panic")
    }

    /// The record and the content of a file; the content is empty where it is larger than the limit. None where the
    /// file cannot be read now: it may not be complete, or its owner took it back.
    fn read(&self, file: &str, record: Record) -> Option<(Record, Vec<u8>)> {
        let read = || {
            let mut opened = File::open(self.settings.input_dir.join(file))?;
            let (stamp, mut content) = (Stamp::of(&opened.metadata()?)?, Vec::new());
            let limit = u64::from(self.settings.file_limit_bytes);
            if stamp.bytes <= limit {
                (&mut opened).take(limit).read_to_end(&mut content)?;
            }
            io::Result::Ok((Stamp::of(&opened.metadata()?)? == stamp).then_some((stamp, content)))
        };
        let (stamp, content) = read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file, error = &error as &dyn Error, "cannot read; trying again");
            }
            None
        })?;
        Some((Record { hash: hash(&content), stamp: Some(stamp), ..record }, content))
    }

    /// The token of a content, and whether that is to be passed on as a batch of prices. The error says why it cannot be
    /// sent.
    fn encrypt(&self, content: &[u8]) -> Result<(String, bool), String> {
        if content.is_empty() {
            let limit = self.settings.file_limit_bytes;
            return Err(format!("the file is empty, or larger than send.file_limit_bytes ({limit})"));
        }
        let token = self.key.seal(xml::from_json(content)?.as_bytes());
        Ok((token, self.prices.is_some() && is_batch(content)))
    }

    async fn upload(&self, name: &str, token: String) -> Result<(StatusCode, String), Failure> {
        let mut url = self.uploads.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(name);
        }
        // Flask takes only a part with a file name for a file.
        let form = Form::new().part("file", Part::text(token).file_name(format!("{name}.xml")));
        send(self.client.post(url).multipart(form), "the receiver").await
    }

    /// Moves a file to the folder of those that cannot be sent, and writes the reason beside it. Returns whether it is
    /// gone from the input folder.
    fn set_aside(&self, file: &str, reason: &str) -> bool {
        let (source, rejected) = (self.settings.input_dir.join(file), self.settings.input_dir.join(REJECTED));
        let mut target = rejected.join(file);
        if target.exists() {
            target = rejected.join(format!("{:08x}.{file}", fastrand::u32(..)));
        }
        let move_with_reason = || {
            fs::create_dir_all(&rejected)?;
            fs::write(target.with_added_extension("reason.txt"), format!("{reason}\n"))?;
            fs::rename(&source, &target)
        };
        // It may be gone: its owner took it back, or it was moved just before a kill.
        if source.exists()
            && let Err(error) = move_with_reason()
        {
            tracing::warn!(file, error = &error as &dyn Error, "cannot move a file that was set aside");
            return false;
        }
        true
    }

    /// Writes the answer to a batch of prices beside its file.
    fn write_answer(&self, file: &str, status: StatusCode, body: String) {
        let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
        let answer = json!({"status": status.as_u16(), "answer": answer});
        let path = self.settings.input_dir.join(format!("{file}.answer"));
        if let Err(error) = fs::write(&path, format!("{answer}\n")) {
            let error = &error as &dyn Error;
            tracing::warn!(path = %path.display(), %answer, error, "cannot write the answer to a batch");
        }
    }
}

impl Prices {
    async fn post(&self, hash: &str, batch: Vec<u8>) -> Result<(StatusCode, String), Failure> {
        let request = self.client.post(&self.url).bearer_auth(self.key.expose_secret());
        let request = request.header("idempotency-key", hash).header("content-type", "application/json");
        send(request.body(batch), &self.url).await
    }
}

/// Whether the answer to the same batch may be another one later.
fn may_change(status: StatusCode) -> bool {
    !status.is_success() && !status.is_client_error()
        || matches!(status.as_u16(), 401 | 403 | 404 | 408 | 425 | 429)
}

/// Whether a document is a batch of prices: an array of prices, bare or as the member `prices`.
fn is_batch(document: &[u8]) -> bool {
    let Ok(document) = serde_json::from_slice::<Value>(document) else { return false };
    let first = document.get("prices").unwrap_or(&document).get(0);
    let fields = ["orig_code", "dest_code", "day", "price"];
    first.is_some_and(|row| fields.iter().all(|field| row.get(field).is_some()))
}

async fn send(request: RequestBuilder, to: &str) -> Result<(StatusCode, String), Failure> {
    let answer = async {
        let response = request.send().await?;
        let status = response.status();
        match response.text().await {
            // Who refuses an upload by its length may close the connection while it is still being sent.
            Err(_) if status == StatusCode::PAYLOAD_TOO_LARGE => Ok((status, String::new())),
            text => reqwest::Result::Ok((status, text?)),
        }
    };
    answer.await.or_fail(Exit::Unavailable, || format!("{to} cannot be reached"))
}

fn refused(who: &str, status: StatusCode, body: &str) -> Outcome {
    Outcome::Refused(format!("{who} answered {status}: {}", body.chars().take(500).collect::<String>()))
}

fn client(timeout: Duration, authorities: &Path) -> Result<Client, Failure> {
    chassis::use_ring();
    let mut builder = Client::builder().timeout(timeout);
    if !authorities.as_os_str().is_empty() {
        let unusable = || format!("cannot use receiver.tls_ca_file {}", authorities.display());
        let pem = fs::read(authorities).or_fail(Exit::Usage, unusable)?;
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem).or_fail(Exit::Usage, unusable)?);
    }
    builder.build().or_fail(Exit::Unavailable, || "cannot make requests")
}
