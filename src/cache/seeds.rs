//! Seeds for hashing: each cache has its own, so that nobody can choose keys whose hashes are alike. A seeded hash never leaves the process.

use std::hash::BuildHasher;

use ahash::RandomState;

/// A hasher with seeds from the system's source of randomness. The standard library asks for them once for each thread and derives new ones with each call, which
/// saves a dependency of our own for that.
pub(crate) fn seeded() -> RandomState {
    let word = |number: u8| std::hash::RandomState::new().hash_one(number);
    RandomState::with_seeds(word(0), word(1), word(2), word(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_caches_hash_alike() {
        let hashes: std::collections::HashSet<u64> = (0..100).map(|_| seeded().hash_one("key")).collect();
        assert_eq!(hashes.len(), 100);
    }
}
