//! Bytes into paths and queries.

/// Appends `bytes`, percent-encoded so that they stay one path segment or query value.
pub(crate) fn push(into: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// `prefix`, then `segment` as one path segment, then `suffix`.
pub(crate) fn path(prefix: &str, segment: &str, suffix: &str) -> String {
    let mut path = String::with_capacity(prefix.len() + segment.len() + suffix.len());
    path.push_str(prefix);
    push(&mut path, segment.as_bytes());
    path.push_str(suffix);
    path
}

/// A query built one pair at a time.
#[derive(Default)]
pub(crate) struct Query(String);

impl Query {
    /// Adds a pair.
    pub(crate) fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        push(&mut self.0, value);
        self
    }

    /// Adds a pair when there is a value.
    pub(crate) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value.to_string().as_bytes()),
            None => self,
        }
    }

    /// `path` with the query behind it.
    pub(crate) fn on(self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives() {
        let target = Query::default()
            .with("key", b"a b+c/\xff\0%")
            .on("/v1/partitions/key");
        assert_eq!(target, "/v1/partitions/key?key=a%20b%2Bc%2F%FF%00%25");
        assert_eq!(path("/v1/custom/", "a/b", ""), "/v1/custom/a%2Fb");
    }
}
