//! The one place that knows how values become bytes, for peers and for the disk.
//!
//! Every stored record starts with the digest of what follows, so that a damaged one is reported
//! and never read as something else. Decoding has a size limit and refuses trailing bytes.

use bincode::config::{Configuration, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

/// Largest value that is encoded or decoded, in bytes: a snapshot with all custom values.
const VALUE_BYTES_MAX: usize = 1 << 30;

type Standard =
    Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<VALUE_BYTES_MAX>>;

fn standard() -> Standard {
    bincode::config::standard().with_limit::<VALUE_BYTES_MAX>()
}

/// Why bytes were not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value does not serialise, or is larger than the limit.
    #[error("a value does not encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are no such value.
    #[error("bytes do not decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// Bytes are left behind the value.
    #[error("{left} bytes are left behind the value")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A record's digest is wrong, or there is no room for one.
    #[error("a record of {bytes} bytes is damaged")]
    Damaged {
        /// Its length.
        bytes: usize,
    },
}

/// A value as bytes.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(bincode::serde::encode_to_vec(value, standard())?)
}

/// A value from bytes, all of them.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, standard())?;
    if read == bytes.len() {
        Ok(value)
    } else {
        Err(CodecError::Trailing {
            left: bytes.len() - read,
        })
    }
}

/// Bytes with their digest in front, as they are stored.
pub(crate) fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(bytes.len() + 8);
    record.extend_from_slice(&xxh3_64(bytes).to_le_bytes());
    record.extend_from_slice(bytes);
    record
}

/// The bytes of a stored record, if its digest is right.
pub(crate) fn unseal(record: &[u8]) -> Result<&[u8], CodecError> {
    let damaged = CodecError::Damaged {
        bytes: record.len(),
    };
    let Some((digest, bytes)) = record.split_first_chunk::<8>() else {
        return Err(damaged);
    };
    if xxh3_64(bytes).to_le_bytes() == *digest {
        Ok(bytes)
    } else {
        Err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_record_is_refused() {
        let mut record = seal(b"payload");
        assert_eq!(unseal(&record).unwrap(), b"payload");
        record[9] ^= 1;
        assert!(matches!(
            unseal(&record),
            Err(CodecError::Damaged { bytes: 15 })
        ));
        assert!(unseal(b"short").is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&7u64).unwrap();
        bytes.push(0);
        assert!(matches!(
            decode::<u64>(&bytes),
            Err(CodecError::Trailing { left: 1 })
        ));
    }

    #[test]
    fn declared_length_beyond_the_bytes_is_refused() {
        // A vector that claims 2^60 elements must fail without reserving them.
        let bytes = encode(&(1u64 << 60)).unwrap();
        assert!(decode::<Vec<u64>>(&bytes).is_err());
    }
}
