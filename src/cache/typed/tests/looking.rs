//! Looking at values, many at once, and loading what may not be there.

use crate::TypedCache;

#[test]
fn peeking_neither_counts_nor_makes_a_value_the_most_recently_used_one() {
    let cache = TypedCache::builder().max_items(2).build().unwrap();
    cache.insert_many([("a", 1), ("b", 2)]);
    let before = cache.stats();
    assert_eq!((cache.peek("a"), cache.peek("nothing")), (Some(1), None));
    assert_eq!(cache.stats(), before);
    cache.insert("c", 3);
    assert_eq!((cache.peek("a"), cache.peek("b")), (None, Some(2)));
}

#[test]
fn many_are_written_and_removed_in_their_order() {
    let cache = TypedCache::builder().build().unwrap();
    cache.insert_many([(1, "one"), (2, "two"), (1, "once more")]);
    assert_eq!(
        cache.remove_many(&[1, 3, 2, 1]),
        [Some("once more"), None, Some("two"), None]
    );
    assert!(cache.is_empty());
}

#[test]
fn what_a_loader_does_not_find_is_not_stored() {
    let cache = TypedCache::<u32, u32>::builder().build().unwrap();
    assert_eq!(cache.optionally_get_with(&1, || None), None);
    assert!(cache.is_empty());
    let nested = || cache.optionally_get_with(&1, || Some(2)).map(|inner| inner + 1);
    assert_eq!(
        cache.optionally_get_with(&1, nested),
        Some(3),
        "it does not wait for itself"
    );
    assert_eq!(cache.get(&1), Some(3));
}

#[test]
fn an_iterator_says_how_much_is_left_and_ends_for_good() {
    let cache = TypedCache::builder().shards(4).max_items(4000).build().unwrap();
    cache.insert_many((0..1000).map(|n| (n, n)));
    let mut entries = cache.iter();
    let mut seen = 0;
    loop {
        let (least, most) = entries.size_hint();
        assert!(seen + least <= 1000 && most.is_none_or(|most| seen + most == 1000));
        match entries.next() {
            Some(_) => seen += 1,
            None => break,
        }
    }
    assert_eq!(
        (seen, entries.next(), entries.size_hint()),
        (1000, None, (0, Some(0)))
    );
}
