//! The folders, keys and processes of a test.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use chassis::testing::{Ended, Process, command, run};
use tempfile::TempDir;
use transfer::{fernet::Key, xml};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Folders, a key, and a port that was free.
pub struct Place {
    folder: TempDir,
    pub port: u16,
    pub key: Key,
}

impl Place {
    pub fn new() -> Self {
        let (folder, key) = (tempfile::tempdir().unwrap(), Key::generate());
        fs::write(folder.path().join("key"), key.reveal()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = Self { folder, port, key };
        fs::create_dir(place.input()).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn input(&self) -> PathBuf {
        self.path("input")
    }

    pub fn command(&self, arguments: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_transfer"), "transfer", &[]);
        let path = |name: &str| self.path(name).into_os_string();
        command
            .args(arguments)
            .env("INPUT_DIR", path("input"))
            .env("OUTPUT_DIR", path("output"))
            .env("STATUS_DB_PATH", path("status/status.db"))
            .env("ENCRYPTION_KEY", path("key"))
            .env("DECRYPTION_KEY", path("key"))
            .env("SERVER_PORT", self.port.to_string())
            .env("RECEIVER_ADDRESS", "127.0.0.1")
            .env("RECEIVER_PORT", self.port.to_string())
            .env("SCAN_INTERVAL", "0.2")
            .env("TRANSFER__SEND__SETTLE_SECONDS", "0.1")
            .env("TRANSFER__SEND__REJECT_AFTER_SECONDS", "0.3")
            .envs(more.iter().copied());
        command
    }

    pub fn receiver(&self) -> Process {
        Process::start(self.command(&["receive"], &[]))
    }

    pub fn sender(&self) -> Process {
        Process::start(self.command(&["send"], &[]))
    }

    pub fn send_once(&self, more: &[(&str, &str)]) -> Ended {
        run(&mut self.command(&["send", "--once"], more))
    }

    /// Drops a file as careful programs do: whole.
    pub fn drop_file(&self, file: &str, content: &str) {
        let hidden = self.input().join(format!(".{file}"));
        fs::write(&hidden, content).unwrap();
        fs::rename(hidden, self.input().join(file)).unwrap();
    }

    /// The names and contents of what arrived, with those that were replaced; unfinished ones are left out.
    pub fn arrived(&self) -> BTreeMap<String, String> {
        let mut found = read(&self.path("output"), "");
        found.extend(read(&self.path("output/previous"), "previous/"));
        found.retain(|name, _| !name.starts_with(".transfer-"));
        found
    }

    /// Waits until exactly these have arrived.
    pub fn wait_for(&self, expected: &BTreeMap<String, String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let arrived = self.arrived();
            if arrived == *expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "expected {:?}\narrived {:?}",
                expected.keys(),
                arrived.keys()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read(folder: &Path, prefix: &str) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let files = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let content = path.is_file().then(|| fs::read_to_string(&path).ok()).flatten()?;
        Some((format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap()), content))
    });
    files.collect()
}

/// What arrives of these documents, by the name it has there.
pub fn expected<N: Into<String>>(
    documents: impl IntoIterator<Item = (N, String)>,
) -> BTreeMap<String, String> {
    let convert = |(name, json): (N, String)| {
        (format!("{}.xml", name.into()), xml::from_json(json.as_bytes()).unwrap())
    };
    documents.into_iter().map(convert).collect()
}

/// Waits until this holds.
pub fn wait(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
