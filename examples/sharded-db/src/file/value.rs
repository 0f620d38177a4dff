//! Values between JSON and SQLite.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::{Value, ValueRef};
use serde_json::{Value as Json, json};

use super::Refused;

/// A parameter from a request. Bytes are written `{"base64":"…"}`, since JSON has none.
///
/// # Errors
/// [`Refused::Parameter`] names the position, the value and what is understood.
pub(crate) fn from_json(statement: usize, at: usize, value: &Json) -> Result<Value, Refused> {
    let refused = || Refused::Parameter {
        statement,
        parameter: at + 1,
        value: value.to_string().chars().take(64).collect(),
    };
    match value {
        Json::Null => Ok(Value::Null),
        Json::Bool(flag) => Ok(Value::Integer(i64::from(*flag))),
        Json::Number(number) => {
            if let Some(integer) = number.as_i64() {
                return Ok(Value::Integer(integer));
            }
            // An integer that does not fit is not rounded without a word.
            if number.is_u64() {
                return Err(refused());
            }
            number.as_f64().map(Value::Real).ok_or_else(refused)
        }
        Json::String(text) => Ok(Value::Text(text.clone())),
        Json::Object(fields) if fields.len() == 1 => {
            let bytes = fields.get("base64").and_then(Json::as_str);
            let bytes = bytes.and_then(|text| STANDARD.decode(text).ok());
            bytes.map(Value::Blob).ok_or_else(refused)
        }
        Json::Array(_) | Json::Object(_) => Err(refused()),
    }
}

/// A column of a row, and about how many bytes it takes in an answer.
pub(crate) fn to_json(value: ValueRef<'_>) -> (Json, usize) {
    match value {
        ValueRef::Null => (Json::Null, 4),
        ValueRef::Integer(integer) => (json!(integer), 20),
        ValueRef::Real(real) if real.is_finite() => (json!(real), 24),
        // SQLite has infinities and JSON has not.
        ValueRef::Real(real) => (json!({ "real": real.to_string() }), 24),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => (json!(text), text.len() + 2),
            Err(_) => blob(bytes),
        },
        ValueRef::Blob(bytes) => blob(bytes),
    }
}

fn blob(bytes: &[u8]) -> (Json, usize) {
    let text = STANDARD.encode(bytes);
    let length = text.len() + 14;
    (json!({ "base64": text }), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went_in() {
        for value in [
            json!(null),
            json!(-9_007_199_254_740_993_i64),
            json!(0.5),
            json!("naïve"),
            json!({ "base64": "AP8=" }),
        ] {
            let stored = from_json(0, 0, &value).unwrap();
            assert_eq!(to_json(ValueRef::from(&stored)).0, value);
        }
        assert_eq!(from_json(0, 0, &json!(true)).unwrap(), Value::Integer(1));
        assert_eq!(
            to_json(ValueRef::Real(f64::INFINITY)).0,
            json!({ "real": "inf" })
        );
        assert_eq!(
            to_json(ValueRef::Text(b"\xff")).0,
            json!({ "base64": "/w==" })
        );
    }

    #[test]
    fn a_value_sqlite_cannot_hold_is_refused_and_named() {
        for value in [
            json!(u64::MAX),
            json!([1]),
            json!({ "base64": "?" }),
            json!({ "a": 1 }),
            json!({}),
        ] {
            let refused = from_json(0, 2, &value).unwrap_err().to_string();
            assert!(refused.contains("parameter 3"), "{refused}");
        }
    }
}
