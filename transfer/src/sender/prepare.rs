//! A file, read, converted and encrypted; or set aside with the reason.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    remote,
    state::{Change, Record, Stamp, Step},
    watch::nanoseconds,
};
use crate::{fernet::Key, settings::SendSettings, xml};

/// The folder, in that of the files, of those that cannot be sent.
const REJECTED: &str = "rejected";

/// What became of a file.
pub(super) enum Prepared {
    /// It has the content that its record has.
    Unchanged(Stamp, u128),
    /// It is ready to be sent; its record has no name yet.
    Ready(Change),
    /// It cannot be sent, for this reason.
    Rejected(Change, String),
    /// It may not be whole yet, or is gone.
    Later,
}

/// What preparing needs beside the file.
#[derive(Clone)]
pub(super) struct Preparation {
    pub(super) settings: SendSettings,
    pub(super) key: Key,
    /// Whether batches of prices are kept, to be passed on.
    pub(super) keeps_batches: bool,
}

impl Preparation {
    /// Reads a file and does all that comes before sending it. `known` is the hash of the content that needs nothing more.
    pub(super) fn prepare(&self, file: String, known: Option<&str>) -> Prepared {
        let now = SystemTime::now();
        let read = nanoseconds(now);
        let (stamp, content) = match self.read(&file) {
            Ok(Some(found)) => found,
            // Its owner took it back, or writes it just now.
            Ok(None) => return Prepared::Later,
            Err(error) => {
                tracing::warn!(
                    file,
                    error = &error as &dyn std::error::Error,
                    "cannot read the file; trying again"
                );
                return Prepared::Later;
            }
        };
        let hash = super::hash(&content);
        if known == Some(&hash) {
            return Prepared::Unchanged(stamp, read);
        }
        let record = Record { name: String::new(), hash, stamp, read, step: Step::Encrypted };
        let limit = self.settings.file_limit_bytes;
        let token = if stamp.bytes > limit {
            Err(format!("the file is larger than send.file_limit_bytes ({limit})"))
        } else {
            xml::from_json(&content).and_then(|xml| {
                self.key
                    .seal(xml.as_bytes())
                    .map_err(|error| format!("the system gives no random bytes: {error}"))
            })
        };
        match token {
            Ok(token) => {
                let batch = (self.keeps_batches && remote::is_batch(&content)).then_some(content);
                Prepared::Ready(Change { file, record, token: Some(token), batch })
            }
            Err(_) if read.saturating_sub(stamp.modified) < self.patience().as_nanos() => Prepared::Later,
            Err(reason) => {
                let record = Record { step: Step::Rejected, ..record };
                Prepared::Rejected(Change { file, record, token: None, batch: None }, reason)
            }
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs_f64(self.settings.reject_after_seconds)
    }

    /// A whole file of at most the limit, else its beginning; none where it changed meanwhile or is gone.
    fn read(&self, file: &str) -> io::Result<Option<(Stamp, Vec<u8>)>> {
        let mut opened = match File::open(self.settings.input_dir.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let before = Stamp::of(&opened.metadata()?);
        let mut content = Vec::new();
        (&mut opened).take(self.settings.file_limit_bytes + 1).read_to_end(&mut content)?;
        Ok((Stamp::of(&opened.metadata()?) == before).then_some((before, content)))
    }
}

/// Moves a file to the folder `rejected`, and writes the reason beside it.
pub(super) fn set_aside(folder: &Path, file: &str, hash: &str, reason: &str) -> io::Result<()> {
    let rejected = folder.join(REJECTED);
    fs::create_dir_all(&rejected)?;
    let target = match rejected.join(file) {
        // Another content of that name is there.
        taken if taken.exists() => rejected.join(format!("{}.{file}", &hash[..16])),
        free => free,
    };
    fs::write(target.with_added_extension("reason.txt"), format!("{reason}\n"))?;
    fs::rename(folder.join(file), target)
}
