//! Which files of the input folder may be read, and when the folder changes.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::sync::Notify;

use super::state::Stamp;

/// A file that is open for writing is not read until it is closed, or has not changed for this time: the event of its
/// closing may have been lost.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The clocks of file systems have steps; the next change of a file that has not changed for this time shows in its
/// stamp.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// By file that changed since the process started: for how long it must not have changed before it is read.
type Waits = Arc<Mutex<HashMap<String, Duration>>>;

/// The input folder.
pub(super) struct Watch {
    waits: Waits,
    /// Notified when a file can be read that could not before.
    pub(super) changed: Arc<Notify>,
    /// None where the file system reports no changes.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    pub(super) fn start(folder: &Path) -> Self {
        let (waits, changed) = (Waits::default(), Arc::new(Notify::new()));
        let handler = {
            let (waits, changed) = (Arc::clone(&waits), Arc::clone(&changed));
            move |event: notify::Result<Event>| {
                if event.map_or(true, |event| note(&waits, &event)) {
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
        Self { waits, changed, _watcher: watcher.ok() }
    }

    /// The files that no program seems to be writing, short names first, and the number of the other files.
    pub(super) fn scan(&self, folder: &Path, settle: Duration) -> io::Result<(Vec<(String, Stamp)>, usize)> {
        let (mut found, mut unsettled) = (Vec::new(), 0);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else {
                tracing::warn!(file = ?entry.file_name(), "not sent: the name is not UTF-8; rename the file");
                continue;
            };
            // Follows links. An error means that the file is gone: its owner took it back.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            if !metadata.is_file() || !is_document(&file) {
                continue;
            }
            let stamp = Stamp::of(&metadata)?;
            let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            let least = waits.get(&file).copied().unwrap_or(settle).max(CLOCK_STEP);
            if stamp.age() >= least { found.push((file, stamp)) } else { unsettled += 1 }
        }
        found.sort_unstable_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        Ok((found, unsettled))
    }
}

/// Records what the event says of a file; returns whether a file can be read that could not before.
fn note(waits: &Waits, event: &Event) -> bool {
    let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
    if event.need_rescan() {
        waits.clear();
        return true;
    }
    let wait = match event.kind {
        // It is complete.
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(CLOCK_STEP),
        // It is being written.
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Some(FORGOTTEN),
        // It is gone.
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => None,
        _ => return false,
    };
    // The last path of a rename is the new name.
    let Some(file) = event.paths.last().and_then(|path| path.file_name()?.to_str()) else { return false };
    match wait {
        Some(wait) => waits.insert(file.to_owned(), wait),
        None => waits.remove(file),
    };
    wait == Some(CLOCK_STEP) && is_document(file)
}

/// Whether a shell's `*.json` matches this name.
fn is_document(file: &str) -> bool {
    !file.starts_with('.') && Path::new(file).extension().is_some_and(|extension| extension == "json")
}
