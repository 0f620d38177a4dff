//! `(xxh3_64(key) × P) >> 64`: Lemire's multiply-shift reduction (ACM TOMACS 29(1), 2019, §3) of
//! XXH3's 64-bit digest, seed 0.

use xxhash_rust::xxh3::xxh3_64;

use crate::PartitionId;

#[inline]
pub(super) fn partition(key: &[u8], partitions: u32) -> PartitionId {
    let wide = u128::from(xxh3_64(key)) * u128::from(partitions);
    PartitionId((wide >> 64) as u32)
}
