//! Strict JSON: what serde_json alone does not refuse.
//!
//! Statement and envelope have exactly one encoding, and their readers compare it with what they read, so nothing
//! needs to be checked of a text that decodes to one of them. A text that does not is looked at here, to say why.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

/// Greatest depth of nested arrays and objects.
pub const MAX_DEPTH: usize = 32;

/// Why a text is no strict JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Arrays and objects are nested too deeply.
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// An object has a key twice. Which one is not said: nobody has signed it yet.
    #[error("a key stands twice")]
    Duplicate,
    /// It is not JSON.
    #[error("it is not JSON")]
    Syntax,
}

/// Checks that `bytes` are JSON without duplicate keys, at most [`MAX_DEPTH`] levels deep.
///
/// # Errors
///
/// They are not.
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for &byte in bytes {
        match (in_string, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (true, false, b'"') => in_string = false,
            (false, _, b'"') => in_string = true,
            (false, _, b'{' | b'[') => depth += 1,
            (false, _, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(JsonError::Depth);
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    (&mut deserializer).deserialize_any(Unique).and_then(|()| deserializer.end()).map_err(|error| match error
        .classify()
    {
        // The visitor takes every value: what it refuses is a second key.
        Category::Data => JsonError::Duplicate,
        _ => JsonError::Syntax,
    })
}

/// A value in which no object has a key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self).map(|()| Self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some((key, Self)) = entries.next_entry::<String, Self>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom(JsonError::Duplicate));
            }
        }
        Ok(())
    }
}
