//! The `[logs]` section. Meanings and defaults stand in `defaults.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Fault;

/// Log files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFileSettings {
    /// The folder of the log files; empty: none are written.
    pub folder: PathBuf,
    /// A file is rolled before a line would make it larger than this.
    pub max_bytes: usize,
    /// How many rolled files are kept.
    pub backup_count: usize,
}

impl LogFileSettings {
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.max_bytes == 0 {
            faults.push(("logs.max_bytes", "must be above 0".to_owned()));
        }
        if !(1..=1000).contains(&self.backup_count) {
            faults.push(("logs.backup_count", "must be from 1 to 1000".to_owned()));
        }
        faults
    }
}
