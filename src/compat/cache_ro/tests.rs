//! Bytes that cache_ro's encoder wrote, or might have been damaged to: written out by hand.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bincode::from_slice;

#[derive(Debug, PartialEq, Deserialize)]
enum Shape {
    Point,
    Circle(f32),
    Sum(u8, u8),
    Box { width: u16, name: Option<String> },
}

fn reads<V: DeserializeOwned + PartialEq + Debug>(bytes: &[u8], expected: V) {
    assert_eq!(from_slice::<V>(bytes).unwrap(), expected);
    // Cut anywhere, or with something after it, it is none.
    for len in 0..bytes.len() {
        assert!(
            from_slice::<V>(&bytes[..len]).is_err(),
            "{expected:?} cut to {len} bytes"
        );
    }
    assert!(
        from_slice::<V>(&[bytes, &[0]].concat()).is_err(),
        "{expected:?} and a byte"
    );
}

#[test]
fn each_kind_of_value_is_read_as_it_was_written() {
    reads(&[250], 250_u16);
    reads(&[251, 0, 251], 251_u64);
    reads(&[251, 255, 255], 65_535_u32);
    reads(&[252, 0, 1, 0, 0], 65_536_u64);
    reads(&[253, 0, 0, 0, 1, 0, 0, 0, 0], 1_u64 << 32);
    reads(&[&[254][..], &[255; 16]].concat(), u128::MAX);
    reads(&[&[254][..], &[255; 16]].concat(), i128::MIN);
    reads(&[255], 255_u8);
    reads(&[255], -1_i8);
    reads(&[1], -1_i16);
    reads(&[84], 42_i64);
    reads(&[251, 255, 255], i16::MIN);
    reads(&[1], true);
    reads(&[0xc3, 0x9f], 'ß');
    reads(&[0x40, 0x04, 0, 0, 0, 0, 0, 0], 2.5_f64);
    reads(&[3, b'A', b'd', b'a'], "Ada".to_owned());
    reads(&[2, 7, 8], vec![7_u8, 8]);
    reads(&[1, 2, b'h', b'i'], Some("hi".to_owned()));
    reads(&[1, 1, b'a', 2], BTreeMap::from([("a".to_owned(), 1_i32)]));
    reads(&[1, 2, b'x', b'y'], (1_u8, "xy".to_owned()));
    reads(
        &[3, 0, 1, 0xbf, 0x80, 0, 0, 2, 8, 9],
        vec![Shape::Point, Shape::Circle(-1.0), Shape::Sum(8, 9)],
    );
    reads(
        &[3, 251, 1, 44, 1, 1, b'n'],
        Shape::Box {
            width: 300,
            name: Some("n".into()),
        },
    );
    assert_eq!(from_slice::<()>(&[]), Ok(()));
    assert_eq!(from_slice::<Option<u64>>(&[0]), Ok(None));
}

#[test]
fn what_the_encoder_never_wrote_is_no_value() {
    // An integer in a longer form than it takes; one that is too large; the byte that begins none.
    assert!(from_slice::<u64>(&[251, 0, 250]).is_err());
    assert!(from_slice::<u16>(&[252, 0, 1, 0, 0]).is_err());
    assert!(from_slice::<u64>(&[255]).is_err());
    assert!(from_slice::<bool>(&[2]).is_err());
    assert!(from_slice::<Option<u8>>(&[2, 1]).is_err());
    assert!(from_slice::<String>(&[2, 0xc3, 0x28]).is_err());
    assert!(from_slice::<char>(&[0x80]).is_err());
    assert!(from_slice::<Shape>(&[4]).is_err());
}

#[derive(Debug, Deserialize)]
struct Chain {
    #[expect(dead_code, reason = "only its depth matters")]
    next: Option<Box<Chain>>,
}

#[test]
fn hostile_lengths_and_depths_are_errors_and_take_no_memory() {
    let huge = [253, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    assert!(from_slice::<Vec<u64>>(&huge).is_err());
    assert!(from_slice::<String>(&huge).is_err());
    assert!(from_slice::<BTreeMap<u64, u64>>(&huge).is_err());
    // A unit takes no bytes, so that any number of them might follow.
    assert!(from_slice::<Chain>(&[1; 100_000]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = from_slice::<Vec<Shape>>(&bytes);
        let _ = from_slice::<BTreeMap<String, Vec<Option<i64>>>>(&bytes);
        let _ = from_slice::<(char, f32, u128, [i16; 3])>(&bytes);
    }
}
