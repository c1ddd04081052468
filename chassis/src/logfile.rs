//! Log files with rotation by size: `NAME` is the newest, then `NAME.1`, and so on to the oldest that is kept.
//!
//! Lines are buffered in memory and written by a separate thread, so a slow disk does not slow down requests. After a
//! `kill -9`, the lines of the last tenth of a second may be missing.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

use file_rotate::{ContentLimit, FileRotate, compression::Compression, suffix::AppendCount};

use crate::{Exit, Failure, exit::OrFail, settings::LogFileSettings};

/// How often the buffer is written.
const PAUSE: Duration = Duration::from_millis(100);

/// The limit of the buffer. If the disk hangs, further lines are dropped and counted, so that memory does not run out.
const MOST_BYTES: usize = 32 << 20;

impl LogFileSettings {
    /// Opens or creates the file of this name; none if no folder is set.
    pub(crate) fn open(&self, name: &str) -> Result<Option<LogFile>, Failure> {
        if self.folder.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = self.folder.join(name);
        // Checked here, because the crate that rotates the files would panic or report no error.
        fs::create_dir_all(&self.folder)
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
            .or_fail(Exit::Failure, || {
                format!(
                    "cannot write the log file {}; set logs.folder to another folder, or to \"\" for none",
                    path.display()
                )
            })?;
        LogFile::start(&path, self)
            .map(Some)
            .or_fail(Exit::Failure, || format!("cannot write the log file {}", path.display()))
    }
}

/// A file that lines are logged to. The buffer is written when it is dropped.
pub struct LogFile {
    writer: LogWriter,
    /// Dropped to stop the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Adds lines to the buffer; cheap to clone.
#[derive(Clone, Default)]
pub struct LogWriter(Arc<Mutex<Gathered>>);

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    dropped: u64,
}

impl LogFile {
    fn start(path: &Path, settings: &LogFileSettings) -> io::Result<Self> {
        let mut rolled = Rolled::open(path, settings.max_bytes, settings.backup_count)?;
        let writer = LogWriter::default();
        let (stop, stopped) = mpsc::channel::<()>();
        let gathered = writer.clone();
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                let last = stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout);
                let taken = std::mem::take(&mut *gathered.lock());
                // An error has nowhere to go, and standard output has the lines as well.
                let _ = rolled.write(&taken.bytes);
                if taken.dropped > 0 {
                    tracing::error!(
                        lines = taken.dropped,
                        "the disk is too slow for the log file; lines were dropped"
                    );
                }
                if last {
                    return;
                }
            }
        })?;
        Ok(Self { writer, stop: Some(stop), thread: Some(thread) })
    }

    /// A handle for adding lines.
    #[must_use]
    pub fn writer(&self) -> LogWriter {
        self.writer.clone()
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl LogWriter {
    fn lock(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of the buffer.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Adds a line, which must end with a line feed.
    pub fn put(&self, line: &[u8]) {
        let mut gathered = self.lock();
        if gathered.bytes.len() + line.len() > MOST_BYTES {
            gathered.dropped += 1;
        } else {
            gathered.bytes.extend_from_slice(line);
        }
    }
}

/// A sink for [`crate::telemetry::start`], which writes one line at a time.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file and its rotated predecessors.
struct Rolled {
    file: FileRotate<AppendCount>,
    bytes: u64,
    max_bytes: u64,
}

impl Rolled {
    fn open(path: &Path, max_bytes: usize, backup_count: usize) -> io::Result<Self> {
        let bytes = fs::metadata(path)?.len();
        // The crate's own limits split lines or exceed the size, so rotation is decided here.
        let limit = ContentLimit::None;
        let file = FileRotate::new(path, AppendCount::new(backup_count), limit, Compression::None, None);
        Ok(Self { file, bytes, max_bytes: max_bytes as u64 })
    }

    /// Writes whole lines, as many at once as fit.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut start = 0;
        let mut end = 0;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // A line that is larger than the limit gets a file of its own.
            let full = self.bytes + (end - start + line.len()) as u64 > self.max_bytes;
            if full && self.bytes + (end - start) as u64 > 0 {
                self.file.write_all(&lines[start..end])?;
                self.file.rotate()?;
                self.bytes = 0;
                start = end;
            }
            end += line.len();
        }
        self.file.write_all(&lines[start..end])?;
        self.bytes += (end - start) as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path) -> LogFileSettings {
        LogFileSettings { folder: folder.to_owned(), max_bytes: 20, backup_count: 2 }
    }

    #[test]
    fn files_are_rolled_at_whole_lines_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let log = settings(folder.path()).open("x.log").unwrap().unwrap();
        for number in 10..17 {
            log.writer().put(format!("line {number}\n").as_bytes());
        }
        drop(log);
        assert_eq!(
            [read("x.log"), read("x.log.1"), read("x.log.2"), read("x.log.3")],
            ["line 16\n", "line 14\nline 15\n", "line 12\nline 13\n", ""]
        );
        // Continues after a restart, and does not split a line that is larger than the limit.
        let log = settings(folder.path()).open("x.log").unwrap().unwrap();
        log.writer().put(b"line 17\n");
        log.writer().put(b"a line of more than twenty bytes\n");
        log.writer().put(b"line 18\n");
        drop(log);
        assert_eq!(
            [read("x.log"), read("x.log.1"), read("x.log.2")],
            ["line 18\n", "a line of more than twenty bytes\n", "line 16\nline 17\n"]
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let fault = settings(&folder.path().join("file")).open("x.log").err().unwrap().to_string();
        assert!(fault.contains("file/x.log"), "{fault}");
        assert!(settings(Path::new("")).open("x.log").unwrap().is_none());
    }
}
