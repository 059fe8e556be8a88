//! Visitors that take one kind of value and no other, and hand it on to the one that was asked with.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};

/// A visitor that takes some kinds of values and hands them on.
macro_rules! only {
    ($(#[$about:meta])* $name:ident: $($visit:ident($value:ty)),*) => {
        $(#[$about])*
        pub(super) struct $name<V>(pub(super) V);

        impl<'de, V: Visitor<'de>> Visitor<'de> for $name<V> {
            type Value = V::Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.expecting(f)
            }

            $(fn $visit<E: Error>(self, value: $value) -> Result<V::Value, E> {
                self.0.$visit(value)
            })*
        }
    };
}

only!(Bool: visit_bool(bool));
only!(
    /// Of any width: whether it can be held is for the visitor to say.
    Integer: visit_i8(i8), visit_i16(i16), visit_i32(i32), visit_i64(i64),
    visit_u8(u8), visit_u16(u16), visit_u32(u32), visit_u64(u64)
);
only!(Text: visit_str(&str), visit_string(String), visit_borrowed_str(&'de str));
only!(Binary: visit_bytes(&[u8]), visit_byte_buf(Vec<u8>), visit_borrowed_bytes(&'de [u8]));

/// A number that can be held exactly. Whole ones may have been written as integers: JavaScript does.
pub(super) struct Float<V> {
    visitor: V,
    is_single: bool,
}

impl<V> Float<V> {
    pub(super) fn double(visitor: V) -> Self {
        let is_single = false;
        Float { visitor, is_single }
    }

    pub(super) fn single(visitor: V) -> Self {
        let is_single = true;
        Float { visitor, is_single }
    }
}

impl<'de, V: Visitor<'de>> Float<V> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is seen whether anything was lost"
    )]
    fn visit<E: Error>(self, value: f64) -> Result<V::Value, E> {
        if !self.is_single {
            return self.visitor.visit_f64(value);
        }
        let single = value as f32;
        if f64::from(single) == value || value.is_nan() {
            self.visitor.visit_f32(single)
        } else {
            Err(E::invalid_value(
                Unexpected::Float(value),
                &"a number that 32 bits hold exactly",
            ))
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "no integer is taken of which any is lost"
    )]
    fn visit_integer<E: Error>(self, value: i64) -> Result<V::Value, E> {
        if value.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS {
            self.visit(value as f64)
        } else {
            Err(E::invalid_value(
                Unexpected::Signed(value),
                &"a number that a float holds exactly",
            ))
        }
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Float<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_f32<E: Error>(self, value: f32) -> Result<V::Value, E> {
        self.visit(f64::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.visit(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.visit_integer(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_integer(value),
            Err(_) => Err(E::invalid_value(
                Unexpected::Unsigned(value),
                &"a number that a float holds exactly",
            )),
        }
    }
}
