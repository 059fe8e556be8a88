//! An operation on an entry, as JSON has it: one of those of a batch.

use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::super::problem::Problem;
use super::names::{Base64, Name, Ttl};
use super::value::{Given, there};
use crate::{Condition, SetOptions};

/// A list that is no longer than it may be: the rest of one that is longer is not read.
pub(super) fn at_most<'de, T, D, const MOST: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct AtMost<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for AtMost<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of {MOST} at most")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = from.next_element()? {
                if list.len() == MOST {
                    return Err(de::Error::custom(format!(
                        "there are more than {MOST}, which are the most: send several requests"
                    )));
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    from.deserialize_seq(AtMost::<T, MOST>(PhantomData))
}

/// All members that an operation may have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["key"] }, { "required": ["key_base64"] }]))]
pub(super) struct Operation {
    pub(super) op: Verb,
    key: Option<String>,
    /// In the place of `key`, for one that is not UTF-8.
    key_base64: Option<Base64>,
    /// Any JSON; a string is text.
    #[serde(default, deserialize_with = "there")]
    value: Option<Box<RawValue>>,
    /// In the place of `value`: bytes.
    base64: Option<Base64>,
    /// The Content-Type of `base64`.
    r#type: Option<String>,
    ttl: Option<Ttl>,
    /// In batches only.
    r#if: Option<If>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verb {
    Get,
    Set,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum If {
    Absent,
    Present,
}

impl Operation {
    /// Its key, and nothing that belongs to another operation.
    pub(super) fn key(&mut self) -> Result<Vec<u8>, Problem> {
        let is_of_set = self.value.is_some()
            || self.base64.is_some()
            || self.r#type.is_some()
            || self.ttl.is_some()
            || self.r#if.is_some();
        if self.op != Verb::Set && is_of_set {
            return Err(Problem::bad_request(
                "`value`, `base64`, `type`, `ttl` and `if` belong to the operation `set`",
            ));
        }
        Name::given(self.key.take(), self.key_base64.take())
    }

    /// What is to be stored, and how.
    pub(super) fn into_value(self) -> Result<(Vec<u8>, SetOptions), Problem> {
        let given = Given {
            value: self.value,
            base64: self.base64.map(|Base64(bytes)| bytes),
            media_type: self.r#type,
        };
        let (tag, value) = given.bytes().map_err(Problem::bad_request)?;
        let options = SetOptions {
            tag,
            expiry: self.ttl.unwrap_or_default().0,
            condition: match self.r#if {
                None => Condition::Always,
                Some(If::Absent) => Condition::IfAbsent,
                Some(If::Present) => Condition::IfPresent,
            },
        };
        Ok((value, options))
    }
}
