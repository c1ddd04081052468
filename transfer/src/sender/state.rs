//! What the sender has done, in memory and in a file that survives a kill at any point.

use std::{
    collections::{BTreeMap, HashSet},
    fs::Metadata,
    io,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chassis::{
    Exit, Failure,
    embedded::{EmbeddedFile, FileError},
    exit::OrFail,
};
use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

/// By the name of the file: its record as JSON, and its content until that is delivered.
const FILES: TableDefinition<&str, (&[u8], &[u8])> = TableDefinition::new("files");

const CACHE_BYTES: usize = 16 << 20;

/// What the file system says of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    modified: SystemTime,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self { bytes: metadata.len(), modified: metadata.modified()?.max(UNIX_EPOCH) })
    }

    /// The time since the file was changed; where its clock is ahead of ours, the time until then.
    pub(super) fn age(self) -> Duration {
        self.modified.elapsed().unwrap_or_else(|ahead| ahead.duration())
    }
}

/// How far a file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    #[default]
    Found,
    /// Its content is to be sent.
    Read,
    /// Its prices are to be passed on.
    Received,
    Done,
    /// It is set aside.
    Rejected,
}

/// What is known of a file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its name at the receiver.
    pub(super) name: String,
    /// SHA-256 of the content, in hexadecimal digits; empty if there is none.
    pub(super) hash: String,
    /// That of the file when it was read; none before.
    pub(super) stamp: Option<Stamp>,
    pub(super) step: Step,
    /// How often it was refused in a row since this process started.
    #[serde(skip)]
    pub(super) refusals: u32,
    /// When to try again after a refusal.
    #[serde(skip)]
    pub(super) retry_at: Option<Instant>,
}

impl Record {
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.step, Step::Read | Step::Received)
    }
}

/// See the [module](self).
pub(super) struct State {
    file: EmbeddedFile,
    pub(super) records: BTreeMap<String, Record>,
    /// Names at the receiver that files have.
    names: HashSet<String>,
}

impl State {
    /// Opens the file, or makes it and its folder.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let opened = || {
            let file = EmbeddedFile::open(path, CACHE_BYTES)?;
            file.make_table(FILES)?;
            let records = file.read(|transaction| {
                let mut records = BTreeMap::new();
                for entry in transaction.open_table(FILES)?.iter()? {
                    let (file, content) = entry?;
                    let record = serde_json::from_slice(content.value().0).map_err(io::Error::from)?;
                    records.insert(file.value().to_owned(), record);
                }
                Ok(records)
            })?;
            Ok::<_, FileError>((file, records))
        };
        let (file, records): (_, BTreeMap<String, Record>) = opened().or_fail(Exit::Unavailable, || {
            format!("cannot use the status file {} (another sender may have it)", path.display())
        })?;
        let names = records.values().map(|record| record.name.clone()).collect();
        Ok(Self { file, records, names })
    }

    /// The record of a file. At the receiver it is called what stands before its first dot, unless another file had
    /// that name first. It keeps its name for ever, so that a changed content replaces its own and no other.
    pub(super) fn record(&mut self, file: &str) -> &mut Record {
        self.records.entry(file.to_owned()).or_insert_with(|| {
            let mut name = file.split('.').next().unwrap_or_default().to_owned();
            if !self.names.insert(name.clone()) {
                name = format!("{name}-{}", &super::hash(file.as_bytes())[..16]);
                self.names.insert(name.clone());
            }
            Record { name, ..Record::default() }
        })
    }

    /// The content that is to be delivered.
    pub(super) fn content(&self, file: &str) -> Result<Vec<u8>, Failure> {
        let read = self.file.read(|transaction| {
            let row = transaction.open_table(FILES)?.get(file)?;
            Ok(row.map(|row| row.value().1.to_owned()).unwrap_or_default())
        });
        read.or_fail(Exit::Unavailable, || "cannot read the status file")
    }

    /// Records that a file has got so far, with the content that is still to be delivered. `record` says so once that is
    /// durable.
    pub(super) async fn keep(
        &self,
        file: &str,
        record: &mut Record,
        step: Step,
        content: &[u8],
    ) -> Result<(), Failure> {
        let next = Record { step, ..record.clone() };
        let (file, content) = (file.to_owned(), content.to_owned());
        let json = serde_json::to_vec(&next).expect("a record is JSON");
        let kept = self.file.write(content.len(), move |transaction| {
            transaction.open_table(FILES)?.insert(&*file, (&*json, &*content))?;
            Ok(())
        });
        kept.await.or_fail(Exit::Unavailable, || "cannot write the status file")?;
        *record = next;
        Ok(())
    }
}
