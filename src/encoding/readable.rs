//! A serializer around another, which refuses what `strict.rs` would never read: integers of 128 bits, and what is nested too deeply. Around everything inside as well.

use std::fmt;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::depth::Depth;

/// A serializer, what it gives for a sequence or a map, or a value that is in one.
pub(super) struct Readable<T> {
    inner: T,
    left: Depth,
}

impl<T> Readable<T> {
    pub(super) fn new(inner: T, left: Depth) -> Self {
        Readable { inner, left }
    }
}

fn too_deep<E: Error>() -> E {
    E::custom(Depth::EXCEEDED)
}

impl<T: Serialize + ?Sized> Serialize for Readable<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(Readable::new(serializer, self.left))
    }
}

/// Hands these on as they are.
macro_rules! as_they_are {
    ($($serialize:ident($value:ty);)*) => {
        $(fn $serialize(self, value: $value) -> Result<S::Ok, S::Error> {
            self.inner.$serialize(value)
        })*
    };
}

impl<S: Serializer> Serializer for Readable<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Readable<S::SerializeSeq>;
    type SerializeTuple = Readable<S::SerializeTuple>;
    type SerializeTupleStruct = Readable<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Readable<S::SerializeTupleVariant>;
    type SerializeMap = Readable<S::SerializeMap>;
    type SerializeStruct = Readable<S::SerializeStruct>;
    type SerializeStructVariant = Readable<S::SerializeStructVariant>;

    as_they_are! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_unit_struct(&'static str);
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        Err(no_place_for(value))
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, S::Error> {
        Err(no_place_for(value))
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let left = self.left.wrapped().ok_or_else(too_deep)?;
        self.inner.serialize_some(&Readable::new(value, left))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let left = self.left.wrapped().ok_or_else(too_deep)?;
        self.inner
            .serialize_newtype_struct(name, &Readable::new(value, left))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.left.deeper().ok_or_else(too_deep)?;
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let left = self.left.deeper().ok_or_else(too_deep)?;
        self.inner
            .serialize_newtype_variant(name, index, variant, &Readable::new(value, left))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        let left = self.left.deeper().ok_or_else(too_deep)?;
        Ok(Readable::new(self.inner.serialize_seq(len)?, left))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        let left = self.left.deeper().ok_or_else(too_deep)?;
        Ok(Readable::new(self.inner.serialize_tuple(len)?, left))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        let left = self.left.deeper().ok_or_else(too_deep)?;
        Ok(Readable::new(self.inner.serialize_tuple_struct(name, len)?, left))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let left = self.in_variant()?;
        let inner = self.inner.serialize_tuple_variant(name, index, variant, len)?;
        Ok(Readable::new(inner, left))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let left = self.left.deeper().ok_or_else(too_deep)?;
        Ok(Readable::new(self.inner.serialize_map(len)?, left))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        let left = self.left.deeper().ok_or_else(too_deep)?;
        Ok(Readable::new(self.inner.serialize_struct(name, len)?, left))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let left = self.in_variant()?;
        let inner = self.inner.serialize_struct_variant(name, index, variant, len)?;
        Ok(Readable::new(inner, left))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<S: Serializer> Readable<S> {
    /// In the sequence or the map that is in a variant: two levels.
    fn in_variant(&self) -> Result<Depth, S::Error> {
        let deeper = self.left.deeper().and_then(Depth::deeper);
        deeper.ok_or_else(too_deep)
    }
}

fn no_place_for<E: Error>(value: impl fmt::Display) -> E {
    E::custom(format_args!(
        "{value} is an integer of 128 bits, which MessagePack does not have: write it as text or as two of 64 bits"
    ))
}

/// What has values in it, without names.
macro_rules! values {
    ($($compound:ident: $serialize:ident;)*) => {
        $(impl<C: $compound> $compound for Readable<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $serialize<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$serialize(&Readable::new(value, self.left))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })*
    };
}

values! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
}

/// What has values in it under names that are known when it is compiled.
macro_rules! fields {
    ($($compound:ident)*) => {
        $(impl<C: $compound> $compound for Readable<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.inner.serialize_field(name, &Readable::new(value, self.left))
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(name)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })*
    };
}

fields!(SerializeStruct SerializeStructVariant);

impl<C: SerializeMap> SerializeMap for Readable<C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(&Readable::new(key, self.left))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Readable::new(value, self.left))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}
