//! Maps whose keys stand once: what is read as a map elsewhere would let the last one win in silence.

use std::collections::BTreeMap;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads texts by name, as a `deserialize_with`.
pub(crate) fn texts<'de, D>(from: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    Texts::deserialize(from).map(|texts| texts.0)
}

/// As [`texts`], where `null` is as good as nothing.
pub(crate) fn texts_if_any<'de, D>(from: D) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::<Texts>::deserialize(from)?.map(|texts| texts.0))
}

struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Once).map(Self)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if read.contains_key(&name) {
                // In the words in which serde refuses a field of a struct.
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            read.insert(name, map.next_value()?);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JoinRequest, NodePatch};

    #[test]
    fn a_repeated_name_is_refused_wherever_names_are_free() {
        for body in [
            r#"{"labels":{"a":"1","a":"2"}}"#,
            r#"{"labels":{"a":"1","b":"1","\u0061":"1"}}"#,
            r#"{"services":{"":"1","":"1"}}"#,
        ] {
            let error = serde_json::from_str::<NodePatch>(body).unwrap_err();
            assert!(
                error.to_string().starts_with("duplicate field `"),
                "{error}"
            );
        }
        let body = r#"{"node":{"id":"a","ip":"h:1","services":{"kv":"1","kv":"1"}}}"#;
        let error = serde_json::from_str::<JoinRequest>(body).unwrap_err();
        assert!(error.to_string().contains("`kv`"), "{error}");
    }

    #[test]
    fn everything_else_is_read_as_before() {
        let read = |body| serde_json::from_str::<NodePatch>(body).unwrap();
        assert_eq!(read("{}"), NodePatch::default());
        assert_eq!(
            read(r#"{"labels":null,"services":null}"#),
            NodePatch::default()
        );
        let patch = read(r#"{"labels":{},"services":{"a":"1","A":"1"}}"#);
        assert!(patch.labels.as_ref().is_some_and(BTreeMap::is_empty));
        assert!(patch.services.as_ref().is_some_and(|all| all.len() == 2));
        let text = serde_json::to_string(&patch).unwrap();
        assert_eq!(read(&text), patch);
        assert!(serde_json::from_str::<NodePatch>(r#"{"labels":[]}"#).is_err());
        assert!(serde_json::from_str::<NodePatch>(r#"{"labels":{"a":1}}"#).is_err());
    }
}
