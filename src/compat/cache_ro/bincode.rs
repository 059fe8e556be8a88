//! Reads what bincode 2 wrote by the configuration that cache_ro has: big endian, integers of variable length. Only reads, and knows no files.
//!
//! ```text
//! integer   0..=250: itself     251: u16     252: u32     253: u64     254: u128     signed ones zigzag     u8 and i8: one byte
//! text      length, bytes       sequence, map: length, what is in it     tuple, struct: what is in it
//! option    0, or 1 and it      enum: number of the variant, what is in it     unit: nothing     f32, f64: their bytes     char: UTF-8
//! ```
//! Nothing says what a value is: all that can be checked is that it was written in the one way that there is, and that nothing follows.

use std::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

/// Values may be nested so deep, and no deeper: reading takes stack for each level.
const MOST_NESTED: u8 = 128;

/// Why bytes are no value of the type that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Wrong(text.to_string())
    }
}

fn wrong(text: &str) -> Wrong {
    Wrong(text.to_owned())
}

/// A value, and nothing after it.
pub(super) fn from_slice<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, Wrong> {
    let mut reader = Reader {
        bytes,
        left: MOST_NESTED,
    };
    let value = V::deserialize(&mut reader)?;
    match reader.bytes {
        [] => Ok(value),
        rest => Err(Wrong(format!("{} bytes follow it", rest.len()))),
    }
}

/// An integer of variable length, of which `next` gives one byte after the other; with the number of the bits that it was written in.
pub(super) fn varint<E>(
    mut next: impl FnMut() -> Result<u8, E>,
    malformed: impl FnOnce() -> E,
) -> Result<u128, E> {
    let first = next()?;
    let (len, least) = match first {
        0..=250 => return Ok(u128::from(first)),
        251 => (2, 251),
        252 => (4, 1 << 16),
        253 => (8, 1 << 32),
        254 => (16, 1 << 64),
        255 => return Err(malformed()),
    };
    let mut value = 0;
    for _ in 0..len {
        value = value << 8 | u128::from(next()?);
    }
    // A shorter form would have been taken.
    if value < least {
        Err(malformed())
    } else {
        Ok(value)
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    left: u8,
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], Wrong> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or_else(|| wrong("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        Ok(self.array::<1>()?[0])
    }

    fn unsigned<T: TryFrom<u128>>(&mut self) -> Result<T, Wrong> {
        let value = varint(|| self.byte(), || wrong("an integer is malformed"))?;
        T::try_from(value).map_err(|_| Wrong(format!("{value} is too large")))
    }

    fn signed<T: TryFrom<i128>>(&mut self) -> Result<T, Wrong> {
        let zigzag: u128 = self.unsigned()?;
        let value = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
        T::try_from(value).map_err(|_| Wrong(format!("{value} is out of range")))
    }

    fn text(&mut self) -> Result<&'b str, Wrong> {
        let len = self.unsigned()?;
        std::str::from_utf8(self.take(len)?).map_err(|error| Wrong(format!("text is not UTF-8: {error}")))
    }

    /// Something with something in it.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| wrong("it is nested too deep"))?;
        let read = read(self);
        self.left += 1;
        read
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $read:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            visitor.$visit(self.$read()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Wrong;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers! {
        deserialize_u8, visit_u8, byte;
        deserialize_u16, visit_u16, unsigned;
        deserialize_u32, visit_u32, unsigned;
        deserialize_u64, visit_u64, unsigned;
        deserialize_u128, visit_u128, unsigned;
        deserialize_i16, visit_i16, signed;
        deserialize_i32, visit_i32, signed;
        deserialize_i64, visit_i64, signed;
        deserialize_i128, visit_i128, signed;
        deserialize_str, visit_borrowed_str, text;
        deserialize_string, visit_borrowed_str, text;
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_i8(self.byte()?.cast_signed())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            byte => Err(Wrong(format!("{byte} is no bool"))),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_f32(f32::from_be_bytes(self.array()?))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_f64(f64::from_be_bytes(self.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let len = match self.bytes.first() {
            Some(0xf0..) => 4,
            Some(0xe0..) => 3,
            Some(0xc0..) => 2,
            _ => 1,
        };
        let text = std::str::from_utf8(self.take(len)?).map_err(|error| Wrong(error.to_string()))?;
        visitor.visit_char(text.chars().next().ok_or_else(|| wrong("it is no character"))?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let len = self.unsigned()?;
        visitor.visit_borrowed_bytes(self.take(len)?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => self.nested(|reader| visitor.visit_some(reader)),
            byte => Err(Wrong(format!("{byte} is no option"))),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.nested(|reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let left = self.unsigned()?;
        self.nested(|reader| visitor.visit_seq(Items { reader, left }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.nested(|reader| visitor.visit_seq(Items { reader, left: len }))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let left = self.unsigned()?;
        self.nested(|reader| visitor.visit_map(Items { reader, left }))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.nested(|reader| visitor.visit_enum(reader))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(wrong(
            "what cache_ro wrote does not say what it is: ask for a type",
        ))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }
}

/// So many values, one after the other.
struct Items<'r, 'b> {
    reader: &'r mut Reader<'b>,
    left: usize,
}

impl Items<'_, '_> {
    /// A length that was claimed is no reason to take memory for it.
    fn hint(&self) -> usize {
        self.left.min(self.reader.bytes.len())
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let number: u32 = self.unsigned()?;
        let number: U32Deserializer<Wrong> = number.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
