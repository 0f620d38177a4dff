//! How a table becomes bytes: bincode, and the compressions a caller may ask for.

use std::io::Write as _;

use ck_api::{TableAnswer, TableBinary};

/// Speed before size: a table is compressed once a version, while somebody waits.
const ZSTD_LEVEL: i32 = 3;

/// Shorter bodies gain nothing.
const BYTES_MIN: usize = 512;

/// How the bytes of a body are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// The name in `Content-Encoding`; none for plain bytes.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// The body in this coding, and the coding it is in: a short one stays plain.
    pub(super) fn encode(self, body: Vec<u8>) -> (Vec<u8>, Self) {
        if body.len() < BYTES_MIN {
            return (body, Self::Plain);
        }
        let coded = match self {
            Self::Plain => return (body, self),
            Self::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                let written = encoder.write_all(&body);
                written.and_then(|()| encoder.finish())
            }
            Self::Zstd => zstd::bulk::compress(&body, ZSTD_LEVEL),
        };
        // Writing to memory does not fail; if it did, plain bytes are right as well.
        coded.map_or((body, Self::Plain), |coded| (coded, self))
    }
}

/// The table in its binary form: bincode 2 in its standard configuration.
///
/// # Panics
/// Never: a table is text, numbers and lists.
pub(super) fn binary(table: &TableAnswer) -> Vec<u8> {
    bincode::serde::encode_to_vec(TableBinary::from(table), bincode::config::standard())
        .expect("a table is text, numbers and lists")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_coded_reads_back_and_a_short_body_stays_plain() {
        let body = b"partition ".repeat(500);
        let (gzip, coding) = Coding::Gzip.encode(body.clone());
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&*gzip)
            .read_to_end(&mut read)
            .unwrap();
        assert_eq!((read, coding), (body.clone(), Coding::Gzip));
        let (zstd, coding) = Coding::Zstd.encode(body.clone());
        let read = zstd::bulk::decompress(&zstd, body.len()).unwrap();
        assert_eq!((read, coding), (body, Coding::Zstd));
        let short = Coding::Zstd.encode(vec![7; BYTES_MIN - 1]);
        assert_eq!(short, (vec![7; BYTES_MIN - 1], Coding::Plain));
    }

    #[test]
    fn format_1_is_what_it_was() {
        let table = TableAnswer {
            incarnation: 1,
            version: 300,
            replication_factor: 2,
            hash_config: ck_api::HashConfig {
                hash: "xxh3".into(),
                partitions: 2,
                ..Default::default()
            },
            members: vec![ck_api::TableMember {
                member: 7,
                id: "n".into(),
                http: "h:1".into(),
                services: [("kv".to_owned(), "h:2".to_owned())].into(),
                domain: Some("a".into()),
                weight: 1,
                status: "active".into(),
            }],
            rows: vec![
                ck_api::TableRow {
                    epoch: 4,
                    state: "stable".into(),
                    primary: Some(7),
                    replicas: vec![8],
                },
                ck_api::TableRow {
                    epoch: 0,
                    state: "unavailable".into(),
                    primary: None,
                    replicas: vec![],
                },
            ],
        };
        let expected = [
            &b"\x01\x01\xfb\x2c\x01\x02\x04xxh3\x02"[..],
            b"\x01\x07\x01n\x03h:1\x01\x02kv\x03h:2\x01\x01a\x01\x06active",
            b"\x02\x04\x00\x01\x07\x01\x08\x00\x03\x00\x00",
        ];
        assert_eq!(binary(&table), expected.concat());
    }
}
