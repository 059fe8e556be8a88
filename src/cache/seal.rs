//! Seals where a scan goes on before it leaves the process, and opens it again: a permutation of 64 bits that only who has the cache's hasher knows (Luby, Rackoff, 1988:
//! four rounds of a Feistel network). Seeded hashes are not to be seen outside, or keys could be chosen by them. Knows nothing of shards and hashes.

use ahash::RandomState;

const ROUNDS: u32 = 4;

/// 0 stays 0: the beginning.
pub(super) fn seal(hasher: &RandomState, position: u64) -> u64 {
    match permuted(hasher, position) {
        _ if position == 0 => 0,
        // Another position's place is taken by the beginning, whose place it gets.
        0 => permuted(hasher, 0),
        sealed => sealed,
    }
}

/// What was sealed; of anything else, an arbitrary position.
pub(super) fn open(hasher: &RandomState, sealed: u64) -> u64 {
    match restored(hasher, sealed) {
        _ if sealed == 0 => 0,
        0 => restored(hasher, 0),
        position => position,
    }
}

fn permuted(hasher: &RandomState, whole: u64) -> u64 {
    let (mut left, mut right) = halves(whole);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ mixed(hasher, round, right));
    }
    u64::from(left) << 32 | u64::from(right)
}

fn restored(hasher: &RandomState, whole: u64) -> u64 {
    let (mut left, mut right) = halves(whole);
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ mixed(hasher, round, left), left);
    }
    u64::from(left) << 32 | u64::from(right)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
const fn halves(whole: u64) -> (u32, u32) {
    ((whole >> 32) as u32, whole as u32)
}

#[expect(clippy::cast_possible_truncation, reason = "as many bits as are needed")]
fn mixed(hasher: &RandomState, round: u32, half: u32) -> u32 {
    hasher.hash_one((round, half)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::seeds::seeded;

    #[test]
    fn what_is_sealed_can_be_opened_and_only_the_beginning_is_0() {
        let hasher = seeded();
        // The one whose place the beginning takes, too.
        let positions = (0..10_000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for position in positions.chain([1, u64::MAX, restored(&hasher, 0)]) {
            let sealed = seal(&hasher, position);
            assert_eq!(open(&hasher, sealed), position);
            assert_eq!(sealed == 0, position == 0, "{position}");
        }
    }

    #[test]
    fn neighbours_are_not_neighbours_when_they_are_sealed_and_each_cache_seals_otherwise() {
        let (hasher, other) = (seeded(), seeded());
        let flipped: u32 = (1..1_000u64)
            .map(|position| (seal(&hasher, position) ^ seal(&hasher, position + 1)).count_ones())
            .sum();
        assert!((30_000..34_000).contains(&flipped), "{flipped} of 63,936 bits");
        let same = (1..1_000u64).filter(|&position| seal(&hasher, position) == seal(&other, position));
        assert_eq!(same.count(), 0);
    }
}
