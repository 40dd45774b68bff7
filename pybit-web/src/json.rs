//! JSON read strictly: no key twice, no NUL in a string, at most 128 levels deep.
//!
//! What is not JSON, has the wrong shape or an unknown field is 400. What has the right shape and holds a name that is
//! none is 422, with that name's own code.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// Reads a value.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let strict: Strict = serde_json::from_slice(bytes).map_err(|e| {
        ApiError::malformed("malformed_json", format!("the body is not valid JSON: {e}"))
    })?;
    shape(strict.0)
}

/// Takes a value for what it is meant to be.
pub(crate) fn shape<T: DeserializeOwned>(value: Value) -> ApiResult<T> {
    T::deserialize(value).map_err(|e| refusal(&e.to_string()))
}

/// What serde itself complains of; everything else comes from our own types.
const SHAPE: [&str; 8] = [
    "invalid type",
    "invalid value",
    "invalid length",
    "unknown variant",
    "unknown field",
    "missing field",
    "duplicate field",
    "no variant",
];

/// The codes of names, by the words that their refusal uses.
const NAMES: [(&str, &str); 11] = [
    ("account name", "invalid_account"),
    ("distribution name", "invalid_dist"),
    ("suite name", "invalid_suite"),
    ("architecture name", "invalid_arch"),
    ("format name", "invalid_format"),
    ("environment name", "invalid_env"),
    ("client name", "invalid_client"),
    ("repository name", "invalid_repository"),
    ("package name", "invalid_package"),
    ("file name", "invalid_file_name"),
    ("version", "invalid_version"),
];

fn refusal(message: &str) -> ApiError {
    if SHAPE.iter().any(|s| message.starts_with(s)) {
        return ApiError::malformed(
            "malformed_body",
            format!("the body cannot be read: {message}"),
        );
    }
    let named = |(what, _): &&(&str, &str)| message.contains(&format!("is not a valid {what}"));
    let other = if message.starts_with("a password ") { "invalid_password" } else { "invalid" };
    let code = NAMES.iter().find(named).map_or(other, |(_, code)| code);
    pybit_core::Error::invalid(message).with_code(code).into()
}

/// Any JSON value in which no object has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        text(value).map(Value::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            let shown = text::<A::Error>(&key)?.to_owned();
            if all.insert(key, value).is_some() {
                return Err(A::Error::custom(format!("the key {shown:?} stands there twice")));
            }
        }
        Ok(all.into())
    }
}

fn text<E: de::Error>(value: &str) -> Result<&str, E> {
    if value.contains('\0') { Err(E::custom("a string holds a NUL")) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use pybit_core::model::{NewSubmission, PackageName};
    use pybit_core::protocol::CancelMany;

    use super::*;

    fn status<T: DeserializeOwned + fmt::Debug>(text: &[u8]) -> u16 {
        read::<T>(text).unwrap_err().status().as_u16()
    }

    #[test]
    fn what_is_not_strict_json_is_malformed() {
        let deep = "[".repeat(100_000);
        let table: [&[u8]; 10] = [
            b"",
            b"{",
            br#"{"all":true,"all":true}"#,
            br#"{"reason":{"a":1,"a":2}}"#,
            deep.as_bytes(),
            b"\xff",
            br#"{"reason":"\ud800"}"#,
            br#"{"reason":"\u0000"}"#,
            br#"{"all":NaN}"#,
            br#"{"nothing":1e999}"#,
        ];
        for text in table {
            assert_eq!(
                status::<CancelMany>(text),
                400,
                "{}",
                String::from_utf8_lossy(&text[..text.len().min(60)])
            );
        }
    }

    #[test]
    fn another_shape_is_malformed_and_a_bad_name_is_invalid() {
        assert_eq!(status::<CancelMany>(br#"{"everything":true}"#), 400);
        assert_eq!(status::<CancelMany>(br#"{"all":"yes"}"#), 400);
        assert_eq!(status::<CancelMany>(br#"{"package":"a b"}"#), 422);
        assert_eq!(status::<PackageName>(br#""../../etc""#), 422);
        let apt = br#"{"suite":"sid","source":{"method":"apt","package":"hello;id"}}"#;
        assert_eq!(status::<NewSubmission>(apt), 422);
        let unknown = br#"{"suite":"sid","source":{"method":"apt","package":"hello","x":1}}"#;
        assert_eq!(status::<NewSubmission>(unknown), 400);
    }
}
