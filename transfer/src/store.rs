//! The folder of received files. Several receivers may share it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, SpooledTempFile};

/// The beginning of the names of incomplete files; no upload has a name like this.
const UNFINISHED: &str = ".transfer-";

/// An incomplete file that is older was left by a receiver that was killed.
const LEFTOVER: Duration = Duration::from_hours(1);

/// The folder for contents that were replaced.
const PREVIOUS: &str = "previous";

/// A larger upload is on the disk while it arrives.
const IN_MEMORY: usize = 256 * 1024;

/// The longest name, in bytes: file systems take 255, and the name of a replaced content is 21 longer.
const LONGEST_NAME: usize = 200;

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// What is wrong with the name of an upload.
pub(crate) fn fault_of_name(name: &str) -> Option<&'static str> {
    let device = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_device = matches!(
        device.as_bytes(),
        b"con" | b"prn" | b"aux" | b"nul" | [b'c', b'o', b'm', b'0'..=b'9'] | [b'l', b'p', b't', b'0'..=b'9']
    );
    let faults = [
        (name.is_empty(), "must not be empty"),
        (name.contains(['/', '\\']), "must not have path separators"),
        (name.contains("..") || name.starts_with('.'), "must not begin with a dot or have two dots in a row"),
        (name.chars().any(char::is_control), "must not have control characters"),
        (name.len() > LONGEST_NAME, "must not be longer than 200 bytes"),
        (is_device, "is reserved by Windows"),
    ];
    faults.into_iter().find_map(|(is_wrong, fault)| is_wrong.then_some(fault))
}

impl Folder {
    /// Opens or creates the folder, and removes incomplete files of receivers that were killed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            // A younger one may belong to another receiver that writes it now.
            let is_old = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > LEFTOVER);
            if is_unfinished && entry.metadata().and_then(|data| data.modified()).is_ok_and(is_old) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self(path.to_owned()))
    }

    /// Where the file of this name is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.xml"))
    }

    /// Whether files can be stored now.
    pub(crate) fn check(&self) -> io::Result<()> {
        // A byte, since a full disk takes empty files.
        self.unfinished()?.write_all(b"0")
    }

    /// Where an upload is kept while it arrives: in memory or, if it is large, in a file without a name, which the
    /// system deletes when the process ends.
    pub(crate) fn spool(&self) -> SpooledTempFile {
        tempfile::spooled_tempfile_in(IN_MEMORY, &self.0)
    }

    /// An empty file with the name of an incomplete one.
    pub(crate) fn unfinished(&self) -> io::Result<NamedTempFile> {
        let readable_by_all = fs::Permissions::from_mode(0o644);
        tempfile::Builder::new().prefix(UNFINISHED).permissions(readable_by_all).tempfile_in(&self.0)
    }

    /// Stores the content durably under the name; returns whether that changed anything. A content that it replaces is
    /// kept in the folder `previous` as NAME.HASH.xml, with the first 16 digits of its SHA-256.
    pub(crate) fn store(&self, name: &str, content: NamedTempFile) -> io::Result<bool> {
        content.as_file().sync_data()?;
        let path = self.path(name);
        let content = match content.persist_noclobber(&path) {
            Ok(_) => return self.sync().map(|()| true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => error.file,
            Err(error) => return Err(error.error),
        };
        // Without the lock, two receivers that replace the same file could lose one of its contents.
        let lock = File::open(&self.0)?;
        lock.lock()?;
        let (old, new) = (hash(&path)?, hash(content.path())?);
        if old != new {
            let previous = self.0.join(PREVIOUS);
            fs::create_dir_all(&previous)?;
            match fs::hard_link(&path, previous.join(format!("{name}.{}.xml", &old[..16]))) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => File::open(&previous)?.sync_all()?,
            }
            content.persist(&path)?;
        }
        // Also if nothing changed: the receiver that stored the file may have been killed before it synced the folder.
        self.sync()?;
        Ok(old != new)
    }

    /// Names are durable once their folder is synced.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}
