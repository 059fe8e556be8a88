//! What can be written can be read: neither is too deep for the stack, and neither takes what the other does not.

use serde::de::DeserializeOwned;

use super::*;

/// A list whose elements lie in each other, taken apart without recursion.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Link {
    next: Option<Box<Link>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

fn chain(links: usize) -> Link {
    (1..links).fold(Link { next: None }, |link, _| Link {
        next: Some(Box::new(link)),
    })
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Around(Box<Tree>),
    Between(u8, Box<Tree>),
    Named { tree: Box<Tree> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct List(Vec<List>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Table(BTreeMap<u8, Table>);

/// Nothing but wrappers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(Option<Box<Wrapped>>);

/// The depth to which values of a kind can be written: each up to there can be read, and none beyond it can be written.
fn most<T: Serialize + DeserializeOwned + PartialEq + Debug>(nested: impl Fn(usize) -> T) -> usize {
    let readable = (1..).take_while(|&depth| {
        let value = nested(depth);
        match encode(&value) {
            Ok(bytes) => {
                assert_eq!(
                    decode::<T>(&bytes),
                    Ok(value),
                    "what was written at depth {depth}"
                );
                true
            }
            Err(error) => {
                assert!(error.to_string().contains("nested too deeply"), "{error}");
                false
            }
        }
    });
    readable.last().unwrap()
}

#[test]
fn what_is_written_can_be_read_however_deeply_it_is_nested() {
    let nest = |depth, leaf: Tree, around: fn(Box<Tree>) -> Tree| {
        (1..depth).fold(leaf, |tree, _| around(Box::new(tree)))
    };
    assert_eq!(most(chain), 200);
    assert_eq!(most(|depth| nest(depth, Tree::Leaf, Tree::Around)), 200);
    // A variant, and the sequence or map in it.
    let between = |tree| Tree::Between(1, tree);
    assert_eq!(most(|depth| nest(depth, Tree::Leaf, between)), 100);
    assert_eq!(
        most(|depth| nest(depth, Tree::Leaf, |tree| Tree::Named { tree })),
        100
    );
    let lists = |depth| (1..depth).fold(List(Vec::new()), |list, _| List(vec![list]));
    assert_eq!(most(lists), 200);
    let tables = |depth| (1..depth).fold(Table(BTreeMap::new()), |table, _| Table([(1, table)].into()));
    assert_eq!(most(tables), 200);
}

#[test]
fn nothing_is_too_deep_for_the_stack() {
    let cache = Cache::builder().build().unwrap();
    let refused = cache.set_as("deep", &chain(1_000_000), SetOptions::default());
    assert!(
        matches!(refused, Err(EncodingError::Encode { .. })),
        "{refused:?}"
    );
    assert!(!cache.contains("deep"));
}

#[test]
fn a_type_of_wrappers_alone_is_bounded_as_well() {
    let wrapped = |depth| (0..depth).fold(Wrapped(None), |inner, _| Wrapped(Some(Box::new(inner))));
    assert!(encode(&wrapped(10)).is_ok());
    let error = encode(&wrapped(5000)).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
    // A number in no end of wrappers.
    let error = decode::<Wrapped>(&[5]).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
}

#[test]
fn integers_of_128_bits_are_refused_when_they_are_written() {
    let cache = Cache::builder().build().unwrap();
    let refused = cache.set_as("n", &vec![Some(7_u128)], SetOptions::default());
    let error = refused.unwrap_err();
    assert!(matches!(error, EncodingError::Encode { .. }), "{error:?}");
    assert!(
        error.to_string().contains("7 is an integer of 128 bits"),
        "{error}"
    );
    assert!(encode(&-7_i128).is_err());
    assert!(cache.is_empty());
}
