//! The orders in which tasks are found in the store, beside their keys.
//!
//! | group | members | |
//! | --- | --- | --- |
//! | `n` | number | every task |
//! | `r` queue, `x` queue | number | ready, dead |
//! | `d` queue, `l` queue | number | delayed, leased: for their count |
//! | `t` | milliseconds, number | delayed or leased, by how long |
//! | `o` | number | done |
//! | `i` queue | idempotency key | what an enqueue is repeated under |
//! | `?` | key | what cannot be read |

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use ck_kv::{Mark, MarkedBy};

use crate::name::QueueName;
use crate::record::{Head, Kept, NUMBERS_KEY, millis, of_task_key};

/// By what the store marks tasks.
pub(crate) const MARKED_BY: MarkedBy = MarkedBy { version: 1, marks };

/// Every task.
pub(crate) const ALL: &[u8] = b"n";

/// What waits for its time, by how long.
pub(crate) const TIMED: &[u8] = b"t";

/// What is done.
pub(crate) const DONE: &[u8] = b"o";

/// What cannot be read.
pub(crate) const UNREAD: &[u8] = b"?";

/// Which of a queue's orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Ready,
    Delayed,
    Leased,
    Dead,
    Repeated,
}

impl Of {
    const fn letter(self) -> u8 {
        match self {
            Self::Ready => b'r',
            Self::Delayed => b'd',
            Self::Leased => b'l',
            Self::Dead => b'x',
            Self::Repeated => b'i',
        }
    }

    /// The group of a queue.
    pub(crate) fn group(self, queue: &QueueName) -> Bytes {
        let mut group = BytesMut::with_capacity(1 + queue.as_str().len());
        group.put_u8(self.letter());
        group.put_slice(queue.as_str().as_bytes());
        group.freeze()
    }

    /// Which order of which queue a group is, if it is one of these.
    pub(crate) fn read(group: &[u8]) -> Option<(Self, QueueName)> {
        let (letter, queue) = group.split_first()?;
        let all = [
            Self::Ready,
            Self::Delayed,
            Self::Leased,
            Self::Dead,
            Self::Repeated,
        ];
        let of = all.into_iter().find(|of| of.letter() == *letter)?;
        Some((of, QueueName::new(queue).ok()?))
    }
}

/// The place of a number.
pub(crate) fn by_number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The place of a time.
fn by_time(time: Duration, number: u64) -> Bytes {
    let mut place = BytesMut::with_capacity(16);
    place.put_u64(millis(time));
    place.put_u64(number);
    place.freeze()
}

/// The time of a place.
pub(crate) fn time_of(mut place: &[u8]) -> Duration {
    Duration::from_millis(place.try_get_u64().unwrap_or_default())
}

fn marks(key: &[u8], value: &[u8]) -> Vec<Mark> {
    let mark = |group: Bytes, member: Bytes| Mark { group, member };
    if key == NUMBERS_KEY {
        return Vec::new();
    }
    // A later version may keep what this one does not know; it is left alone.
    let Some((queue, number)) = of_task_key(key) else {
        return Vec::new();
    };
    let Ok((head, _)) = Head::read(value) else {
        let key = Bytes::copy_from_slice(key);
        return vec![mark(Bytes::from_static(UNREAD), key)];
    };
    let place = by_number(number);
    let of = |of: Of| mark(of.group(&queue), place.clone());
    let timed = |time| mark(Bytes::from_static(TIMED), by_time(time, number));
    let mut marks = vec![mark(Bytes::from_static(ALL), place.clone())];
    match head.kept {
        Kept::Ready => marks.push(of(Of::Ready)),
        Kept::Delayed { delay } => marks.extend([of(Of::Delayed), timed(delay)]),
        Kept::Leased { visibility, .. } => marks.extend([of(Of::Leased), timed(visibility)]),
        Kept::Dead { .. } => marks.push(of(Of::Dead)),
        Kept::Done => marks.push(mark(Bytes::from_static(DONE), place.clone())),
    }
    if let Some(repeated) = head.idempotency {
        marks.push(mark(Of::Repeated.group(&queue), repeated));
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Receipt;
    use crate::record::task_key;

    fn groups(kept: Kept, idempotency: Option<&'static str>) -> Vec<String> {
        let queue = QueueName::new(b"mail").unwrap();
        let head = Head {
            attempts: 1,
            attempts_max: 5,
            kept,
            idempotency: idempotency.map(|key| Bytes::from_static(key.as_bytes())),
        };
        let marks = marks(&task_key(&queue, 7), &head.to_value(b"payload"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        marks.iter().map(|mark| text(&mark.group)).collect()
    }

    #[test]
    fn a_task_is_found_by_its_number_its_state_and_its_key() {
        let second = Duration::from_secs(1);
        let receipt = Receipt(7);
        let visibility = second;
        for (kept, expected) in [
            (Kept::Ready, &["n", "rmail", "imail"][..]),
            (
                Kept::Delayed { delay: second },
                &["n", "dmail", "t", "imail"],
            ),
            (
                Kept::Leased {
                    receipt,
                    visibility,
                },
                &["n", "lmail", "t", "imail"],
            ),
            (Kept::Done, &["n", "o", "imail"]),
        ] {
            assert_eq!(groups(kept, Some("key")), expected);
        }
        assert_eq!(groups(Kept::Ready, None), ["n", "rmail"]);
        assert_eq!(marks(NUMBERS_KEY, b"x"), []);
        let queue = QueueName::new(b"mail").unwrap();
        assert_eq!(marks(&task_key(&queue, 7), b"\x09")[0].group, UNREAD);
    }

    #[test]
    fn what_is_due_sooner_comes_first() {
        let at = |seconds, number| by_time(Duration::from_secs(seconds), number);
        assert!(at(1, 9) < at(2, 1) && at(2, 1) < at(2, 2));
        assert_eq!(time_of(&at(2, 1)), Duration::from_secs(2));
        let queue = QueueName::new(b"mail").unwrap();
        assert_eq!(Of::read(&Of::Dead.group(&queue)), Some((Of::Dead, queue)));
        assert_eq!(Of::read(b"zmail"), None);
    }
}
