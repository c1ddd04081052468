//! The settings of `transfer`. `settings.toml`, which is compiled in, has their defaults and meanings.

use std::{path::PathBuf, time::Duration};

use chassis::{
    Failure,
    settings::{Fault, Flat, ShellSettings, is_set, read_secret},
};
use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

/// The settings of `transfer`, in addition to those of every service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the receiver stores files.
    pub receive: ReceiveSettings,
    /// What the sender sends.
    pub send: SendSettings,
    /// Where the sender sends it.
    pub receiver: ReceiverSettings,
    /// Where batches of prices are passed on to.
    pub prices: PricesSettings,
}

/// Where the receiver stores files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiveSettings {
    /// The folder.
    pub output_dir: PathBuf,
    /// The keys, a line each; empty: those in the file.
    pub key: SecretString,
    /// The file of the keys.
    pub key_file: PathBuf,
    /// Whether the value of a generated key is logged.
    pub log_generated_key: bool,
}

/// What the sender sends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendSettings {
    /// The folder.
    pub input_dir: PathBuf,
    /// The file that records what was sent.
    pub status_file: PathBuf,
    /// The file of the key.
    pub key_file: PathBuf,
    /// How often the folder is read.
    pub scan_interval_seconds: f64,
    /// A file that changed within this time may still be written.
    pub settle_seconds: f64,
    /// A bad file that changed within this time may be incomplete.
    pub reject_after_seconds: f64,
    /// The largest file.
    pub file_limit_bytes: u32,
    /// How many files are sent at a time.
    pub concurrency: u16,
}

impl SendSettings {
    /// The time after which a file that changed counts as whole.
    #[must_use]
    pub fn settle(&self) -> Duration {
        Duration::from_secs_f64(self.settle_seconds)
    }
}

/// Where the sender sends files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiverSettings {
    /// Host, or URL without a path.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The path of uploads.
    pub uri: String,
    /// Empty: the system's authorities.
    pub tls_ca_file: PathBuf,
    /// How long an answer may take.
    pub timeout_seconds: f64,
}

impl ReceiverSettings {
    /// The URL of uploads; the name of the file is added.
    pub fn url(&self) -> Result<Url, impl std::error::Error + use<>> {
        let scheme = if self.address.contains("://") { "" } else { "http://" };
        let address = self.address.trim_end_matches('/');
        format!("{scheme}{address}:{}/{}", self.port, self.uri.trim_matches('/')).parse()
    }
}

/// Where batches of prices are passed on to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricesSettings {
    /// Empty: nowhere.
    pub url: String,
    key: SecretString,
    key_file: String,
}

impl PricesSettings {
    /// The key of the supplier, empty where there is none.
    pub fn key(&self) -> Result<SecretString, Failure> {
        read_secret(&self.key, &self.key_file)
    }
}

const FLAT: &[Flat] = &[
    Flat::new("SERVER_IP", "server.host"),
    Flat::new("SERVER_PORT", "server.port"),
    Flat::new("LOG_LEVEL", "telemetry.log_filter"),
    Flat::new("OUTPUT_DIR", "receive.output_dir"),
    Flat::new("DECRYPTION_KEY", "receive.key_file"),
    Flat::new("INPUT_DIR", "send.input_dir"),
    Flat::new("STATUS_DB_PATH", "send.status_file"),
    Flat::new("ENCRYPTION_KEY", "send.key_file"),
    Flat::new("SCAN_INTERVAL", "send.scan_interval_seconds"),
    Flat::new("RECEIVER_ADDRESS", "receiver.address"),
    Flat::new("RECEIVER_PORT", "receiver.port"),
    Flat::new("RECEIVER_URI", "receiver.uri"),
    Flat::new("RATES_URL", "prices.url"),
    Flat::new("RATES_KEY", "prices.key"),
    Flat::new("RATES_KEY_FILE", "prices.key_file"),
];

impl chassis::settings::Settings for Settings {
    const DEFAULTS: &'static [&'static str] = &[include_str!("settings.toml")];
    const FLAT: &'static [&'static [Flat]] = &[FLAT];

    fn faults(&self, _shell: &ShellSettings) -> Vec<Fault> {
        let Self { send, receiver, .. } = self;
        let mut faults: Vec<Fault> = [
            ("send.scan_interval_seconds", send.scan_interval_seconds, 0.05, 86_400.0),
            ("send.settle_seconds", send.settle_seconds, 0.0, 3600.0),
            ("send.reject_after_seconds", send.reject_after_seconds, 0.0, 86_400.0),
            ("send.file_limit_bytes", send.file_limit_bytes.into(), 1.0, f64::from(1 << 30)),
            ("send.concurrency", send.concurrency.into(), 1.0, 1024.0),
            ("receiver.timeout_seconds", receiver.timeout_seconds, 0.1, 3600.0),
        ]
        .into_iter()
        .filter(|(_, value, least, most)| !(least..=most).contains(&value))
        .map(|(key, _, least, most)| (key, format!("must be from {least} to {most}")))
        .collect();
        if receiver.url().is_err() || receiver.address.is_empty() {
            faults.push(("receiver.address", "is neither a host nor a URL".to_owned()));
        }
        if !self.prices.url.is_empty() {
            if !self.prices.url.parse().is_ok_and(|url: Url| url.scheme().starts_with("http")) {
                faults.push(("prices.url", "is not a URL like https://rates.example.com".to_owned()));
            }
            match self.prices.key() {
                Ok(key) if is_set(&key) => {}
                Ok(_) => faults.push(("prices.key", "must be set together with prices.url".to_owned())),
                Err(failure) => faults.push(("prices.key_file", failure.to_string())),
            }
        }
        faults
    }
}
