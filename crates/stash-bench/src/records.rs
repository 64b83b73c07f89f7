//! What the stores under measurement hold: the same records, whoever keeps them.

use stash_core::ComponentId;

/// Bytes in every value.
pub const VALUE_BYTES: usize = 100;

/// Records of the component that is measured alone.
pub const RECORDS_ALONE: usize = 30_000;

/// Components that are measured together, and the records of each.
pub const CROWD: usize = 64;
/// Records of each component of the crowd.
pub const RECORDS_IN_CROWD: usize = 300;

/// A value; `n` makes it another one.
pub fn value(n: usize) -> Vec<u8> {
    n.to_le_bytes().iter().copied().cycle().take(VALUE_BYTES).collect()
}

/// The key of a component's record number `n`.
pub fn key(n: usize) -> String {
    format!("user:{n:08}")
}

/// The component that is measured alone.
pub fn alone() -> ComponentId {
    ComponentId::new("bench", "alone", "0").expect("a valid id")
}

/// Component number `n` of those that are measured together.
pub fn in_crowd(n: usize) -> ComponentId {
    ComponentId::new("bench", "crowd", &n.to_string()).expect("a valid id")
}

/// Every component, and how many records it has.
pub fn components() -> impl Iterator<Item = (ComponentId, usize)> {
    std::iter::once((alone(), RECORDS_ALONE)).chain((0..CROWD).map(|n| (in_crowd(n), RECORDS_IN_CROWD)))
}

/// Numbers that look random and are the same in every run.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        usize::try_from(z % u64::try_from(limit).unwrap_or(u64::MAX)).unwrap_or_default()
    }

    /// Keys of records below `limit`.
    pub fn keys(&mut self, count: usize, limit: usize) -> Vec<String> {
        (0..count).map(|_| key(self.below(limit))).collect()
    }
}
