//! The keys of tokens: in a file or a setting, one on a line.

use std::{fs, path::Path};

use chassis::{Exit, Failure, exit::OrFail, settings::is_set};
use secrecy::ExposeSecret;

use crate::{fernet::Key, settings::ReceiveSettings};

/// The keys of the receiver, newest first: those of the setting or of the file. Without either, one that is valid for
/// this process only.
pub(crate) fn read_or_generate(settings: &ReceiveSettings) -> Result<Vec<Key>, Failure> {
    if is_set(&settings.key) {
        return parse(settings.key.expose_secret(), "receive.key");
    }
    if settings.key_file.exists() {
        return read(&settings.key_file);
    }
    let path = settings.key_file.display().to_string();
    tracing::error!(path, "no decryption key at {path}; using a generated key, which no sender knows");
    let key = Key::generate();
    if settings.log_generated_key {
        tracing::warn!(
            key = key.reveal(),
            "the generated key; set receive.log_generated_key = false to hide it"
        );
    }
    Ok(vec![key])
}

/// The keys in a file; at least one.
pub(crate) fn read(path: &Path) -> Result<Vec<Key>, Failure> {
    let text = fs::read_to_string(path)
        .or_fail(Exit::Unavailable, || format!("cannot read the key {}", path.display()))?;
    parse(&text, &path.display().to_string())
}

/// `origin` names the file or the setting.
fn parse(text: &str, origin: &str) -> Result<Vec<Key>, Failure> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Option<Vec<Key>> = lines.map(Key::parse).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{origin}: a key is 32 bytes in base64, one on a line"))
    })
}
