//! A spec as written: TOML or JSON.

use std::borrow::Cow;

use ck_core::{KeyHash, NodeState};
use serde::Deserialize;

use super::previous::Previous;
use super::{Refusal, Strategy};

/// The fields as given. Numbers are wide, so that a value out of range is refused by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRequest<'a> {
    pub(super) partitions: u64,
    pub(super) replication_factor: u64,
    pub(super) spread: Option<u64>,
    pub(super) strict: Option<bool>,
    pub(super) strategy: Option<Strategy>,
    pub(super) hash: Option<KeyHash>,
    #[serde(borrow)]
    pub(super) nodes: Vec<RawNode<'a>>,
    pub(super) previous: Option<Previous>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNode<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    pub(super) weight: Option<u64>,
    pub(super) domain: Option<String>,
    pub(super) state: Option<NodeState>,
    pub(super) max_copies: Option<u64>,
}

pub(super) fn from_json(text: &str) -> Result<RawRequest<'_>, Refusal> {
    if let Ok(raw) = serde_json::from_str(text) {
        return Ok(raw);
    }
    // Read again, slowly, to say where the fault lies.
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut reader) {
        Err(error) => Err(Refusal::from_json(&error, text)),
        Ok(raw) => match reader.end() {
            Ok(()) => Ok(raw),
            Err(error) => Err(Refusal::whole(
                "malformed-json",
                format!("not valid JSON: {error}"),
            )),
        },
    }
}

pub(super) fn from_toml(text: &str) -> Result<RawRequest<'_>, Refusal> {
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
