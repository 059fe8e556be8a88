//! The best that is possible when the future is known: exactly where all entries count the same, and a bound where they do not.

use std::collections::BinaryHeap;

/// Stands for "never".
const NEVER: u32 = u32::MAX;

/// For each request, when its key is asked for the next time.
pub(super) fn next_uses(requests: &[u32], distinct: usize) -> Vec<u32> {
    let mut last = vec![NEVER; distinct];
    let mut next = vec![NEVER; requests.len()];
    for (at, &id) in requests.iter().enumerate().rev() {
        next[at] = last[id as usize];
        last[id as usize] = u32::try_from(at).expect("fewer than 2^32 requests");
    }
    next
}

/// Hits of Belady's algorithm (1966) with room for `size` entries: of those it has and the one just asked for, the one that is needed last
/// goes, which may be the new one.
pub(super) fn belady(requests: &[u32], next: &[u32], distinct: usize, size: u64) -> u64 {
    // When what is held is needed next; NEVER for what is not held.
    let mut needed = vec![NEVER; distinct];
    // All of that, and some that is not true any more: a key's entry counts if it says what `needed` says.
    let mut farthest = BinaryHeap::new();
    let (mut held, mut hits) = (0, 0);
    for (&id, &next) in requests.iter().zip(next) {
        let slot = id as usize;
        if needed[slot] == NEVER {
            // What is not needed again takes nobody's place.
            if next == NEVER {
                continue;
            }
            if held < size {
                held += 1;
            } else {
                while farthest
                    .peek()
                    .is_some_and(|&(when, other)| needed[other as usize] != when)
                {
                    farthest.pop();
                }
                match farthest.peek() {
                    Some(&(when, other)) if when > next => {
                        needed[other as usize] = NEVER;
                        farthest.pop();
                    }
                    _ => continue,
                }
            }
        } else {
            hits += 1;
            if next == NEVER {
                held -= 1;
            }
        }
        needed[slot] = next;
        if next != NEVER {
            farthest.push((next, id));
        }
    }
    hits
}

/// At least as many hits as any cache of `size` bytes can have: PFOO-L (Berger, Beckmann, Harchol-Balter 2018). A hit costs its bytes for as long as it
/// is kept. The cheapest hits are taken until they have cost what the cache has in all, although it may not have that at every moment.
pub(super) fn bound(weights: &[u64], next: &[u32], size: u64) -> u64 {
    let mut costs: Vec<u128> = next
        .iter()
        .zip(weights)
        .enumerate()
        .filter(|&(_, (&next, &weight))| next != NEVER && weight <= size)
        .map(|(at, (&next, &weight))| u128::from(weight) * (next as usize - at) as u128)
        .collect();
    costs.sort_unstable();
    let mut left = u128::from(size) * next.len() as u128;
    let mut hits = 0;
    for cost in costs {
        // The last one counts, although only a part of it fits: this is a bound from above.
        hits += 1;
        if cost >= left {
            break;
        }
        left -= cost;
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Random;

    /// Tries everything: after each request, any of those held and the new one may be left out.
    fn best(requests: &[u32], size: usize) -> u64 {
        let mut reached = std::collections::HashMap::from([(std::collections::BTreeSet::new(), 0u64)]);
        for id in requests {
            let mut then = std::collections::HashMap::new();
            for (held, hits) in reached {
                let hits = hits + u64::from(held.contains(id));
                let mut with = held.clone();
                with.insert(*id);
                let mut all = vec![held];
                if with.len() <= size {
                    all.push(with);
                } else {
                    all.extend(
                        with.iter()
                            .map(|out| with.iter().filter(|id| *id != out).copied().collect()),
                    );
                }
                for held in all {
                    let most = then.entry(held).or_insert(0);
                    *most = hits.max(*most);
                }
            }
            reached = then;
        }
        reached.into_values().max().unwrap_or(0)
    }

    #[test]
    fn nothing_does_better_than_belady_and_belady_does_as_well() {
        let mut random = Random::new(5);
        for _ in 0..200 {
            let requests: Vec<u32> = (0..24).map(|_| random.below(6) as u32).collect();
            let next = next_uses(&requests, 6);
            for size in 1..=4 {
                let found = belady(&requests, &next, 6, size);
                assert_eq!(found, best(&requests, size as usize), "{requests:?} with {size}");
                let weights = vec![1; requests.len()];
                assert!(bound(&weights, &next, size) >= found, "{requests:?} with {size}");
            }
        }
    }

    #[test]
    fn what_can_never_fit_is_no_hit_of_the_bound() {
        let next = next_uses(&[0, 0, 1, 1], 2);
        assert_eq!(bound(&[5, 5, 1, 1], &next, 4), 1);
        assert_eq!(bound(&[5, 5, 1, 1], &next, 5), 2);
    }
}
