//! What is asked of every key: its hash, and whether it is the one that lies there. Each read does both, so they take few instructions; what a hash is
//! used for is not known here.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

/// The hash of a key, with the hasher's seed.
#[inline(always)]
pub(super) fn hash_of(hasher: &RandomState, key: &[u8]) -> u64 {
    // `hash_one` would have the length go in twice.
    let mut state = hasher.build_hasher();
    state.write(key);
    state.finish()
}

/// Whether two keys are the same. Those of 8 to 32 bytes are compared in place, by two parts that may overlap, which is shorter than a call.
#[inline(always)]
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match one.len() {
        16..=32 => ends::<16>(one) == ends::<16>(other),
        8..16 => ends::<8>(one) == ends::<8>(other),
        _ => one == other,
    }
}

#[inline(always)]
fn ends<const N: usize>(key: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    Some((key.first_chunk()?, key.last_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::seeds::seeded;

    #[test]
    fn keys_are_the_same_if_each_byte_is() {
        for len in 0..70 {
            let key: Vec<u8> = (0..len).collect();
            assert!(is_same(&key, &key.clone()));
            assert!(!is_same(&key, &[&key[..], b"x"].concat()));
            for at in 0..key.len() {
                let mut other = key.clone();
                other[at] ^= 1;
                assert!(!is_same(&key, &other), "byte {at} of {len}");
            }
        }
    }

    #[test]
    fn keys_of_zeros_have_different_hashes_for_each_length() {
        let hasher = seeded();
        let mut hashes: Vec<u64> = (0..100).map(|len| hash_of(&hasher, &[0; 100][..len])).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 100);
    }
}
