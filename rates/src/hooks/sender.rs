//! Sends a message over HTTP.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use chassis::exit::chain;
use chrono::Utc;
use http::StatusCode;
use reqwest::{Client, Url, redirect::Policy};

use super::{
    addresses::{self, Resolver},
    message::{Message, Secret},
};
use crate::settings::HookSettings;

/// Why a message is not delivered.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The receiver wants no more messages: 410.
    Gone,
    /// The receiver answered this instead of 2xx.
    Status(StatusCode),
    /// The address may not be used, for this reason.
    Refused(String),
    /// Nothing was answered. The address is left out: it may have a secret of the receiver.
    NoAnswer(reqwest::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the receiver answered 410 Gone"),
            Self::Status(status) if status.is_redirection() => {
                write!(f, "the receiver answered {status}; redirects are not followed")
            }
            Self::Status(status) => write!(f, "the receiver answered {status}"),
            Self::Refused(reason) => f.write_str(reason),
            Self::NoAnswer(error) => write!(f, "no answer: {}", chain(error)),
        }
    }
}

impl std::error::Error for SendError {}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url())
    }
}

/// Sends messages as the settings allow.
#[derive(Debug)]
pub(crate) struct Sender {
    settings: HookSettings,
    /// Made when a message is first sent, because most services have no hooks.
    client: OnceLock<Client>,
}

impl Sender {
    pub(crate) fn new(settings: &HookSettings) -> Self {
        Self { settings: settings.clone(), client: OnceLock::new() }
    }

    /// Sends a message and waits for the status of the answer. The rest of the answer is not read.
    pub(crate) async fn send(&self, url: &str, secret: &Secret, message: &Message) -> Result<(), SendError> {
        let url = check_url(url, &self.settings).map_err(SendError::Refused)?;
        let timestamp = Utc::now().timestamp();
        let request = self
            .client()?
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", secret.sign(&message.id, timestamp, &message.body))
            .body(message.body.clone());
        match request.send().await?.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(SendError::Gone),
            status => Err(SendError::Status(status)),
        }
    }

    fn client(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        chassis::use_ring();
        let client = Client::builder()
            // A connection that is kept would outlive the check of its address.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("rates/", env!("CARGO_PKG_VERSION")))
            .timeout(Duration::from_secs_f64(self.settings.timeout_seconds))
            .redirect(Policy::none())
            // A proxy would resolve the name once more.
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { allow_private: self.settings.allow_private_addresses }))
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Reads an address that messages may be sent to; the error says why not.
///
/// Names are checked when they are resolved. A client resolves nothing where the host is an address.
pub(crate) fn check_url(text: &str, settings: &HookSettings) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{text:?} is no URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if settings.allow_http => {}
        "http" => return Err("messages go over https only; hooks.allow_http would allow http".to_owned()),
        other => return Err(format!("messages go over https, not {other}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user or password in the URL is not supported; the signature says who sends".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if let Ok(address) = host.parse::<IpAddr>() {
        addresses::check(address, settings.allow_private_addresses)?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(allow_http: bool, allow_private_addresses: bool) -> HookSettings {
        HookSettings {
            allow_http,
            allow_private_addresses,
            timeout_seconds: 2.0,
            workers: 1,
            max_attempts: 1,
            data_changed_seconds: 5.0,
        }
    }

    #[test]
    fn an_address_is_https_and_public_unless_more_is_allowed() {
        let strict = settings(false, false);
        check_url("https://example.com/hook?token=1", &strict).unwrap();
        for wrong in [
            "example.com",
            "ftp://example.com/",
            "http://example.com/",
            "https://user@example.com/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert!(check_url(wrong, &strict).is_err(), "{wrong}");
        }
        check_url("http://127.0.0.1:9000/", &settings(true, true)).unwrap();
        assert!(check_url("http://127.0.0.1:9000/", &settings(true, false)).is_err());
    }

    /// A name that passes the check of the URL, as one of an attacker would.
    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_when_it_is_resolved() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let message = Message::new(1, "test", &serde_json::json!({}));
        let secret = Secret(vec![1; 32]);
        let refused = Sender::new(&settings(true, false)).send(&url, &secret, &message).await.unwrap_err();
        assert!(refused.to_string().contains("hooks.allow_private_addresses would allow it"), "{refused}");
        // The same gets through where it is allowed; nobody answers.
        let silent = Sender::new(&settings(true, true)).send(&url, &secret, &message).await.unwrap_err();
        assert!(silent.to_string().contains("no answer") && !silent.to_string().contains(&url), "{silent}");
        assert!(tokio::time::timeout(Duration::from_secs(1), listener.accept()).await.is_ok());
    }
}
