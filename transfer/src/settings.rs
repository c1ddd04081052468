//! The settings of `transfer`. `settings.toml`, which is compiled in, has their defaults and meanings.

use std::path::PathBuf;

use chassis::{
    Failure,
    settings::{Fault, Flat, ShellSettings, is_set, read_secret},
};
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
    pub file_limit_bytes: u64,
    /// How many files are sent at a time.
    pub concurrency: usize,
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
    #[must_use]
    pub fn url(&self) -> String {
        let base = if self.address.contains("://") {
            self.address.clone()
        } else {
            format!("http://{}", self.address)
        };
        format!("{}:{}/{}", base.trim_end_matches('/'), self.port, self.uri.trim_matches('/'))
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
        let mut faults = Vec::new();
        let mut range = |key, value: f64, least: f64, most: f64| {
            if !(least..=most).contains(&value) {
                faults.push((key, format!("must be from {least} to {most}")));
            }
        };
        range("send.scan_interval_seconds", self.send.scan_interval_seconds, 0.05, 86_400.0);
        range("send.settle_seconds", self.send.settle_seconds, 0.0, 3600.0);
        range("send.reject_after_seconds", self.send.reject_after_seconds, 0.0, 86_400.0);
        range("receiver.timeout_seconds", self.receiver.timeout_seconds, 0.1, 3600.0);
        if !(1..=1 << 30).contains(&self.send.file_limit_bytes) {
            faults.push(("send.file_limit_bytes", "must be from 1 to 1 GiB".to_owned()));
        }
        if !(1..=1024).contains(&self.send.concurrency) {
            faults.push(("send.concurrency", "must be from 1 to 1024".to_owned()));
        }
        if self.receiver.url().parse::<reqwest::Url>().is_err() || self.receiver.address.is_empty() {
            faults.push(("receiver.address", "is neither a host nor a URL".to_owned()));
        }
        if !self.prices.url.is_empty() {
            if !self.prices.url.parse().is_ok_and(|url: reqwest::Url| url.scheme().starts_with("http")) {
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
