//! The file to load.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use bytes::Bytes;
use chassis::progress;
use flate2::bufread::MultiGzDecoder;
use futures_util::Stream;
use indicatif::ProgressBar;

use crate::batches::{
    Upload,
    parse::{Format, Rules},
};

/// The size of buffers.
const BUFFER: usize = 256 * 1024;

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A plain `pg_dump`.
    Dump,
    /// Prices alone.
    Prices(Format),
}

/// A file that can be read twice: a dump has its prices before the regions that they need. Standard input is copied to a
/// temporary file first.
pub(super) struct Input {
    file: File,
    pub(super) length: u64,
    is_gzip: bool,
    pub(super) kind: FileKind,
}

impl Input {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
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
        let is_gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        let mut input = Self { file, length, is_gzip, kind: FileKind::Dump };
        input.kind = match Format::of_file(path) {
            Some((format, _)) => FileKind::Prices(format),
            None if input.starts_with_csv_header()? => FileKind::Prices(Format::Csv),
            None => FileKind::Dump,
        };
        Ok(input)
    }

    /// The lines from the start, without compression; the bar follows the bytes of the file.
    pub(super) fn lines(&mut self, bar: &ProgressBar) -> io::Result<Box<dyn BufRead + '_>> {
        self.file.rewind()?;
        let file = BufReader::with_capacity(BUFFER, bar.wrap_read(&self.file));
        Ok(if self.is_gzip {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        })
    }

    /// The file as an upload, which is how batches arrive.
    pub(super) fn into_upload(
        mut self,
        bar: &ProgressBar,
        rules: Rules,
    ) -> io::Result<Upload<impl Stream<Item = io::Result<Bytes>> + Unpin>> {
        self.file.rewind()?;
        let file = tokio::fs::File::from_std(self.file);
        let pieces = progress::file_pieces(file, bar, "checking");
        Ok(Upload { pieces, gzip: self.is_gzip, rules })
    }

    /// Whether the first line names a column of prices, and is no command of a dump.
    fn starts_with_csv_header(&mut self) -> io::Result<bool> {
        let mut first = Vec::new();
        // The limit is for binary files, which may have no line end.
        self.lines(&ProgressBar::hidden())?.take(4096).read_until(b'\n', &mut first)?;
        let line = String::from_utf8_lossy(&first);
        Ok(line.contains("orig_code") && !line.starts_with("COPY ") && !line.starts_with("--"))
    }
}
