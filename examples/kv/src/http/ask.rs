//! Reading what is asked.

use ck_http::{Bytes, Code, HeaderMap, Problem, header};
use ck_node::{Handle, NotOwner, PartitionId};
use serde::Serialize;

use super::problems;
use crate::ops::{Condition, Consistency};
use crate::record::KEY_BYTES_MAX;

/// A node's own copy of a partition in figures: equal on all nodes that have the same.
#[derive(Debug, Serialize)]
pub(super) struct Digest {
    pub(super) partition: String,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) keys: u64,
    pub(super) bytes: u64,
    pub(super) digest: String,
}

/// Conditions in one request.
const TAGS_MAX: usize = 64;

fn refused(field: &str, value: &str, detail: String) -> Box<Problem> {
    let problem = Problem::new(Code::InvalidParameter, detail);
    Box::new(problem.with_field(field).with_value(value))
}

/// The key of a path: its bytes after percent-decoding.
pub(super) fn key(path: &str) -> Result<Bytes, Box<Problem>> {
    let mut key = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            key.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let decoded = digit().zip(digit()).map(|(high, low)| high * 16 + low);
        let Some(decoded) = decoded.and_then(|byte| u8::try_from(byte).ok()) else {
            let detail = "`%` in a key is followed by two hexadecimal digits; write it as %25";
            return Err(refused("key", path, detail.to_owned()));
        };
        key.push(decoded);
    }
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let detail = format!(
            "a key of {} bytes is out of range; use 1 to {KEY_BYTES_MAX}",
            key.len()
        );
        return Err(refused("key", path, detail));
    }
    Ok(key.into())
}

/// The partition of a key.
pub(super) fn partition(node: &Handle, key: &[u8]) -> Result<PartitionId, Box<Problem>> {
    let published = node.published();
    let row = published.lookup(key);
    row.map(|row| row.partition())
        .ok_or_else(|| unknown(node, PartitionId(0), 0))
}

/// The partition that a path names.
pub(super) fn partition_id(node: &Handle, text: &str) -> Result<PartitionId, Box<Problem>> {
    let digits = text.strip_prefix("partition-").unwrap_or(text);
    let number: u32 = digits.parse().map_err(|_| {
        let detail = "no partition is called so; write it as partition-3".to_owned();
        refused("partition", text, detail)
    })?;
    let id = PartitionId(number);
    let partitions = node.table().map_or(0, |table| table.partitions());
    if number < partitions {
        Ok(id)
    } else {
        Err(unknown(node, id, partitions))
    }
}

fn unknown(node: &Handle, partition: PartitionId, partitions: u32) -> Box<Problem> {
    let unknown = NotOwner::Unknown {
        partition,
        partitions,
    };
    ck_http::not_owner(node, &unknown, None)
}

/// How fresh a read is to be, by the query.
pub(super) fn consistency(query: Option<&str>) -> Result<Consistency, Box<Problem>> {
    let mut found = None;
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "consistency" {
            let detail = "there is no such parameter; `consistency` is the only one".to_owned();
            return Err(refused(name, value, detail));
        }
        if found.is_some() {
            let detail = "`consistency` is given twice; give it once";
            let problem = Problem::new(Code::RepeatedParameter, detail);
            return Err(Box::new(problem.with_field(name)));
        }
        found = Some(match value {
            "lease" => Consistency::Lease,
            "barrier" => Consistency::Barrier,
            "stale" => Consistency::Stale,
            _ => {
                let detail = "`consistency` is lease, barrier or stale".to_owned();
                return Err(refused(name, value, detail));
            }
        });
    }
    Ok(found.unwrap_or_default())
}

/// The condition of a write, by its headers.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, Box<Problem>> {
    let matches = headers.get_all(header::IF_MATCH).iter();
    let nones = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = Vec::new();
    for value in matches {
        let list = value.to_str().map_err(|_| problems::bad_tag("If-Match"))?;
        tags.extend(list.split(',').map(|tag| tag.trim().to_owned()));
    }
    let absent = nones.count();
    if absent > 0 {
        let only = headers.get(header::IF_NONE_MATCH);
        let star = only.is_some_and(|value| value.as_bytes() == b"*");
        if absent > 1 || !star || !tags.is_empty() {
            return Err(problems::bad_tag("If-None-Match"));
        }
        return Ok(Condition::Absent);
    }
    if tags == ["*"] {
        return Ok(Condition::Present);
    }
    let quoted = |tag: &String| tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"');
    if !tags.iter().all(quoted) || tags.len() > TAGS_MAX {
        return Err(problems::bad_tag("If-Match"));
    }
    Ok(if tags.is_empty() {
        Condition::Always
    } else {
        Condition::Tagged(tags)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_any_bytes() {
        assert_eq!(key("user:1001").unwrap(), "user:1001");
        assert_eq!(key("%00%ff%2F%25+a/b").unwrap(), &b"\0\xff/%+a/b"[..]);
        assert_eq!(key(&"%61".repeat(1_024)).unwrap().len(), 1_024);
        for wrong in ["", "%", "%4", "%zz", "a%+1", &"a".repeat(1_025)] {
            assert_eq!(key(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_condition_is_one_of_its_headers() {
        let read = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            condition(&map)
        };
        assert_eq!(read(&[]).unwrap(), Condition::Always);
        assert_eq!(read(&[("if-none-match", "*")]).unwrap(), Condition::Absent);
        assert_eq!(read(&[("if-match", "*")]).unwrap(), Condition::Present);
        let two = Condition::Tagged(vec!["\"1.2\"".to_owned(), "\"1.3\"".to_owned()]);
        assert_eq!(read(&[("if-match", "\"1.2\", \"1.3\"")]).unwrap(), two);
        for wrong in [
            &[("if-none-match", "\"1.2\"")][..],
            &[("if-match", "1.2")],
            &[("if-match", "")],
            &[("if-match", "\"1.2\""), ("if-none-match", "*")],
        ] {
            assert_eq!(read(wrong).unwrap_err().status, 400, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(consistency(None).unwrap(), Consistency::Lease);
        let stale = consistency(Some("consistency=stale")).unwrap();
        assert_eq!(stale, Consistency::Stale);
        for wrong in [
            "consistency=",
            "consistency=old",
            "fresh=1",
            "consistency=stale&consistency=lease",
        ] {
            assert_eq!(consistency(Some(wrong)).unwrap_err().status, 400, "{wrong}");
        }
    }
}
