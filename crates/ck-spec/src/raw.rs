//! A spec as written: TOML or JSON.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use ck_core::{KeyHash, NodeState};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, Visitor};

use crate::previous::Previous;
use crate::{Refusal, Strategy};

/// The fields as given. Numbers are wide, so that a value out of range is refused by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRequest<'a> {
    pub(crate) partitions: u64,
    pub(crate) replication_factor: u64,
    pub(crate) spread: Option<u64>,
    pub(crate) strict: Option<bool>,
    pub(crate) tolerance_permille: Option<u64>,
    pub(crate) least_maximum: Option<bool>,
    #[serde(default, deserialize_with = "word")]
    pub(crate) strategy: Option<Strategy>,
    #[serde(default, deserialize_with = "word")]
    pub(crate) hash: Option<KeyHash>,
    #[serde(borrow, deserialize_with = "objects")]
    pub(crate) nodes: Vec<RawNode<'a>>,
    pub(crate) previous: Option<Previous>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNode<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    pub(crate) weight: Option<u64>,
    pub(crate) domain: Option<String>,
    #[serde(default, deserialize_with = "word")]
    pub(crate) state: Option<NodeState>,
    pub(crate) max_copies: Option<u64>,
}

/// An object; a list of its values in order, which serde would take as well, is none.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

fn objects<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(from)?;
    Ok(objects.into_iter().map(|Object(inner)| inner).collect())
}

/// One of several words; anything else than a text is refused like any other wrong value.
fn word<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| T::deserialize(text.into_deserializer()))
        .transpose()
}

pub(crate) fn from_json(text: &str) -> Result<RawRequest<'_>, Refusal> {
    if let Ok(Object(raw)) = serde_json::from_str(text) {
        return Ok(raw);
    }
    // Read again, slowly, to say where the fault lies.
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut reader) {
        Err(error) => Err(Refusal::from_json(&error, text)),
        Ok(Object(raw)) => match reader.end() {
            Ok(()) => Ok(raw),
            Err(error) => Err(Refusal::whole(
                "malformed-json",
                format!("not valid JSON: {error}"),
            )),
        },
    }
}

pub(crate) fn from_toml(text: &str) -> Result<RawRequest<'_>, Refusal> {
    let reader = toml::Deserializer::parse(text).map_err(|error| {
        let message = error.to_string();
        Refusal::whole(
            "malformed-toml",
            format!("not valid TOML: {}", message.trim_end()),
        )
    })?;
    serde_path_to_error::deserialize(reader)
        .map_err(|error| Refusal::from_toml(&error, toml::from_str(text).ok().as_ref()))
}
