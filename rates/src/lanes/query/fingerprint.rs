//! A hash of everything that an answer is made from.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::privacy::Privacy;

/// SHA-256 of parts, of which half is kept. It is the same on every instance. A weaker hash would not do: clients choose
/// queries and suppliers choose prices, and two that share a hash would share an answer.
#[derive(Debug, Clone)]
pub struct Fingerprint(Sha256);

/// The hash of a [`Fingerprint`].
pub(crate) type Hash = [u8; 16];

impl Default for Fingerprint {
    /// Begins with the version of the program, which may write the same data differently.
    fn default() -> Self {
        static OF_PROGRAM: LazyLock<Fingerprint> = LazyLock::new(|| {
            let mut of_program = Fingerprint::empty();
            of_program.add_text(chassis::VERSION);
            of_program
        });
        OF_PROGRAM.clone()
    }
}

impl Fingerprint {
    /// Of nothing.
    pub(crate) fn empty() -> Self {
        Self(Sha256::new())
    }

    /// Adds a number.
    pub(crate) fn add(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// Adds how numbers are rounded. Hidden days are not among the days that are added.
    pub(crate) fn add_privacy(&mut self, privacy: Privacy) {
        self.add(u64::from(privacy.price_step));
        self.add(u64::from(privacy.count_bands));
    }

    /// Adds the hash of other parts.
    pub(crate) fn add_hash(&mut self, hash: Hash) {
        self.0.update(hash);
    }

    /// Adds a text with its length, which keeps "AB" + "C" apart from "A" + "BC".
    pub(crate) fn add_text(&mut self, text: &str) {
        self.add_bytes(text.as_bytes());
    }

    /// Adds bytes with their length.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// The hash.
    pub(crate) fn hash(self) -> Hash {
        let whole: [u8; 32] = self.0.finalize().into();
        *whole.first_chunk().expect("32 bytes have 16")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_apart() {
        let print = |parts: &[&str]| {
            let mut print = Fingerprint::empty();
            for part in parts {
                print.add_text(part);
            }
            print.hash()
        };
        assert_ne!(print(&["AB", "C"]), print(&["A", "BC"]));
        assert_ne!(print(&["A"]), print(&["A\0"]));
    }
}
