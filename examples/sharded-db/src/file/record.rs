//! One transaction as the pages it wrote.
//!
//! A copy that has the same pages and applies the same records in the same order is the same file,
//! whatever the transaction did: rows, indexes, the schema, full-text tables, counters.

use std::collections::BTreeMap;

use ck_node::{Epoch, FencingToken, Incarnation};
use xxhash_rust::xxh3::xxh3_64;

/// Where a file stands: the number of its last transaction, and the grant that wrote it.
///
/// Transactions of one partition are numbered without a gap, and each grant belongs to one node, so
/// equal marks mean equal files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Incarnation of the cluster at that transaction.
    pub incarnation: Incarnation,
    /// The grant that wrote it.
    pub epoch: Epoch,
    /// Its number, from 1; 0 before the first.
    pub seq: u64,
}

impl Mark {
    /// The mark of the next transaction at a grant.
    #[must_use]
    pub(crate) const fn next(self, token: FencingToken) -> Self {
        Self {
            incarnation: token.incarnation,
            epoch: token.epoch,
            seq: self.seq + 1,
        }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.incarnation.0, self.epoch.0, self.seq)
    }
}

impl std::str::FromStr for Mark {
    type Err = NoMark;
    fn from_str(text: &str) -> Result<Self, NoMark> {
        let mut parts = text.split('.').map(str::parse::<u64>);
        let mut next = || parts.next().and_then(Result::ok).ok_or(NoMark);
        let (incarnation, epoch, seq) = (next()?, next()?, next()?);
        if parts.next().is_some() {
            return Err(NoMark);
        }
        Ok(Self {
            incarnation: Incarnation(incarnation),
            epoch: Epoch(epoch),
            seq,
        })
    }
}

/// Text that is no [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mark is written as incarnation.epoch.number")]
pub struct NoMark;

/// One committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where the file stands after it.
    pub mark: Mark,
    /// Size of the file after it, in pages.
    pub file_pages: u32,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// The pages it wrote, by number from 1.
    pub pages: BTreeMap<u32, Vec<u8>>,
}

/// Length of what stands before the pages.
const HEAD: usize = 4 + 3 * 8 + 3 * 4;
/// Length of the checksum at the end.
const SUM: usize = 8;
/// The first bytes of a record in this format.
const MAGIC: [u8; 4] = *b"ckr1";

impl Record {
    /// Bytes of the record when it is sent.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEAD + self.pages.len() * (4 + self.page_bytes as usize) + SUM
    }

    /// Appends the record to `to`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.reserve(self.encoded_len());
        to.extend_from_slice(&MAGIC);
        for number in [self.mark.incarnation.0, self.mark.epoch.0, self.mark.seq] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        let count = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        for number in [self.file_pages, self.page_bytes, count] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        for (number, page) in &self.pages {
            to.extend_from_slice(&number.to_le_bytes());
            to.extend_from_slice(page);
        }
        let sum = xxh3_64(&to[start..]);
        to.extend_from_slice(&sum.to_le_bytes());
    }

    /// Takes one record from the front of `from`; `None` when it is damaged or cut off. Nothing is
    /// allocated for a length that the bytes at hand do not hold.
    #[must_use]
    pub fn decode(from: &mut &[u8]) -> Option<Self> {
        let all = *from;
        let head = all.get(..HEAD)?;
        if head[..4] != MAGIC {
            return None;
        }
        let long = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let short = |at: usize| head[at..at + 4].try_into().ok().map(u32::from_le_bytes);
        let mark = Mark {
            incarnation: Incarnation(long(4)?),
            epoch: Epoch(long(12)?),
            seq: long(20)?,
        };
        let (file_pages, page_bytes, count) = (short(28)?, short(32)?, short(36)?);
        if !(512..=65_536).contains(&page_bytes) || !page_bytes.is_power_of_two() {
            return None;
        }
        let each = 4 + page_bytes as usize;
        let end = HEAD.checked_add(each.checked_mul(count as usize)?)?;
        let body = all.get(HEAD..end)?;
        let sum = all.get(end..end + SUM)?.try_into().ok()?;
        if xxh3_64(&all[..end]) != u64::from_le_bytes(sum) {
            return None;
        }
        let pages = body.chunks_exact(each).map(|page| {
            let (number, page) = page.split_at(4);
            let number = number
                .try_into()
                .map(u32::from_le_bytes)
                .unwrap_or_default();
            (number, page.to_vec())
        });
        let pages: BTreeMap<_, _> = pages.collect();
        // A file without pages holds none of them, and a page 0 there is not.
        if pages.len() != count as usize || pages.contains_key(&0) || file_pages == 0 {
            return None;
        }
        *from = &all[end + SUM..];
        Some(Self {
            mark,
            file_pages,
            page_bytes,
            pages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> Record {
        Record {
            mark: Mark {
                incarnation: Incarnation(1),
                epoch: Epoch(2),
                seq,
            },
            file_pages: 9,
            page_bytes: 512,
            pages: BTreeMap::from([(1, vec![7; 512]), (9, vec![8; 512])]),
        }
    }

    #[test]
    fn records_come_back_one_by_one() {
        let mut bytes = Vec::new();
        record(1).encode(&mut bytes);
        assert_eq!(bytes.len(), record(1).encoded_len());
        record(2).encode(&mut bytes);
        let mut left = bytes.as_slice();
        assert_eq!(Record::decode(&mut left), Some(record(1)));
        assert_eq!(Record::decode(&mut left), Some(record(2)));
        assert!(left.is_empty());
        assert_eq!(Record::decode(&mut left), None);
    }

    #[test]
    fn damage_and_lengths_that_are_not_there_are_refused() {
        let mut bytes = Vec::new();
        record(1).encode(&mut bytes);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Record::decode(&mut damaged.as_slice()), None, "byte {at}");
            assert_eq!(Record::decode(&mut &bytes[..at]), None, "cut at {at}");
        }
        let mut huge = bytes[..HEAD].to_vec();
        huge[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Record::decode(&mut huge.as_slice()), None);
    }

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = record(3).mark;
        assert_eq!(mark.to_string(), "1.2.3");
        assert_eq!("1.2.3".parse(), Ok(mark));
        for text in ["", "1.2", "1.2.3.4", "1.-2.3", "a.b.c"] {
            assert_eq!(text.parse::<Mark>(), Err(NoMark), "{text}");
        }
    }
}
