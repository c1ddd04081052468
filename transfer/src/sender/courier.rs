//! What is done for a file: it is read, converted, encrypted, kept and sent; or set aside with the reason.

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
    state::{Record, Stamp, State, Step},
};
use crate::{
    fernet::Key,
    receiver::read_keys,
    settings::{SendSettings, Settings},
    xml,
};

/// A file that was read this soon after it changed is read once more: file systems tell time in steps, which may hide a
/// second change.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// The folder, in that of the files, of those that cannot be sent.
const REJECTED: &str = "rejected";

/// What became of a file.
pub(super) enum Outcome {
    /// It needed nothing.
    Nothing,
    /// It may not be whole yet, or is gone.
    Later,
    Sent,
    /// It was set aside, for this reason.
    Rejected(String),
    /// The other side refused it, for this reason.
    Refused(String),
}

/// See the [module](self).
pub(super) struct Courier {
    reader: Arc<Reader>,
    client: Client,
    uploads: Url,
    /// Where batches of prices are passed on to, and the key there. Its client trusts the system's authorities, whatever the
    /// receiver's are.
    prices: Option<(Client, String, SecretString)>,
}

/// Reads files of the folder.
struct Reader {
    settings: SendSettings,
    key: Key,
    /// Whether batches of prices are kept, to be passed on.
    keeps_batches: bool,
}

/// What a file was found to have in it.
enum Content {
    /// What its record says.
    Same,
    /// A token to send, and a batch of prices to pass on (empty: none), with the hash of the file.
    New(String, String, Vec<u8>),
    /// Nothing that can be sent, for this reason.
    Bad(String),
}

impl Courier {
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let timeout = settings.receiver.timeout();
        let prices = match settings.prices.url.trim_end_matches('/') {
            "" => None,
            url => Some((client(timeout, Path::new(""))?, format!("{url}/prices"), settings.prices.key()?)),
        };
        let reader = Reader {
            key: read_keys(&settings.send.key_file)?.remove(0),
            keeps_batches: prices.is_some(),
            settings: settings.send.clone(),
        };
        Ok(Self {
            reader: Arc::new(reader),
            client: client(timeout, &settings.receiver.tls_ca_file)?,
            uploads: settings.receiver.url().parse().or_fail(Exit::Usage, || "receiver.address")?,
            prices,
        })
    }

    /// Does all that a file needs, and notes it. Fails where the other side or the status file cannot be used.
    pub(super) async fn deliver(
        &self,
        state: &State,
        file: &str,
        record: &mut Record,
        is_changed: bool,
    ) -> Result<Outcome, Failure> {
        if is_changed {
            let (reader, name, known) = (Arc::clone(&self.reader), file.to_owned(), record.hash.clone());
            let read = tokio::task::spawn_blocking(move || reader.read(&name, &known)).await;
            match read.expect("reading does not panic") {
                None if record.is_pending() => {}
                None => return Ok(Outcome::Later),
                Some((stamp, Content::Same)) => record.stamp = stamp,
                Some((stamp, Content::New(hash, token, batch))) => {
                    let next = Record { hash, stamp, step: Step::Encrypted, ..record.clone() };
                    state.keep(file, &next, token, batch).await?;
                    *record = next;
                }
                Some((stamp, Content::Bad(reason))) => {
                    let next = Record { hash: String::new(), stamp, step: Step::Rejected, ..record.clone() };
                    state.keep(file, &next, String::new(), Vec::new()).await?;
                    *record = next;
                    if let Err(error) = set_aside(&self.reader.settings.input_dir, file, &reason) {
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
        let (token, batch) = state.content(file)?;
        if record.step == Step::Encrypted {
            if let Err(reason) = self.upload(&record.name, token).await? {
                // The key may have been wrong: the file is encrypted again, if it is still there.
                record.hash.clear();
                record.stamp.modified = Duration::ZERO;
                return Ok(Outcome::Refused(reason));
            }
            let step = if batch.is_empty() { Step::Done } else { Step::Received };
            state.keep(file, &Record { step, ..record.clone() }, String::new(), batch.clone()).await?;
            record.step = step;
        }
        if record.step == Step::Received {
            let answer = match self.pass_on(&record.hash, batch).await? {
                Ok(answer) => answer,
                Err(reason) => return Ok(Outcome::Refused(reason)),
            };
            let path = self.reader.settings.input_dir.join(format!("{file}.answer"));
            if let Err(error) = fs::write(&path, format!("{answer}\n")) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %path.display(), %answer, error, "cannot write the answer to a batch");
            }
            let next = Record { step: Step::Done, ..record.clone() };
            state.keep(file, &next, String::new(), Vec::new()).await?;
            record.step = Step::Done;
        }
        Ok(Outcome::Sent)
    }

    /// The inner error says why the receiver refused the token.
    async fn upload(&self, name: &str, token: String) -> Result<Result<(), String>, Failure> {
        let mut url = self.uploads.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(name);
        }
        // Flask takes only a part with a file name for a file.
        let form = Form::new().part("file", Part::text(token).file_name(format!("{name}.xml")));
        let (status, body) = send(self.client.post(url).multipart(form), "the receiver").await?;
        Ok(if status.is_success() { Ok(()) } else { Err(refused("the receiver", status, &body)) })
    }

    /// The answer to a batch of prices, where it is final; the inner error says why it is not.
    async fn pass_on(&self, hash: &str, batch: Vec<u8>) -> Result<Result<Value, String>, Failure> {
        let Some((client, url, key)) = &self.prices else {
            return Ok(Err("prices.url is not set any more".to_owned()));
        };
        let request = client.post(url).bearer_auth(key.expose_secret()).header("idempotency-key", hash);
        let request = request.header("content-type", "application/json").body(batch);
        let (status, body) = send(request, url).await?;
        if !status.is_success() && !status.is_client_error()
            || matches!(status.as_u16(), 401 | 403 | 404 | 408 | 425 | 429)
        {
            return Ok(Err(refused(url, status, &body)));
        }
        let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Ok(Ok(json!({"status": status.as_u16(), "answer": answer})))
    }
}

impl Reader {
    /// Reads, converts and encrypts a file, unless its content has the hash that is known. None where it cannot be read now:
    /// it may not be whole, or its owner took it back.
    fn read(&self, file: &str, known: &str) -> Option<(Stamp, Content)> {
        let (mut stamp, document) = self.read_whole(file).unwrap_or_else(|error| {
            tracing::warn!(file, error = &error as &dyn std::error::Error, "cannot read; trying again");
            None
        })?;
        let (hash, limit, age) = (hash(&document), self.settings.file_limit_bytes, stamp.age());
        if age < CLOCK_STEP {
            stamp.modified = Duration::ZERO;
        }
        let token = if stamp.bytes > limit {
            Err(format!("the file is larger than send.file_limit_bytes ({limit})"))
        } else if hash == known {
            return Some((stamp, Content::Same));
        } else {
            xml::from_json(&document).and_then(|xml| {
                let token = self.key.seal(xml.as_bytes());
                token.map_err(|error| format!("the system gives no random bytes: {error}"))
            })
        };
        match token {
            Ok(token) => {
                let batch = if self.keeps_batches && is_batch(&document) { document } else { Vec::new() };
                Some((stamp, Content::New(hash, token, batch)))
            }
            Err(_) if age.as_secs_f64() < self.settings.reject_after_seconds => None,
            Err(reason) => Some((stamp, Content::Bad(reason))),
        }
    }

    /// A whole file of at most the limit, else its beginning; none where it changed meanwhile or is gone.
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

fn refused(who: &str, status: StatusCode, body: &str) -> String {
    format!("{who} answered {status}: {}", body.chars().take(500).collect::<String>())
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
