//! Query strings as bytes: `+` is a space, then percent-decoding.

use std::borrow::Cow;

use ck_api::{Code, Problem};

use crate::reply::Refused;

/// The pairs of a raw query, in order, names and values still encoded.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes one value. A `%` that no two hexadecimal digits follow stands for itself.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes
        .iter()
        .any(|byte| *byte == b'%' || (plus_is_space && *byte == b'+'))
    {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes
            .get(at + 1)
            .and_then(|high| hex(*high))
            .zip(bytes.get(at + 2).and_then(|low| hex(*low)));
        match (bytes[at], digits) {
            (b'%', Some((high, low))) => {
                decoded.push(high << 4 | low);
                at += 2;
            }
            (b'+', _) if plus_is_space => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The one value of `name`, decoded; `None` when it is absent.
///
/// # Errors
/// Given twice.
pub(crate) fn value<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, [u8]>>, Refused> {
    let mut values = pairs(query)
        .filter(|(encoded, _)| *encoded == name || *decode(encoded, true) == *name.as_bytes())
        .map(|(_, encoded)| encoded);
    let first = values.next();
    if values.next().is_some() {
        let detail = format!("`{name}` is given more than once; give it once");
        return Err(Problem::new(Code::RepeatedParameter, detail)
            .with_field(name)
            .into());
    }
    Ok(first.map(|encoded| decode(encoded, true)))
}

/// As [`value`], as text.
pub(crate) fn text(query: &str, name: &str) -> Result<Option<String>, Refused> {
    let Some(value) = value(query, name)? else {
        return Ok(None);
    };
    match String::from_utf8(value.into_owned()) {
        Ok(text) if !text.is_empty() => Ok(Some(text)),
        Ok(_) => Err(invalid(
            name,
            "",
            "is empty; leave it out or give it a value",
        )),
        Err(_) => Err(invalid(name, "", "is not UTF-8")),
    }
}

/// As [`value`], as a number within `min..=max`.
pub(crate) fn number(query: &str, name: &str, min: u64, max: u64) -> Result<Option<u64>, Refused> {
    let Some(text) = text(query, name)? else {
        return Ok(None);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(invalid(
            name,
            &text,
            &format!("is not a whole number from {min} to {max}"),
        )),
    }
}

/// As [`value`], as a version: `12`, or `1.12` with the incarnation it belongs to.
pub(crate) fn version(query: &str, name: &str) -> Result<Option<(Option<u64>, u64)>, Refused> {
    let Some(text) = text(query, name)? else {
        return Ok(None);
    };
    let known = parse_version(&text);
    known.map(Some).ok_or_else(|| no_version(name, &text))
}

/// A version alone or behind the incarnation it belongs to.
pub(crate) fn parse_version(text: &str) -> Option<(Option<u64>, u64)> {
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number)
    };
    match text.split_once('.') {
        Some((incarnation, version)) => Some((Some(number(incarnation)?), number(version)?)),
        None => Some((None, number(text)?)),
    }
}

pub(crate) fn no_version(name: &str, text: &str) -> Refused {
    invalid(name, text, "is no version; write it as 12 or 1.12")
}

/// A parameter whose value is not allowed.
pub(crate) fn invalid(name: &str, value: &str, what: &str) -> Refused {
    let shown: String = value.chars().take(64).collect();
    let detail = if shown.is_empty() {
        format!("`{name}` {what}")
    } else {
        format!("`{name}` {shown:?} {what}")
    };
    let problem = Problem::new(Code::InvalidParameter, detail).with_field(name);
    if value.is_empty() {
        problem.into()
    } else {
        problem.with_value(value).into()
    }
}

/// Refuses names that the route does not know, so that a misspelt filter is not silently ignored.
pub(crate) fn only(query: &str, known: &[&str]) -> Result<(), Refused> {
    for (name, _) in pairs(query) {
        let decoded = decode(name, true);
        if !known.iter().any(|known| known.as_bytes() == &*decoded) {
            let shown = String::from_utf8_lossy(&decoded)
                .chars()
                .take(64)
                .collect::<String>();
            let allowed = match known {
                [] => "this path takes no parameters".to_owned(),
                _ => format!("known here: {}", known.join(", ")),
            };
            let detail = format!("parameter {shown:?} is unknown; {allowed}");
            return Err(Problem::new(Code::InvalidParameter, detail)
                .with_field(shown)
                .into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(query: &str) -> Vec<u8> {
        value(query, "key").unwrap().unwrap().into_owned()
    }

    #[test]
    fn a_key_is_bytes_after_plus_and_percent() {
        assert_eq!(decoded("key=user:1001"), b"user:1001");
        assert_eq!(decoded("key=a+b%2Bc"), b"a b+c");
        assert_eq!(decoded("x=1&key=%FF%00%zz%4"), b"\xff\0%zz%4");
        assert_eq!(decoded("key=a=b"), b"a=b");
        assert_eq!(decoded("k%65y=a"), b"a");
        assert_eq!(decoded("key"), b"");
    }

    #[test]
    fn an_absent_value_is_none_and_a_repeated_one_is_refused() {
        assert!(value("", "key").unwrap().is_none());
        assert!(value("keys=1", "key").unwrap().is_none());
        let problem = value("key=1&key=1", "key").unwrap_err().problem();
        assert_eq!(problem.code, "repeated-parameter");
    }

    #[test]
    fn numbers_are_digits_within_range() {
        assert_eq!(number("n=7", "n", 1, 9).unwrap(), Some(7));
        for bad in [
            "n=-1",
            "n=0",
            "n=10",
            "n=%2B1",
            "n=1e3",
            "n=",
            "n=99999999999999999999",
        ] {
            let problem = number(bad, "n", 1, 9).unwrap_err().problem();
            assert_eq!(
                (problem.status, problem.field.as_deref()),
                (400, Some("n")),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_version_stands_alone_or_behind_its_incarnation() {
        assert_eq!(version("v=12", "v").unwrap(), Some((None, 12)));
        assert_eq!(version("v=1.12", "v").unwrap(), Some((Some(1), 12)));
        assert_eq!(version("", "v").unwrap(), None);
        for bad in [
            "v=",
            "v=1.",
            "v=.1",
            "v=1.2.3",
            "v=-1",
            "v=%2B1",
            "v=1e3",
            "v=99999999999999999999",
        ] {
            assert_eq!(
                version(bad, "v").unwrap_err().problem().status,
                400,
                "{bad}"
            );
        }
    }

    #[test]
    fn unknown_parameters_are_refused() {
        assert!(only("limit=1&offset=2", &["limit", "offset"]).is_ok());
        let problem = only("limt=1", &["limit", "offset"]).unwrap_err().problem();
        assert!(
            problem.detail.contains("known here: limit, offset"),
            "{}",
            problem.detail
        );
    }
}
