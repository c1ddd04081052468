//! The formats of prices, by media type and by file name.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An array of objects, bare or as the member `prices` of an object.
    Json,
    /// An object per line.
    Ndjson,
    /// Separated by commas, semicolons or tabs, with a header row.
    Csv,
    /// A workbook of Excel or another spreadsheet.
    Xlsx,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Json, Self::Ndjson, Self::Csv, Self::Xlsx];

    /// Its name in the database and the extension of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format of a file by its extension, in any case, and whether `.gz` follows.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<(Self, bool)> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        let unzipped = name.strip_suffix(".gz");
        let (_, extension) = unzipped.unwrap_or(&name).rsplit_once('.')?;
        Some((Self::named(extension)?, unzipped.is_some()))
    }
}
