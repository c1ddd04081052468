//! Why nothing was loaded.

use std::{fmt, io};

use crate::batches::{BatchError, parse::ParsedContent};

/// Why nothing was loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Input(io::Error),
    /// The file is no complete dump.
    Dump {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: DumpFault,
    },
    /// The rows have faults.
    Faults(ParsedContent),
    /// The database already holds prices.
    NotEmpty,
    /// The database has no tables yet, or old ones.
    NotMigrated,
    /// PostgreSQL reported an error.
    Database(sqlx::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::Dump { line, fault } => write!(f, "line {line}: {fault}"),
            Self::Faults(content) => {
                let listed = content.faults.len();
                match content.total_faults {
                    1 => f.write_str("the file has a fault"),
                    total if content.stopped => write!(
                        f,
                        "the file has so many faults that it was read only to row {}: {total}; these are the first \
                         {listed}",
                        content.last_row
                    ),
                    total if total > listed as u64 => {
                        write!(f, "the file has {total} faults; these are the first {listed}")
                    }
                    total => write!(f, "the file has {total} faults"),
                }
            }
            Self::NotEmpty => f.write_str(
                "the database already holds prices; use --append to add to them or --replace to replace them",
            ),
            Self::NotMigrated => f.write_str("migrations are pending; run `rates migrate` first"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(error) => Some(error),
            Self::Dump { fault, .. } => Some(fault),
            Self::Database(error) => Some(error),
            Self::Faults(_) | Self::NotEmpty | Self::NotMigrated => None,
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

impl From<sqlx::Error> for LoadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<BatchError> for LoadError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Faults(content) => Self::Faults(content),
            BatchError::Database(error) => Self::Database(error),
            BatchError::Read(error) => Self::Input(error.into()),
            BatchError::NotReplaceable(_) => unreachable!("a load replaces no batch"),
        }
    }
}

/// What is wrong with a line of a dump.
#[derive(Debug, PartialEq, Eq)]
pub enum DumpFault {
    /// The file has no COPY block of the three tables.
    NoBlocks,
    /// The file ends inside a COPY block.
    Incomplete,
    /// A COPY block lacks a column.
    MissingColumn {
        /// Of this table.
        table: &'static str,
        /// The column that is missing.
        column: &'static str,
    },
    /// A row has another number of columns than its block.
    ColumnCount {
        /// Columns of the row.
        row: usize,
        /// Columns of the block.
        block: usize,
    },
    /// A field that needs a text is null.
    Null,
    /// A backslash at the end of a field.
    LoneBackslash,
    /// A text is not UTF-8.
    NotUtf8,
}

impl fmt::Display for DumpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBlocks => f.write_str(
                "the file is neither a plain pg_dump with COPY blocks of regions, ports or prices, \
                 nor CSV with the header orig_code,dest_code,day,price",
            ),
            Self::Incomplete => f.write_str("the file ends inside a COPY block; it is incomplete"),
            Self::MissingColumn { table, column } => {
                write!(f, "the COPY block of {table} has no column {column}")
            }
            Self::ColumnCount { row, block } => {
                write!(f, "the row has {row} columns; its COPY block has {block}")
            }
            Self::Null => f.write_str("a required text is null"),
            Self::LoneBackslash => f.write_str("a field ends with a lone backslash"),
            Self::NotUtf8 => f.write_str("a text is not UTF-8"),
        }
    }
}

impl std::error::Error for DumpFault {}
