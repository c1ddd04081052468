//! The real binary in a folder of its own.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// The binary with a clean environment and these variables.
pub fn command(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_messages"));
    command
        .env_clear()
        .env("PORT", "0")
        .env("MESSAGES__SERVER__METRICS_PORT", "0")
        .env("MESSAGES__SERVER__HOST", "127.0.0.1")
        .current_dir(folder)
        .envs(variables.iter().copied());
    command
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Plain HTTP, for tests that are not about TLS.
pub const PLAIN: (&str, &str) = ("MESSAGES__TLS__ENABLED", "false");

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    /// Reads what it logs, or it would wait for ever to log more.
    reader: Option<JoinHandle<String>>,
    folder: PathBuf,
    pub url: String,
    pub address: String,
    pub metrics_address: String,
}

impl Server {
    #[expect(clippy::zombie_processes, reason = "a panic ends the test and with it the server")]
    pub fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = command(folder, variables).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut log = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the server ended before it listened:\n{log}");
            log.push_str(&line);
            let event: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
            let message = event["message"].as_str().unwrap();
            if let Some(url) = message.strip_prefix("listening on ") {
                let text = |name: &str| event[name].as_str().unwrap().to_owned();
                let reader = std::thread::spawn(move || {
                    let mut log = String::new();
                    lines.read_to_string(&mut log).unwrap();
                    log
                });
                return Self {
                    child,
                    reader: Some(reader),
                    folder: folder.to_owned(),
                    url: url.to_owned(),
                    address: text("address"),
                    metrics_address: text("metrics_address"),
                };
            }
        }
    }

    /// The certificate that it made.
    pub fn certificate(&self) -> reqwest::Certificate {
        certificate(&self.folder.join("certs/localhost.crt"))
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, not for ever; the log since it listened and the exit code. Clients that have connections must
    /// run on other threads meanwhile, to close them when they are told.
    pub fn end(mut self) -> (String, Option<i32>) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the server did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = self.reader.take().unwrap().join().unwrap();
        (log, self.child.wait().unwrap().code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn certificate(path: &Path) -> reqwest::Certificate {
    reqwest::Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap()
}

/// A client that trusts these certificates and nothing else.
pub fn client(certificates: impl IntoIterator<Item = reqwest::Certificate>) -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
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
