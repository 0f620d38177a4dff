//! How queues, tasks and leases are called outside.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ck_node::PartitionId;

/// Longest name of a queue, in bytes.
pub const QUEUE_BYTES_MAX: usize = 128;

/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_BYTES_MAX: usize = 128;

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A queue's name of another length.
    #[error("a queue's name of {bytes} bytes is out of range; use 1 to {QUEUE_BYTES_MAX}")]
    QueueLength {
        /// Its length.
        bytes: usize,
    },
    /// A byte that is no visible ASCII.
    #[error("a queue's name is visible ASCII; byte {byte:#04x} is not")]
    QueueByte {
        /// The first such byte.
        byte: u8,
    },
    /// A task that is written otherwise.
    #[error("{given:?} is no task; write it as 3-1042, partition and number")]
    Task {
        /// What was given.
        given: String,
    },
    /// A receipt that is written otherwise.
    #[error(
        "{given:?} is no receipt; a receipt is the 32 hexadecimal digits that came with a lease"
    )]
    Receipt {
        /// What was given.
        given: String,
    },
}

/// Name of a queue: 1 to [`QUEUE_BYTES_MAX`] bytes of visible ASCII. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// The name in these bytes.
    ///
    /// # Errors
    /// [`NameError`] when its length or a byte of it is out of range.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.is_empty() || bytes.len() > QUEUE_BYTES_MAX {
            let bytes = bytes.len();
            return Err(NameError::QueueLength { bytes });
        }
        if let Some(byte) = bytes.iter().copied().find(|byte| !byte.is_ascii_graphic()) {
            return Err(NameError::QueueByte { byte });
        }
        let text = String::from_utf8_lossy(bytes);
        Ok(Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task: its partition, and its number there. Printed as `3-1042`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The partition that keeps it.
    pub partition: PartitionId,
    /// Its number in there, from 1, never used again.
    pub number: u64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition.0, self.number)
    }
}

impl FromStr for TaskId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parsed = text.split_once('-').and_then(|(partition, number)| {
            Some(Self {
                partition: PartitionId(decimal(partition)?),
                number: decimal(number)?,
            })
        });
        parsed.ok_or_else(|| NameError::Task {
            given: text.to_owned(),
        })
    }
}

/// A number as it is printed, so that no two texts name one task.
fn decimal<T: FromStr + fmt::Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// What a lease is proved by: random, so that nobody has another's by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub(crate) u128);

impl Receipt {
    /// One that nobody has had: 122 random bits.
    pub(crate) fn draw() -> Self {
        Self(uuid::Uuid::new_v4().as_u128())
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Receipt {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| hex);
        number.map(Self).ok_or_else(|| NameError::Receipt {
            given: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_visible_ascii() {
        for right in ["a", "mail.out", "a/b", &"q".repeat(128)] {
            assert_eq!(QueueName::new(right.as_bytes()).unwrap().as_str(), right);
        }
        for wrong in [
            &b""[..],
            b"a b",
            b"a\0",
            b"\x7f",
            "ü".as_bytes(),
            &[b'q'; 129],
        ] {
            assert!(QueueName::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_task_has_one_text() {
        let task: TaskId = "3-1042".parse().unwrap();
        assert_eq!((task.partition.0, task.number), (3, 1042));
        assert_eq!(task.to_string(), "3-1042");
        for wrong in ["", "3", "3-", "-3", "03-1", "3-+1", "3-1-2", "4294967296-1"] {
            assert!(wrong.parse::<TaskId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_receipt_is_read_as_it_is_printed() {
        let receipt = Receipt::draw();
        assert_eq!(receipt.to_string().parse(), Ok(receipt));
        assert_ne!(receipt, Receipt::draw());
        for wrong in ["", "12", &"g".repeat(32), &format!("+{}", "1".repeat(31))] {
            assert!(wrong.parse::<Receipt>().is_err(), "{wrong}");
        }
    }
}
