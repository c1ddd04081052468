//! The real binary in a folder of its own, and clients of it.

use std::{path::Path, process::Command, time::Duration};

use chassis::testing::{Ended, Process};
use serde_json::json;

/// Plain HTTP, for tests that are not about TLS.
pub const PLAIN: (&str, &str) = ("MESSAGES__TLS__ENABLED", "false");

/// The binary with a clean environment and these variables.
pub fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = chassis::testing::command(env!("CARGO_BIN_EXE_messages"), "messages", variables);
    command.current_dir(folder);
    command
}

/// A running server.
pub fn start(folder: &Path, variables: &[(&str, &str)]) -> Process {
    Process::start(command(folder, variables))
}

/// Runs a command in a folder without settings.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    chassis::testing::run(command(folder.path(), variables).args(arguments))
}

/// The certificate that the server in this folder made.
pub fn made_certificate(folder: &Path) -> reqwest::Certificate {
    certificate(&folder.join("certs/localhost.crt"))
}

pub fn certificate(path: &Path) -> reqwest::Certificate {
    reqwest::Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap()
}

/// A client that trusts these certificates and nothing else.
pub fn client(certificates: impl IntoIterator<Item = reqwest::Certificate>) -> reqwest::ClientBuilder {
    chassis::use_ring();
    reqwest::Client::builder().timeout(Duration::from_secs(20)).tls_certs_only(certificates)
}

/// Status and body of a POST.
pub async fn post(client: &reqwest::Client, url: &str, text: &str) -> reqwest::Result<(u16, String)> {
    let response = client.post(format!("{url}/messages")).json(&json!({"message": text})).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

/// Status and body of a GET.
pub async fn get(client: &reqwest::Client, url: &str, digest: &str) -> reqwest::Result<(u16, String)> {
    let response = client.get(format!("{url}/messages/{digest}")).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}
