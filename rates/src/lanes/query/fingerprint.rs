//! A hash of everything that an answer is made from.

use std::sync::LazyLock;

/// A hash of parts, each added once. It is the same on every instance and in every build, which the standard hasher does not
/// guarantee. It need not withstand people who look for two inputs with one hash.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    /// Begins with the version of the program, which may write the same data differently.
    fn default() -> Self {
        static OF_PROGRAM: LazyLock<Fingerprint> = LazyLock::new(|| {
            let mut of_program = Fingerprint::empty();
            of_program.add_text(chassis::VERSION);
            of_program
        });
        *OF_PROGRAM
    }
}

impl Fingerprint {
    /// Of nothing.
    pub(crate) fn empty() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// Adds a number, by two of the steps that finish `MurmurHash3`.
    pub(crate) fn add(&mut self, number: u64) {
        let hash = (self.0 ^ number).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.0 = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.0 ^= self.0 >> 33;
    }

    /// Adds a text with its length, which keeps "AB" + "C" apart from "A" + "BC".
    pub(crate) fn add_text(&mut self, text: &str) {
        self.add_bytes(text.as_bytes());
    }

    /// Adds bytes with their length.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
    }

    /// The hash.
    pub(crate) fn hash(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn other_parts_have_another_hash() {
        let print = |parts: &[&str]| {
            let mut print = Fingerprint::empty();
            for part in parts {
                print.add_text(part);
            }
            print.hash()
        };
        assert_ne!(print(&["AB", "C"]), print(&["A", "BC"]));
        assert_ne!(print(&["A"]), print(&["A\0"]));
        let numbers: HashSet<u64> = (0..100_000)
            .map(|number| {
                let mut print = Fingerprint::empty();
                print.add(number);
                print.add(number / 3);
                print.hash()
            })
            .collect();
        assert_eq!(numbers.len(), 100_000);
    }
}
