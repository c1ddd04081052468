//! The text of a key: `rates_NUMBER_SECRET`. The number finds its row; of the secret only a hash is stored.

use sha2::{Digest, Sha256};

const PREFIX: &str = "rates_";

/// The random part of a key.
pub(crate) struct Secret(String);

impl Secret {
    /// Makes a new secret from the randomness of the operating system.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// What the database stores.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The whole key, as its owner sends it.
    pub(crate) fn key(&self, id: i64) -> String {
        format!("{PREFIX}{id}_{}", self.0)
    }
}

/// Splits a key into its number and its secret.
pub(super) fn parse(key: &str) -> Option<(i64, Secret)> {
    let (number, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let id: i64 = number.parse().ok()?;
    // A key has one spelling: `+1` and `01` are numbers to Rust, but no numbers that a key was made with.
    (id.to_string() == number).then(|| (id, Secret(secret.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_parsed_as_it_was_made_and_every_key_differs() {
        let (one, two) = (Secret::random().unwrap(), Secret::random().unwrap());
        let (id, secret) = parse(&one.key(17)).unwrap();
        assert_eq!((id, secret.hash()), (17, one.hash()));
        assert_ne!(one.hash(), two.hash());
        for wrong in [
            "",
            "rates_",
            "rates_x_1",
            "rates_1",
            "1_2",
            "rates_01_x",
            "rates_+1_x",
            "rates_-0_x",
            "rates_ 1_x",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
