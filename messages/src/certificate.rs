//! Makes a self-signed certificate if there is none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use chassis::{Exit, Failure, exit::OrFail};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::settings::TlsSettings;

const CERTIFICATE: &str = "localhost.crt";
const KEY: &str = "localhost.key";

/// Certificate and key of the folder. If both are missing, a self-signed pair is made and its path printed.
pub(crate) fn find_or_make(settings: &TlsSettings) -> Result<(PathBuf, PathBuf), Failure> {
    let folder = &settings.folder;
    let pair = (folder.join(CERTIFICATE), folder.join(KEY));
    if pair.0.exists() && pair.1.exists() {
        return Ok(pair);
    }
    let no_pair = || format!("cannot make a certificate in {}", folder.display());
    fs::create_dir_all(folder).or_fail(Exit::Failure, no_pair)?;
    // If processes start together, one makes the pair, and the others wait and find it.
    let lock = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    let lock = lock.or_fail(Exit::Failure, no_pair)?;
    match (pair.0.exists(), pair.1.exists()) {
        (true, true) => return Ok(pair),
        (false, false) => {
            let (certificate, key) = self_signed(&settings.hosts.0)
                .or_fail(Exit::Failure, || format!("cannot make a certificate for {:?}", settings.hosts.0))?;
            write(&unfinished(folder, CERTIFICATE), 0o644, &certificate).or_fail(Exit::Failure, no_pair)?;
            write(&unfinished(folder, KEY), 0o600, &key).or_fail(Exit::Failure, no_pair)?;
            fs::rename(unfinished(folder, KEY), &pair.1).or_fail(Exit::Failure, no_pair)?;
        }
        // Made by us: a crash came between the two renames.
        (false, true) if unfinished(folder, CERTIFICATE).exists() && !unfinished(folder, KEY).exists() => {}
        // A single file is a user's; a new pair would overwrite it.
        (true, false) => return Err(missing(&pair.1, &pair.0)),
        (false, true) => return Err(missing(&pair.0, &pair.1)),
    }
    fs::rename(unfinished(folder, CERTIFICATE), &pair.0).or_fail(Exit::Failure, no_pair)?;
    lock.sync_all().or_fail(Exit::Failure, no_pair)?;
    eprintln!("messages: made a self-signed certificate: {}", pair.0.display());
    Ok(pair)
}

/// The name of a file until both are complete; no file of a user has it.
fn unfinished(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.unfinished"))
}

fn missing(missing: &Path, found: &Path) -> Failure {
    let text = format!(
        "{} is missing beside {}; bring it, or remove both to have a new pair made",
        missing.display(),
        found.display()
    );
    Failure::new(Exit::Failure, text)
}

/// Writes an unfinished file, in place of one that a crash left.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    // That one may be incomplete, and would keep its mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn self_signed(hosts: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, &*hosts[0]);
    // Clients trust this certificate itself; it cannot sign others.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use chassis::settings::List;

    use super::*;

    fn in_folder(folder: &Path) -> TlsSettings {
        TlsSettings {
            enabled: true,
            folder: folder.to_owned(),
            hosts: List(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]),
        }
    }

    /// The names of all files, sorted.
    fn names(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_start_after_a_crash_finishes_the_pair() {
        let folder = tempfile::tempdir().unwrap();
        let (path, settings) = (folder.path(), in_folder(folder.path()));
        // Killed while it wrote: whatever is there is thrown away, it may be half.
        fs::write(unfinished(path, CERTIFICATE), "-----BEGIN").unwrap();
        fs::write(unfinished(path, KEY), "").unwrap();
        let (certificate, key) = find_or_make(&settings).unwrap();
        assert_eq!(names(path), [CERTIFICATE, KEY]);
        let made = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
        assert!(made.0.starts_with(b"-----BEGIN CERTIFICATE") && !made.1.is_empty());
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        // Killed between the renames: the certificate of that key waits.
        fs::rename(&certificate, unfinished(path, CERTIFICATE)).unwrap();
        find_or_make(&settings).unwrap();
        assert_eq!(names(path), [CERTIFICATE, KEY]);
        assert_eq!((fs::read(&certificate).unwrap(), fs::read(&key).unwrap()), made);
    }

    #[test]
    fn half_a_pair_that_is_somebodys_stays_as_it_is() {
        for (own, leftovers) in
            [(KEY, &[][..]), (KEY, &[CERTIFICATE, KEY]), (CERTIFICATE, &[]), (CERTIFICATE, &[KEY])]
        {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(own), "mine").unwrap();
            for name in leftovers {
                fs::write(unfinished(folder.path(), name), "old").unwrap();
            }
            let before = names(folder.path());
            let fault = find_or_make(&in_folder(folder.path())).unwrap_err().to_string();
            assert!(fault.contains("is missing beside"), "{fault}");
            assert_eq!(names(folder.path()), before);
            assert_eq!(fs::read(folder.path().join(own)).unwrap(), b"mine");
        }
    }

    #[test]
    fn processes_that_start_together_have_one_pair() {
        let folder = tempfile::tempdir().unwrap();
        let settings = in_folder(folder.path());
        let found: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                let (certificate, key) = find_or_make(&settings).unwrap();
                (fs::read(certificate).unwrap(), fs::read(key).unwrap())
            };
            let started: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            started.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(found.iter().all(|pair| *pair == found[0]), "all serve the same pair");
    }
}
