//! `u32_be(md5(key)[0..4]) mod P`, bit for bit what the Go library computes.

use md5::{Digest, Md5};

use crate::PartitionId;

// Not inlined, so that it takes no registers from a look-up by the other hash.
#[inline(never)]
pub(super) fn partition(key: &[u8], partitions: u32) -> PartitionId {
    PartitionId(prefix(&[key]) % partitions)
}

/// First four bytes, big-endian, of the md5 digest of the concatenated `parts`.
pub(crate) fn prefix(parts: &[&[u8]]) -> u32 {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    let digest = hasher.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}
