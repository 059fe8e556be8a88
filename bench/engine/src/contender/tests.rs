//! That every participant does what it is measured by.

use super::*;
use crate::memory::deadline_in;
use crate::workload::{key, value};
use std::time::Duration;

fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for limit in [Limit::Items(1000), Limit::Bytes(1 << 20, 1000, Weigh::Payload)] {
        for shared in [false, true] {
            shapes.push(Shape {
                limit: limit.clone(),
                one_shard: !shared,
                shared,
                ttl: false,
            });
        }
    }
    shapes
}

#[test]
fn all_give_back_what_they_were_given() {
    for participant in participants() {
        for shape in shapes() {
            for values in [Values::Boxed, Values::Shared] {
                let mut cache = participant.make(&shape, values);
                for number in 0..100 {
                    cache.insert(&key(number), &value(number));
                }
                let name = participant.name;
                assert_eq!(cache.len(), 100, "{name} in {shape:?}");
                for number in 0..100 {
                    assert_eq!(cache.get(&key(number)), Some(number as u8), "{name} in {shape:?}");
                }
                assert_eq!(cache.get(&key(100)), None, "{name} in {shape:?}");
                let keys: Vec<_> = (90..110).map(key).collect();
                assert_eq!(cache.get_batch(&keys), 10, "{name} in {shape:?}");
                if shape.shared {
                    let mut twin = cache.twin().expect("a handle for another thread");
                    assert_eq!(twin.get(&key(7)), Some(7), "{name} in {shape:?}");
                }
            }
        }
    }
}

#[test]
fn none_holds_more_than_its_limit() {
    for participant in participants() {
        for shape in shapes() {
            let mut cache = participant.make(&shape, Values::Boxed);
            let long = vec![1; 4096];
            for number in 0..5000 {
                cache.insert(&key(number), &long[..number as usize % 4096]);
            }
            let held = cache.len();
            let most = match shape.limit {
                Limit::Items(items) => items,
                // Each weighs its key at least.
                Limit::Bytes(bytes, ..) => bytes / KEY_BYTES as u64,
            };
            let name = participant.name;
            assert!(held > 0 && held <= most, "{name} holds {held} in {shape:?}");
        }
    }
}

#[test]
fn those_who_know_deadlines_keep_them() {
    for participant in participants().iter().filter(|participant| participant.has_ttl) {
        let shape = Shape {
            limit: Limit::Items(1000),
            one_shard: true,
            shared: false,
            ttl: true,
        };
        let mut cache = participant.make(&shape, Values::Boxed);
        cache.insert_until(&key(1), &value(1), deadline_in(Duration::from_secs(3600)));
        cache.insert_until(&key(2), &value(2), deadline_in(Duration::ZERO));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(cache.get(&key(1)), Some(1), "{}", participant.name);
        assert_eq!(cache.get(&key(2)), None, "{}", participant.name);
    }
}

#[test]
fn what_is_charged_grows_with_the_value() {
    let table = charges(8, [0, 1000, 10]);
    assert!(
        table[&0] >= 8 && table[&10] >= table[&0] + 2 && table[&1000] >= 1008,
        "{table:?}"
    );
}

#[test]
fn names_are_looked_up_and_a_wrong_one_is_told_the_right_ones() {
    for participant in participants() {
        assert_eq!(
            named(participant.name).map(|found| found.name),
            Ok(participant.name)
        );
    }
    let error = named("redis").map(|found| found.name).expect_err("there is none");
    assert!(error.contains("\"redis\"") && error.contains(BASE), "{error}");
}
