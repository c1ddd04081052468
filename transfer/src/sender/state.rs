//! What the sender has done, in a file that survives a kill at any point.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

/// Records as JSON, by the name of the file.
const FILES: TableDefinition<&str, &[u8]> = TableDefinition::new("files");
/// Tokens that were not sent yet, and batches of prices that were not passed on yet, by the name of the file.
const TOKENS: TableDefinition<&str, &[u8]> = TableDefinition::new("tokens");
const BATCHES: TableDefinition<&str, &[u8]> = TableDefinition::new("batches");

/// How a file looked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    /// In nanoseconds since 1970.
    pub(super) modified: u128,
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Its token is to be sent.
    Encrypted,
    /// Its prices are to be passed on.
    Sent,
    Done,
    /// It is set aside.
    Rejected,
}

/// What is known of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its name at the receiver; empty until it has one.
    pub(super) name: String,
    /// SHA-256 of the content, in hexadecimal digits.
    pub(super) hash: String,
    pub(super) stamp: Stamp,
    /// When it was read, in nanoseconds since 1970.
    pub(super) read: u128,
    pub(super) step: Step,
}

impl Record {
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.step, Step::Encrypted | Step::Sent)
    }
}

/// A record to keep, with what its next step needs.
pub(super) struct Change {
    pub(super) file: String,
    pub(super) record: Record,
    pub(super) token: Option<String>,
    pub(super) batch: Option<Vec<u8>>,
}

/// See the [module](self). Records are in memory as well.
pub(super) struct State {
    database: Database,
    records: BTreeMap<String, Record>,
    /// Which file has a name.
    names: HashMap<String, String>,
}

impl State {
    /// Opens the file, or makes it and its folder.
    pub(super) fn open(path: &Path) -> Result<Self, redb::Error> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        let mut records = BTreeMap::new();
        {
            transaction.open_table(TOKENS)?;
            transaction.open_table(BATCHES)?;
            for entry in transaction.open_table(FILES)?.iter()? {
                let (file, record) = entry?;
                let record: Record = serde_json::from_slice(record.value()).map_err(std::io::Error::from)?;
                records.insert(file.value().to_owned(), record);
            }
        }
        transaction.commit()?;
        let by_name = |(file, record): (&String, &Record)| (record.name.clone(), file.clone());
        let names = records.iter().filter(|(_, record)| !record.name.is_empty()).map(by_name).collect();
        Ok(Self { database, records, names })
    }

    pub(super) fn get(&self, file: &str) -> Option<&Record> {
        self.records.get(file)
    }

    /// Remembers that a file was read again and is as it was. Not kept: the next start may read it once more.
    pub(super) fn touch(&mut self, file: &str, stamp: Stamp, read: u128) {
        if let Some(record) = self.records.get_mut(file) {
            (record.stamp, record.read) = (stamp, read);
        }
    }

    /// How many files are at a step for which this holds.
    pub(super) fn count(&self, is_counted: impl Fn(Step) -> bool) -> usize {
        self.records.values().filter(|record| is_counted(record.step)).count()
    }

    /// Files whose next step needs no more than what is kept here, with their sizes.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&String, u64)> {
        let pending = self.records.iter().filter(|(_, record)| record.is_pending());
        pending.map(|(file, record)| (file, record.stamp.bytes))
    }

    /// The name of a file at the receiver: what stands before its first dot, unless another file had that first. A file
    /// keeps its name for ever, so that a changed content replaces its own and no other.
    pub(super) fn name_for(&mut self, file: &str) -> String {
        if let Some(record) = self.records.get(file).filter(|record| !record.name.is_empty()) {
            return record.name.clone();
        }
        let stem = file.split('.').next().unwrap_or_default();
        let name = match self.names.get(stem) {
            Some(other) if other != file => format!("{stem}-{}", &super::hash(file.as_bytes())[..16]),
            _ => stem.to_owned(),
        };
        self.names.insert(name.clone(), file.to_owned());
        name
    }

    /// Token and batch of a file, where the next step needs them.
    pub(super) fn kept(&self, file: &str) -> Result<(Option<String>, Option<Vec<u8>>), redb::Error> {
        let transaction = self.database.begin_read()?;
        let token = transaction.open_table(TOKENS)?.get(file)?.map(|token| token.value().to_vec());
        let batch = transaction.open_table(BATCHES)?.get(file)?.map(|batch| batch.value().to_vec());
        Ok((token.map(|token| String::from_utf8_lossy(&token).into_owned()), batch))
    }

    /// Keeps the changes, all in one synced transaction.
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<(), redb::Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin_write()?;
        // A start after a kill takes no longer than any other.
        transaction.set_quick_repair(true);
        {
            let mut files = transaction.open_table(FILES)?;
            let mut tokens = transaction.open_table(TOKENS)?;
            let mut batches = transaction.open_table(BATCHES)?;
            for Change { file, record, token, batch } in changes {
                let file = file.as_str();
                files.insert(file, &*serde_json::to_vec(record).map_err(std::io::Error::from)?)?;
                match token {
                    Some(token) if record.step == Step::Encrypted => tokens.insert(file, token.as_bytes())?,
                    _ => tokens.remove(file)?,
                };
                match batch {
                    Some(batch) if record.is_pending() => batches.insert(file, &**batch)?,
                    _ => batches.remove(file)?,
                };
            }
        }
        transaction.commit()?;
        self.records.extend(changes.iter().map(|change| (change.file.clone(), change.record.clone())));
        Ok(())
    }
}
