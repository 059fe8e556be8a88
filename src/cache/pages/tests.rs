//! What lies in a place stays there; and pages are given back.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn put(pages: &mut Pages, len: usize, number: u32) -> Place {
    let place = pages.take(len).expect("there are pages left");
    let bytes = pages.bytes_mut(place);
    bytes[..4].fill(0);
    bytes[4..8].copy_from_slice(&number.to_le_bytes());
    place
}

fn number(pages: &Pages, place: Place) -> u32 {
    u32::from_le_bytes(pages.bytes(place)[4..8].try_into().unwrap())
}

proptest! {
    #[test]
    fn what_lies_in_a_place_stays_there_until_it_is_given_back_or_moved(
        steps in prop::collection::vec((0u8..10, prop_oneof![8usize..40, 8usize..LONGEST], any::<prop::sample::Index>()), 0..600)
    ) {
        let mut pages = Pages::new(0, 1);
        let mut model: Vec<(Place, u32)> = Vec::new();
        for (n, (step, len, index)) in (0..).zip(steps) {
            match step {
                0..6 => {
                    let place = put(&mut pages, len, n);
                    prop_assert!(model.iter().all(|&(other, _)| other != place));
                    model.push((place, n));
                }
                6..9 => if !model.is_empty() {
                    let (place, _) = model.swap_remove(index.index(model.len()));
                    pages.give_back(place);
                },
                _ => if let Some(from) = pages.straggler() {
                    let entry = model.iter_mut().find(|(place, _)| *place == from).expect("it is occupied");
                    let len = pages.bytes(from).len();
                    entry.0 = put(&mut pages, len, entry.1);
                    pages.give_back(from);
                },
            }
            prop_assert_eq!(pages.validate(), model.len());
            for &(place, n) in &model {
                prop_assert_eq!(number(&pages, place), n);
            }
        }
    }
}

#[test]
fn pages_are_held_together_when_a_class_becomes_smaller() {
    let mut pages = Pages::new(u64::MAX, 1);
    let mut places: Vec<Place> = (0..100_000).map(|n| put(&mut pages, 80, n)).collect();
    let full = pages.areas.iter().filter(|area| !area.bytes.is_empty()).count();
    // Those that stay lie all over the place.
    for n in 0..100_000usize {
        if !n.is_multiple_of(10) {
            pages.give_back(places[n]);
        }
        while let Some(from) = pages.straggler() {
            let moved = number(&pages, from);
            places[moved as usize] = put(&mut pages, 80, moved);
            pages.give_back(from);
        }
    }
    assert_eq!(pages.validate(), 10_000);
    let left = pages.areas.iter().filter(|area| !area.bytes.is_empty()).count();
    assert!(left <= full / 10 + 2, "{left} pages of {full}");
    assert!(
        (0..100_000)
            .step_by(10)
            .all(|n| number(&pages, places[n as usize]) == n)
    );
}

#[test]
fn every_class_is_held_together_though_one_page_is_evacuated_at_a_time() {
    let mut pages = Pages::new(u64::MAX, 1);
    let lens = [24, 80, 200, 1000, 4000];
    let all: Vec<usize> = lens
        .into_iter()
        .flat_map(|len| vec![len; 20 * PAGE_BYTES / len])
        .collect();
    let mut places: Vec<Place> = (0..).zip(&all).map(|(n, &len)| put(&mut pages, len, n)).collect();
    // Nothing is moved until all is given back: the first class to become loose has a page under evacuation throughout.
    for (n, &place) in places.iter().enumerate() {
        if !n.is_multiple_of(10) {
            pages.give_back(place);
        }
    }
    while let Some(from) = pages.straggler() {
        let moved = number(&pages, from);
        places[moved as usize] = pages.copy(from).expect("there are pages left");
        pages.give_back(from);
    }
    pages.validate();
    let loose: Vec<usize> = lens
        .into_iter()
        .filter(|&len| pages.is_loose(class_of(len)))
        .collect();
    assert!(
        loose.is_empty(),
        "pages for {loose:?} bytes are not held together"
    );
    assert!(
        (0..all.len())
            .step_by(10)
            .all(|n| number(&pages, places[n]) as usize == n)
    );
}

#[test]
fn one_small_entry_takes_little() {
    let mut pages = Pages::new(u64::MAX, 1);
    put(&mut pages, 80, 1);
    assert_eq!(pages.areas[0].bytes.len(), FIRST_BYTES);
    let places: Vec<Place> = (0..10_000).map(|n| put(&mut pages, 80, n)).collect();
    assert!(pages.areas.iter().all(|area| area.bytes.len() == PAGE_BYTES));
    assert_eq!(pages.cost(80), 81);
    assert_eq!(pages.cost(4096), 4096);
    assert_eq!(places.len(), 10_000);
}
