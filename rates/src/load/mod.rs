//! Loading files: a plain `pg_dump`, or prices as CSV, gzipped or not. All rows go in, or none.

mod dump;
mod prices_csv;
pub mod progress;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
    time::Instant,
};

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use sqlx::{Connection, PgConnection, postgres::PgCopyIn};

use crate::{
    database,
    sql::{self, places::PortRow, places::RegionRow},
};

/// What to do with prices that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Refuse.
    IntoEmpty,
    /// Keep them.
    Append,
    /// Take their place in one step.
    Replace,
}

/// What went in.
#[derive(Debug, PartialEq)]
pub struct Loaded {
    /// Regions in the file.
    pub regions: usize,
    /// Ports in the file.
    pub ports: usize,
    /// Prices in the file.
    pub prices: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Why nothing went in.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Input(io::Error),
    /// The file is not what it should be.
    Format {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// There are prices already.
    NotEmpty,
    /// The tables are not there yet.
    NotMigrated,
    /// PostgreSQL refused.
    Database(sqlx::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::Format { line, reason } => write!(f, "line {line}: {reason}"),
            Self::NotEmpty => f.write_str(
                "the database already holds prices; --append adds to them, --replace puts the file in their place",
            ),
            Self::NotMigrated => f.write_str("migrations are pending; run `rates migrate` first"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

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

/// Loads a file; `-` is standard input.
pub async fn load_file(connection: &mut PgConnection, path: &Path, mode: Mode) -> Result<Loaded, LoadError> {
    let started = Instant::now();
    if !database::pending_migrations(&mut *connection).await?.is_empty() {
        return Err(LoadError::NotMigrated);
    }
    let mut input = Input::open(path)?;
    let mut transaction = connection.begin().await?;
    if sql::prices::any(&mut transaction).await? && mode == Mode::IntoEmpty {
        return Err(LoadError::NotEmpty);
    }
    let is_dump = input.looks_like_dump()?;
    let places = if is_dump {
        dump::read_places(&mut *input.lines(&ProgressBar::hidden())?)?
    } else {
        Places::default()
    };
    if mode == Mode::Replace {
        sql::prices::delete_all(&mut transaction).await?;
        sql::batches::withdraw_all(&mut transaction).await?;
    }
    if is_dump {
        sql::places::put_regions(&mut transaction, &places.regions).await?;
        sql::places::put_ports(&mut transaction, &places.ports).await?;
        if mode == Mode::Replace {
            sql::places::keep_only(&mut transaction, &places.ports, &places.regions).await?;
        }
    }
    let bar = progress::bytes(input.length, "loading prices");
    let mut lines = input.lines(&bar)?;
    let mut copy =
        Copy { copy: sql::prices::copy_in(&mut transaction).await?, buffer: Vec::with_capacity(Copy::CHUNK) };
    let read = if is_dump {
        dump::copy_prices(&mut *lines, &mut copy).await
    } else {
        prices_csv::copy_prices(&mut *lines, &mut copy).await
    };
    let prices = match read {
        Ok(()) => {
            bar.set_message("adding up");
            copy.finish().await?
        }
        Err(error) => {
            // The connection must leave COPY before the transaction can end.
            copy.copy.abort("the file is not what it should be").await.ok();
            return Err(error);
        }
    };
    transaction.commit().await?;
    bar.finish_and_clear();
    sql::prices::analyze(connection).await?;
    Ok(Loaded {
        regions: places.regions.len(),
        ports: places.ports.len(),
        prices,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Places of a dump.
#[derive(Debug, Default)]
struct Places {
    regions: Vec<RegionRow>,
    ports: Vec<PortRow>,
}

/// Rows in COPY's text format on their way to the server.
struct Copy<'a> {
    copy: PgCopyIn<&'a mut PgConnection>,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    const CHUNK: usize = 256 * 1024;

    /// Takes a row without its line end.
    async fn row(&mut self, row: &[u8]) -> Result<(), sqlx::Error> {
        self.buffer.extend_from_slice(row);
        self.buffer.push(b'\n');
        if self.buffer.len() >= Self::CHUNK {
            self.copy.send(self.buffer.as_slice()).await?;
            self.buffer.clear();
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<u64, sqlx::Error> {
        self.copy.send(self.buffer.as_slice()).await?;
        self.copy.finish().await
    }
}

/// A file that can be read twice: prices come before the regions that they need. Standard input is put aside first.
struct Input {
    file: File,
    length: u64,
    gzipped: bool,
}

impl Input {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = if path.as_os_str() == "-" {
            let mut copy = tempfile::tempfile()?;
            io::copy(&mut io::stdin().lock(), &mut copy)?;
            copy
        } else {
            File::open(path)?
        };
        let length = file.seek(io::SeekFrom::End(0))?;
        file.rewind()?;
        let mut magic = [0; 2];
        let gzipped = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        Ok(Self { file, length, gzipped })
    }

    /// From the start; the bar follows the bytes of the file.
    fn lines(&mut self, bar: &ProgressBar) -> io::Result<Box<dyn BufRead + '_>> {
        self.file.rewind()?;
        let file = BufReader::with_capacity(Copy::CHUNK, bar.wrap_read(&self.file));
        Ok(if self.gzipped {
            Box::new(BufReader::with_capacity(Copy::CHUNK, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        })
    }

    /// A dump begins with a comment or a command; CSV with its header.
    fn looks_like_dump(&mut self) -> io::Result<bool> {
        let mut lines = self.lines(&ProgressBar::hidden())?;
        let mut first = Vec::new();
        // A binary file has no line ends to stop at.
        lines.by_ref().take(4096).read_until(b'\n', &mut first)?;
        Ok(!first
            .split(|byte| *byte == b',')
            .any(|name| name.trim_ascii().trim_ascii_start() == b"orig_code"))
    }
}
