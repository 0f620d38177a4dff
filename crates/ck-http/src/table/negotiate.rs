//! Which form of the table a caller gets, by `Accept` and `Accept-Encoding` (RFC 9110).

use ck_api::{Code, Problem};
use hyper::HeaderMap;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use super::Coding;
use crate::reply::Refused;

/// What a table is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Binary,
}

/// The form and the coding a caller asks for.
///
/// # Errors
/// 406 when it takes neither form.
pub(crate) fn form(asked: &HeaderMap) -> Result<(Form, Coding), Refused> {
    let kinds = weighted(asked, &ACCEPT);
    let json = weight(&kinds, &["application/json", "application/*", "*/*"]);
    // The binary form is for those who name it: `*/*` is what everybody sends.
    let binary = weight(&kinds, &[ck_api::table::BINCODE]).unwrap_or(0);
    let json = json.unwrap_or(if kinds.is_empty() { 1000 } else { 0 });
    let form = match (json, binary) {
        (0, 0) => {
            let detail = format!(
                "the table is `application/json` or `{}`; accept one of them",
                ck_api::table::BINCODE
            );
            return Err(Problem::new(Code::NotAcceptable, detail)
                .with_field("accept")
                .into());
        }
        (json, binary) if binary >= json => Form::Binary,
        _ => Form::Json,
    };
    Ok((form, coding(asked)))
}

fn coding(asked: &HeaderMap) -> Coding {
    let names = weighted(asked, &ACCEPT_ENCODING);
    let of = |name: &str| weight(&names, &[name, "*"]).unwrap_or(0);
    let plain = weight(&names, &["identity"]).unwrap_or(1);
    let (zstd, gzip) = (of("zstd"), of("gzip"));
    match zstd.max(gzip) {
        0 => Coding::Plain,
        best if best < plain => Coding::Plain,
        _ if zstd >= gzip => Coding::Zstd,
        _ => Coding::Gzip,
    }
}

/// The names of a list in lower case, each with its weight in thousandths.
fn weighted(asked: &HeaderMap, header: &HeaderName) -> Vec<(String, u16)> {
    let values = asked.get_all(header).iter();
    let items = values.filter_map(|value| value.to_str().ok());
    let items = items.flat_map(|list| list.split(','));
    let weighted = items.filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        Some((name.to_ascii_lowercase(), weight.map_or(1000, thousandths)))
    });
    weighted.collect()
}

/// The weight of the first of these names that is listed.
fn weight(listed: &[(String, u16)], names: &[&str]) -> Option<u16> {
    names.iter().find_map(|name| {
        let found = listed.iter().find(|(known, _)| known == name);
        found.map(|(_, weight)| *weight)
    })
}

/// A weight such as `0.75`; what is none counts as 0, which asks for nothing.
fn thousandths(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    match (whole, digits) {
        ("1", _) => 1000,
        ("0", true) => format!("{part:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn the_form_is_json_unless_the_other_is_named() {
        let ask = |value: &str| form(&asked(ACCEPT, value)).map(|(form, _)| form);
        assert!(matches!(form(&HeaderMap::new()), Ok((Form::Json, _))));
        for json in [
            "*/*",
            "application/json",
            "application/*;q=0.1",
            "text/html, */*;q=0.8",
            "application/json, application/x-bincode;q=0.5",
        ] {
            assert_eq!(ask(json).unwrap(), Form::Json, "{json}");
        }
        for binary in [
            "application/x-bincode",
            "Application/X-Bincode, application/json;q=0.9",
            "application/json;q=0, application/x-bincode",
        ] {
            assert_eq!(ask(binary).unwrap(), Form::Binary, "{binary}");
        }
        for neither in [
            "text/html",
            "application/json;q=0",
            "application/x-bincode;q=0.000",
        ] {
            let problem = ask(neither).unwrap_err().problem();
            assert_eq!((problem.status, &*problem.code), (406, "not-acceptable"));
        }
    }

    #[test]
    fn the_coding_is_the_one_with_the_most_weight() {
        for (value, coding) in [
            ("", Coding::Plain),
            ("br", Coding::Plain),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip", Coding::Gzip),
            ("*", Coding::Zstd),
            ("zstd;q=0.3, gzip;q=0.8", Coding::Gzip),
            ("zstd;q=0, *;q=0.5", Coding::Gzip),
            ("identity, gzip;q=0.5", Coding::Plain),
            ("gzip;q=0, zstd;q=0", Coding::Plain),
            ("gzip;q=nonsense", Coding::Plain),
        ] {
            assert_eq!(
                super::coding(&asked(ACCEPT_ENCODING, value)),
                coding,
                "{value}"
            );
        }
    }
}
