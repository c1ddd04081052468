//! The one source of chance: `SplitMix64`, seeded from a text.
//!
//! An own generator of ten lines instead of a crate, because the sample must come out byte for byte the same
//! for years, and crates are free to change their streams between versions.

/// `SplitMix64` (Steele, Lea and Flood, 2014): a counter with a mixing function over it.
pub(crate) struct Random(u64);

impl Random {
    /// A stream that depends on `text` alone (FNV-1a over its bytes).
    ///
    /// Each lane and each port has a stream of its own, so that a new one leaves the numbers of all others as they are.
    pub(crate) fn seeded(text: &str) -> Self {
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    ///
    /// The remainder favours small numbers by less than one in 10^15 at the spans used here.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low) + 1;
        low.saturating_add_unsigned(self.next() % span)
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: i64) -> bool {
        self.between(0, 999) < per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_splitmix64() {
        // The first outputs for seed 0 in the published reference implementation.
        let mut random = Random(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(random.next(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn seeds_by_fnv_1a() {
        assert_eq!(Random::seeded("a").0, 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn reaches_both_ends_and_nothing_outside() {
        let mut random = Random::seeded("ends");
        let drawn: std::collections::BTreeSet<i64> = (0..1000).map(|_| random.between(-2, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
    }
}
