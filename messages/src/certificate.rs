//! The certificate of those who have none yet.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::settings::TlsSettings;

/// Certificate and key of the folder. Where neither is there, a self-signed pair is made and its path printed.
pub(crate) fn find_or_make(settings: &TlsSettings) -> Result<(PathBuf, PathBuf), String> {
    let certificate = settings.folder.join("localhost.crt");
    let key = settings.folder.join("localhost.key");
    match (certificate.exists(), key.exists()) {
        (true, true) => {}
        (false, false) => {
            make(&certificate, &key, &settings.hosts.0)?;
            eprintln!("messages: made a self-signed certificate: {}", certificate.display());
        }
        // Half of a pair is somebody's; to write the other half over it would lose it.
        (true, false) => return Err(missing(&key, &certificate)),
        (false, true) => return Err(missing(&certificate, &key)),
    }
    Ok((certificate, key))
}

fn missing(missing: &Path, found: &Path) -> String {
    format!(
        "{} is missing beside {}; bring it, or remove both to have a new pair made",
        missing.display(),
        found.display()
    )
}

fn make(certificate_file: &Path, key_file: &Path, hosts: &[String]) -> Result<(), String> {
    let (certificate, key) =
        self_signed(hosts).map_err(|error| format!("cannot make a certificate for {hosts:?}: {error}"))?;
    let fault = |path: &Path, error: &io::Error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = certificate_file.parent() {
        fs::create_dir_all(folder).map_err(|error| fault(folder, &error))?;
    }
    // The certificate comes last: a pair that a crash left half is told, and a whole one has a key that is whole.
    write(key_file, 0o600, &key).map_err(|error| fault(key_file, &error))?;
    write(certificate_file, 0o644, &certificate).map_err(|error| fault(certificate_file, &error))
}

fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn self_signed(hosts: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, &*hosts[0]);
    // Trusted as it is, by naming the file; it signs for nobody else.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
