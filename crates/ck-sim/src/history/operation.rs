//! What a client of a key-value service did, as a line of a history.

use ck_core::PartitionId;
use serde::{Deserialize, Serialize};

/// Which operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Writes `value`, whatever was there.
    Put,
    /// Reads; `value` is what was there, none when the key was absent.
    Get,
    /// Makes the key absent, whatever was there.
    Delete,
    /// Writes `value`, or makes the key absent, if `expected` is what is there.
    Cas,
}

/// How an operation ended, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Ok,
    /// Of `cas`: answered that something other than `expected` was there; not applied.
    Mismatch,
    /// Certainly not applied, now or later. Says nothing about what is there.
    Failed,
    /// Nobody knows: it may take effect at any time after its start, or never.
    Unknown,
}

/// One operation of one client.
///
/// A value is any text that stands for the bytes: the value itself, a name that is written into it,
/// or its hash. Where values are written once each, more is noticed: a `cas` that goes by versions is
/// a `cas` by values only then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// What was asked.
    pub op: Kind,
    /// Who asked.
    pub client: String,
    /// The key, its bytes percent-encoded as in a path.
    pub key: String,
    /// What was written or read; none is an absent key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Of `cas`: what had to be there; none is an absent key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// When it was sent, in nanoseconds of the recorder's clock.
    pub start: u64,
    /// When it was answered, by the same clock; of an unknown outcome, when its client gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The key's partition, where it is known: tells which operations met a change of its primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionId>,
}

/// Why a line is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The key is empty or not percent-encoded.
    #[error("key {key:?} is empty or has a `%` without two hexadecimal digits; encode its bytes")]
    Key {
        /// The key.
        key: String,
    },
    /// A put writes something.
    #[error("a put has no `value`; name what was written")]
    NoValue,
    /// A delete writes nothing.
    #[error("a delete has the value {value:?}; leave it out")]
    DeletedValue {
        /// The value.
        value: String,
    },
    /// Only compare-and-set expects something.
    #[error("a {kind:?} expects {expected:?}; only a cas has `expected`")]
    Expected {
        /// The operation.
        kind: Kind,
        /// What it expects.
        expected: String,
    },
    /// Only compare-and-set can find something else.
    #[error("a {kind:?} has the outcome mismatch, which only a cas can have")]
    Mismatch {
        /// The operation.
        kind: Kind,
    },
    /// It was answered and nobody knows when.
    #[error("`end` is missing, which only the outcomes unknown and failed may lack")]
    NoEnd,
    /// It ends before it starts.
    #[error("it ends at {end}, before its start at {start}; use one clock")]
    Backwards {
        /// The start.
        start: u64,
        /// The end.
        end: u64,
    },
}

impl Operation {
    /// Looks whether the fields go together.
    ///
    /// # Errors
    /// [`OperationError`] with the field that does not fit.
    pub fn validate(&self) -> Result<(), OperationError> {
        let kind = self.op;
        if decoded(&self.key).is_none_or(|key| key.is_empty()) {
            let key = self.key.clone();
            return Err(OperationError::Key { key });
        }
        match (kind, &self.value) {
            (Kind::Put, None) => return Err(OperationError::NoValue),
            (Kind::Delete, Some(value)) => {
                let value = value.clone();
                return Err(OperationError::DeletedValue { value });
            }
            _ => {}
        }
        if kind != Kind::Cas {
            if let Some(expected) = self.expected.clone() {
                return Err(OperationError::Expected { kind, expected });
            }
            if self.outcome == Outcome::Mismatch {
                return Err(OperationError::Mismatch { kind });
            }
        }
        match self.end {
            None if matches!(self.outcome, Outcome::Ok | Outcome::Mismatch) => {
                Err(OperationError::NoEnd)
            }
            Some(end) if end < self.start => {
                let start = self.start;
                Err(OperationError::Backwards { start, end })
            }
            _ => Ok(()),
        }
    }

    /// The key's bytes, or nothing where it is not percent-encoded.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        decoded(&self.key)
    }
}

/// The bytes of a percent-encoded text, or nothing where a `%` has no two digits behind it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put() -> Operation {
        Operation {
            op: Kind::Put,
            client: "c".into(),
            key: "k".into(),
            value: Some("v".into()),
            expected: None,
            start: 5,
            end: Some(9),
            outcome: Outcome::Ok,
            partition: None,
        }
    }

    #[test]
    fn keys_are_bytes() {
        assert_eq!(decoded("a%2Fb%2f"), Some(b"a/b/".to_vec()));
        assert_eq!(decoded("%00%ff"), Some(vec![0, 255]));
        assert_eq!(decoded("é"), Some("é".as_bytes().to_vec()));
        for wrong in ["%", "%2", "%2g", "%+1", "a%é"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fields_that_do_not_go_together_are_refused() {
        #[track_caller]
        fn refused(change: impl FnOnce(&mut Operation), words: &str) {
            let mut operation = put();
            change(&mut operation);
            let error = operation.validate().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(put().validate(), Ok(()));
        refused(|op| op.key.clear(), "is empty");
        refused(|op| op.key = "a%2".into(), "\"a%2\"");
        refused(|op| op.value = None, "no `value`");
        refused(|op| op.op = Kind::Delete, "the value \"v\"");
        refused(|op| op.expected = Some("x".into()), "expects \"x\"");
        refused(|op| op.outcome = Outcome::Mismatch, "only a cas");
        refused(|op| op.end = None, "`end` is missing");
        refused(|op| op.end = Some(4), "ends at 4, before its start at 5");
        let open = Operation {
            end: None,
            outcome: Outcome::Unknown,
            ..put()
        };
        assert_eq!(open.validate(), Ok(()));
    }
}
