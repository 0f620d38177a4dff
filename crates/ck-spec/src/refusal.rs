//! Why a spec was refused, naming the field and the value.

use crate::wording::told;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use std::borrow::Cow;
use std::collections::HashMap;

/// Longest value quoted back, in bytes. A longer one is cut.
const VALUE_BYTES_MAX: usize = 256;

/// A spec that cannot be planned: one line for a program, one sentence for a person.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable, kebab-case.
    pub code: &'static str,
    /// What was wrong, got against what is allowed, and the remedy.
    pub message: String,
    /// Path of the field, such as `nodes[3].weight`; absent for broken syntax.
    pub field: Option<String>,
    /// The value as given, cut to 256 bytes; absent when there is none.
    pub value: Option<Value>,
}

impl Refusal {
    /// A refusal of one field.
    #[must_use]
    pub fn new(
        code: &'static str,
        field: impl Into<String>,
        value: impl Into<Value>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            field: Some(field.into()),
            value: Some(bounded(value.into())),
        }
    }

    /// A refusal that concerns the input as a whole.
    #[must_use]
    pub fn whole(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            value: None,
        }
    }

    /// A spec, or a line, of more bytes than are read.
    #[must_use]
    pub fn too_long(bytes_max: u64) -> Self {
        let message =
            format!("the spec is longer than {bytes_max} bytes; split it or shorten the ids");
        Self::whole("too-long", message)
    }

    pub(crate) fn out_of_range(field: &str, got: u64, low: u64, high: u64) -> Self {
        let message = format!("{field} {got} is out of range; use {low} to {high}");
        Self::new("out-of-range", field, got, message)
    }

    /// What serde reported while reading JSON, with the field it was reading.
    pub(crate) fn from_json(
        error: &serde_path_to_error::Error<serde_json::Error>,
        text: &str,
    ) -> Self {
        let inner = error.inner();
        let cause = inner.to_string();
        let out_of_range = cause.starts_with("number out of range");
        if !inner.is_data() && !out_of_range {
            return Self::whole("malformed-json", format!("not valid JSON: {cause}"));
        }
        let path = FieldPath::new(error.path(), &cause);
        let value = path.raw(text).map(|raw| quoted(raw.get()));
        path.refuse(
            &cause,
            if out_of_range {
                Some("out-of-range")
            } else {
                None
            },
            value,
        )
    }

    /// What serde reported while reading TOML, with the field it was reading.
    pub(crate) fn from_toml(
        error: &serde_path_to_error::Error<toml::de::Error>,
        document: Option<&toml::Value>,
    ) -> Self {
        let cause = error.inner().message().to_string();
        let path = FieldPath::new(error.path(), &cause);
        let value = document
            .and_then(|document| path.toml(document))
            .map(bounded);
        path.refuse(&cause, None, value)
    }
}

/// Where in the document a fault lies: the path serde tracked, and the field its message names.
struct FieldPath {
    steps: Vec<Step>,
}

enum Step {
    Index(usize),
    Key(String),
}

impl FieldPath {
    fn new(path: &Path, cause: &str) -> Self {
        let mut steps: Vec<Step> = path
            .iter()
            .filter_map(|segment| match segment {
                Segment::Seq { index } => Some(Step::Index(*index)),
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        // Faults of a field's presence are reported on the object; the message names the field.
        if let Some((_, name)) = presence_fault(cause)
            && !matches!(steps.last(), Some(Step::Key(last)) if last == name)
        {
            steps.push(Step::Key(name.to_string()));
        }
        Self { steps }
    }

    fn text(&self) -> Option<String> {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.extend(key.chars().take(VALUE_BYTES_MAX));
                }
            }
        }
        (!text.is_empty()).then_some(text)
    }

    fn raw<'a>(&self, text: &'a str) -> Option<&'a RawValue> {
        let mut at: &RawValue = serde_json::from_str(text).ok()?;
        for step in &self.steps {
            at = match step {
                Step::Index(index) => {
                    let all: Vec<&RawValue> = serde_json::from_str(at.get()).ok()?;
                    *all.get(*index)?
                }
                Step::Key(key) => {
                    let all: HashMap<Cow<'_, str>, &RawValue> =
                        serde_json::from_str(at.get()).ok()?;
                    *all.get(key.as_str())?
                }
            };
        }
        Some(at)
    }

    fn toml(&self, document: &toml::Value) -> Option<Value> {
        let mut at = document;
        for step in &self.steps {
            at = match step {
                Step::Index(index) => at.get(*index)?,
                Step::Key(key) => at.get(key.as_str())?,
            };
        }
        serde_json::to_value(at).ok()
    }

    fn refuse(&self, cause: &str, code: Option<&'static str>, value: Option<Value>) -> Refusal {
        let field = self.text();
        let told = told(cause);
        let cause = told.message.as_str();
        let code = code
            .or(told.code)
            .or_else(|| presence_fault(cause).map(|(code, _)| code))
            .unwrap_or("invalid-value");
        let message = match &field {
            Some(field) => format!("{field}: {cause}"),
            None => cause.to_string(),
        };
        Refusal {
            code,
            message,
            field,
            value,
        }
    }
}

/// The code and the field of serde's three messages about a field's presence.
fn presence_fault(cause: &str) -> Option<(&'static str, &str)> {
    [
        ("unknown-field", "unknown field `"),
        ("missing-field", "missing field `"),
        ("duplicate-field", "duplicate field `"),
    ]
    .into_iter()
    .find_map(|(code, prefix)| {
        let (name, _) = cause.strip_prefix(prefix)?.split_once('`')?;
        Some((code, name))
    })
}

/// Raw JSON as a value where it is one that can be held, else as its text.
fn quoted(raw: &str) -> Value {
    if raw.len() <= VALUE_BYTES_MAX
        && let Ok(value) = serde_json::from_str(raw)
    {
        return value;
    }
    bounded(Value::String(raw.to_string()))
}

fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.len() > VALUE_BYTES_MAX => {
            let end = (0..=VALUE_BYTES_MAX)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            Value::String(format!("{}…", &text[..end]))
        }
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.len() > VALUE_BYTES_MAX {
                bounded(Value::String(text))
            } else {
                value
            }
        }
        other => other,
    }
}
