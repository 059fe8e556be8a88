//! A value of one type read as another is an error, or means the same.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod loading;
mod nesting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

/// Looks like a `User`, to who reads positions instead of names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    number: u64,
    article: String,
}

/// Has what a `User` has, and more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Member {
    id: u64,
    name: String,
    since: u32,
}

/// Has less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(u64, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Rectangle(u32, u32),
    Text { at: (i8, i8), says: String },
    Nested(Box<Shape>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    large: u64,
    negative: i64,
    single: f32,
    double: f64,
    letter: char,
    text: String,
    bytes: Vec<u8>,
    maybe: Option<u32>,
    unit: (),
    tuple: (u8, String),
    map: BTreeMap<String, Vec<i32>>,
    numbers: HashMap<i16, bool>,
    set: HashSet<u8>,
    shape: Shape,
    inner: Option<Box<Everything>>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Point),
        any::<f64>().prop_map(Shape::Circle),
        (any::<u32>(), any::<u32>()).prop_map(|(a, b)| Shape::Rectangle(a, b)),
        (any::<(i8, i8)>(), ".*").prop_map(|(at, says)| Shape::Text { at, says }),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| {
        inner.prop_map(|shape| Shape::Nested(Box::new(shape)))
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let leaf = (
        (
            any::<bool>(),
            any::<i8>(),
            any::<u64>(),
            any::<i64>(),
            any::<f32>(),
            any::<f64>(),
        ),
        (
            any::<char>(),
            ".*",
            any::<Vec<u8>>(),
            any::<Option<u32>>(),
            any::<(u8, String)>(),
        ),
        (
            any::<BTreeMap<String, Vec<i32>>>(),
            any::<HashMap<i16, bool>>(),
            any::<HashSet<u8>>(),
            shape(),
        ),
    );
    let made = leaf.prop_map(|(numbers, texts, others)| Everything {
        flag: numbers.0,
        small: numbers.1,
        large: numbers.2,
        negative: numbers.3,
        single: numbers.4,
        double: numbers.5,
        letter: texts.0,
        text: texts.1,
        bytes: texts.2,
        maybe: texts.3,
        unit: (),
        tuple: texts.4,
        map: others.0,
        numbers: others.1,
        set: others.2,
        shape: others.3,
        inner: None,
    });
    let made = made.boxed();
    made.clone().prop_flat_map(move |outer| {
        proptest::option::of(made.clone()).prop_map(move |inner| Everything {
            inner: inner.map(Box::new),
            ..outer.clone()
        })
    })
}

/// What a value means, without its type: numbers by what they are worth, maps without an order.
fn meaning<T: Serialize>(value: &T) -> serde_json::Value {
    fn normal(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Number(number) => {
                // Exact for all integers below 2^53, and the decoder takes no others for floats.
                let as_float = number.as_f64().unwrap();
                let is_float =
                    number.is_f64() && as_float.fract() == 0.0 && as_float.abs() <= 9_007_199_254_740_992.0;
                if is_float {
                    Value::from(as_float as i64)
                } else {
                    Value::Number(number)
                }
            }
            Value::Array(values) => Value::Array(values.into_iter().map(normal).collect()),
            Value::Object(entries) => Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, normal(value)))
                    .collect(),
            ),
            other => other,
        }
    }
    normal(serde_json::to_value(value).unwrap())
}

/// Reads what was written as one type as many others.
fn reads_only_as_what_means_the_same<T: Serialize + Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = encode(value).unwrap();
    let expected = meaning(value);
    macro_rules! check {
        ($($other:ty),* $(,)?) => {
            $(if let Ok(read) = decode::<$other>(&bytes) {
                prop_assert_eq!(meaning(&read), expected.clone(), "{:?} read as {}", value, stringify!($other));
            })*
        };
    }
    check!(
        bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, char, String, Vec<u8>, Vec<i64>, Vec<String>, Vec<f64>,
        Vec<Vec<u8>>, [u8; 2], [u8; 3], (u8, u8), (u64, String), (String, u64), BTreeMap<String, u64>, BTreeMap<String, String>,
        BTreeMap<String, Vec<u8>>, HashMap<String, bool>, Option<u8>, Option<String>, Option<Vec<u8>>, User, Order, Member, Named,
        Pair, Meters, Shape, Colour, Everything, Vec<User>, Vec<Shape>, Option<User>, BTreeMap<String, Shape>, Box<str>,
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read_as_the_same(value in everything()) {
        let read: Everything = decode(&encode(&value).unwrap()).unwrap();
        // NaN is not equal to itself; its bits are.
        prop_assert_eq!(format!("{read:?}").len(), format!("{value:?}").len());
        let is_number = |value: &Everything| !value.single.is_nan() && !value.double.is_nan();
        prop_assume!(is_number(&value) && value.inner.as_deref().is_none_or(is_number));
        prop_assert_eq!(read, value);
    }

    #[test]
    fn a_value_read_as_another_type_is_an_error_or_means_the_same(
        user in (any::<u64>(), ".*").prop_map(|(id, name)| User { id, name }),
        shape in shape().prop_filter("JSON has no infinity", |shape| !format!("{shape:?}").contains("inf") && !format!("{shape:?}").contains("NaN")),
        numbers in prop::collection::vec(any::<i64>(), 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
        texts in prop::collection::vec("[a-zA-Z]{0,3}", 0..3),
        map in prop::collection::btree_map("[a-z]{1,4}", any::<u8>(), 0..3),
        float in prop_oneof![any::<i32>().prop_map(f64::from), -1e300..1e300],
        flag in any::<bool>(),
    ) {
        reads_only_as_what_means_the_same(&user)?;
        reads_only_as_what_means_the_same(&Some(user.clone()))?;
        reads_only_as_what_means_the_same(&vec![user.clone()])?;
        reads_only_as_what_means_the_same(&Order { number: user.id, article: user.name.clone() })?;
        reads_only_as_what_means_the_same(&Member { id: user.id, name: user.name.clone(), since: 1 })?;
        reads_only_as_what_means_the_same(&Pair(user.id, user.name.clone()))?;
        reads_only_as_what_means_the_same(&(user.name.clone(), user.id))?;
        reads_only_as_what_means_the_same(&user.name)?;
        reads_only_as_what_means_the_same(&user.id)?;
        reads_only_as_what_means_the_same(&shape)?;
        reads_only_as_what_means_the_same(&numbers)?;
        reads_only_as_what_means_the_same(&bytes)?;
        reads_only_as_what_means_the_same(&texts)?;
        reads_only_as_what_means_the_same(&map)?;
        reads_only_as_what_means_the_same(&float)?;
        reads_only_as_what_means_the_same(&flag)?;
        reads_only_as_what_means_the_same(&Colour::Green)?;
        reads_only_as_what_means_the_same(&())?;
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<Everything>(&bytes);
        let _ = decode::<Vec<Shape>>(&bytes);
        let _ = decode::<serde_json::Value>(&bytes);
        let _ = decode::<HashMap<String, Option<Vec<f32>>>>(&bytes);
    }
}

/// Whether what was written is refused as another type.
fn is_refused<T: DeserializeOwned + Debug>(value: &(impl Serialize + Debug)) {
    let read = decode::<T>(&encode(value).unwrap());
    assert!(
        matches!(read, Err(EncodingError::WrongType { .. })),
        "{value:?} was read as {read:?}"
    );
}

#[test]
fn what_serde_alone_would_take_is_refused() {
    // By position.
    is_refused::<User>(&(1u64, "Ada"));
    is_refused::<User>(&Pair(1, "Ada".to_owned()));
    is_refused::<User>(&BTreeMap::from([(0u8, 1u8), (1, 2)]));
    is_refused::<Colour>(&0u8);
    is_refused::<Colour>(&1u64);
    is_refused::<Shape>(&BTreeMap::from([(1u8, 1.5)]));
    is_refused::<Shape>(&BTreeMap::from([("Rectangle", vec![1u32, 2, 3])]));
    is_refused::<Shape>(&BTreeMap::from([("Text", (1u8, "a"))]));
    // By rounding.
    is_refused::<f32>(&0.1f64);
    is_refused::<f64>(&u64::MAX);
    is_refused::<f64>(&((1i64 << 53) + 1));
    is_refused::<f32>(&16_777_217u32);
    is_refused::<u8>(&256u16);
    is_refused::<u8>(&-1);
    is_refused::<u64>(&1.0f64);
    // Of another kind.
    is_refused::<String>(&serde_bytes_of(b"text"));
    is_refused::<bool>(&1u8);
    is_refused::<char>(&"ab");
    is_refused::<()>(&0u8);
    is_refused::<Vec<u8>>(&"text");
    is_refused::<Vec<u8>>(&serde_bytes_of(b"text"));
    // Too much or too little.
    is_refused::<Named>(&User {
        id: 1,
        name: String::new(),
    });
    is_refused::<Member>(&User {
        id: 1,
        name: String::new(),
    });
    is_refused::<(u8, u8)>(&(1u8, 2u8, 3u8));
    is_refused::<[u8; 3]>(&(1u8, 2u8));
}

/// Bytes as such, and not as numbers.
fn serde_bytes_of(bytes: &[u8]) -> impl Serialize + Debug {
    #[derive(Debug)]
    struct AsBytes(Vec<u8>);
    impl Serialize for AsBytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    AsBytes(bytes.to_vec())
}

#[test]
fn a_field_that_came_later_takes_its_default() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newer {
        id: u64,
        name: String,
        email: Option<String>,
        #[serde(default)]
        visits: u32,
    }
    let user = User {
        id: 1,
        name: "Ada".to_owned(),
    };
    let newer: Newer = decode(&encode(&user).unwrap()).unwrap();
    assert_eq!(
        newer,
        Newer {
            id: 1,
            name: "Ada".to_owned(),
            email: None,
            visits: 0
        }
    );
}

#[test]
fn who_asks_for_anything_gets_what_is_there() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(u32),
        Text(String),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        id: u64,
        #[serde(flatten)]
        rest: BTreeMap<String, String>,
    }
    let user = User {
        id: 1,
        name: "Ada".to_owned(),
    };
    let bytes = encode(&user).unwrap();
    let json: serde_json::Value = decode(&bytes).unwrap();
    assert_eq!(json, serde_json::json!({ "id": 1, "name": "Ada" }));
    let flat: Flat = decode(&bytes).unwrap();
    assert_eq!(flat.rest["name"], "Ada");
    assert_eq!(decode::<Flat>(&encode(&flat).unwrap()).unwrap(), flat);
    for value in [NumberOrText::Number(7), NumberOrText::Text("seven".to_owned())] {
        assert_eq!(decode::<NumberOrText>(&encode(&value).unwrap()).unwrap(), value);
    }
}

#[test]
fn a_cut_or_continued_value_is_refused() {
    let bytes = encode(&User {
        id: 300,
        name: "Ada".to_owned(),
    })
    .unwrap();
    for len in 0..bytes.len() {
        assert!(decode::<User>(&bytes[..len]).is_err(), "{len}");
    }
    let longer = [&bytes[..], b"\x00"].concat();
    let error = decode::<User>(&longer).unwrap_err().to_string();
    assert!(
        error.contains("User") && error.contains("1 bytes follow"),
        "{error}"
    );
}

#[test]
fn nesting_is_bounded_whatever_the_bytes_say() {
    let deep = |levels: usize| (0..levels).fold(Shape::Point, |shape, _| Shape::Nested(Box::new(shape)));
    let bytes = encode(&deep(150)).unwrap();
    assert_eq!(decode::<Shape>(&bytes), Ok(deep(150)));
    // {"Nested": {"Nested": …, and the same with arrays.
    let nested = b"\x81\xa6Nested".repeat(100_000);
    let error = decode::<Shape>(&nested).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
    #[derive(Debug, Serialize, Deserialize)]
    struct Tree(Vec<Tree>);
    let error = decode::<Tree>(&[0x91; 100_000]).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
}

#[test]
fn a_length_that_is_claimed_takes_no_memory() {
    // Arrays, texts, bytes and maps of four thousand million elements.
    for claim in [0xdd, 0xdb, 0xc6, 0xdf] {
        let bytes = [claim, 0xff, 0xff, 0xff, 0xff, 1, 1];
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        assert!(decode::<String>(&bytes).is_err());
        assert!(decode::<HashMap<u64, u64>>(&bytes).is_err());
        assert!(decode::<serde_json::Value>(&bytes).is_err());
    }
}

#[test]
fn what_was_not_written_as_a_typed_value_is_told_as_that() {
    let cache = Cache::builder().build().unwrap();
    cache.set("text", "\x01", SetOptions::default()).unwrap();
    let error = cache.get_as::<u8>("text").unwrap_err();
    assert_eq!(error, EncodingError::WrongTag { found: 0 });
    assert!(error.to_string().contains("tag 0"), "{error}");
    assert_eq!(cache.get("text").unwrap().value, "\x01");
}

#[test]
fn others_can_read_it() {
    let cache = Cache::builder().build().unwrap();
    let user = User {
        id: 1,
        name: "Ada".to_owned(),
    };
    cache.set_as("k", &user, SetOptions::default()).unwrap();
    let entry = cache.get("k").unwrap();
    assert_eq!(entry.tag, Tag::MESSAGE_PACK);
    // {"id": 1, "name": "Ada"}
    assert_eq!(entry.value, b"\x82\xa2id\x01\xa4name\xa3Ada");
    // What JavaScript writes for 2.0 is an integer.
    assert_eq!(decode::<Meters>(b"\x02"), Ok(Meters(2.0)));
}

#[test]
fn a_value_that_cannot_be_written_changes_nothing() {
    struct Unwilling;
    impl Serialize for Unwilling {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let cache = Cache::builder().max_value_bytes(4).build().unwrap();
    cache.set_as("k", &1, SetOptions::default()).unwrap();
    let error = cache.set_as("k", &Unwilling, SetOptions::default()).unwrap_err();
    assert!(matches!(error, EncodingError::Encode { .. }));
    let text = error.to_string();
    assert!(text.contains("Unwilling") && text.contains("not today"), "{text}");
    let error = cache.set_as("k", "12345", SetOptions::default()).unwrap_err();
    assert_eq!(
        error,
        EncodingError::Refused(Error::ValueTooLong { len: 6, max: 4 })
    );
    assert_eq!(cache.get_as("k"), Ok(Some(1)));
}

#[test]
fn views_of_several_types_share_a_cache() {
    let cache = Cache::builder().build().unwrap();
    let users = cache.encoded::<User>("user:");
    let scores = cache.encoded::<u32>("score:");
    let ada = User {
        id: 1,
        name: "Ada".to_owned(),
    };
    users.set("1", &ada).unwrap();
    scores.set("1", &7).unwrap();
    assert_eq!(
        (users.get("1"), scores.clone().get("1")),
        (Ok(Some(ada)), Ok(Some(7)))
    );
    assert_eq!(users.clear(), 1);
    assert_eq!(scores.iter().count(), 1);
    cache.set("score:bad", "text", SetOptions::default()).unwrap();
    let found: BTreeMap<_, _> = scores.into_iter().collect();
    assert_eq!(found[&b"1"[..]], Ok(7));
    assert!(found[&b"bad"[..]].is_err());
}
