//! A deserializer around another, by which a value is of the kind that was asked for, or an error. serde's own visitors take a number for a variant, an array for a
//! struct, bytes for text, and round numbers: right for a format that people write, and garbage where the type is a mistake.
//!
//! Around everything inside as well: each seed, and each access to a sequence, a map or an enum, hands out deserializers that are wrapped again. Only who asks for "anything" gets what is there,
//! as it is (`serde_json::Value`, `#[serde(untagged)]`, `#[serde(flatten)]`).

mod scalars;

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::depth::Depth;
use scalars::{Binary, Bool, Float, Integer, Text};

pub(super) struct Strict<T> {
    inner: T,
    left: Depth,
}

impl<T> Strict<T> {
    pub(super) fn new(inner: T, left: Depth) -> Self {
        Strict { inner, left }
    }

    /// What is in it.
    fn around<U>(&self, inner: U) -> Strict<U> {
        Strict {
            inner,
            left: self.left,
        }
    }
}

/// What has others in it, or is nothing.
struct Compound<V> {
    visitor: V,
    takes: Takes,
    left: Depth,
}

#[derive(Clone, Copy)]
enum Takes {
    Nothing,
    Option,
    Newtype,
    Sequence,
    Map,
    /// A map with these keys and no others.
    Struct(&'static [&'static str]),
    Enum,
}

impl<V> Compound<V> {
    fn refuses<'de, E: Error>(&self, found: Unexpected<'_>) -> E
    where
        V: Visitor<'de>,
    {
        E::invalid_type(found, &Expected(&self.visitor))
    }

    fn deeper<E: Error>(&self) -> Result<Depth, E> {
        self.left.deeper().ok_or_else(|| E::custom(Depth::EXCEEDED))
    }

    fn wrapped<E: Error>(&self) -> Result<Depth, E> {
        self.left.wrapped().ok_or_else(|| E::custom(Depth::EXCEEDED))
    }
}

/// A visitor as what it expects.
struct Expected<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> serde::de::Expected for Expected<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Compound<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        match self.takes {
            Takes::Nothing => self.visitor.visit_unit(),
            Takes::Option => self.visitor.visit_none(),
            _ => Err(self.refuses(Unexpected::Unit)),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        match self.takes {
            Takes::Option => {
                let left = self.wrapped()?;
                self.visitor.visit_some(Strict::new(value, left))
            }
            _ => Err(self.refuses(Unexpected::Option)),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        match self.takes {
            Takes::Newtype => {
                let left = self.wrapped()?;
                self.visitor.visit_newtype_struct(Strict::new(value, left))
            }
            _ => Err(self.refuses(Unexpected::NewtypeStruct)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        match self.takes {
            Takes::Sequence => {
                let left = self.deeper()?;
                self.visitor.visit_seq(Strict::new(elements, left))
            }
            _ => Err(self.refuses(Unexpected::Seq)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let fields = match self.takes {
            Takes::Map => None,
            Takes::Struct(fields) => Some(fields),
            _ => return Err(self.refuses(Unexpected::Map)),
        };
        let left = self.deeper()?;
        let entries = Strict::new(entries, left);
        self.visitor.visit_map(Entries { entries, fields })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        match self.takes {
            Takes::Enum => {
                let left = self.deeper()?;
                self.visitor.visit_enum(Strict::new(variant, left))
            }
            _ => Err(self.refuses(Unexpected::Enum)),
        }
    }
}

/// Hands these on to `deserialize_any`, by which the format says what is there, to a visitor that takes one kind.
macro_rules! by_kind {
    ($($deserialize:ident: $only:path;)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.deserialize_any($only(visitor))
        })*
    };
}

impl<D> Strict<D> {
    fn compound<V>(&self, visitor: V, takes: Takes) -> Compound<V> {
        Compound {
            visitor,
            takes,
            left: self.left,
        }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    by_kind! {
        deserialize_bool: Bool;
        deserialize_i8: Integer;
        deserialize_i16: Integer;
        deserialize_i32: Integer;
        deserialize_i64: Integer;
        deserialize_u8: Integer;
        deserialize_u16: Integer;
        deserialize_u32: Integer;
        deserialize_u64: Integer;
        deserialize_f32: Float::single;
        deserialize_f64: Float::double;
        deserialize_char: Text;
        deserialize_str: Text;
        deserialize_string: Text;
        deserialize_identifier: Text;
        deserialize_bytes: Binary;
        deserialize_byte_buf: Binary;
        // Integers of 128 bits are bytes in MessagePack, and nothing says whether they are signed: these take none.
        deserialize_i128: Integer;
        deserialize_u128: Integer;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Option);
        self.inner.deserialize_option(compound)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Nothing);
        self.inner.deserialize_unit(compound)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Nothing);
        self.inner.deserialize_unit_struct(name, compound)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Newtype);
        self.inner.deserialize_newtype_struct(name, compound)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Sequence);
        self.inner.deserialize_any(compound)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Map);
        self.inner.deserialize_any(compound)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Struct(fields));
        self.inner.deserialize_any(compound)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let compound = self.compound(visitor, Takes::Enum);
        self.inner.deserialize_enum(name, variants, compound)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let Strict { inner, left } = self;
        inner.deserialize(Strict::new(deserializer, left))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let Strict { inner, left } = self;
        let (name, variant) = inner.variant_seed(Strict::new(seed, left))?;
        Ok((name, Strict::new(variant, left)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let takes = Takes::Sequence;
        let left = self.left;
        self.inner
            .newtype_variant_seed(Content(Compound { visitor, takes, left }))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let takes = Takes::Struct(fields);
        let left = self.left;
        self.inner
            .newtype_variant_seed(Content(Compound { visitor, takes, left }))
    }
}

/// What a variant has in it: of whatever kind it is, in MessagePack it is one value.
struct Content<V>(Compound<V>);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Content<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

/// The entries of a map, or the fields of a struct.
struct Entries<A> {
    entries: Strict<A>,
    fields: Option<&'static [&'static str]>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        match self.fields {
            None => {
                let seed = self.entries.around(seed);
                self.entries.inner.next_key_seed(seed)
            }
            Some(fields) => self.entries.inner.next_key_seed(Field { inner: seed, fields }),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.entries.around(seed);
        self.entries.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.entries.inner.size_hint()
    }
}

/// The name of a field that there is: around a seed, around a deserializer, around a visitor.
struct Field<T> {
    inner: T,
    fields: &'static [&'static str],
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Field<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Field {
            inner: deserializer,
            fields: self.fields,
        })
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Field<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Field {
            inner: visitor,
            fields: self.fields,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Field<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        if self.fields.contains(&name) {
            self.inner.visit_str(name)
        } else {
            Err(E::unknown_field(name, self.fields))
        }
    }
}
