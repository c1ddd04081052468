//! Which files of the input folder may be read, and when the folder changes.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::Notify;

use super::state::Stamp;

/// A file that its writer has opened is not read until it is closed, or has not changed for this time: the news that it was
/// closed can be lost.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// Files that changed since the process started, and whether their writer has closed them.
type Closed = Arc<Mutex<HashMap<String, bool>>>;

/// The input folder.
pub(super) struct Watch {
    closed: Closed,
    /// Told of each change.
    pub(super) changed: Arc<Notify>,
    /// None where the file system tells of no changes.
    _watcher: Option<RecommendedWatcher>,
}

/// A file that may be sent.
pub(super) struct Found {
    pub(super) file: String,
    pub(super) stamp: Stamp,
    /// Whether it may be read: nobody seems to write it.
    pub(super) is_settled: bool,
}

impl Watch {
    pub(super) fn start(folder: &Path) -> Self {
        let (closed, changed) = (Closed::default(), Arc::new(Notify::new()));
        let handler = {
            let (closed, changed) = (Arc::clone(&closed), Arc::clone(&changed));
            move |event: notify::Result<Event>| {
                if event.map_or(true, |event| note(&closed, &event)) {
                    changed.notify_one();
                }
            }
        };
        let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "changes of the input folder are seen only by reading it");
        }
        Self { closed, changed, _watcher: watcher.ok() }
    }

    /// The files of the folder, short names first.
    pub(super) fn scan(&self, folder: &Path, settle: Duration) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else {
                tracing::warn!(file = ?entry.file_name(), "not sent: the name is not UTF-8; rename the file");
                continue;
            };
            if !is_document(&file) {
                continue;
            }
            // Of what a link leads to. Gone meanwhile: its owner took it back.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            if metadata.is_file() {
                let is_settled = self.is_settled(&file, &metadata, settle);
                found.push(Found { file, stamp: Stamp::of(&metadata), is_settled });
            }
        }
        found.sort_unstable_by(|a, b| (a.file.len(), &a.file).cmp(&(b.file.len(), &b.file)));
        Ok(found)
    }

    fn is_settled(&self, file: &str, metadata: &Metadata, settle: Duration) -> bool {
        let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        match self.closed.lock().unwrap_or_else(PoisonError::into_inner).get(file) {
            Some(true) => true,
            Some(false) => age >= FORGOTTEN.max(settle),
            None => age >= settle,
        }
    }
}

/// Keeps what the event says of files; whether a file may be read that could not before.
fn note(closed: &Closed, event: &Event) -> bool {
    let mut closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
    if event.need_rescan() {
        closed.clear();
        return true;
    }
    let is_closed = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(true),
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(false),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => None,
        _ => return false,
    };
    // Of a rename the last path is the new name.
    let Some(file) = event.paths.last().and_then(|path| path.file_name()?.to_str()) else { return false };
    match is_closed {
        Some(is_closed) => closed.insert(file.to_owned(), is_closed),
        None => closed.remove(file),
    };
    is_closed == Some(true) && is_document(file)
}

/// As the pattern `*.json` of a shell reads names.
fn is_document(file: &str) -> bool {
    !file.starts_with('.') && Path::new(file).extension().is_some_and(|extension| extension == "json")
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().map_or(0, nanoseconds) }
    }
}

/// A time in nanoseconds since 1970.
pub(super) fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
