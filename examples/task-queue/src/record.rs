//! A task as it is kept: a head, then its payload as it came.
//!
//! One value holds all of a task, so each change of it is one write. Format 1, integers big-endian:
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | format |
//! | 1 | state: 0 ready, 1 delayed, 2 leased, 3 dead, 4 done |
//! | 4, 4 | attempts so far, and how many there may be |
//! | | delayed: 8, milliseconds; leased: 16, the receipt, and 8, milliseconds; dead: 1, the reason |
//! | 1, n | length of the idempotency key, 0 for none, and its bytes |
//! | rest | payload |
//!
//! No time of day is kept: a delay or a lease is counted anew by each primary.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::name::{IDEMPOTENCY_BYTES_MAX, QueueName, Receipt};

/// Format of a value.
const FORMAT: u8 = 1;

/// Longest head there is, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 256;

/// Key of the mark below which numbers may have been given. No queue's name begins so.
pub(crate) const NUMBERS_KEY: &[u8] = b"\0numbers";

/// Why a task is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeadReason {
    /// It was leased as often as may be, and the last lease ran out.
    Expired,
    /// It was leased as often as may be, and the last worker gave it back.
    Rejected,
}

impl DeadReason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Expired => "lease-expired",
            Self::Rejected => "rejected",
        }
    }
}

/// What has become of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It waits for a worker.
    Ready,
    /// It waits for its delay to pass.
    Delayed { delay: Duration },
    /// A worker has it.
    Leased {
        receipt: Receipt,
        visibility: Duration,
    },
    /// It is given to nobody any more.
    Dead { reason: DeadReason },
    /// It was acknowledged. Kept without its payload for the sake of its idempotency key.
    Done,
}

/// A task without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) attempts: u32,
    pub(crate) attempts_max: u32,
    pub(crate) kept: Kept,
    /// What the producer repeats an enqueue under. At most [`IDEMPOTENCY_BYTES_MAX`].
    pub(crate) idempotency: Option<Bytes>,
}

/// Why a value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a later version.
    #[error("the record has format {found}, this version knows {FORMAT}; start a newer version")]
    Newer {
        /// Its format.
        found: u8,
    },
    /// It ends early, or holds a number that is not known.
    #[error("the record is damaged at byte {at}; copy the partition anew from another node")]
    Damaged {
        /// Where it was noticed.
        at: usize,
    },
}

impl Head {
    /// The value: this head and the payload.
    pub(crate) fn to_value(&self, payload: &[u8]) -> Bytes {
        let mut value = BytesMut::with_capacity(HEAD_BYTES_MAX + payload.len());
        value.put_u8(FORMAT);
        value.put_u8(match self.kept {
            Kept::Ready => 0,
            Kept::Delayed { .. } => 1,
            Kept::Leased { .. } => 2,
            Kept::Dead { .. } => 3,
            Kept::Done => 4,
        });
        value.put_u32(self.attempts);
        value.put_u32(self.attempts_max);
        match self.kept {
            Kept::Ready | Kept::Done => {}
            Kept::Delayed { delay } => value.put_u64(millis(delay)),
            Kept::Leased {
                receipt,
                visibility,
            } => {
                value.put_u128(receipt.0);
                value.put_u64(millis(visibility));
            }
            Kept::Dead { reason } => value.put_u8(match reason {
                DeadReason::Expired => 0,
                DeadReason::Rejected => 1,
            }),
        }
        let key = self.idempotency.as_deref().unwrap_or_default();
        debug_assert!(key.len() <= IDEMPOTENCY_BYTES_MAX);
        value.put_u8(u8::try_from(key.len()).unwrap_or(u8::MAX));
        value.put_slice(key);
        value.put_slice(payload);
        value.freeze()
    }

    /// The head of a value, and its length: from there on the payload follows.
    pub(crate) fn read(value: &[u8]) -> Result<(Self, usize), RecordError> {
        let mut rest = value;
        let damaged = |rest: &[u8]| RecordError::Damaged {
            at: value.len() - rest.len(),
        };
        let format = rest.try_get_u8().map_err(|_| damaged(rest))?;
        if format != FORMAT {
            return Err(RecordError::Newer { found: format });
        }
        let head = Self::read_rest(&mut rest).ok_or_else(|| damaged(rest))?;
        Ok((head, value.len() - rest.len()))
    }

    fn read_rest(rest: &mut &[u8]) -> Option<Self> {
        let state = rest.try_get_u8().ok()?;
        let attempts = rest.try_get_u32().ok()?;
        let attempts_max = rest.try_get_u32().ok()?;
        let kept = match state {
            0 => Kept::Ready,
            1 => Kept::Delayed {
                delay: Duration::from_millis(rest.try_get_u64().ok()?),
            },
            2 => Kept::Leased {
                receipt: Receipt(rest.try_get_u128().ok()?),
                visibility: Duration::from_millis(rest.try_get_u64().ok()?),
            },
            3 => Kept::Dead {
                reason: match rest.try_get_u8().ok()? {
                    0 => DeadReason::Expired,
                    1 => DeadReason::Rejected,
                    _ => return None,
                },
            },
            4 => Kept::Done,
            _ => return None,
        };
        let length = usize::from(rest.try_get_u8().ok()?);
        let key = rest.get(..length)?;
        let idempotency = (length > 0).then(|| Bytes::copy_from_slice(key));
        rest.advance(length);
        Some(Self {
            attempts,
            attempts_max,
            kept,
            idempotency,
        })
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The key of a task. Queues follow one another, the numbers of each in order.
pub(crate) fn task_key(queue: &QueueName, number: u64) -> Bytes {
    let name = queue.as_str().as_bytes();
    let mut key = BytesMut::with_capacity(name.len() + 9);
    key.put_slice(name);
    key.put_u8(0);
    key.put_u64(number);
    key.freeze()
}

/// Queue and number of a task's key.
pub(crate) fn of_task_key(key: &[u8]) -> Option<(QueueName, u64)> {
    let (name, number) = key.split_at_checked(key.len().checked_sub(9)?)?;
    let (zero, number) = number.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let queue = QueueName::new(name).ok()?;
    (*zero == 0).then_some((queue, number))
}

/// The value of the mark.
pub(crate) fn numbers_value(below: u64) -> Bytes {
    let mut value = BytesMut::with_capacity(9);
    value.put_u8(FORMAT);
    value.put_u64(below);
    value.freeze()
}

/// The number in a mark.
pub(crate) fn of_numbers_value(value: &[u8]) -> Result<u64, RecordError> {
    let mut rest = value;
    let damaged = RecordError::Damaged { at: 0 };
    match rest.try_get_u8() {
        Ok(FORMAT) => rest.try_get_u64().map_err(|_| damaged),
        Ok(found) => Err(RecordError::Newer { found }),
        Err(_) => Err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(kept: Kept) -> Head {
        Head {
            attempts: 2,
            attempts_max: 5,
            kept,
            idempotency: Some(Bytes::from_static(b"k")),
        }
    }

    fn all() -> Vec<Head> {
        let second = Duration::from_secs(1);
        let states = [
            Kept::Ready,
            Kept::Delayed { delay: second },
            Kept::Leased {
                receipt: Receipt(7),
                visibility: second,
            },
            Kept::Dead {
                reason: DeadReason::Expired,
            },
            Kept::Dead {
                reason: DeadReason::Rejected,
            },
            Kept::Done,
        ];
        states.map(head).to_vec()
    }

    #[test]
    fn format_one_is_what_it_was() {
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let values: Vec<_> = all().iter().map(|one| hex(&one.to_value(b"pay"))).collect();
        let expected = [
            "01000000000200000005016b706179",
            "0101000000020000000500000000000003e8016b706179",
            "010200000002000000050000000000000000000000000000000700000000000003e8016b706179",
            "0103000000020000000500016b706179",
            "0103000000020000000501016b706179",
            "01040000000200000005016b706179",
        ];
        assert_eq!(values, expected);
        assert_eq!(hex(&numbers_value(1024)), "010000000000000400");
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        for one in all() {
            let value = one.to_value(b"pay");
            let (read, length) = Head::read(&value).unwrap();
            assert_eq!((&read, &value[length..]), (&one, &b"pay"[..]));
            for cut in 0..length {
                assert!(Head::read(&value[..cut]).is_err(), "{one:?} at {cut}");
            }
        }
        let newer = Head::read(&[2, 0]);
        assert_eq!(newer, Err(RecordError::Newer { found: 2 }));
    }

    #[test]
    fn the_longest_head_fits() {
        let mut longest = all().remove(2);
        longest.idempotency = Some(vec![b'k'; IDEMPOTENCY_BYTES_MAX].into());
        assert!(longest.to_value(b"").len() <= HEAD_BYTES_MAX);
    }

    #[test]
    fn keys_are_in_the_order_of_numbers() {
        let queue = QueueName::new(b"mail").unwrap();
        let (low, high) = (task_key(&queue, 255), task_key(&queue, 256));
        assert!(low < high);
        assert_eq!(of_task_key(&high), Some((queue, 256)));
        assert_eq!(of_task_key(NUMBERS_KEY), None);
        assert_eq!(of_task_key(b"short"), None);
        assert_eq!(of_numbers_value(&numbers_value(9)), Ok(9));
        assert!(of_numbers_value(b"").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Head::read(&bytes);
            let _ = of_task_key(&bytes);
            let _ = of_numbers_value(&bytes);
        }
    }
}
