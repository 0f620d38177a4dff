//! Reading paths and queries: percent-encoded, every parameter known and given once.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ck_http::{Bytes, Code, Problem};

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, Bytes)>,
}

/// A parameter, header or part of a path that is not allowed.
pub(super) fn refused(field: &str, value: &str, detail: impl Into<String>) -> Box<Problem> {
    let problem = Problem::new(Code::InvalidParameter, detail);
    Box::new(problem.with_field(field).with_value(value))
}

/// The bytes that a percent-encoded text stands for.
pub(super) fn decoded(field: &str, text: &str) -> Result<Bytes, Box<Problem>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let pair = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let Some(byte) = pair.and_then(|byte| u8::try_from(byte).ok()) else {
            let detail = "`%` is followed by two hexadecimal digits; write the sign itself as %25";
            return Err(refused(field, text, detail));
        };
        decoded.push(byte);
    }
    Ok(decoded.into())
}

impl Query {
    /// The parameters of a query, all of which are among `known`.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Box<Problem>> {
        let mut pairs: Vec<(String, Bytes)> = Vec::new();
        let parts = query.unwrap_or_default().split('&');
        for pair in parts.filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                let detail = match known {
                    [] => "the path takes no parameters".to_owned(),
                    _ => format!("there is no such parameter; use {}", known.join(", ")),
                };
                return Err(refused(name, value, detail));
            }
            if pairs.iter().any(|(other, _)| other == name) {
                let detail = format!("`{name}` is given twice; give it once");
                let problem = Problem::new(Code::RepeatedParameter, detail);
                return Err(Box::new(problem.with_field(name)));
            }
            pairs.push((name.to_owned(), decoded(name, value)?));
        }
        Ok(Self { pairs })
    }

    pub(super) fn bytes(&self, name: &str) -> Option<&Bytes> {
        let found = self.pairs.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value)
    }

    /// A parameter that there has to be.
    pub(super) fn needed(&self, name: &str) -> Result<&Bytes, Box<Problem>> {
        self.bytes(name).ok_or_else(|| {
            let detail = format!("`{name}` is missing; add `{name}=…` to the query");
            let problem = Problem::new(Code::MissingParameter, detail);
            Box::new(problem.with_field(name))
        })
    }

    /// A number within its range, or the default.
    pub(super) fn number<T>(
        &self,
        name: &str,
        range: &RangeInclusive<T>,
        default: T,
    ) -> Result<T, Box<Problem>>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.bytes(name) else {
            return Ok(default);
        };
        let text = String::from_utf8_lossy(value);
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let detail = format!("{text:?} is no number of `{name}`; use {least} to {most}");
            refused(name, &text, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["key", "max"];

    #[test]
    fn parameters_are_bytes_and_numbers() {
        let query = Query::read(Some("key=a%00%ffb+c&max=7"), KNOWN).unwrap();
        assert_eq!(query.bytes("key").unwrap(), &b"a\0\xffb+c"[..]);
        assert_eq!(query.number("max", &(1..=9), 1).unwrap(), 7);
        let none = Query::read(None, KNOWN).unwrap();
        assert_eq!(none.number("max", &(1..=9), 3).unwrap(), 3);
        assert_eq!(none.needed("key").unwrap_err().code, "missing-parameter");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in ["kay=a", "max=1&max=1", "key=%4", "key=%zz"] {
            assert_eq!(
                Query::read(Some(wrong), KNOWN).unwrap_err().status,
                400,
                "{wrong}"
            );
        }
        for wrong in ["max=0", "max=10", "max=", "max=x", "max=-1"] {
            let query = Query::read(Some(wrong), KNOWN).unwrap();
            let refused = query.number("max", &(1_u32..=9), 1).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("max"), "{wrong}");
        }
    }
}
