//! Messages, and their signature by the convention of Standard Webhooks.

use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::worker::Job;
use chrono::{SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

/// A message for one receiver, as it waits in the queue. A retry sends the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    /// The number of the hook.
    pub(crate) hook: i64,
    /// The header `webhook-id`.
    pub(crate) id: String,
    /// The name of the event.
    pub(crate) event: String,
    /// The body: a text, because the signature is of its bytes.
    pub(crate) body: String,
}

impl Message {
    /// A message of this event, which happens now.
    pub(crate) fn new(hook: i64, event: &str, data: &serde_json::Value) -> Self {
        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let body = json!({ "type": event, "timestamp": timestamp, "data": data }).to_string();
        Self { hook, id: format!("msg_{:032x}", random_number()), event: event.to_owned(), body }
    }

    pub(super) fn of(job: &Job) -> Result<Self, serde_json::Error> {
        Self::deserialize(&job.payload)
    }

    /// The payload of its job.
    pub(super) fn payload(&self) -> serde_json::Value {
        json!(self)
    }
}

fn random_number() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    u128::from_be_bytes(bytes)
}

/// What the messages of a hook are signed with.
pub(crate) struct Secret(pub(crate) Vec<u8>);

impl Secret {
    /// Makes a new secret from the randomness of the operating system.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// As its owner keeps it.
    pub(crate) fn shown(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }

    /// The header `webhook-signature` of this message, sent at this time.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the convention's reference libraries.
    #[test]
    fn a_message_is_signed_by_the_convention() {
        let secret = Secret(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        assert_eq!(secret.shown(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn messages_and_secrets_differ() {
        let [one, two] = [1, 1].map(|hook| Message::new(hook, "test", &json!({})));
        assert_ne!(one.id, two.id);
        assert_ne!(Secret::random().unwrap().0, Secret::random().unwrap().0);
    }
}
