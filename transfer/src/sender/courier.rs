//! Delivers a file: reads, converts, encrypts and sends it, or sets it aside with the reason.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

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
    state::{Outgoing, Record, Stamp, State, Step},
};
use crate::{
    fernet::Key,
    keys,
    settings::{SendSettings, Settings},
    xml,
};

/// A file that was read this soon after its last change is read once more: the clock of a file system has steps, so a
/// second change within a step would not show.
const CLOCK_STEP: Duration = Duration::from_secs(2);

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

/// What reading a file found.
enum Content {
    /// The content that its record describes.
    Known,
    New(Outgoing),
    /// It cannot be sent, for this reason.
    Bad(String),
}

/// See the [module](self).
pub(super) struct Courier {
    settings: SendSettings,
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
            uploads: settings.receiver.url().parse().or_fail(Exit::Usage, || "receiver.address")?,
            prices,
        })
    }

    /// Does all that a file needs. Fails where the other side or the status file cannot be used.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        state: &State,
        file: &str,
        record: &mut Record,
        is_changed: bool,
    ) -> Result<Outcome, Failure> {
        if is_changed {
            let (courier, name, known) = (Arc::clone(self), file.to_owned(), record.clone());
            let read = tokio::task::spawn_blocking(move || courier.read(&name, known)).await;
            match read.expect("reading does not panic") {
                None if record.is_pending() => {}
                None => return Ok(Outcome::Later),
                Some((next, Content::Known)) => *record = next,
                Some((next, Content::New(outgoing))) => *record = state.keep(file, next, outgoing).await?,
                Some((next, Content::Bad(reason))) => {
                    *record = state.keep(file, next, Outgoing::default()).await?;
                    if let Err(error) = set_aside(&self.settings.input_dir, file, &reason) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(file, error, "cannot move a file that was set aside");
                    }
                    return Ok(Outcome::Rejected(reason));
                }
            }
        }
        if !record.is_pending() {
            return Ok(Outcome::Nothing);
        }
        let Outgoing { token, batch } = state.outgoing(file)?;
        if record.step == Step::Encrypted {
            let (status, body) = self.upload(&record.name, token).await?;
            if !status.is_success() {
                // The key may have been wrong: the file is encrypted again, if it is still there.
                record.hash.clear();
                record.stamp.modified = Duration::ZERO;
                return Ok(refused("the receiver", status, &body));
            }
            let step = if batch.is_empty() { Step::Done } else { Step::Received };
            let left = Outgoing { token: String::new(), batch: batch.clone() };
            *record = state.keep(file, Record { step, ..record.clone() }, left).await?;
        }
        if record.step == Step::Received {
            let Some(prices) = &self.prices else {
                return Ok(Outcome::Refused("prices.url is not set any more".to_owned()));
            };
            let (status, body) = prices.post(&record.hash, batch).await?;
            if may_change(status) {
                return Ok(refused(&prices.url, status, &body));
            }
            self.write_answer(file, status, body);
            let next = Record { step: Step::Done, ..record.clone() };
            *record = state.keep(file, next, Outgoing::default()).await?;
        }
        Ok(Outcome::Sent)
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

    /// Writes the answer to a batch of prices beside its file.
    fn write_answer(&self, file: &str, status: StatusCode, body: String) {
        let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
        let answer = json!({"status": status.as_u16(), "answer": answer});
        let path = self.settings.input_dir.join(format!("{file}.answer"));
        if let Err(error) = fs::write(&path, format!("{answer}\n")) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %path.display(), %answer, error, "cannot write the answer to a batch");
        }
    }

    /// Reads a file and, if its content is new, converts and encrypts it. Returns its next record, or none where the
    /// file cannot be read now: it may not be complete, or its owner took it back.
    fn read(&self, file: &str, mut record: Record) -> Option<(Record, Content)> {
        let (stamp, document) = self.read_whole(file).unwrap_or_else(|error| {
            tracing::warn!(file, error = &error as &dyn std::error::Error, "cannot read; trying again");
            None
        })?;
        let (hash, age) = (hash(&document), stamp.age());
        record.stamp = stamp;
        if age < CLOCK_STEP {
            record.stamp.modified = Duration::ZERO;
        }
        if hash == record.hash {
            return Some((record, Content::Known));
        }
        match self.encrypt(stamp.bytes, &document) {
            Ok(token) => {
                let batch = if self.prices.is_some() && is_batch(&document) { document } else { Vec::new() };
                let record = Record { hash, step: Step::Encrypted, ..record };
                Some((record, Content::New(Outgoing { token, batch })))
            }
            Err(_) if age.as_secs_f64() < self.settings.reject_after_seconds => None,
            Err(reason) => {
                let record = Record { hash: String::new(), step: Step::Rejected, ..record };
                Some((record, Content::Bad(reason)))
            }
        }
    }

    /// The token of a document. The error says why it cannot be sent.
    fn encrypt(&self, file_bytes: u64, document: &[u8]) -> Result<String, String> {
        let limit = self.settings.file_limit_bytes;
        if file_bytes > limit {
            return Err(format!("the file is larger than send.file_limit_bytes ({limit})"));
        }
        let token = self.key.seal(xml::from_json(document)?.as_bytes());
        token.map_err(|error| format!("the system gives no random bytes: {error}"))
    }

    /// The whole content of a file, or its beginning where the file exceeds the limit. None where the file changed
    /// meanwhile or is gone.
    fn read_whole(&self, file: &str) -> io::Result<Option<(Stamp, Vec<u8>)>> {
        let mut opened = match File::open(self.settings.input_dir.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let (before, mut content) = (Stamp::of(&opened.metadata()?), Vec::new());
        (&mut opened).take(self.settings.file_limit_bytes + 1).read_to_end(&mut content)?;
        Ok((Stamp::of(&opened.metadata()?) == before).then_some((before, content)))
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

/// Moves a file to the folder of those that cannot be sent, and writes the reason beside it.
fn set_aside(folder: &Path, file: &str, reason: &str) -> io::Result<()> {
    let rejected = folder.join(REJECTED);
    fs::create_dir_all(&rejected)?;
    let mut target = rejected.join(file);
    if target.exists() {
        target = rejected.join(format!("{:08x}.{file}", fastrand::u32(..)));
    }
    fs::write(target.with_added_extension("reason.txt"), format!("{reason}\n"))?;
    fs::rename(folder.join(file), target)
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
        reqwest::Result::Ok((response.status(), response.text().await?))
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
